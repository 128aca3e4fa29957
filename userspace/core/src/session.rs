// SPDX-License-Identifier: GPL-2.0-only

//! One run over several devices: the report, the totals, the verdict.

use core::ffi::CStr;

use faultline_uapi::FLAG_COHERENT;

use crate::checks::{Context, CHECKS};
use crate::device::System;
use crate::finding::{Finding, Stop};
use crate::ktap::{Group, Outcome};
use crate::text::{Line, Note, Out};

/// A run over devices.
pub struct Session<'a, S> {
    system: &'a mut S,
    report: Group<'a>,
    may_unbind: bool,
    devices: u64,
    counts: Counts,
    failures: Failures,
    /// A line for each device.
    table: Note<2048>,
    /// The checks that failed on any device, by bits.
    failed: u32,
}

/// What is in the table above the verdict.
const HEADING: &str =
    "# device | bytes | DMA address | user | kernel | master | pass | fail | skip\n";

/// How many checks had which outcome.
#[derive(Clone, Copy, Default)]
struct Counts([u64; 3]);

impl<'a, S: System> Session<'a, S> {
    /// Starts the report on `devices` devices, which may be unbound or not.
    pub fn new(system: &'a mut S, out: &'a mut dyn Out, devices: u64, may_unbind: bool) -> Self {
        let report = Group::new(out, devices);
        let (counts, failures) = (Counts::default(), Failures::default());
        Self {
            system,
            report,
            may_unbind,
            devices: 0,
            counts,
            failures,
            table: Note::new(),
            failed: 0,
        }
    }

    /// Makes all checks on one device.
    pub fn verify(&mut self, path: &CStr) {
        let name = path.to_bytes();
        let mut finding = Finding::new();
        let mut counts = Counts::default();
        self.devices += 1;
        if let Ok(mut context) = Context::open(self.system, path, self.may_unbind, &mut finding) {
            let info = context.info();
            let form = if info.flags & FLAG_COHERENT == 0 {
                ": % bytes, non-coherent, DMA address &\n"
            } else {
                ": % bytes, coherent, DMA address &\n"
            };
            let out = self.report.diagnostic().printable(name);
            out.form(form, &[info.size, info.dma_address]);
            let mut group = self.report.group(name, CHECKS.len() as u64);
            for (number, check) in CHECKS.iter().enumerate() {
                let outcome = match context.run(check) {
                    Ok(()) => Outcome::Pass,
                    Err(Stop::Fail) => Outcome::Fail,
                    Err(Stop::Skip) => Outcome::Skip,
                };
                counts.0[outcome as usize] += 1;
                if outcome == Outcome::Fail {
                    self.failures.add(name, check.name());
                    self.failed |= 1 << number;
                }
                conclude(&mut group, outcome, check.name(), context.finding());
            }
            let info = context.info();
            let [user, kernel] = context.types();
            let master = context.master().map_or(&b"-"[..], |master| &master.name);
            let row: &mut dyn Out = &mut self.table;
            let row = row.text("# ").printable(name);
            let row = row.form(" | % | & | ", &[info.size, info.dma_address]);
            let row = row.show(&user).text(" | ").show(&kernel).text(" | ");
            row.printable(until_nul(master))
                .form(" | % | % | %\n", &counts.0);
            let outcome = counts.outcome();
            let line = self.report.result(outcome, name);
            line.text(if outcome == Outcome::Skip {
                "no check could be made\n"
            } else {
                "\n"
            });
        } else {
            // It cannot be opened, or is none: one check, which failed.
            counts.0[Outcome::Fail as usize] = 1;
            self.failures.add(name, b"open");
            conclude(&mut self.report, Outcome::Fail, name, &finding);
        }
        for (total, count) in self.counts.0.iter_mut().zip(&counts.0) {
            *total += count;
        }
    }

    /// Ends the report with the totals, as kselftest writes them, and gives the verdict.
    pub fn finish(&mut self) -> Outcome {
        let [passed, failed, skipped] = self.counts.0;
        let verdict = self.counts.outcome();
        let out = self.report.out();
        out.text(HEADING).show(&self.table);
        for (number, check) in CHECKS.iter().enumerate() {
            if self.failed >> number & 1 != 0 {
                out.text("# ").text(check.0).text("\n");
            }
        }
        let out = self.report.out().form(
            "# Totals: pass:% fail:% xfail:0 xpass:0 skip:% error:0\nfaultline-verify: ",
            &[passed, failed, skipped],
        );
        let checks = passed + failed + skipped;
        out.text(verdict.word()).form(
            ": % device+, % check+: % passed, % failed, % skipped",
            &[self.devices, checks, passed, failed, skipped],
        );
        self.failures.conclude(out);
        verdict
    }
}

/// A name that is filled up with zeroes.
fn until_nul(name: &[u8]) -> &[u8] {
    name.split(|byte| *byte == 0).next().unwrap_or(name)
}

/// Writes what was seen, and the result.
#[inline(never)]
fn conclude(group: &mut Group<'_>, outcome: Outcome, name: &[u8], finding: &Finding) {
    if outcome != Outcome::Skip {
        let out = group.diagnostic().printable(name);
        out.text(": ").show(finding).text("\n");
    }
    let line = group.result(outcome, name);
    if outcome == Outcome::Skip {
        line.show(finding);
    }
    line.text("\n");
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
pub fn no_device(out: &mut dyn Out) -> Outcome {
    out.text(
        "KTAP version 1\n1..0 # SKIP no /dev/faultline* device\n\
         faultline-verify: SKIP: no /dev/faultline* device\n",
    );
    Outcome::Skip
}

/// The checks that failed, by name as far as they fit on the verdict's line.
#[derive(Default)]
struct Failures {
    names: Line,
    unnamed: u64,
}

impl Failures {
    fn add(&mut self, device: &[u8], check: &[u8]) {
        // A name is shown in as many bytes as it has.
        let length = device.len() + check.len() + ", : ".len();
        if self.unnamed > 0 || length > self.names.room() {
            self.unnamed += 1;
            return;
        }
        let separator = if self.names.is_empty() { ": " } else { ", " };
        let names: &mut dyn Out = &mut self.names;
        names
            .text(separator)
            .printable(device)
            .text(": ")
            .printable(check);
    }

    /// Ends a line with them.
    fn conclude(&self, out: &mut dyn Out) {
        out.show(&self.names);
        if self.unnamed > 0 {
            out.form(" and % more", &[self.unnamed]);
        }
        out.text("\n");
    }
}

#[cfg(test)]
mod tests;
