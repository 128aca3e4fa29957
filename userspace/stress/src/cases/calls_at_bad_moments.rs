// SPDX-License-Identifier: GPL-2.0-only

//! The calls of the self-test, at bad moments.

use core::sync::atomic::Ordering::SeqCst;

use faultline_core::device::{Call, Device};
use faultline_core::errno::Errno;
use faultline_core::finding::{Stop, Value};
use faultline_sys::arena::Access;
use faultline_sys::child::{fork, Child, Ending};
use faultline_sys::device::File;
use faultline_sys::race::{ioctl_beside, map_again_and_again, Fate, Remapping};
use faultline_uapi::{
    Translation, FAULTLINE_IOC_LITMUS, FLAG_CACHED, FLAG_COHERENT, LITMUS_PATIENCE_MS, MASTER_COPY,
    MASTER_FILL, TRANSLATED, TRANSLATE_WRITE,
};
use rustix::fd::AsFd;
use rustix::process::Signal;

use super::calls::{copy_of, fill_of, translate, AWAITED, PLAYED, PMD_SIZE};
use super::context::{answer_of, end_within, numbers, wait_in_child, Context, PATIENCE_MS};
use super::race::{race, CPU};
use super::unbind::is_fresh;
use super::Case;
use crate::round;
use crate::world::{now_ms, sleep_ms, tagged, World as W};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "translate_follows",
        proves: "TRANSLATE follows what becomes of a page, and says nothing about one that is not \
            there; ENODEV after an unbinding.",
        steps: translate_follows,
    },
    Case {
        name: "translate_against_munmap",
        proves: "While another task of the process maps, protects and unmaps the page, TRANSLATE \
            sees the page of the buffer, or nothing.",
        steps: translate_against_munmap,
    },
    Case {
        name: "litmus_alone",
        proves: "Of several processes that call LITMUS at the same time, each runs its test or \
            gets EBUSY, and no word is wrong.",
        steps: litmus_alone,
    },
    Case {
        name: "litmus_ends",
        proves: "A test whose other side never comes ends by the time limit, a signal, the death \
            of its process, or an unbinding; the next test runs at once.",
        steps: litmus_ends,
    },
    Case {
        name: "litmus_outlives_its_file",
        proves: "A test goes on while its process forks and another task closes the file.",
        steps: litmus_outlives_its_file,
    },
    Case {
        name: "unbind_against_litmus",
        proves: "The kernel thread of a test loses its CPU anywhere, and the device is unbound: \
            the test ends, and sees no buffer that is gone.",
        steps: unbind_against_litmus,
    },
    Case {
        name: "unbind_against_masters",
        proves: "An unbinding waits for what the bus master does for several processes, and \
            nothing begins after it.",
        steps: unbind_against_masters,
    },
];

fn translate_follows(c: &mut Context<'_>) -> Result<(), Stop> {
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
    let dropped = c.world.arena.drop_pages(at, page, &file, 0);
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

fn translate_against_munmap(c: &mut Context<'_>) -> Result<(), Stop> {
    /// How often it is asked about.
    const LEAST: u64 = 3000;

    if c.world.cpus < 2 {
        return Err(Stop::Skip("it takes two CPUs"));
    }
    let mut file = c.open()?;
    let info = c.target.info();
    let info = c.need("INFO", info)?;
    let frame = file.physical_address(8);
    let frame = c.need("FRAME", frame)?;
    let attribute = if info.flags & (FLAG_COHERENT | FLAG_CACHED) != 0 {
        0xff
    } else {
        0x44
    };
    let mapper = c.open()?;
    let length = c.size().min(PMD_SIZE);
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
                let is_entry = entry == 0 || (page..=PMD_SIZE).contains(&entry);
                found.same("whether the size is that of an entry", is_entry, true)?;
            }
            found.same("whether it was ever there", there > 0, true)?;
            found.same("whether it was ever gone", gone > 0, true)
        },
    );
    c.task(raced)?
}

fn litmus_alone(c: &mut Context<'_>) -> Result<(), Stop> {
    const PROCESSES: usize = 4;
    const TESTS: u64 = 40;

    let [ready, played, wrong] = numbers(c);
    let target = c.target;
    let cpus = c.world.cpus as u32;
    let mut children = heapless::Vec::<Child, PROCESSES>::new();
    for number in 0..PROCESSES as u32 {
        let child = fork(|| {
            let mut file = match target.open() {
                Ok(file) => file,
                Err(error) => return error.number() as i32,
            };
            ready.fetch_add(1, SeqCst);
            wait_in_child(ready, PROCESSES as u64);
            let question = round::at(256 * u64::from(number), number % cpus);
            for _ in 0..TESTS {
                match round::play(&mut file, question) {
                    Ok(0) => played.fetch_add(1, SeqCst),
                    Err(Errno::BUSY) => 0,
                    Ok(words) => wrong.fetch_add(words, SeqCst),
                    Err(error) => return error.number() as i32,
                };
            }
            0
        });
        let child = c.need("fork()", child)?;
        let _ = children.push(child);
    }
    for child in children {
        c.answer("open() or LITMUS by another process", child)?;
    }
    c.same("wrong words", wrong.load(SeqCst), 0)?;
    let played = played.load(SeqCst);
    c.same("whether any test was made", played > 0, true)
}

