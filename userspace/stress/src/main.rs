// SPDX-License-Identifier: GPL-2.0-only

//! `faultline-stress`: stresses the buffers of the faultline driver.
//!
//! - [`cases`]: one hostile thing each, and what the driver must answer.
//! - [`inject`]: every allocation of every operation fails once.
//! - [`fuzz`]: random operations from several processes at once, unbinding among them.
//!
//! What a mistake of the driver does to the kernel is for the kernel to notice: a build with
//! `DEBUG=1` notices most. What it does to user space is noticed here.

#![no_std]
#![no_main]

use core::fmt::Write;

mod cases;
mod fuzz;
mod inject;
mod report;
mod round;
mod world;

use faultline_core::args::stress::{parse, Options, COMMAND};
use faultline_core::args::{Expected, Wrong};
use faultline_core::failure::CallError;
use faultline_core::ktap::{Counts, Group, Outcome};
use faultline_core::name::{DEVICE, STRESS};
use faultline_core::text::Printable;
use faultline_sys::console::Console;
use faultline_sys::process::Args;
use faultline_sys::{command_line, fault, program};

use crate::cases::Selection;
use crate::report::Report;
use crate::world::World;

program!(main);

const PASSED: i32 = 0;
const FAILED: i32 = 1;
const NO_DEVICE: i32 = 4;

fn main(args: Args) -> i32 {
    let mut console = Console::stdout();
    let options = match parse(args) {
        Ok(options) => options,
        Err(wrong) => return command_line::refuse(&COMMAND, &wrong),
    };
    if let Some(request) = options.request {
        command_line::answer(&mut console, &COMMAND, request, env!("CARGO_PKG_VERSION"));
        return if console.has_failed() { FAILED } else { PASSED };
    }
    let cases = match Selection::new(&options.cases) {
        Ok(cases) => cases,
        Err(seen) => {
            let wrong = Wrong::Value {
                option: "--case",
                seen,
                expected: Expected("the name of a case, as docs/stress.md has them"),
            };
            return command_line::refuse(&COMMAND, &wrong);
        }
    };
    fault::install();
    let mut world = match World::find() {
        Ok(world) => world,
        Err(CallError { call, errno }) => {
            // The console remembers that something could not be written, here as below.
            let _ = writeln!(console, "{STRESS}: FAIL: {call}: {errno}");
            return FAILED;
        }
    };
    if world.targets.is_empty() {
        let _ = writeln!(console, "{STRESS}: SKIP: no {DEVICE}* device");
        return NO_DEVICE;
    }
    run(&options, cases, &mut world, &mut console)
}

fn run(options: &Options, cases: Selection<'_>, world: &mut World, console: &mut Console) -> i32 {
    let seed = options.seed.unwrap_or_else(world::new_seed);
    let devices = world.targets.len() as u64;
    // The cases of each device, then the rest as one group each.
    let with_device = options.parts.cases && cases.count() > 0;
    let with_machine = options.parts.cases && cases.machine_count() > 0;
    let plan = u64::from(with_device) * devices
        + u64::from(with_machine)
        + u64::from(options.parts.inject) * devices
        + u64::from(options.parts.fuzz);
    let mut group = Group::new(console, plan);
    group.comment(format_args!(
        "seed {seed}, {} operations in {} processes, {} cycles of each device, {} CPUs",
        options.operations, options.processes, options.cycles, world.cpus
    ));

    let mut report = Report::default();
    for number in 0..world.targets.len() {
        let path = world.targets[number].path.clone();
        let path = Printable(path.bytes());
        if with_device {
            let name = format_args!("cases {path}");
            report.part(&mut group, &name, cases.count(), |part| {
                cases.run(part, world, number, options.cycles);
            });
        }
        if options.parts.inject {
            let name = format_args!("inject {path}");
            report.part(&mut group, &name, inject::count(), |part| {
                inject::run(part, world, number);
            });
        }
    }
    if options.parts.fuzz {
        report.part(&mut group, &"fuzz", options.processes + 1, |part| {
            fuzz::run(part, world, seed, options);
        });
    }
    if with_machine {
        report.part(&mut group, &"machine", cases.machine_count(), |part| {
            cases.run_machine(part, world);
        });
    }

    let Counts {
        passed,
        failed,
        skipped,
    } = report.counts;
    let (status, verdict) = match failed {
        0 => (PASSED, Outcome::Pass),
        _ => (FAILED, Outcome::Fail),
    };
    let _ = writeln!(
        console,
        "{STRESS}: {verdict}: {passed} passed, {failed} failed, {skipped} skipped; seed {seed}"
    );
    if console.has_failed() {
        return FAILED;
    }
    status
}
