// SPDX-License-Identifier: GPL-2.0-only

//! What `faultline-bench` says and understands: its command line, its statistics, its report.
//!
//! A report is JSON Lines: one object per line, nothing else.

use core::ffi::CStr;

use crate::text::{Out, Show};

/// What `--help` prints.
pub const USAGE: &str = "\
Usage: faultline-bench STEP...

Measures what it costs to map, touch and copy device memory. The steps are
taken in their order:

  DEVICE                  measure this device node, of any driver
  --all                   measure every /dev/faultlineN
  --load FILE PARAMETERS  load a kernel module ('' for no parameters)
  --unload NAME           unload a kernel module
  --label TEXT            name what is measured from here on
  --size BYTES            size of the devices that follow; 0, as at first: the
                          end of the device, as lseek() gives it
  --repeat N              take N samples (1 to 64, at first 9) after one that
                          does not count
  --help, --version

Writes JSON Lines to standard output, errors to standard error. The contents
of the devices are lost.

Exit status: 0 done, 1 a step failed, 2 usage error.
";

/// The most samples of one operation.
pub const MAX_SAMPLES: usize = 64;

/// One thing to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// Measure this device.
    Device(&'a CStr),
    /// Measure every device of the faultline driver.
    All,
    /// Load a module from a file with parameters.
    Load(&'a CStr, &'a CStr),
    /// Unload the module of this name.
    Unload(&'a CStr),
    /// Name what is measured from here on.
    Label(&'a CStr),
    /// Take this for the size of the devices that follow; 0: ask them.
    Size(u64),
    /// Take so many samples from here on.
    Repeat(usize),
    /// Print [`USAGE`].
    Help,
    /// Print the version.
    Version,
}

/// A step that cannot be understood: the argument that is to blame.
#[derive(Debug, PartialEq, Eq)]
pub struct Misunderstood<'a>(pub &'a CStr);

/// The steps that the arguments ask for.
///
/// ```
/// use faultline_core::bench::{Step, Steps};
///
/// let steps = Steps::new([c"--size", c"4096", c"/dev/udmabuf0"].into_iter());
/// assert!(steps.eq([Ok(Step::Size(4096)), Ok(Step::Device(c"/dev/udmabuf0"))]));
/// ```
pub struct Steps<I>(I);

impl<'a, I: Iterator<Item = &'a CStr>> Steps<I> {
    /// Reads the arguments that follow the program's name.
    pub fn new(args: I) -> Self {
        Self(args)
    }

    fn operand(&mut self, option: &'a CStr) -> Result<&'a CStr, Misunderstood<'a>> {
        self.0.next().ok_or(Misunderstood(option))
    }

    fn step(&mut self, arg: &'a CStr) -> Result<Step<'a>, Misunderstood<'a>> {
        Ok(match arg.to_bytes() {
            b"--help" => Step::Help,
            b"--version" => Step::Version,
            b"--all" => Step::All,
            b"--load" => Step::Load(self.operand(arg)?, self.operand(arg)?),
            b"--unload" => Step::Unload(self.operand(arg)?),
            b"--label" => Step::Label(self.operand(arg)?),
            b"--size" => {
                let operand = self.operand(arg)?;
                Step::Size(decimal(operand.to_bytes()).ok_or(Misunderstood(operand))?)
            }
            b"--repeat" => {
                let operand = self.operand(arg)?;
                let number = decimal(operand.to_bytes());
                let samples = number.and_then(|number| usize::try_from(number).ok());
                let valid = samples.filter(|samples| (1..=MAX_SAMPLES).contains(samples));
                Step::Repeat(valid.ok_or(Misunderstood(operand))?)
            }
            [b'-', ..] | [] => return Err(Misunderstood(arg)),
            _ => Step::Device(arg),
        })
    }
}

impl<'a, I: Iterator<Item = &'a CStr>> Iterator for Steps<I> {
    type Item = Result<Step<'a>, Misunderstood<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        let arg = self.0.next()?;
        Some(self.step(arg))
    }
}

/// A number in decimal, if it is one and fits.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// The process's minor faults so far, from what `/proc/PID/stat` says (proc_pid_stat(5)). This
/// is the number that `getrusage()` gives as `ru_minflt`.
pub fn minor_faults(stat: &[u8]) -> Option<u64> {
    // The name of the program comes second, in parentheses, and can have any character in it.
    let name_end = stat.iter().rposition(|&byte| byte == b')')?;
    // It is followed by a space and field 3; `minflt` is field 10.
    let mut fields = stat[name_end + 1..].split(|&byte| byte == b' ');
    decimal(fields.nth(10 - 3 + 1)?)
}

