// SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note

//! What the self-test's calls and user space agree on: ioctl numbers and the layout of what they
//! carry.
//!
//! Only a driver that is built with `CONFIG_FAULTLINE_SELFTEST` has these calls; every other one
//! answers `ENOTTY`. As `driver/uapi.rs`, this file uses `core` alone and is compiled twice, each
//! time against the numbers that the `_IOR()` and `_IOWR()` of that side give.
//!
//! Every field has a fixed width and every padding byte a name; a reserved field is zero in both
//! directions, and a call in which one is not answers `EINVAL`, as one with an unknown bit in its
//! request.

/// The sequence number of [`FAULTLINE_IOC_FRAME`].
pub const NR_FRAME: u32 = 0x81;

/// `_IOWR('|', 0x81, Frame)`: where one page of the buffer lies in physical memory, by the
/// kernel's own mapping of it. Like `/proc/PID/pagemap`, it is for `CAP_SYS_ADMIN` only.
///
/// # Errors
///
/// - `EPERM`: the caller lacks `CAP_SYS_ADMIN`.
/// - `EINVAL`: [`Frame::offset`] is not below `Info::size`.
/// - `ENODEV`: the device was unbound after the file had been opened.
/// - `EFAULT`: the argument does not point at readable and writable memory.
pub const FAULTLINE_IOC_FRAME: u32 = 0xc010_7c81;

/// The sequence number of [`FAULTLINE_IOC_TRANSLATE`].
pub const NR_TRANSLATE: u32 = 0x82;

/// The sequence number of [`FAULTLINE_IOC_MASTER`].
pub const NR_MASTER: u32 = 0x83;

/// The sequence number of [`FAULTLINE_IOC_FILL`].
pub const NR_FILL: u32 = 0x84;

/// The sequence number of [`FAULTLINE_IOC_COPY`].
pub const NR_COPY: u32 = 0x85;

/// The sequence number of [`FAULTLINE_IOC_LITMUS`].
pub const NR_LITMUS: u32 = 0x86;

/// `_IOWR('|', 0x82, Translation)`: has the CPU translate an address by its own walk of the page
/// table, and says what it answered: `AT` and `PAR_EL1` on arm64, their like on 32-bit ARM.
///
/// The walk changes nothing. What is to be translated must be mapped: touch it first, by a store
/// if stores are asked about.
///
/// # Errors
///
/// - `EFAULT`: the address is not one of user space; or the argument does not point at readable
///   and writable memory.
/// - `EINVAL`: with [`TRANSLATE_KERNEL`], the offset is not below `Info::size`.
/// - `EOPNOTSUPP`: the architecture has no such instruction.
/// - On 32-bit ARM without LPAE, where memory attributes are read from the page table: `EAGAIN`, the mapping
///   does not stop changing; `EIO`, the CPU's answer contradicts the page table; `EINTR`, a deadly signal
///   came.
/// - `ENODEV`: the device was unbound after the file had been opened.
pub const FAULTLINE_IOC_TRANSLATE: u32 = 0xc028_7c82;

/// `_IOR('|', 0x83, Master)`: describes the bus master that can be asked to access the buffer.
///
/// # Errors
///
/// - `ENODATA`: the device has none.
/// - `ENODEV`: the device was unbound after the file had been opened.
/// - `EFAULT`: the argument does not point at writable memory.
pub const FAULTLINE_IOC_MASTER: u32 = 0x8030_7c83;

