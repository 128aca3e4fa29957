// SPDX-License-Identifier: GPL-2.0-only

//! A machine with one device that can be made to lie.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ffi::CStr;
use std::rc::Rc;

use faultline_uapi::{
    litmus_word, Copy, Fill, Info, Litmus, Master, Translation, FLAG_COHERENT, FLAG_PRISTINE,
    LITMUS_WORDS, MASTER_COPY, MASTER_FILL, TRANSLATED, TRANSLATE_KERNEL, TRANSLATE_WRITE,
    TRANSLATION_WRITABLE,
};

use crate::device::{Call, Device, Fault, Mapping, Signal, Unmapped};
use crate::errno::Errno;
use crate::job::{Job, Tally, Worker};
use crate::system::{KnownMemory, System};

/// The number that the fake bus master has, and how much it copies at once.
const NONCE: &[u8] = b"0123456789abcdef0123456789abcdef";
const MOST_COPIED: u64 = 16;

/// The size of the fake machine's pages.
pub(crate) const PAGE: u64 = 4096;

/// Where frame 0 of the fake machine's memory lies.
const MEMORY: u64 = 0x4000_0000;

/// Frames behind the buffer that belong to somebody else.
const FOREIGN_FRAMES: usize = 2;

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
    /// Page `n` shows the frame of page `n ^ 1`, as long as that is in the buffer.
    WrongPage,
    /// The same in every second mapping only.
    WrongPageInSecond,
    /// Every page shows the frame of page 0.
    OneFrame,
    /// Every page shows the next one's frame; the last a frame beyond the buffer.
    NextPage,
    /// Only the last page shows a frame beyond the buffer.
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
    /// Pagemap has no frame numbers, as without CAP_SYS_ADMIN.
    PagemapHides,
    /// Pagemap says that a page is not there, as for VM_PFNMAP.
    PagemapAbsent,
    /// Pagemap cannot be opened.
    PagemapFails(Errno),
    /// Pagemap and the CPU show another frame in the second mapping of each two.
    PagemapDiffers,
    /// They show frames with the right contents that are not those of the buffer.
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
    /// `write()` fills up the last word it touches with zeroes.
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
    /// There is none of ours beside it.
    NoWitness,

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

/// The fake machine.
pub(crate) struct Machine {
    state: Rc<RefCell<State>>,
}

struct State {
    lie: Option<Lie>,
    size: u64,
    memory: Vec<u8>,
    stale: Vec<u8>,
    pristine: bool,
    infos: u32,
    mappings: u64,
    unmapped: bool,
    vanished: bool,
    coherent: bool,
    read_only: Vec<u64>,
    task: Option<(Job, Area)>,
    outcome: Option<Tally>,
    beats: u64,
    told: bool,
    litmuses: u32,
    time: u64,
    /// How often the device was bound or unbound; odd while it is bound.
    binding: u64,
    log: VecDeque<Result<Vec<u8>, Errno>>,
}

impl State {
    fn info(&mut self) -> Result<Info, Errno> {
        self.infos += 1;
        let pristine = self.pristine || self.lies(Lie::PristineForEver);
        let coherent = if self.coherent { FLAG_COHERENT } else { 0 };
        let mut info = Info {
            flags: coherent | if pristine { FLAG_PRISTINE } else { 0 },
            size: self.size,
            dma_address: MEMORY,
            reserved: 0,
        };
        match self.lie {
            Some(Lie::InfoFails(errno)) => return Err(errno),
            Some(Lie::InfoFailsLater(errno)) if self.infos > 1 => return Err(errno),
            Some(Lie::InfoSize(size)) => info.size = size,
            Some(Lie::InfoReserved(reserved)) => info.reserved = reserved,
            _ => {}
        }
        Ok(info)
    }

    fn frame(&self, offset: u64) -> Result<u64, Errno> {
        match self.lie {
            Some(Lie::FrameFails(errno)) => Err(errno),
            Some(Lie::FrameWrong(page, by)) if offset / PAGE == page => Ok(MEMORY + offset + by),
            Some(Lie::FramePastEnd) => Ok(MEMORY + offset),
            Some(Lie::FramePastEndLikeAnError) if offset >= self.size => {
                Ok(Errno::INVAL.number().wrapping_neg())
            }
            _ if offset >= self.size => Err(Errno::INVAL),
            _ => Ok(MEMORY + offset),
        }
    }

