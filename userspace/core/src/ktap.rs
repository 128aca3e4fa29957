// SPDX-License-Identifier: GPL-2.0-only

//! A writer of KTAP version 1, as Documentation/dev-tools/ktap.rst defines it.

use crate::text::{Out, Printable, Show};

/// A group of tests: a version line, a plan, and as many results as the plan says.
///
/// ```
/// use faultline_core::ktap::{Group, Outcome};
/// use faultline_core::text::{Out, Printable};
///
/// struct Screen(String);
///
/// impl Out for Screen {
///     fn write(&mut self, bytes: &[u8]) {
///         self.0.push_str(&String::from_utf8_lossy(bytes));
///     }
/// }
///
/// let mut screen = Screen(String::new());
/// let name = Printable(b"/dev/faultline0");
/// let mut devices = Group::new(&mut screen, 1);
/// let mut checks = devices.group(name, 2);
/// checks.diagnostic().text("zeroed: 4096 bytes are zero\n");
/// checks.result(Outcome::Pass, Printable(b"zeroed"), &Printable(b""));
/// checks.result(Outcome::Skip, Printable(b"pagemap_same"), &Printable(b"needs CAP_SYS_ADMIN"));
/// devices.result(Outcome::Pass, name, &Printable(b""));
/// let lines: Vec<_> = screen.0.lines().collect();
/// assert_eq!(
///     lines,
///     [
///         "KTAP version 1",
///         "1..1",
///         "  KTAP version 1",
///         "  # Subtest: /dev/faultline0",
///         "  1..2",
///         "  # zeroed: 4096 bytes are zero",
///         "  ok 1 zeroed",
///         "  ok 2 pagemap_same # SKIP needs CAP_SYS_ADMIN",
///         "ok 1 /dev/faultline0",
///     ]
/// );
/// ```
pub struct Group<'w> {
    out: &'w mut dyn Out,
    indent: &'static str,
    results: u64,
}

/// How a test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// What was looked for was seen.
    Pass,
    /// Something else was seen.
    Fail,
    /// It could not be looked at.
    Skip,
}

impl<'w> Group<'w> {
    /// Starts the outermost group, of `plan` tests.
    pub fn new(out: &'w mut dyn Out, plan: u64) -> Self {
        let group = Self {
            out,
            indent: "",
            results: 0,
        };
        group
            .out
            .text("KTAP version 1\n1..")
            .number(plan)
            .text("\n");
        group
    }

    /// Starts a group of `plan` tests within the outermost one, for which this one is to have a
    /// result of the same name.
    pub fn group(&mut self, name: Printable<'_>, plan: u64) -> Group<'_> {
        self.out.text("  KTAP version 1\n  # Subtest: ").show(&name);
        self.out.text("\n  1..").number(plan).text("\n");
        Group {
            out: self.out,
            indent: "  ",
            results: 0,
        }
    }

    /// Begins a line for people, which is to end with a line break. Those about a test come
    /// before its result.
    pub fn diagnostic(&mut self) -> &mut (dyn Out + 'w) {
        self.out.text(self.indent).text("# ")
    }

    /// Writes the result of the next test, and the reason if it was skipped.
    pub fn result(&mut self, outcome: Outcome, name: Printable<'_>, reason: &dyn Show) {
        self.results += 1;
        let ok = if outcome == Outcome::Fail {
            "not ok "
        } else {
            "ok "
        };
        let line = self
            .out
            .text(self.indent)
            .text(ok)
            .number(self.results)
            .text(" ")
            .show(&name);
        if outcome == Outcome::Skip {
            line.text(" # SKIP ").show(reason);
        }
        line.text("\n");
    }

    /// Where the group is written to, for lines that are no part of it.
    pub fn out(&mut self) -> &mut (dyn Out + 'w) {
        self.out
    }
}