/// `_IOWR('|', 0x84, Fill)`: has the bus master write into the buffer what its own side has for
/// it.
///
/// The data is in memory when the call returns. It is the master's: the CPU has not seen it.
///
/// # Errors
///
/// - `EBADF`: the file is not open for writing.
/// - `ENODATA`: the device has no bus master.
/// - `EOPNOTSUPP`: the master cannot do this, as [`Master::abilities`] says.
/// - `EINVAL`: the length is zero; a range reaches past the end of the buffer; an offset or the
///   length is not a multiple of [`Master::alignment`].
/// - `EMSGSIZE`: the length is below [`Master::max_fill`], and the master writes all or nothing
///   ([`MASTER_DATA_COMMAND_LINE`]).
///   Such a master reads its orders from the buffer, where a process that has it mapped could change
///   them: `open()` of its device needs `CAP_SYS_RAWIO`, or answers `EPERM`.
/// - `ETIMEDOUT`: the master did not answer in time. If it cannot be stopped, it may still do what it
///   was asked to, and until it has, it is not asked anything else: each call gets this answer.
/// - `EIO`: the master reported an error.
/// - `ENODEV`: the device was unbound after the file had been opened.
/// - `EFAULT`: the argument does not point at readable and writable memory.
pub const FAULTLINE_IOC_FILL: u32 = 0xc018_7c84;

/// `_IOW('|', 0x85, Copy)`: has the bus master read a part of the buffer, and write what it read
/// to another.
///
/// # Errors
///
/// - `EMSGSIZE`: the length is above [`Master::max_copy`].
/// - As [`FAULTLINE_IOC_FILL`].
pub const FAULTLINE_IOC_COPY: u32 = 0x4020_7c85;

/// `_IOWR('|', 0x86, Litmus)`: the kernel's side of a message-passing test, by a thread of the
/// kernel that is bound to one CPU and accesses the buffer through the kernel's own mapping.
///
/// Returns when all rounds are done, or at the first sign that they will not be.
///
/// # Errors
///
/// - `EBADF`: the file is not open for writing.
/// - `EINVAL`: no such test; no such CPU, or it is offline; no rounds or, on 32-bit ARM without LPAE, more
///   than 32 bits can count; a cell or a block is not aligned to 8 bytes or reaches past the end of the
///   buffer, or two of them overlap.
/// - `EPERM`: the calling task may not run on that CPU itself.
/// - `EBUSY`: another test of this buffer is under way.
/// - `ENOMEM`, `EAGAIN`: there is no room for another thread.
/// - `ETIMEDOUT`: user space did not publish the next round within [`LITMUS_PATIENCE_MS`].
/// - `EINTR`: a signal came.
/// - `ENODEV`: the device was unbound, before the call or during it.
/// - `EFAULT`: the argument does not point at readable and writable memory.
pub const FAULTLINE_IOC_LITMUS: u32 = 0xc040_7c86;

/// The sequence number of [`FAULTLINE_IOC_COPY_IMPORTED`].
pub const NR_COPY_IMPORTED: u32 = 0x87;

/// `_IOW('|', 0x87, CopyImported)`: has the bus master import a dma-buf, of this driver or of another, and
/// copy from a part of the buffer to a part of the dma-buf, or the other way round. Fences of the dma-buf are
/// not waited for, and none is added. Unbinding waits for the call.
///
/// # Errors
///
/// - `EBADF`: the file is not open for reading and writing; there is no file [`CopyImported::fd`]; or that one
///   is to be written to, and is not open for writing.
/// - `EINVAL`: that file is no dma-buf; or the part reaches past its end, or does not lie in one piece for the
///   master.
/// - `EIO`: the master does not see the dma-buf's memory as its exporter wants it to.
/// - `EOPNOTSUPP`: the kernel has no dma-bufs.
/// - As [`FAULTLINE_IOC_COPY`], and those of the exporter.
pub const FAULTLINE_IOC_COPY_IMPORTED: u32 = 0x4020_7c87;

/// The question and the answer of [`FAULTLINE_IOC_FRAME`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// In: an offset into the buffer, in bytes.
    pub offset: u64,
    /// Out: the physical address of the byte at that offset.
    pub physical_address: u64,
}

/// [`Translation::request`]: [`Translation::address`] is an offset into the buffer, and the
/// *kernel's own* mapping of that byte is to be translated, with the kernel's rights.
pub const TRANSLATE_KERNEL: u32 = 1 << 0;

/// [`Translation::request`]: as for a store, rather than for a load.
pub const TRANSLATE_WRITE: u32 = 1 << 1;

