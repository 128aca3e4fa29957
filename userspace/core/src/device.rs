// SPDX-License-Identifier: GPL-2.0-only

//! What a program can do with a device, and how it learns that the kernel answered an access by
//! SIGBUS or SIGSEGV: a [`Fault`]. `faultline-sys` catches the signals (`sys/src/fault.rs`).

use core::fmt;

use faultline_uapi::{self as uapi, Fill, Frame, Info, Litmus, Master, Sync, Translation};

use crate::errno::Errno;

/// A call of the driver's own, with its argument: `ioctl()`.
#[derive(Debug)]
pub enum Call<'a> {
    /// `FAULTLINE_IOC_INFO`.
    Info(&'a mut Info),
    /// `FAULTLINE_IOC_SYNC`.
    Sync(&'a mut Sync),
    /// `FAULTLINE_IOC_FRAME`.
    Frame(&'a mut Frame),
    /// `FAULTLINE_IOC_TRANSLATE`.
    Translate(&'a mut Translation),
    /// `FAULTLINE_IOC_MASTER`.
    Master(&'a mut Master),
    /// `FAULTLINE_IOC_FILL`.
    Fill(&'a mut Fill),
    /// `FAULTLINE_IOC_COPY`.
    Copy(&'a mut uapi::Copy),
    /// `FAULTLINE_IOC_LITMUS`.
    Litmus(&'a mut Litmus),
}

/// An open file of the device.
pub trait Device {
    /// What [`Device::map`] gives.
    type Mapping: Mapping;

    /// Makes a call. An argument that is answered holds the answer then.
    fn call(&mut self, call: Call<'_>) -> Result<(), Errno>;

    /// What the device says of itself.
    fn info(&mut self) -> Result<Info, Errno> {
        let mut info = Info::default();
        self.call(Call::Info(&mut info)).map(|()| info)
    }

    /// The physical address of the byte at `offset`, as the driver knows it.
    fn physical_address(&mut self, offset: u64) -> Result<u64, Errno> {
        let mut frame = Frame {
            offset,
            ..Frame::default()
        };
        let answered = self.call(Call::Frame(&mut frame));
        answered.map(|()| frame.physical_address)
    }

    /// `mmap()`, shared, readable and writable.
    fn map(&mut self, offset: u64, length: u64) -> Result<Self::Mapping, Errno>;

    /// `mmap()` from the start on, shared, readable and not writable.
    fn map_read_only(&mut self, length: u64) -> Result<Self::Mapping, Errno>;

    /// `pread()`.
    fn read_at(&mut self, offset: u64, bytes: &mut [u8]) -> Result<u64, Errno>;

    /// `pwrite()`.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<u64, Errno>;
}

/// A range of addresses behind which lie pages that others may see too. Dropping it unmaps it.
///
/// Offsets count from the start of the mapping. An access outside of it is a mistake of the
/// caller's and panics; an access inside that the kernel answers by a signal is a [`Fault`].
pub trait Mapping: Sized {
    /// What [`Mapping::unmap`] leaves.
    type Unmapped: Unmapped;

    /// The address of the first byte.
    fn address(&self) -> u64;

    /// Loads bytes: those of a word, whose offset is a multiple of its size, in one access.
    fn load(&self, offset: u64, bytes: &mut [u8]) -> Result<(), Fault>;

    /// Stores bytes, in the same way.
    fn store(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Fault>;

    /// Loads a word before all that is accessed later.
    fn load_acquire(&self, offset: u64) -> Result<u64, Fault>;

    /// Stores a word after all that was accessed earlier.
    fn store_release(&mut self, offset: u64, word: u64) -> Result<(), Fault>;

    /// Loads one byte.
    fn load_byte(&self, offset: u64) -> Result<u8, Fault> {
        let mut byte = [0];
        self.load(offset, &mut byte).map(|()| byte[0])
    }

    /// Stores one byte.
    fn store_byte(&mut self, offset: u64, byte: u8) -> Result<(), Fault> {
        self.store(offset, &[byte])
    }

    /// `munmap()`.
    fn unmap(self) -> Result<Self::Unmapped, Errno>;
}

/// A range of addresses that was a [`Mapping`], and can only be probed.
pub trait Unmapped {
    /// Tries to load bytes.
    fn load(&self, offset: u64, bytes: &mut [u8]) -> Result<(), Fault>;
}

/// An access that the kernel answered by a signal. The signal was caught, the access skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The signal.
    pub signal: Signal,
    /// The address that could not be accessed.
    pub address: u64,
}

/// The signals that an access can be answered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGBUS: the address is mapped, but nothing is behind it.
    Bus,
    /// SIGSEGV: the address is not mapped, or not for this.
    Segv,
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Signal::Bus => "SIGBUS",
            Signal::Segv => "SIGSEGV",
        })
    }
}
