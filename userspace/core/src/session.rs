// SPDX-License-Identifier: GPL-2.0-only

//! One run over several devices: the report, the totals, the verdict.

use core::ffi::CStr;
use core::fmt::{self, Display, Write};

use crate::args::verify::Options;
use crate::checks::catalogue::{text, Check, CHECKS};
use crate::checks::context::Context;
use crate::finding::{Finding, Matter, Stop};
use crate::ktap::{Group, Outcome};
use crate::progress::Progress;
use crate::system::System;
use crate::text::{Counted, Json, Line, Note, Printable};

/// Where the report is written for machines, if it is.
type Machines<'a> = Option<&'a mut dyn Write>;

/// A run over devices.
pub struct Session<'a, S> {
    system: &'a mut S,
    options: &'a Options<'a>,
    report: Group<'a>,
    json: Machines<'a>,
    progress: Progress<'a>,
    devices: u64,
    counts: Counts,
    /// The checks that failed, by name as far as they fit on the verdict's line.
    failures: Line,
    /// Those of which the machine was too busy for a verdict, likewise.
    undecided: Line,
    /// A line for each device.
    table: Note<2048>,
}

/// How many checks had which outcome.
#[derive(Clone, Copy, Default)]
struct Counts {
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl Counts {
    fn add(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Pass => self.passed += 1,
            Outcome::Fail => self.failed += 1,
            Outcome::Skip => self.skipped += 1,
        }
    }

    fn add_all(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    const fn all(self) -> u64 {
        self.passed + self.failed + self.skipped
    }

    const fn outcome(self) -> Outcome {
        match self {
            Self { failed: 1.., .. } => Outcome::Fail,
            Self { passed: 1.., .. } => Outcome::Pass,
            _ => Outcome::Skip,
        }
    }
}

impl<'a, S: System> Session<'a, S> {
    /// Starts the report on `devices` devices. A terminal, if there is one, is shown how far the run
    /// is.
    pub fn new(
        system: &'a mut S,
        out: &'a mut dyn Write,
        json: Machines<'a>,
        terminal: Option<&'a mut dyn Write>,
        devices: u64,
        options: &'a Options<'a>,
    ) -> Self {
        let passes: u64 = CHECKS.iter().map(Check::passes).sum();
        let now = system.milliseconds();
        Self {
            system,
            options,
            report: Group::new(out, devices),
            json,
            progress: Progress::new(terminal, now, devices * passes),
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
        match Context::open(self.system, path, self.options, &mut finding) {
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
                for (check, number) in CHECKS.iter().zip(1..) {
                    let next = Next {
                        device: &device,
                        number,
                        name: check.name,
                    };
                    self.progress.show(context.milliseconds(), &next);
                    let result = context.run(check.steps);
                    self.progress.add(check.passes());
                    self.progress.clear();
                    match result {
                        Err(Stop::Fail) => blame(&mut self.failures, &device, check.name),
                        Err(Stop::Undecided(_)) => blame(&mut self.undecided, &device, check.name),
                        _ => {}
                    }
                    counts.add(outcome(result));
                    let said = Said::of(check, result, context.finding());
                    said.report(&mut group, &check.name);
                    said.tell(&mut self.json, &device, check.name);
                }
                let outcome = counts.outcome();
                let row = Row::of(&device, &context, counts);
                // A note takes what fits, and says if something was cut off.
                let _ = writeln!(self.table, "# {row}");
                tell(&mut self.json, format_args!("{}", row.for_machines()));
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
        self.report.comment(format_args!(
            "device | bytes | DMA address | user | kernel | master | pass | fail | skip"
        ));
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
            "faultline-verify: {verdict}: {devices}, {checks}{how}: {passed} passed, {failed} \
             failed, {skipped} skipped{}{undecided}{}\n",
            self.failures, self.undecided
        ));
        self.counts.tell(&mut self.json, self.devices);
        verdict
    }
}

/// What stands for a check of a device that cannot be opened.
const OPEN: Check = Check {
    name: "open",
    proves: text("The device is there, and is one of the faultline driver."),
    failure: "The device does not answer INFO as the interface says. Check first that the path is \
        that of a faultline device, and that program and driver are of one version.",
    steps: &[],
};

/// What the failure of a check means whose property could not be looked at.
const CALL_FAILED: &str = "A call that this check needs failed, so that the check could not look \
    at its property. Check the driver's handling of that call first.";
const ACCESS_FAILED: &str = "The kernel answered an access inside the buffer by a signal: a \
    program would be killed there. Check first which offsets the driver's fault handler refuses.";

const fn outcome(result: Result<(), Stop>) -> Outcome {
    match result {
        Ok(()) => Outcome::Pass,
        Err(Stop::Fail) => Outcome::Fail,
        Err(_) => Outcome::Skip,
    }
}

/// Adds a check to the list of those that failed.
fn blame(failures: &mut Line, device: &dyn Display, check: &str) {
    // A line takes what fits, and says if something was cut off.
    let _ = write!(failures, ", {device}: {check}");
}

/// Writes a line for machines.
fn tell(json: &mut Machines<'_>, line: fmt::Arguments<'_>) {
    if let Some(json) = json {
        // Its owner knows if something was lost.
        let _ = writeln!(json, "{line}");
    }
}

/// The check that is made next, for a terminal.
struct Next<'a> {
    device: &'a dyn Display,
    number: u64,
    name: &'static str,
}

impl Display for Next<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            device,
            number,
            name,
        } = self;
        let all = CHECKS.len();
        write!(f, "{device}: check {number} of {all}, {name}")
    }
}

/// What is said of a check, to people and to machines alike.
struct Said<'a> {
    result: Result<(), Stop>,
    finding: &'a Finding,
    meaning: Meaning,
}

