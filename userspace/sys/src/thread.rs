// SPDX-License-Identifier: GPL-2.0-only

//! Tasks that share this process's memory and open files.
//!
//! They are no threads of the process (no `CLONE_THREAD`): each is waited for as a child is. They
//! have no thread-local storage, and must not use what relies on there being one thread.

use core::cell::Cell;
use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

use faultline_core::failure::{CallError, TaskError};
use rustix::process::{Pid, Signal};

use crate::arch;
use crate::call::of_result;
use crate::child::{Child, Ending};
use crate::scratch::Scratch;

/// The size of a task's stack.
const STACK: usize = 16 * 1024;

/// Of `clone()` (include/uapi/linux/sched.h): the memory, the root and the working directory, and
/// the open files are the same.
const CLONE_VM: usize = 0x100;
const CLONE_FS: usize = 0x200;
const CLONE_FILES: usize = 0x400;

/// What is shared, and the signal at the task's end.
const FLAGS: usize = CLONE_VM | CLONE_FS | CLONE_FILES | Signal::CHILD.as_raw() as usize;

/// A task that runs in this process's memory. It is killed and waited for when this is dropped, and
/// then its stack is freed.
pub(crate) struct Task {
    // Dropped in this order: the task may use its stack until it has ended.
    child: Child,
    _stack: Scratch,
}

impl Task {
    /// Starts a task that calls `work` and ends with the status that this returns.
    ///
    /// # Errors
    ///
    /// The task, or its stack, cannot be had.
    ///
    /// # Safety
    ///
    /// `work` must stay where it is until the task has ended, and what it does must be right while
    /// the caller goes on in the same memory.
    pub(crate) unsafe fn start<W: Fn() -> usize>(work: &W) -> Result<Self, CallError> {
        let mut stack = Scratch::new(STACK).map_err(CallError::of("mmap() of a stack"))?;
        let argument = core::ptr::from_ref(work).expose_provenance();
        // SAFETY: the stack ends at a page, so at a multiple of sixteen; nobody else uses it, and it
        // is freed after the task has ended. `enter` makes of the argument the reference that it was, which
        // is valid by the contract of this function until then; by that contract the task may also do
        // what `work` does with the memory and the files that the flags have it share.
        let number = unsafe { arch::start_task(FLAGS, stack.end(), enter::<W>, argument) };
        match Pid::from_raw(number as i32) {
            Some(pid) if number > 0 => Ok(Self {
                child: Child::new(pid),
                _stack: stack,
            }),
            _ => Err(CallError {
                call: "clone()",
                errno: of_result(number),
            }),
        }
    }

    /// Waits for its end.
    pub(crate) fn wait(self) -> Ending {
        let Self { child, _stack } = self;
        child.wait()
    }
}

/// Where a [`Task`] begins.
extern "C" fn enter<W: Fn() -> usize>(work: usize) -> usize {
    let work = core::ptr::with_exposed_provenance::<W>(work);
    // SAFETY: `Task::start` made this address from a reference to a `W`, and by its contract the `W`
    // stays there until the task has ended.
    unsafe { (*work)() }
}

/// Calls `meanwhile` while a task does `work`. Returns the result of the one and the end of the
/// other.
///
/// # Errors
///
/// The task could not be started.
///
/// # Safety
///
/// What `work` does must be right while `meanwhile` runs in the same memory.
pub(crate) unsafe fn beside<W: Fn() -> usize, R>(
    work: &W,
    meanwhile: impl FnOnce() -> R,
) -> Result<(R, Ending), CallError> {
    // SAFETY: `work` is borrowed until this function returns, and so after the task has ended: `wait`
    // waits for that, and if `meanwhile` panics the program ends and leaves the memory to the task. What `work` does is right beside
    // `meanwhile` by the contract of this function, and beside `wait`, which uses no memory of either.
    let task = unsafe { Task::start(work) }?;
    let result = meanwhile();
    Ok((result, task.wait()))
}

/// Calls `meanwhile` while a task makes the `setup` and then repeats `work`, until `meanwhile` has
/// returned.
///
/// # Errors
///
/// - The task could not be started.
/// - A call of the task's failed, or a signal killed it: it was not there until `meanwhile` returned.
///
/// # Safety
///
/// What `setup` and `work` do must be right while `meanwhile` runs in the same memory.
pub(crate) unsafe fn repeat_beside<R>(
    setup: impl Fn() -> Result<(), CallError>,
    work: impl Fn() -> Result<(), CallError>,
    meanwhile: impl FnOnce() -> R,
) -> Result<R, TaskError> {
    let is_over = AtomicBool::new(false);
    let error = Cell::new(None);
    let task = || {
        let mut done = setup();
        while done.is_ok() && !is_over.load(SeqCst) {
            done = work();
        }
        match done {
            Ok(()) => 0,
            Err(failed) => {
                error.set(Some(failed));
                1
            }
        }
    };
    // SAFETY: `setup` and `work` are right by the contract of this function. Beside that the task loads
    // an atomic, and sets `error`, which nobody else uses before `beside` has waited for the task's end.
    let (result, ending) = unsafe {
        beside(&task, || {
            let result = meanwhile();
            is_over.store(true, SeqCst);
            result
        })
    }
    .map_err(TaskError::Start)?;
    match (ending, error.take()) {
        (Ending::Killed(signal), _) => Err(TaskError::Killed(signal)),
        (Ending::Exit(_), Some(error)) => Err(TaskError::Call(error)),
        (Ending::Exit(_), None) => Ok(result),
    }
}
