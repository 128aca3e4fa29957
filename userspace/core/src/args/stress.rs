// SPDX-License-Identifier: GPL-2.0-only

//! The command line of `faultline-stress`.

use crate::args::{choice, Arg, Command, Expected, Flag, Meaning, Parsed, Request, Wrong};
use crate::decimal;
use crate::name;

/// The most processes that there can be.
pub const MAX_PROCESSES: u64 = 64;

/// How many cases can be named.
pub const MAX_CASES: usize = 16;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// What is asked for instead.
    pub request: Option<Request>,
    /// Where the random numbers begin, if that is given.
    pub seed: Option<u64>,
    /// How many operations the fuzzer makes.
    pub operations: u64,
    /// In how many processes.
    pub processes: u64,
    /// How often each device is unbound and bound.
    pub cycles: u64,
    /// Which parts are run.
    pub parts: Parts,
    /// The names of the cases that are run, or none for all.
    pub cases: heapless::Vec<Arg, MAX_CASES>,
}

/// The parts of the program, by whether they are run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// The named cases.
    pub cases: bool,
    /// The operations of which each allocation is made to fail.
    pub inject: bool,
    /// The fuzzer.
    pub fuzz: bool,
}

impl Parts {
    const CASES: Self = Self {
        cases: true,
        inject: false,
        fuzz: false,
    };

    const ALL: Self = Self {
        cases: true,
        inject: true,
        fuzz: true,
    };
}

#[derive(Clone, Copy)]
enum Part {
    Cases,
    Inject,
    Fuzz,
}

fn number(value: Arg) -> Result<u64, Expected> {
    decimal::parse(value.to_bytes()).ok_or(Expected("a number from 0 to 18446744073709551615"))
}

/// The command line.
pub static COMMAND: Command<Options> = Command {
    name: name::STRESS,
    synopsis: "[OPTION...]",
    about: concat!(
        "\
Stresses the buffers of the ",
        name::module!(),
        " driver, as root, and writes a KTAP
report to standard output. The contents of the buffers are lost, and devices
come and go.
"
    ),
    operand: None,
    flags: &[
        Flag {
            name: "--part",
            help: "run only this part: cases, inject or fuzz; may be\ngiven several times (default: all of them)",
            meaning: Meaning::Value("PART", |options, value| {
                let part = choice(
                    &[
                        ("cases", Part::Cases),
                        ("inject", Part::Inject),
                        ("fuzz", Part::Fuzz),
                    ],
                    value,
                    "cases, inject or fuzz",
                )?;
                match part {
                    Part::Cases => options.parts.cases = true,
                    Part::Inject => options.parts.inject = true,
                    Part::Fuzz => options.parts.fuzz = true,
                }
                Ok(())
            }),
        },
        Flag {
            name: "--case",
            help: "run only this case (docs/stress.md); may be given up to\neight times; without --part, no other part is run",
            meaning: Meaning::Value("NAME", |options, value| {
                let added = options.cases.push(value);
                added.map_err(|_| Expected("eight cases at most"))
            }),
        },
        Flag {
            name: "--seed",
            help: "the seed of the random numbers (default: a new one,\nwhich the report names)",
            meaning: Meaning::Value("N", |options, value| {
                options.seed = Some(number(value)?);
                Ok(())
            }),
        },
        Flag {
            name: "--ops",
            help: "operations of the fuzzer, in all its processes\ntogether (default: 20000)",
            meaning: Meaning::Value("N", |options, value| {
                options.operations = number(value)?;
                Ok(())
            }),
        },
        Flag {
            name: "--procs",
            help: "processes of the fuzzer, from 1 to 64 (default: 4)",
            meaning: Meaning::Value("N", |options, value| {
                let processes = number(value).ok();
                options.processes = processes
                    .filter(|processes| (1..=MAX_PROCESSES).contains(processes))
                    .ok_or(Expected("a number from 1 to 64"))?;
                Ok(())
            }),
        },
        Flag {
            name: "--cycles",
            help: "how often the cases unbind each device and bind it\nagain (default: 25)",
            meaning: Meaning::Value("N", |options, value| {
                options.cycles = number(value)?;
                Ok(())
            }),
        },
    ],
    notes: "Exit status: 0 passed, 1 failed, 2 usage error, 4 no device.\n",
};

