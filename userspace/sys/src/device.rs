// SPDX-License-Identifier: GPL-2.0-only

//! An open device.

use core::ffi::CStr;
use core::ptr;

use faultline_core::device::{Call, Device};
use faultline_core::errno::Errno;
use faultline_uapi as uapi;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{seek, OFlags, SeekFrom};
use rustix::io;
use rustix::mm::{MapFlags, ProtFlags};

use crate::call;
use crate::error::errno;
use crate::file::open;
use crate::mapping::FileMapping;

/// An open device.
pub struct File(OwnedFd);

impl File {
    /// Opens a device for reading and writing, or for reading only.
    pub fn open(path: &CStr, read_only: bool) -> Result<Self, Errno> {
        let flags = if read_only {
            OFlags::RDONLY
        } else {
            OFlags::RDWR
        };
        open(path, flags).map(Self)
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Device for File {
    type Mapping = FileMapping;

    fn call(&mut self, call: Call<'_>) -> Result<(), Errno> {
        /// The number of a call, and where its argument is.
        fn parts<T>(number: u32, argument: &mut T) -> (u32, usize) {
            (number, ptr::from_mut(argument).expose_provenance())
        }

        let (number, argument) = match call {
            Call::Info(info) => parts(uapi::FAULTLINE_IOC_INFO, info),
            Call::Sync(sync) => parts(uapi::FAULTLINE_IOC_SYNC, sync),
            Call::Frame(frame) => parts(uapi::FAULTLINE_IOC_FRAME, frame),
            Call::Translate(question) => parts(uapi::FAULTLINE_IOC_TRANSLATE, question),
            Call::Master(master) => parts(uapi::FAULTLINE_IOC_MASTER, master),
            Call::Fill(fill) => parts(uapi::FAULTLINE_IOC_FILL, fill),
            Call::Copy(copy) => parts(uapi::FAULTLINE_IOC_COPY, copy),
            Call::Litmus(litmus) => parts(uapi::FAULTLINE_IOC_LITMUS, litmus),
        };
        let file = self.0.as_raw_fd() as usize;
        // SAFETY: the driver's interface defines each number as that of a call which reads and
        // writes an argument of this type, and no other memory but the buffer's, which no Rust
        // reference leads to. The argument is mutably borrowed until the call has returned. `uapi`
        // asserts that each number carries the size of its type: another driver that knows the number
        // at all goes by the same size.
        unsafe { call::call(call::IOCTL, &[file, number as usize, argument]) }.map(drop)
    }

    fn map(&mut self, offset: u64, length: u64) -> Result<FileMapping, Errno> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        FileMapping::new(self.0.as_fd(), offset, length, protection, MapFlags::SHARED)
    }

    fn map_read_only(&mut self, length: u64) -> Result<FileMapping, Errno> {
        FileMapping::new(self.0.as_fd(), 0, length, ProtFlags::READ, MapFlags::SHARED)
    }

    fn read_at(&mut self, offset: u64, bytes: &mut [u8]) -> Result<u64, Errno> {
        let length = io::pread(&self.0, bytes, offset);
        length.map(|length| length as u64).map_err(errno)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<u64, Errno> {
        let length = io::pwrite(&self.0, bytes, offset);
        length.map(|length| length as u64).map_err(errno)
    }
}

impl File {
    /// The size of the device: its end, as `lseek()` gives it.
    pub fn end(&self) -> Result<u64, Errno> {
        seek(&self.0, SeekFrom::End(0)).map_err(errno)
    }
}

impl From<OwnedFd> for File {
    fn from(file: OwnedFd) -> Self {
        Self(file)
    }
}
