// SPDX-License-Identifier: GPL-2.0-only

//! Tasks of this process that change a mapping while it is in use: what the kernel lets run beside a
//! page fault, or has wait for one.

use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

use faultline_core::errno::Errno;
use rustix::mm::{mprotect, mremap_fixed, MprotectFlags, MremapFlags};
use rustix::process::{waitpid, WaitOptions};
use rustix::runtime::{exit_group, kernel_fork, Fork};

use crate::arch;
use crate::arena::{Arena, DONT_NEED};
use crate::call::{call, MADVISE};
use crate::child::Ending;
use crate::thread::beside;

/// What a task does, over and over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disturbance {
    /// `madvise(MADV_DONTNEED)`: entries go, and empty page tables with them.
    DontNeed,
    /// Stores a word to the first page.
    Stores(u64),
    /// `fork()`; the child ends at once.
    Forks,
    /// `mprotect()` to be read only, and to be written to again.
    Protects,
    /// `mprotect()` of one page in the middle, which splits the VMA, and back, which merges none.
    Splits,
    /// `mremap()` to the range right behind it, and back.
    Moves,
}

/// Calls `meanwhile` while a task of *this* process does `what` to `length` bytes at `at` of the arena,
/// which are mapped, and, if they are moved, to as many behind them.
///
/// # Errors
///
/// - The task could not be started.
/// - `EFAULT`: what it did failed, or it was ended by a signal.
pub fn disturbed<R>(
    arena: &mut Arena,
    at: u64,
    length: u64,
    page: u64,
    what: Disturbance,
    meanwhile: impl FnOnce(&mut Arena) -> R,
) -> Result<R, Errno> {
    let reach = match what {
        Disturbance::Moves => 2 * length,
        _ => length,
    };
    let start = arena.pointer(at, reach);
    let (length, page) = (length as usize, page as usize);
    let is_over = AtomicBool::new(false);
    let work = || {
        while !is_over.load(SeqCst) {
            // SAFETY: the range is the arena's, which holds no memory of Rust's.
            let done = unsafe { disturb(start, length, page, what) };
            if done.is_err() {
                return 1;
            }
        }
        0
    };
    // SAFETY: the task uses an atomic, and changes mappings in the arena, or what is behind them.
    // `meanwhile` accesses the arena by `arch` and by system calls, for which neither matters.
    let (result, ending) = unsafe {
        beside(&work, || {
            let result = meanwhile(arena);
            is_over.store(true, SeqCst);
            result
        })
    }?;
    match ending {
        Ending::Exit(0) => Ok(result),
        _ => Err(Errno::FAULT),
    }
}

/// Does it once.
///
/// # Safety
///
/// There is no Rust object in the range, nor, if it is moved, in the one behind it.
unsafe fn disturb(start: *mut u8, length: usize, page: usize, what: Disturbance) -> Result<(), ()> {
    const BOTH: MprotectFlags = MprotectFlags::READ.union(MprotectFlags::WRITE);

    let protect = |from: usize, length: usize, flags| {
        // SAFETY: as the caller vouches.
        unsafe { mprotect(start.wrapping_add(from).cast(), length, flags) }.map_err(drop)
    };
    match what {
        Disturbance::DontNeed => {
            let arguments = [start.addr(), length, DONT_NEED as usize];
            // SAFETY: as the caller vouches.
            unsafe { call(MADVISE, &arguments) }.map(drop).map_err(drop)
        }
        Disturbance::Stores(word) => {
            // SAFETY: as the caller vouches. A signal ends the task, which is noticed.
            unsafe { arch::store(start.cast(), word) };
            Ok(())
        }
        // SAFETY: the child ends at once.
        Disturbance::Forks => match unsafe { kernel_fork() } {
            Ok(Fork::Child(_)) => exit_group(0),
            Ok(Fork::ParentOf(child)) => waitpid(Some(child), WaitOptions::empty())
                .map(drop)
                .map_err(drop),
            Err(_) => Err(()),
        },
        Disturbance::Protects => {
            protect(0, length, MprotectFlags::READ).and_then(|()| protect(0, length, BOTH))
        }
        Disturbance::Splits => {
            let middle = length / 2 / page * page;
            protect(middle, page, MprotectFlags::READ).and_then(|()| protect(middle, page, BOTH))
        }
        Disturbance::Moves => {
            for (from, to) in [(0, length), (length, 0)] {
                // SAFETY: as the caller vouches.
                let moved = unsafe {
                    mremap_fixed(
                        start.wrapping_add(from).cast(),
                        length,
                        length,
                        MremapFlags::MAYMOVE,
                        start.wrapping_add(to).cast(),
                    )
                };
                moved.map_err(drop)?;
            }
            Ok(())
        }
    }
}
