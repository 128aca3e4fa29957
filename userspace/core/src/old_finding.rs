// SPDX-License-Identifier: GPL-2.0-only

//! What a check looked at last: what was seen, and what should have been.
//!
//! Every line of the report about a check is one of these. They are put together in one place, so
//! that they read alike, and so that each of the many ways to fail costs few instructions.

use crate::device::{Fault, Signal};
use crate::errno::Errno;
use crate::text::{nth_line, Line, Out, Show};

/// Why a check ended early; the finding says what was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)] // As wide as what is given otherwise, so that both go by in registers; zero is success.
pub enum Stop {
    /// The property does not hold.
    Fail = 1,
    /// The property cannot be looked at.
    Skip,
    /// The property was looked at, but the machine gave the program too little time for a verdict.
    Unknown,
}

/// Something seen or wanted, in one register as the kernel puts what a call answers: a number or,
/// as one of the highest, what there is in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value(u64);

const MAX_ERRNO: u64 = 4095;

/// What there is in place of a number, beside errors.
const WORDS: &[u8] = b"\
    no signal\n\
    SIGBUS\n\
    SIGSEGV\n\
    no error\n\
    Normal write-back\n\
    Normal non-cacheable\n\
    Device-nGnRnE\n\
    Device-nGnRE\n\
    Device-nGRE\n\
    Device-GRE\n\
    unknown\n";

impl Value {
    /// None.
    pub const ZERO: Self = Self(0);
    /// What an access is answered by that succeeds,
    pub const NO_SIGNAL: Self = Self::word(0);
    /// and what a system call should be, if the result does not matter.
    pub const NO_ERROR: Self = Self::word(3);
    /// The memory of a coherent device, and of everything that is only memory;
    pub const WRITE_BACK: Self = Self::word(4);
    /// that of a device that is not coherent;
    pub const NON_CACHEABLE: Self = Self::word(5);
    /// and the first of those that are for registers.
    pub const DEVICE: Self = Self::word(6);

    /// The register.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// A memory type that nobody has told.
    pub const UNKNOWN: Self = Self::word(10);

    const fn word(index: u64) -> Self {
        Self(!(MAX_ERRNO + index))
    }

    /// Memory types that a mapping can be meant to have.
    pub const TYPES: [Self; 3] = [Self::WRITE_BACK, Self::NON_CACHEABLE, Self::DEVICE];

    /// Whether it is zero, or an error.
    pub fn is_none(self) -> bool {
        self.0 == 0 || self.0 > !MAX_ERRNO
    }

    /// Whether it is a memory type for registers, any of them.
    pub fn is_device(self) -> bool {
        // In descending order.
        (Self::word(9).0..=Self::DEVICE.0).contains(&self.0)
    }

    /// A memory type, as a byte of `MAIR_EL1` says it; one that Linux does not use stays a number.
    pub fn memory_type(attribute: u8) -> Self {
        match attribute {
            // The second has tags beside (MTE): as what the kernel itself maps memory, if it can.
            0xff | 0xf0 => Self::WRITE_BACK,
            0x44 => Self::NON_CACHEABLE,
            0x00 | 0x04 | 0x08 | 0x0c => Self::word(6 + u64::from(attribute / 4)),
            other => u32::from(other).into(),
        }
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self(number.into())
    }
}

impl From<Errno> for Value {
    fn from(errno: Errno) -> Self {
        Self(errno.number().wrapping_neg())
    }
}

impl From<Signal> for Value {
    fn from(signal: Signal) -> Self {
        Self::word(match signal {
            Signal::Bus => 1,
            Signal::Segv => 2,
        })
    }
}

impl From<Result<(), Fault>> for Value {
    fn from(access: Result<(), Fault>) -> Self {
        access.map_or_else(|fault| fault.signal.into(), |()| Self::NO_SIGNAL)
    }
}

impl From<Result<u64, Errno>> for Value {
    fn from(answer: Result<u64, Errno>) -> Self {
        answer.map_or_else(Self::from, Self::from)
    }
}

impl Show for Value {
    fn show(&self, out: &mut dyn Out) {
        // From 0 on, in descending order, what is no number.
        let index = !self.0;
        if index < MAX_ERRNO {
            Errno::new(index + 1).show(out);
            return;
        }
        let word = nth_line(WORDS, index.saturating_sub(MAX_ERRNO) as usize);
        if index >= MAX_ERRNO && !word.is_empty() {
            out.write(word);
        } else {
            out.number(self.0);
        }
    }
}

/// In place of an offset: none.
pub const NOWHERE: u64 = u64::MAX;

