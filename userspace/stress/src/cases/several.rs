// SPDX-License-Identifier: GPL-2.0-only

//! Several processes, or tasks of one, at a time.

use super::*;

pub(super) fn fork_shares(c: &mut Context<'_>) -> Result<(), Stop> {
    const CHILDREN: u64 = 6;

    let mut file = c.open()?;
    c.map(W::A, &file)?;
    let (size, page) = (c.size(), c.page());
    // Of the first page the children get the entry, if they get any; the last they touch again.
    c.store(W::A, tagged(60))?;
    let place = |child: u64| W::A + (size - page) + 8 * (child + 1);
    for child in 0..CHILDREN {
        let arena = &mut c.world.arena;
        let process = fork(|| {
            if arena.load(W::A) != Ok(tagged(60 + child)) {
                return 1;
            }
            i32::from(arena.store(place(child), tagged(70 + child)).is_err()) * 2
        });
        let process = c.found.need("fork()", process)?;
        c.ending("end of a child that loads and stores", process)?;
        c.load("word that a child stored", place(child), tagged(70 + child))?;
        c.store(W::A, tagged(61 + child))?;
    }
    let read = place(0) - W::A;
    c.read_word(&mut file, read, tagged(70))
}

pub(super) fn dont_fork(c: &mut Context<'_>) -> Result<(), Stop> {
    let file = c.open()?;
    let size = c.size();
    c.map(W::A, &file)?;
    c.store(W::A, tagged(80))?;
    let advised = c.world.arena.advise(W::A, size, DONT_FORK);
    c.same("madvise(MADV_DONTFORK)", advised, ())?;
    let arena = &mut c.world.arena;
    let process = fork(|| match arena.load(W::A) {
        Err(fault) if fault.signal == Signal::Segv => 0,
        _ => 1,
    });
    let process = c.found.need("fork()", process)?;
    c.ending("end of a child without the VMA", process)?;
    c.load("word after fork()", W::A, tagged(80))
}

/// Advice and locks change nothing that can be seen.
pub(super) fn advice(c: &mut Context<'_>) -> Result<(), Stop> {
    let mut file = c.open()?;
    let size = c.size();
    c.map(W::A, &file)?;
    for (number, &advice) in faultline_sys::arena::ADVICE.iter().enumerate() {
        if advice == DONT_FORK {
            continue;
        }
        let word = tagged(90 + number as u64);
        c.store(W::A + size - 8, word)?;
        // Many a number is refused, and which is the kernel's affair.
        let _ = c.world.arena.advise(W::A, size, advice);
        c.load("word after advice", W::A + size - 8, word)?;
        c.read_word(&mut file, size - 8, word)?;
    }
    let locked = c.world.arena.lock(W::A, size);
    c.same("mlock()", locked, ())?;
    let mapped = c
        .world
        .arena
        .map(W::B, size, &file, 0, Access::BOTH, Sharing::Populated);
    c.same("mmap(MAP_POPULATE)", mapped, ())?;
    c.store(W::B, tagged(130))?;
    c.load("word by the first mapping", W::A, tagged(130))
}

/// Tasks of one process, one on each CPU, touch first: the same page, the pages of one batch, or
/// those of one block.
pub(super) fn first_touch_together(c: &mut Context<'_>) -> Result<(), Stop> {
    const ROUNDS: u64 = 48;
    const MOST: usize = 8;

    let mut file = c.open()?;
    let (size, page) = (c.size(), c.page());
    let cpus = c.world.cpus.min(MOST);
    for round in 0..ROUNDS {
        c.map(W::A, &file)?;
        let mut stores = [Store::default(); MOST];
        let start = round * page % size;
        for (number, store) in (0..).zip(&mut stores[..cpus]) {
            let offset = match round % 3 {
                0 => start,
                1 => (start + number * page) % size,
                _ => (start + number * 61 * page) % size,
            };
            // A word of its own for each task, wherever the others are.
            *store = Store {
                at: W::A + offset + 8 * number,
                word: tagged(200 + 16 * round + number),
            };
        }
        let arena = &mut c.world.arena;
        let stored = store_together(arena, W::A, size, &stores[..cpus]);
        let stored = c.found.need("tasks of this process", stored)?;
        c.same("stores at the same time", stored, ())?;
        for Store { at, word } in &stores[..cpus] {
            c.load("word that a task stored", *at, *word)?;
            c.read_word(&mut file, at - W::A, *word)?;
        }
    }
    Ok(())
}

/// The same from processes, which share nothing but the buffer.
pub(super) fn first_touch_of_processes(c: &mut Context<'_>) -> Result<(), Stop> {
    const ROUNDS: u64 = 4;

    let mut file = c.open()?;
    let shared = numbers(c, 1)?;
    let (cpus, page, pages) = (c.world.cpus.min(8), c.page(), c.pages());
    for round in 0..ROUNDS {
        c.map(W::A, &file)?;
        let offset = round % pages * page;
        shared[0].store(0, SeqCst);
        let mut children = heapless::Vec::<Child, 8>::new();
        for cpu in 0..cpus {
            let arena = &mut c.world.arena;
            let number = cpu as u64;
            let child = fork(|| {
                if stay_on_cpu(cpu).is_err() {
                    return 1;
                }
                shared[0].fetch_add(1, SeqCst);
                wait_in_child(&shared[0], cpus as u64);
                let word = tagged(300 + 16 * round + number);
                i32::from(arena.store(W::A + offset + 8 * number, word).is_err()) * 2
            });
            let child = c.found.need("fork()", child)?;
            let _ = children.push(child);
        }
        for child in children {
            c.ending("end of a process that stores", child)?;
        }
        for number in 0..cpus as u64 {
            c.read_word(
                &mut file,
                offset + 8 * number,
                tagged(300 + 16 * round + number),
            )?;
        }
    }
    Ok(())
}

/// Many processes with the VMA at once, each of which does something else to it.
pub(super) fn fork_storm(c: &mut Context<'_>) -> Result<(), Stop> {
    const WIDE: u64 = 8;
    const DEEP: u64 = 3;

    let file = c.open()?;
    let (size, page) = (c.size(), c.page());
    c.map(W::A, &file)?;
    c.store(W::A, tagged(400))?;
    let mut children = heapless::Vec::<Child, { WIDE as usize }>::new();
    for number in 0..WIDE {
        let arena = &mut c.world.arena;
        let child = fork(|| {
            if arena.load(W::A) != Ok(tagged(400)) {
                return 1;
            }
            let mut below = heapless::Vec::<Child, { DEEP as usize }>::new();
            for step in 0..DEEP {
                let own = W::A + (number * DEEP + step) * page % size;
                let Ok(child) = fork(|| {
                    let done = arena.store(own + 8 * (number * DEEP + step + 1), tagged(401));
                    let done = done.is_ok() && arena.unmap(own, page).is_ok();
                    let gone = arena.load(own).is_err();
                    i32::from(!(done && gone)) * 3
                }) else {
                    return 4;
                };
                let _ = below.push(child);
            }
            let ended = below
                .into_iter()
                .all(|child| child.wait() == Ending::Exit(0));
            i32::from(!ended || arena.unmap(W::A, size).is_err()) * 5
        });
        let child = c.found.need("fork()", child)?;
        let _ = children.push(child);
    }
    for child in children {
        c.ending("end of a process that forks", child)?;
    }
    c.load("word after the storm", W::A, tagged(400))
}
