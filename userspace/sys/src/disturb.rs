// SPDX-License-Identifier: GPL-2.0-only

//! Tasks of this process that change a mapping while it is in use: what the kernel lets run beside a
//! page fault, or has wait for one.

use faultline_core::failure::{CallError, TaskError};
use rustix::mm::{mprotect, mremap_fixed, MprotectFlags, MremapFlags};
use rustix::process::{waitpid, WaitOptions};
use rustix::runtime::{exit_group, kernel_fork, Fork};

use crate::arch;
use crate::arena::{Arena, DONT_NEED};
use crate::call::{call, MADVISE};
use crate::error::of_call;
use crate::thread::repeat_beside;

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
/// - A call of the task's failed, or a signal killed it.
pub fn disturbed<R>(
    arena: &mut Arena,
    at: u64,
    length: u64,
    page: u64,
    what: Disturbance,
    meanwhile: impl FnOnce(&mut Arena) -> R,
) -> Result<R, TaskError> {
    let reach = match what {
        Disturbance::Moves => 2 * length,
        _ => length,
    };
    let start = arena.pointer(at, reach);
    let (length, page) = (length as usize, page as usize);
    let work = || {
        // SAFETY: `pointer` has seen that the range, and the one behind it if it is moved, are the arena's,
        // which holds no Rust object.
        unsafe { disturb(start, length, page, what) }
    };
    // SAFETY: the task changes mappings in the arena, and stores there by `arch`. `meanwhile` accesses the
    // arena by `arch` and by system calls, for which it does not matter what is mapped there.
    unsafe { repeat_beside(|| Ok(()), work, || meanwhile(arena)) }
}

/// Does it once.
///
/// # Safety
///
/// There is no Rust object in the range, nor, if it is moved, in the one behind it.
unsafe fn disturb(
    start: *mut u8,
    length: usize,
    page: usize,
    what: Disturbance,
) -> Result<(), CallError> {
    match what {
        Disturbance::DontNeed => {
            let arguments = [start.addr(), length, DONT_NEED as usize];
            // SAFETY: the call drops pages of the range, in which there is no Rust object that
            // could lose its bytes.
            let dropped = unsafe { call(MADVISE, &arguments) };
            dropped
                .map(drop)
                .map_err(CallError::of("madvise(MADV_DONTNEED)"))
        }
        Disturbance::Stores(word) => {
            // SAFETY: the range begins at a page, so that the word is aligned, and there is no Rust
            // object in it. An access that is answered by a signal harms nobody: the handler steps over
            // it while `meanwhile` watches the address, and otherwise the signal kills the task, which
            // `repeat_beside` reports.
            unsafe { arch::store(start.cast(), word) };
            Ok(())
        }
        // SAFETY: the child ends at once, by a system call: it uses nothing that another task can have
        // left half done.
        Disturbance::Forks => match unsafe { kernel_fork() } {
            Ok(Fork::Child(_)) => exit_group(0),
            Ok(Fork::ParentOf(child)) => waitpid(Some(child), WaitOptions::empty())
                .map(drop)
                .map_err(of_call("waitpid()")),
            Err(error) => Err(of_call("fork()")(error)),
        },
        // SAFETY: it is the whole range that the caller gives.
        Disturbance::Protects => unsafe { protect_and_back(start, length) },
        Disturbance::Splits => {
            let middle = start.wrapping_add(length / 2 / page * page);
            // SAFETY: the page is one of the range that the caller gives.
            unsafe { protect_and_back(middle, page) }
        }
        Disturbance::Moves => {
            let behind = start.wrapping_add(length);
            // SAFETY: both are ranges in which there is no Rust object.
            unsafe { move_mapping(start, behind, length) }?;
            // SAFETY: as before the first move: it has brought no Rust object there.
            unsafe { move_mapping(behind, start, length) }
        }
    }
}

/// `mprotect()` to be read only, and to be written to again.
///
/// # Safety
///
/// There is no Rust object in the range.
unsafe fn protect_and_back(start: *mut u8, length: usize) -> Result<(), CallError> {
    const BOTH: MprotectFlags = MprotectFlags::READ.union(MprotectFlags::WRITE);

    // SAFETY: no Rust object loses the right to be written to: there is none in the range.
    unsafe { mprotect(start.cast(), length, MprotectFlags::READ) }
        .map_err(of_call("mprotect(PROT_READ)"))?;
    // SAFETY: no Rust object becomes writable: there is none in the range.
    unsafe { mprotect(start.cast(), length, BOTH) }
        .map_err(of_call("mprotect(PROT_READ | PROT_WRITE)"))
}

/// `mremap()` from one range to another, in place of what is there.
///
/// # Safety
///
/// There is no Rust object in either range.
unsafe fn move_mapping(from: *mut u8, to: *mut u8, length: usize) -> Result<(), CallError> {
    // SAFETY: what goes from the one range, and what is replaced in the other, is no Rust object.
    let moved =
        unsafe { mremap_fixed(from.cast(), length, length, MremapFlags::MAYMOVE, to.cast()) };
    moved.map(drop).map_err(of_call("mremap()"))
}
