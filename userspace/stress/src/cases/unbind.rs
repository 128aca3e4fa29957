// SPDX-License-Identifier: GPL-2.0-only

//! Unbinding, and what is left of memory.

use super::*;

/// The exit status of a child that cannot do what it is for.
pub(super) const CANNOT: i32 = 77;

pub(super) fn stalled_read(c: &mut Context<'_>) -> Result<(), Stop> {
    stalled(c, false)
}

pub(super) fn stalled_write(c: &mut Context<'_>) -> Result<(), Stop> {
    stalled(c, true)
}

/// A process whose memory never comes must not hold up an unbind.
pub(super) fn stalled(c: &mut Context<'_>, write: bool) -> Result<(), Stop> {
    let file = c.open()?;
    let page = c.page();
    let shared = numbers(c, 1)?;
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
    let mut child = c.found.need("fork()", child)?;
    let deadline = now_ms() + PATIENCE_MS;
    while shared[0].load(SeqCst) == 0 && now_ms() < deadline {
        match child.ending() {
            Some(Ending::Exit(CANNOT)) => return Err(Stop::Skip("this kernel has no userfaultfd")),
            Some(ending) => c.same("end of a process that must wait", ending, "none")?,
            None => sleep_ms(10),
        }
    }
    // It is on its way into the call.
    sleep_ms(300);
    let ending = child.ending().map_or(Value::Text("waits"), Value::from);
    c.same("a copy to memory that never comes", ending, "waits")?;

    let target = c.target;
    let unbind = fork(|| i32::from(target.unbind().is_err()));
    let unbind = c.found.need("fork()", unbind)?;
    let mut seen = Value::Text("hangs");
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
    let still = child.ending().map_or(Value::Text("waits"), Value::from);
    child.kill();
    child.wait();
    // With the copy gone it ends, if it has not before.
    if let Some(unbind) = unbind {
        unbind.wait();
    }
    let bound = c.target.bind();
    c.same("unbind meanwhile", seen, Value::Status(0))?;
    c.same("the copy, after unbind", still, "waits")?;
    c.same("bind", bound, ())
}

/// The statuses of a process that looks at a device that is gone: 0, or which look failed.
pub(super) fn look_at_the_remains(world: &mut World, file: &mut File, size: u64) -> i32 {
    let arena = &mut world.arena;
    let page = world.page;
    let is_bus = |result: Result<(), faultline_core::device::Fault>| matches!(result, Err(fault) if fault.signal == Signal::Bus);
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
        rustix::fs::seek(&*file, rustix::fs::SeekFrom::End(0))
            .map(drop)
            .map_err(crate::world::errno),
    ];
    for (number, answer) in (10..).zip(answers.into_iter().chain(calls::each(file))) {
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

pub(super) fn unbind_in_use(c: &mut Context<'_>) -> Result<(), Stop> {
    const PROCESSES: u64 = 4;

    let mut file = c.open()?;
    let size = c.size();
    // One mapping of each process is touched, the other is not.
    c.map(W::A, &file)?;
    c.map(W::B, &file)?;
    let shared = numbers(c, 2)?;
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
        let child = c.found.need("fork()", child)?;
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
        "which remains are not as they should be",
        Value::Status(remains),
        Value::Status(0),
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

/// A buffer that was just bound: nobody has used it, and it is all zeroes.
pub(super) fn is_fresh(c: &mut Context<'_>) -> Result<(), Stop> {
    let info = c.target.info();
    let info = c.found.need("INFO", info)?;
    c.same(
        "FLAG_PRISTINE",
        u64::from(info.flags & FLAG_PRISTINE),
        u64::from(FLAG_PRISTINE),
    )?;
    let mut file = c.open()?;
    let mut block = [0; 4096];
    let mut stray = 0;
    let mut offset = 0;
    while offset < c.size() {
        let length = file.read_at(offset, &mut block);
        let length = c.found.need("read()", length)?;
        let bytes = &block[..length as usize];
        stray += bytes.iter().filter(|&&byte| byte != 0).count() as u64;
        offset += length.max(1);
    }
    c.same("bytes that are not zero", stray, 0)
}

/// Unbinds and binds under live mappings, which pile up.
pub(super) fn unbind_cycles(c: &mut Context<'_>) -> Result<(), Stop> {
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
    let cycles = c.cycles;
    c.same("cycles", cycles, cycles)
}

/// Cycles with a buffer so large that it would be missed.
pub(super) fn nothing_leaks(c: &mut Context<'_>) -> Result<(), Stop> {
    const LARGE: u64 = 1 << 20;
    const CYCLES: u64 = 12;

    let size = c.size();
    if size < LARGE {
        return Err(Stop::Skip("only a large buffer would be missed"));
    }
    let mut before = 0;
    // What the first cycles take, such as for caches, is not taken again.
    for cycle in 0..CYCLES + 2 {
        if cycle == 2 {
            let free = memory_info(b"MemFree:");
            before = c.found.need("MemFree", free)?;
        }
        let file = c.open()?;
        c.map(W::A, &file)?;
        for at in (0..size).step_by(c.page() as usize) {
            c.store(W::A + at, tagged(800))?;
        }
        let bound = c.target.unbind().and_then(|()| c.target.bind());
        c.same("unbind and bind", bound, ())?;
    }
    let after = memory_info(b"MemFree:");
    let after = c.found.need("MemFree", after)?;
    let lost = before.saturating_sub(after) * 1024 / size;
    c.same(
        "buffers that are missing from MemFree",
        lost / (CYCLES / 2),
        0,
    )
}

/// With a kernel that keeps account: asks for what was allocated and that nobody points at.
pub(super) fn no_memory_is_forgotten(c: &mut Context<'_>) -> Result<(), Stop> {
    const KMEMLEAK: &CStr = c"/sys/kernel/debug/kmemleak";
    /// What is younger is not yet judged (`MSECS_MIN_AGE` in mm/kmemleak.c).
    const AGE_MS: u64 = 6000;

    if read_file(KMEMLEAK, &mut [0; 1]) == Err(Errno::NOENT) {
        return Err(Stop::Skip("this kernel has no kmemleak"));
    }
    sleep_ms(AGE_MS);
    // What is found once may be on its way from one place to another.
    for _ in 0..2 {
        let scanned = write_file(KMEMLEAK, b"scan");
        c.same("scan", scanned, ())?;
    }
    let mut buffer = [0; 4096];
    let read = read_file(KMEMLEAK, &mut buffer);
    let text = c.found.need("read of kmemleak", read)?;
    let leaks = text
        .split(|&byte| byte == b'\n')
        .filter(|line| line.starts_with(b"unreferenced object"));
    let leaks = leaks.count() as u64;
    c.same("objects that kmemleak suspects", leaks, 0)
}
