// SPDX-License-Identifier: GPL-2.0-only

//! First touches of one page table from several CPUs at the same moment.

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use faultline_core::device::Fault;
use faultline_core::failure::TaskError;

use crate::arch;
use crate::arena::Arena;
use crate::child::Ending;
use crate::cpu::stay_on_cpu;
use crate::fault::Watch;
use crate::thread::Task;

/// The most tasks that store together.
pub const MAX_TASKS: usize = 16;

/// A word, and where in the arena it is stored.
#[derive(Clone, Copy, Debug, Default)]
pub struct Store {
    /// Its offset in the arena, a multiple of eight.
    pub at: u64,
    /// The word.
    pub word: u64,
}

/// Makes each store in a task of *this* process, the first one on CPU 0, the next on CPU 1, and so
/// on, all at the same moment. The places lie among the `span` bytes from `from` on.
///
/// The inner result says whether all stores were made, or how the kernel answered the first that was
/// not.
///
/// # Errors
///
/// - A task could not be started.
/// - A signal killed a task.
pub fn store_together(
    arena: &mut Arena,
    from: u64,
    span: u64,
    stores: &[Store],
) -> Result<Result<(), Fault>, TaskError> {
    assert!(stores.len() <= MAX_TASKS, "too many tasks");
    assert!(
        stores
            .iter()
            .all(|store| from <= store.at && store.at + 8 <= from + span),
        "a store out of the span"
    );
    let ready = AtomicUsize::new(0);
    let may_begin = AtomicBool::new(false);
    let store = |cpu: usize, address: *mut u64, word: u64| {
        // On a machine with fewer CPUs it runs where it can.
        let _ = stay_on_cpu(cpu);
        ready.fetch_add(1, SeqCst);
        while !may_begin.load(SeqCst) {
            core::hint::spin_loop();
        }
        // SAFETY: the address is that of an aligned word of the arena, which no Rust reference leads
        // to, and the watch below lives until this task has ended.
        unsafe { arch::store(address, word) };
        0
    };
    let mut work = core::array::from_fn::<_, MAX_TASKS, _>(|index| {
        let (store, order) = (&store, stores.get(index)?);
        let address = arena.word(order.at);
        let word = order.word;
        Some(move || store(index, address, word))
    });

    // SAFETY: while the watch lives the tasks access the range, which they do by `arch`, and nobody
    // else does.
    let watch = unsafe { Watch::new(arena.pointer(from, span).addr(), span as usize) };
    let mut tasks = [const { None }; MAX_TASKS];
    let mut failure = None;
    let mut started = 0;
    for (task, work) in tasks.iter_mut().zip(work.iter_mut().flatten()) {
        // SAFETY: `work` stays where it is until all tasks have been waited for, below. A task uses
        // atomics, and stores a word of its own to the arena.
        match unsafe { Task::start(work) } {
            Ok(new) => {
                *task = Some(new);
                started += 1;
            }
            Err(error) => failure = Some(TaskError::Start(error)),
        }
    }
    while ready.load(SeqCst) < started {
        rustix::thread::sched_yield();
    }
    may_begin.store(true, SeqCst);
    for task in tasks.into_iter().flatten() {
        if let Ending::Killed(signal) = task.wait() {
            failure = Some(TaskError::Killed(signal));
        }
    }
    let outcome = watch.end();
    failure.map_or(Ok(outcome), Err)
}
