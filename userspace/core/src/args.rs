// SPDX-License-Identifier: GPL-2.0-only

//! The command line.

use core::ffi::CStr;

/// What `--help` prints.
pub const USAGE: &str = "\
Usage: faultline-verify [--help] [--version] [DEVICE...]

Verifies DMA-coherent buffers of the faultline driver: the DEVICEs given, or
every /dev/faultlineN. Writes a KTAP report and a verdict to standard output.
The contents of the buffers are lost; they are left zeroed.

Exit status: 0 passed, 1 failed, 2 usage error, 4 skipped or no device.
";

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// `--help`.
    Help,
    /// `--version`.
    Version,
    /// Verification, of [`devices`] if there are any.
    Verify,
    /// An option that does not exist.
    UnknownOption(&'a CStr),
}

/// Reads the arguments that follow the program's name. The first option decides.
///
/// ```
/// use faultline_core::args::{parse, Command};
///
/// assert_eq!(parse([c"/dev/faultline0", c"--help"].into_iter()), Command::Help);
/// assert_eq!(parse([c"-x"].into_iter()), Command::UnknownOption(c"-x"));
/// ```
pub fn parse<'a>(args: impl Iterator<Item = &'a CStr>) -> Command<'a> {
    for arg in args {
        let option = arg.to_bytes();
        if option == b"--" {
            break;
        }
        if option == b"--help" || option == b"-h" {
            return Command::Help;
        }
        if option == b"--version" || option == b"-V" {
            return Command::Version;
        }
        if option.starts_with(b"-") {
            return Command::UnknownOption(arg);
        }
    }
    Command::Verify
}

/// The devices that the arguments name, once [`parse`] has answered [`Command::Verify`].
///
/// ```
/// use faultline_core::args::devices;
///
/// let args = [c"a", c"--", c"-b"];
/// assert!(devices(args.into_iter()).eq([c"a", c"-b"]));
/// ```
pub fn devices<'a, A: Iterator<Item = &'a CStr>>(args: A) -> Devices<A> {
    let options = true;
    Devices { args, options }
}

/// See [`devices`].
#[derive(Clone)]
pub struct Devices<A> {
    args: A,
    /// There has been no `--`.
    options: bool,
}

impl<'a, A: Iterator<Item = &'a CStr>> Iterator for Devices<A> {
    type Item = &'a CStr;

    #[inline(never)]
    fn next(&mut self) -> Option<&'a CStr> {
        let arg = self.args.next()?;
        if self.options && arg.to_bytes() == b"--" {
            self.options = false;
            return self.args.next();
        }
        Some(arg)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_argument_verifies() {
        assert_eq!(parse([].into_iter()), Command::Verify);
        assert_eq!(devices([].into_iter()).count(), 0);
    }

    #[test]
    fn options() {
        for (arg, command) in [
            (c"--help", Command::Help),
            (c"-h", Command::Help),
            (c"--version", Command::Version),
            (c"-V", Command::Version),
            (c"--versio", Command::UnknownOption(c"--versio")),
            (c"-", Command::UnknownOption(c"-")),
            (c"", Command::Verify),
        ] {
            assert_eq!(parse([arg].into_iter()), command);
        }
    }

    #[test]
    fn what_follows_two_dashes_is_a_device() {
        let args = [c"--", c"--help", c"--"];
        assert_eq!(parse(args.into_iter()), Command::Verify);
        assert!(devices(args.into_iter()).eq([c"--help", c"--"]));
    }
}
