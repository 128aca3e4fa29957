// SPDX-License-Identifier: GPL-2.0-only

//! The command line of `faultline-verify`.

use core::ffi::CStr;

use crate::args::{
    choice, Arg, Command, Expected, Flag, Meaning, Operand, Parsed, Parser, Request, Wrong,
};
use crate::decimal;
use crate::memory::{DeviceMemory, MemoryType};
use crate::name;

/// What is to be verified, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options<'a> {
    /// What is asked for instead.
    pub request: Option<Request>,
    /// The report is to be written for machines, too.
    pub json: bool,
    /// What is tried again and again is tried as often as is worth anything.
    pub long: bool,
    /// Of each buffer only the start and the last page are looked at.
    pub quick: bool,
    /// The devices are another driver's,
    pub foreign: bool,
    /// of so many bytes each,
    pub size: u64,
    /// and this is the memory type of the kernel's mapping, if that was told.
    pub kernel: Option<MemoryType>,
    /// A device of this driver, which asks the CPU about the foreign one.
    pub witness: &'a CStr,
    /// Whether devices may be unbound.
    pub may_unbind: bool,
}

impl Options<'_> {
    /// Those of a command line that has none.
    pub const NONE: Self = Self {
        request: None,
        json: false,
        long: false,
        quick: false,
        foreign: false,
        size: 0,
        kernel: None,
        witness: c"",
        may_unbind: false,
    };
}

/// The command line.
pub static COMMAND: Command<Options<'static>> = Command {
    name: name::VERIFY,
    synopsis: "[OPTION...] [DEVICE...]",
    about: concat!(
        "\
Verifies DMA-coherent buffers of the ",
        name::module!(),
        " driver. Prints a KTAP report and
a verdict. Zeroes the buffers.
"
    ),
    operand: Some(Operand {
        name: "DEVICE",
        help: concat!(
            "verify this device node (default: every /dev/",
            name::module!(),
            "N)"
        ),
    }),
    flags: &[
        Flag {
            name: "--json",
            help: "write JSON to standard output, and the report to\nstandard error",
            meaning: Meaning::Switch(|options| options.json = true),
        },
        Flag {
            name: "--long",
            help: "try all patterns, and 100000 messages",
            meaning: Meaning::Switch(|options| options.long = true),
        },
        Flag {
            name: "--quick",
            help: "look at the first MiB and the last page of each buffer",
            meaning: Meaning::Switch(|options| options.quick = true),
        },
        Flag {
            name: "--foreign",
            help: "the DEVICEs are another driver's, or DMA-BUF heaps;\ntakes --size",
            meaning: Meaning::Switch(|options| options.foreign = true),
        },
        Flag {
            name: "--size",
            help: "the size of each foreign device, in whole pages",
            meaning: Meaning::Value("BYTES", |options, value| {
                let size = decimal::parse(value.to_bytes()).filter(|&size| size > 0);
                options.size = size.ok_or(Expected("a number of bytes above 0, such as 65536"))?;
                Ok(())
            }),
        },
        Flag {
            name: "--kernel-attr",
            help: "how the kernel maps foreign devices: write-back,\nnon-cacheable or device",
            meaning: Meaning::Value("TYPE", |options, value| {
                let kernel = choice(
                    &[
                        ("write-back", MemoryType::WriteBack),
                        ("non-cacheable", MemoryType::NonCacheable),
                        ("device", MemoryType::Device(DeviceMemory::NGnRnE)),
                    ],
                    value,
                    "write-back, non-cacheable or device",
                )?;
                options.kernel = Some(kernel);
                Ok(())
            }),
        },
    ],
    notes: "Exit status: 0 passed, 1 failed, 2 usage error, 4 skipped or no device.\n",
};

/// Reads the arguments that follow the program's name, on a machine with pages of so many bytes.
///
/// ```
/// use faultline_core::args::{verify::parse, Request, Wrong};
///
/// let options = parse([c"/dev/faultline0", c"--help", c"-x"].into_iter(), 4096).unwrap();
/// assert_eq!(options.request, Some(Request::Help));
/// let wrong = parse([c"-x"].into_iter(), 4096).unwrap_err();
/// assert_eq!(wrong.to_string(), "There is no option '-x'.");
/// ```
///
/// # Errors
///
/// [`Wrong`] says what cannot be understood.
pub fn parse(args: impl Iterator<Item = Arg>, page: u64) -> Result<Options<'static>, Wrong> {
    let mut options = Options::NONE;
    let mut has_device = false;
    let mut parser = COMMAND.parse(args);
    while let Some(parsed) = parser.next(&mut options) {
        match parsed? {
            Parsed::Set => {}
            Parsed::Operand(_) => has_device = true,
            Parsed::Request(request) => {
                options.request = Some(request);
                return Ok(options);
            }
        }
    }
    if options.foreign != (options.size != 0) {
        return Err(Wrong::Combination(
            "--foreign and --size must be given together.",
        ));
    }
    // The march of --long begins with what the checks before it have written all over the buffer.
    if options.quick && options.long {
        return Err(Wrong::Combination(
            "--quick and --long cannot be given together.",
        ));
    }
    if options.size % page != 0 {
        return Err(Wrong::Combination(
            "--size must be a multiple of this machine's page size.",
        ));
    }
    if options.foreign && !has_device {
        return Err(Wrong::Combination(
            "--foreign takes at least one DEVICE, but none is given.",
        ));
    }
    if !options.foreign && options.kernel.is_some() {
        return Err(Wrong::Combination(
            "--kernel-attr can be given with --foreign alone.",
        ));
    }
    Ok(options)
}