/// What was seen of one operation, time and again.
#[derive(Default)]
pub struct Samples {
    times: heapless::Vec<u64, MAX_SAMPLES>,
    most_faults: u64,
}

impl Samples {
    /// Adds one: nanoseconds, and minor faults meanwhile. Those beyond [`MAX_SAMPLES`] are lost.
    pub fn add(&mut self, nanoseconds: u64, faults: u64) {
        let position = self.times.partition_point(|&time| time <= nanoseconds);
        if self.times.insert(position, nanoseconds).is_ok() {
            self.most_faults = self.most_faults.max(faults);
        }
    }

    /// The least time, 0 if there is no sample.
    pub fn min(&self) -> u64 {
        self.times.first().copied().unwrap_or(0)
    }

    /// The time in the middle, of an even number of samples the lesser one; 0 if there is none.
    pub fn median(&self) -> u64 {
        let middle = self.times.len().saturating_sub(1) / 2;
        self.times.get(middle).copied().unwrap_or(0)
    }

    /// The most faults in one sample.
    pub fn faults(&self) -> u64 {
        self.most_faults
    }
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `mmap()` of the whole device, shared, readable and writable.
    Mmap,
    /// The first load from each page of a new mapping.
    FirstRead,
    /// The first store to each page of a new mapping.
    FirstWrite,
    /// The same stores once more: what the loop itself costs.
    NextWrite,
    /// `munmap()` of it, when every page has been stored to.
    Munmap,
    /// `read()` from the start of the device.
    Read,
    /// `write()` to the start of the device.
    Write,
    /// `read()` into memory that nobody has touched, such as a large `malloc()` gives.
    ReadNew,
}

impl Operation {
    /// All of them, in the order of their values.
    pub const ALL: [Self; 8] = [
        Self::Mmap,
        Self::FirstRead,
        Self::FirstWrite,
        Self::NextWrite,
        Self::Munmap,
        Self::Read,
        Self::Write,
        Self::ReadNew,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Mmap => "mmap",
            Self::FirstRead => "first_read",
            Self::FirstWrite => "first_write",
            Self::NextWrite => "next_write",
            Self::Munmap => "munmap",
            Self::Read => "read",
            Self::Write => "write",
            Self::ReadNew => "read_new",
        }
    }
}

/// A device and how it is measured.
pub struct Subject<'a> {
    /// What the command line calls it.
    pub label: &'a CStr,
    /// Its node.
    pub device: &'a CStr,
    /// Its size in bytes.
    pub size: u64,
    /// Whether its bus master is cache-coherent, if the driver says so.
    pub coherent: Option<bool>,
}

/// Writes what was seen of one operation on `bytes` bytes.
pub fn report(
    out: &mut dyn Out,
    subject: &Subject<'_>,
    operation: Operation,
    bytes: u64,
    samples: &Samples,
) {
    out.text("{\"label\":").show(&Json(subject.label));
    out.text(",\"device\":").show(&Json(subject.device));
    out.text(",\"size\":").number(subject.size);
    out.text(",\"coherent\":").text(match subject.coherent {
        Some(true) => "true",
        Some(false) => "false",
        None => "null",
    });
    out.text(",\"operation\":\"").text(operation.name());
    out.text("\",\"bytes\":").number(bytes);
    out.text(",\"min_ns\":").number(samples.min());
    out.text(",\"median_ns\":").number(samples.median());
    out.text(",\"faults\":").number(samples.faults());
    out.text("}\n");
}

/// Writes what reading the clock costs; it is part of every other time.
pub fn report_clock(out: &mut dyn Out, samples: &Samples) {
    out.text("{\"operation\":\"clock\",\"min_ns\":")
        .number(samples.min());
    out.text(",\"median_ns\":").number(samples.median());
    out.text("}\n");
}

/// A string as JSON has it; what is not printable ASCII is replaced by a question mark.
struct Json<'a>(&'a CStr);

