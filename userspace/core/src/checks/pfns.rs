// SPDX-License-Identifier: GPL-2.0-only

//! The physical address of each page, by pagemap, by the CPU's walk and by the driver.

use faultline_uapi::FLAG_CACHED;

use super::contents::Differences;
use super::context::Context;
use super::places::{pages, Way};
use super::step::Account;
use crate::device::{Device, Mapping};
use crate::errno::Errno;
use crate::failure::CallError;
use crate::finding::{about, Stop};
use crate::name;
use crate::system::System;

impl<S: System> Context<'_, S> {
    /// Each page has the same physical address by the one account as by the other. Where pagemap cannot
    /// tell of the driver's mappings, the CPU is asked in its place.
    pub(super) fn pfns(&mut self, account: Account, other: Account) -> Result<(), Stop> {
        use Account::{Driver, Pagemap, Walk};

        // The pages of a cached buffer are ordinary ones, in an ordinary VMA.
        let is_cached = self.info.flags & FLAG_CACHED != 0;
        if self.is_foreign() || is_cached || !self.system.lacks_lpae() {
            return self.compare(account, other);
        }
        let (walk, other, is_walk) = match (account, other) {
            (Pagemap(way), Pagemap(other)) => (way, Walk(other), false),
            (Pagemap(way), other) => (way, other, false),
            // With itself it always agrees.
            (Walk(way), Pagemap(_)) => (way, Driver, true),
            _ => return self.compare(account, other),
        };
        if self.lacks_selftest() {
            return Err(Stop::Skip(concat!(
                "/proc/self/pagemap does not show this VMA (VM_PFNMAP: 32-bit ARM without LPAE), and \
                 the driver was built without its self-test (",
                name::selftest_option!(),
                "), by which the CPU could be asked"
            )));
        }
        self.compare(Walk(walk), other)?;
        if is_walk {
            return Ok(());
        }
        Err(Stop::Skip(
            "/proc/self/pagemap does not show this VMA (VM_PFNMAP: 32-bit ARM without LPAE); the \
             CPU was asked instead (TRANSLATE), and its answers are right",
        ))
    }

    fn compare(&mut self, account: Account, other: Account) -> Result<(), Stop> {
        let mut differences = Differences::new(self.page);
        for at in pages(self.info.size, self.page, self.options.quick) {
            let seen = self.physical_address(account, at)?;
            let want = self.physical_address(other, at)?;
            differences.see(at, seen, want);
            self.advance(self.page);
        }
        self.judge(about("physical address"), &differences)
    }

    /// The physical address of a page.
    fn physical_address(&mut self, account: Account, at: u64) -> Result<u64, Stop> {
        match account {
            Account::Driver => match self.device.physical_address(at) {
                Err(errno @ Errno::PERM) => Err(Stop::Refused(CallError {
                    call: "FRAME (needs CAP_SYS_ADMIN)",
                    errno,
                })),
                answer => self.finding.need(about("FRAME").at(at), answer),
            },
            Account::Walk(Way::Kernel) => self.walk(Way::Kernel, at, at),
            Account::Walk(way) => {
                let address = self.touched_address(way, at)?;
                self.walk(way, at, address)
            }
            Account::Pagemap(way) => {
                let address = self.touched_address(way, at)?;
                self.pagemap(at, address)
            }
        }
    }

    /// The address of a page in a mapping. A page that nobody has touched is not there.
    fn touched_address(&mut self, way: Way, at: u64) -> Result<u64, Stop> {
        self.load(way, at, &mut [0])?;
        Ok(self.mapping(way).address() + at)
    }

    /// What pagemap says of a page of a mapping.
    fn pagemap(&mut self, at: u64, address: u64) -> Result<u64, Stop> {
        // Documentation/admin-guide/mm/pagemap.rst.
        const PRESENT: u64 = 1 << 63;
        const PFN: u64 = (1 << 55) - 1;

        let entry = self.system.pagemap(address).map_err(|errno| {
            Stop::Refused(CallError {
                call: "/proc/self/pagemap",
                errno,
            })
        })?;
        // Not so in a VMA with VM_PFNMAP, which pagemap passes over.
        let present = entry & PRESENT != 0;
        if !present && self.is_foreign() {
            return Err(Stop::Skip(
                "/proc/self/pagemap does not show this VMA (VM_PFNMAP)",
            ));
        }
        let subject = about("page present in /proc/self/pagemap").at(at);
        self.finding.same(subject, present, true)?;
        match (entry & PFN) * self.page {
            0 => Err(Stop::Skip("pagemap shows no PFN (needs CAP_SYS_ADMIN)")),
            address => Ok(address),
        }
    }
}