/// Reads the arguments that follow the program's name.
///
/// ```
/// use faultline_core::args::stress::parse;
///
/// let options = parse([c"--seed", c"7", c"--part", c"fuzz"].into_iter()).unwrap();
/// assert_eq!((options.seed, options.parts.fuzz, options.parts.cases), (Some(7), true, false));
/// ```
///
/// # Errors
///
/// [`Wrong`] says what cannot be understood.
pub fn parse(args: impl Iterator<Item = Arg>) -> Result<Options, Wrong> {
    let mut options = Options {
        request: None,
        seed: None,
        operations: 20_000,
        processes: 4,
        cycles: 25,
        parts: Parts::default(),
        cases: heapless::Vec::new(),
    };
    let mut parser = COMMAND.parse(args);
    while let Some(parsed) = parser.next(&mut options) {
        if let Parsed::Request(request) = parsed? {
            options.request = Some(request);
            return Ok(options);
        }
    }
    if options.parts == Parts::default() {
        options.parts = if options.cases.is_empty() {
            Parts::ALL
        } else {
            Parts::CASES
        };
    }
    if !options.cases.is_empty() && !options.parts.cases {
        return Err(Wrong::Combination(
            "--case needs the part cases: leave --part out, or add --part cases.",
        ));
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_parts_all_are_run() {
        let options = parse([].into_iter()).unwrap();
        assert_eq!((options.parts, options.seed), (Parts::ALL, None));
    }

    #[test]
    fn parts_add_up() {
        let options = parse([c"--part", c"cases", c"--part=inject"].into_iter()).unwrap();
        let Parts {
            cases,
            inject,
            fuzz,
        } = options.parts;
        assert_eq!((cases, inject, fuzz), (true, true, false));
    }

    #[test]
    fn cases_alone() {
        let options = parse([c"--case", c"split", c"--case=ends"].into_iter()).unwrap();
        assert_eq!(
            (options.cases.as_slice(), options.parts),
            ([c"split", c"ends"].as_slice(), Parts::CASES)
        );
        let options = parse([c"--case", c"split", c"--part=fuzz", c"--part=cases"].into_iter());
        assert!(options.unwrap().parts.fuzz);
        let wrong = parse([c"--case", c"split", c"--part=fuzz"].into_iter());
        assert!(matches!(wrong, Err(Wrong::Combination(_))));
        let nine = parse([c"--case=a"; MAX_CASES + 1].into_iter());
        assert!(matches!(nine, Err(Wrong::Value { .. })));
    }

    #[test]
    fn every_number() {
        let args = [
            c"--seed",
            c"18446744073709551615",
            c"--ops",
            c"1",
            c"--procs",
            c"64",
            c"--cycles",
            c"0",
        ];
        let options = parse(args.into_iter()).unwrap();
        assert_eq!(options.seed, Some(u64::MAX));
        assert_eq!(
            (options.operations, options.processes, options.cycles),
            (1, MAX_PROCESSES, 0)
        );
    }

    #[test]
    fn mistakes_are_named() {
        for (args, message) in [
            (&[c"--sed", c"1"][..], "There is no option '--sed'."),
            (&[c"--seed"], "--seed takes N, but nothing follows it."),
            (
                &[c"--seed", c"-1"],
                "The value of --seed is '-1'; expected a number from 0 to 18446744073709551615.",
            ),
            (
                &[c"--procs", c"0"],
                "The value of --procs is '0'; expected a number from 1 to 64.",
            ),
            (
                &[c"--procs", c"65"],
                "The value of --procs is '65'; expected a number from 1 to 64.",
            ),
            (
                &[c"--part", c"all"],
                "The value of --part is 'all'; expected cases, inject or fuzz.",
            ),
            (
                &[c"x"],
                "The argument 'x' is not an option; expected only options.",
            ),
        ] {
            let wrong = parse(args.iter().copied()).unwrap_err();
            assert_eq!(wrong.to_string(), message, "{args:?}");
        }
    }
}
