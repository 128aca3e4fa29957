// SPDX-License-Identifier: GPL-2.0-only

//! `faultline-init`: the first process of a machine that is to run one program.
//!
//! It loads the module, runs the program that `/etc/faultline/run` names, and switches the machine
//! off: its last line is `faultline: exit status N`. A machine that is to verify its devices and
//! nothing else needs no other program than `faultline-verify`, which can be the first process too.

#![no_std]
#![no_main]

use core::fmt::Write;

use faultline_core::name::{INIT, MODULE_FILE, RUN_FILE};
use faultline_sys::console::Console;
use faultline_sys::init::{self, Program};
use faultline_sys::process::{is_init, Args};
use faultline_sys::program;

program!(main);

/// The exit status if a user starts it by hand, and that of a machine that it could not set up.
const USAGE_ERROR: i32 = 2;
const FAILED: i32 = 1;

fn main(_: Args) -> i32 {
    if !is_init() {
        // There is nowhere else to say it.
        let _ = writeln!(
            Console::stderr(),
            "{INIT}: the kernel starts it, as /init; nobody else should"
        );
        return USAGE_ERROR;
    }
    // The kernel passes whatever of its command line it does not understand: not for us.
    let mut console = init::set_up();
    let status = run(&mut console);
    init::power_off(&mut console, status)
}

fn run(console: &mut Console) -> i32 {
    match (init::load_module(), Program::read(RUN_FILE)) {
        (Ok(()), Ok(program)) => return program.run(console),
        (Err(errno), _) => init::complain(console, MODULE_FILE, &errno),
        (_, Err(error)) => init::complain(console, RUN_FILE, &error),
    }
    FAILED
}
