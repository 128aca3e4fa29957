// SPDX-License-Identifier: GPL-2.0-only

//! Unbinding a device that is in use.

use core::sync::atomic::Ordering::SeqCst;

use faultline_core::device::{Device, Fault, Signal};
use faultline_core::errno::Errno;
use faultline_core::finding::{Count, Stop, Value};
use faultline_sys::arena::{Access, Sharing};
use faultline_sys::child::{fork, Child, Ending};
use faultline_sys::device::File;
use faultline_sys::file::{poll, HANGUP, READY};
use faultline_sys::stall::Stall;
use faultline_uapi::FLAG_PRISTINE;
use rustix::fs::{seek, SeekFrom};

use super::calls::each;
use super::context::{answer_of, end_within, numbers, wait_in_child, Context, PATIENCE_MS};
use super::Case;
use crate::world::{errno, now_ms, sleep_ms, tagged, World, World as W};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "poll_hears_unbinding",
        proves: "A task in poll() that waits for nothing but the unbinding is woken by it, and \
            one that calls poll() afterwards finds POLLHUP.",
        steps: poll_hears_unbinding,
    },
    Case {
        name: "unbind_in_use",
        proves: "After an unbinding every mapping of every process answers by SIGBUS and every \
            file by ENODEV, also after the device is bound again with a new buffer.",
        steps: unbind_in_use,
    },
    Case {
        name: "unbind_cycles",
        proves: "The device can be unbound and bound again and again while old mappings pile up.",
        steps: unbind_cycles,
    },
    Case {
        name: "stalled_read",
        proves: "An unbinding does not wait for a read() into memory that never comes.",
        steps: stalled_read,
    },
    Case {
        name: "stalled_write",
        proves: "An unbinding does not wait for a write() from memory that never comes.",
        steps: stalled_write,
    },
];

/// The exit status of a child that cannot do what it is for.
const CANNOT: i32 = 77;

fn poll_hears_unbinding(c: &mut Context<'_>) -> Result<(), Stop> {
    let file = c.open()?;
    c.same(
        "poll(): events",
        poll(&file, READY, 0).map(u64::from),
        u64::from(READY),
    )?;
    c.same("poll() for a hang-up", poll(&file, 0, 0).map(u64::from), 0)?;

    let waiter = fork(|| match poll(&file, 0, 10 * PATIENCE_MS as i64) {
        Ok(seen) if seen & HANGUP == HANGUP => 0,
        _ => 1,
    });
    let waiter = c.need("fork()", waiter)?;
    sleep_ms(50);
    let unbound = c.target.unbind();
    c.need("unbind", unbound)?;
    // One that is not woken would look by itself only when its time is over.
    let ending = end_within(waiter, PATIENCE_MS);
    let after = poll(&file, READY, 0).map(u64::from);
    let bound = c.target.bind();
    c.need("bind", bound)?;
    c.same("a task in poll()", ending, Ending::Exit(0))?;
    c.same("poll() afterwards", after, u64::from(READY | HANGUP))
}

fn unbind_in_use(c: &mut Context<'_>) -> Result<(), Stop> {
    const PROCESSES: u64 = 4;

    let mut file = c.open()?;
    let size = c.size();
    // One mapping of each process is touched, the other is not.
    c.map(W::A, &file)?;
    c.map(W::B, &file)?;
    let shared = numbers::<2>(c);
    let mut children = heapless::Vec::<Child, { PROCESSES as usize }>::new();
    for number in 0..PROCESSES {
        let (world, file) = (&mut *c.world, &mut file);
        let child = fork(|| {
            for at in (0..size).step_by(world.page as usize) {
                if world
                    .arena
                    .store(W::A + at + 8 * number, tagged(600))
                    .is_err()
                {
                    return 100;
                }
            }
            shared[0].fetch_add(1, SeqCst);
            wait_in_child(&shared[1], 1);
            look_at_the_remains(world, file, size)
        });
        let child = c.need("fork()", child)?;
        let _ = children.push(child);
    }
    c.wait_for("processes that use the buffer", &shared[0], PROCESSES)?;
    c.store(W::A + 8 * PROCESSES, tagged(601))?;
    let unbound = c.target.unbind();
    shared[1].store(1, SeqCst);
    c.same("unbind", unbound, ())?;
    let opened = c.target.open().map(drop);
    c.same("open() of what is gone", opened, Errno::NOENT)?;
    let remains = look_at_the_remains(c.world, &mut file, size);
    c.same(
        "number of the remnant that is not as it should be (0: none)",
        Value::Count(remains.unsigned_abs().into()),
        Value::Count(0),
    )?;
    for child in children {
        c.ending("the same in another process", child)?;
    }
    let bound = c.target.bind();
    c.same("bind", bound, ())?;
    is_fresh(c)?;
    c.faults("an old mapping", W::C, Signal::Bus)?;
    let read = file.read_at(0, &mut [0; 8]);
    c.same("read() of an old file", read, Errno::NODEV)
}

