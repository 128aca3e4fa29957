// SPDX-License-Identifier: GPL-2.0-only

//! An unbinding that meets a mapping half-way: an `mmap()` that makes it, a first touch that fills
//! it, a `fork()` that copies it; or a test of the buffer; and blocks that meet pages.
//!
//! The kernel lists a new VMA in its address space after the driver's `mmap()` has returned, and
//! `fork()` copies page tables that are being emptied. Code that frees memory has to reckon with
//! both. The windows are a few instructions wide, so three processes go for them. The victim does
//! its work when nobody else wants its CPU. The freezer takes that CPU away at a random moment,
//! wherever in the kernel the victim then is, and keeps it until the case itself has unbound the
//! device from another CPU; or for a while, as the victim may have what the unbinding waits for.

use core::ffi::CStr;
use core::hint::spin_loop;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

use faultline_core::errno::Errno;
use faultline_core::random::Random;
use faultline_sys::arena::{Access, Arena, Sharing, DONT_NEED};
use faultline_sys::child::{fork, Child};
use faultline_sys::cpu::{yield_to_all, Pinned, Urgent};
use faultline_sys::race::{map_again_and_again, Fate, Remapping};
use rustix::fd::AsFd;

use super::{numbers, Context, W};
use crate::report::Stop;
use crate::round;
use crate::world::{now_ms, read_file, sleep_ms, sleep_ns, tagged, write_file};

/// How often the race is run for each cycle that is asked for.
const ROUNDS_PER_CYCLE: u64 = 2;

/// Where the victim and the freezer run. Not on the first CPU: there the kernel ends the grace
/// periods of SRCU (`get_boot_cpu_id()` in kernel/rcu/srcutree.c), which an unbinding waits for.
const CPU: usize = 1;

/// Where the case itself runs meanwhile.
const OWN_CPU: usize = 0;

/// The longest that the victim is left alone, and the longest that it is frozen.
const LONGEST_FREEDOM_NS: u64 = 2_000_000;
const LONGEST_FROST_MS: u64 = 100;

/// What the processes of a race share.
struct Race {
    /// The victim has what it will be deprived of.
    ready: &'static AtomicU64,
    /// The freezer has the victim's CPU.
    frozen: &'static AtomicU64,
    /// The unbinding is over.
    unbound: &'static AtomicU64,
    /// There will be no other round.
    over: &'static AtomicU64,
    /// How often memory was there after it had been freed.
    stale: &'static AtomicU64,
    /// How often the victim did what is to be interrupted.
    tries: &'static AtomicU64,
}

impl Race {
    fn new(c: &mut Context<'_>) -> Result<Self, Stop> {
        let [ready, frozen, unbound, over, stale, tries] = numbers(c, 6)? else {
            unreachable!("as many as were asked for");
        };
        Ok(Self {
            ready,
            frozen,
            unbound,
            over,
            stale,
            tries,
        })
    }

    fn is_unbound(&self) -> bool {
        self.unbound.load(SeqCst) != 0
    }

    fn is_over(&self) -> bool {
        self.over.load(SeqCst) != 0
    }
}

/// Maps all the time: what is mapped must not outlive the buffer, whenever it came.
pub(super) fn unbind_against_mmap(c: &mut Context<'_>) -> Result<(), Stop> {
    race(c, |c, race| {
        let Ok(file) = c.target.open() else { return };
        race.ready.store(1, SeqCst);
        // One page, as what is quickly done is often interrupted at its end; in place of the one
        // that is there, until the device is gone.
        let page = c.page();
        let map =
            |arena: &mut Arena| arena.map(W::A, page, &file, 0, Access::BOTH, Sharing::Shared);
        while !race.is_over() && map(&mut c.world.arena).is_ok() {
            if race.tries.fetch_add(1, SeqCst) % 2 == 0 {
                // Before or after the unbinding: what this finds is as good as its opposite.
                let _ = c.world.arena.load(W::A);
            }
            if race.is_unbound() && c.world.arena.load(W::A).is_ok() {
                race.stale.fetch_add(1, SeqCst);
            }
        }
    })
}

