// SPDX-License-Identifier: GPL-2.0-only

//! What a check looked at last: what was seen, and what should have been.
//!
//! Every line of the report about a check is one of these. They are put together in one place, so
//! that they read alike, and so that each of the many ways to fail costs few instructions.

use crate::device::{Fault, Signal};
use crate::errno::Errno;
use crate::text::{Note, Out, Show};

/// Why a check ended early; the finding says what was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)] // As wide as what is given otherwise, so that both go by in registers.
pub enum Stop {
    /// The property does not hold.
    Fail,
    /// The property cannot be looked at.
    Skip,
}

/// Something seen or wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// A number of bytes or things.
    Count(u64),
    /// A word, an address.
    Hex(u64),
    /// What a system call answered,
    Errno(Errno),
    /// and what it should not.
    NoError,
    /// What an access was answered by,
    Signal(Signal),
    /// and what it should not.
    NoSignal,
    /// What is wanted of a page,
    Present,
    /// and of the number of its frame.
    NotZero,
}

/// In place of an offset: none.
pub const NOWHERE: u64 = u64::MAX;

/// See the [module](self).
pub struct Finding {
    what: &'static str,
    at: u64,
    seen: Value,
    want: Value,
    /// Where a word that was seen belongs, if it is in the wrong place.
    pub home: Option<u64>,
    /// In how many pages it was not as it should be, and of how many, if all were looked at.
    pub wrong_pages: Option<(u64, u64)>,
    /// The first complaint in the kernel's log.
    pub complaint: Note<160>,
}

impl Finding {
    /// Nothing.
    pub const fn new() -> Self {
        Self {
            what: "",
            at: NOWHERE,
            seen: Value::Count(0),
            want: Value::Count(0),
            home: None,
            wrong_pages: None,
            complaint: Note::new(),
        }
    }

    /// What is seen must be what is wanted.
    #[inline(never)]
    pub fn equal(
        &mut self,
        what: &'static str,
        at: u64,
        seen: Value,
        want: Value,
    ) -> Result<(), Stop> {
        self.what = what;
        self.at = at;
        self.seen = seen;
        self.want = want;
        self.home = None;
        self.wrong_pages = None;
        if seen == want {
            Ok(())
        } else {
            Err(Stop::Fail)
        }
    }

    /// A call must give a length, or an error, and no other.
    #[inline(never)]
    pub fn answer(
        &mut self,
        what: &'static str,
        at: u64,
        seen: Result<u64, Errno>,
        want: Result<u64, Errno>,
    ) -> Result<(), Stop> {
        self.equal(what, at, seen.into(), want.into())
    }

    /// A call failed that must not.
    #[inline(never)]
    pub fn refused(&mut self, what: &'static str, errno: Errno) -> Stop {
        let _ = self.equal(what, NOWHERE, Value::Errno(errno), Value::NoError);
        Stop::Fail
    }

    /// A load must be answered by a signal.
    #[inline(never)]
    pub fn signal(
        &mut self,
        what: &'static str,
        at: u64,
        touch: Result<u8, Fault>,
        want: Signal,
    ) -> Result<(), Stop> {
        let seen = match touch {
            Ok(byte) => Value::Hex(byte.into()),
            Err(fault) => Value::Signal(fault.signal),
        };
        self.equal(what, at, seen, Value::Signal(want))
    }
}

impl Default for Finding {
    fn default() -> Self {
        Self::new()
    }
}

impl From<Result<u64, Errno>> for Value {
    fn from(answer: Result<u64, Errno>) -> Self {
        match answer {
            Ok(length) => Value::Count(length),
            Err(errno) => Value::Errno(errno),
        }
    }
}

impl Show for Value {
    fn show(&self, out: &mut dyn Out) {
        match *self {
            Value::Count(number) => out.number(number),
            Value::Hex(number) => out.hex(number),
            Value::Errno(errno) => out.show(&errno),
            Value::NoError => out.text("no error"),
            Value::Signal(signal) => out.show(&signal),
            Value::NoSignal => out.text("no signal"),
            Value::Present => out.text("a page that is present"),
            Value::NotZero => out.text("another (CAP_SYS_ADMIN)"),
        };
    }
}

impl Show for Finding {
    /// Shows it in one line.
    fn show(&self, out: &mut dyn Out) {
        out.text(self.what);
        if self.at != NOWHERE {
            out.text(" at offset ").hex(self.at);
        }
        out.text(": ").show(&self.seen);
        if let Some(home) = self.home {
            out.text(" (that of offset ").hex(home).text(")");
        }
        out.text(", want ").show(&self.want);
        if let Some((wrong, all)) = self.wrong_pages {
            out.text("; pages wrong: ").number(wrong);
            out.text(" of ").number(all);
        }
        if !self.complaint.is_empty() {
            out.text("; the first: ").show(&self.complaint);
        }
    }
}
