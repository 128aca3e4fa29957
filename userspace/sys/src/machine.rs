// SPDX-License-Identifier: GPL-2.0-only

//! The real machine.

use core::ffi::CStr;
use core::ptr;
use core::sync::atomic::{
    AtomicU64,
    Ordering::{Relaxed, SeqCst},
};

use faultline_core::device::Device;
use faultline_core::errno::Errno;
use faultline_core::failure::{CallError, TaskError};
use faultline_core::job::{Job, Tally, Worker, TALLY_NUMBERS};
use faultline_core::system::{KnownMemory, System};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{seek, OFlags, SeekFrom};
use rustix::io;
use rustix::mm::{MapFlags, ProtFlags};
use rustix::thread::{sched_getaffinity, sched_setaffinity, CpuSet};

use crate::binding::BusDevice;
use crate::child::{fork, Child, Ending};
use crate::cpu::{lacks_lpae, stay_on_cpu};
use crate::device::File;
use crate::error::errno;
use crate::file::open;
use crate::heap::Heap;
use crate::mapping::FileMapping;
use crate::shared::shared_numbers;
use crate::{call, clock};

/// The running machine. Its view of the kernel's log begins when it is made.
pub struct Machine {
    pagemap: Result<OwnedFd, Errno>,
    log: Result<OwnedFd, Errno>,
    /// The CPUs that the program may run on.
    cpus: CpuSet,
    /// The task that does a job, and what it shares with this one.
    helper: Option<Child>,
    shared: Result<&'static [AtomicU64], Errno>,
    heap: Heap,
    /// The device that was unbound last.
    unbound: BusDevice,
}

/// What two tasks share: the outcome of a job as numbers, how often the second task has looked,
/// whether it has been told that the first one's work is done, and by which error it failed.
const BEATS: usize = TALLY_NUMBERS;
const TOLD: usize = BEATS + 1;
const ERROR: usize = TOLD + 1;
const NUMBERS: usize = ERROR + 1;

/// The calls that the second task makes before its job. If one fails, its number is the status of the
/// task.
#[derive(Clone, Copy)]
enum TaskCall {
    StayOnCpu = 1,
    Open = 2,
    Map = 3,
}

impl TaskCall {
    /// The name of the call of a status.
    const fn name(status: i32) -> &'static str {
        const STAY_ON_CPU: i32 = TaskCall::StayOnCpu as i32;
        const OPEN: i32 = TaskCall::Open as i32;

        match status {
            STAY_ON_CPU => "sched_setaffinity()",
            OPEN => "open()",
            _ => "mmap()",
        }
    }
}

impl Machine {
    /// Opens what is needed of `/proc` and `/dev`. What cannot be opened is said when it is asked
    /// for.
    pub fn new() -> Self {
        let log = open(c"/dev/kmsg", OFlags::RDONLY | OFlags::NONBLOCK).and_then(|log| {
            // After the last record, which is not ours to judge.
            seek(&log, SeekFrom::End(0)).map_err(errno)?;
            Ok(log)
        });
        Self {
            pagemap: open(c"/proc/self/pagemap", OFlags::RDONLY),
            log,
            cpus: sched_getaffinity(None).unwrap_or_default(),
            helper: None,
            shared: shared_numbers(NUMBERS),
            heap: Heap::default(),
            unbound: BusDevice::default(),
        }
    }
}

impl Default for Machine {
    fn default() -> Self {
        Self::new()
    }
}

impl System for Machine {
    type Device = File;
    type Mapping = FileMapping;

    fn page_size(&self) -> u64 {
        rustix::param::page_size() as u64
    }

    fn open(&mut self, path: &CStr) -> Result<File, Errno> {
        File::open(path, false)
    }

    fn open_foreign(&mut self, path: &CStr, size: u64) -> Result<File, Errno> {
        if Heap::is_one(path) {
            return self.heap.buffer(path, size).map(File::from);
        }
        self.open(path)
    }

    fn pagemap(&mut self, address: u64) -> Result<u64, Errno> {
        let pagemap = self.pagemap.as_ref().map_err(|&errno| errno)?;
        let mut entry = [0; 8];
        let offset = address / self.page_size() * entry.len() as u64;
        match io::pread(pagemap, &mut entry, offset).map_err(errno)? {
            8 => Ok(u64::from_ne_bytes(entry)),
            // The end of the file: no user address is that high, so that no page is there.
            _ => Ok(0),
        }
    }

    fn lacks_lpae(&self) -> bool {
        lacks_lpae()
    }

    fn known_memory(&mut self) -> KnownMemory {
        static VARIABLE: AtomicU64 = AtomicU64::new(0);
        static CONSTANT: u64 = u64::MAX;

        // By the store the page is there, this process's own, and writable.
        VARIABLE.store(CONSTANT, Relaxed);
        KnownMemory {
            variable: ptr::from_ref(&VARIABLE).addr() as u64,
            constant: ptr::from_ref(&CONSTANT).addr() as u64,
            // Nobody may map anything there (`vm.mmap_min_addr`).
            nothing: 0,
        }
    }