    fn master(&self) -> Result<Master, Errno> {
        let mut master = Master {
            name: *b"fake\0\0\0\0\0\0\0\0\0\0\0\0",
            abilities: MASTER_FILL | MASTER_COPY,
            alignment: 4,
            max_fill: self.data().len() as u64,
            max_copy: MOST_COPIED,
            data: u32::from(self.is_firmware()),
            reserved: 0,
        };
        match self.lie {
            Some(Lie::NoMaster) => return Err(Errno::NODATA),
            Some(Lie::MasterFails(errno)) => return Err(errno),
            Some(Lie::MasterOddAlignment) => master.alignment = 3,
            Some(Lie::MasterCannotFill) => {
                master.abilities = MASTER_COPY;
                master.max_fill = 0;
            }
            Some(Lie::MasterCannotCopy) => {
                master.abilities = MASTER_FILL;
                master.max_copy = 0;
            }
            _ => {}
        }
        Ok(master)
    }

    /// Whether the bus master is the firmware of a Raspberry Pi.
    fn is_firmware(&self) -> bool {
        matches!(
            self.lie,
            Some(Lie::MasterIsFirmware | Lie::FirmwareErrs | Lie::FirmwareHasOtherLine)
        )
    }

    /// What the bus master writes.
    fn data(&self) -> Vec<u8> {
        if !self.is_firmware() {
            return NONCE.to_vec();
        }
        let mut line = self.command_line();
        let mut code = 1 << 31;
        match self.lie {
            Some(Lie::FirmwareErrs) => code |= 1,
            Some(Lie::FirmwareHasOtherLine) => line.truncate(5),
            _ => {}
        }
        let room = line.len().next_multiple_of(4);
        let whole = (24 + room).next_multiple_of(16);
        let words = [whole, code, 0x5_0001, room, 1 << 31 | line.len()];
        let mut data: Vec<u8> = words
            .iter()
            .flat_map(|word| (*word as u32).to_le_bytes())
            .chain(line)
            .collect();
        data.resize(whole, 0);
        data
    }

    /// The kernel's.
    fn command_line(&self) -> Vec<u8> {
        let mut line = b"quiet faultline.nonce=".to_vec();
        match self.lie {
            Some(Lie::NoNonce) => line.clear(),
            Some(Lie::OtherNonce) => line.extend(NONCE.iter().rev()),
            _ => line.extend(NONCE),
        }
        line
    }

    /// Whether a part of the buffer can be asked for.
    fn judge_part(&self, at: u64, length: u64) -> Result<(), Errno> {
        let inside = at.checked_add(length).is_some_and(|end| end <= self.size);
        match self.lie {
            Some(Lie::MasterTakesAll | Lie::MasterTriesAll) => Ok(()),
            Some(Lie::MasterRefusesBy(errno)) if !inside => Err(errno),
            _ if inside && length > 0 && at % 4 == 0 && length % 4 == 0 => Ok(()),
            _ => Err(Errno::INVAL),
        }
    }

    fn judge_fill(&self, fill: &Fill) -> Result<u64, Errno> {
        match self.lie {
            Some(Lie::NoMaster) => return Err(Errno::NODATA),
            Some(Lie::MasterTakesAll | Lie::MasterTriesAll) => {}
            _ if fill.reserved != 0 => return Err(Errno::INVAL),
            Some(Lie::MasterCannotFill) => return Err(Errno::OPNOTSUPP),
            _ => {}
        }
        self.judge_part(fill.offset, fill.length)?;
        let more = u64::from(self.lies(Lie::FillSaysMore));
        Ok(fill.length.min(self.data().len() as u64) + more)
    }

    fn judge_copy(&self, copy: &Copy) -> Result<(), Errno> {
        match self.lie {
            Some(Lie::NoMaster) => return Err(Errno::NODATA),
            Some(Lie::MasterTakesAll | Lie::MasterTriesAll) => {}
            _ if copy.reserved != 0 => return Err(Errno::INVAL),
            Some(Lie::MasterCannotCopy) => return Err(Errno::OPNOTSUPP),
            _ => {}
        }
        self.judge_part(copy.source, copy.length)?;
        self.judge_part(copy.destination, copy.length)?;
        if copy.length > MOST_COPIED && !self.lies(Lie::MasterTakesAll) {
            return Err(Errno::MSGSIZE);
        }
        Ok(())
    }

    /// What the bus master does with so much of some data, as far as it is in the buffer.
    fn put(&mut self, mut at: u64, data: &[u8], length: u64) {
        let mut length = length.min(data.len() as u64);
        match self.lie {
            Some(Lie::MasterSilent) => return,
            Some(Lie::MasterTakesAll) if length == 0 || at >= self.size => return,
            Some(Lie::MasterUnderruns) => length -= 1,
            Some(Lie::MasterElsewhere) => at = (at + PAGE) % (self.size - length),
            _ => {}
        }
        let fill_overruns = self.lies(Lie::FillOverruns) && data == self.data();
        let overruns = fill_overruns || self.lies(Lie::MasterOverruns);
        let to = &mut self.memory[..self.size as usize];
        let places = to.iter_mut().skip(at as usize);
        for (to, from) in places.zip(&data[..length as usize]) {
            *to = *from;
        }
        if overruns {
            if let Some(next) = to.get_mut((at + length) as usize) {
                *next = !*next;
            }
        }
    }

