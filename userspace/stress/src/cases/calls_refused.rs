// SPDX-License-Identifier: GPL-2.0-only

//! The calls of the self-test, with wrong arguments and without the right to make them.

use core::sync::atomic::Ordering::SeqCst;

use faultline_core::device::{Call, Device};
use faultline_core::errno::Errno;
use faultline_core::finding::{Stop, Value};
use faultline_sys::arena::{Access, Argument, Nowhere};
use faultline_sys::child::{become_nobody, fork};
use faultline_sys::cpu::Pinned;
use faultline_sys::device::File;
use faultline_uapi::{
    Litmus, Translation, FAULTLINE_IOC_COPY, FAULTLINE_IOC_FILL, FAULTLINE_IOC_FRAME,
    FAULTLINE_IOC_LITMUS, TRANSLATED, TRANSLATE_KERNEL, TRANSLATE_WRITE,
};

use super::calls::{copy_of, each, fill_of, takes_any_bytes, translate, Kind, KINDS, PLAYED};
use super::context::{numbers, Context};
use super::Case;
use crate::round;
use crate::world::{tagged, World as W};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "arguments",
        proves: "A call answers EFAULT if its argument is not the caller's memory as a whole, or if the \
            call writes to the argument and the caller may not.",
        steps: arguments,
    },
    Case {
        name: "argument_in_the_buffer",
        proves: "An argument may lie in the buffer itself, in a page that a fault of the driver's \
            has to map first.",
        steps: argument_in_the_buffer,
    },
    Case {
        name: "rights",
        proves: "A file that is open for reading only causes no writes (EBADF), and a process \
            without capabilities sees no physical address.",
        steps: rights,
    },
    Case {
        name: "translate_refuses",
        proves: "TRANSLATE refuses unknown bits, reserved bytes and offsets outside the buffer, \
            and says nothing about addresses of the kernel's half.",
        steps: translate_refuses,
    },
    Case {
        name: "masters",
        proves: "FILL and COPY refuse every range that is not inside the buffer, reserved fields, \
            and more than the bus master can do; what they accept, they do.",
        steps: masters,
    },
    Case {
        name: "litmus_refuses",
        proves: "LITMUS refuses tests, CPUs and round counts that do not exist, and words that \
            are not aligned, not in the buffer, or overlap; it counts a wrong word.",
        steps: litmus_refuses,
    },
    Case {
        name: "litmus_keeps_off",
        proves: "LITMUS gives EPERM for a CPU that the affinity of its caller excludes, and tests its own CPU.",
        steps: litmus_keeps_off,
    },
];

fn arguments(c: &mut Context<'_>) -> Result<(), Stop> {
    takes_any_bytes(c.target.master)?;
    let mut file = c.open()?;
    let page = c.page();
    let laid = round::lay(&mut file, &round::at(PLAYED, 0));
    c.same("a round", laid, ())?;
    let mapped = c.world.arena.map_memory(W::C, page, Access::BOTH);
    c.same("mmap(MAP_ANONYMOUS)", mapped, ())?;
    let hole = c.world.arena.unmap(W::B, page);
    c.same("munmap()", hole, ())?;
    for kind in &KINDS {
        let unreadable = kind.want(c.target, false, false);
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
        let want = kind.want(c.target, true, false);
        c.same("ioctl() on what is read-only", answer, want)?;
        let protected = c.world.arena.protect(W::C, page, Access::BOTH);
        c.same("mprotect() back", protected, ())?;
        let arena = &mut c.world.arena;
        let answer = arena.ioctl(&file, kind.command, Argument::At(W::C));
        c.same("ioctl()", answer, kind.want(c.target, true, true))?;
    }
    Ok(())
}

fn argument_in_the_buffer(c: &mut Context<'_>) -> Result<(), Stop> {
    takes_any_bytes(c.target.master)?;
    let mut file = c.open()?;
    let size = c.size();
    let laid = round::lay(&mut file, &round::at(PLAYED, 0));
    c.same("a round", laid, ())?;
    for kind in &KINDS {
        c.map(W::A, &file)?;
        // Apart from what the calls change.
        let at = W::A + 2048;
        put(c, at, kind)?;
        let dropped = c.world.arena.drop_pages(W::A, size, &file, 0);
        c.same("madvise(MADV_DONTNEED)", dropped, ())?;
        let answer = c.world.arena.ioctl(&file, kind.command, Argument::At(at));
        let want = kind.want(c.target, true, true);
        c.same("ioctl() with an argument in the buffer", answer, want)?;
    }
    Ok(())
}

