// SPDX-License-Identifier: GPL-2.0-only

//! The statistics of `faultline-bench`, and its report.
//!
//! A report is JSON Lines: one object per line, nothing else.

use core::ffi::CStr;
use core::fmt::Write;

use crate::text::{Json, Printable};

/// The most samples of one operation.
pub const MAX_SAMPLES: usize = 64;

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

/// Writes what was seen of one operation on `bytes` bytes. The owner of `out` knows if something was
/// lost.
pub fn report(
    out: &mut dyn Write,
    subject: &Subject<'_>,
    operation: Operation,
    bytes: u64,
    samples: &Samples,
) {
    let label = Json(Printable(subject.label.to_bytes()));
    let device = Json(Printable(subject.device.to_bytes()));
    let size = subject.size;
    let coherent = match subject.coherent {
        Some(true) => "true",
        Some(false) => "false",
        None => "null",
    };
    let operation = Json(operation.name());
    let (least, median) = (samples.min(), samples.median());
    let faults = samples.faults();
    let _ = writeln!(
        out,
        "{{\"label\":{label},\"device\":{device},\"size\":{size},\"coherent\":{coherent},\
         \"operation\":{operation},\"bytes\":{bytes},\"min_ns\":{least},\
         \"median_ns\":{median},\"faults\":{faults}}}"
    );
}

/// Writes what reading the clock costs; it is part of every other time.
pub fn report_clock(out: &mut dyn Write, samples: &Samples) {
    let (least, median) = (samples.min(), samples.median());
    let _ = writeln!(
        out,
        "{{\"operation\":\"clock\",\"min_ns\":{least},\"median_ns\":{median}}}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

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
