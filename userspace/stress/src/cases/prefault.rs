// SPDX-License-Identifier: GPL-2.0-only

//! PREFAULT: maps all of a range, and nothing else.

use faultline_core::errno::Errno;
use faultline_core::finding::{Stop, Value};
use faultline_sys::arena::{Access, Arena, Argument, Nowhere, Sharing};
use faultline_sys::device::File;
use faultline_uapi::{FAULTLINE_IOC_PREFAULT, TRANSLATED, TRANSLATE_WRITE, TRANSLATION_WRITABLE};

use super::calls::translate;
use super::context::{unbind_against, Context};
use super::Case;
use crate::world::{tagged, World as W};

/// `MADV_POPULATE_READ`, `MADV_POPULATE_WRITE`.
const POPULATE: [u32; 2] = [22, 23];

/// What the CPU says of a page that is mapped for loads, or for stores, too.
const LOADS: u32 = TRANSLATED;
const STORES: u32 = TRANSLATED | TRANSLATION_WRITABLE;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "prefault",
        proves:
            "A page that is accessed after PREFAULT does not fault: the CPU itself translates its \
            address; MAP_POPULATE and mlock() map none of coherent memory, and all of a cached \
            buffer.",
        steps: prefault,
    },
    Case {
        name: "prefault_refuses",
        proves: "PREFAULT refuses ranges that make no sense, or are not the buffer's.",
        steps: prefault_refuses,
    },
    Case {
        name: "prefault_against_unbind",
        proves: "A process that calls PREFAULT again and again while the device is unbound gets \
            success or ENODEV.",
        steps: prefault_against_unbind,
    },
];

fn prefault(c: &mut Context<'_>) -> Result<(), Stop> {
    let mut file = c.open()?;
    let (size, page) = (c.size(), c.page());
    can_translate(&mut file)?;

    // Shared by the writable mapping and one that is read-only.
    for (access, want) in [(Access::BOTH, STORES), (Access::READ, LOADS)] {
        let arena = &mut c.world.arena;
        let mapped = arena.map(W::A, size, &file, 0, access, Sharing::Shared);
        c.same("mmap()", mapped, ())?;
        mapped_pages(c, &mut file, "pages before PREFAULT", size, want, 0)?;
        asks(c, "PREFAULT", &file, W::A, size, ())?;
        mapped_pages(
            c,
            &mut file,
            "pages after PREFAULT",
            size,
            want,
            size / page,
        )?;
        // What is mapped already is no error.
        asks(c, "PREFAULT again", &file, W::A, size, ())?;
    }

    // What brings in ordinary pages brings in none of coherent memory.
    let is_cached = c.target.is_cached;
    let populated = if is_cached { size / page } else { 0 };
    let advice_wants = if is_cached {
        Value::Success
    } else {
        Value::Errno(Errno::INVAL)
    };
    let arena = &mut c.world.arena;
    let mapped = arena.map(W::A, size, &file, 0, Access::BOTH, Sharing::Populated);
    c.same("mmap(MAP_POPULATE)", mapped, ())?;
    let locked = c.world.arena.lock(W::A, size);
    c.same("mlock()", locked, ())?;
    for advice in POPULATE {
        let advised = c.world.arena.advise(W::A, size, advice);
        c.same("madvise(MADV_POPULATE_…)", advised, advice_wants)?;
    }
    mapped_pages(
        c,
        &mut file,
        "pages after MAP_POPULATE and mlock()",
        size,
        STORES,
        populated,
    )?;

    // A part maps that part: others may come along, because one fault maps what its page table has.
    c.map(W::A, &file)?;
    asks(
        c,
        "PREFAULT of the last page",
        &file,
        W::A + size - page,
        page,
        (),
    )?;
    let last = translate(
        &mut file,
        c.world.arena.address(W::A + size - page),
        TRANSLATE_WRITE,
    );
    let last = c.need("TRANSLATE", last)?;
    c.same(
        "the last page",
        u64::from(last.flags & STORES),
        u64::from(STORES),
    )?;

    // Two VMAs that follow each other, of different rights.
    if size > page {
        c.map(W::A, &file)?;
        let protected = c.world.arena.protect(W::A, page, Access::READ);
        c.same("mprotect()", protected, ())?;
        asks(c, "PREFAULT of two VMAs", &file, W::A, size, ())?;
        mapped_pages(c, &mut file, "pages of two VMAs", size, LOADS, size / page)?;
    }

    // Contents are those of the buffer.
    c.map(W::A, &file)?;
    asks(c, "PREFAULT", &file, W::A, size, ())?;
    c.store(W::A + size - 8, tagged(640))?;
    c.read_word(&mut file, size - 8, tagged(640))?;

    // Any file of the buffer will do, and what goes comes back.
    let other = c.open()?;
    let dropped = c.world.arena.drop_pages(W::A, size, &file, 0);
    c.same("madvise(MADV_DONTNEED)", dropped, ())?;
    asks(c, "PREFAULT by another file", &other, W::A, size, ())?;
    mapped_pages(
        c,
        &mut file,
        "pages that have come back",
        size,
        STORES,
        size / page,
    )
}