/// Touches all the time what it then gives back: a fault that has found the buffer must not map it
/// after it has gone.
pub(super) fn unbind_against_touch(c: &mut Context<'_>) -> Result<(), Stop> {
    race(c, |c, race| {
        let Ok(file) = c.target.open() else { return };
        if c.map(W::A, &file).is_err() {
            return;
        }
        race.ready.store(1, SeqCst);
        let size = c.size();
        while !race.is_over() {
            let was_unbound = race.is_unbound();
            if c.world.arena.advise(W::A, size, DONT_NEED).is_err() {
                return;
            }
            race.tries.fetch_add(1, SeqCst);
            // The first touch of a buffer that is gone is refused, and so is every later one.
            let is_there = c.world.arena.load(W::A).is_ok();
            if was_unbound {
                race.stale.fetch_add(u64::from(is_there), SeqCst);
                return;
            }
            // One that was under way when the buffer went may have left something.
            if race.is_unbound() {
                race.stale.fetch_add(touched(c, W::A), SeqCst);
            }
        }
    })
}

/// Forks all the time: a child must not be left with what its parent has just lost.
pub(super) fn unbind_against_fork(c: &mut Context<'_>) -> Result<(), Stop> {
    race(c, |c, race| {
        let Ok(file) = c.target.open() else { return };
        let places = [W::A, W::B, W::C];
        for at in places {
            if c.map(at, &file).is_err() || touch_all(c, at).is_err() {
                return;
            }
        }
        race.ready.store(1, SeqCst);
        while !race.is_over() && !race.is_unbound() {
            race.tries.fetch_add(1, SeqCst);
            let child = fork(|| {
                if race.is_unbound() {
                    for at in places {
                        race.stale.fetch_add(touched(c, at), SeqCst);
                    }
                }
                0
            });
            let _ = child.map(Child::wait);
        }
    })
}

/// Has the buffer tested all the time, by a thread on the CPU that is taken away.
pub(super) fn unbind_against_litmus(c: &mut Context<'_>) -> Result<(), Stop> {
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

fn touch_all(c: &mut Context<'_>, at: u64) -> Result<(), Stop> {
    for offset in (0..c.size()).step_by(c.page() as usize) {
        c.store(at + offset, tagged(900))?;
    }
    Ok(())
}

/// What decides whether a fault may map a block.
const RULE: &CStr = c"/sys/kernel/mm/transparent_hugepage/enabled";

/// What one entry of a block maps.
const BLOCK: u64 = 2 << 20;

/// A fault that maps pages is stopped, and meanwhile another maps a block there. Faults in one
/// block all come to the same conclusion, unless the administrator changes the rules meanwhile.
pub(super) fn blocks_against_pages(c: &mut Context<'_>) -> Result<(), Stop> {
    if c.size() < BLOCK || c.world.cpus < 2 {
        return Err(Stop::Skip("it takes a block, and two CPUs"));
    }
    let mut before = [0; 64];
    let Ok(before) = read_file(RULE, &mut before) else {
        return Err(Stop::Skip("a kernel without transparent huge pages"));
    };
    // The one that is in force stands in brackets.
    let mut words = before.split(|&byte| byte == b'[' || byte == b']');
    let before = c
        .found
        .need("the rule for blocks", words.nth(1).ok_or(Errno::INVAL))?;
    let result = blocks_under_changing_rules(c);
    let restored = write_file(RULE, before);
    c.same("the rule for blocks", restored, ())?;
    result
}

fn blocks_under_changing_rules(c: &mut Context<'_>) -> Result<(), Stop> {
    const ROUNDS_PER_CYCLE: u64 = 4;

    let never = write_file(RULE, b"never");
    c.same("the rule for blocks", never, ())?;
    let file = c.open()?;
    // The task may be stopped before it has mapped anything.
    c.map(W::A, &file)?;
    let race = Race::new(c)?;
    race.ready.store(1, SeqCst);
    let freezer = fork(|| freeze(&race));
    let freezer = c.found.need("fork()", freezer)?;

    let (cycles, beside) = (c.cycles, W::A + 16 * c.page());
    let met = map_again_and_again(
        &mut c.world.arena,
        Remapping {
            at: W::A,
            length: BLOCK,
            file: file.as_fd(),
            word: tagged(1000),
            fate: Fate::Replaced,
            cpu: CPU,
        },
        |arena| -> Result<(), Errno> {
            for _ in 0..cycles * ROUNDS_PER_CYCLE {
                let deadline = now_ms() + super::PATIENCE_MS;
                while race.frozen.load(SeqCst) == 0 && now_ms() < deadline {
                    spin_loop();
                }
                write_file(RULE, b"madvise")?;
                // Where it was stopped just before it had mapped anything there is nothing yet.
                let stored = arena.store(beside, tagged(1001));
                write_file(RULE, b"never")?;
                race.unbound.store(1, SeqCst);
                while race.frozen.load(SeqCst) != 0 && now_ms() < deadline {
                    spin_loop();
                }
                race.unbound.store(0, SeqCst);
                stored.or(Err(Errno::FAULT))?;
            }
            Ok(())
        },
    );
    race.over.store(1, SeqCst);
    let met = c.found.need("a task that maps", met)?;
    c.same("stores beside it", met, ())?;
    c.ending("end of the process that takes the CPU", freezer)?;
    c.load("word that was stored beside it", beside, tagged(1001))?;
    c.load("word that the task stored", W::A, tagged(1000))
}

/// How many pages are there.
fn touched(c: &mut Context<'_>, at: u64) -> u64 {
    let pages = (0..c.size()).step_by(c.page() as usize);
    pages
        .map(|offset| u64::from(c.world.arena.load(at + offset).is_ok()))
        .sum()
}

/// Unbinds and binds again and again while a process does `victim`, from one opening of the device
/// to its loss.
fn race(c: &mut Context<'_>, victim: impl Fn(&mut Context<'_>, &Race)) -> Result<(), Stop> {
    if c.world.cpus < 2 {
        return Err(Stop::Skip("it takes two CPUs"));
    }
    let race = Race::new(c)?;
    let victim = fork(|| {
        if yield_to_all(CPU).is_err() {
            return 1;
        }
        while !race.is_over() {
            victim(c, &race);
            // It may have noticed before the unbinding was over, and must not meet the next device
            // as if it were this one.
            while !race.is_unbound() && !race.is_over() {
                sleep_ms(1);
            }
            race.ready.store(0, SeqCst);
            while race.is_unbound() && !race.is_over() {
                sleep_ms(1);
            }
        }
        0
    });
    let victim = c.found.need("fork()", victim)?;
    let freezer = fork(|| freeze(&race));
    let freezer = c.found.need("fork()", freezer)?;

    let result = unbind_all_the_time(c, &race);
    race.over.store(1, SeqCst);
    result?;
    c.ending("end of the process that takes the CPU", freezer)?;
    c.ending("end of the process that lost the buffer", victim)?;
    let tries = race.tries.load(SeqCst).min(1);
    c.same("whether anything was there to interrupt", tries, 1)?;
    let stale = race.stale.load(SeqCst);
    c.same("touches of memory that was freed", stale, 0)
}