    fn translate(&self, question: &mut Translation) -> Result<(), Errno> {
        let request = question.request;
        match self.lie {
            Some(Lie::TranslateFails(errno)) => return Err(errno),
            Some(Lie::TranslateTakesAll) => {}
            _ if request & !(TRANSLATE_KERNEL | TRANSLATE_WRITE) != 0 => return Err(Errno::INVAL),
            _ => {}
        }
        let (kernel, store) = (
            request & TRANSLATE_KERNEL != 0,
            request & TRANSLATE_WRITE != 0,
        );
        let demanded = if self.coherent { 0xff } else { 0x44 };
        let (number, offset) = match question.address {
            address if kernel => (0, address),
            address => (address >> 32, address & 0xffff_ffff),
        };
        let is_own = number == OWN >> 32;
        let page = offset / PAGE;
        let at = if kernel {
            page
        } else {
            shown_frame(self, number, page)
        } * PAGE
            + offset % PAGE;
        let is_there = kernel || number != 0 || self.lies(Lie::NothingIsThere);
        let writable = match self.lie {
            Some(Lie::ConstantIsWritable) if is_own => true,
            Some(Lie::ReadOnlyIsWritable) if !is_own => true,
            Some(Lie::UserIsReadOnly) if !is_own && !kernel => false,
            Some(Lie::KernelIsReadOnly) if kernel => false,
            _ if is_own => offset < PAGE,
            _ => !self.read_only.contains(&number),
        };
        let is_there = match self.lie {
            Some(Lie::UserIsNotThere) if !kernel && !is_own => false,
            _ => is_there && (writable || !store),
        };
        if !is_there {
            question.fault = 7;
            return Ok(());
        }
        question.flags = TRANSLATED | if writable { TRANSLATION_WRITABLE } else { 0 };
        question.shareability = if demanded == 0xff || is_own { 3 } else { 2 };
        question.attribute = match self.lie {
            Some(Lie::TypeAlwaysRight) => demanded,
            _ if is_own => 0xff,
            Some(Lie::TypeOfUser(attribute)) if !kernel => attribute,
            Some(Lie::TypeOfSecond(attribute)) if is_second(number) && !kernel => attribute,
            Some(Lie::TypeOfPage(wrong, attribute)) if page == wrong && !kernel => attribute,
            Some(Lie::TypeForStores(attribute)) if store && !kernel => attribute,
            Some(Lie::TypeOfKernel(attribute)) if kernel => attribute,
            Some(Lie::TypeOfAll(attribute)) => attribute,
            _ => demanded,
        };
        question.physical_address = MEMORY + at;
        match self.lie {
            Some(Lie::Shareability(shareability)) if !is_own => {
                question.shareability = shareability;
            }
            Some(Lie::WalkHides) => question.physical_address = 0,
            Some(Lie::WalkWrong(wrong, by)) if page == wrong && !kernel => {
                question.physical_address += by;
            }
            Some(Lie::KernelWalkWrong(wrong, by)) if page == wrong && kernel => {
                question.physical_address += by;
            }
            _ => {}
        }
        Ok(())
    }

    fn lies(&self, lie: Lie) -> bool {
        self.lie == Some(lie)
    }

    /// What becomes of what has been stored, some bytes from a place on.
    fn settle(&mut self, from: usize, length: usize) {
        let (Lie::LoneBit(at) | Lie::LoneGap(at) | Lie::Coupled(at)) =
            self.lie.unwrap_or(Lie::NoMaster)
        else {
            return;
        };
        let at = at as usize;
        let cell = &self.memory[at..at + 8];
        let word = u64::from_ne_bytes(cell.try_into().unwrap());
        let new = match self.lie {
            Some(Lie::LoneBit(_)) if word.count_ones() == 1 => 0,
            Some(Lie::LoneGap(_)) if word.count_zeros() == 1 => u64::MAX,
            // Of a longer store the next word is stored later.
            Some(Lie::Coupled(_)) if from == at && length == 8 => {
                self.memory[at + 8] ^= 4;
                word
            }
            _ => word,
        };
        self.memory[at..at + 8].copy_from_slice(&new.to_ne_bytes());
    }
}

