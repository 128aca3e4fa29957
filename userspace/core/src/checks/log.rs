// SPDX-License-Identifier: GPL-2.0-only

//! What the kernel has to complain of.

use core::fmt::Write;

use super::context::Context;
use super::places::{Place, Way};
use crate::errno::Errno;
use crate::failure::CallError;
use crate::finding::Stop;
use crate::kmsg::complaint;
use crate::pattern::Pattern;
use crate::system::System;
use crate::text::{Line, Printable};

/// The most that a record of the kernel's log takes (`PRINTK_MESSAGE_MAX`).
const RECORD: usize = 2048;

/// Records are read until there are none, but a kernel that never stops complaining must not
/// keep the verdict from being given.
const MOST_RECORDS: u32 = 100_000;

impl<S: System> Context<'_, S> {
    /// Zeroes the buffer; then the kernel's log has no complaint.
    pub(super) fn no_complaint(&mut self) -> Result<(), Stop> {
        // That storing works has been judged by now, whatever came out.
        let _ = self
            .map(Way::First)
            .and_then(|()| self.put(Way::First, Place::All, Pattern::ZERO));
        let mut buffer = [0; RECORD];
        let mut first: Option<Line> = None;
        let mut complaints = 0_u64;
        let mut has_lost = false;
        for _ in 0..MOST_RECORDS {
            match self.system.log_record(&mut buffer) {
                Ok(length) => {
                    if let Some(text) = complaint(&buffer[..length]) {
                        complaints += 1;
                        first.get_or_insert_with(|| {
                            let mut line = Line::new();
                            // A note takes whatever fits.
                            let _ = write!(line, "{}", Printable(text));
                            line
                        });
                    }
                }
                Err(Errno::AGAIN) => break,
                Err(Errno::PIPE) => has_lost = true,
                Err(errno) => {
                    return Err(Stop::Refused(CallError {
                        call: "/dev/kmsg",
                        errno,
                    }))
                }
            }
        }
        if complaints == 0 && has_lost {
            return Err(Stop::Skip(
                "records of the kernel's log were overwritten before they could be read",
            ));
        }
        let what = "warnings or worse in /dev/kmsg";
        let result = self.finding.same(what, complaints, 0_u64);
        self.finding.complaint = first;
        result
    }
}