/// The freezer.
fn freeze(race: &Race) -> i32 {
    let mut random = Random::new(now_ms());
    let Ok(_urgent) = Urgent::on_cpu(CPU) else {
        return 1;
    };
    while !race.is_over() {
        sleep_ns(1 + random.below(LONGEST_FREEDOM_NS));
        if race.ready.load(SeqCst) == 0 || race.is_unbound() {
            continue;
        }
        race.frozen.store(1, SeqCst);
        let deadline = now_ms() + LONGEST_FROST_MS;
        while !race.is_unbound() && now_ms() < deadline {
            spin_loop();
        }
        race.frozen.store(0, SeqCst);
    }
    0
}

fn unbind_all_the_time(c: &mut Context<'_>, race: &Race) -> Result<(), Stop> {
    let mut met = 0;
    let pinned = Pinned::to_cpu(OWN_CPU);
    let _pinned = c.found.need("sched_setaffinity()", pinned)?;
    for _ in 0..c.cycles * ROUNDS_PER_CYCLE {
        c.wait_for("a process that has mapped the buffer", race.ready, 1)?;
        // At once: before the victim is let go.
        let deadline = now_ms() + super::PATIENCE_MS;
        while race.frozen.load(SeqCst) == 0 && now_ms() < deadline {
            spin_loop();
        }
        let unbound = c.target.unbind();
        met += race.frozen.load(SeqCst);
        race.unbound.store(1, SeqCst);
        c.same("unbind", unbound, ())?;
        while race.ready.load(SeqCst) != 0 && now_ms() < deadline {
            sleep_ms(1);
        }
        let left = race.ready.load(SeqCst);
        c.same("a process that still has the buffer", left, 0)?;
        let bound = c.target.bind();
        race.unbound.store(0, SeqCst);
        c.same("bind", bound, ())?;
        if race.stale.load(SeqCst) != 0 {
            break;
        }
    }
    // Or all this was for nothing.
    c.same(
        "whether the victim was ever stopped meanwhile",
        met.min(1),
        1,
    )
}
