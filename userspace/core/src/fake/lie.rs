// SPDX-License-Identifier: GPL-2.0-only

//! The ways in which the driver, or what is around it, can be wrong.

use crate::errno::Errno;

/// One way in which the driver, or what is around it, can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    /// The byte at an offset was not cleared.
    NotZeroed(u64),
    /// INFO says PRISTINE for ever.
    PristineForEver,
    /// INFO says that the buffer was used before.
    UsedBefore,
    /// INFO fails with an error, from the start or once it has been asked.
    InfoFails(Errno),
    InfoFailsLater(Errno),
    /// INFO gives something impossible.
    InfoSize(u64),
    InfoReserved(u32),
    /// The driver has no self-test.
    NoSelftest,

    /// `mmap` is refused.
    MapRefused(Errno),
    /// Every mapping is said to be at the same address.
    SameAddress,
    /// The second mapping of each two begins within the first.
    Overlap,
    /// A page answers a touch by SIGBUS.
    PageIsMissing(u64),
    /// A page becomes missing once it has been stored to.
    PageVanishesAfterStore(u64),

    /// Each mapping gets a copy of its own when it is first stored to.
    PrivateCopy,
    /// The second mapping of each two gets one when it is first stored to.
    PrivateCopyOfSecond,
    /// The second mapping of each two gets a copy of its own from the start.
    SecondIsACopy,
    /// Page `n` shows page `n ^ 1`, as long as that is in the buffer.
    WrongPage,
    /// The same in every second mapping only.
    WrongPageInSecond,
    /// Every page shows page 0.
    OneFrame,
    /// Every page shows the next one; the last shows one beyond the buffer.
    NextPage,
    /// Only the last page shows one beyond the buffer.
    LastPageBeyond,
    /// A page shows another page of the buffer.
    Swapped(u64, u64),

    /// FRAME is off by some bytes at a page.
    FrameWrong(u64, u64),
    /// FRAME fails.
    FrameFails(Errno),
    /// FRAME answers beyond the end, or gives an address there that reads like an error.
    FramePastEnd,
    FramePastEndLikeAnError,
    /// Pagemap has no PFNs, as without CAP_SYS_ADMIN.
    PagemapHides,
    /// Pagemap says that a page is not there, as for VM_PFNMAP.
    PagemapAbsent,
    /// Pagemap cannot be opened.
    PagemapFails(Errno),
    /// Pagemap and the CPU show another PFN in the second mapping of each two.
    PagemapDiffers,
    /// No lie: the CPU is a 32-bit ARM without LPAE, and the only one. And then such lies: the CPU shows
    /// another PFN in the second mapping of each two, or in all of them.
    WithoutLpae,
    WithoutLpaeDiffers,
    WithoutLpaeMoved,
    /// They show pages with the right contents that are not those of the buffer.
    FramesMoved,

    /// TRANSLATE fails, or knows every request.
    TranslateFails(Errno),
    TranslateTakesAll,
    /// TRANSLATE says of everything what the device's coherency demands.
    TypeAlwaysRight,
    /// TRANSLATE gives this attribute of user space's mappings, of the second of each two, of a
    /// page, for stores, of the kernel's mapping, of all that is a device's.
    TypeOfUser(u8),
    TypeOfSecond(u8),
    TypeOfPage(u64, u8),
    TypeForStores(u8),
    TypeOfKernel(u8),
    TypeOfAll(u8),
    /// TRANSLATE gives this shareability of a device's memory.
    Shareability(u8),
    /// TRANSLATE says that a store would do where nothing but loads are allowed: of the program's
    /// constants, of a mapping.
    ConstantIsWritable,
    ReadOnlyIsWritable,
    /// It says that none would do where one did, or for the kernel.
    UserIsReadOnly,
    KernelIsReadOnly,
    /// It translates what is not there, and does not what is.
    NothingIsThere,
    UserIsNotThere,
    /// It gives no physical addresses, as without CAP_SYS_ADMIN.
    WalkHides,
    /// It is off by some bytes at a page of user space's, or of the kernel's.
    WalkWrong(u64, u64),
    KernelWalkWrong(u64, u64),
    /// `mmap` to be read only is refused.
    ReadOnlyRefused(Errno),
    /// A store to a mapping that is read only is done.
    ReadOnlyIsStored,

    /// `read()` gives one byte less than there is if it is asked for more than one.
    ShortRead,
    /// `read()` gives the whole length, but leaves the last byte as it was.
    ReadLosesLastByte,
    /// `read()` gives what was in the buffer before the last store by a mapping to that page.
    StaleRead,
    /// `read()` fails, or gives zero bytes.
    ReadFails(Errno),
    ReadGivesNothing,
    /// `read()` at an odd offset starts at the word's beginning.
    ReadAligns,
    /// The last byte cannot be read on its own.
    LastByteCannotBeRead,
    /// `read()` beyond the end gives bytes.
    ReadPastEnd,
    /// `read()` that reaches beyond the end is refused.
    ReadAcrossEndRefused,

    /// `write()` says it took all, but dropped the last byte.
    WriteLosesLastByte,
    /// `write()` takes one byte less than it was given if it is more than one.
    ShortWrite,
    /// `write()` goes to a copy that only `read()` sees.
    WriteGoesAside,
    /// `write()` fails.
    WriteFails(Errno),
    /// `write()` pads the last word it touches with zeroes.
    WriteRoundsUp,
    /// `write()` clears the byte before its first.
    WriteClobbersBefore,
    /// The last byte cannot be written on its own.
    LastByteCannotBeWritten,
    /// `write()` that reaches beyond the end says that it took all.
    WriteAcrossEnd,
    /// `write()` at the end says that it took the byte.
    WritePastEnd,
    /// `write()` at the end answers 0.
    WritePastEndGivesNothing,

    /// The memory: a word in which one bit is set, or one is not, loses that one; a word that is stored
    /// flips a bit of the next one.
    LoneBit(u64),
    LoneGap(u64),
    Coupled(u64),

    /// A foreign device has no `read()` and no `write()`.
    NoReadWrite,
    /// It refuses a write at the end in its own way.
    RefusesByFault,
    /// This driver has no device beside it.
    NoWitness,
    /// It cannot be opened.
    WitnessFails(Errno),

    /// A store of a byte to the buffer's last byte is lost.
    LastByteCannotBeStored,

    /// `mmap` beyond the end is done, and there is memory.
    MapPastEnd,
    /// `mmap` beyond the end is done if it starts in the buffer, or only if it starts beyond.
    MapAcrossEnd,
    MapFarBeyond,
    /// `mmap` beyond the end is done, and a touch there is answered by SIGBUS.
    MapPastEndSigbus,
    /// `mmap` beyond the end is done, and a touch there is answered by SIGSEGV.
    MapPastEndSigsegv,
    /// `mmap` beyond the end is refused with another error.
    MapPastEndErrno(Errno),
    /// A SIGBUS is not noticed.
    SigbusIsMissed,
    /// No mapping can be made that is sure to give SIGBUS.
    NoSureSigbus(Errno),

    /// There is no bus master, one that cannot write by itself, or one that cannot copy.
    NoMaster,
    MasterCannotFill,
    MasterCannotCopy,
    /// No lie: it answers like the firmware of a Raspberry Pi.
    MasterIsFirmware,
    /// Such an answer has another code.
    FirmwareErrs,
    /// No lie either: the firmware wrote a command line that has grown since.
    FirmwareHasOtherLine,
    /// Asking for it fails.
    MasterFails(Errno),
    /// Its alignment is no power of two.
    MasterOddAlignment,
    /// The kernel's command line has no nonce, or another one.
    NoNonce,
    OtherNonce,
    /// The bus master writes nothing, one byte too many, one too few, or a page further on.
    MasterSilent,
    MasterOverruns,
    MasterUnderruns,
    MasterElsewhere,
    /// What it copies is what was there at first.
    MasterReadsStale,
    /// It writes less than it says.
    FillSaysMore,
    /// It writes one byte more than it says.
    FillOverruns,
    /// It takes whatever it is asked to; what makes no sense it does not do, or it does.
    MasterTakesAll,
    MasterTriesAll,
    /// It refuses with another error.
    MasterRefusesBy(Errno),
    /// What it writes comes with something else before it.
    MasterStumbles,

    /// No lie: the buffer is cached.
    Cached,
    /// It is, and SYNC does nothing, synchronises the start of the buffer, or goes the other way.
    SyncIsSilent,
    SyncOfStart,
    SyncTheOtherWay,
    /// It is, and SYNC takes any range, or an end without a start; or fails.
    SyncTakesAnyRange,
    SyncEndsWithoutStart,
    SyncFails(Errno),
    /// It is not, and SYNC succeeds, or is not known.
    SyncTakesCoherent,
    SyncIsUnknown,

    /// There is one CPU, and no other task can be had.
    OneCpu,
    NoTask(Errno),
    /// Messages: the kernel sees a wrong word, or shows one, in a round; or it fails.
    KernelSeesWrong(u64),
    KernelShowsWrong(u64),
    LitmusFails(Errno),
    /// A task sees other words than those that the flag announces.
    StaleWords,
    /// The second task sees no flag.
    TaskSeesNoFlag,
    /// The machine has no time: the second task does not run before this one waits for its end; or
    /// not in the first so many calls of LITMUS.
    TaskIsStarved,
    LitmusIsStarved(u32),

    /// Unbinding leaves the mappings, those of another task, or the open files.
    UnbindLeavesMappings,
    UnbindLeavesTask,
    UnbindLeavesFiles,
    /// Unbinding or binding fails.
    UnbindFails(Errno),
    BindFails(Errno),
    /// A new binding has the old data, or says that it is used.
    BindLeavesData,
    BindLeavesUsed,

    /// `munmap` fails.
    UnmapFails(Errno),
    /// `munmap` leaves the mapping in place.
    UnmapLeaves,
    /// `munmap` of one mapping takes the pages from the others.
    UnmapTakesAll,
    /// `munmap` clears the buffer.
    UnmapClears,
    /// After `munmap` the addresses answer by SIGBUS.
    UnmapSigbus,
    /// After `munmap` nothing can be mapped.
    UnmapIsTheEnd,

    /// The kernel complains when something was mapped beyond what is said, or at once.
    Log(&'static str),
    /// The kernel complains as long as it is asked.
    LogWithoutEnd,
    /// Records are lost.
    LogLost,
    /// The log cannot be read.
    LogFails(Errno),
}
