// SPDX-License-Identifier: GPL-2.0-only

//! The command line.

use core::ffi::CStr;

use crate::old_finding::Value;
use crate::text::cut;

/// What `--help` prints.
pub const USAGE: &str = "\
Usage: faultline-verify [OPTION...] [DEVICE...]

Verifies DMA-coherent buffers of the faultline driver: the DEVICEs, or every
/dev/faultlineN. Prints a KTAP report and a verdict. Zeroes the buffers.

  --json       JSON to standard output, the report to standard error
  --long       all patterns, 100000 messages
  --foreign --size BYTES
               the DEVICEs are another driver's
  --kernel-attr write-back|non-cacheable|device
               how the kernel maps these
  --help, --version

Exit status: 0 passed, 1 failed, 2 usage error, 4 skipped or no device.
";

/// What is to be verified, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options<'a> {
    /// What is asked for instead.
    pub instead: Option<Instead>,
    /// The report is to be written for machines, too.
    pub json: bool,
    /// What is tried again and again is tried as often as is worth anything.
    pub long: bool,
    /// The devices are another driver's,
    pub foreign: bool,
    /// of so many bytes each,
    pub size: u64,
    /// and this is the memory type of the kernel's mapping, if that was told.
    pub kernel: Value,
    /// A device of ours, which asks the CPU about the foreign one.
    pub witness: &'a CStr,
    /// Whether devices may be unbound.
    pub may_unbind: bool,
}

/// What can be asked for instead of a verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instead {
    /// `--help`.
    Help,
    /// `--version`.
    Version,
}

impl Options<'_> {
    /// Those of a command line that has none.
    pub const NONE: Self = Self {
        instead: None,
        json: false,
        long: false,
        foreign: false,
        size: 0,
        kernel: Value::UNKNOWN,
        witness: c"",
        may_unbind: false,
    };
}

/// What is wrong with a command line, and with what of it.
pub type Wrong<'a> = (&'static str, &'a CStr);

/// The options, a line each, those with a value first.
const NAMES: &[u8] = b"\
    --size\n\
    --kernel-attr\n\
    --help\n\
    -h\n\
    --version\n\
    -V\n\
    --json\n\
    --long\n\
    --foreign\n";

/// How many have one.
const VALUED: usize = 2;

/// What `--kernel-attr` can be, in the order of [`Value::TYPES`].
const TYPES: &[u8] = b"write-back\nnon-cacheable\ndevice\n";

/// Which line of a list an argument is.
#[inline(never)]
fn find(mut list: &[u8], arg: &CStr) -> Option<usize> {
    let mut number = 0;
    while let Some((line, rest)) = cut(list, b'\n') {
        if line == arg.to_bytes() {
            return Some(number);
        }
        number += 1;
        list = rest;
    }
    None
}

/// Whether an argument is an option, or wants to be.
fn is_option(arg: &CStr) -> bool {
    arg.to_bytes().first() == Some(&b'-')
}

/// Reads the arguments that follow the program's name, of a machine with pages of so many bytes.
///
/// ```
/// use faultline_core::args::{parse, Instead, Options};
///
/// let mut options = Options::NONE;
/// let args = [c"/dev/faultline0", c"--help", c"-x"];
/// assert_eq!(parse(&mut options, args.into_iter(), 4096), Ok(()));
/// assert_eq!(options.instead, Some(Instead::Help));
/// let wrong = parse(&mut options, [c"-x"].into_iter(), 4096);
/// assert_eq!(wrong, Err(("unknown option", c"-x")));
/// ```
///
/// # Errors
///
/// [`Wrong`] says what cannot be understood.
pub fn parse<'a>(
    options: &mut Options<'_>,
    mut args: impl Iterator<Item = &'a CStr>,
    page: u64,
) -> Result<(), Wrong<'a>> {
    let mut devices = false;
    while let Some(arg) = args.next() {
        if arg == c"--" {
            devices |= args.next().is_some();
            break;
        }
        if !is_option(arg) {
            devices = true;
            continue;
        }
        let option = find(NAMES, arg).ok_or(("unknown option", arg))?;
        match option {
            0 | 1 => {
                let value = args.next().ok_or(("a value is missing after", arg))?;
                let bytes = value.to_bytes();
                if option == 0 {
                    options.size = number(bytes) & page.wrapping_neg();
                    if options.size == 0 || options.size != number(bytes) {
                        return Err(("not bytes in whole pages:", value));
                    }
                } else {
                    let known = find(TYPES, value).ok_or(("no such memory type:", value))?;
                    options.kernel = Value::TYPES[known];
                }
            }
            2..=5 => {
                let version = option > 3;
                options.instead = Some(if version {
                    Instead::Version
                } else {
                    Instead::Help
                });
                return Ok(());
            }
            6 => options.json = true,
            7 => options.long = true,
            _ => options.foreign = true,
        }
    }
    if options.foreign != (options.size != 0) {
        return Err(("each takes the other: --foreign,", c"--size"));
    }
    if options.foreign && !devices {
        return Err(("a DEVICE is missing after", c"--foreign"));
    }
    if !options.foreign && options.kernel != Value::UNKNOWN {
        return Err(("--kernel-attr is for", c"--foreign"));
    }
    Ok(())
}

