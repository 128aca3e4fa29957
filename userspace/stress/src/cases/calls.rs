// SPDX-License-Identifier: GPL-2.0-only

//! The calls of the driver's own: with arguments that are wrong, by who may not, at bad moments.

use core::sync::atomic::Ordering::SeqCst;

use faultline_core::device::{Call, Device};
use faultline_core::errno::Errno;
use faultline_sys::arena::{Access, Argument, Nowhere, DONT_NEED};
use faultline_sys::child::fork;
use faultline_sys::device::File;
use faultline_sys::race::{map_again_and_again, Fate, Remapping};
use faultline_uapi::{
    Copy, Fill, Frame, Info, Master, Translation, FAULTLINE_IOC_COPY, FAULTLINE_IOC_FILL,
    FAULTLINE_IOC_FRAME, FAULTLINE_IOC_INFO, FAULTLINE_IOC_LITMUS, FAULTLINE_IOC_MASTER,
    FAULTLINE_IOC_TRANSLATE, FLAG_COHERENT, MASTER_COPY, MASTER_FILL, TRANSLATED, TRANSLATE_KERNEL,
    TRANSLATE_WRITE,
};
use rustix::fd::AsFd;
use rustix::process::Uid;
use rustix::thread::set_thread_uid;

use super::{numbers, Context, NOBODY, PATIENCE_MS, W};
use crate::report::{Stop, Value};
use crate::round;
use crate::world::{now_ms, tagged};

/// Where in the buffer LITMUS has the round that comes, and one that does not.
pub(super) const PLAYED: u64 = 0;
pub(super) const AWAITED: u64 = 1024;

/// What one entry of the page table can map at most, in bytes.
pub(super) const BLOCK: u64 = 2 << 20;

/// A call, and what there is to know about its argument.
pub(super) struct Kind {
    command: u32,
    /// It is read; it is written.
    reads: bool,
    writes: bool,
    /// Only a bus master can do this.
    takes_master: bool,
    /// One that nothing is wrong with, in words.
    words: [u64; 6],
}

impl Kind {
    /// What comes of it with an argument that can be read and written or not.
    pub(super) fn want(
        &self,
        master: Result<Master, Errno>,
        readable: bool,
        writable: bool,
    ) -> Value {
        match master {
            _ if self.reads && !readable => Errno::FAULT.into(),
            Err(reason) if self.takes_master => reason.into(),
            _ if self.writes && !writable => Errno::FAULT.into(),
            _ => Value::Done,
        }
    }
}

pub(super) const fn kind(command: u32, takes_master: bool, words: [u64; 6]) -> Kind {
    Kind {
        command,
        // By the direction in its number (include/uapi/asm-generic/ioctl.h).
        reads: command >> 30 & 1 != 0,
        writes: command >> 30 & 2 != 0,
        takes_master,
        words,
    }
}

pub(super) const KINDS: [Kind; 7] = [
    kind(FAULTLINE_IOC_INFO, false, [0; 6]),
    kind(FAULTLINE_IOC_FRAME, false, [0; 6]),
    kind(FAULTLINE_IOC_TRANSLATE, false, [0; 6]),
    kind(FAULTLINE_IOC_MASTER, true, [0; 6]),
    kind(FAULTLINE_IOC_FILL, true, [256, 8, 0, 0, 0, 0]),
    kind(FAULTLINE_IOC_COPY, true, [256, 264, 8, 0, 0, 0]),
    kind(FAULTLINE_IOC_LITMUS, false, [0, 1, 0, 64, 72, 136]),
];

/// What each call answers when nothing is wrong with its argument.
pub(super) fn each(file: &mut File) -> [Result<(), Errno>; 7] {
    let mut copy = copy_of(256, 264, 8);
    [
        file.call(Call::Info(&mut Info::default())),
        file.call(Call::Frame(&mut Frame::default())),
        file.call(Call::Translate(&mut Translation::default())),
        file.call(Call::Master(&mut Master::default())),
        file.call(Call::Fill(&mut fill_of(256, 8))),
        file.call(Call::Copy(&mut copy)),
        file.call(Call::Litmus(&mut round::at(PLAYED, 0))),
    ]
}

