// SPDX-License-Identifier: GPL-2.0-only

//! The command line of `faultline-stress`.

use core::ffi::CStr;

/// What `--help` prints.
pub const USAGE: &str = "\
Usage: faultline-stress [--seed N] [--ops N] [--procs N] [--cycles N] [--part PART]...

Ill-treats the buffers of the faultline driver, as root, and writes a KTAP
report to standard output. Parts: cases, inject, fuzz; all of them without
--part. The contents of the buffers are lost, and devices come and go.

  --seed N    random numbers to go by (default: new ones, which are said)
  --ops N     operations of the fuzzer, in all its processes (default 20000)
  --procs N   its processes, up to 64 (default 4)
  --cycles N  how often each device is unbound and bound again (default 25)

Exit status: 0 passed, 1 failed, 2 usage error, 4 no device.
";

/// The most processes that there can be.
pub const MAX_PROCESSES: u64 = 64;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Where the random numbers begin, if that is given.
    pub seed: Option<u64>,
    /// How many operations the fuzzer makes.
    pub operations: u64,
    /// In how many processes.
    pub processes: u64,
    /// How often each device is unbound and bound.
    pub cycles: u64,
    /// Whether the named cases are run.
    pub cases: bool,
    /// Whether allocations are made to fail.
    pub inject: bool,
    /// Whether the fuzzer runs.
    pub fuzz: bool,
}

/// Why a command line asks for nothing.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal<'a> {
    /// It asks for help.
    Help,
    /// There is no such option, or it has no such value.
    Wrong(&'a CStr),
}

/// Reads the arguments that follow the program's name.
///
/// ```
/// use faultline_core::options::{parse, Refusal};
///
/// let options = parse([c"--seed", c"7", c"--part", c"fuzz"].into_iter()).unwrap();
/// assert_eq!((options.seed, options.fuzz, options.cases), (Some(7), true, false));
/// assert_eq!(parse([c"--ops", c"many"].into_iter()), Err(Refusal::Wrong(c"many")));
/// ```
///
/// # Errors
///
/// [`Refusal`] says what is wrong.
pub fn parse<'a>(mut args: impl Iterator<Item = &'a CStr>) -> Result<Options, Refusal<'a>> {
    let mut options = Options {
        seed: None,
        operations: 20_000,
        processes: 4,
        cycles: 25,
        cases: false,
        inject: false,
        fuzz: false,
    };
    while let Some(option) = args.next() {
        let name = option.to_bytes();
        if name == b"--help" || name == b"-h" {
            return Err(Refusal::Help);
        }
        let known: [&[u8]; 5] = [b"--seed", b"--ops", b"--procs", b"--cycles", b"--part"];
        if !known.contains(&name) {
            return Err(Refusal::Wrong(option));
        }
        let value = args.next().ok_or(Refusal::Wrong(option))?;
        if name == b"--part" {
            match value.to_bytes() {
                b"cases" => options.cases = true,
                b"inject" => options.inject = true,
                b"fuzz" => options.fuzz = true,
                _ => return Err(Refusal::Wrong(value)),
            }
            continue;
        }
        let number = number(value).ok_or(Refusal::Wrong(value))?;
        match name {
            b"--seed" => options.seed = Some(number),
            b"--ops" => options.operations = number,
            b"--cycles" => options.cycles = number,
            _ if (1..=MAX_PROCESSES).contains(&number) => options.processes = number,
            _ => return Err(Refusal::Wrong(value)),
        }
    }
    if !(options.cases || options.inject || options.fuzz) {
        (options.cases, options.inject, options.fuzz) = (true, true, true);
    }
    Ok(options)
}

fn number(text: &CStr) -> Option<u64> {
    text.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_parts_all_are_run() {
        let options = parse([].into_iter()).unwrap();
        assert!(options.cases && options.inject && options.fuzz);
        assert_eq!(options.seed, None);
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
            (1, 64, 0)
        );
    }

    #[test]
    fn mistakes_are_named() {
        for (args, wrong) in [
            (&[c"--sed", c"1"][..], c"--sed"),
            (&[c"--seed"], c"--seed"),
            (&[c"--seed", c"-1"], c"-1"),
            (&[c"--procs", c"0"], c"0"),
            (&[c"--procs", c"65"], c"65"),
            (&[c"--part", c"all"], c"all"),
            (&[c"x"], c"x"),
        ] {
            assert_eq!(parse(args.iter().copied()), Err(Refusal::Wrong(wrong)));
        }
        assert_eq!(parse([c"--help"].into_iter()), Err(Refusal::Help));
    }
}
