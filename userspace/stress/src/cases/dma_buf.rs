// SPDX-License-Identifier: GPL-2.0-only

//! EXPORT: dma-bufs of buffers.

use core::sync::atomic::Ordering::SeqCst;

use faultline_core::device::{Call, Device, Signal};
use faultline_core::errno::Errno;
use faultline_core::finding::Stop;
use faultline_sys::arena::{Access, Argument, Nowhere, Sharing};
use faultline_sys::child::fork;
use faultline_sys::device::File;
use faultline_sys::dma_buf::{DmaBuf, END, READ, WRITE};
use faultline_uapi::{Fill, FAULTLINE_IOC_EXPORT, FLAG_PRISTINE, MASTER_FILL};
use rustix::process::{getrlimit, setrlimit, Resource, Rlimit};

use super::context::{numbers, unbind_against, wait_in_child, Context};
use super::Case;
use crate::world::{tagged, World as W};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "dma_buf",
        proves:
            "A dma-buf is the buffer: what is stored by one mapping is found by the other, also \
            after the file of the device was closed, and after fork().",
        steps: dma_buf,
    },
    Case {
        name: "dma_buf_named",
        proves:
            "A dma-buf that is closed but still named by O_PATH does no harm: the next EXPORT makes \
            another one, and unbinding passes it over.",
        steps: dma_buf_named,
    },
    Case {
        name: "dma_buf_refuses",
        proves:
            "The call EXPORT refuses flags, files that are not open for writing, and what makes no \
            descriptor; a dma-buf refuses what the device's own file does.",
        steps: dma_buf_refuses,
    },
    Case {
        name: "dma_buf_unbound",
        proves:
            "After an unbinding every mapping of a dma-buf answers by SIGBUS, its calls by ENODEV, \
            also after the device is bound again with a new buffer.",
        steps: dma_buf_unbound,
    },
    Case {
        name: "dma_buf_against_unbind",
        proves:
            "A task that exports, maps, touches and closes again and again while the device is \
            unbound gets what it asks for, or is told that the device is gone.",
        steps: dma_buf_against_unbind,
    },
    Case {
        name: "dma_buf_synchronised",
        proves:
            "Between start and end of DMA_BUF_IOCTL_SYNC the CPUs find what the device has written.",
        steps: dma_buf_synchronised,
    },
];

fn dma_buf(c: &mut Context<'_>) -> Result<(), Stop> {
    let (size, page) = (c.size(), c.page());
    let mut file = c.open()?;
    let buf = export(c, &file)?;
    c.same("length of a dma-buf", buf.length(), c.target.size)?;
    c.same(
        "FD_CLOEXEC",
        buf.is_closed_on_exec().map(u64::from),
        u64::from(true),
    )?;

    c.map(W::A, &file)?;
    map(c, W::B, &buf)?;
    for at in (0..size).step_by(page as usize) {
        c.store(W::A + at, tagged(700 + at / page))?;
        c.load("a word by the dma-buf", W::B + at, tagged(700 + at / page))?;
        c.store(W::B + at + 8, tagged(701 + at / page))?;
        c.load(
            "a word by the device",
            W::A + at + 8,
            tagged(701 + at / page),
        )?;
    }
    c.read_word(&mut file, size - page + 8, tagged(700 + size / page))?;

    // From another page on, and another dma-buf of the same buffer.
    let other = export(c, &file)?;
    let arena = &mut c.world.arena;
    let mapped = arena.map(
        W::C,
        page,
        &other,
        size - page,
        Access::BOTH,
        Sharing::Shared,
    );
    c.same("mmap() of the last page", mapped, ())?;
    c.load(
        "a word of the last page",
        W::C + 8,
        tagged(700 + size / page),
    )?;

    for flags in [READ, WRITE, READ | WRITE] {
        c.same("DMA_BUF_IOCTL_SYNC: start", buf.sync(flags), ())?;
        c.same("DMA_BUF_IOCTL_SYNC: end", buf.sync(flags | END), ())?;
    }

    // Descriptors go in any order; the mappings stay.
    drop(file);
    drop(buf);
    c.store(W::B, tagged(720))?;
    c.load("a word after close()", W::A, tagged(720))?;
    let arena = &c.world.arena;
    let child = fork(|| match arena.load(W::B) {
        Ok(word) if word == tagged(720) => 0,
        _ => 1,
    });
    let child = c.need("fork()", child)?;
    c.ending("a child that loads by the dma-buf", child)?;
    let unmapped = c.world.arena.unmap(W::B, size);
    c.same("munmap()", unmapped, ())?;
    let file = c.open()?;
    let again = export(c, &file)?;
    drop(other);
    map(c, W::B, &again)?;
    c.load("a word of the next dma-buf", W::B, tagged(720))
}