impl Show for Json<'_> {
    fn show(&self, out: &mut dyn Out) {
        out.write(b"\"");
        for &byte in self.0.to_bytes() {
            match byte {
                b'"' | b'\\' => out.write(&[b'\\', byte]),
                b' '..=b'~' => out.write(&[byte]),
                _ => out.write(b"?"),
            }
        }
        out.write(b"\"");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse<'a>(args: &[&'a CStr]) -> Vec<Result<Step<'a>, Misunderstood<'a>>> {
        Steps::new(args.iter().copied()).collect()
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
            c"--size",
            c"18446744073709551615",
            c"-",
            c"--help",
            c"--version",
        ];
        let want = [
            Ok(Step::Unload(c"faultline")),
            Ok(Step::Load(c"/a.ko", c"")),
            Ok(Step::Label(c"--size")),
            Ok(Step::Repeat(64)),
            Ok(Step::Device(c"/dev/a")),
            Ok(Step::All),
            Ok(Step::Size(u64::MAX)),
            Err(Misunderstood(c"-")),
            Ok(Step::Help),
            Ok(Step::Version),
        ];
        assert_eq!(parse(&args), want);
    }

    #[test]
    fn the_argument_to_blame_is_named() {
        for (args, blamed) in [
            (&[c"--load", c"/a.ko"][..], c"--load"),
            (&[c"--size"], c"--size"),
            (&[c"--size", c""], c""),
            (&[c"--size", c"4k"], c"4k"),
            (&[c"--size", c"-1"], c"-1"),
            (
                &[c"--size", c"18446744073709551616"],
                c"18446744073709551616",
            ),
            (&[c"--repeat", c"0"], c"0"),
            (&[c"--repeat", c"65"], c"65"),
            (&[c"--sizes", c"1"], c"--sizes"),
            (&[c""], c""),
        ] {
            assert_eq!(parse(args)[0], Err(Misunderstood(blamed)), "{args:?}");
        }
    }

    #[test]
    fn faults_are_the_tenth_field() {
        assert_eq!(
            minor_faults(b"1 (a b) R) S 4 5 6 7 8 9 1234 11\n"),
            Some(1234)
        );
        assert_eq!(minor_faults(b"1 (a) S 4 5 6 7 8 9 10 11"), Some(10));
        assert_eq!(minor_faults(b"1 (a) S 4 5 6 7 8 9"), None);
        assert_eq!(minor_faults(b"1 (a) S 4 5 6 7 8 9 x 11"), None);
        assert_eq!(minor_faults(b"1 a S 4 5 6 7 8 9 10 11"), None);
    }

    #[test]
    fn samples_are_ordered_and_bounded() {
        let mut samples = Samples::default();
        assert_eq!(
            (samples.min(), samples.median(), samples.faults()),
            (0, 0, 0)
        );
        for (time, faults) in [(30, 1), (10, 4), (20, 2)] {
            samples.add(time, faults);
        }
        assert_eq!(
            (samples.min(), samples.median(), samples.faults()),
            (10, 20, 4)
        );
        samples.add(40, 0);
        assert_eq!(samples.median(), 20);
        samples.add(5, 0);
        assert_eq!((samples.min(), samples.median()), (5, 20));
        for _ in 0..2 * MAX_SAMPLES {
            samples.add(1, 1);
        }
        assert_eq!(
            (samples.min(), samples.median(), samples.faults()),
            (1, 1, 4)
        );
    }

    #[test]
    fn a_line_of_the_report() {
        let subject = Subject {
            label: c"a \"b\\\n",
            device: c"/dev/a",
            size: 8192,
            coherent: Some(false),
        };
        let mut samples = Samples::default();
        samples.add(7, 2);
        let mut text = String::new();
        report(&mut text, &subject, Operation::Mmap, 4096, &samples);
        assert_eq!(
            text,
            "{\"label\":\"a \\\"b\\\\?\",\"device\":\"/dev/a\",\"size\":8192,\"coherent\":false,\
             \"operation\":\"mmap\",\"bytes\":4096,\"min_ns\":7,\"median_ns\":7,\"faults\":2}\n"
        );
        text.clear();
        report_clock(&mut text, &samples);
        assert_eq!(
            text,
            "{\"operation\":\"clock\",\"min_ns\":7,\"median_ns\":7}\n"
        );
    }

    #[test]
    fn operations_are_where_their_value_says() {
        for (index, operation) in Operation::ALL.into_iter().enumerate() {
            assert_eq!(operation as usize, index);
        }
    }
}
