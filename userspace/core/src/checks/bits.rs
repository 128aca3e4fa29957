// SPDX-License-Identifier: GPL-2.0-only

//! Bits that stick, or follow their neighbours: patterns over the whole buffer.
//!
//! A pass puts a pattern into the buffer in which each word has one bit, the next one in each word,
//! and ends with looking for it. Between the two is a march as tests of memory chips make it
//! (March C-): it goes through the buffer word by word, upwards and downwards, and turns each word
//! that it finds right into its complement. In as many passes as a word has bits each bit has been
//! the only one, and the only one missing, and each word has changed right before and right after
//! its neighbours.

use super::Place::All;
use super::Way::{File, First, Second};
use super::{word, Context};
use crate::old_finding::Stop;
use crate::pattern::{Pattern, WORD};
use crate::system::System;

/// How many passes there are, if there is time.
const PASSES: u64 = u64::BITS as u64;

/// In milliseconds, what they may take before there are no more; there is always one.
const TIME: u64 = if cfg!(test) { 1 } else { 120 };

/// How much of the buffer is marched through, unless it may take long: in an emulator, which spends
/// some hundred instructions on each access, a mebibyte can take seconds.
const MOST: u64 = 256 * 1024;

/// The ways through the buffer, in this order: whether downwards, and whether it is the complement
/// that is found.
const MARCH: [(bool, bool); 4] = [(false, false), (false, true), (true, false), (true, true)];

impl<S: System> Context<'_, S> {
    /// Every word is loaded by one mapping, stored by the other, and goes in and out by `write()`
    /// and `read()`; a foreign device may not have these.
    pub(super) fn bits(&mut self) -> Result<(), Stop> {
        let way = if self.is_foreign() { Second } else { File };
        let since = self.system.milliseconds();
        let mut pass = 0;
        while pass < PASSES {
            let pattern = Pattern::walking(pass as u8);
            self.visit(true, way, All, pattern)?;
            for &(down, inverted) in &MARCH {
                self.march(pattern, down, inverted)?;
            }
            self.visit(false, way, All, pattern)?;
            pass += 1;
            if !self.options.long && self.system.milliseconds() - since > TIME {
                break;
            }
        }
        self.finding.count("passes", pass);
        Ok(())
    }

    fn march(&mut self, pattern: Pattern, down: bool, inverted: bool) -> Result<(), Stop> {
        let size = match self.info.size {
            size if self.options.long => size,
            size => size.min(MOST),
        };
        let words = size / WORD as u64;
        for index in 0..words {
            let at = WORD as u64 * if down { words - 1 - index } else { index };
            let other = !pattern.word(at);
            let want = if inverted { other } else { !other };
            let mut seen = [0; WORD];
            self.load(Second, at, &mut seen)?;
            self.store(First, at, &(!want).to_ne_bytes())?;
            let result = self.finding.word("load by ", at, word(&seen), want);
            self.finding.whose = Second.name();
            result?;
        }
        Ok(())
    }
}