/// The name keeps the dma-buf, but not its file.
fn dma_buf_named(c: &mut Context<'_>) -> Result<(), Stop> {
    let file = c.open()?;
    let buf = export(c, &file)?;
    let name = buf.name();
    let name = c.need("open(O_PATH) of a dma-buf", name)?;
    drop(buf);
    for round in 0..8 {
        // One of them gets the memory of the file that is gone.
        let _others = [c.open()?, c.open()?, c.open()?, c.open()?];
        let buf = export(c, &file)?;
        c.same("DMA_BUF_IOCTL_SYNC: start", buf.sync(READ), ())?;
        c.same("DMA_BUF_IOCTL_SYNC: end", buf.sync(READ | END), ())?;
        map(c, W::A, &buf)?;
        c.store(W::A, tagged(730 + round))?;
        let unmapped = c.world.arena.unmap(W::A, c.size());
        c.same("munmap()", unmapped, ())?;
    }
    let unbound = c.target.unbind();
    let bound = c.target.bind();
    c.same("unbind", unbound, ())?;
    c.same("bind", bound, ())?;
    drop(name);
    let exported = DmaBuf::of(&file, 0).map(drop);
    c.same("EXPORT of what is gone", exported, Errno::NODEV)
}

fn dma_buf_refuses(c: &mut Context<'_>) -> Result<(), Stop> {
    let (size, page, all) = (c.size(), c.page(), c.target.size);
    let file = c.open()?;
    for flags in [1, 1 << 31, 1 << 32, u64::MAX] {
        let exported = DmaBuf::of(&file, flags).map(drop);
        c.same("EXPORT with a flag", exported, Errno::INVAL)?;
    }
    for nowhere in [Nowhere::Null, Nowhere::Last, Nowhere::Kernel] {
        let argument = Argument::Nowhere(nowhere);
        let exported = c.world.arena.ioctl(&file, FAULTLINE_IOC_EXPORT, argument);
        c.same("EXPORT with an argument nowhere", exported, Errno::FAULT)?;
    }
    let read_only = File::open(c.target.path.c_str(), true);
    let read_only = c.need("open() for reading", read_only)?;
    let exported = DmaBuf::of(&read_only, 0).map(drop);
    c.same("EXPORT of a file for reading", exported, Errno::BADF)?;

    let buf = export(c, &file)?;
    for flags in [0, END, 8 | READ, u64::MAX] {
        c.same(
            "DMA_BUF_IOCTL_SYNC without sense",
            buf.sync(flags),
            Errno::INVAL,
        )?;
    }
    let arena = &mut c.world.arena;
    let mut refused = [Ok(()); 5];
    for (answer, length, offset, access, sharing) in [
        (0, page, 0, Access::BOTH, Sharing::Private),
        (1, page, all, Access::BOTH, Sharing::Shared),
        (2, 2 * page, all - page, Access::BOTH, Sharing::Shared),
        (3, page, 1 << 40, Access::READ, Sharing::Shared),
        (4, page, 0, Access::READ | Access::EXEC, Sharing::Shared),
    ] {
        refused[answer] = arena.map(W::B, length, &buf, offset, access, sharing);
    }
    for (what, answer) in [
        "MAP_PRIVATE",
        "mmap() past the end",
        "mmap() across the end",
        "mmap() far out",
    ]
    .into_iter()
    .zip(refused)
    {
        c.same(what, answer, Errno::INVAL)?;
    }
    // By the kernel itself: the file system of dma-bufs is mounted so.
    c.same("mmap(PROT_EXEC)", refused[4], Errno::PERM)?;
    map(c, W::B, &buf)?;
    let arena = &mut c.world.arena;
    let executable = arena.protect(W::B, page, Access::READ | Access::EXEC);
    c.same("mprotect(PROT_EXEC)", executable, Errno::ACCES)?;
    let grown = c.world.arena.resize(W::B, size, size + page);
    c.same("mremap() to grow", grown, Errno::FAULT)?;

    // No descriptor is left: the dma-buf that was made goes.
    let child = fork(|| {
        let limit = Rlimit {
            current: Some(0),
            ..getrlimit(Resource::Nofile)
        };
        if setrlimit(Resource::Nofile, limit).is_err() {
            return 1;
        }
        for _ in 0..100 {
            if DmaBuf::of(&file, 0).map(drop) != Err(Errno::MFILE) {
                return 2;
            }
        }
        0
    });
    let child = c.need("fork()", child)?;
    c.ending("EXPORT without descriptors", child)
}

fn dma_buf_unbound(c: &mut Context<'_>) -> Result<(), Stop> {
    let (size, page) = (c.size(), c.page());
    let file = c.open()?;
    let buf = export(c, &file)?;
    let shared = numbers::<2>(c);
    map(c, W::A, &buf)?;
    map(c, W::B, &buf)?;
    c.store(W::A, tagged(740))?;

    // A child has its own copies of the mappings, touched and not.
    let arena = &c.world.arena;
    let child = fork(|| {
        if arena.load(W::A) != Ok(tagged(740)) {
            return 1;
        }
        shared[0].store(1, SeqCst);
        wait_in_child(&shared[1], 1);
        for at in [W::A, W::A + size - page, W::B, W::B + size - page] {
            if arena.load(at).is_ok() {
                return 2;
            }
        }
        0
    });
    let child = c.need("fork()", child)?;
    c.wait_for("a process that has the dma-buf", &shared[0], 1)?;
    let unbound = c.target.unbind();
    shared[1].store(1, SeqCst);
    c.need("unbind", unbound)?;
    let remains = look_at_remains(c, &file, &buf);
    let bound = c.target.bind();
    c.need("bind", bound)?;
    remains?;
    c.ending("the same in a child", child)?;

    // The new buffer is another, and the old dma-buf stays without one.
    look_at_remains(c, &file, &buf)?;
    let info = c
        .target
        .info()
        .map(|info| u64::from(info.flags & FLAG_PRISTINE));
    c.same("FLAG_PRISTINE", info, u64::from(FLAG_PRISTINE))?;
    let file = c.open()?;
    let other = export(c, &file)?;
    map(c, W::C, &other)?;
    c.load("a word of the new buffer", W::C, 0)?;
    c.faults("a mapping of the old dma-buf", W::A, Signal::Bus)
}

