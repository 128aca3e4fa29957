// SPDX-License-Identifier: GPL-2.0-only

//! `faultline-verify`: verifies the buffers of the faultline driver.
//!
//! From a shell it does what its arguments say. As the first process of a machine it loads the
//! module, verifies every device, and switches the machine off: its last line is
//! `faultline: exit status N`.
//!
//! The checks are in `faultline-core`, all that touches the machine in `faultline-sys`.

#![no_std]
#![no_main]

use core::ffi::CStr;

use faultline_core::args::{self, Command, USAGE};
use faultline_core::errno::Errno;
use faultline_core::ktap::Outcome;
use faultline_core::nodes::Nodes;
use faultline_core::session::{no_device, Session};
use faultline_sys::console::Console;
use faultline_sys::device::{find, Machine, NodePath};
use faultline_sys::init::{self, MODULE};
use faultline_sys::process::{is_init, Args};
use faultline_sys::{fault, program};

program!(main);

/// The exit status for a command line that cannot be understood.
const USAGE_ERROR: i32 = 2;

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
            out.printable(option.to_bytes()).text("\n").text(USAGE);
            USAGE_ERROR
        }
        Command::Verify => verify(&mut Machine::new(), console, args),
    }
}

fn first_process(console: &mut Console) -> i32 {
    // Before the module is loaded: what the kernel says of that counts.
    let mut machine = Machine::new();
    if let Err(errno) = init::load_module() {
        return failed(console, MODULE, errno);
    }
    let status = verify(&mut machine, console, Args::default());
    if status == Outcome::Skip.status() {
        console.out().text(
            "faultline: if the module says nothing above, no enabled node is compatible with \
             \"faultline,coherent-buffer\"\n",
        );
    }
    status
}

/// Verifies the devices that the arguments name or, if they name none, all.
fn verify(machine: &mut Machine, console: &mut Console, args: Args) -> i32 {
    let mut count = args::devices(args.clone()).count() as u64;
    let mut nodes = Nodes::default();
    if count == 0 {
        nodes = match find() {
            Ok(nodes) => nodes,
            Err(errno) => return failed(console, c"/dev", errno),
        };
        count = nodes.count();
    }
    if count == 0 {
        return no_device(console).status();
    }
    fault::install();
    let mut session = Session::new(machine, console, count, is_init());
    for path in args::devices(args) {
        session.verify(path);
    }
    for number in nodes.numbers() {
        session.verify(NodePath::new(number).as_c_str());
    }
    session.finish().status()
}

/// Says what went wrong before anything could be verified.
fn failed(console: &mut Console, file: &CStr, errno: Errno) -> i32 {
    init::complain(console, file, errno);
    Outcome::Fail.status()
}
