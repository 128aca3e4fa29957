// SPDX-License-Identifier: GPL-2.0-only

//! Where it is decided that a check fails: [`Finding::same`] compares what was seen with what was
//! wanted, and answers with [`Stop::Fail`] if they differ.
//!
//! A [`Finding`] is the last thing that a check, or a case of the stress program, looked at. It is
//! shown as one line of the report.
//!
//! ```
//! use faultline_core::errno::Errno;
//! use faultline_core::finding::{about, Finding, Stop};
//!
//! let mut finding = Finding::NONE;
//! assert_eq!(finding.same("write() past the end", Errno::NOSPC, Errno::NOSPC), Ok(()));
//! let read = finding.same(about("read()").at(0x1000), 17_u64, 4096_u64);
//! assert_eq!(read, Err(Stop::Fail));
//! assert_eq!(finding.to_string(), "read() at offset 0x1000: 17, want 4096");
//! ```

use core::fmt;

use crate::device::{Fault, Signal};
use crate::errno::Errno;
use crate::failure::{CallError, TaskError};
use crate::memory::{Access, MemoryType, Shareability};
use crate::text::Line;

/// Why a check ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The finding says what is wrong.
    Fail,
    /// The check cannot be made here, for this reason.
    Skip(&'static str),
    /// The check cannot be made here, because this was refused, which it needs: a call, or a file by its
    /// path.
    Refused(CallError),
    /// The check was made, but the machine gave the program too little time for a verdict.
    Undecided(&'static str),
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fail => f.write_str("failed"),
            Self::Skip(reason) => f.write_str(reason),
            Self::Refused(CallError { call, errno }) => write!(f, "{call}: {errno}"),
            Self::Undecided(reason) => write!(f, "could not tell: {reason}"),
        }
    }
}

/// Something seen or wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// A call or an access succeeded, and its result does not matter.
    Success,
    /// A number that counts something: it is shown in decimal.
    Count(u64),
    /// A number that does not: the contents of memory, an address, flags. It is shown in
    /// hexadecimal.
    Word(u64),
    /// Nothing came, for too long.
    Nothing,
    /// Whether something is so.
    Is(bool),
    /// A call failed.
    Errno(Errno),
    /// An access was answered by a signal.
    Signal(Signal),
    /// The memory type of a mapping.
    Memory(MemoryType),
    /// How a mapping can be accessed.
    Access(Access),
    /// Between which CPUs and devices the memory of a mapping is shared.
    Shareability(Shareability),
    /// A process ended with a status.
    Exit(i32),
    /// A process was killed by a signal of this number.
    Killed(i32),
    /// A process has not ended, or it waits where it must not.
    Running,
    /// A process was not started.
    NotStarted,
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Success => f.write_str("success"),
            Self::Nothing => f.write_str("nothing"),
            Self::Count(count) => write!(f, "{count}"),
            Self::Word(word) => write!(f, "{word:#x}"),
            Self::Is(true) => f.write_str("yes"),
            Self::Is(false) => f.write_str("no"),
            Self::Errno(errno) => write!(f, "{errno}"),
            Self::Signal(signal) => write!(f, "{signal}"),
            Self::Memory(memory) => write!(f, "{memory}"),
            Self::Access(access) => write!(f, "{access}"),
            Self::Shareability(shareability) => write!(f, "{shareability}"),
            Self::Exit(status) => write!(f, "exit status {status}"),
            Self::Killed(signal) => write!(f, "killed by signal {signal}"),
            Self::Running => f.write_str("still running"),
            Self::NotStarted => f.write_str("not started"),
        }
    }
}

impl From<u64> for Value {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl From<bool> for Value {
    fn from(is: bool) -> Self {
        Self::Is(is)
    }
}

impl From<Errno> for Value {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<Signal> for Value {
    fn from(signal: Signal) -> Self {
        Self::Signal(signal)
    }
}

impl From<MemoryType> for Value {
    fn from(memory: MemoryType) -> Self {
        Self::Memory(memory)
    }
}

impl From<()> for Value {
    fn from((): ()) -> Self {
        Self::Success
    }
}

impl<T: Into<Value>> From<Result<T, Errno>> for Value {
    fn from(result: Result<T, Errno>) -> Self {
        result.map_or_else(Self::Errno, T::into)
    }
}

impl<T: Into<Value>> From<Result<T, Fault>> for Value {
    fn from(result: Result<T, Fault>) -> Self {
        result.map_or_else(|fault| Self::Signal(fault.signal), T::into)
    }
}

/// What a finding is about: [`about`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject {
    what: &'static str,
    of: Option<&'static str>,
    at: Option<u64>,
}

/// Begins a [`Subject`].
pub const fn about(what: &'static str) -> Subject {
    Subject {
        what,
        of: None,
        at: None,
    }
}

impl Subject {
    /// Says whose it is, or by what: it is shown after the rest.
    pub const fn of(mut self, whose: &'static str) -> Self {
        self.of = Some(whose);
        self
    }

    /// Says the offset in the buffer.
    pub const fn at(mut self, offset: u64) -> Self {
        self.at = Some(offset);
        self
    }
}

impl From<&'static str> for Subject {
    fn from(what: &'static str) -> Self {
        about(what)
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)?;
        if let Some(whose) = self.of {
            write!(f, " {whose}")?;
        }
        if let Some(offset) = self.at {
            write!(f, " at offset {offset:#x}")?;
        }
        Ok(())
    }
}

