// SPDX-License-Identifier: GPL-2.0-only

//! LITMUS: tests that there are not, that end early, and that several want at once.

use faultline_core::device::{Call, Device};
use faultline_sys::cpu::Pinned;
use faultline_sys::race::ioctl_beside;
use faultline_uapi::{Litmus, FAULTLINE_IOC_LITMUS, LITMUS_PATIENCE_MS};
use rustix::process::{kill_process, Pid, Signal};

use super::calls::{AWAITED, PLAYED};
use super::*;
use crate::round;

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

/// A task that may not run on a CPU has no thread there either.
pub(super) fn litmus_keeps_off(c: &mut Context<'_>) -> Result<(), Stop> {
    if c.world.cpus < 2 {
        return Err(Stop::Skip("it takes two CPUs"));
    }
    let mut file = c.open()?;
    let pinned = Pinned::to_cpu(0);
    let pinned = c.found.need("sched_setaffinity()", pinned)?;
    let own = round::play(&mut file, round::at(PLAYED, 0));
    let other = round::play(&mut file, round::at(PLAYED, 1));
    drop(pinned);
    c.same("wrong rounds on the CPU of the task", own, 0)?;
    c.same("a test on a CPU that it is kept off", other, Errno::PERM)?;
    let free = round::play(&mut file, round::at(PLAYED, 1));
    c.same("wrong rounds on that CPU afterwards", free, 0)
}

/// Starts a process that has the buffer tested by a round that never comes, and waits until it is
/// being tested. Its status is the number of the error in the end.
pub(super) fn tester(c: &mut Context<'_>, file: &mut File) -> Result<Child, Stop> {
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
pub(super) fn is_busy(c: &mut Context<'_>, file: &mut File) -> Result<(), Stop> {
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

pub(super) fn plays(c: &mut Context<'_>, file: &mut File) -> Result<(), Stop> {
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