/// [`Translation::flags`]: there is a mapping for such an access.
pub const TRANSLATED: u32 = 1 << 0;

/// [`Translation::flags`]: a store would do, whichever was asked about.
pub const TRANSLATION_WRITABLE: u32 = 1 << 1;

/// The question and the answer of [`FAULTLINE_IOC_TRANSLATE`].
///
/// Without [`TRANSLATED`] all of the answer is zero but `fault`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Translation {
    /// In: an address of the caller, of whatever it has mapped; or, with [`TRANSLATE_KERNEL`], an
    /// offset into the buffer.
    pub address: u64,
    /// In: [`TRANSLATE_KERNEL`] and [`TRANSLATE_WRITE`].
    pub request: u32,
    /// Out: [`TRANSLATED`] and [`TRANSLATION_WRITABLE`].
    pub flags: u32,
    /// Out: the memory attribute, encoded as a byte of `MAIR_EL1` is (`PAR_EL1.ATTR`).
    pub attribute: u8,
    /// Out: 0 not shareable, 2 outer shareable, 3 inner shareable (`PAR_EL1.SH`).
    pub shareability: u8,
    /// Out: why there is no translation (`PAR_EL1.FST`), such as 7 for a missing entry of the last
    /// level and 15 for one that does not permit the access.
    pub fault: u8,
    /// Zero.
    pub reserved: [u8; 5],
    /// Out: how many bytes the page-table entry maps, or zero if that is not known, as it is not
    /// for the kernel's mapping on most kernels.
    pub entry_size: u64,
    /// Out: the physical address of the byte; zero, as in `/proc/PID/pagemap`, for callers without
    /// `CAP_SYS_ADMIN`.
    pub physical_address: u64,
}

/// [`Master::abilities`]: [`FAULTLINE_IOC_FILL`].
pub const MASTER_FILL: u32 = 1 << 0;

/// [`Master::abilities`]: [`FAULTLINE_IOC_COPY`].
pub const MASTER_COPY: u32 = 1 << 1;

/// [`Master::data`]: an emulator's host has made the data up; `faultline.nonce=` on the kernel's command
/// line tells what it is.
pub const MASTER_DATA_NONCE: u32 = 0;

/// [`Master::data`]: the data is a message of a Raspberry Pi's mailbox, the firmware's answer to the
/// question for the kernel's command line, in little-endian words:
///
/// 1. the length of the message in bytes, [`Master::max_fill`];
/// 2. `0x8000_0000`, the firmware's mark for success;
/// 3. `0x0005_0001`, the question;
/// 4. the room for the answer in bytes: the command line's length, rounded up to whole words;
/// 5. the command line's length, with the highest bit set: the firmware's mark for an answer;
/// 6. the command line, padded to its room with zeroes; and then zeroes to the end.
pub const MASTER_DATA_COMMAND_LINE: u32 = 1;

/// The answer to [`FAULTLINE_IOC_MASTER`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Master {
    /// What it is, such as `fw_cfg`, padded with zeroes.
    pub name: [u8; 16],
    /// [`MASTER_FILL`] and [`MASTER_COPY`].
    pub abilities: u32,
    /// What offsets and lengths must be multiples of, in bytes.
    pub alignment: u32,
    /// How much the master has to fill with, in bytes; zero if it cannot.
    pub max_fill: u64,
    /// How much it copies at once, in bytes; zero if it cannot.
    pub max_copy: u64,
    /// Where what it fills with is from: [`MASTER_DATA_NONCE`] or [`MASTER_DATA_COMMAND_LINE`].
    pub data: u32,
    /// Zero.
    pub reserved: u32,
}

/// The question and the answer of [`FAULTLINE_IOC_FILL`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fill {
    /// In: where in the buffer to begin, in bytes.
    pub offset: u64,
    /// In: the most to write. Out: how many bytes the master has written, always from the
    /// beginning of what it has: the lesser of this and [`Master::max_fill`].
    pub length: u64,
    /// Zero.
    pub reserved: u64,
}

