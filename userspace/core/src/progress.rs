// SPDX-License-Identifier: GPL-2.0-only

//! How far a run is, for a user who waits at a terminal. Nothing of it is part of the report.

use core::fmt::{Display, Write};

/// In milliseconds, how long a run takes before it is said how far it is.
const PATIENCE: u64 = if cfg!(test) { 10 } else { 1000 };

/// Goes to the start of a terminal's line, and clears it.
const CLEAR: &str = "\r\x1b[K";

/// How far a run is.
pub struct Progress<'a> {
    /// Takes text at once, not by lines: none, if nobody waits at one.
    terminal: Option<&'a mut dyn Write>,
    /// When the run began, in milliseconds.
    since: u64,
    /// How many times a buffer has been gone through as a whole, and how many times it will have
    /// been: all of the first are alike, so that they tell how long the others take.
    done: u64,
    all: u64,
    is_shown: bool,
}

impl<'a> Progress<'a> {
    /// Of a run that goes so many times through a buffer.
    pub fn new(terminal: Option<&'a mut dyn Write>, now: u64, all: u64) -> Self {
        Self {
            terminal,
            since: now,
            done: 0,
            all,
            is_shown: false,
        }
    }

    /// So many passes are done.
    pub fn add(&mut self, passes: u64) {
        self.done += passes;
    }

    /// Shows what is done next, and about how long all the rest takes.
    pub fn show(&mut self, now: u64, next: &dyn Display) {
        let elapsed = now - self.since;
        let Some(terminal) = &mut self.terminal else {
            return;
        };
        if elapsed < PATIENCE || self.done == 0 {
            return;
        }
        let left = elapsed * self.all.saturating_sub(self.done) / self.done / 1000;
        // A user who does not see it misses nothing of the report.
        let _ = write!(terminal, "{CLEAR}{next}; about {left} s left");
        self.is_shown = true;
    }

    /// Makes room for the report, which may be on the same terminal.
    pub fn clear(&mut self) {
        if let (Some(terminal), true) = (&mut self.terminal, self.is_shown) {
            // As above.
            let _ = terminal.write_str(CLEAR);
            self.is_shown = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_passes_tell_how_long_the_others_take() {
        let mut screen = String::new();
        let mut progress = Progress::new(Some(&mut screen), 5000, 10);
        progress.show(7000, &"nothing is known yet");
        progress.add(2);
        progress.show(5009, &"too early");
        progress.show(9000, &"check 2 of 24");
        progress.clear();
        progress.clear();
        assert_eq!(screen, "\r\x1b[Kcheck 2 of 24; about 16 s left\r\x1b[K");
    }
}
