// SPDX-License-Identifier: GPL-2.0-only

//! Other processes, memory shared with them, and tasks that share all of it.

use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst};

use faultline_core::device::Fault;
use faultline_core::errno::Errno;
use rustix::fd::{AsFd, AsRawFd};
use rustix::mm::{mmap, mmap_anonymous, mprotect, munmap, MapFlags, MprotectFlags, ProtFlags};
use rustix::process::{kill_process, waitpid, Pid, Signal, WaitOptions, WaitStatus};
use rustix::runtime::{kernel_fork, Fork};
use rustix::thread::{sched_getaffinity, sched_setaffinity, CpuSet};

use crate::arena::{Arena, MOST_CARRIED};
use crate::call::{call, of_result, IOCTL, SET_SCHEDULER};
use crate::device::File;
use crate::fault::Watch;
use crate::{arch, errno};

/// A process that [`fork`] has made. It is killed and waited for when this is dropped.
pub struct Child {
    pid: Option<Pid>,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With this status.
    Exit(i32),
    /// By this signal.
    Killed(i32),
}

/// Starts a process, which runs `run` and exits with what that returns.
pub fn fork(run: impl FnOnce() -> i32) -> Result<Child, Errno> {
    // SAFETY: this program has one thread, and the child goes on with a copy of all it has. What
    // both share, files and mappings of files, is made to be shared.
    match unsafe { kernel_fork() } {
        Ok(Fork::Child(_)) => rustix::runtime::exit_group(run()),
        Ok(Fork::ParentOf(pid)) => Ok(Child { pid: Some(pid) }),
        Err(error) => Err(errno(error)),
    }
}

impl Child {
    /// Its number.
    pub fn pid(&self) -> u32 {
        self.pid.map_or(0, |pid| pid.as_raw_pid() as u32)
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Ending {
        loop {
            if let Some(ending) = self.look(WaitOptions::empty()) {
                return ending;
            }
        }
    }

    /// How it ended, if it has.
    pub fn ending(&mut self) -> Option<Ending> {
        self.look(WaitOptions::NOHANG)
    }

    fn look(&mut self, options: WaitOptions) -> Option<Ending> {
        let Some(pid) = self.pid else {
            // It was asked before. Nobody else waits for it.
            return Some(Ending::Killed(0));
        };
        match waitpid(Some(pid), options) {
            Ok(Some((_, status))) => {
                self.pid = None;
                Some(Ending::of(status))
            }
            _ => None,
        }
    }

    /// `SIGKILL`.
    pub fn kill(&self) {
        if let Some(pid) = self.pid {
            // It exists until it has been waited for.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
        while self.pid.is_some() {
            self.look(WaitOptions::empty());
        }
    }
}

impl Ending {
    fn of(status: WaitStatus) -> Self {
        match status.exit_status() {
            Some(status) => Self::Exit(status),
            None => Self::Killed(status.terminating_signal().unwrap_or(0)),
        }
    }
}

/// Keeps the calling process on one CPU. There are no more than `CpuSet::MAX_CPU`.
pub fn stay_on_cpu(cpu: usize) -> Result<(), Errno> {
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set).map_err(errno)
}

/// Runs only when nobody else wants the CPU (`SCHED_IDLE`), and only on this one.
pub fn yield_to_all(cpu: usize) -> Result<(), Errno> {
    stay_on_cpu(cpu)?;
    set_policy(POLICY_IDLE, 0)
}

/// As long as it lives the calling process runs on one CPU; then it goes on as it was.
pub struct Pinned {
    cpus: CpuSet,
}

impl Pinned {
    /// Stays on one CPU.
    pub fn to_cpu(cpu: usize) -> Result<Self, Errno> {
        let cpus = sched_getaffinity(None).map_err(errno)?;
        stay_on_cpu(cpu)?;
        Ok(Self { cpus })
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // These are the CPUs that it had before.
        let _ = sched_setaffinity(None, &self.cpus);
    }
}

/// As [`Pinned`], and before all others that are not as urgent (`SCHED_FIFO`).
pub struct Urgent {
    _pinned: Pinned,
}

impl Urgent {
    /// Becomes urgent.
    pub fn on_cpu(cpu: usize) -> Result<Self, Errno> {
        let pinned = Pinned::to_cpu(cpu)?;
        set_policy(POLICY_FIFO, 1)?;
        Ok(Self { _pinned: pinned })
    }
}

impl Drop for Urgent {
    fn drop(&mut self) {
        // Who may become urgent may become normal.
        let _ = set_policy(POLICY_NORMAL, 0);
    }
}

/// `include/uapi/linux/sched.h`.
const POLICY_NORMAL: usize = 0;
const POLICY_FIFO: usize = 1;
const POLICY_IDLE: usize = 5;

fn set_policy(policy: usize, priority: u32) -> Result<(), Errno> {
    // `struct sched_param` is one number.
    let address = core::ptr::from_ref(&priority).expose_provenance();
    // SAFETY: the kernel reads the number, and changes when this process runs, which nothing here
    // relies on.
    unsafe { call(SET_SCHEDULER, &[0, policy, address]) }.map(drop)
}

/// Numbers that the processes forked later share with this one.
pub fn shared_numbers(count: usize) -> Result<&'static [AtomicU64], Errno> {
    let length = count * size_of::<AtomicU64>();
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: the kernel chooses an address where nothing is.
    let start = unsafe { mmap_anonymous(null_mut(), length, access, MapFlags::SHARED) };
    let start = start.map_err(errno)?.cast::<AtomicU64>();
    // SAFETY: the memory is zeroed, aligned to a page, and never unmapped; whoever shares it uses
    // it as the same atomics.
    Ok(unsafe { core::slice::from_raw_parts(start, count) })
}