/// The argument of [`FAULTLINE_IOC_COPY`].
///
/// The master reads all before it writes: the two parts may overlap.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copy {
    /// Where in the buffer the master reads, in bytes.
    pub source: u64,
    /// Where in the buffer it writes, in bytes.
    pub destination: u64,
    /// How many bytes.
    pub length: u64,
    /// Zero.
    pub reserved: u64,
}

/// [`CopyImported::request`]: from the dma-buf to the buffer.
pub const COPY_FROM_IMPORTED: u32 = 1 << 0;

/// The argument of [`FAULTLINE_IOC_COPY_IMPORTED`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CopyImported {
    /// A file descriptor of the dma-buf.
    pub fd: i32,
    /// Zero, for a copy to the dma-buf, or [`COPY_FROM_IMPORTED`].
    pub request: u32,
    /// Where in the buffer the master reads or writes, in bytes.
    pub offset: u64,
    /// Where in the dma-buf it writes or reads, in bytes.
    pub imported: u64,
    /// How many bytes.
    pub length: u64,
}

/// [`Litmus::test`]: message passing, in both directions in turn.
///
/// There are two *channels*, each a flag and a block of [`LITMUS_WORDS`] data words, all of 64
/// bits. (Where 64 bits are not one access, the upper half of a flag is zero in each round.) In round `r`, from 1 to [`Litmus::rounds`]:
///
/// 1. user space writes the words of `r` to its block, then, with release, `r` to its flag;
/// 2. the kernel, which has been loading that flag with acquire, loads the words and counts the
///    round as wrong if they are not those of `r`;
/// 3. the kernel writes the words of `!r` to its own block, then, with release, `r` to its flag;
/// 4. user space, which has been loading that flag with acquire, checks likewise.
///
/// Word `i` of `r` is [`litmus_word`]`(r, i)`. Both flags must be zero before the call.
pub const LITMUS_ECHO: u32 = 0;

/// How many data words a block of [`LITMUS_ECHO`] has: a cache line of most CPUs.
pub const LITMUS_WORDS: usize = 8;

/// How long the kernel waits for the next round, in milliseconds.
pub const LITMUS_PATIENCE_MS: u32 = 2000;

/// Returns data word `index` of a round, or of its complement: any two differ in about half of
/// their bits, so that neither a stale nor a torn one passes for another.
pub const fn litmus_word(round: u64, index: usize) -> u64 {
    // Each step is a bijection of 64 bits; the constants are any odd ones.
    (round ^ ((index as u64) << 56) ^ 0x6a09_e667_f3bc_c909)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .rotate_left(32)
        .wrapping_mul(0xd6e8_feb8_6659_fd93)
}

/// The question and the answer of [`FAULTLINE_IOC_LITMUS`]. Offsets are into the buffer, in bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Litmus {
    /// In: the number of the CPU that the kernel's thread is bound to.
    pub cpu: u32,
    /// In: [`LITMUS_ECHO`].
    pub test: u32,
    /// In: how many rounds. Out: how many there were, which is all of them.
    pub rounds: u64,
    /// In: where user space's data words are.
    pub data: u64,
    /// In: where user space's flag is.
    pub flag: u64,
    /// In: where the kernel's data words are.
    pub answer_data: u64,
    /// In: where the kernel's flag is.
    pub answer_flag: u64,
    /// Out: how many rounds the kernel saw with a word that is not the round's.
    pub wrong: u64,
    /// Out: the first of these rounds, or zero.
    pub first_wrong_round: u64,
}

const _: () = {
    assert!(core::mem::size_of::<Frame>() == 16);
    assert!(core::mem::size_of::<Translation>() == 40);
    assert!(core::mem::size_of::<Master>() == 48);
    assert!(core::mem::size_of::<Fill>() == 24);
    assert!(core::mem::size_of::<Copy>() == 32);
    assert!(core::mem::size_of::<CopyImported>() == 32);
    assert!(core::mem::size_of::<Litmus>() == 64);
};