impl Machine {
    /// A machine with a buffer of so many pages and, if there is one, so big a lie.
    pub(crate) fn new(pages: u64, lie: Option<Lie>) -> Self {
        let size = pages * PAGE;
        let mut memory = vec![0; size as usize + FOREIGN_FRAMES * PAGE as usize];
        if let Some(Lie::NotZeroed(offset)) = lie {
            memory[offset as usize] = 1;
        }
        let record = |text: &str| Ok(format!("{text}\n SUBSYSTEM=platform\n").into_bytes());
        let mut log = VecDeque::from([
            record("4,1,1,-;faultline: loading out-of-tree module taints kernel."),
            record("6,2,2,-;faultline a: 16384 bytes"),
        ]);
        match lie {
            Some(Lie::Log(text)) => log.push_back(record(text)),
            Some(Lie::LogLost) => log.push_front(Err(Errno::PIPE)),
            Some(Lie::LogFails(errno)) => log.push_front(Err(errno)),
            _ => {}
        }
        let pristine = lie != Some(Lie::UsedBefore);
        let state = State {
            lie,
            size,
            stale: memory.clone(),
            memory,
            pristine,
            infos: 0,
            mappings: 0,
            unmapped: false,
            vanished: false,
            coherent: !matches!(lie, Some(Lie::TypeAlwaysRight)),
            read_only: Vec::new(),
            task: None,
            outcome: None,
            beats: 0,
            told: false,
            litmuses: 0,
            time: 0,
            binding: 1,
            log,
        };
        Self {
            state: Rc::new(RefCell::new(state)),
        }
    }

    /// What is in the buffer.
    pub(crate) fn buffer(&self) -> Vec<u8> {
        let state = self.state.borrow();
        state.memory[..state.size as usize].to_vec()
    }
}

impl System for Machine {
    type Device = File;
    type Mapping = Area;

    fn page_size(&self) -> u64 {
        PAGE
    }

    fn open(&mut self, path: &CStr) -> Result<File, Errno> {
        if path.to_bytes().starts_with(b"/dev/faultline") {
            let binding = self.state.borrow().binding;
            if binding % 2 == 0 || self.state.borrow().lies(Lie::NoWitness) {
                return Err(Errno::NOENT);
            }
            Ok(File {
                state: self.state.clone(),
                binding,
                foreign: false,
            })
        } else if path == FOREIGN {
            Ok(File {
                state: self.state.clone(),
                binding: self.state.borrow().binding,
                foreign: true,
            })
        } else {
            Err(Errno::NOENT)
        }
    }

    fn pagemap(&mut self, address: u64) -> Result<u64, Errno> {
        const PRESENT: u64 = 1 << 63;
        const SOFT_DIRTY: u64 = 1 << 55;

        let state = self.state.borrow();
        match state.lie {
            Some(Lie::PagemapFails(errno)) => return Err(errno),
            Some(Lie::PagemapHides) => return Ok(PRESENT | SOFT_DIRTY),
            Some(Lie::PagemapAbsent) => return Ok(0),
            _ => {}
        }
        let (number, offset) = (address >> 32, address & 0xffff_ffff);
        let frame = shown_frame(&state, number, offset / PAGE);
        Ok(PRESENT | SOFT_DIRTY | (MEMORY / PAGE + frame))
    }

    fn known_memory(&mut self) -> KnownMemory {
        KnownMemory {
            variable: OWN,
            constant: OWN + PAGE,
            nothing: 0,
        }
    }

    fn command_line(&mut self, buffer: &mut [u8]) -> Result<usize, Errno> {
        let line = self.state.borrow().command_line();
        buffer[..line.len()].copy_from_slice(&line);
        Ok(line.len())
    }

    fn two_cpus(&mut self) -> [u32; 2] {
        [0, u32::from(!self.state.borrow().lies(Lie::OneCpu))]
    }

    fn stay_on(&mut self, _: Option<u32>) {}

    /// Time passes only while it is looked at, and then the other task is at work, too.
    fn start(&mut self, path: &CStr, size: u64, _: u32, job: &mut Job) -> Result<(), Errno> {
        if let Some(Lie::NoTask(errno)) = self.state.borrow().lie {
            return Err(errno);
        }
        let mut area = self.open(path)?.map(0, size)?;
        let mut state = self.state.borrow_mut();
        state.mappings -= 1;
        area.number = TASK;
        area.copy = None;
        state.outcome = None;
        state.beats = 0;
        state.told = false;
        state.task = Some((*job, area));
        Ok(())
    }

    fn beats(&mut self) -> u64 {
        self.state.borrow().beats
    }

    fn finish(&mut self) -> Result<Tally, Errno> {
        self.state.borrow_mut().told = true;
        let task = self.state.borrow_mut().task.take();
        match task {
            Some((mut job, mut area)) => Ok(job.run(self, &mut area, true)),
            None => self.state.borrow().outcome.ok_or(Errno::NOENT),
        }
    }