/// The devices that the arguments name, once [`parse`] has understood them.
///
/// ```
/// use faultline_core::args::verify::devices;
///
/// let args = [c"a", c"--size", c"4096", c"--", c"-b"];
/// assert!(devices(args.into_iter()).eq([c"a", c"-b"]));
/// ```
pub fn devices<A: Iterator<Item = Arg>>(args: A) -> impl Iterator<Item = Arg> {
    Devices(COMMAND.parse(args))
}

struct Devices<A>(Parser<Options<'static>, A>);

impl<A: Iterator<Item = Arg>> Iterator for Devices<A> {
    type Item = Arg;

    fn next(&mut self) -> Option<Arg> {
        let mut options = Options::NONE;
        loop {
            if let Ok(Parsed::Operand(device)) = self.0.next(&mut options)? {
                return Some(device);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[Arg]) -> Result<Options<'static>, Wrong> {
        parse(args.iter().copied(), 4096)
    }

    #[test]
    fn no_argument_verifies() {
        assert_eq!(parsed(&[]), Ok(Options::NONE));
        assert_eq!(devices([].into_iter()).count(), 0);
    }

    #[test]
    fn switches_and_devices_come_in_any_order() {
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
            (c"65536", Some((c"write-back", MemoryType::WriteBack))),
            (c"65536", Some((c"non-cacheable", MemoryType::NonCacheable))),
            (
                c"65536",
                Some((c"device", MemoryType::Device(DeviceMemory::NGnRnE))),
            ),
        ] {
            let mut args = vec![c"--foreign", c"/dev/x", c"--size", size];
            if let Some((name, _)) = kernel {
                args.extend([c"--kernel-attr", name]);
            }
            let options = Options {
                foreign: true,
                size: 65536,
                kernel: kernel.map(|kernel| kernel.1),
                ..Options::NONE
            };
            assert_eq!(parsed(&args), Ok(options));
            assert!(devices(args.into_iter()).eq([c"/dev/x"]));
        }
        assert!(parsed(&[c"--foreign", c"--size=4096", c"--", c"-x"]).is_ok());
    }

    #[test]
    fn mistakes_are_named() {
        for (args, message) in [
            (&[c"--versio"][..], "There is no option '--versio'."),
            (&[c"-"], "There is no option '-'."),
            (&[c""], "An argument is empty; expected an option or DEVICE."),
            (&[c"--size"], "--size takes BYTES, but nothing follows it."),
            (&[c"--kernel-attr"], "--kernel-attr takes TYPE, but nothing follows it."),
            (&[c"--foreign", c"x"], "--foreign and --size must be given together."),
            (&[c"--size", c"4096"], "--foreign and --size must be given together."),
            (&[c"--quick", c"--long"], "--quick and --long cannot be given together."),
            (
                &[c"--foreign", c"--size", c"4096"],
                "--foreign takes at least one DEVICE, but none is given.",
            ),
            (
                &[c"--kernel-attr", c"device"],
                "--kernel-attr can be given with --foreign alone.",
            ),
            (
                &[c"--kernel-attr", c"cached"],
                "The value of --kernel-attr is 'cached'; expected write-back, non-cacheable or device.",
            ),
            (
                &[c"--foreign", c"x", c"--size", c"5000"],
                "--size must be a multiple of this machine's page size.",
            ),
        ] {
            assert_eq!(parsed(args).unwrap_err().to_string(), message, "{args:?}");
        }
        for size in [
            c"",
            c"0",
            c"0x1000",
            c"4096k",
            c"-4096",
            c"18446744073709555712",
        ] {
            let wrong = parsed(&[c"--size", size]).unwrap_err().to_string();
            let start = format!(
                "The value of --size is '{}'; expected",
                size.to_str().unwrap()
            );
            assert!(wrong.starts_with(&start), "{wrong}");
        }
    }
}