/// See the [module](self).
pub struct Finding {
    what: &'static str,
    /// Whose that is, if there are several.
    pub whose: &'static [u8],
    /// The offset in the buffer that it is about, or [`NOWHERE`].
    pub at: u64,
    seen: Value,
    want: Value,
    /// Any number is but a number, and is shown in hexadecimal.
    words: bool,
    /// Where a word that was seen belongs, if it is in the wrong place; else [`NOWHERE`].
    pub home: u64,
    /// What was counted, such as pages,
    pub unit: &'static str,
    /// in how many of them it was not as it should be,
    pub wrong: u64,
    /// and of how many: of none if they were not.
    pub of: u64,
    /// The first complaint in the kernel's log.
    pub complaint: Line,
}

impl Finding {
    /// Nothing.
    pub const fn new() -> Self {
        Self {
            what: "",
            whose: b"",
            at: NOWHERE,
            seen: Value(0),
            want: Value(0),
            words: false,
            home: NOWHERE,
            unit: "",
            wrong: 0,
            of: 0,
            complaint: Line::new(),
        }
    }

    /// What is seen must be what is wanted.
    ///
    /// What somebody may have chosen at will, such as the contents of memory, is for
    /// [`Finding::word`]: among numbers the highest would be taken for errors.
    pub fn equal(
        &mut self,
        what: &'static str,
        at: u64,
        seen: impl Into<Value>,
        want: impl Into<Value>,
    ) -> Result<(), Stop> {
        self.compare(what, at, seen.into(), want.into())
    }

    #[inline(never)]
    fn compare(
        &mut self,
        what: &'static str,
        at: u64,
        seen: Value,
        want: Value,
    ) -> Result<(), Stop> {
        self.what = what;
        self.whose = b"";
        self.at = at;
        self.seen = seen;
        self.want = want;
        self.words = false;
        self.home = NOWHERE;
        self.of = 0;
        if seen == want {
            Ok(())
        } else {
            Err(Stop::Fail)
        }
    }

    /// So must the contents of memory, or an address.
    pub fn word(&mut self, what: &'static str, at: u64, seen: u64, want: u64) -> Result<(), Stop> {
        let result = self.equal(what, at, seen, want);
        self.words = true;
        result
    }

    /// A call failed that must not.
    #[inline(never)]
    pub fn refused(&mut self, what: &'static str, errno: Errno) -> Stop {
        let _ = self.equal(what, NOWHERE, errno, Value::NO_ERROR);
        Stop::Fail
    }

    /// Nothing was wrong, in so many of what was counted.
    pub fn count(&mut self, unit: &'static str, of: u64) {
        self.unit = unit;
        self.wrong = 0;
        self.of = of;
    }

    fn value(&self, out: &mut dyn Out, value: Value) {
        if self.words {
            out.hex(value.0);
        } else {
            value.show(out);
        }
    }
}

impl Default for Finding {
    fn default() -> Self {
        Self::new()
    }
}

impl Show for Finding {
    /// Shows it in one line.
    fn show(&self, out: &mut dyn Out) {
        out.text(self.what).write(self.whose);
        if self.at != NOWHERE {
            out.form(" at offset &", &[self.at]);
        }
        self.value(out.text(": "), self.seen);
        if self.home != NOWHERE {
            out.form(" (that of offset &)", &[self.home]);
        }
        self.value(out.text(", want "), self.want);
        if self.of != 0 {
            let out = out.text("; ").text(self.unit);
            out.form(" wrong: % of %", &[self.wrong, self.of]);
        }
        if !self.complaint.is_empty() {
            out.text("; the first: ").show(&self.complaint);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::shown;

    #[test]
    fn each_kind_of_value_is_shown_as_what_it_is() {
        for (value, text) in [
            (Value::from(0_u64), "0"),
            (Value::from(u64::MAX >> 1), "9223372036854775807"),
            (Value::from(Ok(4096)), "4096"),
            (Value::from(Err(Errno::PERM)), "EPERM"),
            (Value::from(Errno::new(MAX_ERRNO)), "errno 4095"),
            (Value::from(Signal::Bus), "SIGBUS"),
            (Value::from(Signal::Segv), "SIGSEGV"),
            (Value::from(Ok::<(), Fault>(())), "no signal"),
            (Value::NO_ERROR, "no error"),
            (Value::memory_type(0xff), "Normal write-back"),
            (Value::memory_type(0xf0), "Normal write-back"),
            (Value::memory_type(0x44), "Normal non-cacheable"),
            (Value::memory_type(0), "Device-nGnRnE"),
            (Value::memory_type(0x0c), "Device-GRE"),
            (Value::memory_type(0xbb), "187"),
        ] {
            assert_eq!(shown(&value), text);
            assert_eq!(value.is_device(), text.starts_with("Device"));
        }
    }

    #[test]
    fn a_word_is_never_taken_for_anything_else() {
        let mut finding = Finding::new();
        assert_eq!(finding.word("word", 8, u64::MAX, 0), Err(Stop::Fail));
        let want = "word at offset 0x8: 0xffffffffffffffff, want 0x0";
        assert_eq!(shown(&finding), want);
    }
}