    fn unbind(&mut self, _: &CStr) -> Result<(), Errno> {
        let mut state = self.state.borrow_mut();
        if let Some(Lie::UnbindFails(errno)) = state.lie {
            return Err(errno);
        }
        state.binding += 1;
        Ok(())
    }

    fn bind(&mut self) -> Result<(), Errno> {
        let mut state = self.state.borrow_mut();
        match state.lie {
            Some(Lie::BindFails(errno)) => return Err(errno),
            Some(Lie::BindLeavesData) => {}
            _ => state.memory.fill(0),
        }
        if state.binding % 2 == 0 {
            state.binding += 1;
        }
        state.pristine = !state.lies(Lie::BindLeavesUsed);
        Ok(())
    }

    fn map_beyond_a_file(&mut self) -> Result<Area, Errno> {
        if let Some(Lie::NoSureSigbus(errno)) = self.state.borrow().lie {
            return Err(errno);
        }
        Ok(Area {
            state: self.state.clone(),
            number: SURE,
            offset: 0,
            length: PAGE,
            read_only: false,
            copy: None,
            binding: 1,
        })
    }

    fn log_record(&mut self, buffer: &mut [u8]) -> Result<usize, Errno> {
        let mut state = self.state.borrow_mut();
        if state.lies(Lie::LogWithoutEnd) {
            let record = b"4,1,1,-;again\n";
            buffer[..record.len()].copy_from_slice(record);
            return Ok(record.len());
        }
        let record = state.log.pop_front().unwrap_or(Err(Errno::AGAIN))?;
        buffer[..record.len()].copy_from_slice(&record);
        Ok(record.len())
    }
}

impl Worker for Machine {
    fn milliseconds(&mut self) -> u64 {
        step_task(&self.state);
        let mut state = self.state.borrow_mut();
        state.time += 1;
        state.time
    }

    fn beat(&mut self) {
        self.state.borrow_mut().beats += 1;
    }

    fn is_told(&mut self) -> bool {
        self.state.borrow().told
    }
}

/// The number of the mapping that is sure to give SIGBUS.
const SURE: u64 = 0xffff;

/// The number of the other task's mapping.
const TASK: u64 = 0x4001;

/// Has the other task look at what it is to look at, if there is one.
fn step_task(state: &Rc<RefCell<State>>) {
    if state.borrow().lies(Lie::TaskIsStarved) {
        return;
    }
    let Some((mut job, mut area)) = state.borrow_mut().task.take() else {
        return;
    };
    let outcome = job.step(&mut area);
    let mut state = state.borrow_mut();
    state.beats += 1;
    match outcome {
        None => state.task = Some((job, area)),
        outcome => state.outcome = outcome,
    }
}

/// The number of the first mapping that is read only.
const READ_ONLY: u64 = 0x8001;

/// Where the program's own memory is.
const OWN: u64 = 0xfffe << 32;

/// Whether a mapping is the second of two. They are numbered from 1.
fn is_second(number: u64) -> bool {
    number % 2 == 0
}

/// The frame, counted from the buffer's first, that a page of a mapping shows.
fn frame(state: &State, number: u64, page: u64) -> u64 {
    let pages = state.size / PAGE;
    let neighbour = if page ^ 1 < pages { page ^ 1 } else { page };
    match state.lie {
        Some(Lie::WrongPage) => neighbour,
        Some(Lie::WrongPageInSecond) if is_second(number) => neighbour,
        Some(Lie::OneFrame) => 0,
        Some(Lie::NextPage) => page + 1,
        Some(Lie::LastPageBeyond) if page == pages - 1 => page + 1,
        Some(Lie::Swapped(a, b)) if page == a => b,
        Some(Lie::Swapped(a, b)) if page == b => a,
        _ => page,
    }
}

/// What is said of it.
fn shown_frame(state: &State, number: u64, page: u64) -> u64 {
    let other = state.lies(Lie::PagemapDiffers) && is_second(number);
    frame(state, number, page) + u64::from(other || state.lies(Lie::FramesMoved))
}

/// The path by which the device is another driver's.
pub(crate) const FOREIGN: &CStr = c"/dev/foreign";

/// A file of the fake device.
pub(crate) struct File {
    state: Rc<RefCell<State>>,
    binding: u64,
    foreign: bool,
}

