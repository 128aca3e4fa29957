// SPDX-License-Identifier: GPL-2.0-only

//! `faultline-verify`: makes the checks of [`checks`] on each device, and reports in KTAP.
//!
//! From a shell it takes the paths of device nodes; without any, it looks for them. As the first process
//! of a machine it loads the module, makes the checks, and switches the machine off: its last line is
//! `faultline: exit status N`.

#![no_std]
#![no_main]

mod checks;

use core::ffi::CStr;

use checks::{Subject, CHECKS};
use faultline_core::device::Device;
use faultline_core::finding::{Finding, Stop};
use faultline_core::ktap::{Group, Outcome};
use faultline_core::name::{ANY_DEVICE, COMPATIBLE, MODULE_FILE, VERIFY};
use faultline_core::text::Printable;
use faultline_sys::console::Console;
use faultline_sys::device::File;
use faultline_sys::init;
use faultline_sys::nodes::{find, NodePath};
use faultline_sys::process::{is_init, Args};
use faultline_sys::{fault, program};

program!(main);

fn main(args: Args) -> i32 {
    if !is_init() {
        return verify(&mut Console::stdout(), args).status();
    }
    // The kernel passes whatever of its command line it does not understand: not for us.
    let mut console = init::set_up();
    let outcome = match init::load_module() {
        Ok(()) => verify(&mut console, Args::default()),
        Err(errno) => {
            init::complain(&mut console, MODULE_FILE, &errno);
            Outcome::Fail
        }
    };
    init::power_off(&mut console, outcome.status())
}

/// Makes the checks on the devices that the arguments name or, if they name none, on all.
fn verify(console: &mut Console, paths: Args) -> Outcome {
    let nodes = match find() {
        Ok(nodes) => nodes,
        Err(errno) => {
            init::complain(console, c"/dev", &errno);
            return Outcome::Fail;
        }
    };
    let given = paths.clone().count() as u64;
    let count = if given > 0 { given } else { nodes.count() };
    fault::install();

    let mut group = Group::new(console, count);
    let mut failed = 0;
    for path in paths {
        failed += u64::from(!device(&mut group, path));
    }
    for number in nodes.numbers().filter(|_| given == 0) {
        let path = NodePath::new(number);
        failed += u64::from(!device(&mut group, path.as_c_str()));
    }
    let outcome = match (count, failed) {
        (0, _) => Outcome::Skip,
        (_, 0) => Outcome::Pass,
        _ => Outcome::Fail,
    };
    if count == 0 {
        let device = Printable(ANY_DEVICE.to_bytes());
        group.line(format_args!(
            "# no {device}: the device tree has no node that is compatible with \"{COMPATIBLE}\", \
             or the driver refused it: see the kernel's log\n"
        ));
    }
    group.line(format_args!(
        "{VERIFY}: {outcome}, {failed} of {count} devices failed\n"
    ));
    outcome
}

/// Makes all checks on one device; returns whether none failed.
fn device(group: &mut Group<'_>, path: &CStr) -> bool {
    let name = Printable(path.to_bytes());
    let opened = File::open(path, false).and_then(|mut device| {
        let info = device.info()?;
        Ok(Subject {
            path,
            device,
            info,
            finding: Finding::NONE,
        })
    });
    let passed = match opened {
        Ok(mut subject) => check_all(group, &mut subject),
        Err(errno) => {
            group.comment(format_args!("{name}: {errno}"));
            false
        }
    };
    let outcome = if passed { Outcome::Pass } else { Outcome::Fail };
    group.conclude(outcome, &name, &"");
    passed
}

fn check_all(group: &mut Group<'_>, subject: &mut Subject<'_>) -> bool {
    let name = Printable(subject.path.to_bytes());
    let mut checks = group.group(&name, CHECKS.len() as u64);
    let mut passed = true;
    for check in CHECKS {
        match (check.run)(subject) {
            Ok(()) => checks.conclude(Outcome::Pass, &check.name, &""),
            Err(Stop::Fail) => {
                checks.comment(format_args!("{}: {}", check.name, subject.finding));
                checks.conclude(Outcome::Fail, &check.name, &"");
                passed = false;
            }
            Err(skipped) => checks.conclude(Outcome::Skip, &check.name, &skipped),
        }
    }
    passed
}
