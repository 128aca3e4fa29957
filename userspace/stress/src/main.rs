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

mod cases;
mod fuzz;
mod inject;
mod report;
mod round;
mod world;

use faultline_core::args::stress::{parse, Options, COMMAND};
use faultline_core::ktap::{Group, Outcome};
use faultline_core::text::{Note, Out, Printable};
use faultline_sys::console::Console;
use faultline_sys::process::Args;
use faultline_sys::{command_line, fault, program};

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
    fault::install();
    let mut world = match World::find() {
        Ok(world) => world,
        Err(errno) => {
            let out = console.out().text("faultline-stress: FAIL: ");
            out.text("cannot look at the devices: ")
                .show(&errno)
                .text("\n");
            return FAILED;
        }
    };
    if world.targets.is_empty() {
        let out = console.out();
        out.text("faultline-stress: SKIP: no /dev/faultline* device\n");
        return NO_DEVICE;
    }
    run(&options, &mut world, &mut console)
}

fn run(options: &Options, world: &mut World, console: &mut Console) -> i32 {
    let seed = options.seed.unwrap_or_else(world::new_seed);
    let devices = world.targets.len() as u64;
    // The cases of each device, then the rest as one group each.
    let plan = u64::from(options.parts.cases) * (devices + 1)
        + u64::from(options.parts.inject) * devices
        + u64::from(options.parts.fuzz);
    let mut group = Group::new(console, plan);
    let out = group.diagnostic().text("seed ").number(seed);
    out.text(", ")
        .number(options.operations)
        .text(" operations in ");
    out.number(options.processes).text(" processes, ");
    out.number(options.cycles)
        .text(" cycles of each device, ")
        .number(world.cpus as u64)
        .text(" CPUs\n");

    let mut report = Report::new();
    for number in 0..world.targets.len() {
        let path = world.targets[number].path.clone();
        if options.parts.cases {
            let mut name = Note::<64>::new();
            let out: &mut dyn Out = &mut name;
            out.text("cases ").show(&Printable(path.bytes()));
            report.part(&mut group, name.bytes(), cases::count(), |part| {
                cases::run(part, world, number, options.cycles);
            });
        }
        if options.parts.inject {
            let mut name = Note::<64>::new();
            let out: &mut dyn Out = &mut name;
            out.text("inject ").show(&Printable(path.bytes()));
            report.part(&mut group, name.bytes(), inject::count(), |part| {
                inject::run(part, world, number);
            });
        }
    }
    if options.parts.fuzz {
        report.part(&mut group, b"fuzz", options.processes + 1, |part| {
            fuzz::run(part, world, seed, options);
        });
    }
    if options.parts.cases {
        report.part(&mut group, b"machine", cases::machine_count(), |part| {
            cases::machine(part, world);
        });
    }

    let status = if report.failed == 0 { PASSED } else { FAILED };
    let out = console.out().text("faultline-stress: ");
    out.text(if status == PASSED { "PASS: " } else { "FAIL: " });
    out.number(report.passed).text(" passed, ");
    out.number(report.failed).text(" failed, ");
    out.number(report.skipped)
        .text(" skipped; seed ")
        .number(seed)
        .text("\n");
    if console.has_failed() {
        return FAILED;
    }
    status
}

/// How the report says what a result says.
pub(crate) fn outcome(failed: bool) -> Outcome {
    if failed {
        Outcome::Fail
    } else {
        Outcome::Pass
    }
}
