// SPDX-License-Identifier: GPL-2.0-only

//! What the checks need of the machine.

use core::ffi::CStr;

use crate::device::{Device, Mapping};
use crate::errno::Errno;
use crate::failure::{CallError, TaskError};
use crate::job::{Job, Tally, Worker};

/// The machine: opens devices, and knows about pages and the kernel's log.
pub trait System: Worker {
    /// What [`System::open`] gives.
    type Device: Device<Mapping = Self::Mapping>;
    /// What [`Device::map`] gives.
    type Mapping: Mapping;

    /// The size of a page in bytes.
    fn page_size(&self) -> u64;

    /// Opens a device for reading and writing.
    fn open(&mut self, path: &CStr) -> Result<Self::Device, Errno>;

    /// The same of another driver's device, or of a DMA-BUF heap, which gives a buffer of `size` bytes: the
    /// same one, if `path` is the very one that a heap was opened by last.
    fn open_foreign(&mut self, path: &CStr, size: u64) -> Result<Self::Device, Errno>;

    /// The entry of `/proc/self/pagemap` for the page that holds `address`, as
    /// Documentation/admin-guide/mm/pagemap.rst describes it.
    fn pagemap(&mut self, address: u64) -> Result<u64, Errno>;

    /// Whether the CPU is a 32-bit ARM without the Large Physical Address Extension. There no page-table
    /// entry can be marked special, and the driver's VMAs are `VM_PFNMAP`, which pagemap passes over. With
    /// one CPU the kernel may have made itself one for such a machine (`CONFIG_SMP_ON_UP`).
    fn lacks_lpae(&self) -> bool;

    /// Addresses of this program of which it is known what a translation must say.
    fn known_memory(&mut self) -> KnownMemory;

    /// Reads the kernel's command line, and answers with its length.
    fn command_line(&mut self, buffer: &mut [u8]) -> Result<usize, Errno>;

    /// Two CPUs that this program may run on, as far apart as there are: the same if there is one.
    fn two_cpus(&mut self) -> [u32; 2];

    /// Stays on one CPU, or no longer.
    fn stay_on(&mut self, cpu: Option<u32>);

    /// Starts a second task on a CPU, which opens the device by itself, maps `size` bytes of it and
    /// does a job. There is one at a time: if there is another yet, it ends.
    fn start(&mut self, path: &CStr, size: u64, cpu: u32, job: &mut Job) -> Result<(), CallError>;

    /// How often it has looked. A task that has ended has looked often enough.
    fn beats(&mut self) -> u64;

    /// Tells the second task so, waits for it, and says how its job ended.
    fn finish(&mut self) -> Result<Tally, TaskError>;

    /// Takes the device away from its driver.
    fn unbind(&mut self, path: &CStr) -> Result<(), CallError>;

    /// Gives it back.
    fn bind(&mut self) -> Result<(), CallError>;

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
