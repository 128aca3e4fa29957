// SPDX-License-Identifier: GPL-2.0-only

//! The calls of the driver's own: with arguments that are wrong, by who may not, at bad moments.

use core::sync::atomic::Ordering::SeqCst;

use faultline_core::device::{Call, Device};
use faultline_core::errno::Errno;
use faultline_sys::arena::{Access, Argument, Nowhere, DONT_NEED};
use faultline_sys::device::File;
use faultline_sys::task::{fork, ioctl_beside, map_again_and_again, Child, Ending, Fate};
use faultline_uapi::{
    Copy, Fill, Frame, Info, Litmus, Master, Translation, FAULTLINE_IOC_COPY, FAULTLINE_IOC_FILL,
    FAULTLINE_IOC_FRAME, FAULTLINE_IOC_INFO, FAULTLINE_IOC_LITMUS, FAULTLINE_IOC_MASTER,
    FAULTLINE_IOC_TRANSLATE, FLAG_COHERENT, LITMUS_PATIENCE_MS, MASTER_COPY, MASTER_FILL,
    TRANSLATED, TRANSLATE_KERNEL, TRANSLATE_WRITE,
};
use rustix::process::{kill_process, Pid, Signal, Uid};
use rustix::thread::set_thread_uid;

use super::{end_within, is_fresh, numbers, wait_in_child, Context, NOBODY, PATIENCE_MS, W};
use crate::report::{Stop, Value};
use crate::round;
use crate::world::{now_ms, sleep_ms, tagged};

/// Where in the buffer LITMUS has the round that comes, and one that does not.
const PLAYED: u64 = 0;
const AWAITED: u64 = 1024;

/// What one entry of the page table can map at most, in bytes.
const BLOCK: u64 = 2 << 20;

/// A call, and what there is to know about its argument.
struct Kind {
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
    fn want(&self, master: Result<Master, Errno>, readable: bool, writable: bool) -> Value {
        match master {
            _ if self.reads && !readable => Errno::FAULT.into(),
            Err(reason) if self.takes_master => reason.into(),
            _ if self.writes && !writable => Errno::FAULT.into(),
            _ => Value::Done,
        }
    }
}

const fn kind(command: u32, takes_master: bool, words: [u64; 6]) -> Kind {
    Kind {
        command,
        // By the direction in its number (include/uapi/asm-generic/ioctl.h).
        reads: command >> 30 & 1 != 0,
        writes: command >> 30 & 2 != 0,
        takes_master,
        words,
    }
}

