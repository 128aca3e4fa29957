// SPDX-License-Identifier: GPL-2.0-only

//! What a check can be made of.

use super::bits::LONG_PASSES;
use super::places::{Place, Way};
use crate::name;
use crate::pattern::Pattern;

/// A step of a check.
#[derive(Clone, Copy)]
pub enum Step {
    /// The driver says that nobody has touched the buffer; else the check is skipped.
    Pristine,
    /// The driver says so no longer.
    Touched,
    /// Maps the whole buffer twice.
    Maps,
    /// Maps it once.
    Map(Way),
    /// The first two mappings can be touched, and do not overlap.
    Apart,
    /// Puts a pattern there.
    Put(Way, Place, Pattern),
    /// Looks for the pattern there.
    Get(Way, Place, Pattern),
    /// Each page has the same physical address by the one account as by the other.
    Pfns(Account, Account),
    /// TRANSLATE is right of memory of the program's own, and refuses what it does not know.
    KnownMemory,
    /// The memory type of a mapping is the one that the device's coherency demands.
    Attributes(Way),
    /// A mapping to be read is not writable.
    ReadOnly,
    /// There is a bus master with these abilities; else the check is skipped.
    Able(u32),
    /// What follows is written to the whole buffer, until the bus master accesses it: said to the
    /// driver if the buffer is cached.
    Writes,
    /// The bus master writes its data to some places: [`Step::Get`] then looks for that, too.
    Filled,
    /// The bus master copies data from some places to others: [`Step::Get`] then looks for that, too.
    Copied,
    /// The bus master refuses what makes no sense.
    Refused,
    /// The bus master writes to where another task is looking.
    Polled,
    /// SYNC refuses what makes no sense.
    SyncRefused,
    /// Messages are passed to another CPU and back.
    Messages(Partner),
    /// Single bits walk through all of the buffer.
    Bits,
    /// The device is unbound and bound again.
    Revoked,
    /// Unmaps; the addresses then answer by SIGSEGV.
    Unmap(Way),
    /// A SIGBUS is caught, of a mapping that is sure to give one.
    Sigbus,
    /// FRAME refuses an offset past the end.
    NoPfnPastEnd,
    /// So does `mmap`, or a touch is answered by SIGBUS.
    NoMapPastEnd,
    /// Zeroes the buffer, so that nobody takes a test's data for their own; then the kernel's log
    /// has no complaint.
    NoComplaint,
}

/// Who says where a page lies.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Account {
    /// `/proc/self/pagemap`, of a mapping.
    Pagemap(Way),
    /// The CPU, of a mapping or of the kernel's.
    Walk(Way),
    /// The driver, by FRAME.
    Driver,
}

/// With whom messages are exchanged.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Partner {
    /// A thread of the kernel.
    Kernel,
    /// A task of this program.
    Task,
}

/// What becomes of a step on a device that lacks what the step needs.
pub(super) enum Lack {
    /// The step is left out, and the rest of the check still runs.
    StepAlone,
    /// The whole check is skipped.
    Check(&'static str),
}

impl Step {
    /// How many times it goes through the whole buffer, where time matters; with `--long`, or without.
    pub const fn passes(self, is_long: bool) -> u64 {
        match self {
            Self::Put(_, Place::All, _) | Self::Get(_, Place::All, _) | Self::Pfns(..) => 1,
            Self::Bits if is_long => LONG_PASSES,
            Self::Bits => 2,
            Self::NoComplaint => 1,
            _ => 0,
        }
    }

    /// What a step lacks on a device of another driver, which has none of our driver's calls.
    pub(super) fn lacks_driver(self) -> Option<Lack> {
        match self {
            Self::NoPfnPastEnd | Self::Pfns(Account::Walk(_), Account::Driver) => {
                Some(Lack::StepAlone)
            }
            Self::Pristine
            | Self::Pfns(_, Account::Driver)
            | Self::Attributes(Way::Kernel)
            | Self::Able(_)
            | Self::SyncRefused
            | Self::Messages(Partner::Kernel) => Some(Lack::Check(concat!(
                "a foreign device: this takes a call that only the ",
                name::module!(),
                " driver has"
            ))),
            _ => None,
        }
    }

    /// What a step lacks on a driver that was built without its self-test.
    pub(super) fn lacks_selftest(self) -> Option<Lack> {
        match self {
            Self::NoPfnPastEnd => Some(Lack::StepAlone),
            Self::KnownMemory
            | Self::Attributes(_)
            | Self::Pfns(_, Account::Driver)
            | Self::Pfns(Account::Walk(_), _)
            | Self::Able(_)
            | Self::Messages(Partner::Kernel) => Some(Lack::Check(concat!(
                "the driver was built without its self-test (",
                name::selftest_option!(),
                ")"
            ))),
            _ => None,
        }
    }
}
