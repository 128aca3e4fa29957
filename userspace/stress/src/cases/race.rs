// SPDX-License-Identifier: GPL-2.0-only

//! An unbinding that meets a mapping half-way: an `mmap()` that makes it, a first touch that fills
//! it, a `fork()` that copies it; or a test of the buffer; and PMDs beside PTEs.
//!
//! The kernel lists a new VMA in its address space after the driver's `mmap()` has returned, and
//! `fork()` copies page tables that are being emptied. Code that frees memory has to reckon with
//! both. The windows are a few instructions wide, so three processes go for them. The victim does
//! its work when nobody else wants its CPU. The freezer takes that CPU away at a random moment,
//! wherever in the kernel the victim then is, and keeps it until the case itself has unbound the
//! device from another CPU; or for a while, as the victim may have what the unbinding waits for.

use core::hint::spin_loop;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

use faultline_core::finding::Stop;
use faultline_core::random::Random;
use faultline_sys::child::fork;
use faultline_sys::cpu::{yield_to_all, Pinned, Urgent};

use super::context::{numbers, Context, PATIENCE_MS};
use crate::world::{now_ms, sleep_ms, sleep_ns};

/// How often the race is run for each cycle that is asked for.
const ROUNDS_PER_CYCLE: u64 = 2;

/// Where the victim and the freezer run. Not on the first CPU: there the kernel ends the grace
/// periods of SRCU (`get_boot_cpu_id()` in kernel/rcu/srcutree.c), which an unbinding waits for.
pub(super) const CPU: usize = 1;

/// Where the case itself runs meanwhile.
const OWN_CPU: usize = 0;

/// The longest that the victim is left alone, and the longest that it is frozen.
const LONGEST_FREEDOM_NS: u64 = 2_000_000;

const LONGEST_FROST_MS: u64 = 100;

/// What the processes of a race share.
pub(super) struct Race {
    /// The victim has what it will be deprived of.
    pub(super) ready: &'static AtomicU64,
    /// The freezer has the victim's CPU.
    pub(super) frozen: &'static AtomicU64,
    /// The unbinding is over.
    pub(super) unbound: &'static AtomicU64,
    /// There will be no other round.
    pub(super) over: &'static AtomicU64,
    /// How often memory was there after it had been freed.
    pub(super) stale: &'static AtomicU64,
    /// How often the victim did what is to be interrupted.
    pub(super) tries: &'static AtomicU64,
}

impl Race {
    pub(super) fn new(c: &Context<'_>) -> Self {
        let [ready, frozen, unbound, over, stale, tries] = numbers(c);
        Self {
            ready,
            frozen,
            unbound,
            over,
            stale,
            tries,
        }
    }

    pub(super) fn is_unbound(&self) -> bool {
        self.unbound.load(SeqCst) != 0
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(SeqCst) != 0
    }
}

/// Unbinds and binds again and again while a process does `victim`, from one opening of the device
/// to its loss.
pub(super) fn race(
    c: &mut Context<'_>,
    victim: impl Fn(&mut Context<'_>, &Race),
) -> Result<(), Stop> {
    if c.world.cpus < 2 {
        return Err(Stop::Skip("it takes two CPUs"));
    }
    let race = Race::new(c);
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
    let victim = c.need("fork()", victim)?;
    let freezer = fork(|| freeze(&race));
    let freezer = c.need("fork()", freezer)?;

    let result = unbind_all_the_time(c, &race);
    race.over.store(1, SeqCst);
    result?;
    c.ending("end of the process that takes the CPU", freezer)?;
    c.ending("end of the process that lost the buffer", victim)?;
    let tries = race.tries.load(SeqCst);
    c.same("whether anything was there to interrupt", tries > 0, true)?;
    let stale = race.stale.load(SeqCst);
    c.same("touches of memory that was freed", stale, 0)
}

/// The freezer.
pub(super) fn freeze(race: &Race) -> i32 {
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
    let _pinned = c.need("sched_setaffinity()", pinned)?;
    for _ in 0..c.cycles * ROUNDS_PER_CYCLE {
        c.wait_for("a process that has mapped the buffer", race.ready, 1)?;
        // At once: before the victim is let go.
        let deadline = now_ms() + PATIENCE_MS;
        while race.frozen.load(SeqCst) == 0 && now_ms() < deadline {
            spin_loop();
        }
        let unbound = c.target.unbind();
        met += race.frozen.load(SeqCst);
        race.unbound.store(1, SeqCst);
        c.same("unbind", unbound, ())?;
        // A time limit of its own: the victim may still have a page to touch for each that it had.
        let deadline = now_ms() + PATIENCE_MS;
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
        met > 0,
        true,
    )
}