impl File {
    /// The kernel's side, while the other task plays its own.
    fn litmus(&mut self, litmus: &mut Litmus) -> Result<(), Errno> {
        let lie = self.state.borrow().lie;
        if let Some(Lie::LitmusFails(errno)) = lie {
            return Err(errno);
        }
        self.state.borrow_mut().litmuses += 1;
        if let Some(Lie::LitmusIsStarved(calls)) = lie {
            if self.state.borrow().litmuses <= calls {
                return Err(Errno::TIMEDOUT);
            }
        }
        for round in 1..=litmus.rounds {
            let mut looks = 0;
            while self.word(litmus.flag) != round {
                looks += 1;
                if looks > 4 {
                    return Err(Errno::TIMEDOUT);
                }
                step_task(&self.state);
            }
            let words = (0..LITMUS_WORDS).map(|index| (index, index as u64 * 8));
            let right = words
                .clone()
                .all(|(index, at)| self.word(litmus.data + at) == litmus_word(round, index));
            if !right || lie == Some(Lie::KernelSeesWrong(round)) {
                litmus.wrong += 1;
            }
            for (index, at) in words {
                let mut word = litmus_word(!round, index);
                if index == 5 && lie == Some(Lie::KernelShowsWrong(round)) {
                    word = litmus_word(!(round - 1), index);
                }
                self.set_word(litmus.answer_data + at, word);
            }
            self.set_word(litmus.answer_flag, round);
        }
        Ok(())
    }

    fn word(&self, at: u64) -> u64 {
        let state = self.state.borrow();
        u64::from_ne_bytes(state.memory[at as usize..][..8].try_into().unwrap())
    }

    fn set_word(&mut self, at: u64, word: u64) {
        let mut state = self.state.borrow_mut();
        state.memory[at as usize..][..8].copy_from_slice(&word.to_ne_bytes());
    }
}

impl Device for File {
    type Mapping = Area;

    fn call(&mut self, call: Call<'_>) -> Result<(), Errno> {
        assert!(!self.foreign, "who knows what {call:?} means to it");
        let mut state = self.state.borrow_mut();
        if state.binding != self.binding && !state.lies(Lie::UnbindLeavesFiles) {
            return Err(Errno::NODEV);
        }
        match call {
            Call::Info(info) => {
                *info = state.info()?;
                Ok(())
            }
            _ if state.lies(Lie::NoSelftest) => Err(Errno::NOTTY),
            Call::Frame(frame) => {
                frame.physical_address = state.frame(frame.offset)?;
                Ok(())
            }
            Call::Translate(question) => state.translate(question),
            Call::Master(master) => {
                *master = state.master()?;
                Ok(())
            }
            Call::Fill(fill) => {
                fill.length = state.judge_fill(fill)?;
                if state.lies(Lie::MasterStumbles) {
                    let at = fill.offset as usize;
                    state.memory[at..][..fill.length as usize].fill(b'?');
                    drop(state);
                    step_task(&self.state);
                    state = self.state.borrow_mut();
                }
                let data = state.data();
                state.put(fill.offset, &data, fill.length);
                Ok(())
            }
            Call::Copy(copy) => {
                state.judge_copy(copy)?;
                let from = if state.lies(Lie::MasterReadsStale) {
                    &state.stale
                } else {
                    &state.memory
                };
                let length = copy.length as usize;
                if copy.source.saturating_add(copy.length) <= state.size {
                    let data = from[copy.source as usize..][..length].to_vec();
                    state.put(copy.destination, &data, copy.length);
                }
                Ok(())
            }
            Call::Litmus(litmus) => {
                drop(state);
                self.litmus(litmus)
            }
        }
    }

    fn map(&mut self, offset: u64, length: u64) -> Result<Area, Errno> {
        let mut state = self.state.borrow_mut();
        assert!(offset % PAGE == 0 && length % PAGE == 0 && length > 0);
        let far = offset >= state.size;
        let beyond = offset
            .checked_add(length)
            .is_none_or(|end| end > state.size);
        match state.lie {
            Some(Lie::MapRefused(errno)) => return Err(errno),
            Some(Lie::UnmapIsTheEnd) if state.unmapped => return Err(Errno::NODEV),
            Some(Lie::MapPastEnd | Lie::MapPastEndSigbus | Lie::MapPastEndSigsegv) => {}
            Some(Lie::MapAcrossEnd) if !far => {}
            Some(Lie::MapFarBeyond) if far => {}
            Some(Lie::MapPastEndErrno(errno)) if beyond => return Err(errno),
            _ if beyond => return Err(Errno::INVAL),
            _ => {}
        }
        state.pristine = false;
        state.mappings += 1;
        let number = state.mappings;
        let copy =
            (state.lies(Lie::SecondIsACopy) && is_second(number)).then(|| state.memory.clone());
        Ok(Area {
            state: self.state.clone(),
            number,
            offset,
            length,
            read_only: false,
            copy,
            binding: self.binding,
        })
    }

