// SPDX-License-Identifier: GPL-2.0-only

//! What may run beside a page fault: `madvise()`, and with it the reclaim of page tables, `fork()`,
//! `mprotect()`, splits and moves of the VMA, and other faults; where pages are mapped one by one and
//! where they are mapped by PMDs.

use faultline_core::errno::Errno;
use faultline_sys::arena::{Access, Arena, Sharing};
use faultline_sys::device::File;
use faultline_sys::disturb::{disturbed, Disturbance};
use Disturbance::{DontNeed, Forks, Moves, Protects, Splits, Stores};

use super::Context;
use crate::report::Stop;
use crate::world::{tagged, World as W};

/// What a page table has entries for: page tables that are emptied as a whole are reclaimed.
const TABLE: u64 = Arena::ALIGNMENT;

/// How often the buffer is read into its own mapping, for each cycle.
const READS: u64 = 1000;

/// `MADV_DONTNEED`, while another task stores and this one has a system call write to the mapping: no
/// access fails, and no call.
pub(super) fn advice_beside_faults(c: &mut Context<'_>) -> Result<(), Stop> {
    beside(c, &[DontNeed, Stores(tagged(400))], true)
}

/// `fork()` likewise.
pub(super) fn fork_beside_faults(c: &mut Context<'_>) -> Result<(), Stop> {
    beside(c, &[Forks, DontNeed, Stores(tagged(401))], true)
}

/// `mprotect()` of all, and of a part: calls may fail then, but with `EFAULT`, and what is there stays
/// the buffer's.
pub(super) fn protection_beside_faults(c: &mut Context<'_>) -> Result<(), Stop> {
    beside(c, &[Protects, DontNeed], false)?;
    beside(c, &[Splits, DontNeed], false)
}

/// `mremap()` likewise.
pub(super) fn move_beside_faults(c: &mut Context<'_>) -> Result<(), Stop> {
    beside(c, &[Moves], false)
}

/// Reads the buffer into its own mapping, beside all of these, where the offset in the file lets PMDs be
/// mapped, and where it does not.
fn beside(c: &mut Context<'_>, all: &[Disturbance], succeeds: bool) -> Result<(), Stop> {
    let page = c.page();
    if c.world.cpus < 2 {
        return Err(Stop::Skip("it takes two CPUs"));
    }
    if c.target.size < TABLE + page {
        return Err(Stop::Skip("it takes a page table, and a page"));
    }
    let file = c.open()?;
    for offset in [0, page] {
        let mapped = c
            .world
            .arena
            .map(W::A, TABLE, &file, offset, Access::BOTH, Sharing::Shared);
        c.found.need("mmap()", mapped)?;
        let reads = READS * c.cycles;
        let answers = nest(&mut c.world.arena, page, all, &mut |arena| {
            read_into_itself(arena, &file, page, reads)
        });
        let [right, faults] = c.found.need("another task", answers)?;
        let allowed = if succeeds { right } else { right + faults };
        c.same("read() into the mapping: right answers", allowed, reads)?;
        // The buffer is still what is mapped there.
        let word = tagged(410);
        c.store(W::A + TABLE - page, word)?;
        let mut again = c.open()?;
        c.read_word(&mut again, offset + TABLE - page, word)?;
    }
    Ok(())
}

/// Runs `work` beside all of these, each in a task of its own.
fn nest(
    arena: &mut Arena,
    page: u64,
    all: &[Disturbance],
    work: &mut dyn FnMut(&mut Arena) -> [u64; 2],
) -> Result<[u64; 2], Errno> {
    match all {
        [] => Ok(work(arena)),
        [what, others @ ..] => disturbed(arena, W::A, TABLE, page, *what, |arena| {
            nest(arena, page, others, work)
        })?,
    }
}

/// Returns how many of the reads gave all there is, and how many `EFAULT`.
fn read_into_itself(arena: &mut Arena, file: &File, page: u64, reads: u64) -> [u64; 2] {
    let mut answers = [0; 2];
    for number in 0..reads {
        let at = W::A + number * 37 % (TABLE / page - 2) * page;
        match arena.read_at(at, 2 * page, file, 0) {
            Ok(length) if length == 2 * page => answers[0] += 1,
            // A part of it, where the rest could not be written.
            Ok(_) | Err(Errno::FAULT) => answers[1] += 1,
            Err(_) => {}
        }
    }
    answers
}
