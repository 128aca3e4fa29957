// SPDX-License-Identifier: GPL-2.0-only

//! The command line of `faultline-bench`: steps, which are taken in their order.

use crate::args::{Arg, Command, Expected, Flag, Meaning, Operand, Parsed, Parser, Request, Wrong};
use crate::bench::MAX_SAMPLES;
use crate::decimal;
use crate::name;

/// One thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Measure this device.
    Device(Arg),
    /// Measure every device of the faultline driver.
    All,
    /// Load a module.
    Load {
        /// Its file.
        file: Arg,
        /// Its parameters, as `insmod` takes them.
        parameters: Arg,
    },
    /// Unload the module of this name.
    Unload(Arg),
    /// Name what is measured from here on.
    Label(Arg),
    /// Take this for the size of the devices that follow; 0: ask them.
    Size(u64),
    /// Take so many samples from here on.
    Repeat(usize),
    /// What is asked for instead.
    Request(Request),
}

/// The command line. An option sets the step that it is.
pub static COMMAND: Command<Option<Step>> = Command {
    name: name::BENCH,
    synopsis: "STEP...",
    about: "\
Measures what it costs to map, touch and copy device memory. The steps are
taken in their order. Writes JSON Lines to standard output, errors to standard
error. The contents of the devices are lost.
",
    operand: Some(Operand {
        name: "DEVICE",
        help: "measure this device node, of any driver",
    }),
    flags: &[
        Flag {
            name: "--all",
            help: concat!("measure every /dev/", name::module!(), "N"),
            meaning: Meaning::Switch(|step| *step = Some(Step::All)),
        },
        Flag {
            name: "--load",
            help: "load a kernel module ('' for no parameters)",
            meaning: Meaning::Values(["FILE", "PARAMETERS"], |step, [file, parameters]| {
                *step = Some(Step::Load { file, parameters });
            }),
        },
        Flag {
            name: "--unload",
            help: "unload a kernel module",
            meaning: Meaning::Value("NAME", |step, name| {
                *step = Some(Step::Unload(name));
                Ok(())
            }),
        },
        Flag {
            name: "--label",
            help: "name what is measured from here on",
            meaning: Meaning::Value("TEXT", |step, label| {
                *step = Some(Step::Label(label));
                Ok(())
            }),
        },
        Flag {
            name: "--size",
            help: "the size of the devices that follow; 0, as at first: the\nend of the device, as lseek() gives it",
            meaning: Meaning::Value("BYTES", |step, value| {
                let size = decimal::parse(value.to_bytes());
                *step = Some(Step::Size(size.ok_or(Expected("a number of bytes"))?));
                Ok(())
            }),
        },
        Flag {
            name: "--repeat",
            help: "take N samples, from 1 to 64, at first 9, after one that\ndoes not count",
            meaning: Meaning::Value("N", |step, value| {
                let number = decimal::parse(value.to_bytes());
                let samples = number
                    .and_then(|number| usize::try_from(number).ok())
                    .filter(|samples| (1..=MAX_SAMPLES).contains(samples))
                    .ok_or(Expected("a number from 1 to 64"))?;
                *step = Some(Step::Repeat(samples));
                Ok(())
            }),
        },
    ],
    notes: "Exit status: 0 done, 1 a step failed, 2 usage error.\n",
};

/// The steps that the arguments ask for.
///
/// ```
/// use faultline_core::args::bench::{steps, Step};
///
/// let steps = steps([c"--size", c"4096", c"/dev/udmabuf0"].into_iter());
/// assert!(steps.eq([Ok(Step::Size(4096)), Ok(Step::Device(c"/dev/udmabuf0"))]));
/// ```
pub fn steps<A: Iterator<Item = Arg>>(args: A) -> impl Iterator<Item = Result<Step, Wrong>> {
    Steps(COMMAND.parse(args))
}

struct Steps<A>(Parser<Option<Step>, A>);

impl<A: Iterator<Item = Arg>> Iterator for Steps<A> {
    type Item = Result<Step, Wrong>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut step = None;
        let parsed = match self.0.next(&mut step)? {
            Ok(parsed) => parsed,
            Err(wrong) => return Some(Err(wrong)),
        };
        match parsed {
            Parsed::Set => step.map(Ok),
            Parsed::Operand(device) => Some(Ok(Step::Device(device))),
            Parsed::Request(request) => Some(Ok(Step::Request(request))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[Arg]) -> Vec<Result<Step, Wrong>> {
        steps(args.iter().copied()).collect()
    }

    #[test]
    fn steps_come_in_their_order() {
        let args = [
            c"--unload",
            c"faultline",
            c"--load",
            c"/a.ko",
            c"",
            c"--label",
            c"--size",
            c"--repeat",
            c"64",
            c"/dev/a",
            c"--all",
            c"--size=18446744073709551615",
            c"-",
            c"--help",
            c"-V",
        ];
        let want = [
            Ok(Step::Unload(c"faultline")),
            Ok(Step::Load {
                file: c"/a.ko",
                parameters: c"",
            }),
            Ok(Step::Label(c"--size")),
            Ok(Step::Repeat(64)),
            Ok(Step::Device(c"/dev/a")),
            Ok(Step::All),
            Ok(Step::Size(u64::MAX)),
            Err(Wrong::UnknownOption(c"-")),
            Ok(Step::Request(Request::Help)),
            Ok(Step::Request(Request::Version)),
        ];
        assert_eq!(parse(&args), want);
    }

    #[test]
    fn mistakes_are_named() {
        for (args, message) in [
            (
                &[c"--load", c"/a.ko"][..],
                "--load takes PARAMETERS, but nothing follows it.",
            ),
            (&[c"--size"], "--size takes BYTES, but nothing follows it."),
            (
                &[c"--size", c"4k"],
                "The value of --size is '4k'; expected a number of bytes.",
            ),
            (
                &[c"--repeat", c"0"],
                "The value of --repeat is '0'; expected a number from 1 to 64.",
            ),
            (
                &[c"--repeat", c"65"],
                "The value of --repeat is '65'; expected a number from 1 to 64.",
            ),
            (&[c"--sizes", c"1"], "There is no option '--sizes'."),
            (
                &[c""],
                "An argument is empty; expected an option or DEVICE.",
            ),
        ] {
            let wrong = parse(args)[0].unwrap_err();
            assert_eq!(wrong.to_string(), message, "{args:?}");
        }
    }
}