const KINDS: [Kind; 7] = [
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
fn takes_any_bytes(master: Result<Master, Errno>) -> Result<(), Stop> {
    match master {
        Ok(master) if master.alignment > 1 || master.abilities != MASTER_FILL | MASTER_COPY => {
            Err(Stop::Skip("a bus master that cannot do all"))
        }
        _ => Ok(()),
    }
}

fn fill_of(offset: u64, length: u64) -> Fill {
    Fill {
        offset,
        length,
        reserved: 0,
    }
}

fn copy_of(source: u64, destination: u64, length: u64) -> Copy {
    Copy {
        source,
        destination,
        length,
        reserved: 0,
    }
}

fn translate(file: &mut File, address: u64, request: u32) -> Result<Translation, Errno> {
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

fn put(c: &mut Context<'_>, at: u64, kind: &Kind) -> Result<(), Stop> {
    for (place, word) in (at..).step_by(8).zip(kind.words) {
        c.store(place, word)?;
    }
    Ok(())
}

/// Who may only read has nobody write for him; and who has no capability gets what is documented.
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
fn is_nowhere(
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
fn is_there(c: &mut Context<'_>, file: &mut File, request: u32) -> Result<(), Stop> {
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
        W::A,
        length,
        &mapper,
        tagged(1120),
        Fate::Unmapped,
        1,
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

// ---------------------------------------------------------------------------------- FILL, COPY

/// Places and lengths that a bus master must not be told of. Without one there is nobody to tell.
pub(super) fn masters(c: &mut Context<'_>) -> Result<(), Stop> {
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

/// Several processes have the bus master work all the time: an unbinding waits for what is under
/// way, and nothing begins after it.
pub(super) fn unbind_against_masters(c: &mut Context<'_>) -> Result<(), Stop> {
    const PROCESSES: usize = 4;

    let Ok(master) = c.target.master else {
        return Err(Stop::Skip("it takes a bus master"));
    };
    let (fills, copies) = (
        master.abilities & MASTER_FILL != 0,
        master.abilities & MASTER_COPY != 0,
    );
    let unit = u64::from(master.alignment);
    let shared = numbers(c, 2)?;
    let [over, worked] = shared else {
        unreachable!("as many as were asked for");
    };
    let target = c.target;
    let mut children = heapless::Vec::<Child, PROCESSES>::new();
    for number in 0..PROCESSES as u64 {
        let child = fork(|| {
            while over.load(SeqCst) == 0 {
                let Ok(mut file) = target.open() else {
                    sleep_ms(1);
                    continue;
                };
                loop {
                    let turn = worked.fetch_add(1, SeqCst);
                    // All of them to the same place; and each from its own.
                    let worker = if fills && (turn % 2 == 0 || !copies) {
                        file.call(Call::Fill(&mut fill_of(0, master.max_fill)))
                    } else {
                        let place = 64 * number * unit;
                        let mut copy = copy_of(place, 512 * unit + place, 16 * unit);
                        file.call(Call::Copy(&mut copy))
                    };
                    match worker {
                        Ok(()) if over.load(SeqCst) == 0 => {}
                        Ok(()) => return 0,
                        Err(Errno::NODEV) => break,
                        Err(error) => return error.number() as i32,
                    }
                }
            }
            0
        });
        let child = c.found.need("fork()", child)?;
        let _ = children.push(child);
    }
    let result = (0..c.cycles * 4).try_for_each(|cycle| {
        let before = worked.load(SeqCst);
        c.wait_for("work of a bus master", worked, before + 1 + 8 * (cycle % 8))?;
        let unbound = c.target.unbind();
        let bound = c.target.bind();
        c.same("unbind", unbound, ())?;
        c.same("bind", bound, ())
    });
    over.store(1, SeqCst);
    result?;
    for child in children {
        c.ending("end of a process that has it work", child)?;
    }
    let unbound = c.target.unbind();
    let bound = c.target.bind();
    c.same("unbind", unbound, ())?;
    c.same("bind", bound, ())?;
    is_fresh(c)
}

// -------------------------------------------------------------------------------------- LITMUS

/// Tests that there are not; and one that tells right words from wrong ones.
pub(super) fn litmus_refuses(c: &mut Context<'_>) -> Result<(), Stop> {
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
    c.same(
        "whether a wrong word was seen",
        u64::from(counted == [1, 1]),
        1,
    )
}

/// Starts a process that has the buffer tested by a round that never comes, and waits until it is
/// being tested. Its status is the number of the error in the end.
fn tester(c: &mut Context<'_>, file: &mut File) -> Result<Child, Stop> {
    let question = round::at(AWAITED, 0);
    let cleared = round::flag(file, &question, 0);
    c.same("a flag", cleared, ())?;
    let child = fork(|| {
        let deadline = now_ms() + PATIENCE_MS;
        loop {
            let answer = file.call(Call::Litmus(&mut question.clone()));
            match answer {
                Err(Errno::BUSY | Errno::TIMEDOUT) if now_ms() < deadline => {}
                answer => return answer.err().map_or(0, Errno::number) as i32,
            }
        }
    });
    let child = c.found.need("fork()", child)?;
    is_busy(c, file)?;
    Ok(child)
}

/// Waits until a test of the buffer is under way, which is in the way of any other.
fn is_busy(c: &mut Context<'_>, file: &mut File) -> Result<(), Stop> {
    let deadline = now_ms() + PATIENCE_MS;
    let mut other = round::play(file, round::at(PLAYED, 0));
    while other == Ok(0) && now_ms() < deadline {
        sleep_ms(1);
        other = round::play(file, round::at(PLAYED, 0));
    }
    c.same("another test at the same time", other, Errno::BUSY)
}

/// A test of which nobody plays the other side, and how it can end: nothing is stuck, and the next
/// one is made at once.
pub(super) fn litmus_ends(c: &mut Context<'_>) -> Result<(), Stop> {
    let mut file = c.open()?;

    let began = now_ms();
    let mut question = round::at(AWAITED, 0);
    let cleared = round::flag(&mut file, &question, 0);
    c.same("a flag", cleared, ())?;
    let answer = file.call(Call::Litmus(&mut question));
    c.same("a round that never comes", answer, Errno::TIMEDOUT)?;
    let was_patient = now_ms() - began >= u64::from(LITMUS_PATIENCE_MS) - 100;
    c.same("whether it was waited for", u64::from(was_patient), 1)?;
    plays(c, &mut file)?;

    // A signal that the process survives: it stops, and goes on.
    let mut child = tester(c, &mut file)?;
    let pid = Pid::from_raw(child.pid() as i32);
    let pid = c
        .found
        .need("number of a process", pid.ok_or(Errno::NOENT))?;
    let deadline = now_ms() + PATIENCE_MS;
    let mut ending = child.ending();
    while ending.is_none() && now_ms() < deadline {
        // It may just have been between two tests.
        for signal in [Signal::STOP, Signal::CONT] {
            let sent = kill_process(pid, signal).map_err(crate::world::errno);
            c.same("kill()", sent, ())?;
            sleep_ms(20);
        }
        ending = child.ending();
    }
    let ending = ending.map_or(Value::Text("it does not end"), Value::from);
    let interrupted = Value::Status(Errno::INTR.number() as i32);
    c.same("end of a test that a signal came to", ending, interrupted)?;
    plays(c, &mut file)?;

    let child = tester(c, &mut file)?;
    child.kill();
    let ending = end_within(child, PATIENCE_MS);
    c.same("end of a process that tests", ending, Ending::Killed(9))?;
    plays(c, &mut file)?;

    let child = tester(c, &mut file)?;
    let unbound = c.target.unbind();
    let bound = c.target.bind();
    c.same("unbind", unbound, ())?;
    c.same("bind", bound, ())?;
    let ending = end_within(child, PATIENCE_MS);
    let gone = Value::Status(Errno::NODEV.number() as i32);
    c.same("end of a test of what is gone", ending, gone)?;
    let mut file = c.open()?;
    plays(c, &mut file)
}

fn plays(c: &mut Context<'_>, file: &mut File) -> Result<(), Stop> {
    let wrong = round::play(file, round::at(PLAYED, 0));
    c.same("wrong rounds of the next test", wrong, 0)
}

/// During a test the process forks and closes the file, by another task: the test goes on.
pub(super) fn litmus_outlives_its_file(c: &mut Context<'_>) -> Result<(), Stop> {
    /// On a busy machine the round may come too late; and the test that looks whether there is
    /// another may itself be in the way of that.
    const TRIES: u64 = 5;

    let mut other = c.open()?;
    let question = round::at(AWAITED, 0);
    let places = [
        question.data,
        question.flag,
        question.answer_data,
        question.answer_flag,
    ];
    let mut answer = Err(Errno::TIMEDOUT);
    for _ in 0..TRIES {
        let cleared = round::flag(&mut other, &question, 0);
        c.same("a flag", cleared, ())?;
        c.store(W::MEMORY, u64::from(question.cpu))?;
        c.store(W::MEMORY + 8, question.rounds)?;
        for (at, place) in (W::MEMORY + 16..).step_by(8).zip(places) {
            c.store(at, place)?;
        }
        let file = c.open()?;
        let deadline = now_ms() + 2 * u64::from(LITMUS_PATIENCE_MS);
        let tested = ioctl_beside(
            &mut c.world.arena,
            file,
            FAULTLINE_IOC_LITMUS,
            W::MEMORY,
            |_, file| {
                let mut busy = Ok(0);
                while busy == Ok(0) && now_ms() < deadline {
                    sleep_ms(1);
                    busy = round::play(&mut other, round::at(PLAYED, 0));
                }
                // The child has the file too, and loses it at its end.
                let forked = fork(|| 0).map(Child::wait);
                drop(file);
                let played = round::lay(&mut other, &question);
                (busy, forked, played)
            },
        );
        let ((busy, forked, played), tested) = c.found.need("a task that tests", tested)?;
        c.same("end of a child", forked, Value::Status(0))?;
        c.same("the round", played, ())?;
        answer = tested;
        if !matches!(answer, Err(Errno::TIMEDOUT | Errno::BUSY)) {
            c.same("another test at the same time", busy, Errno::BUSY)?;
            break;
        }
    }
    c.same("a test whose file is closed", answer, ())?;
    plays(c, &mut other)
}

/// Many want to test at once: one does, the others are told so, and all find what they are told.
pub(super) fn litmus_alone(c: &mut Context<'_>) -> Result<(), Stop> {
    const PROCESSES: usize = 4;
    const TESTS: u64 = 40;

    let shared = numbers(c, 2)?;
    let [ready, played] = shared else {
        unreachable!("as many as were asked for");
    };
    let target = c.target;
    let cpus = c.world.cpus as u32;
    let mut children = heapless::Vec::<Child, PROCESSES>::new();
    for number in 0..PROCESSES as u32 {
        let child = fork(|| {
            let Ok(mut file) = target.open() else {
                return 1;
            };
            ready.fetch_add(1, SeqCst);
            wait_in_child(ready, PROCESSES as u64);
            let question = round::at(256 * u64::from(number), number % cpus);
            for _ in 0..TESTS {
                match round::play(&mut file, question) {
                    Ok(0) => played.fetch_add(1, SeqCst),
                    Err(Errno::BUSY) => 0,
                    Ok(_) => return 2,
                    Err(error) => return error.number() as i32,
                };
            }
            0
        });
        let child = c.found.need("fork()", child)?;
        let _ = children.push(child);
    }
    for child in children {
        c.ending("end of a process that tests", child)?;
    }
    let played = played.load(SeqCst).min(1);
    c.same("whether any test was made", played, 1)
}
