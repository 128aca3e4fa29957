// SPDX-License-Identifier: GPL-2.0-only

//! Bits that stick, or follow their neighbours: patterns over the whole buffer.
//!
//! A pass puts a pattern into the buffer in which each word has one bit, the next one in each word,
//! and ends with looking for it. Between the two is a march as tests of memory chips make it
//! (March C-): it goes through the buffer word by word, upwards and downwards, and turns each word
//! that it finds right into its complement. In as many passes as a word has bits each bit has been
//! the only one, and the only one missing, and each word has changed right before and right after
//! its neighbours.

use super::contents::word;
use super::context::Context;
use super::places::{Place, Way};
use crate::finding::{about, Count, Stop, Value};
use crate::pattern::{Pattern, WORD};
use crate::system::System;

/// How many passes there are, if there is time.
const PASSES: u64 = u64::BITS as u64;

/// In milliseconds, what they may take before there are no more; there is always one.
const TIME: u64 = if cfg!(test) { 1 } else { 120 };

/// How many times as long as a chunk of the same size the words of a march take, about.
const MARCH_WORK: u64 = 8;

/// How often a run that may take long goes through the whole buffer, counted as [`Step::passes`](super::step::Step::passes) does.
pub(super) const LONG_PASSES: u64 = PASSES * (2 + MARCH_WORK * MARCHES.len() as u64);

/// How much of the buffer is marched through, unless it may take long: in an emulator, which spends
/// some hundred instructions on each access, a mebibyte can take seconds.
const MOST: u64 = 256 * 1024;

/// A way through the buffer, word by word.
#[derive(Clone, Copy)]
struct March {
    direction: Direction,
    /// What is found, and turned into its complement.
    found: Found,
}

#[derive(Clone, Copy)]
enum Direction {
    Up,
    Down,
}

#[derive(Clone, Copy)]
enum Found {
    /// The pattern's complement is found.
    Complement,
    /// The pattern itself is found.
    Pattern,
}

/// The ways of March C-, in this order. A pass begins and ends with the pattern.
const MARCHES: [March; 4] = [
    March {
        direction: Direction::Up,
        found: Found::Pattern,
    },
    March {
        direction: Direction::Up,
        found: Found::Complement,
    },
    March {
        direction: Direction::Down,
        found: Found::Pattern,
    },
    March {
        direction: Direction::Down,
        found: Found::Complement,
    },
];

impl<S: System> Context<'_, S> {
    /// Every word is loaded by one mapping, stored by the other, and goes in and out by `write()`
    /// and `read()`; a foreign device may not have these.
    pub(super) fn bits(&mut self) -> Result<(), Stop> {
        let way = if self.is_foreign() {
            Way::Second
        } else {
            Way::File
        };
        let since = self.system.milliseconds();
        let mut pass = 0;
        while pass < PASSES {
            let pattern = Pattern::walking(pass as u8);
            self.put(way, Place::All, pattern)?;
            for march in MARCHES {
                self.march(pattern, march)?;
            }
            self.get(way, Place::All, pattern)?;
            pass += 1;
            if !self.options.long && self.system.milliseconds() - since > TIME {
                break;
            }
        }
        self.finding.count = Some(Count {
            unit: "passes",
            wrong: 0,
            all: pass,
        });
        Ok(())
    }

    fn march(&mut self, pattern: Pattern, march: March) -> Result<(), Stop> {
        let size = if self.options.long {
            self.info.size
        } else {
            self.info.size.min(MOST)
        };
        let words = size / WORD as u64;
        for index in 0..words {
            let at = WORD as u64
                * match march.direction {
                    Direction::Up => index,
                    Direction::Down => words - 1 - index,
                };
            let want = match march.found {
                Found::Pattern => pattern.word(at),
                Found::Complement => !pattern.word(at),
            };
            let mut seen = [0; WORD];
            self.load(Way::Second, at, &mut seen)?;
            self.store(Way::First, at, &(!want).to_ne_bytes())?;
            if self.options.long {
                self.advance(MARCH_WORK * WORD as u64);
            }
            self.finding.same(
                about("load by").of(Way::Second.name()).at(at),
                Value::Word(word(&seen)),
                Value::Word(want),
            )?;
        }
        Ok(())
    }
}
