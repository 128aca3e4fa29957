// SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note

//! What the driver and user space agree on: the ioctl number and the layout of what it carries.
//!
//! This file uses `core` alone and is compiled twice: into the kernel module, as `mod uapi`, and
//! into user space's `faultline-uapi` crate, by `#[path]`. Each side asserts at build time that
//! the number below is the one that its own `_IOR()` gives, so that neither can drift.
//!
//! Every field has a fixed width and every padding byte a name; a reserved field is zero. A call
//! that a driver does not know answers `ENOTTY`: that is how a program finds out what there is.

/// The ioctl type. `'|'` 0x80–0x9f is set aside for sample and example drivers by
/// `Documentation/userspace-api/ioctl/ioctl-number.rst`.
pub const IOC_TYPE: u32 = b'|' as u32;

/// The sequence number of [`FAULTLINE_IOC_INFO`].
pub const NR_INFO: u32 = 0x80;

/// `_IOR('|', 0x80, Info)`: describes the buffer behind an open file.
///
/// # Errors
///
/// - `ENODEV`: the device was unbound after the file had been opened.
/// - `EFAULT`: the argument does not point at writable memory.
pub const FAULTLINE_IOC_INFO: u32 = 0x8018_7c80;

/// [`Info::flags`]: the device is coherent with the CPU's caches (the device tree's
/// `dma-coherent`), so that the buffer is ordinary cacheable memory on every side. Without it the
/// buffer is mapped uncached, for the kernel and for user space alike: the device is not coherent, or the
/// buffer is in a `no-map` region of reserved memory, which the kernel maps so for every device.
pub const FLAG_COHERENT: u32 = 1 << 0;

/// [`Info::flags`]: since the device was bound nobody has mapped the buffer, written to it or had
/// it written to, so that it must still be all zeroes.
pub const FLAG_PRISTINE: u32 = 1 << 1;

/// The answer to [`FAULTLINE_IOC_INFO`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// [`FLAG_COHERENT`], [`FLAG_PRISTINE`] and [`FLAG_CACHED`].
    pub flags: u32,
    /// Zero.
    pub reserved: u32,
    /// The length of the buffer in bytes: a multiple of the page size.
    pub size: u64,
    /// The buffer's address as the *device* sees it, to be programmed into a bus master. It is
    /// not a physical address: an IOMMU or `dma-ranges` may lie between. Where neither does it is
    /// one in effect, and who may open the device learns it: that is what the device is for.
    pub dma_address: u64,
}

const _: () = assert!(core::mem::size_of::<Info>() == 24);

/// The sequence number of [`FAULTLINE_IOC_PREFAULT`].
pub const NR_PREFAULT: u32 = 0x88;

/// `_IOW('|', 0x88, Prefault)`: maps all pages of a range of addresses now, so that later accesses do
/// not fault. Stores do not, either, where the mapping is writable.
///
/// What is mapped stays, also if the call fails later in the range: the kernel does not reclaim pages of
/// a buffer. A page goes only if the process takes it away, by `munmap()`, `mremap()`,
/// `madvise(MADV_DONTNEED)` or `mprotect()`, or when the device is unbound. A child of `fork()` has to
/// ask for itself.
///
/// # Errors
///
/// - `EINVAL`: the range is empty, wraps around, or does not begin and end where pages do.
/// - `EFAULT`: some of the range is not a mapping of this buffer, or is mapped `PROT_NONE`; or the
///   argument does not point at readable memory.
/// - `ENODEV`: the device was unbound.
/// - `ENOMEM`: there is no memory for page tables.
/// - `EINTR`: a signal came. Call again.
pub const FAULTLINE_IOC_PREFAULT: u32 = 0x4010_7c88;

/// The argument of [`FAULTLINE_IOC_PREFAULT`]: whole pages.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prefault {
    /// The first address, in one or more mappings of the buffer that follow each other.
    pub address: u64,
    /// How many bytes.
    pub length: u64,
}

