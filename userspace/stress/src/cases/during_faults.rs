// SPDX-License-Identifier: GPL-2.0-only

//! What other tasks of the process may do to a mapping during its page faults: `madvise()`, and with it
//! the reclaim of page tables, `fork()`, `mprotect()`, splits and moves of the VMA; where pages are mapped
//! by PTEs and where they are mapped by PMDs.

use faultline_core::errno::Errno;
use faultline_core::failure::TaskError;
use faultline_core::finding::Stop;
use faultline_sys::arena::{Access, Arena, Sharing};
use faultline_sys::cpu::lacks_lpae;
use faultline_sys::disturb::{disturbed, Disturbance};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::OFlags;

use super::context::Context;
use super::Case;
use crate::world::{open_file, tagged, World as W};
use Disturbance::{DontNeed, Forks, Moves, Protects, Splits, Stores};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "advice_beside_faults",
        proves: "No access and no call fails while another task drops the pages and page tables \
            by MADV_DONTNEED.",
        steps: advice_beside_faults,
    },
    Case {
        name: "fork_beside_faults",
        proves: "While the process forks, accesses and calls of its other tasks find the buffer in the mapping, and none fails.",
        steps: fork_beside_faults,
    },
    Case {
        name: "protection_beside_faults",
        proves: "While another task changes the protection of the mapping, or of a part of it, \
            calls fail with EFAULT alone, and the mapping stays the buffer's.",
        steps: protection_beside_faults,
    },
    Case {
        name: "move_beside_faults",
        proves: "While mremap() moves the mapping to and fro, accesses of other tasks find the buffer or nothing, and no call fails but by EFAULT.",
        steps: move_beside_faults,
    },
];

/// What a page table has entries for: page tables that are emptied as a whole are reclaimed.
const TABLE: u64 = Arena::ALIGNMENT;

/// How often the buffer is read into its own mapping, for each cycle.
const READS: u64 = 1000;

fn advice_beside_faults(c: &mut Context<'_>) -> Result<(), Stop> {
    if lacks_lpae() {
        return Err(Stop::Skip("the kernel refuses MADV_DONTNEED (VM_PFNMAP)"));
    }
    beside(c, &[DontNeed, Stores(tagged(400))], true)
}

fn fork_beside_faults(c: &mut Context<'_>) -> Result<(), Stop> {
    beside(
        c,
        with_advice(&[DontNeed, Forks, Stores(tagged(401))]),
        true,
    )
}

fn protection_beside_faults(c: &mut Context<'_>) -> Result<(), Stop> {
    beside(c, with_advice(&[DontNeed, Protects]), false)?;
    beside(c, with_advice(&[DontNeed, Splits]), false)
}

fn move_beside_faults(c: &mut Context<'_>) -> Result<(), Stop> {
    beside(c, &[Moves], false)
}

/// All of these, of which the first is advice, or the rest where the kernel refuses that (`VM_PFNMAP`).
fn with_advice(all: &[Disturbance]) -> &[Disturbance] {
    &all[usize::from(lacks_lpae())..]
}

/// Reads into a mapping of the buffer, beside all of these, where the offset in the file lets PMDs be mapped,
/// and where it does not. The buffer itself is read, whose `read()` copes with pages that go, and `/dev/zero`,
/// whose `read()` passes on what a page fault answers.
fn beside(c: &mut Context<'_>, all: &[Disturbance], succeeds: bool) -> Result<(), Stop> {
    let page = c.page();
    if c.world.cpus < 2 {
        return Err(Stop::Skip("it takes two CPUs"));
    }
    if c.target.size < TABLE + page {
        return Err(Stop::Skip("it takes a page table, and a page"));
    }
    let file = c.open()?;
    let zero = c.need("open(/dev/zero)", open_file(c"/dev/zero", OFlags::RDONLY))?;
    for offset in [0, page] {
        let mapped = c
            .world
            .arena
            .map(W::A, TABLE, &file, offset, Access::BOTH, Sharing::Shared);
        c.need("mmap()", mapped)?;
        let reads = READS * c.cycles;
        let answers = nest(&mut c.world.arena, page, all, &mut |arena| {
            read_into_mapping(arena, [file.as_fd(), zero.as_fd()], page, reads)
        });
        let answers = c.task(answers)?;
        let partial = if succeeds { 0 } else { answers.partial };
        match answers.other {
            Some(errno) => c.need("read() into the mapping", Err::<(), _>(errno))?,
            None => c.same(
                "read() into the mapping: right answers",
                answers.whole + partial,
                reads,
            )?,
        }
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
    work: &mut dyn FnMut(&mut Arena) -> Answers,
) -> Result<Answers, TaskError> {
    match all {
        [] => Ok(work(arena)),
        [what, others @ ..] => disturbed(arena, W::A, TABLE, page, *what, |arena| {
            nest(arena, page, others, work)
        })?,
    }
}

/// What `read()` answered, and how often.
#[derive(Default)]
struct Answers {
    /// All there is.
    whole: u64,
    /// A part of it, where the rest could not be written; or `EFAULT`.
    partial: u64,
    /// The first other error.
    other: Option<Errno>,
}

fn read_into_mapping(
    arena: &mut Arena,
    sources: [BorrowedFd<'_>; 2],
    page: u64,
    reads: u64,
) -> Answers {
    let mut answers = Answers::default();
    for (number, source) in (0..reads).zip(sources.iter().cycle()) {
        let at = W::A + number * 37 % (TABLE / page - 2) * page;
        match arena.read_at(at, 2 * page, source, 0) {
            Ok(length) if length == 2 * page => answers.whole += 1,
            Ok(_) | Err(Errno::FAULT) => answers.partial += 1,
            Err(errno) => {
                answers.other.get_or_insert(errno);
            }
        }
    }
    answers
}