fn prefault_refuses(c: &mut Context<'_>) -> Result<(), Stop> {
    let file = c.open()?;
    let (size, page) = (c.size(), c.page());
    c.map(W::A, &file)?;
    let start = c.world.arena.address(W::A);

    for (what, address, length, want) in [
        ("PREFAULT of nothing", start, 0, Errno::INVAL),
        ("PREFAULT from inside a page", start + 8, page, Errno::INVAL),
        ("PREFAULT of part of a page", start, page - 1, Errno::INVAL),
        (
            "PREFAULT that wraps",
            start,
            start.wrapping_neg(),
            Errno::INVAL,
        ),
        (
            "PREFAULT that wraps",
            start,
            u64::MAX - (page - 1),
            Errno::INVAL,
        ),
        ("PREFAULT past the end", start, size + page, Errno::FAULT),
        (
            "PREFAULT before the start",
            start - page,
            2 * page,
            Errno::FAULT,
        ),
        ("PREFAULT of null", 0, page, Errno::FAULT),
    ] {
        let answer = ask_of(c, &file, address, length);
        c.same(what, answer, want)?;
    }
    for nowhere in [Nowhere::Null, Nowhere::Last, Nowhere::Kernel] {
        let arena = &mut c.world.arena;
        let answer = arena.ioctl(&file, FAULTLINE_IOC_PREFAULT, Argument::Nowhere(nowhere));
        c.same("PREFAULT with an argument nowhere", answer, Errno::FAULT)?;
    }

    // Ordinary memory, a hole, and a mapping without any right.
    let answer = ask(c, &file, W::MEMORY, page);
    c.same("PREFAULT of ordinary memory", answer, Errno::FAULT)?;
    let cleared = c.world.arena.unmap(W::B, page);
    c.same("munmap()", cleared, ())?;
    asks(c, "PREFAULT of a hole", &file, W::B, page, Errno::FAULT)?;
    let protected = c.world.arena.protect(W::A, size, Access::NONE);
    c.same("mprotect(PROT_NONE)", protected, ())?;
    asks(c, "PREFAULT of PROT_NONE", &file, W::A, page, Errno::FAULT)?;

    // The device is gone, the mapping is there.
    c.map(W::A, &file)?;
    let unbound = c.target.unbind();
    let answer = ask(c, &file, W::A, size);
    let bound = c.target.bind();
    c.same("unbind", unbound, ())?;
    c.same("bind", bound, ())?;
    c.same("PREFAULT after unbind", answer, Errno::NODEV)
}

fn prefault_against_unbind(c: &mut Context<'_>) -> Result<(), Stop> {
    let size = c.size();
    unbind_against(c, "PREFAULT in a process", |arena, file| {
        // There is something to map each time.
        arena.map(W::A, size, file, 0, Access::BOTH, Sharing::Shared)?;
        let address = arena.address(W::A);
        prefault_call(arena, file, address, size)
    })
}

/// PREFAULT of what the arena has from `at` on, and its answer.
fn asks(
    c: &mut Context<'_>,
    what: &'static str,
    file: &File,
    at: u64,
    length: u64,
    want: impl Into<Value>,
) -> Result<(), Stop> {
    let answer = ask(c, file, at, length);
    c.same(what, answer, want)
}

fn ask(c: &mut Context<'_>, file: &File, at: u64, length: u64) -> Result<(), Errno> {
    let address = c.world.arena.address(at);
    ask_of(c, file, address, length)
}

fn ask_of(c: &mut Context<'_>, file: &File, address: u64, length: u64) -> Result<(), Errno> {
    prefault_call(&mut c.world.arena, file, address, length)
}

fn prefault_call(arena: &mut Arena, file: &File, address: u64, length: u64) -> Result<(), Errno> {
    for (at, word) in [(0, address), (8, length)] {
        arena
            .store(W::MEMORY + at, word)
            .map_err(|_| Errno::FAULT)?;
    }
    arena.ioctl(file, FAULTLINE_IOC_PREFAULT, Argument::At(W::MEMORY))
}

fn can_translate(file: &mut File) -> Result<(), Stop> {
    match translate(file, 0, 0) {
        Err(Errno::OPNOTSUPP) => Err(Stop::Skip("this architecture does not translate")),
        _ => Ok(()),
    }
}

/// Counts the pages at [`W::A`] that the CPU translates with all of the flags of `want`.
fn mapped_pages(
    c: &mut Context<'_>,
    file: &mut File,
    what: &'static str,
    size: u64,
    want: u32,
    pages: u64,
) -> Result<(), Stop> {
    let request = if want & TRANSLATION_WRITABLE != 0 {
        TRANSLATE_WRITE
    } else {
        0
    };
    let mut count = 0;
    for at in (0..size).step_by(c.page() as usize) {
        let answer = translate(file, c.world.arena.address(W::A + at), request);
        let answer = c.need("TRANSLATE", answer)?;
        count += u64::from(answer.flags & want == want);
    }
    c.same(what, Value::Count(count), Value::Count(pages))
}
