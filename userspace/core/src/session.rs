// SPDX-License-Identifier: GPL-2.0-only

//! One run over several devices: the report, the totals, the verdict.

use core::ffi::CStr;
use core::fmt::{Display, Write};

use crate::args::verify::Options;
use crate::checks::catalogue::CHECKS;
use crate::checks::context::Context;
use crate::finding::{Finding, Stop};
use crate::ktap::{Counts, Group, Outcome};
use crate::name::{DEVICE, VERIFY};
use crate::system::System;
use crate::text::{Counted, Line, Note, Printable};

mod machines;
mod row;
mod said;

use machines::Machines;
use row::Row;
use said::{Said, OPEN};

/// A run over devices.
pub struct Session<'a, S> {
    system: &'a mut S,
    options: &'a Options<'a>,
    report: Group<'a>,
    json: Machines<'a>,
    terminal: Option<&'a mut dyn Write>,
    devices: u64,
    counts: Counts,
    /// The checks that failed, by name as far as they fit on the verdict's line.
    failures: Line,
    /// Those of which the machine was too busy for a verdict, likewise.
    undecided: Line,
    /// A line for each device.
    table: Note<2048>,
}

impl<'a, S: System> Session<'a, S> {
    /// Starts the report on `devices` devices. A terminal, if there is one, is shown how far the run
    /// is.
    pub fn new(
        system: &'a mut S,
        out: &'a mut dyn Write,
        json: Option<&'a mut dyn Write>,
        terminal: Option<&'a mut dyn Write>,
        devices: u64,
        options: &'a Options<'a>,
    ) -> Self {
        Self {
            system,
            options,
            report: Group::new(out, devices),
            json: Machines(json),
            terminal,
            devices: 0,
            counts: Counts::default(),
            failures: Line::new(),
            undecided: Line::new(),
            table: Note::new(),
        }
    }

    /// Makes all checks on one device.
    pub fn verify(&mut self, path: &CStr) {
        let device = Printable(path.to_bytes());
        let mut finding = Finding::NONE;
        let mut counts = Counts::default();
        self.devices += 1;
        // Not `as_deref_mut()`, whose result keeps the terminal's own, longer lifetime.
        let terminal = self.terminal.as_mut();
        let terminal = terminal.map(|terminal| &mut **terminal as &mut dyn Write);
        match Context::open(self.system, path, self.options, &mut finding, terminal) {
            Ok(mut context) => {
                let info = *context.info();
                let size = Counted {
                    number: info.size,
                    unit: "byte",
                };
                let coherency = context.coherency();
                match context.dma_address() {
                    Some(address) => self.report.comment(format_args!(
                        "{device}: {size}, {coherency}, DMA address {address:#x}"
                    )),
                    None => self
                        .report
                        .comment(format_args!("{device}: {size}, foreign")),
                }
                let mut group = self.report.group(&device, CHECKS.len() as u64);
                context.begin_checks(device);
                for (check, number) in CHECKS.iter().zip(1..) {
                    let result = context.run(number, check);
                    match result {
                        Err(Stop::Fail) => blame(&mut self.failures, &device, check.name),
                        Err(Stop::Undecided(_)) => blame(&mut self.undecided, &device, check.name),
                        _ => {}
                    }
                    counts.add(Outcome::of(result));
                    let said = Said::of(check, result, context.finding());
                    said.report(&mut group, &check.name);
                    said.tell(&mut self.json, &device, check.name);
                }
                let outcome = counts.outcome();
                let row = Row::of(&device, &context, counts);
                // A note takes what fits, and says if something was cut off.
                let _ = writeln!(self.table, "# {row}");
                self.json.tell(format_args!("{}", row.for_machines()));
                self.report
                    .conclude(outcome, &device, &"no check could be made");
            }
            Err(stop) => {
                // It cannot be opened, or is no such device: one check, which failed.
                counts.add(Outcome::Fail);
                blame(&mut self.failures, &device, "open");
                let said = Said::of(&OPEN, Err(stop), &finding);
                said.report(&mut self.report, &device);
                said.tell(&mut self.json, &device, OPEN.name);
            }
        }
        self.counts.add_all(counts);
    }

    /// Ends the report with the totals, as kselftest writes them, and gives the verdict.
    pub fn finish(&mut self) -> Outcome {
        let Counts {
            passed,
            failed,
            skipped,
        } = self.counts;
        let verdict = self.counts.outcome();
        self.report.comment(format_args!("{}", row::HEADS));
        self.report.line(format_args!("{}", self.table));
        self.report.comment(format_args!(
            "Totals: pass:{passed} fail:{failed} xfail:0 xpass:0 skip:{skipped} error:0"
        ));
        let devices = Counted {
            number: self.devices,
            unit: "device",
        };
        let checks = Counted {
            number: self.counts.all(),
            unit: "check",
        };
        let how = if self.options.quick {
            " (quick: the first MiB and the last page of each buffer)"
        } else {
            ""
        };
        let undecided = if self.undecided.is_empty() {
            ""
        } else {
            "; could not tell"
        };
        self.report.line(format_args!(
            "{VERIFY}: {verdict}: {devices}, {checks}{how}: {passed} passed, {failed} \
             failed, {skipped} skipped{}{undecided}{}\n",
            self.failures, self.undecided
        ));
        self.json
            .tell_verdict(self.counts, self.devices, self.options.quick);
        verdict
    }
}

/// Adds a check to the list of those that failed.
fn blame(failures: &mut Line, device: &dyn Display, check: &str) {
    // A line takes what fits, and says if something was cut off.
    let _ = write!(failures, ", {device}: {check}");
}

/// Reports that there is no device to verify.
pub fn no_device(out: &mut dyn Write, json: Option<&mut dyn Write>, is_quick: bool) -> Outcome {
    // Its owner knows if something was lost.
    let _ = write!(
        out,
        "KTAP version 1\n1..0 # SKIP no {DEVICE}* device\n{VERIFY}: SKIP: no {DEVICE}* device\n"
    );
    Machines(json).tell_verdict(Counts::default(), 0, is_quick);
    Outcome::Skip
}

#[cfg(test)]
mod tests;
