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
use core::fmt::Write;

use faultline_core::args::verify::{devices, parse, Options, COMMAND};
use faultline_core::errno::Errno;
use faultline_core::ktap::Outcome;
use faultline_core::name::{ANY_DEVICE, COMPATIBLE, MODULE_FILE, PROJECT};
use faultline_core::nodes::Nodes;
use faultline_core::session::{no_device, Session};
use faultline_core::system::System;
use faultline_sys::console::{Console, Terminal};
use faultline_sys::init;
use faultline_sys::machine::Machine;
use faultline_sys::nodes::{find, NodePath};
use faultline_sys::process::{is_init, Args};
use faultline_sys::{command_line, fault, program};

program!(main);

fn main(args: Args) -> i32 {
    if is_init() {
        // The kernel passes whatever of its command line it does not understand: not for us.
        let mut console = init::set_up();
        let status = first_process(&mut console);
        init::power_off(&mut console, status);
    }
    let mut console = Console::stdout();
    let status = obey(args, &mut console);
    match status {
        0 if console.has_failed() => 1,
        status => status,
    }
}

/// Does what the command line says.
fn obey(args: Args, console: &mut Console) -> i32 {
    let mut machine = Machine::new();
    let options = match parse(args.clone(), machine.page_size()) {
        Ok(options) => options,
        Err(wrong) => return command_line::refuse(&COMMAND, &wrong),
    };
    if let Some(request) = options.request {
        command_line::answer(console, &COMMAND, request, env!("CARGO_PKG_VERSION"));
        return 0;
    }
    verify(&mut machine, console, options, args)
}

fn first_process(console: &mut Console) -> i32 {
    // Before the module is loaded: what the kernel says of that counts.
    let mut machine = Machine::new();
    if let Err(errno) = init::load_module() {
        return failed(console, MODULE_FILE, errno);
    }
    let options = Options {
        may_unbind: true,
        ..Options::NONE
    };
    let status = verify(&mut machine, console, options, Args::default());
    if status == Outcome::Skip.status() {
        // The console remembers that something could not be written.
        let _ = writeln!(
            console,
            "{PROJECT}: the device tree has no node that is compatible with \"{COMPATIBLE}\", or the \
             driver refused it: see above"
        );
    }
    status
}

/// Verifies the devices that the arguments name or, if they name none, all; or a foreign one.
fn verify(machine: &mut Machine, console: &mut Console, options: Options<'_>, args: Args) -> i32 {
    let mut stderr = Console::stderr();
    let mut count = devices(args.clone()).count() as u64;
    let mut nodes = Nodes::default();
    if count == 0 || options.foreign {
        nodes = match find() {
            Ok(nodes) => nodes,
            Err(errno) => return failed(&mut stderr, ANY_DEVICE, errno),
        };
    }
    let first = NodePath::new(nodes.next(0).unwrap_or_default());
    let options = Options {
        witness: first.as_c_str(),
        ..options
    };
    if count == 0 {
        count = nodes.count();
    } else {
        nodes = Nodes::default();
    }
    let report_is_on_terminal = options.json || console.is_terminal();
    let (out, json): (&mut dyn Write, Option<&mut dyn Write>) = if options.json {
        (&mut stderr, Some(console))
    } else {
        (console, None)
    };
    if count == 0 {
        return no_device(out, json, options.quick).status();
    }
    fault::install();
    // Where the report is on a terminal, it is what shows how far the run is. That terminal may be a
    // serial line, whose other end keeps all of it: nothing may come between the report's lines.
    let mut terminal = if report_is_on_terminal {
        None
    } else {
        Terminal::stderr()
    };
    let terminal = terminal.as_mut().map(|terminal| terminal as &mut dyn Write);
    let mut session = Session::new(machine, out, json, terminal, count, &options);
    for path in devices(args) {
        session.verify(path);
    }
    for number in nodes.numbers() {
        session.verify(NodePath::new(number).as_c_str());
    }
    session.finish().status()
}

/// Says what went wrong before anything could be verified.
fn failed(console: &mut Console, file: &CStr, errno: Errno) -> i32 {
    init::complain(console, file, &errno);
    Outcome::Fail.status()
}
