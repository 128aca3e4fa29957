// SPDX-License-Identifier: GPL-2.0-only

//! Makes a check: which function makes each step, and which steps a device lacks.

use faultline_uapi::SYNC_END;

use super::catalogue::{Check, CHECKS};
use super::context::Context;
use super::data::NO_PATCHES;
use super::places::{self, Way};
use super::step::{Account, Lack, Step};
use crate::device::Device;
use crate::finding::Stop;
use crate::progress;
use crate::system::System;
use crate::text::Printable;

impl<'s, S: System> Context<'s, S> {
    /// Begins the checks of the device, for [`Context::run`] to show how far they are.
    pub fn begin_checks(&mut self, device: Printable<'s>) {
        let passes: u64 = CHECKS.iter().map(|check| self.passes(check)).sum();
        let work = passes * self.extent();
        let now = self.system.milliseconds();
        self.progress.begin(device, CHECKS.len() as u64, work, now);
    }

    /// Makes a check, the one of this number, by its steps.
    ///
    /// # Errors
    ///
    /// [`Stop`] says why it did not pass; if it failed, [`Context::finding`] says what was seen.
    pub fn run(&mut self, number: u64, check: &Check) -> Result<(), Stop> {
        self.progress.begin_check(progress::Check {
            number,
            name: check.name,
            work: self.passes(check) * self.extent(),
        });
        let now = self.system.milliseconds();
        self.progress.show(now);
        let result = check.steps.iter().try_for_each(|step| self.step(*step));
        let result = result.and_then(|()| self.read_patches(SYNC_END));
        self.progress.end_check();
        self.mappings = [None, None, None];
        self.patches = NO_PATCHES;
        result
    }

    fn passes(&self, check: &Check) -> u64 {
        let steps = check.steps.iter();
        steps.map(|step| step.passes(self.options.long)).sum()
    }

    /// How many bytes of the buffer are looked at.
    fn extent(&self) -> u64 {
        places::extent(self.info.size, self.page, self.options.quick)
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