/// The cases ask a bus master for bytes at any offset, from and to anywhere. That is fw_cfg; others can
/// do less.
pub(super) fn takes_any_bytes(master: Result<Master, Errno>) -> Result<(), Stop> {
    match master {
        Ok(master) if master.alignment > 1 || master.abilities != MASTER_FILL | MASTER_COPY => {
            Err(Stop::Skip("a bus master that cannot do all"))
        }
        _ => Ok(()),
    }
}

pub(super) fn fill_of(offset: u64, length: u64) -> Fill {
    Fill {
        offset,
        length,
        reserved: 0,
    }
}

pub(super) fn copy_of(source: u64, destination: u64, length: u64) -> Copy {
    Copy {
        source,
        destination,
        length,
        reserved: 0,
    }
}

pub(super) fn translate(file: &mut File, address: u64, request: u32) -> Result<Translation, Errno> {
    let mut question = Translation {
        address,
        request,
        ..Translation::default()
    };
    file.call(Call::Translate(&mut question)).map(|()| question)
}

/// Arguments that are not, or not all, the caller's memory, or not his to write.
pub(super) fn arguments(c: &mut Context<'_>) -> Result<(), Stop> {
    takes_any_bytes(c.target.master)?;
    let mut file = c.open()?;
    let (page, master) = (c.page(), c.target.master);
    let laid = round::lay(&mut file, &round::at(PLAYED, 0));
    c.same("a round", laid, ())?;
    let mapped = c.world.arena.map_memory(W::C, page, Access::BOTH);
    c.same("mmap(MAP_ANONYMOUS)", mapped, ())?;
    let hole = c.world.arena.unmap(W::B, page);
    c.same("munmap()", hole, ())?;
    for kind in &KINDS {
        let unreadable = kind.want(master, false, false);
        for (what, argument) in [
            ("ioctl() at zero", Argument::Nowhere(Nowhere::Null)),
            (
                "ioctl() at the last address",
                Argument::Nowhere(Nowhere::Last),
            ),
            (
                "ioctl() at the kernel's",
                Argument::Nowhere(Nowhere::Kernel),
            ),
            ("ioctl() at nothing", Argument::At(W::B)),
            // What follows the page is PROT_NONE.
            ("ioctl() over an end", Argument::At(W::C + page - 8)),
        ] {
            let answer = c.world.arena.ioctl(&file, kind.command, argument);
            c.same(what, answer, unreadable)?;
        }
        put(c, W::C, kind)?;
        let protected = c.world.arena.protect(W::C, page, Access::READ);
        c.same("mprotect(PROT_READ)", protected, ())?;
        let arena = &mut c.world.arena;
        let answer = arena.ioctl(&file, kind.command, Argument::At(W::C));
        let want = kind.want(master, true, false);
        c.same("ioctl() on what is read-only", answer, want)?;
        let protected = c.world.arena.protect(W::C, page, Access::BOTH);
        c.same("mprotect() back", protected, ())?;
        let arena = &mut c.world.arena;
        let answer = arena.ioctl(&file, kind.command, Argument::At(W::C));
        c.same("ioctl()", answer, kind.want(master, true, true))?;
    }
    Ok(())
}

