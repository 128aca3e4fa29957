// SPDX-License-Identifier: GPL-2.0

//! Threads of the kernel, bound to a CPU.
//!
//! A [`KThread`] runs a [`Work`]; to drop it is to stop the thread and to wait for its end. What the
//! thread uses is shared with it by an `Arc`, as a `KThread` may be forgotten.
//!
//! C header: [`include/linux/kthread.h`](srctree/include/linux/kthread.h)

use super::ffi;
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    cpu::CpuId,
    error::from_err_ptr,
    ffi::{
        c_int,
        c_void, //
    },
    prelude::*,
    processor,
    sync::Arc,
    types::{
        ForeignOwnable,
        NotThreadSafe, //
    }, //
};

/// Returns whether the calling task may run on `cpu`, by its cpuset and its affinity.
pub(crate) fn may_run_on(cpu: CpuId) -> bool {
    // SAFETY: The number is one of a CPU; the function looks at the calling task alone.
    unsafe { ffi::faultline_cpu_is_allowed(cpu.as_u32()) }
}

/// What a thread does.
pub(crate) trait Work: Send + Sync + 'static {
    /// Runs in the thread. Should return soon after [`Running::should_stop`] says so.
    fn run(&self, thread: &Running);
}

/// A thread that runs `W` on one CPU; it is stopped when this value is dropped.
///
/// # Invariants
///
/// `task` is a reference that this value owns to a thread made by `kthread_create_on_node()` for
/// [`thread_function::<W>`], on which `kthread_stop()` was not called. `data` is the foreign `Arc<W>`
/// that the thread owns, if it gets to run.
pub(crate) struct KThread<W: Work> {
    task: NonNull<bindings::task_struct>,
    data: NonNull<c_void>,
    _work: PhantomData<Arc<W>>,
}

// SAFETY: A thread may be stopped by another task than has started it.
unsafe impl<W: Work> Send for KThread<W> {}

// SAFETY: `&self` gives access to nothing.
unsafe impl<W: Work> Sync for KThread<W> {}

impl<W: Work> KThread<W> {
    /// Starts a thread that runs `work` on `cpu`, and nowhere else.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: the CPU is offline.
    /// - `ENOMEM`, `EAGAIN`: there is no room for another task.
    /// - `EINTR`: the calling task is being killed.
    pub(crate) fn start_on(cpu: CpuId, name: &CStr, work: Arc<W>) -> Result<Self> {
        // SAFETY: The number is one of a CPU. If the CPU goes offline after this, the thread runs
        // on another.
        if !unsafe { ffi::faultline_cpu_is_online(cpu.as_u32()) } {
            return Err(EINVAL);
        }

        let data = work.into_foreign();
        // SAFETY: The function may be called with `data`, in a thread that does not outlive what is
        // made of it below; the format takes one string, which is copied.
        let task = from_err_ptr(unsafe {
            bindings::kthread_create_on_node(
                Some(thread_function::<W>),
                data,
                bindings::NUMA_NO_NODE,
                c"%s".as_char_ptr(),
                name.as_char_ptr(),
            )
        })
        .inspect_err(|_| {
            // SAFETY: There is no thread that would own it.
            drop(unsafe { Arc::<W>::from_foreign(data) });
        })?;

        // SAFETY: The thread was made, and has not run: it is there, and may be bound. It ends by
        // itself at the earliest after it was woken, when there is a reference to it.
        unsafe {
            bindings::get_task_struct(task);
            bindings::kthread_bind(task, cpu.as_u32());
            bindings::wake_up_process(task);
        }

        // INVARIANT: As the calls above have it.
        Ok(Self {
            task: NonNull::new(task).ok_or(ENOMEM)?,
            data: NonNull::new(data).ok_or(ENOMEM)?,
            _work: PhantomData,
        })
    }
}

impl<W: Work> Drop for KThread<W> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants the task is there, even if its function has returned, and
        // was not stopped before.
        let status = unsafe { bindings::kthread_stop(self.task.as_ptr()) };

        // The function itself returns zero. It was not called if it was stopped before it began.
        if status != 0 {
            // SAFETY: So nobody has taken what was meant for the thread.
            drop(unsafe { Arc::<W>::from_foreign(self.data.as_ptr()) });
        }

        // SAFETY: By the type invariants `self` owns this reference.
        unsafe { bindings::put_task_struct(self.task.as_ptr()) };
    }
}

/// The thread that runs a [`Work`], as seen by itself.
pub(crate) struct Running(NotThreadSafe);

impl Running {
    /// Returns whether somebody waits for the thread's end.
    pub(crate) fn should_stop(&self) -> bool {
        // SAFETY: This value exists in threads made by `kthread_create_on_node()` alone, and is not
        // sent to others.
        unsafe { bindings::kthread_should_stop() }
    }

    /// Lets other tasks of this CPU run, if there are any.
    pub(crate) fn give_way(&self) {
        // SAFETY: The thread is in task context, and holds nothing that forbids to sleep: it would
        // be an error of `Work::run()`'s, which the kernel reports, not one of memory safety.
        unsafe { bindings::yield_() };
        processor::cpu_relax();
    }
}

/// # Safety
///
/// `data` must be a foreign `Arc<W>` that the thread owns.
unsafe extern "C" fn thread_function<W: Work>(data: *mut c_void) -> c_int {
    // SAFETY: By the safety requirements.
    let work = unsafe { Arc::<W>::from_foreign(data) };

    work.run(&Running(NotThreadSafe));
    0
}