/// What a failure means, and where to read more.
struct Meaning {
    text: &'static str,
    anchor: &'static str,
}

impl Display for Meaning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} See docs/verdicts.md#{}.", self.text, self.anchor)
    }
}

impl<'a> Said<'a> {
    fn of(check: &Check, result: Result<(), Stop>, finding: &'a Finding) -> Self {
        let text = match finding.matter() {
            Matter::Property => check.failure,
            Matter::Call => CALL_FAILED,
            Matter::Access => ACCESS_FAILED,
        };
        Self {
            result,
            finding,
            meaning: Meaning {
                text,
                anchor: check.name,
            },
        }
    }

    /// Writes what was seen and what it means, and the result.
    fn report(&self, group: &mut Group<'_>, name: &dyn Display) {
        let outcome = outcome(self.result);
        match self.result {
            Ok(()) => group.comment(format_args!("{name}: {}", self.finding)),
            Err(Stop::Fail) => {
                group.comment(format_args!("{name}: {}", self.finding));
                group.comment(format_args!("{name}: {}", self.meaning));
            }
            Err(_) => {}
        }
        match self.result {
            Ok(()) => group.conclude(outcome, name, &""),
            Err(stop) => group.conclude(outcome, name, &stop),
        }
    }

    /// Writes the same for machines.
    fn tell(&self, json: &mut Machines<'_>, device: &dyn Display, name: &str) {
        let outcome = outcome(self.result);
        let (device, name, result) = (Json(device), Json(name), Json(outcome));
        let start = format_args!("{{\"device\":{device},\"check\":{name},\"result\":{result}");
        match self.result {
            Ok(()) => tell(
                json,
                format_args!("{start},\"seen\":{}}}", Json(self.finding)),
            ),
            Err(Stop::Fail) => tell(
                json,
                format_args!(
                    "{start},\"seen\":{},\"meaning\":{}}}",
                    Json(self.finding),
                    Json(&self.meaning)
                ),
            ),
            Err(stop) => tell(json, format_args!("{start},\"seen\":{}}}", Json(stop))),
        }
    }
}

/// What is said of a device, after its checks.
struct Row<'a> {
    device: &'a dyn Display,
    bytes: u64,
    dma_address: Known<Address>,
    user: Known<crate::finding::MemoryType>,
    kernel: Known<crate::finding::MemoryType>,
    master: [u8; MASTER_NAME],
    counts: Counts,
}

const MASTER_NAME: usize = 16;

/// An address, which is shown in hexadecimal.
struct Address(u64);

impl Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// What may not be known, and what stands for it then.
struct Known<T> {
    value: Option<T>,
    otherwise: &'static str,
}

impl<T: Display> Display for Known<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => value.fmt(f),
            None => f.write_str(self.otherwise),
        }
    }
}

impl<'a> Row<'a> {
    fn of<S: System>(device: &'a dyn Display, context: &Context<'_, S>, counts: Counts) -> Self {
        let types = context.types();
        let memory = |value| Known {
            value,
            otherwise: "unknown",
        };
        Self {
            device,
            bytes: context.info().size,
            dma_address: Known {
                value: context.dma_address().map(Address),
                otherwise: "-",
            },
            user: memory(types.user),
            kernel: memory(types.kernel),
            master: context
                .master()
                .map_or([0; MASTER_NAME], |master| master.name),
            counts,
        }
    }

    /// The name of the bus master, which is padded with zeroes.
    fn master(&self) -> Known<Printable<'_>> {
        let name = self.master.split(|byte| *byte == 0).next();
        Known {
            value: name.filter(|name| !name.is_empty()).map(Printable),
            otherwise: "-",
        }
    }

    fn for_machines(&self) -> impl Display + '_ {
        RowForMachines(self)
    }
}

impl Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            device,
            bytes,
            dma_address,
            user,
            kernel,
            counts,
            ..
        } = self;
        let Counts {
            passed,
            failed,
            skipped,
        } = counts;
        let master = self.master();
        write!(
            f,
            "{device} | {bytes} | {dma_address} | {user} | {kernel} | {master} | {passed} | \
             {failed} | {skipped}"
        )
    }
}

struct RowForMachines<'a>(&'a Row<'a>);

impl Display for RowForMachines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Row {
            device,
            bytes,
            dma_address,
            user,
            kernel,
            counts,
            ..
        } = self.0;
        write!(
            f,
            "{{\"device\":{},\"bytes\":{bytes},\"dma_address\":{},\"user\":{},\"kernel\":{},\
             \"master\":{},\"pass\":{},\"fail\":{},\"skip\":{},\"result\":{}}}",
            Json(device),
            Json(dma_address),
            Json(user),
            Json(kernel),
            Json(self.0.master()),
            counts.passed,
            counts.failed,
            counts.skipped,
            Json(counts.outcome()),
        )
    }
}

impl Counts {
    /// Writes the verdict for machines.
    fn tell(self, json: &mut Machines<'_>, devices: u64) {
        let (passed, failed, skipped) = (self.passed, self.failed, self.skipped);
        let result = Json(self.outcome());
        tell(
            json,
            format_args!(
                "{{\"devices\":{devices},\"pass\":{passed},\"fail\":{failed},\"skip\":{skipped},\
                 \"result\":{result}}}"
            ),
        );
    }
}

/// Reports that there is no device to verify.
pub fn no_device(out: &mut dyn Write, mut json: Machines<'_>) -> Outcome {
    // Its owner knows if something was lost.
    let _ = out.write_str(
        "KTAP version 1\n1..0 # SKIP no /dev/faultline* device\n\
         faultline-verify: SKIP: no /dev/faultline* device\n",
    );
    Counts::default().tell(&mut json, 0);
    Outcome::Skip
}

#[cfg(test)]
mod tests;
