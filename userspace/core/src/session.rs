// SPDX-License-Identifier: GPL-2.0-only

//! One run over several devices: the report, the totals, the verdict.

use core::ffi::CStr;

use faultline_uapi::FLAG_COHERENT;

use crate::checks::{Context, CHECKS};
use crate::device::System;
use crate::finding::{Finding, Stop};
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

/// How many checks had which outcome.
#[derive(Clone, Copy, Default)]
struct Counts([u64; 3]);

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
        let name = Printable(path.to_bytes());
        let mut finding = Finding::new();
        let mut counts = Counts::default();
        self.devices += 1;
        if let Ok(mut context) = Context::open(self.system, path, &mut finding) {
            let info = context.info();
            let coherency = if info.flags & FLAG_COHERENT == 0 {
                " bytes, non-coherent, DMA address "
            } else {
                " bytes, coherent, DMA address "
            };
            let out = self.report.diagnostic().show(&name).text(": ");
            out.number(info.size)
                .text(coherency)
                .hex(info.dma_address)
                .text("\n");
            let mut group = self.report.group(name, CHECKS.len() as u64);
            for check in &CHECKS {
                let outcome = match context.run(check) {
                    Ok(()) => Outcome::Pass,
                    Err(Stop::Fail) => Outcome::Fail,
                    Err(Stop::Skip) => Outcome::Skip,
                };
                let check = Printable(check.0.as_bytes());
                counts.0[outcome as usize] += 1;
                if outcome == Outcome::Fail {
                    self.failures.add(name, check);
                }
                conclude(&mut group, outcome, check, context.finding());
            }
            let reason = Printable(b"no check could be made");
            self.report.result(counts.outcome(), name, &reason);
        } else {
            // It cannot be opened, or is none: one check, which failed.
            counts.0[Outcome::Fail as usize] = 1;
            self.failures.add(name, Printable(b"open"));
            conclude(&mut self.report, Outcome::Fail, name, &finding);
        }
        for (total, count) in self.counts.0.iter_mut().zip(counts.0) {
            *total += count;
        }
    }

    /// Ends the report with the totals, as kselftest writes them, and gives the verdict.
    pub fn finish(&mut self) -> Verdict {
        let [passed, failed, skipped] = self.counts.0;
        let out = self.report.out().text("# Totals: pass:").number(passed);
        let out = out.text(" fail:").number(failed);
        let out = out.text(" xfail:0 xpass:0 skip:").number(skipped);
        let (verdict, word) = match self.counts.outcome() {
            Outcome::Pass => (Verdict::Pass, "PASS: "),
            Outcome::Fail => (Verdict::Fail, "FAIL: "),
            Outcome::Skip => (Verdict::Skip, "SKIP: "),
        };
        let out = out.text(" error:0\nfaultline-verify: ").text(word);
        count(out, self.devices, " device");
        count(out.text(", "), passed + failed + skipped, " check");
        let out = out.text(": ").number(passed).text(" passed, ");
        let out = out.number(failed).text(" failed, ").number(skipped);
        out.text(" skipped").show(&self.failures).text("\n");
        verdict
    }
}

/// Writes what was seen, and the result.
#[inline(never)]
fn conclude(group: &mut Group<'_>, outcome: Outcome, name: Printable<'_>, finding: &Finding) {
    if outcome != Outcome::Skip {
        let out = group.diagnostic().show(&name);
        out.text(": ").show(finding).text("\n");
    }
    group.result(outcome, name, finding);
}

/// Writes a number of things: "1 check", "2 checks".
fn count(out: &mut dyn Out, number: u64, thing: &str) {
    out.number(number)
        .text(thing)
        .text(if number == 1 { "" } else { "s" });
}

impl Counts {
    fn outcome(self) -> Outcome {
        match self.0 {
            [0, 0, _] => Outcome::Skip,
            [_, 0, _] => Outcome::Pass,
            _ => Outcome::Fail,
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

/// The checks that failed, by name as far as they fit on the verdict's line.
#[derive(Default)]
struct Failures {
    names: Note<160>,
    unnamed: u64,
}

impl Failures {
    fn add(&mut self, device: Printable<'_>, check: Printable<'_>) {
        // A name is shown in as many bytes as it has.
        let length = device.0.len() + check.0.len() + ", : ".len();
        if self.unnamed > 0 || length > self.names.room() {
            self.unnamed += 1;
            return;
        }
        let separator = if self.names.is_empty() { ": " } else { ", " };
        let names: &mut dyn Out = &mut self.names;
        names.text(separator).show(&device).text(": ").show(&check);
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
