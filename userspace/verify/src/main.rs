// SPDX-License-Identifier: GPL-2.0-only

//! `faultline-verify`: verifies the buffers of the faultline driver.
//!
//! From a shell it does what its arguments say. As the first process of a machine it loads the
//! module, then runs the program that `/etc/faultline/run` names or, without one, verifies every
//! device, and switches the machine off: its last line is `faultline: exit status N`.
//!
//! The checks are in `faultline-core`, all that touches the machine in `faultline-sys`.

#![no_std]
#![no_main]

use core::ffi::CStr;

use faultline_core::args::{self, Command, USAGE};
use faultline_core::errno::Errno;
use faultline_core::session::{no_device, Session, Verdict};
use faultline_core::text::Printable;
use faultline_sys::console::Console;
use faultline_sys::device::{find, Machine, NodePath};
use faultline_sys::init::{self, Program};
use faultline_sys::process::{is_init, Args};
use faultline_sys::{fault, program};

program!(main);

/// The exit status for a command line that cannot be understood.
const USAGE_ERROR: i32 = 2;

/// The module, and the file that names a program to run instead of the verification.
const MODULE: &CStr = c"/lib/modules/faultline.ko";
const RUN: &CStr = c"/etc/faultline/run";

fn main(args: Args) -> i32 {
    if is_init() {
        // The kernel passes whatever of its command line it does not understand: not for us.
        let mut console = init::set_up();
        let status = first_process(&mut console);
        init::power_off(&mut console, status);
    }
    let mut console = Console::stdout();
    let status = command_line(args, &mut console);
    match status {
        0 if console.has_failed() => 1,
        status => status,
    }
}

fn command_line(args: Args, console: &mut Console) -> i32 {
    match args::parse(args.clone()) {
        Command::Help => {
            console.out().text(USAGE);
            0
        }
        Command::Version => {
            console.out().text(concat!(
                "faultline-verify ",
                env!("CARGO_PKG_VERSION"),
                "\n"
            ));
            0
        }
        Command::UnknownOption(option) => {
            let mut stderr = Console::stderr();
            let out = stderr.out().text("faultline-verify: unknown option ");
            out.show(&Printable(option.to_bytes()))
                .text("\n")
                .text(USAGE);
            USAGE_ERROR
        }
        Command::Verify => {
            let mut machine = Machine::new();
            let count = args::devices(args.clone()).count() as u64;
            if count == 0 {
                verify_all(&mut machine, console)
            } else {
                verify(&mut machine, console, count, args::devices(args))
            }
        }
    }
}

fn first_process(console: &mut Console) -> i32 {
    // Before the module is loaded: what the kernel says of that counts.
    let mut machine = Machine::new();
    if let Err(errno) = init::load_module(MODULE) {
        let out = console
            .out()
            .text("faultline: cannot load ")
            .show(&Printable(MODULE.to_bytes()));
        out.text(": ")
            .show(&errno)
            .text("; the kernel's log above may say why\n");
        return Verdict::Fail.status();
    }
    match Program::read(RUN) {
        Ok(program) => return program.run(console),
        Err(Errno::NOENT) => {}
        Err(errno) => {
            let out = console
                .out()
                .text("faultline: ")
                .show(&Printable(RUN.to_bytes()));
            out.text(": ").show(&errno).text(": no program to run\n");
            return Verdict::Fail.status();
        }
    }
    let status = verify_all(&mut machine, console);
    if status == Verdict::Skip.status() {
        console.out().text(
            "faultline: the module is loaded; a line of it in the log above, or none (no enabled \
             node with compatible \"faultline,coherent-buffer\"), says why there is no device\n",
        );
    }
    status
}

fn verify_all(machine: &mut Machine, console: &mut Console) -> i32 {
    let nodes = match find() {
        Ok(nodes) => nodes,
        Err(errno) => {
            let out = console
                .out()
                .text("faultline-verify: FAIL: cannot list the devices of /dev: ");
            out.show(&errno).text("\n");
            return Verdict::Fail.status();
        }
    };
    let count = nodes.count();
    if count == 0 {
        return no_device(console).status();
    }
    fault::install();
    let mut session = Session::new(machine, console, count);
    for number in nodes.numbers() {
        session.verify(NodePath::new(number).as_c_str());
    }
    session.finish().status()
}

fn verify<'a>(
    machine: &mut Machine,
    console: &mut Console,
    count: u64,
    paths: impl Iterator<Item = &'a CStr>,
) -> i32 {
    fault::install();
    let mut session = Session::new(machine, console, count);
    for path in paths {
        session.verify(path);
    }
    session.finish().status()
}
