// SPDX-License-Identifier: GPL-2.0-only

//! How far the checks of a device are, for a user who waits at a terminal. Nothing of it is part of the
//! report.

use core::fmt::Write;

use crate::text::Printable;

/// In milliseconds, how long it takes until the progress is shown, and shown again.
const PATIENCE: u64 = if cfg!(test) { 10 } else { 1000 };

/// After how many bytes the clock is read.
const LOOK: u64 = 1 << 18;

/// Goes to the start of a terminal's line, and clears it.
const CLEAR: &str = "\r\x1b[K";

/// How far the checks of a device are. Work is counted in bytes that are gone through.
pub struct Progress<'a> {
    /// Takes text at once, not by lines.
    terminal: Option<&'a mut dyn Write>,
    device: Printable<'a>,
    check: Check,
    checks: u64,
    /// In milliseconds, when the checks began, and when the progress was last shown.
    since: u64,
    shown: u64,
    /// How much work is done, how much will be when the check ends, and how much there is.
    done: u64,
    check_end: u64,
    all: u64,
    is_shown: bool,
}

/// The check that is being made.
#[derive(Clone, Copy)]
pub struct Check {
    /// Its place, from 1 on.
    pub number: u64,
    /// Its name.
    pub name: &'static str,
    /// Its work.
    pub work: u64,
}

impl<'a> Progress<'a> {
    /// Nothing has begun.
    pub fn new(terminal: Option<&'a mut dyn Write>) -> Self {
        Self {
            terminal,
            device: Printable(b""),
            check: Check {
                number: 0,
                name: "",
                work: 0,
            },
            checks: 0,
            since: 0,
            shown: 0,
            done: 0,
            check_end: 0,
            all: 0,
            is_shown: false,
        }
    }

    /// A number of checks of a device begins, which have so much work together.
    pub fn begin(&mut self, device: Printable<'a>, checks: u64, work: u64, now: u64) {
        self.device = device;
        self.checks = checks;
        self.all = work;
        self.since = now;
        self.shown = now;
    }

    /// A check begins.
    pub fn begin_check(&mut self, check: Check) {
        self.check = check;
        self.check_end += check.work;
    }

    /// Counts work of the check. Returns whether it is time to call [`Progress::show`].
    pub fn advance(&mut self, work: u64) -> bool {
        let before = self.done;
        self.done = (before + work).min(self.check_end);
        self.terminal.is_some() && before / LOOK != self.done / LOOK
    }

    /// Shows how far the checks are, unless that was shown a moment ago.
    pub fn show(&mut self, now: u64) {
        let Some(terminal) = &mut self.terminal else {
            return;
        };
        if self.done == 0 || now - self.shown < PATIENCE {
            return;
        }
        let percent = self.done * 100 / self.all;
        // In KiB, so that the product fits: a day of a gigabyte's patterns.
        let [left, done] = [self.all - self.done, self.done].map(|work| work / 1024);
        let left = (now - self.since) * left / done.max(1) / 1000;
        let Check { number, name, .. } = self.check;
        // A user who does not see it misses nothing of the report.
        let _ = write!(
            terminal,
            "{CLEAR}{}: check {number} of {}, {name}: {percent} %, about {left} s left",
            self.device, self.checks
        );
        self.shown = now;
        self.is_shown = true;
    }

    /// A check has ended: what it has left out counts as done. Clears the line for the report, which may
    /// be on the same terminal.
    pub fn end_check(&mut self) {
        self.done = self.check_end;
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
    fn what_is_done_tells_how_long_the_rest_takes() {
        let check = |number, work| Check {
            number,
            name: "bits",
            work,
        };
        let mut screen = String::new();
        let mut progress = Progress::new(Some(&mut screen));
        progress.begin(Printable(b"/dev/a"), 3, 10 * LOOK, 5000);
        progress.show(7000);
        progress.begin_check(check(1, 2 * LOOK));
        assert!(!progress.advance(LOOK - 1));
        assert!(progress.advance(LOOK / 2));
        progress.end_check();
        progress.begin_check(check(2, 3 * LOOK));
        progress.show(5009);
        assert!(progress.advance(2 * LOOK));
        progress.show(9000);
        progress.show(9009);
        // More than was expected.
        progress.advance(4 * LOOK);
        progress.show(9010);
        progress.end_check();
        progress.end_check();
        assert_eq!(
            screen.replace(CLEAR, "\n"),
            "\n/dev/a: check 2 of 3, bits: 40 %, about 6 s left\
             \n/dev/a: check 2 of 3, bits: 50 %, about 4 s left\n"
        );
    }

    #[test]
    fn without_a_terminal_nobody_asks_for_the_time() {
        let mut progress = Progress::new(None);
        progress.begin(Printable(b"/dev/a"), 1, 10 * LOOK, 0);
        progress.begin_check(Check {
            number: 1,
            name: "bits",
            work: 10 * LOOK,
        });
        assert!(!progress.advance(3 * LOOK));
        progress.show(5000);
    }
}
