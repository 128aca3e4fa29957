// SPDX-License-Identifier: GPL-2.0-only

//! What several tasks, or processes, do to one buffer at the same time.

use core::ffi::CStr;
use core::hint::spin_loop;
use core::sync::atomic::Ordering::SeqCst;

use faultline_core::finding::Stop;
use faultline_sys::child::{fork, Child, Ending};
use faultline_sys::cpu::stay_on_cpu;
use faultline_sys::race::{map_again_and_again, Fate, Remapping};
use faultline_sys::together::{store_together, Store};
use rustix::fd::AsFd;

use super::context::{numbers, wait_in_child, Context, PATIENCE_MS};
use super::race::{freeze, Race, CPU};
use super::Case;
use crate::world::{now_ms, read_file, tagged, write_file, World as W};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "first_touch_together",
        proves: "Tasks of one address space touch a page, neighbouring pages, or pages of one PMD \
            first at the same moment, and every store is there.",
        steps: first_touch_together,
    },
    Case {
        name: "first_touch_of_processes",
        proves: "Processes that share nothing but the buffer, and touch a page first at the same time, see the same page.",
        steps: first_touch_of_processes,
    },
    Case {
        name: "fork_storm",
        proves: "Many processes with the mapping fork, store and unmap at the same time.",
        steps: fork_storm,
    },
    Case {
        name: "pmds_against_ptes",
        proves: "A fault that maps PTEs is stopped while another fault maps a PMD there; both \
            stores are there. All faults in one PMD agree unless the rule for huge pages \
            changes, so that the case changes it.",
        steps: pmds_against_ptes,
    },
];

/// What decides whether a fault may map a PMD.
const RULE: &CStr = c"/sys/kernel/mm/transparent_hugepage/enabled";

/// How much a PMD maps.
const PMD_SIZE: u64 = 2 << 20;

fn first_touch_together(c: &mut Context<'_>) -> Result<(), Stop> {
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
        let stored = c.task(stored)?;
        c.same("stores at the same time", stored, ())?;
        for Store { at, word } in &stores[..cpus] {
            c.load("word that a task stored", *at, *word)?;
            c.read_word(&mut file, at - W::A, *word)?;
        }
    }
    Ok(())
}

fn first_touch_of_processes(c: &mut Context<'_>) -> Result<(), Stop> {
    const ROUNDS: u64 = 4;

    let mut file = c.open()?;
    let shared = numbers::<1>(c);
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
            let child = c.need("fork()", child)?;
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

fn fork_storm(c: &mut Context<'_>) -> Result<(), Stop> {
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
        let child = c.need("fork()", child)?;
        let _ = children.push(child);
    }
    for child in children {
        c.ending("end of a process that forks", child)?;
    }
    c.load("word after the storm", W::A, tagged(400))
}

fn pmds_against_ptes(c: &mut Context<'_>) -> Result<(), Stop> {
    if c.size() < PMD_SIZE || c.world.cpus < 2 {
        return Err(Stop::Skip(
            "this takes a buffer of 2 MiB or more, and two CPUs",
        ));
    }
    let mut before = [0; 64];
    let Ok(before) = read_file(RULE, &mut before) else {
        return Err(Stop::Skip("a kernel without transparent huge pages"));
    };
    // The one that is in force stands in brackets.
    let mut words = before.split(|&byte| byte == b'[' || byte == b']');
    let before = c.have("a rule for huge pages", words.nth(1))?;
    let result = pmds_under_changing_rules(c);
    let restored = write_file(RULE, before);
    // What failed first is what the report says.
    result?;
    c.need("write() of the rule for huge pages", restored)
}

fn pmds_under_changing_rules(c: &mut Context<'_>) -> Result<(), Stop> {
    const ROUNDS_PER_CYCLE: u64 = 4;

    let never = write_file(RULE, b"never");
    c.same("write() of the rule for huge pages", never, ())?;
    let file = c.open()?;
    // The task may be stopped before it has mapped anything.
    c.map(W::A, &file)?;
    let race = Race::new(c);
    race.ready.store(1, SeqCst);
    let freezer = fork(|| freeze(&race));
    let freezer = c.need("fork()", freezer)?;

    let (cycles, beside) = (c.cycles, W::A + 16 * c.page());
    let found = &mut c.found;
    let met = map_again_and_again(
        &mut c.world.arena,
        Remapping {
            at: W::A,
            length: PMD_SIZE,
            file: file.as_fd(),
            word: tagged(1000),
            fate: Fate::Replaced,
            cpu: CPU,
        },
        |arena| -> Result<(), Stop> {
            for _ in 0..cycles * ROUNDS_PER_CYCLE {
                let deadline = now_ms() + PATIENCE_MS;
                while race.frozen.load(SeqCst) == 0 && now_ms() < deadline {
                    spin_loop();
                }
                found.need("write() of the rule", write_file(RULE, b"madvise"))?;
                // Where it was stopped just before it had mapped anything there is nothing yet.
                let stored = arena.store(beside, tagged(1001));
                let restored = write_file(RULE, b"never");
                race.unbound.store(1, SeqCst);
                while race.frozen.load(SeqCst) != 0 && now_ms() < deadline {
                    spin_loop();
                }
                race.unbound.store(0, SeqCst);
                found.same("a store beside it", stored, ())?;
                found.need("write() of the rule", restored)?;
            }
            Ok(())
        },
    );
    race.over.store(1, SeqCst);
    c.task(met)??;
    c.ending("end of the process that takes the CPU", freezer)?;
    c.load("word that was stored beside it", beside, tagged(1001))?;
    c.load("word that the task stored", W::A, tagged(1000))
}
