// SPDX-License-Identifier: GPL-2.0-only

//! What was seen, and what should have been.

use faultline_core::device::{Fault, Signal};
use faultline_core::errno::Errno;
use faultline_core::ktap::{Group, Outcome};
use faultline_core::text::{Out, Printable, Show};
use faultline_sys::child::Ending;

use crate::outcome;

/// Something seen or wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Done,
    Count(u64),
    Word(u64),
    Errno(Errno),
    Signal(Signal),
    Text(&'static str),
    Status(i32),
    Killed(i32),
}

impl From<Errno> for Value {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<Signal> for Value {
    fn from(signal: Signal) -> Self {
        Self::Signal(signal)
    }
}

impl From<()> for Value {
    fn from((): ()) -> Self {
        Self::Done
    }
}

impl From<u64> for Value {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(text)
    }
}

impl From<Ending> for Value {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Exit(status) => Self::Status(status),
            Ending::Killed(signal) => Self::Killed(signal),
        }
    }
}

impl<T: Into<Value>> From<Result<T, Errno>> for Value {
    fn from(result: Result<T, Errno>) -> Self {
        result.map_or_else(Self::Errno, T::into)
    }
}

impl From<Result<(), Fault>> for Value {
    fn from(result: Result<(), Fault>) -> Self {
        result.map_or_else(|fault| Self::Signal(fault.signal), |()| Self::Done)
    }
}

impl From<Result<u64, Fault>> for Value {
    fn from(result: Result<u64, Fault>) -> Self {
        result.map_or_else(|fault| Self::Signal(fault.signal), Self::Word)
    }
}

impl Show for Value {
    fn show(&self, out: &mut dyn Out) {
        match *self {
            Self::Done => out.text("success"),
            Self::Count(count) => out.number(count),
            Self::Word(word) => out.hex(word),
            Self::Errno(errno) => out.show(&errno),
            Self::Signal(signal) => out.show(&signal),
            Self::Text(text) => out.text(text),
            Self::Status(status) => out.text("status ").number(u64::from(status.unsigned_abs())),
            Self::Killed(signal) => out.text("signal ").number(u64::from(signal.unsigned_abs())),
        };
    }
}

/// The last thing that a test looked at.
#[derive(Clone, Copy)]
pub(crate) struct Finding {
    what: &'static str,
    seen: Value,
    want: Value,
}

impl Finding {
    pub(crate) const NONE: Self = Self {
        what: "nothing",
        seen: Value::Done,
        want: Value::Done,
    };

    /// Takes note of what was seen, which must be what is wanted.
    pub(crate) fn same(
        &mut self,
        what: &'static str,
        seen: impl Into<Value>,
        want: impl Into<Value>,
    ) -> Result<(), Stop> {
        let (seen, want) = (seen.into(), want.into());
        *self = Self { what, seen, want };
        if seen == want {
            Ok(())
        } else {
            Err(Stop::Fail)
        }
    }

    /// Takes note of something without which the test cannot go on.
    pub(crate) fn need<T, E>(&mut self, what: &'static str, seen: Result<T, E>) -> Result<T, Stop>
    where
        Value: From<Result<(), E>>,
    {
        match seen {
            Ok(value) => Ok(value),
            Err(error) => {
                self.same(what, Err(error), ())?;
                Err(Stop::Fail)
            }
        }
    }
}

impl Show for Finding {
    fn show(&self, out: &mut dyn Out) {
        out.text(self.what).text(": ").show(&self.seen);
        out.text(", want ").show(&self.want);
    }
}

/// Why a test ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The finding says what is wrong.
    Fail,
    /// It cannot be made here, for this reason.
    Skip(&'static str),
}

/// What came out so far.
pub(crate) struct Report {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

/// A group of tests that is being reported on.
pub(crate) struct Part<'r, 'w> {
    group: &'r mut Group<'w>,
    report: &'r mut Report,
}

impl Report {
    pub(crate) fn new() -> Self {
        Self {
            passed: 0,
            failed: 0,
            skipped: 0,
        }
    }

    /// Reports on a group of `plan` tests, which `run` makes.
    pub(crate) fn part(
        &mut self,
        all: &mut Group<'_>,
        name: &[u8],
        plan: u64,
        run: impl FnOnce(&mut Part<'_, '_>),
    ) {
        let failed_before = self.failed;
        run(&mut Part {
            group: &mut all.group(&Printable(name), plan),
            report: self,
        });
        all.result(outcome(self.failed > failed_before), name)
            .text("\n");
    }
}

impl Part<'_, '_> {
    /// Begins a line for people about the next result.
    pub(crate) fn line(&mut self) -> &mut dyn Out {
        self.group.diagnostic()
    }

    /// Writes the result of a test.
    pub(crate) fn result(&mut self, name: &str, result: Result<(), Stop>, finding: &dyn Show) {
        if !matches!(result, Err(Stop::Skip(_))) {
            let out = self.line();
            out.text(name).text(": ").show(finding).text("\n");
        }
        let (outcome, reason) = match result {
            Ok(()) => (Outcome::Pass, ""),
            Err(Stop::Fail) => (Outcome::Fail, ""),
            Err(Stop::Skip(reason)) => (Outcome::Skip, reason),
        };
        match outcome {
            Outcome::Pass => self.report.passed += 1,
            Outcome::Fail => self.report.failed += 1,
            Outcome::Skip => self.report.skipped += 1,
        }
        let line = self.group.result(outcome, name.as_bytes());
        line.text(reason).text("\n");
    }
}
