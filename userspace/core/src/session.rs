// SPDX-License-Identifier: GPL-2.0-only

//! One run over several devices: the report, the totals, the verdict.

use core::ffi::CStr;

use faultline_uapi::FLAG_COHERENT;

use crate::args::verify::Options;
use crate::checks::{checks, Context, CHECKS};
use crate::ktap::{Group, Outcome};
use crate::old_finding::{Finding, Stop};
use crate::system::System;
use crate::text::{Line, Note, Out, Printable, Show};

/// A run over devices.
pub struct Session<'a, S> {
    system: &'a mut S,
    options: &'a Options<'a>,
    report: Group<'a>,
    /// Where it is written for machines.
    json: Option<&'a mut dyn Out>,
    devices: u64,
    counts: Counts,
    /// The checks that failed, by name as far as they fit on the verdict's line.
    failures: Line,
    /// Those of which the machine was too busy for a verdict, likewise.
    undecided: Line,
    /// A line for each device.
    table: Note<2048>,
    /// The checks that failed on any device, by bits.
    failed: u32,
}

/// What is in the table above the verdict.
const HEADING: &str =
    "# device | bytes | DMA address | user | kernel | master | pass | fail | skip\n";

/// The same for machines.
const DEVICE_OBJECT: &str = "{\"device\":@,\"bytes\":%,\"dma_address\":\"&\",\"user\":@,\
    \"kernel\":@,\"master\":@,\"pass\":%,\"fail\":%,\"skip\":%,\"result\":@}\n";

/// How many checks had which outcome.
#[derive(Clone, Copy, Default)]
struct Counts([u64; 3]);

