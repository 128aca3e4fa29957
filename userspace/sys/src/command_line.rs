// SPDX-License-Identifier: GPL-2.0-only

//! What every program answers to its command line.

use core::fmt::{Display, Write};

use faultline_core::args::{Command, Request, Wrong};

use crate::console::Console;

/// The exit status for a command line that cannot be understood.
pub const USAGE_ERROR: i32 = 2;

/// Says on standard error what is wrong with the command line. Returns the exit status.
pub fn refuse<O>(command: &Command<O>, wrong: &Wrong) -> i32 {
    complain(command, wrong)
}

/// Says on standard error that the command line asks for nothing. Returns the exit status.
pub fn refuse_empty<O>(command: &Command<O>, expected: &str) -> i32 {
    complain(
        command,
        &format_args!("Expected {expected}, but there is no argument."),
    )
}

fn complain<O>(command: &Command<O>, what: &dyn Display) -> i32 {
    let name = command.name;
    let mut stderr = Console::stderr();
    // Whether it can be said or not, the exit status says it, too.
    let _ = writeln!(
        stderr,
        "{name}: {what}\n{name}: Run '{name} --help' for all options."
    );
    USAGE_ERROR
}

/// Prints what was asked for in place of the program's work.
pub fn answer<O>(console: &mut Console, command: &Command<O>, request: Request, version: &str) {
    // The console remembers that something could not be written.
    let _ = match request {
        Request::Help => write!(console, "{}", command.help()),
        Request::Version => writeln!(console, "{} {version}", command.name),
    };
}