/// What [`store_together`] tells the tasks: how many are ready, and when to begin.
static READY: AtomicU32 = AtomicU32::new(0);
static BEGIN: AtomicU32 = AtomicU32::new(0);

/// The size of a task's stack.
const STACK: usize = 16 * 1024;

/// `CLONE_VM | CLONE_FS | CLONE_FILES`, and the signal at its end, `SIGCHLD`.
const FLAGS: usize = 0x100 | 0x200 | 0x400 | 17;

/// What one task is to do.
#[repr(C)]
struct Order {
    cpu: usize,
    address: *mut u64,
    word: u64,
}

/// Stores words from several tasks of *this* process at the same moment: `words[i]` at `at[i]`
/// from CPU `i`, to see what first touches do to one page table. The places lie in one range of
/// `span` bytes from `from` on.
pub fn store_together(
    arena: &mut Arena,
    from: u64,
    span: u64,
    at: &[u64],
    words: &[u64],
) -> Result<Result<(), Fault>, Errno> {
    const MOST: usize = 16;

    let count = at.len();
    assert!(count <= MOST && count == words.len());
    assert!(at.iter().all(|&at| from <= at && at + 8 <= from + span));
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: the kernel chooses an address where nothing is.
    let stacks = unsafe { mmap_anonymous(null_mut(), STACK * count, access, MapFlags::PRIVATE) };
    let stacks = stacks.map_err(errno)?.cast::<u8>();

    let mut orders = [const { None }; MOST];
    for (cpu, (order, (&at, &word))) in orders.iter_mut().zip(at.iter().zip(words)).enumerate() {
        *order = Some(Order {
            cpu,
            address: arena.word(at),
            word,
        });
    }
    READY.store(0, SeqCst);
    BEGIN.store(0, SeqCst);

    // The tasks' accesses are the ones that this watch is for.
    let first = arena.word(from).addr();
    // SAFETY: the tasks access the range, by `arch` alone, and nobody else does.
    let watch = unsafe { Watch::new(first, span as usize) };
    let mut tasks = [const { Child { pid: None } }; MOST];
    let mut failure = None;
    let mut started = 0;
    for (index, order) in orders.iter().flatten().enumerate() {
        let stack = stacks.wrapping_add(STACK * (index + 1));
        // SAFETY: the stack is the task's own, `order` lives until all tasks have ended, and what
        // `obey` does is right in a task that shares this memory.
        let task =
            unsafe { arch::start_task(FLAGS, stack, obey, core::ptr::from_ref(order).addr()) };
        match Pid::from_raw(task as i32) {
            Some(pid) if task > 0 => {
                tasks[index].pid = Some(pid);
                started += 1;
            }
            _ => failure = Some(of_result(task)),
        }
    }
    while READY.load(SeqCst) < started {
        rustix::thread::sched_yield();
    }
    BEGIN.store(1, SeqCst);
    for task in tasks {
        if task.pid.is_some() && task.wait() != Ending::Exit(0) {
            failure = Some(Errno::FAULT);
        }
    }
    let outcome = watch.end();
    // SAFETY: the tasks that used it have ended.
    let unmapped = unsafe { munmap(stacks.cast(), STACK * count) };
    unmapped.map_err(errno)?;
    failure.map_or(Ok(outcome), Err)
}

/// What a task of [`store_together`] does.
extern "C" fn obey(order: usize) -> usize {
    let order = core::ptr::with_exposed_provenance::<Order>(order);
    // SAFETY: `store_together` passed a reference that outlives the task.
    let order = unsafe { &*order };
    // On a machine with fewer CPUs it runs where it can.
    let _ = stay_on_cpu(order.cpu);
    READY.fetch_add(1, SeqCst);
    while BEGIN.load(SeqCst) == 0 {
        core::hint::spin_loop();
    }
    // SAFETY: the address is an aligned one of the arena, watched by `store_together`.
    unsafe { arch::store(order.address, order.word) };
    0
}

