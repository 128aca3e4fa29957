// SPDX-License-Identifier: GPL-2.0-only

//! What the checks need of the world.

use core::ffi::CStr;

use faultline_uapi::{self as uapi, Fill, Frame, Info, Litmus, Master, Translation};

use crate::errno::Errno;
use crate::job::{Job, Tally};
use crate::text::{Out, Show};

/// The machine: opens devices, and knows about pages and the kernel's log.
pub trait System {
    /// What [`System::open`] gives.
    type Device: Device<Mapping = Self::Mapping>;
    /// What [`Device::map`] gives.
    type Mapping: Mapping;

    /// The size of a page in bytes.
    fn page_size(&self) -> u64;

    /// Opens a device for reading and writing.
    fn open(&mut self, path: &CStr) -> Result<Self::Device, Errno>;

    /// The entry of `/proc/self/pagemap` for the page that holds `address`, as
    /// Documentation/admin-guide/mm/pagemap.rst describes it.
    fn pagemap(&mut self, address: u64) -> Result<u64, Errno>;

    /// Addresses of this program of which it is known what a translation must say.
    fn known_memory(&mut self) -> KnownMemory;

    /// Reads the kernel's command line, and answers with its length.
    fn command_line(&mut self, buffer: &mut [u8]) -> Result<usize, Errno>;

    /// Two CPUs that this program may run on, as far apart as there are: the same if there is one.
    fn two_cpus(&mut self) -> [u32; 2];

    /// Stays on one CPU, or no longer.
    fn stay_on(&mut self, cpu: Option<u32>);

    /// Milliseconds of a clock that only grows.
    fn milliseconds(&mut self) -> u64;

    /// Starts a second task on a CPU, which opens the device by itself, maps `size` bytes of it and
    /// does a job. There is one at a time: if there is another yet, it ends.
    fn start(&mut self, path: &CStr, size: u64, cpu: u32, job: &mut Job) -> Result<(), Errno>;

    /// Says that the second task has looked at the buffer, by that task.
    fn beat(&mut self);

    /// How often it has looked. A task that has ended has looked often enough.
    fn beats(&mut self) -> u64;

    /// Whether the second task has been told that the first one's work is done. What the first did
    /// before that can be seen then.
    fn is_told(&mut self) -> bool;

    /// Tells the second task so, waits for it, and says how its job ended.
    fn finish(&mut self) -> Result<Tally, Errno>;

    /// Takes the device away from its driver.
    fn unbind(&mut self, path: &CStr) -> Result<(), Errno>;

    /// Gives it back.
    fn bind(&mut self) -> Result<(), Errno>;

    /// A mapping that has nothing to do with any device and answers every access by SIGBUS: of a
    /// file, beyond its end. It proves that a SIGBUS would be caught.
    fn map_beyond_a_file(&mut self) -> Result<Self::Mapping, Errno>;

    /// Reads the next record of the kernel's log since the run began, as `/dev/kmsg` gives it, and
    /// answers with its length.
    ///
    /// # Errors
    ///
    /// - `EAGAIN`: there is none now.
    /// - `EPIPE`: records were overwritten before they could be read; go on with the next.
    fn log_record(&mut self, buffer: &mut [u8]) -> Result<usize, Errno>;
}

/// What [`System::known_memory`] gives.
#[derive(Clone, Copy, Debug)]
pub struct KnownMemory {
    /// Ordinary memory that has just been written to.
    pub variable: u64,
    /// Ordinary memory that can only be read.
    pub constant: u64,
    /// Nothing.
    pub nothing: u64,
}

/// A call of the driver's own, with its argument: `ioctl()`.
#[derive(Debug)]
pub enum Call<'a> {
    /// `FAULTLINE_IOC_INFO`.
    Info(&'a mut Info),
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
#[repr(u64)] // As wide as an address, so that both go by in registers; zero is success.
pub enum Signal {
    /// SIGBUS: the address is mapped, but nothing is behind it.
    Bus = 1,
    /// SIGSEGV: the address is not mapped, or not for this.
    Segv,
}

impl Show for Signal {
    fn show(&self, out: &mut dyn Out) {
        out.text(match self {
            Signal::Bus => "SIGBUS",
            Signal::Segv => "SIGSEGV",
        });
    }
}
