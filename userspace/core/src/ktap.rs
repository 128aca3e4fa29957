// SPDX-License-Identifier: GPL-2.0-only

//! A writer of KTAP version 1, as Documentation/dev-tools/ktap.rst defines it.

use core::fmt::{self, Display};

use crate::text::{Out, Printable};

/// A group of tests: a version line, a plan, and as many results as the plan says.
///
/// ```
/// use faultline_core::ktap::{Group, Outcome};
/// use faultline_core::text::Out;
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
/// let name = b"/dev/faultline0";
/// let mut devices = Group::new(&mut screen, 1);
/// let mut checks = devices.group(name, 2);
/// checks.diagnostic().text("zeroed: 4096 bytes are zero\n");
/// checks.result(Outcome::Pass, b"zeroed").text("\n");
/// checks.result(Outcome::Skip, b"pagemap_same").text("needs CAP_SYS_ADMIN\n");
/// devices.result(Outcome::Pass, name).text("\n");
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

impl Outcome {
    /// The exit status of a program of which this is all there is to say, as kselftest has it.
    pub const fn status(self) -> i32 {
        match self {
            Self::Pass => 0,
            Self::Fail => 1,
            Self::Skip => 4,
        }
    }

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Skip => "SKIP",
        }
    }
}

impl Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl<'w> Group<'w> {
    /// Starts the outermost group, of `plan` tests.
    pub fn new(out: &'w mut dyn Out, plan: u64) -> Self {
        let group = Self {
            out,
            indent: "",
            results: 0,
        };
        group.out.form("KTAP version 1\n1..%\n", &[plan]);
        group
    }

    /// Starts a group of `plan` tests within the outermost one, for which this one is to have a
    /// result of the same name.
    pub fn group(&mut self, name: &[u8], plan: u64) -> Group<'_> {
        let form = "  KTAP version 1\n  # Subtest: $\n  1..%\n";
        self.out.fill(form, &[plan], &[&Printable(name)]);
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

    /// Begins the line with the result of the next test, which is to end with the reason if it was
    /// skipped, and a line break.
    #[inline(never)]
    pub fn result(&mut self, outcome: Outcome, name: &[u8]) -> &mut (dyn Out + 'w) {
        self.results += 1;
        let form = match outcome {
            Outcome::Pass => "ok % $",
            Outcome::Fail => "not ok % $",
            Outcome::Skip => "ok % $ # SKIP ",
        };
        let out = self.out.text(self.indent);
        out.fill(form, &[self.results], &[&Printable(name)])
    }

    /// Writes a line for people. Those about a test come before its result.
    pub fn comment(&mut self, line: fmt::Arguments<'_>) {
        let indent = self.indent;
        self.out.text(indent).text("# ").show(&line).text("\n");
    }

    /// Writes the result of the next test, and the reason if it was skipped.
    pub fn conclude(&mut self, outcome: Outcome, name: &dyn Display, reason: &dyn Display) {
        self.results += 1;
        let (indent, number) = (self.indent, self.results);
        let not = if outcome == Outcome::Fail { "not " } else { "" };
        let line = format_args!("{indent}{not}ok {number} {name}");
        match outcome {
            Outcome::Skip => self.out.show(&format_args!("{line} # SKIP {reason}\n")),
            _ => self.out.show(&format_args!("{line}\n")),
        };
    }

    /// Where the group is written to, for lines that are no part of it.
    pub fn out(&mut self) -> &mut (dyn Out + 'w) {
        self.out
    }
}