/// Calls `meanwhile` while a task of *this* process, with the same memory and the same open files,
/// does `work`; returns what either came to.
///
/// # Errors
///
/// The task could not be started.
pub(crate) fn beside<W: Fn() -> usize, R>(
    work: &W,
    meanwhile: impl FnOnce() -> R,
) -> Result<(R, Ending), Errno> {
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: the kernel chooses an address where nothing is.
    let stack = unsafe { mmap_anonymous(null_mut(), STACK, access, MapFlags::PRIVATE) };
    let stack = stack.map_err(errno)?.cast::<u8>();
    let argument = core::ptr::from_ref(work).expose_provenance();
    // SAFETY: the stack is the task's own, `work` lives until the task has ended, and what it does
    // is right in a task that shares this memory: the callers see to it.
    let task = unsafe { arch::start_task(FLAGS, stack.wrapping_add(STACK), enter::<W>, argument) };
    let Some(pid) = Pid::from_raw(task as i32).filter(|_| task > 0) else {
        return Err(of_result(task));
    };
    let child = Child { pid: Some(pid) };
    let result = meanwhile();
    let ending = child.wait();
    // SAFETY: the task that used it has ended.
    let unmapped = unsafe { munmap(stack.cast(), STACK) };
    unmapped.map_err(errno)?;
    Ok((result, ending))
}

/// Where a task of [`beside`] begins.
extern "C" fn enter<W: Fn() -> usize>(work: usize) -> usize {
    let work = core::ptr::with_exposed_provenance::<W>(work);
    // SAFETY: `beside` passed a reference that outlives the task.
    unsafe { (*work)() }
}

/// What becomes of a mapping between one and the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The next one takes its place.
    Replaced,
    /// It is made read-only, and unmapped.
    Unmapped,
}

/// Calls `meanwhile` while a task of *this* process maps the first `length` bytes of a file at `at`
/// of the arena and stores `word` there, over and over. It does so on one CPU, when nobody else
/// wants that.
///
/// # Errors
///
/// The task could not be started, or its `mmap()` failed. The program ends if its store does.
#[expect(clippy::too_many_arguments, reason = "each is another thing")]
pub fn map_again_and_again<R>(
    arena: &mut Arena,
    at: u64,
    length: u64,
    file: &impl AsFd,
    word: u64,
    fate: Fate,
    cpu: usize,
    meanwhile: impl FnOnce(&mut Arena) -> R,
) -> Result<R, Errno> {
    let address = arena.pointer(at, length).cast::<u64>();
    let (file, length) = (file.as_fd(), length as usize);
    let is_over = AtomicBool::new(false);
    let work = || {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        let flags = MapFlags::SHARED | MapFlags::FIXED;
        if yield_to_all(cpu).is_err() {
            return 1;
        }
        while !is_over.load(SeqCst) {
            // SAFETY: the range is the arena's, which holds no memory of Rust's.
            let mapped = unsafe { mmap(address.cast(), length, access, flags, file, 0) };
            if mapped.is_err() {
                return 2;
            }
            // SAFETY: the file was mapped there; it is shared memory, which anybody may store to.
            unsafe { arch::store(address, word) };
            if fate == Fate::Unmapped {
                // SAFETY: this task has mapped it, and nobody else does anything there.
                let protected = unsafe { mprotect(address.cast(), length, MprotectFlags::READ) };
                // SAFETY: as above.
                let unmapped = unsafe { munmap(address.cast(), length) };
                if protected.and(unmapped).is_err() {
                    return 3;
                }
            }
        }
        0
    };
    let (result, ending) = beside(&work, || {
        let result = meanwhile(arena);
        is_over.store(true, SeqCst);
        result
    })?;
    match ending {
        Ending::Exit(0) => Ok(result),
        _ => Err(Errno::FAULT),
    }
}

/// Calls `meanwhile` while a task of *this* process makes an ioctl of the driver's with its argument
/// at `at` of the arena. Both have the same open files: `meanwhile` may close this one, from under
/// the call.
///
/// Returns what either came to.
///
/// # Errors
///
/// The task could not be started.
pub fn ioctl_beside<R>(
    arena: &mut Arena,
    file: File,
    command: u32,
    at: u64,
    meanwhile: impl FnOnce(&mut Arena, File) -> R,
) -> Result<(R, Result<(), Errno>), Errno> {
    let file_number = file.as_fd().as_raw_fd() as usize;
    let argument = arena.pointer(at, MOST_CARRIED).addr();
    let work = || {
        let arguments = [file_number, command as usize, argument];
        // SAFETY: the call reads and writes its argument, in the arena, and the buffer.
        match unsafe { call(IOCTL, &arguments) } {
            Ok(_) => 0,
            // Any that a driver answers is a byte, as is the status of a process.
            Err(errno) => errno.number() as usize,
        }
    };
    let (result, ending) = beside(&work, || meanwhile(arena, file))?;
    let answer = match ending {
        Ending::Exit(0) => Ok(()),
        Ending::Exit(errno) => Err(Errno::new(errno.unsigned_abs().into())),
        Ending::Killed(_) => Err(Errno::FAULT),
    };
    Ok((result, answer))
}