/// The argument lies in the buffer itself, in a page that has to be brought in for it.
pub(super) fn argument_in_the_buffer(c: &mut Context<'_>) -> Result<(), Stop> {
    takes_any_bytes(c.target.master)?;
    let mut file = c.open()?;
    let (size, master) = (c.size(), c.target.master);
    let laid = round::lay(&mut file, &round::at(PLAYED, 0));
    c.same("a round", laid, ())?;
    for kind in &KINDS {
        c.map(W::A, &file)?;
        // Apart from what the calls change.
        let at = W::A + 2048;
        put(c, at, kind)?;
        let dropped = c.world.arena.advise(W::A, size, DONT_NEED);
        c.same("madvise(MADV_DONTNEED)", dropped, ())?;
        let answer = c.world.arena.ioctl(&file, kind.command, Argument::At(at));
        let want = kind.want(master, true, true);
        c.same("ioctl() with an argument in the buffer", answer, want)?;
    }
    Ok(())
}

pub(super) fn put(c: &mut Context<'_>, at: u64, kind: &Kind) -> Result<(), Stop> {
    for (place, word) in (at..).step_by(8).zip(kind.words) {
        c.store(place, word)?;
    }
    Ok(())
}

/// A read-only file descriptor causes no writes; a process without the capability gets the documented error.
pub(super) fn rights(c: &mut Context<'_>) -> Result<(), Stop> {
    takes_any_bytes(c.target.master)?;
    let mut file = c.open()?;
    let laid = round::lay(&mut file, &round::at(PLAYED, 0));
    c.same("a round", laid, ())?;
    let opened = File::open(c.target.path.c_str(), true);
    let mut reader = c.found.need("open(O_RDONLY)", opened)?;
    let master = c.target.master;
    for (kind, answer) in KINDS.iter().zip(each(&mut reader)) {
        let changes = [FAULTLINE_IOC_FILL, FAULTLINE_IOC_COPY, FAULTLINE_IOC_LITMUS];
        let want = if changes.contains(&kind.command) {
            Errno::BADF.into()
        } else {
            kind.want(master, true, true)
        };
        c.same("a call on an O_RDONLY file", answer, want)?;
    }

    c.map(W::A, &file)?;
    c.store(W::A + 2048, tagged(1100))?;
    let address = c.world.arena.address(W::A + 2048);
    let frame = file.physical_address(2048);
    let frame = c.found.need("FRAME", frame)?;
    let seen = translate(&mut file, address, TRANSLATE_WRITE);
    let seen = seen.map(|answer| answer.physical_address).map(Value::Word);
    let translates = seen != Err(Errno::OPNOTSUPP);
    if translates {
        let seen = c.found.need("TRANSLATE", seen)?;
        c.same("address, as root sees it", seen, Value::Word(frame))?;
    }
    let shared = numbers(c, KINDS.len())?;
    let arena = &c.world.arena;
    let child = fork(|| {
        if set_thread_uid(Uid::from_raw(NOBODY)).is_err() {
            return 1;
        }
        for (number, answer) in shared.iter().zip(each(&mut file)) {
            number.store(answer.err().map_or(0, Errno::number), SeqCst);
        }
        // The entry was copied by fork(), or is brought in again.
        let hidden = arena.load(W::A + 2048).is_ok()
            && translate(&mut file, address, 0)
                .is_ok_and(|answer| answer.flags & TRANSLATED != 0 && answer.physical_address == 0);
        i32::from(translates && !hidden) * 2
    });
    let child = c.found.need("fork()", child)?;
    c.ending("end of nobody, who sees no physical address", child)?;
    for (kind, number) in KINDS.iter().zip(shared) {
        let answer = match number.load(SeqCst) {
            0 => Ok(()),
            number => Err(Errno::new(number)),
        };
        let want = match kind.command {
            FAULTLINE_IOC_FRAME => Errno::PERM.into(),
            _ => kind.want(master, true, true),
        };
        c.same("a call of nobody's", answer, want)?;
    }
    Ok(())
}

// ---------------------------------------------------------------------------------- TRANSLATE

