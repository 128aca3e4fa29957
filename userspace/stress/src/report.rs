// SPDX-License-Identifier: GPL-2.0-only

//! The report: groups of tests, and how many had which outcome.

use core::fmt::{Arguments, Display};

use faultline_core::finding::{Finding, Matter, Stop};
use faultline_core::ktap::{Counts, Group, Outcome};

/// What came out so far.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) counts: Counts,
}

/// A group of tests that is being reported on.
pub(crate) struct Part<'r, 'w> {
    group: &'r mut Group<'w>,
    counts: Counts,
}

impl Report {
    /// Reports on a group of `plan` tests, which `run` makes.
    pub(crate) fn part(
        &mut self,
        all: &mut Group<'_>,
        name: &dyn Display,
        plan: u64,
        run: impl FnOnce(&mut Part<'_, '_>),
    ) {
        let mut part = Part {
            group: &mut all.group(name, plan),
            counts: Counts::default(),
        };
        run(&mut part);
        let counts = part.counts;
        self.counts.add_all(counts);
        // A group of which all were skipped has nothing against it.
        let outcome = match counts.outcome() {
            Outcome::Fail => Outcome::Fail,
            Outcome::Pass | Outcome::Skip => Outcome::Pass,
        };
        all.conclude(outcome, name, &"");
    }
}

impl Part<'_, '_> {
    /// Writes a line for people about the next result.
    pub(crate) fn comment(&mut self, line: Arguments<'_>) {
        self.group.comment(line);
    }

    /// Writes the result of a case and, if it failed, what that means.
    pub(crate) fn case(
        &mut self,
        name: &'static str,
        proves: &'static str,
        result: Result<(), Stop>,
        finding: &Finding,
    ) {
        let means = match finding.matter {
            Matter::Call => "A call failed, so that this does not hold, or could not be looked at",
            _ => "This does not hold",
        };
        let meaning = format_args!("{name}: {means}: {proves} See docs/stress.md#the-cases.");
        self.conclude(&name, result, finding, Some(meaning));
    }

    /// Writes the result of a test.
    pub(crate) fn result(
        &mut self,
        name: &dyn Display,
        result: Result<(), Stop>,
        finding: &dyn Display,
    ) {
        self.conclude(name, result, finding, None);
    }

    fn conclude(
        &mut self,
        name: &dyn Display,
        result: Result<(), Stop>,
        finding: &dyn Display,
        meaning: Option<Arguments<'_>>,
    ) {
        let outcome = Outcome::of(result);
        self.counts.add(outcome);
        let reason: &dyn Display = match &result {
            Ok(()) | Err(Stop::Fail) => {
                self.comment(format_args!("{name}: {finding}"));
                &""
            }
            Err(stop) => stop,
        };
        if let (Err(Stop::Fail), Some(meaning)) = (result, meaning) {
            self.comment(meaning);
        }
        self.group.conclude(outcome, name, reason);
    }
}
