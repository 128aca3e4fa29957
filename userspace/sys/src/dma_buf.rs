// SPDX-License-Identifier: GPL-2.0-only

//! dma-bufs (include/uapi/linux/dma-buf.h).

use core::fmt::Write;
use core::ptr;

use faultline_core::errno::Errno;
use faultline_core::text::Line;
use faultline_uapi::{CopyImported, Export, FAULTLINE_IOC_COPY_IMPORTED, FAULTLINE_IOC_EXPORT};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use rustix::fs::{seek, OFlags, SeekFrom};
use rustix::io::{fcntl_getfd, FdFlags};

use crate::call;
use crate::error::errno;
use crate::file::open;
use crate::nodes::path;

/// Of [`DmaBuf::sync`]: the CPUs read, they write, and they have done so (`DMA_BUF_SYNC_…`).
pub const READ: u64 = 1;
/// See [`READ`].
pub const WRITE: u64 = 2;
/// See [`READ`].
pub const END: u64 = 4;

/// `DMA_BUF_IOCTL_SYNC`: `_IOW('b', 0, struct dma_buf_sync)`.
const SYNC: u32 = 0x4008_6200;

/// `DMA_BUF_IOCTL_IMPORT_SYNC_FILE`: `_IOW('b', 3, struct dma_buf_import_sync_file)`.
const IMPORT_SYNC_FILE: u32 = 0x4008_6203;

/// A dma-buf.
pub struct DmaBuf(OwnedFd);

impl DmaBuf {
    /// Exports a buffer, by a file of its device.
    pub fn of(file: impl AsFd, flags: u64) -> Result<Self, Errno> {
        let mut export = Export { flags };
        let file = file.as_fd().as_raw_fd() as usize;
        let argument = ptr::from_mut(&mut export).expose_provenance();
        // SAFETY: the call reads its argument, and nothing else.
        let number = unsafe {
            call::call(
                call::IOCTL,
                &[file, FAULTLINE_IOC_EXPORT as usize, argument],
            )
        }?;
        // SAFETY: the call has made this descriptor, for its caller. CAST: descriptors fit.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(number as i32) }))
    }

    /// `DMA_BUF_IOCTL_SYNC`.
    pub fn sync(&self, flags: u64) -> Result<(), Errno> {
        self.call(SYNC, flags)
    }

    /// Adds a fence: of a device that writes ([`WRITE`]), or of one that reads ([`READ`]), until it is
    /// signalled (`DMA_BUF_IOCTL_IMPORT_SYNC_FILE`).
    pub fn add_fence(&self, fence: impl AsFd, flags: u64) -> Result<(), Errno> {
        // CAST: The bits of a descriptor, of 32 bits.
        let fence = u64::from(fence.as_fd().as_raw_fd() as u32);
        self.call(IMPORT_SYNC_FILE, flags | fence << 32)
    }

    fn call(&self, command: u32, mut word: u64) -> Result<(), Errno> {
        let file = self.0.as_raw_fd() as usize;
        let argument = ptr::from_mut(&mut word).expose_provenance();
        // SAFETY: the calls read their argument, and change no memory of this program's but the buffer's,
        // which no Rust reference leads to.
        unsafe { call::call(call::IOCTL, &[file, command as usize, argument]) }.map(drop)
    }

    /// How long it is, by `lseek()`.
    pub fn length(&self) -> Result<u64, Errno> {
        seek(&self.0, SeekFrom::End(0)).map_err(errno)
    }

    /// A file that names the dma-buf, and does not open it (`O_PATH`).
    pub fn name(&self) -> Result<OwnedFd, Errno> {
        let mut line = Line::new();
        // A line has room for it.
        let _ = write!(line, "/proc/self/fd/{}\0", self.0.as_raw_fd());
        open(path(&line), OFlags::PATH)
    }

    /// Whether a program that is executed does not get it.
    pub fn is_closed_on_exec(&self) -> Result<bool, Errno> {
        let flags = fcntl_getfd(&self.0).map_err(errno)?;
        Ok(flags.contains(FdFlags::CLOEXEC))
    }
}

/// Has the bus master of a device import a dma-buf, and copy.
pub fn copy_imported(device: impl AsFd, request: &CopyImported) -> Result<(), Errno> {
    let file = device.as_fd().as_raw_fd() as usize;
    let argument = ptr::from_ref(request).expose_provenance();
    let command = FAULTLINE_IOC_COPY_IMPORTED as usize;
    // SAFETY: the call reads its argument. What the bus master writes to is the buffer and the dma-buf, which
    // no Rust reference leads to.
    unsafe { call::call(call::IOCTL, &[file, command, argument]) }.map(drop)
}

impl AsFd for DmaBuf {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