const _: () = assert!(core::mem::size_of::<Prefault>() == 16);

/// [`Info::flags`]: the buffer is cached for the CPUs, whatever the device sees: accesses of the CPUs
/// have to be bracketed by [`FAULTLINE_IOC_SYNC`]. [`FLAG_COHERENT`] is not set.
pub const FLAG_CACHED: u32 = 1 << 2;

/// The sequence number of [`FAULTLINE_IOC_SYNC`].
pub const NR_SYNC: u32 = 0x90;

/// `_IOW('|', 0x90, Sync)`: begins or ends an access of the CPUs to a part of a cached buffer
/// ([`FLAG_CACHED`]), as `DMA_BUF_IOCTL_SYNC` does, whose flags have the same values.
///
/// Between a start with [`SYNC_READ`] and its end the CPUs find what the device has written before, and
/// the device must not write. After the end of an access with [`SYNC_WRITE`] the device finds what the
/// CPUs have written. Start and end have the same file, range and access. They apply to mappings,
/// `read()` and `write()` alike. Where the device sees the caches of the CPUs, nothing has to be done.
///
/// # Errors
///
/// - `EOPNOTSUPP`: the buffer is not cached. There is nothing to synchronise.
/// - `EINVAL`: the range is empty or reaches past the end; neither [`SYNC_READ`] nor [`SYNC_WRITE`]; an
///   unknown flag; a reserved field that is not zero.
/// - `ENOENT`: an end that has no start.
/// - `ENOSPC`: the file has started 64 accesses that it has not ended.
/// - `EBADF`: [`SYNC_WRITE`], and the file is not open for writing.
/// - `ENODEV`: the device was unbound after the file had been opened.
/// - `EFAULT`: the argument does not point at readable memory.
pub const FAULTLINE_IOC_SYNC: u32 = 0x4018_7c90;

/// [`Sync::flags`]: the CPUs read.
pub const SYNC_READ: u32 = 1 << 0;

/// [`Sync::flags`]: the CPUs write.
pub const SYNC_WRITE: u32 = 1 << 1;

/// [`Sync::flags`]: the access ends; without it, it starts.
pub const SYNC_END: u32 = 1 << 2;

/// The argument of [`FAULTLINE_IOC_SYNC`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sync {
    /// [`SYNC_READ`], [`SYNC_WRITE`] or both; and [`SYNC_END`].
    pub flags: u32,
    /// Zero.
    pub reserved: u32,
    /// Where the part of the buffer begins, in bytes.
    pub offset: u64,
    /// How long it is, in bytes.
    pub length: u64,
}

const _: () = assert!(core::mem::size_of::<Sync>() == 24);

/// The sequence number of [`FAULTLINE_IOC_EXPORT`].
pub const NR_EXPORT: u32 = 0x9c;

/// `_IOW('|', 0x9c, Export)`: returns a new file descriptor of a dma-buf, which stands for all of the
/// buffer: other devices import it, and it can be mapped as the device's own file.
///
/// The file descriptor is open for reading and writing, and closed on exec. It outlives the file. After the
/// device was unbound, mappings of it answer `SIGBUS` and calls `ENODEV`.
///
/// # Errors
///
/// - `EINVAL`: a flag.
/// - `EBADF`: the file is not open for reading and writing.
/// - `EOPNOTSUPP`: the buffer is in a `no-map` region of reserved memory, which other devices' drivers
///   cannot be given; or the kernel has no dma-bufs.
/// - `ENODEV`: the device was unbound after the file had been opened.
/// - `EMFILE`, `ENFILE`, `ENOMEM`: no file can be opened any more.
/// - `EFAULT`: the argument does not point at readable memory.
pub const FAULTLINE_IOC_EXPORT: u32 = 0x4008_7c9c;

/// The argument of [`FAULTLINE_IOC_EXPORT`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Export {
    /// Zero: no flag has a meaning yet.
    pub flags: u64,
}

const _: () = assert!(core::mem::size_of::<Export>() == 8);