fn unbind_cycles(c: &mut Context<'_>) -> Result<(), Stop> {
    let size = c.size();
    for cycle in 0..c.cycles {
        let file = c.open()?;
        // The arena's last place keeps one from two cycles ago.
        let at = [W::A, W::B, W::C][cycle as usize % 3];
        c.map(at, &file)?;
        for offset in [0, (size / 2) & !7, size - 8] {
            c.load("word of a fresh buffer", at + offset, 0)?;
            c.store(at + offset, tagged(700 + cycle))?;
        }
        let unbound = c.target.unbind();
        c.same("unbind", unbound, ())?;
        c.faults("a load after unbind", at, Signal::Bus)?;
        let bound = c.target.bind();
        c.same("bind", bound, ())?;
        c.faults("a load by the old mapping", at + size - 8, Signal::Bus)?;
    }
    c.found.count = Some(Count {
        unit: "cycles",
        wrong: 0,
        all: c.cycles,
    });
    Ok(())
}

fn stalled_read(c: &mut Context<'_>) -> Result<(), Stop> {
    stalled(c, false)
}

fn stalled_write(c: &mut Context<'_>) -> Result<(), Stop> {
    stalled(c, true)
}

/// A process whose memory never comes must not hold up an unbind.
fn stalled(c: &mut Context<'_>, write: bool) -> Result<(), Stop> {
    let file = c.open()?;
    let page = c.page();
    let shared = numbers::<1>(c);
    let arena = &mut c.world.arena;
    let child = fork(|| {
        let Ok(_stall) = Stall::new(arena, W::C, page) else {
            return CANNOT;
        };
        shared[0].store(1, SeqCst);
        let _ = if write {
            arena.write_at(W::C, page, &file, 0)
        } else {
            arena.read_at(W::C, page, &file, 0)
        };
        0
    });
    let mut child = c.need("fork()", child)?;
    let deadline = now_ms() + PATIENCE_MS;
    while shared[0].load(SeqCst) == 0 && now_ms() < deadline {
        match child.ending() {
            Some(Ending::Exit(CANNOT)) => return Err(Stop::Skip("this kernel has no userfaultfd")),
            Some(ending) => c.same("a process that must wait", ending, Value::Running)?,
            None => sleep_ms(10),
        }
    }
    // It is on its way into the call.
    sleep_ms(300);
    let ending = child.ending().map_or(Value::Running, Value::from);
    c.same("a copy to memory that never comes", ending, Value::Running)?;

    let target = c.target;
    let unbind = fork(|| target.unbind().err().map_or(0, Errno::number) as i32);
    let unbind = c.need("fork()", unbind)?;
    let mut seen = Value::Running;
    let mut unbind = Some(unbind);
    let deadline = now_ms() + PATIENCE_MS / 3;
    while now_ms() < deadline {
        if let Some(ending) = unbind.as_mut().and_then(Child::ending) {
            seen = ending.into();
            unbind = None;
            break;
        }
        sleep_ms(5);
    }
    let still = child.ending().map_or(Value::Running, Value::from);
    child.kill();
    child.wait();
    // With the copy gone it ends, if it has not before.
    if let Some(unbind) = unbind {
        unbind.wait();
    }
    let bound = c.target.bind();
    c.same("unbind meanwhile", answer_of(seen), ())?;
    c.same("the copy, after unbind", still, Value::Running)?;
    c.same("bind", bound, ())
}

/// The statuses of a process that looks at a device that is gone: 0, or which look failed.
fn look_at_the_remains(world: &mut World, file: &mut File, size: u64) -> i32 {
    let arena = &mut world.arena;
    let page = world.page;
    let is_bus =
        |result: Result<(), Fault>| matches!(result, Err(fault) if fault.signal == Signal::Bus);
    for mapping in [W::A, W::B] {
        for at in (0..size).step_by(page as usize) {
            if !is_bus(arena.load(mapping + at).map(drop)) {
                return 1;
            }
        }
        if !is_bus(arena.store(mapping, 0)) {
            return 2;
        }
    }
    let answers = [
        file.read_at(0, &mut [0; 8]).map(drop),
        file.read_at(size, &mut [0; 8]).map(drop),
        file.write_at(0, &[0; 8]).map(drop),
        file.write_at(size, &[0; 8]).map(drop),
        arena.map(W::C, page, &*file, 0, Access::READ, Sharing::Shared),
        seek(&*file, SeekFrom::End(0)).map(drop).map_err(errno),
    ];
    for (number, answer) in (10..).zip(answers.into_iter().chain(each(file))) {
        if answer != Err(Errno::NODEV) {
            return number;
        }
    }
    // What there is left of the VMA can still be moved, cut and copied.
    if arena.relocate(W::A, size, W::C, size).is_err() || !is_bus(arena.store(W::C, 0)) {
        return 30;
    }
    match fork(|| i32::from(!is_bus(arena.store(W::C, 0)))).map(Child::wait) {
        Ok(Ending::Exit(0)) => 0,
        _ => 31,
    }
}

/// A buffer that was just bound: nobody has used it, and it is all zeroes.
pub(super) fn is_fresh(c: &mut Context<'_>) -> Result<(), Stop> {
    let info = c.target.info();
    let info = c.need("INFO", info)?;
    c.same("FLAG_PRISTINE", info.flags & FLAG_PRISTINE != 0, true)?;
    let mut file = c.open()?;
    let mut block = [0; 4096];
    let mut stray = 0;
    let mut offset = 0;
    while offset < c.size() {
        let length = file.read_at(offset, &mut block);
        let length = c.need("read()", length)?;
        let bytes = &block[..length as usize];
        stray += bytes.iter().filter(|&&byte| byte != 0).count() as u64;
        offset += length.max(1);
    }
    c.same("bytes that are not zero", stray, 0)
}