    fn command_line(&mut self, buffer: &mut [u8]) -> Result<usize, Errno> {
        let file = open(c"/proc/cmdline", OFlags::RDONLY)?;
        io::read(file, buffer).map_err(errno)
    }

    fn two_cpus(&mut self) -> [u32; 2] {
        let mut two = [u32::MAX, 0];
        for cpu in 0..CpuSet::MAX_CPU {
            if self.cpus.is_set(cpu) {
                two = [two[0].min(cpu as u32), cpu as u32];
            }
        }
        two
    }

    fn stay_on(&mut self, cpu: Option<u32>) {
        let mut set = self.cpus;
        if let Some(cpu) = cpu {
            set = CpuSet::new();
            set.set(cpu as usize);
        }
        // It asks for CPUs that it had.
        let _ = sched_setaffinity(None, &set);
    }

    fn start(&mut self, path: &CStr, size: u64, cpu: u32, job: &mut Job) -> Result<(), CallError> {
        let shared = self
            .shared
            .map_err(CallError::of("mmap() of shared memory"))?;
        shared[BEATS].store(0, SeqCst);
        shared[TOLD].store(0, SeqCst);
        let child = fork(|| {
            let status = match self.work(path, size, cpu, job) {
                Ok(tally) => {
                    for (to, number) in shared.iter().zip(tally.to_numbers()) {
                        to.store(number, Relaxed);
                    }
                    0
                }
                Err((call, errno)) => {
                    shared[ERROR].store(errno.number(), Relaxed);
                    call as i32
                }
            };
            shared[BEATS].store(u64::MAX, SeqCst);
            status
        })
        .map_err(CallError::of("fork()"))?;
        // One that is there yet is killed.
        self.helper = Some(child);
        Ok(())
    }

    fn beats(&mut self) -> u64 {
        self.shared.map_or(0, |shared| shared[BEATS].load(SeqCst))
    }

    fn finish(&mut self) -> Result<Tally, TaskError> {
        let (Some(child), Ok(shared)) = (self.helper.take(), self.shared) else {
            unreachable!("a second task was started");
        };
        shared[TOLD].store(1, SeqCst);
        match child.wait() {
            Ending::Exit(0) => {
                let mut numbers = [0; TALLY_NUMBERS];
                for (number, from) in numbers.iter_mut().zip(shared) {
                    *number = from.load(Relaxed);
                }
                let Some(tally) = Tally::from_numbers(numbers) else {
                    unreachable!("a task that has ended well has written its tally");
                };
                Ok(tally)
            }
            Ending::Exit(call) => Err(TaskError::Call(CallError {
                call: TaskCall::name(call),
                errno: Errno::new(shared[ERROR].load(Relaxed)),
            })),
            Ending::Killed(signal) => Err(TaskError::Killed(signal)),
        }
    }

    fn unbind(&mut self, device: &CStr) -> Result<(), CallError> {
        self.unbound = BusDevice::of_node(device)?;
        // What the driver says when it is bound again could come in the middle of a line of the
        // report: from here on the console shows warnings alone. Only the first process does this.
        // SAFETY: this action of `syslog()` sets a number of the kernel's, and neither reads nor writes
        // memory of the program.
        let _ = unsafe { call::call(call::SYSLOG, &[call::CONSOLE_LEVEL, 0, call::NOTICE]) };
        self.unbound.unbind()
    }

    fn bind(&mut self) -> Result<(), CallError> {
        self.unbound.bind()
    }

    fn map_beyond_a_file(&mut self) -> Result<FileMapping, Errno> {
        // The program's own file is there on every machine, and is far smaller than this.
        const BEYOND: u64 = 1 << 30;
        let file = open(c"/proc/self/exe", OFlags::RDONLY)?;
        FileMapping::new(
            file.as_fd(),
            BEYOND,
            self.page_size(),
            ProtFlags::READ,
            MapFlags::PRIVATE,
        )
    }

    fn log_record(&mut self, buffer: &mut [u8]) -> Result<usize, Errno> {
        let log = self.log.as_ref().map_err(|&errno| errno)?;
        io::read(log, buffer).map_err(errno)
    }
}

impl Worker for Machine {
    fn milliseconds(&mut self) -> u64 {
        clock::now_ms()
    }

    fn beat(&mut self) {
        if let Ok(shared) = self.shared {
            shared[BEATS].fetch_add(1, SeqCst);
        }
    }

    fn is_told(&mut self) -> bool {
        self.shared
            .is_ok_and(|shared| shared[TOLD].load(SeqCst) != 0)
    }
}

impl Machine {
    /// The second task's part: what its job came to, or which call failed.
    fn work(
        &mut self,
        path: &CStr,
        size: u64,
        cpu: u32,
        job: &mut Job,
    ) -> Result<Tally, (TaskCall, Errno)> {
        let of = |call| move |errno| (call, errno);
        stay_on_cpu(cpu as usize).map_err(of(TaskCall::StayOnCpu))?;
        // A heap is foreign, and no device of this driver has such a path.
        let mut file = self.open_foreign(path, size).map_err(of(TaskCall::Open))?;
        let mut mapping = file.map(0, size).map_err(of(TaskCall::Map))?;
        Ok(job.run(self, &mut mapping, true))
    }
}