fn litmus_ends(c: &mut Context<'_>) -> Result<(), Stop> {
    let mut file = c.open()?;

    let began = now_ms();
    let mut question = round::at(AWAITED, 0);
    let cleared = round::flag(&mut file, &question, 0);
    c.same("a flag", cleared, ())?;
    let answer = file.call(Call::Litmus(&mut question));
    c.same("a round that never comes", answer, Errno::TIMEDOUT)?;
    let was_patient = now_ms() - began >= u64::from(LITMUS_PATIENCE_MS) - 100;
    c.same("whether it was waited for", was_patient, true)?;
    plays(c, &mut file)?;

    // A signal that the process survives: it stops, and goes on.
    let mut child = tester(c, &mut file)?;
    let deadline = now_ms() + PATIENCE_MS;
    let mut ending = child.ending();
    while ending.is_none() && now_ms() < deadline {
        // It may just have been between two tests.
        for signal in [Signal::STOP, Signal::CONT] {
            let sent = child.signal(signal);
            c.same("kill()", sent, ())?;
            sleep_ms(20);
        }
        ending = child.ending();
    }
    let answer = answer_of(ending.map_or(Value::Running, Value::from));
    c.same("a test that a signal came to", answer, Errno::INTR)?;
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
    let answer = answer_of(end_within(child, PATIENCE_MS));
    c.same("a test of what is gone", answer, Errno::NODEV)?;
    let mut file = c.open()?;
    plays(c, &mut file)
}

fn litmus_outlives_its_file(c: &mut Context<'_>) -> Result<(), Stop> {
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
        let ((busy, forked, played), tested) = c.task(tested)?;
        c.same("end of a child", forked, Ending::Exit(0))?;
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

fn unbind_against_litmus(c: &mut Context<'_>) -> Result<(), Stop> {
    race(c, |c, race| {
        let Ok(mut file) = c.target.open() else {
            return;
        };
        race.ready.store(1, SeqCst);
        while !race.is_over() {
            let was_unbound = race.is_unbound();
            race.tries.fetch_add(1, SeqCst);
            match round::play(&mut file, round::at(0, CPU as u32)) {
                Ok(0) if !was_unbound => {}
                // Of a buffer that is gone, or with other words than are in it.
                Ok(_) => {
                    race.stale.fetch_add(1, SeqCst);
                    return;
                }
                Err(_) => return,
            }
        }
    })
}

fn unbind_against_masters(c: &mut Context<'_>) -> Result<(), Stop> {
    const PROCESSES: usize = 4;

    let Ok(master) = c.target.master else {
        return Err(Stop::Skip("it takes a bus master"));
    };
    let (fills, copies) = (
        master.abilities & MASTER_FILL != 0,
        master.abilities & MASTER_COPY != 0,
    );
    let unit = u64::from(master.alignment);
    let [over, worked] = numbers(c);
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
        let child = c.need("fork()", child)?;
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
        c.answer("FILL or COPY by another process", child)?;
    }
    let unbound = c.target.unbind();
    let bound = c.target.bind();
    c.same("unbind", unbound, ())?;
    c.same("bind", bound, ())?;
    is_fresh(c)
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
    let answer = c.need("TRANSLATE", answer)?;
    let nothing = Translation {
        address,
        request,
        fault: answer.fault,
        ..Translation::default()
    };
    c.same(what, answer == nothing, true)
}

/// One that must be one, and right.
fn is_there(c: &mut Context<'_>, file: &mut File, request: u32) -> Result<(), Stop> {
    let answer = translate(file, c.world.arena.address(W::A), request);
    let answer = c.need("TRANSLATE", answer)?;
    c.same("TRANSLATED", answer.flags & TRANSLATED != 0, true)?;
    let frame = file.physical_address(0);
    let frame = c.need("FRAME", frame)?;
    let seen = Value::Word(answer.physical_address);
    c.same("address", seen, Value::Word(frame))
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
    let child = c.need("fork()", child)?;
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

fn plays(c: &mut Context<'_>, file: &mut File) -> Result<(), Stop> {
    let wrong = round::play(file, round::at(PLAYED, 0));
    c.same("wrong rounds of the next test", wrong, 0)
}