    fn map_read_only(&mut self, length: u64) -> Result<Area, Errno> {
        if let Some(Lie::ReadOnlyRefused(errno)) = self.state.borrow().lie {
            return Err(errno);
        }
        // Neither the first nor the second of two.
        let mut area = self.map(0, length)?;
        let mut state = self.state.borrow_mut();
        state.mappings -= 1;
        area.number = READ_ONLY + 2 * state.read_only.len() as u64;
        area.read_only = true;
        area.copy = None;
        state.read_only.push(area.number);
        Ok(area)
    }

    fn read_at(&mut self, offset: u64, bytes: &mut [u8]) -> Result<u64, Errno> {
        let state = self.state.borrow();
        let left = state.size.saturating_sub(offset).min(bytes.len() as u64) as usize;
        let mut length = left;
        let mut start = offset;
        let mut from = &state.memory;
        match state.lie {
            Some(Lie::ReadFails(errno)) => return Err(errno),
            Some(Lie::NoReadWrite) => return Err(Errno::INVAL),
            Some(Lie::ReadGivesNothing) => return Ok(0),
            Some(Lie::ShortRead) if left > 1 => length -= 1,
            Some(Lie::ReadAligns) => start -= start % 8,
            Some(Lie::StaleRead | Lie::WriteGoesAside) => from = &state.stale,
            Some(Lie::ReadPastEnd) if offset == state.size => return Ok(bytes.len() as u64),
            Some(Lie::ReadAcrossEndRefused) if left > 0 && left < bytes.len() => {
                return Err(Errno::INVAL)
            }
            Some(Lie::LastByteCannotBeRead) if left == 1 => return Ok(0),
            _ => {}
        }
        let lost = usize::from(state.lies(Lie::ReadLosesLastByte) && length > 1);
        let copied = length - lost;
        bytes[..copied].copy_from_slice(&from[start as usize..][..copied]);
        Ok(length as u64)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<u64, Errno> {
        let mut state = self.state.borrow_mut();
        let left = state.size.saturating_sub(offset).min(bytes.len() as u64) as usize;
        match state.lie {
            Some(Lie::WriteFails(errno)) => return Err(errno),
            Some(Lie::NoReadWrite) => return Err(Errno::INVAL),
            Some(Lie::RefusesByFault) if left == 0 => return Err(Errno::FAULT),
            Some(Lie::WritePastEnd) if left == 0 => return Ok(bytes.len() as u64),
            Some(Lie::WritePastEndGivesNothing) if left == 0 => return Ok(0),
            Some(Lie::LastByteCannotBeWritten) if left == 1 => return Err(Errno::NOSPC),
            _ if left == 0 => return Err(Errno::NOSPC),
            _ => {}
        }
        state.pristine = false;
        let start = offset as usize;
        let mut length = left;
        let mut answer = left;
        match state.lie {
            Some(Lie::WriteLosesLastByte) => length -= 1,
            Some(Lie::ShortWrite) if left > 1 => {
                length -= 1;
                answer -= 1;
            }
            Some(Lie::WriteAcrossEnd) => answer = bytes.len(),
            _ => {}
        }
        if state.lies(Lie::WriteGoesAside) {
            state.stale[start..][..length].copy_from_slice(&bytes[..length]);
            return Ok(answer as u64);
        }
        state.memory[start..][..length].copy_from_slice(&bytes[..length]);
        state.settle(start, length);
        if state.lies(Lie::StaleRead) {
            state.stale[start..][..length].copy_from_slice(&bytes[..length]);
        }
        let end = start + length;
        if state.lies(Lie::WriteRoundsUp) {
            state.memory[end..end.next_multiple_of(8)].fill(0);
        }
        if state.lies(Lie::WriteClobbersBefore) && start > 0 && length < 4096 {
            state.memory[start - 1] = 0;
        }
        Ok(answer as u64)
    }
}

/// A mapping of the fake device.
pub(crate) struct Area {
    state: Rc<RefCell<State>>,
    number: u64,
    offset: u64,
    length: u64,
    read_only: bool,
    copy: Option<Vec<u8>>,
    binding: u64,
}

impl Area {
    /// The address of a byte: mappings are far apart.
    fn address_of(&self, offset: u64) -> u64 {
        (self.number << 32) + offset
    }