/// What was counted, such as pages, and in how many of them it was not as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// What was counted, in the plural.
    pub unit: &'static str,
    /// How many were wrong.
    pub wrong: u64,
    /// How many there were.
    pub all: u64,
}

/// What kind of thing went wrong: a check that could not look at its property says so, instead of
/// what the failure of the property would mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matter {
    /// The property itself.
    Property,
    /// What else than the memory type the page table's entry says: which accesses it permits, and the
    /// shareability.
    Entry,
    /// A call that the check needs to look at it, or a task.
    Call,
    /// An access to a mapping, inside the buffer.
    Access,
}

/// See the [module](self).
#[derive(Clone)]
pub struct Finding {
    subject: Subject,
    seen: Value,
    want: Value,
    /// What kind of thing this is about.
    pub matter: Matter,
    /// Where a word that was seen belongs, if it is in the wrong place.
    pub belongs_at: Option<u64>,
    /// In how many places it was looked for.
    pub count: Option<Count>,
    /// The first complaint in the kernel's log.
    pub complaint: Option<Line>,
}

impl Finding {
    /// Nothing was looked at.
    pub const NONE: Self = Self::new(about("nothing"), Value::Success, Value::Success);

    const fn new(subject: Subject, seen: Value, want: Value) -> Self {
        Self {
            subject,
            seen,
            want,
            matter: Matter::Property,
            belongs_at: None,
            count: None,
            complaint: None,
        }
    }

    /// Takes note of what was seen, which must be what is wanted.
    ///
    /// # Errors
    ///
    /// [`Stop::Fail`] if it is not.
    pub fn same(
        &mut self,
        subject: impl Into<Subject>,
        seen: impl Into<Value>,
        want: impl Into<Value>,
    ) -> Result<(), Stop> {
        self.compare(subject.into(), seen.into(), want.into())
    }

    // Not inlined: a hundred callers would each have a copy, a tenth of the program.
    #[inline(never)]
    fn compare(&mut self, subject: Subject, seen: Value, want: Value) -> Result<(), Stop> {
        *self = Self::new(subject, seen, want);
        // A call that was to succeed says nothing of what it was to show.
        if matches!(
            (seen, want),
            (Value::Errno(_), Value::Success | Value::Count(_))
        ) {
            self.matter = Matter::Call;
        }
        if seen == want {
            Ok(())
        } else {
            Err(Stop::Fail)
        }
    }

    // As above.
    #[inline(never)]
    fn refuse(&mut self, call: Subject, seen: Value) -> Stop {
        *self = Self::new(call, seen, Value::Success);
        self.matter = Matter::Call;
        Stop::Fail
    }

    /// Takes note of a call without which the check cannot go on, and gives its result.
    ///
    /// # Errors
    ///
    /// [`Stop::Fail`] if the call failed.
    pub fn need<T, E>(&mut self, call: impl Into<Subject>, result: Result<T, E>) -> Result<T, Stop>
    where
        Value: From<Result<(), E>>,
    {
        result.map_err(|error| self.refuse(call.into(), Err(error).into()))
    }

    /// Takes note of an access to a mapping, inside the buffer, and gives its result.
    ///
    /// # Errors
    ///
    /// [`Stop::Fail`] if the access was answered by a signal.
    pub fn access<T>(
        &mut self,
        access: impl Into<Subject>,
        result: Result<T, Fault>,
    ) -> Result<T, Stop> {
        let result = self.need(access, result);
        if result.is_err() {
            self.matter = Matter::Access;
        }
        result
    }

    /// Takes note of a task that worked beside this one, and gives the result.
    ///
    /// # Errors
    ///
    /// [`Stop::Fail`] if the task could not be started, or did not come to its end.
    pub fn task<T>(&mut self, result: Result<T, TaskError>) -> Result<T, Stop> {
        result.map_err(|error| match error {
            TaskError::Start(CallError { call, errno }) => self.refuse(about(call), errno.into()),
            TaskError::Call(CallError { call, errno }) => {
                self.refuse(about(call).of("by another task"), errno.into())
            }
            TaskError::Killed(signal) => self.refuse(about("another task"), Value::Killed(signal)),
        })
    }

    /// Takes note of a call that names itself, without which the check cannot go on, and gives its
    /// result.
    ///
    /// # Errors
    ///
    /// [`Stop::Fail`] if the call failed.
    pub fn called<T>(&mut self, result: Result<T, CallError>) -> Result<T, Stop> {
        self.task(result.map_err(TaskError::Start))
    }

    /// Compares as [`Finding::same`] does; a difference is of this kind.
    ///
    /// # Errors
    ///
    /// [`Stop::Fail`] if there is one.
    pub fn same_in(
        &mut self,
        matter: Matter,
        subject: Subject,
        seen: Value,
        want: Value,
    ) -> Result<(), Stop> {
        let result = self.compare(subject, seen, want);
        self.matter = matter;
        result
    }
}

impl fmt::Display for Finding {
    /// Shows it in one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            subject,
            seen,
            want,
            ..
        } = self;
        write!(f, "{subject}: {seen}")?;
        if let Some(offset) = self.belongs_at {
            write!(f, " (which belongs at offset {offset:#x})")?;
        }
        write!(f, ", want {want}")?;
        if let Some(Count { unit, wrong, all }) = self.count {
            write!(f, "; {unit} wrong: {wrong} of {all}")?;
        }
        if let Some(complaint) = &self.complaint {
            write!(f, "; the first: {complaint}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