/// What is left of a dma-buf and of its device's file after an unbinding.
fn look_at_remains(c: &mut Context<'_>, file: &File, buf: &DmaBuf) -> Result<(), Stop> {
    let (size, page) = (c.size(), c.page());

    for at in [W::A, W::A + size - page, W::B] {
        c.faults("a mapping of the dma-buf", at, Signal::Bus)?;
    }
    c.same("DMA_BUF_IOCTL_SYNC", buf.sync(READ), Errno::NODEV)?;
    c.same(
        "DMA_BUF_IOCTL_SYNC: end",
        buf.sync(READ | END),
        Errno::NODEV,
    )?;
    let arena = &mut c.world.arena;
    let mapped = arena.map(W::C, page, buf, 0, Access::BOTH, Sharing::Shared);
    c.same("mmap() of the dma-buf", mapped, Errno::NODEV)?;
    let exported = DmaBuf::of(file, 0).map(drop);
    c.same("EXPORT of what is gone", exported, Errno::NODEV)
}

fn dma_buf_against_unbind(c: &mut Context<'_>) -> Result<(), Stop> {
    let page = c.page();
    unbind_against(c, "calls of a process that exports", |arena, file| {
        let buf = DmaBuf::of(file, 0)?;
        arena.map(W::A, page, &buf, 0, Access::BOTH, Sharing::Shared)?;
        // By SIGBUS, if the device goes.
        let _ = arena.store(W::A, tagged(750));
        buf.sync(READ)
    })
}

fn dma_buf_synchronised(c: &mut Context<'_>) -> Result<(), Stop> {
    let mut file = c.open()?;
    let buf = stored(c, &file)?;
    let filled = fill(&mut file);
    c.same("FILL", filled, ())?;
    is_filled(c, &buf)
}

/// Exports a buffer that a bus master can fill, and has the CPU store its first word by the dma-buf, which is
/// mapped at [`W::A`].
pub(super) fn stored(c: &mut Context<'_>, file: &File) -> Result<DmaBuf, Stop> {
    let can_fill = matches!(&c.target.master, Ok(master) if master.abilities & MASTER_FILL != 0);
    if !can_fill {
        return Err(Stop::Skip("there is no bus master that fills"));
    }
    let buf = export(c, file)?;
    map(c, W::A, &buf)?;

    c.same("DMA_BUF_IOCTL_SYNC: start", buf.sync(WRITE), ())?;
    c.store(W::A, tagged(760))?;
    c.same("DMA_BUF_IOCTL_SYNC: end", buf.sync(WRITE | END), ())?;
    Ok(buf)
}

/// Has the bus master fill the first word.
pub(super) fn fill(file: &mut File) -> Result<(), Errno> {
    let mut fill = Fill {
        offset: 0,
        length: 8,
        ..Fill::default()
    };
    file.call(Call::Fill(&mut fill))
}

/// Makes sure that the CPU finds what the bus master has filled with, after [`stored`].
pub(super) fn is_filled(c: &mut Context<'_>, buf: &DmaBuf) -> Result<(), Stop> {
    c.same("DMA_BUF_IOCTL_SYNC: start", buf.sync(READ), ())?;
    let loaded = c.world.arena.load(W::A);
    let word = c.need("a load", loaded)?;
    c.same("DMA_BUF_IOCTL_SYNC: end", buf.sync(READ | END), ())?;
    // Not what the CPU stored, and what a bus master can have filled with.
    c.same("whether it is the CPU's word", word == tagged(760), false)?;
    c.same("whether it is the device's", c.world.is_known(word), true)
}

/// Exports the buffer.
pub(super) fn export(c: &mut Context<'_>, file: &File) -> Result<DmaBuf, Stop> {
    match DmaBuf::of(file, 0) {
        Err(Errno::OPNOTSUPP) => Err(Stop::Skip("the buffer cannot be exported: EOPNOTSUPP")),
        exported => c.need("EXPORT", exported),
    }
}

/// Maps all of a dma-buf.
pub(super) fn map(c: &mut Context<'_>, at: u64, buf: &DmaBuf) -> Result<(), Stop> {
    let size = c.size();
    let arena = &mut c.world.arena;
    let mapped = arena.map(at, size, buf, 0, Access::BOTH, Sharing::Shared);
    c.same("mmap() of a dma-buf", mapped, ())
}