    /// Where in memory a byte is, if it is there.
    fn place(&self, state: &State, offset: u64) -> Result<usize, Fault> {
        assert!(
            offset < self.length,
            "{offset:#x} is not in a mapping of {:#x}",
            self.length
        );
        let fault = |signal| {
            Err(Fault {
                signal,
                address: self.address_of(offset),
            })
        };
        if self.number == SURE {
            return if state.lies(Lie::SigbusIsMissed) {
                Ok(0)
            } else {
                fault(Signal::Bus)
            };
        }
        let at = self.offset + offset;
        let page = at / PAGE;
        let stays = match state.lie {
            Some(Lie::UnbindLeavesMappings) => self.number != TASK,
            Some(Lie::UnbindLeavesTask) => self.number == TASK,
            _ => false,
        };
        if self.binding != state.binding && !stays {
            return fault(Signal::Bus);
        }
        match state.lie {
            Some(Lie::PageIsMissing(missing)) if page == missing => return fault(Signal::Bus),
            Some(Lie::PageVanishesAfterStore(missing)) if page == missing && state.vanished => {
                return fault(Signal::Bus)
            }
            Some(Lie::UnmapTakesAll) if state.unmapped => return fault(Signal::Bus),
            Some(Lie::MapPastEndSigbus) if at >= state.size => return fault(Signal::Bus),
            Some(Lie::MapPastEndSigsegv) if at >= state.size => return fault(Signal::Segv),
            _ => {}
        }
        let place = frame(state, self.number, page) * PAGE + at % PAGE;
        Ok(place as usize % state.memory.len())
    }
}

impl Mapping for Area {
    type Unmapped = Gone;

    fn address(&self) -> u64 {
        match self.state.borrow().lie {
            Some(Lie::SameAddress) if !self.read_only => 1 << 32,
            Some(Lie::Overlap) if is_second(self.number) => ((self.number - 1) << 32) + PAGE,
            _ => self.address_of(0),
        }
    }

    fn load(&self, offset: u64, bytes: &mut [u8]) -> Result<(), Fault> {
        let state = self.state.borrow();
        for (byte, offset) in bytes.iter_mut().zip(offset..) {
            let place = self.place(&state, offset)?;
            *byte = self.copy.as_ref().unwrap_or(&state.memory)[place];
        }
        // A block of words, as no other check loads.
        if state.lies(Lie::StaleWords) && bytes.len() == 64 && self.number != TASK {
            bytes[..8].copy_from_slice(&litmus_word(0, 0).to_ne_bytes());
        }
        Ok(())
    }

    fn store(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Fault> {
        let mut state = self.state.borrow_mut();
        if self.read_only && !state.lies(Lie::ReadOnlyIsStored) {
            return Err(Fault {
                signal: Signal::Segv,
                address: self.address_of(offset),
            });
        }
        let last = bytes.len() == 1 && self.offset + offset == state.size - 1;
        if state.lies(Lie::LastByteCannotBeStored) && last {
            return Ok(());
        }
        let second = state.lies(Lie::PrivateCopyOfSecond) && is_second(self.number);
        if (state.lies(Lie::PrivateCopy) || second) && self.copy.is_none() {
            self.copy = Some(state.memory.clone());
        }
        for (&byte, offset) in bytes.iter().zip(offset..) {
            let place = self.place(&state, offset)?;
            match &mut self.copy {
                Some(copy) => copy[place] = byte,
                None => state.memory[place] = byte,
            }
            if let Some(Lie::PageVanishesAfterStore(page)) = state.lie {
                state.vanished |= place as u64 / PAGE == page;
            }
        }
        state.settle((self.offset + offset) as usize, bytes.len());
        Ok(())
    }

    fn load_acquire(&self, offset: u64) -> Result<u64, Fault> {
        let mut word = [0; 8];
        self.load(offset, &mut word)?;
        if self.number == TASK && self.state.borrow().lies(Lie::TaskSeesNoFlag) {
            return Ok(0);
        }
        Ok(u64::from_ne_bytes(word))
    }

    fn store_release(&mut self, offset: u64, word: u64) -> Result<(), Fault> {
        self.store(offset, &word.to_ne_bytes())
    }

    fn unmap(self) -> Result<Gone, Errno> {
        let mut state = self.state.borrow_mut();
        if let Some(Lie::UnmapFails(errno)) = state.lie {
            return Err(errno);
        }
        state.unmapped = true;
        if state.lies(Lie::UnmapClears) {
            state.memory.fill(0);
        }
        drop(state);
        Ok(Gone(self))
    }
}

/// Where a mapping of the fake device was.
pub(crate) struct Gone(Area);

impl Unmapped for Gone {
    fn load(&self, offset: u64, bytes: &mut [u8]) -> Result<(), Fault> {
        let address = self.0.address_of(offset);
        match self.0.state.borrow().lie {
            Some(Lie::UnmapLeaves) => {}
            Some(Lie::UnmapSigbus) => {
                return Err(Fault {
                    signal: Signal::Bus,
                    address,
                })
            }
            _ => {
                return Err(Fault {
                    signal: Signal::Segv,
                    address,
                })
            }
        }
        self.0.load(offset, bytes)
    }
}