impl<'a, S: System> Session<'a, S> {
    /// Starts the report on `devices` devices.
    pub fn new(
        system: &'a mut S,
        out: &'a mut dyn Out,
        json: Option<&'a mut dyn Out>,
        devices: u64,
        options: &'a Options<'a>,
    ) -> Self {
        Self {
            system,
            options,
            report: Group::new(out, devices),
            json,
            devices: 0,
            counts: Counts::default(),
            failures: Line::new(),
            undecided: Line::new(),
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
        if let Ok(mut context) = Context::open(self.system, path, self.options, &mut finding) {
            let info = context.info();
            let form = match (self.options.foreign, info.flags & FLAG_COHERENT) {
                (true, _) => "# $: % bytes, foreign\n",
                (_, 0) => "# $: % bytes, non-coherent, DMA address &\n",
                _ => "# $: % bytes, coherent, DMA address &\n",
            };
            let numbers = [info.size, info.dma_address];
            self.report.out().fill(form, &numbers, &[&Printable(name)]);
            let mut group = self.report.group(name, CHECKS as u64);
            for check in checks() {
                let stopped = context.run(check);
                let outcome = match stopped {
                    Ok(()) => Outcome::Pass,
                    Err(Stop::Fail) => Outcome::Fail,
                    Err(Stop::Skip | Stop::Unknown) => Outcome::Skip,
                };
                counts.0[outcome as usize] += 1;
                match stopped {
                    Err(Stop::Fail) => {
                        blame(&mut self.failures, name, check.name());
                        self.failed |= 1 << check.number();
                    }
                    Err(Stop::Unknown) => blame(&mut self.undecided, name, check.name()),
                    _ => {}
                }
                let finding = context.finding();
                conclude(&mut group, outcome, check.name(), finding);
                tell(&mut self.json, name, check.name(), outcome, finding);
            }
            let info = context.info();
            let [user, kernel] = context.types();
            let master = context.master().map_or(&b"-"[..], |master| &master.name);
            let master = Printable(until_nul(master));
            let outcome = counts.outcome();
            let [pass, fail, skip] = counts.0;
            let numbers = [info.size, info.dma_address, pass, fail, skip];
            let values: [&dyn Show; 5] = [&Printable(name), &user, &kernel, &master, &outcome];
            let row: &mut dyn Out = &mut self.table;
            row.fill("# $ | % | & | $ | $ | $ | % | % | %\n", &numbers, &values);
            if let Some(json) = &mut self.json {
                json.fill(DEVICE_OBJECT, &numbers, &values);
            }
            let line = self.report.result(outcome, name);
            if outcome == Outcome::Skip {
                line.text("no check could be made");
            }
            line.text("\n");
        } else {
            // It cannot be opened, or is none: one check, which failed.
            counts.0[Outcome::Fail as usize] = 1;
            blame(&mut self.failures, name, b"open");
            conclude(&mut self.report, Outcome::Fail, name, &finding);
            tell(&mut self.json, name, b"open", Outcome::Fail, &finding);
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
        for check in checks() {
            if self.failed >> check.number() & 1 != 0 {
                out.fill("# $\n", &[], &[&Printable(check.text())]);
            }
        }
        let checks = passed + failed + skipped;
        out.fill(
            "# Totals: pass:% fail:% xfail:0 xpass:0 skip:% error:0\nfaultline-verify: $: \
             % device+, % check+: % passed, % failed, % skipped",
            &[
                passed,
                failed,
                skipped,
                self.devices,
                checks,
                passed,
                failed,
                skipped,
            ],
            &[&verdict],
        );
        out.show(&self.failures);
        if !self.undecided.is_empty() {
            out.text("; could not tell").show(&self.undecided);
        }
        out.text("\n");
        self.counts.tell(&mut self.json, self.devices);
        verdict
    }
}

/// A name that is filled up with zeroes.
fn until_nul(name: &[u8]) -> &[u8] {
    name.split(|byte| *byte == 0).next().unwrap_or(name)
}

/// Adds a check that failed to the others.
#[inline(never)]
fn blame(failures: &mut dyn Out, device: &[u8], check: &[u8]) {
    failures.fill(", $: $", &[], &[&Printable(device), &Printable(check)]);
}

/// Writes what was seen, and the result.
#[inline(never)]
fn conclude(group: &mut Group<'_>, outcome: Outcome, name: &[u8], finding: &Finding) {
    if outcome != Outcome::Skip {
        let out = group.diagnostic();
        out.fill("$: $\n", &[], &[&Printable(name), finding]);
    }
    let line = group.result(outcome, name);
    if outcome == Outcome::Skip {
        line.show(finding);
    }
    line.text("\n");
}

/// The same for machines.
#[inline(never)]
fn tell(
    json: &mut Option<&mut dyn Out>,
    device: &[u8],
    check: &[u8],
    outcome: Outcome,
    finding: &Finding,
) {
    if let Some(json) = json {
        json.fill(
            "{\"device\":@,\"check\":@,\"result\":@,\"seen\":@}\n",
            &[],
            &[&Printable(device), &Printable(check), &outcome, finding],
        );
    }
}

impl Counts {
    /// The verdict for machines.
    fn tell(self, json: &mut Option<&mut dyn Out>, devices: u64) {
        if let Some(json) = json {
            let [pass, fail, skip] = self.0;
            json.fill(
                "{\"devices\":%,\"pass\":%,\"fail\":%,\"skip\":%,\"result\":@}\n",
                &[devices, pass, fail, skip],
                &[&self.outcome()],
            );
        }
    }

    fn outcome(self) -> Outcome {
        match self.0 {
            [0, 0, _] => Outcome::Skip,
            [_, 0, _] => Outcome::Pass,
            _ => Outcome::Fail,
        }
    }
}

/// Reports that there is no device to verify.
pub fn no_device(out: &mut dyn Out, mut json: Option<&mut dyn Out>) -> Outcome {
    out.text(
        "KTAP version 1\n1..0 # SKIP no /dev/faultline* device\n\
         faultline-verify: SKIP: no /dev/faultline* device\n",
    );
    Counts::default().tell(&mut json, 0);
    Outcome::Skip
}

#[cfg(test)]
mod tests;