fn rights(c: &mut Context<'_>) -> Result<(), Stop> {
    takes_any_bytes(c.target.master)?;
    let mut file = c.open()?;
    let laid = round::lay(&mut file, &round::at(PLAYED, 0));
    c.same("a round", laid, ())?;
    let opened = File::open(c.target.path.c_str(), true);
    let mut reader = c.need("open(O_RDONLY)", opened)?;
    for (kind, answer) in KINDS.iter().zip(each(&mut reader)) {
        let changes = [FAULTLINE_IOC_FILL, FAULTLINE_IOC_COPY, FAULTLINE_IOC_LITMUS];
        let want = if changes.contains(&kind.command) {
            Errno::BADF.into()
        } else {
            kind.want(c.target, true, true)
        };
        c.same("a call on an O_RDONLY file", answer, want)?;
    }

    c.map(W::A, &file)?;
    c.store(W::A + 2048, tagged(1100))?;
    let address = c.world.arena.address(W::A + 2048);
    let frame = file.physical_address(2048);
    let frame = c.need("FRAME", frame)?;
    let seen = translate(&mut file, address, TRANSLATE_WRITE);
    let seen = seen.map(|answer| answer.physical_address).map(Value::Word);
    let translates = seen != Err(Errno::OPNOTSUPP);
    if translates {
        let seen = c.need("TRANSLATE", seen)?;
        c.same("address, as root sees it", seen, Value::Word(frame))?;
    }
    let shared = numbers::<{ KINDS.len() }>(c);
    let arena = &c.world.arena;
    let child = fork(|| {
        if become_nobody().is_err() {
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
    let child = c.need("fork()", child)?;
    c.ending("end of nobody, who sees no physical address", child)?;
    for (kind, number) in KINDS.iter().zip(shared) {
        let answer = match number.load(SeqCst) {
            0 => Ok(()),
            number => Err(Errno::new(number)),
        };
        let want = match kind.command {
            FAULTLINE_IOC_FRAME => Errno::PERM.into(),
            _ => kind.want(c.target, true, true),
        };
        c.same("a call of nobody's", answer, want)?;
    }
    Ok(())
}

fn translate_refuses(c: &mut Context<'_>) -> Result<(), Stop> {
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
    let answer = c.need("TRANSLATE of the last byte", answer)?;
    c.same("TRANSLATED", answer.flags & TRANSLATED != 0, true)
}

fn masters(c: &mut Context<'_>) -> Result<(), Stop> {
    takes_any_bytes(c.target.master)?;
    let mut file = c.open()?;
    let (size, master) = (c.target.size, c.target.master);
    let limits = master.unwrap_or_default();
    // The whole of what is refused is left as it was.
    let written = file.write_at(0, &tagged(1130).to_ne_bytes());
    c.same("write()", written, 8)?;
    let written = file.write_at(size - 8, &tagged(1131).to_ne_bytes());
    c.same("write()", written, 8)?;
    for (offset, length) in [
        (0, 0),
        (size, 1),
        (size - 1, 2),
        (0, size + 1),
        (1, size),
        (0, 1 << 32),
        (0, u64::MAX),
        (1, u64::MAX),
        (8, u64::MAX - 7),
        (1 << 32, 8),
        (1 << 63, 1 << 63),
        (u64::MAX, 1),
        (u64::MAX, u64::MAX),
        // That the bus master has less than that does not make up for what is not there.
        (size - limits.max_fill, limits.max_fill + 1),
    ] {
        let want = master.map_or_else(Value::Errno, |_| Errno::INVAL.into());
        let answer = file.call(Call::Fill(&mut fill_of(offset, length)));
        c.same("FILL", answer, want)?;
        for (source, destination) in [(offset, 0), (0, offset)] {
            let answer = file.call(Call::Copy(&mut copy_of(source, destination, length)));
            c.same("COPY", answer, want)?;
        }
    }
    for reserved in [1, 1 << 63] {
        let mut fill = fill_of(0, 8);
        fill.reserved = reserved;
        let answer = file.call(Call::Fill(&mut fill));
        c.same("FILL with a reserved field", answer, Errno::INVAL)?;
        let mut copy = copy_of(0, 8, 8);
        copy.reserved = reserved;
        let answer = file.call(Call::Copy(&mut copy));
        c.same("COPY with a reserved field", answer, Errno::INVAL)?;
    }
    let too_long = limits.max_copy + 1;
    if limits.max_copy > 0 && too_long <= size {
        let answer = file.call(Call::Copy(&mut copy_of(0, 0, too_long)));
        c.same("COPY of more than there can be", answer, Errno::MSGSIZE)?;
    }
    c.read_word(&mut file, 0, tagged(1130))?;
    c.read_word(&mut file, size - 8, tagged(1131))?;
    if master.is_err() {
        return Ok(());
    }

    // At either end all is well, and over itself.
    for (source, destination) in [(0, 8), (8, size - 8), (size - 8, 0), (0, 4), (16, 16)] {
        let cleared = file.write_at(destination & !7, &[0; 8]);
        c.same("write()", cleared, 8)?;
        let written = file.write_at(source, &tagged(1132).to_ne_bytes());
        c.same("write()", written, 8)?;
        let answer = file.call(Call::Copy(&mut copy_of(source, destination, 8)));
        c.same("COPY", answer, ())?;
        let mut bytes = [0; 8];
        let length = file.read_at(destination, &mut bytes);
        c.same("length of a read()", length, 8)?;
        let word = Value::Word(u64::from_ne_bytes(bytes));
        c.same("word that was copied", word, Value::Word(tagged(1132)))?;
    }
    // All that may be asked for is not all that there is.
    let mut fill = fill_of(0, size);
    let answer = file.call(Call::Fill(&mut fill));
    c.same("FILL of all", answer, ())?;
    c.same("bytes filled", fill.length, limits.max_fill)?;
    let filled = file.call(Call::Fill(&mut fill_of(size - 1, 1)));
    c.same("FILL of the last byte", filled, ())
}

fn litmus_refuses(c: &mut Context<'_>) -> Result<(), Stop> {
    let mut file = c.open()?;
    let (size, cpus) = (c.target.size, c.world.cpus as u32);
    let good = round::at(PLAYED, 0);
    let laid = round::lay(&mut file, &good);
    c.same("a round", laid, ())?;
    let refused = |change: fn(&mut Litmus, u64, u32)| {
        let mut question = good;
        change(&mut question, size, cpus);
        question
    };
    for question in [
        refused(|q, _, _| q.test = 1),
        refused(|q, _, _| q.test = u32::MAX),
        refused(|q, _, _| q.rounds = 0),
        // CPUs that there are not, or that are offline.
        refused(|q, _, cpus| q.cpu = cpus),
        refused(|q, _, _| q.cpu = 1 << 12),
        refused(|q, _, _| q.cpu = 1 << 31),
        refused(|q, _, _| q.cpu = u32::MAX),
        // Not aligned.
        refused(|q, _, _| q.data = 1),
        refused(|q, _, _| q.flag += 4),
        refused(|q, size, _| q.answer_data = size - 65),
        refused(|q, size, _| q.answer_flag = size - 12),
        // Not in the buffer.
        refused(|q, size, _| q.data = size),
        refused(|q, size, _| q.data = size - 56),
        refused(|q, size, _| q.flag = size),
        refused(|q, size, _| q.answer_data = size - 8),
        refused(|q, size, _| q.answer_flag = size),
        refused(|q, _, _| q.data = u64::MAX - 63),
        refused(|q, _, _| q.data = u64::MAX - 7),
        refused(|q, _, _| q.flag = u64::MAX - 7),
        refused(|q, _, _| q.answer_data = 1 << 63),
        refused(|q, _, _| q.answer_flag = 1 << 32),
        // Not apart.
        refused(|q, _, _| q.answer_data = q.data),
        refused(|q, _, _| q.answer_data = q.data + 56),
        refused(|q, _, _| q.answer_flag = q.flag),
        refused(|q, _, _| q.flag = q.data),
        refused(|q, _, _| q.flag = q.data + 56),
        refused(|q, _, _| q.answer_flag = q.data + 8),
        refused(|q, _, _| q.answer_flag = q.answer_data + 56),
        refused(|q, _, _| q.flag = q.answer_data),
    ] {
        let answer = file.call(Call::Litmus(&mut question.clone()));
        c.same("LITMUS", answer, Errno::INVAL)?;
    }
    let last = round::at(size - round::LENGTH, cpus - 1);
    let wrong = round::play(&mut file, last);
    c.same("wrong rounds at the buffer's end", wrong, 0)?;
    let laid = round::lay(&mut file, &last);
    let spoiled = laid.and_then(|()| file.write_at(last.data + 56, &[0]));
    c.same("write()", spoiled, 1)?;
    let mut answer = last;
    let played = file.call(Call::Litmus(&mut answer));
    c.same("LITMUS", played, ())?;
    let counted = [answer.wrong, answer.first_wrong_round];
    c.same("whether a wrong word was seen", counted == [1, 1], true)
}

fn put(c: &mut Context<'_>, at: u64, kind: &Kind) -> Result<(), Stop> {
    for (place, word) in (at..).step_by(8).zip(kind.words) {
        c.store(place, word)?;
    }
    Ok(())
}

fn litmus_keeps_off(c: &mut Context<'_>) -> Result<(), Stop> {
    if c.world.cpus < 2 {
        return Err(Stop::Skip("it takes two CPUs"));
    }
    let mut file = c.open()?;
    let pinned = Pinned::to_cpu(0);
    let pinned = c.need("sched_setaffinity()", pinned)?;
    let own = round::play(&mut file, round::at(PLAYED, 0));
    let other = round::play(&mut file, round::at(PLAYED, 1));
    drop(pinned);
    c.same("wrong rounds on the CPU of the task", own, 0)?;
    c.same("a test on a CPU that it is kept off", other, Errno::PERM)?;
    let free = round::play(&mut file, round::at(PLAYED, 1));
    c.same("wrong rounds on that CPU afterwards", free, 0)
}
