// SPDX-License-Identifier: GPL-2.0-only

//! What a check can be made of, and which function makes each step.

use faultline_uapi::SYNC_END;

use super::context::Context;
use super::data::NO_PATCHES;
use super::places::{Place, Way};
use crate::device::Device;
use crate::finding::Stop;
use crate::name;
use crate::pattern::Pattern;
use crate::system::System;

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
enum Lack {
    /// The step is left out, and the rest of the check still runs.
    StepAlone,
    /// The whole check is skipped.
    Check(&'static str),
}

impl Step {
    /// How many times it goes through the whole buffer, where time matters.
    pub const fn passes(self) -> u64 {
        match self {
            Self::Put(_, Place::All, _) | Self::Get(_, Place::All, _) | Self::Pfns(..) => 1,
            Self::Bits => 2,
            Self::NoComplaint => 1,
            _ => 0,
        }
    }

    /// What a step lacks on a device of another driver, which has none of our driver's calls.
    fn lacks_driver(self) -> Option<Lack> {
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
    fn lacks_selftest(self) -> Option<Lack> {
        match self {
            Self::NoPfnPastEnd => Some(Lack::StepAlone),
            Self::KnownMemory
            | Self::Attributes(_)
            | Self::Pfns(_, Account::Driver)
            | Self::Pfns(Account::Walk(_), _)
            | Self::Able(_)
            | Self::Messages(Partner::Kernel) => Some(Lack::Check(
                "the driver was built without its self-test (CONFIG_FAULTLINE_SELFTEST)",
            )),
            _ => None,
        }
    }
}

impl<S: System> Context<'_, S> {
    /// Makes a check, by its steps.
    ///
    /// # Errors
    ///
    /// [`Stop`] says why it did not pass; if it failed, [`Context::finding`] says what was seen.
    pub fn run(&mut self, steps: &[Step]) -> Result<(), Stop> {
        let result = steps.iter().try_for_each(|step| self.step(*step));
        let result = result.and_then(|()| self.read_patches(SYNC_END));
        self.mappings = [None, None, None];
        self.patches = NO_PATCHES;
        result
    }

    fn step(&mut self, step: Step) -> Result<(), Stop> {
        let lack = if self.is_foreign() {
            step.lacks_driver()
        } else if self.lacks_selftest() {
            step.lacks_selftest()
        } else {
            None
        };
        match lack {
            None => {}
            Some(Lack::StepAlone) => return Ok(()),
            Some(Lack::Check(reason)) => return Err(Stop::Skip(reason)),
        }
        match step {
            Step::Pristine => match self.pristine(self.info.flags, true) {
                Ok(()) => Ok(()),
                Err(_) => Err(Stop::Skip("the buffer was used before")),
            },
            Step::Touched => {
                let info = self.device.info();
                let info = self.finding.need("INFO", info)?;
                self.pristine(info.flags, false)
            }
            Step::Maps => {
                self.map(Way::First)?;
                self.map(Way::Second)
            }
            Step::Map(way) => self.map(way),
            Step::Apart => self.apart(),
            Step::Put(way, place, pattern) => self.put(way, place, pattern),
            Step::Get(way, place, pattern) => self.get(way, place, pattern),
            // Those of our driver are compared by way of pagemap, which answers for them.
            Step::Pfns(Account::Walk(_), Account::Walk(_)) if !self.is_foreign() => Ok(()),
            Step::Pfns(account, other) => self.pfns(account, other),
            Step::KnownMemory => self.known_memory(),
            Step::Attributes(way) => self.attributes(way),
            Step::ReadOnly => self.read_only(),
            Step::Able(abilities) => self.able(abilities),
            Step::Writes => self.write_all(0),
            Step::Filled => self.filled(),
            Step::Copied => self.copied(),
            Step::Refused => self.refused(),
            Step::Polled => self.polled(),
            Step::SyncRefused => self.sync_refused(),
            Step::Messages(partner) => self.litmus(partner),
            Step::Bits => self.bits(),
            Step::Revoked => self.revoked(),
            Step::Unmap(way) => self.unmap(way),
            Step::Sigbus => self.sigbus(),
            Step::NoPfnPastEnd => self.no_pfn_past_end(),
            Step::NoMapPastEnd => self.no_map_past_end(),
            Step::NoComplaint => self.no_complaint(),
        }
    }
}
