// SPDX-License-Identifier: GPL-2.0-only

//! One run over several devices: the report, the totals, the verdict.

use core::ffi::CStr;

use faultline_uapi::FLAG_COHERENT;

use crate::checks::{Context, Stop};
use crate::device::System;
use crate::ktap::{Group, Outcome};
use crate::text::{Note, Out, Printable, Show};

/// A run over devices.
pub struct Session<'a, S> {
    system: &'a mut S,
    report: Group<'a>,
    devices: u64,
    counts: Counts,
    failures: Failures,
}

/// How many checks there were.
#[derive(Clone, Copy, Default)]
struct Counts {
    passed: u64,
    failed: u64,
    skipped: u64,
}

/// What came of a run, and the exit status of a program that has nothing else to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Some checks passed, and none failed.
    Pass = 0,
    /// A check failed.
    Fail = 1,
    /// There was nothing to check, or nothing could be checked.
    Skip = 4,
}

impl Verdict {
    /// The exit status.
    pub const fn status(self) -> i32 {
        self as i32
    }
}

impl<'a, S: System> Session<'a, S> {
    /// Starts the report on `devices` devices.
    pub fn new(system: &'a mut S, out: &'a mut dyn Out, devices: u64) -> Self {
        let report = Group::new(out, devices);
        let (counts, failures) = (Counts::default(), Failures::default());
        Self {
            system,
            report,
            devices: 0,
            counts,
            failures,
        }
    }

    /// Makes all checks on one device.
    pub fn verify(&mut self, path: &CStr) {
        self.devices += 1;
        let name = Printable(path.to_bytes());
        let mut context = match self.system.open(path) {
            Ok(device) => match Context::new(self.system, device) {
                Ok(context) => context,
                Err(reason) => return self.not_checked(name, &reason),
            },
            Err(errno) => return self.not_checked(name, &errno),
        };

        let info = context.info();
        let coherent = info.flags & FLAG_COHERENT != 0;
        self.report
            .diagnostic()
            .show(&name)
            .text(": ")
            .number(info.size)
            .text(if coherent {
                " bytes, coherent"
            } else {
                " bytes, non-coherent"
            })
            .text(", DMA address ")
            .hex(info.dma_address)
            .text("\n");

        let mut counts = Counts::default();
        let mut group = self.report.group(name, Context::<S>::CHECKS.len() as u64);
        for (check, run) in &Context::<S>::CHECKS {
            let outcome = match context.run(run) {
                Ok(()) => Outcome::Pass,
                Err(Stop::Fail) => Outcome::Fail,
                Err(Stop::Skip) => Outcome::Skip,
            };
            match outcome {
                Outcome::Pass => counts.passed += 1,
                Outcome::Fail => {
                    counts.failed += 1;
                    self.failures.add(name, check);
                }
                Outcome::Skip => counts.skipped += 1,
            }
            if outcome != Outcome::Skip {
                group
                    .diagnostic()
                    .text(check)
                    .text(": ")
                    .show(&context)
                    .text("\n");
            }
            group.result(outcome, Printable(check.as_bytes()), &context);
        }
        self.report.result(
            counts.outcome(),
            name,
            &Printable(b"no check could be made"),
        );
        self.counts.passed += counts.passed;
        self.counts.failed += counts.failed;
        self.counts.skipped += counts.skipped;
    }

    /// Reports a device that cannot be opened, or is none: one check, `open`, that failed.
    fn not_checked(&mut self, name: Printable<'_>, reason: &dyn Show) {
        self.counts.failed += 1;
        self.failures.add(name, "open");
        self.report
            .diagnostic()
            .show(&name)
            .text(": open: ")
            .show(reason)
            .text("\n");
        self.report.result(Outcome::Fail, name, reason);
    }

    /// Ends the report with the totals, as kselftest writes them, and gives the verdict.
    pub fn finish(&mut self) -> Verdict {
        let Counts {
            passed,
            failed,
            skipped,
        } = self.counts;
        self.report
            .diagnostic()
            .text("Totals: pass:")
            .number(passed)
            .text(" fail:")
            .number(failed)
            .text(" xfail:0 xpass:0 skip:")
            .number(skipped)
            .text(" error:0\n");
        let (verdict, word) = match self.counts.outcome() {
            Outcome::Pass => (Verdict::Pass, "PASS: "),
            Outcome::Fail => (Verdict::Fail, "FAIL: "),
            Outcome::Skip => (Verdict::Skip, "SKIP: "),
        };
        self.report
            .out()
            .text("faultline-verify: ")
            .text(word)
            .show(&Count(self.devices, " device"))
            .text(", ")
            .show(&Count(passed + failed + skipped, " check"))
            .text(": ")
            .number(passed)
            .text(" passed, ")
            .number(failed)
            .text(" failed, ")
            .number(skipped)
            .text(" skipped")
            .show(&self.failures)
            .text("\n");
        verdict
    }
}

impl Counts {
    fn outcome(self) -> Outcome {
        match self {
            Counts { failed: 1.., .. } => Outcome::Fail,
            Counts { passed: 1.., .. } => Outcome::Pass,
            _ => Outcome::Skip,
        }
    }
}

/// Reports that there is no device to verify.
pub fn no_device(out: &mut dyn Out) -> Verdict {
    out.text(
        "KTAP version 1\n1..0 # SKIP no /dev/faultline* device\n\
         faultline-verify: SKIP: no /dev/faultline* device\n",
    );
    Verdict::Skip
}

/// A number of things: "1 check", "2 checks".
struct Count(u64, &'static str);

impl Show for Count {
    fn show(&self, out: &mut dyn Out) {
        out.number(self.0)
            .text(self.1)
            .text(if self.0 == 1 { "" } else { "s" });
    }
}

/// The checks that failed, by name as far as they fit on the verdict's line.
#[derive(Default)]
struct Failures {
    names: Note<160>,
    unnamed: u64,
}

impl Failures {
    fn add(&mut self, device: Printable<'_>, check: &str) {
        // A name is shown in as many bytes as it has.
        let length = device.0.len() + check.len() + ", : ".len();
        if self.unnamed > 0 || length > self.names.room() {
            self.unnamed += 1;
            return;
        }
        let separator = if self.names.is_empty() { ": " } else { ", " };
        let names: &mut dyn Out = &mut self.names;
        names.text(separator).show(&device).text(": ").text(check);
    }
}

impl Show for Failures {
    fn show(&self, out: &mut dyn Out) {
        out.show(&self.names);
        if self.unnamed > 0 {
            out.text(" and ").number(self.unnamed).text(" more");
        }
    }
}

#[cfg(test)]
mod tests;