/// Requests that are refused: nothing is said about addresses that are not the caller's.
pub(super) fn translate_refuses(c: &mut Context<'_>) -> Result<(), Stop> {
    let mut file = c.open()?;
    let size = c.target.size;
    if translate(&mut file, 0, 0) == Err(Errno::OPNOTSUPP) {
        return Err(Stop::Skip("this architecture does not translate"));
    }
    let kernels = usize::MAX as u64;
    for (address, request, want) in [
        // Bits that nobody knows.
        (0, 1 << 2, Errno::INVAL),
        (0, 1 << 31, Errno::INVAL),
        (0, u32::MAX, Errno::INVAL),
        // Out of the buffer.
        (size, TRANSLATE_KERNEL, Errno::INVAL),
        (size + 1, TRANSLATE_KERNEL | TRANSLATE_WRITE, Errno::INVAL),
        (size.wrapping_neg(), TRANSLATE_KERNEL, Errno::INVAL),
        (1 << 32, TRANSLATE_KERNEL, Errno::INVAL),
        (1 << 63, TRANSLATE_KERNEL, Errno::INVAL),
        (u64::MAX, TRANSLATE_KERNEL, Errno::INVAL),
        // The kernel's half, with and without a tag in the top byte, and between the halves.
        (kernels, 0, Errno::FAULT),
        (kernels, TRANSLATE_WRITE, Errno::FAULT),
        (kernels << (usize::BITS - 17), 0, Errno::FAULT),
        (kernels - 0xfff, 0, Errno::FAULT),
        (u64::MAX >> 8, 0, Errno::FAULT),
        (1 << 55, 0, Errno::FAULT),
        (1 << 52, 0, Errno::FAULT),
    ] {
        let answer = translate(&mut file, address, request).map(drop);
        c.same("TRANSLATE", answer, want)?;
    }
    for index in 0..5 {
        let mut question = Translation::default();
        question.reserved[index] = 1;
        let answer = file.call(Call::Translate(&mut question));
        c.same("TRANSLATE with a reserved byte", answer, Errno::INVAL)?;
    }
    let answer = translate(&mut file, size - 1, TRANSLATE_KERNEL | TRANSLATE_WRITE);
    let answer = c.found.need("TRANSLATE of the last byte", answer)?;
    c.same("TRANSLATED", u64::from(answer.flags & TRANSLATED), 1)
}

/// Follows what becomes of a page, and says nothing else of one that is not there.
pub(super) fn translate_follows(c: &mut Context<'_>) -> Result<(), Stop> {
    let mut file = c.open()?;
    let (page, at) = (c.page(), W::A);
    let address = c.world.arena.address(at);
    c.map(at, &file)?;
    is_nowhere(c, &mut file, "before the first touch", 0)?;
    c.store(at, tagged(1110))?;
    is_there(c, &mut file, TRANSLATE_WRITE)?;
    let protected = c.world.arena.protect(at, page, Access::READ);
    c.same("mprotect(PROT_READ)", protected, ())?;
    c.load("word", at, tagged(1110))?;
    is_there(c, &mut file, 0)?;
    is_nowhere(
        c,
        &mut file,
        "a store to what is read-only",
        TRANSLATE_WRITE,
    )?;
    let protected = c.world.arena.protect(at, page, Access::NONE);
    c.same("mprotect(PROT_NONE)", protected, ())?;
    is_nowhere(c, &mut file, "of what is PROT_NONE", 0)?;
    let protected = c.world.arena.protect(at, page, Access::BOTH);
    c.same("mprotect() back", protected, ())?;
    c.store(at, tagged(1111))?;
    is_there(c, &mut file, 0)?;
    let dropped = c.world.arena.advise(at, page, DONT_NEED);
    c.same("madvise(MADV_DONTNEED)", dropped, ())?;
    is_nowhere(c, &mut file, "after MADV_DONTNEED", 0)?;
    c.load("word", at, tagged(1111))?;
    let unmapped = c.world.arena.unmap(at, page);
    c.same("munmap()", unmapped, ())?;
    is_nowhere(c, &mut file, "after munmap()", 0)?;

    // What a device that is gone has left behind is no business of its file's any more.
    let unbound = c.target.unbind();
    let answer = translate(&mut file, address, 0).map(drop);
    let bound = c.target.bind();
    c.same("unbind", unbound, ())?;
    c.same("bind", bound, ())?;
    c.same("TRANSLATE after unbind", answer, Errno::NODEV)
}