/// A number in decimal; zero, if it is none.
fn number(digits: &[u8]) -> u64 {
    let mut number = 0_u64;
    for digit in digits {
        let digit = u64::from(digit.wrapping_sub(b'0'));
        // The lesser half of all numbers will do for a size, and does not overflow.
        if digit > 9 || number > u64::MAX / 32 {
            return 0;
        }
        number = number * 10 + digit;
    }
    number
}

/// The devices that the arguments name, once [`parse`] has understood them.
///
/// ```
/// use faultline_core::args::devices;
///
/// let args = [c"a", c"--size", c"4096", c"--", c"-b"];
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
        loop {
            let arg = self.args.next()?;
            if !self.options || !is_option(arg) {
                return Some(arg);
            }
            self.options = arg != c"--";
            if find(NAMES, arg).is_some_and(|option| option < VALUED) {
                self.args.next();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed<'a>(args: &[&'a CStr]) -> Result<Options<'static>, Wrong<'a>> {
        let mut options = Options::NONE;
        parse(&mut options, args.iter().copied(), 4096).map(|()| options)
    }

    #[test]
    fn no_argument_verifies() {
        assert_eq!(parsed(&[]), Ok(Options::NONE));
        assert_eq!(devices([].into_iter()).count(), 0);
    }

    #[test]
    fn options() {
        for (arg, instead) in [
            (c"--help", Some(Instead::Help)),
            (c"-h", Some(Instead::Help)),
            (c"--version", Some(Instead::Version)),
            (c"-V", Some(Instead::Version)),
            (c"", None),
        ] {
            assert_eq!(parsed(&[arg]).map(|options| options.instead), Ok(instead));
        }
        let options = Options {
            json: true,
            long: true,
            ..Options::NONE
        };
        let args = [c"--json", c"/dev/faultline0", c"--long"];
        assert_eq!(parsed(&args), Ok(options));
        assert!(devices(args.into_iter()).eq([c"/dev/faultline0"]));
    }

    #[test]
    fn what_follows_two_dashes_is_a_device() {
        let args = [c"--", c"--help", c"--"];
        assert_eq!(parsed(&args), Ok(Options::NONE));
        assert!(devices(args.into_iter()).eq([c"--help", c"--"]));
    }

    #[test]
    fn a_foreign_device() {
        for (size, kernel) in [
            (c"65536", None),
            (c"65536", Some((c"write-back", Value::WRITE_BACK))),
            (c"65536", Some((c"non-cacheable", Value::NON_CACHEABLE))),
            (c"65536", Some((c"device", Value::DEVICE))),
        ] {
            let mut args = vec![c"--foreign", c"/dev/x", c"--size", size];
            if let Some((name, _)) = kernel {
                args.extend([c"--kernel-attr", name]);
            }
            let options = Options {
                foreign: true,
                size: 65536,
                kernel: kernel.map_or(Value::UNKNOWN, |kernel| kernel.1),
                ..Options::NONE
            };
            assert_eq!(parsed(&args), Ok(options));
            assert!(devices(args.into_iter()).eq([c"/dev/x"]));
        }
        assert!(parsed(&[c"--foreign", c"--size", c"4096", c"--", c"-x"]).is_ok());
    }

    #[test]
    fn mistakes_are_named() {
        let unknown = "unknown option";
        let bytes = "not bytes in whole pages:";
        let both = "each takes the other: --foreign,";
        let missing = "a value is missing after";
        for (args, what, which) in [
            (&[c"--versio"][..], unknown, c"--versio"),
            (&[c"-"], unknown, c"-"),
            (&[c"--size"], missing, c"--size"),
            (&[c"--kernel-attr"], missing, c"--kernel-attr"),
            (&[c"--foreign", c"x"], both, c"--size"),
            (&[c"--size", c"4096"], both, c"--size"),
            (
                &[c"--foreign", c"--size", c"4096"],
                "a DEVICE is missing after",
                c"--foreign",
            ),
            (
                &[c"--kernel-attr", c"device"],
                "--kernel-attr is for",
                c"--foreign",
            ),
            (
                &[c"--kernel-attr", c"cached"],
                "no such memory type:",
                c"cached",
            ),
            (&[c"--size", c""], bytes, c""),
            (&[c"--size", c"0"], bytes, c"0"),
            (&[c"--size", c"0x1000"], bytes, c"0x1000"),
            (&[c"--size", c"5000"], bytes, c"5000"),
            (&[c"--size", c"4096k"], bytes, c"4096k"),
            (&[c"--size", c"-4096"], bytes, c"-4096"),
            (
                &[c"--size", c"18446744073709555712"],
                bytes,
                c"18446744073709555712",
            ),
        ] {
            assert_eq!(parsed(args), Err((what, which)), "{args:?}");
        }
    }
}
