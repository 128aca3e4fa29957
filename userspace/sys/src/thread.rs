// SPDX-License-Identifier: GPL-2.0-only

//! Tasks that share this process's memory and open files.
//!
//! They are no threads of the process (no `CLONE_THREAD`): each is waited for as a child is. They
//! have no thread-local storage, and must not use what relies on there being one thread.

use faultline_core::errno::Errno;
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
    /// # Safety
    ///
    /// `work` must stay where it is until the task has ended, and what it does must be right while
    /// the caller goes on in the same memory.
    pub(crate) unsafe fn start<W: Fn() -> usize>(work: &W) -> Result<Self, Errno> {
        let mut stack = Scratch::new(STACK)?;
        let argument = core::ptr::from_ref(work).expose_provenance();
        // SAFETY: the stack ends at a page, so at a multiple of sixteen; nobody else uses it, and it
        // is freed after the task has ended. `enter` makes of the argument the reference that it was,
        // and the caller vouches for what `work` does.
        let number = unsafe { arch::start_task(FLAGS, stack.end(), enter::<W>, argument) };
        match Pid::from_raw(number as i32) {
            Some(pid) if number > 0 => Ok(Self {
                child: Child::new(pid),
                _stack: stack,
            }),
            _ => Err(of_result(number)),
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
) -> Result<(R, Ending), Errno> {
    // SAFETY: `work` is borrowed until this function returns, which is after the task has ended. The
    // caller vouches for what it does.
    let task = unsafe { Task::start(work) }?;
    let result = meanwhile();
    Ok((result, task.wait()))
}
