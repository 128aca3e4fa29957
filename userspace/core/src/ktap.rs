// SPDX-License-Identifier: GPL-2.0-only

//! A writer of KTAP version 1, as Documentation/dev-tools/ktap.rst defines it.

use core::fmt::{self, Display, Write};

use crate::finding::Stop;

/// A group of tests: a version line, a plan, and as many results as the plan says.
///
/// ```
/// use faultline_core::ktap::{Group, Outcome};
///
/// let name = "/dev/faultline0";
/// let mut screen = String::new();
/// let mut devices = Group::new(&mut screen, 1);
/// let mut checks = devices.group(&name, 2);
/// checks.comment(format_args!("zeroed: 4096 bytes are zero"));
/// checks.conclude(Outcome::Pass, &"zeroed", &"");
/// checks.conclude(Outcome::Skip, &"pagemap_same", &"needs CAP_SYS_ADMIN");
/// devices.conclude(Outcome::Pass, &name, &"");
/// let lines: Vec<_> = screen.lines().collect();
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
    out: &'w mut dyn Write,
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
    /// How a test ended that was made up to its end, or up to where it stopped.
    pub const fn of(result: Result<(), Stop>) -> Self {
        match result {
            Ok(()) => Self::Pass,
            Err(Stop::Fail) => Self::Fail,
            Err(_) => Self::Skip,
        }
    }

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

/// How many tests had which outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Those that passed.
    pub passed: u64,
    /// Those that failed.
    pub failed: u64,
    /// Those that could not be made.
    pub skipped: u64,
}

impl Counts {
    /// Counts one more.
    pub fn add(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Pass => self.passed += 1,
            Outcome::Fail => self.failed += 1,
            Outcome::Skip => self.skipped += 1,
        }
    }

    /// Counts those of another group.
    pub fn add_all(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    /// How many there are.
    pub const fn all(self) -> u64 {
        self.passed + self.failed + self.skipped
    }

    /// How all of them together ended.
    pub const fn outcome(self) -> Outcome {
        match self {
            Self { failed: 1.., .. } => Outcome::Fail,
            Self { passed: 1.., .. } => Outcome::Pass,
            _ => Outcome::Skip,
        }
    }
}

// The owner of `out` knows if a line could not be written: a lost line does not cost the rest.
impl<'w> Group<'w> {
    /// Starts the outermost group, of `plan` tests.
    pub fn new(out: &'w mut dyn Write, plan: u64) -> Self {
        let _ = write!(out, "KTAP version 1\n1..{plan}\n");
        Self {
            out,
            indent: "",
            results: 0,
        }
    }

    /// Starts a group of `plan` tests within the outermost one, for which this one is to have a
    /// result of the same name.
    pub fn group(&mut self, name: &dyn Display, plan: u64) -> Group<'_> {
        let _ = write!(
            self.out,
            "  KTAP version 1\n  # Subtest: {name}\n  1..{plan}\n"
        );
        Group {
            out: self.out,
            indent: "  ",
            results: 0,
        }
    }

    fn begin_result(&mut self, outcome: Outcome, name: &dyn Display) {
        self.results += 1;
        let (ok, directive) = match outcome {
            Outcome::Pass => ("ok", ""),
            Outcome::Fail => ("not ok", ""),
            Outcome::Skip => ("ok", " # SKIP "),
        };
        let Self {
            indent, results, ..
        } = self;
        let _ = write!(self.out, "{indent}{ok} {results} {name}{directive}");
    }

    /// Writes a line for people. Those about a test come before its result.
    pub fn comment(&mut self, line: fmt::Arguments<'_>) {
        let _ = writeln!(self.out, "{}# {line}", self.indent);
    }

    /// Writes text that is no part of the group, such as the program's verdict.
    pub fn line(&mut self, text: fmt::Arguments<'_>) {
        let _ = self.out.write_fmt(text);
    }

    /// Writes the result of the next test, and the reason if it was skipped.
    pub fn conclude(&mut self, outcome: Outcome, name: &dyn Display, reason: &dyn Display) {
        self.begin_result(outcome, name);
        let _ = match outcome {
            Outcome::Skip => writeln!(self.out, "{reason}"),
            Outcome::Pass | Outcome::Fail => writeln!(self.out),
        };
    }
}
