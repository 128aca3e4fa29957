// SPDX-License-Identifier: GPL-2.0-only

//! An unbinding during another call: an `mmap()` that makes a mapping, a first touch that fills it, a
//! `fork()` that copies it. `race.rs` says how they meet.

use core::sync::atomic::Ordering::SeqCst;

use faultline_core::finding::Stop;
use faultline_sys::arena::{Access, Arena, Sharing};
use faultline_sys::child::{fork, Child};

use super::context::Context;
use super::race::race;
use super::Case;
use crate::world::{tagged, World as W};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "unbind_against_mmap",
        proves: "No mapping outlives the buffer, whenever mmap() made it.",
        steps: unbind_against_mmap,
    },
    Case {
        name: "unbind_against_touch",
        proves: "A fault that has found the buffer does not map it after it has gone.",
        steps: unbind_against_touch,
    },
    Case {
        name: "unbind_against_fork",
        proves: "A child has nothing of the buffer that its parent has just lost.",
        steps: unbind_against_fork,
    },
];

fn unbind_against_mmap(c: &mut Context<'_>) -> Result<(), Stop> {
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

fn unbind_against_touch(c: &mut Context<'_>) -> Result<(), Stop> {
    race(c, |c, race| {
        let Ok(file) = c.target.open() else { return };
        if c.map(W::A, &file).is_err() {
            return;
        }
        race.ready.store(1, SeqCst);
        let size = c.size();
        while !race.is_over() {
            let was_unbound = race.is_unbound();
            if c.world.arena.drop_pages(W::A, size, &file, 0).is_err() {
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

fn unbind_against_fork(c: &mut Context<'_>) -> Result<(), Stop> {
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

fn touch_all(c: &mut Context<'_>, at: u64) -> Result<(), Stop> {
    for offset in (0..c.size()).step_by(c.page() as usize) {
        c.store(at + offset, tagged(900))?;
    }
    Ok(())
}

/// How many pages are there, of some that lie evenly in the buffer: on the debug kernel a SIGBUS takes so long
/// that all of a large buffer would take half a minute.
fn touched(c: &mut Context<'_>, at: u64) -> u64 {
    const MOST: u64 = 64;
    let step = c.pages().div_ceil(MOST) * c.page();
    let pages = (0..c.size()).step_by(step as usize);
    pages
        .map(|offset| u64::from(c.world.arena.load(at + offset).is_ok()))
        .sum()
}
