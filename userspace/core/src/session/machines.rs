// SPDX-License-Identifier: GPL-2.0-only

//! The report for machines: one object of JSON a line.

use core::fmt::{self, Write};

use crate::ktap::Counts;

/// Where the report is written for machines, if it is.
pub(super) struct Machines<'a>(pub(super) Option<&'a mut dyn Write>);

impl Machines<'_> {
    /// Writes a line.
    pub(super) fn tell(&mut self, line: fmt::Arguments<'_>) {
        if let Some(json) = &mut self.0 {
            // Its owner knows if something was lost.
            let _ = writeln!(json, "{line}");
        }
    }

    /// Writes the verdict.
    pub(super) fn tell_counts(&mut self, counts: Counts, devices: u64) {
        let counts = counts.for_machines();
        self.tell(format_args!("{{\"devices\":{devices},{counts}}}"));
    }
}