/// A translation of the first page by the mapping at [`W::A`] that must not be one.
pub(super) fn is_nowhere(
    c: &mut Context<'_>,
    file: &mut File,
    what: &'static str,
    request: u32,
) -> Result<(), Stop> {
    let address = c.world.arena.address(W::A);
    let answer = translate(file, address, request);
    let answer = c.found.need("TRANSLATE", answer)?;
    let nothing = Translation {
        address,
        request,
        fault: answer.fault,
        ..Translation::default()
    };
    c.same(what, u64::from(answer == nothing), 1)
}

/// One that must be one, and right.
pub(super) fn is_there(c: &mut Context<'_>, file: &mut File, request: u32) -> Result<(), Stop> {
    let answer = translate(file, c.world.arena.address(W::A), request);
    let answer = c.found.need("TRANSLATE", answer)?;
    c.same("TRANSLATED", u64::from(answer.flags & TRANSLATED), 1)?;
    let frame = file.physical_address(0);
    let frame = c.found.need("FRAME", frame)?;
    let seen = Value::Word(answer.physical_address);
    c.same("address", seen, Value::Word(frame))
}

/// A task of the same address space maps, touches, protects and unmaps what is asked about: it is
/// the page that the task has stored to, or nothing.
pub(super) fn translate_against_munmap(c: &mut Context<'_>) -> Result<(), Stop> {
    /// How often it is asked about.
    const LEAST: u64 = 3000;

    if c.world.cpus < 2 {
        return Err(Stop::Skip("it takes two CPUs"));
    }
    let mut file = c.open()?;
    let info = c.target.info();
    let info = c.found.need("INFO", info)?;
    let frame = file.physical_address(8);
    let frame = c.found.need("FRAME", frame)?;
    let attribute = if info.flags & FLAG_COHERENT != 0 {
        0xff
    } else {
        0x44
    };
    let mapper = c.open()?;
    let length = c.size().min(BLOCK);
    let address = c.world.arena.address(W::A + 8);
    let page = c.page();
    let found = &mut c.found;
    let raced = map_again_and_again(
        &mut c.world.arena,
        Remapping {
            at: W::A,
            length,
            file: mapper.as_fd(),
            word: tagged(1120),
            fate: Fate::Unmapped,
            cpu: 1,
        },
        |_| -> Result<(), Stop> {
            let (mut there, mut gone) = (0_u64, 0_u64);
            let deadline = now_ms() + PATIENCE_MS;
            while there + gone < LEAST || ((there == 0 || gone == 0) && now_ms() < deadline) {
                let request = if there % 2 == 0 { 0 } else { TRANSLATE_WRITE };
                let answer = translate(&mut file, address, request);
                let answer = found.need("TRANSLATE", answer)?;
                if answer.flags & TRANSLATED == 0 {
                    let seen = Value::Word(answer.physical_address);
                    found.same("address of nothing", seen, Value::Word(0))?;
                    gone += 1;
                    continue;
                }
                there += 1;
                let seen = Value::Word(answer.physical_address);
                found.same("address", seen, Value::Word(frame))?;
                found.same("attribute", u64::from(answer.attribute), attribute)?;
                // The entry may have gone between the two looks at it.
                let entry = answer.entry_size;
                let is_entry = entry == 0 || (page..=BLOCK).contains(&entry);
                found.same("size of an entry", u64::from(is_entry), 1)?;
            }
            found.same("whether it was ever there", there.min(1), 1)?;
            found.same("whether it was ever gone", gone.min(1), 1)
        },
    );
    c.found.need("a task that maps", raced)?
}
