// SPDX-License-Identifier: GPL-2.0-only

//! The report for machines: one object of JSON a line.

use core::fmt::{self, Display, Write};

use crate::ktap::Counts;
use crate::text::Json;

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

    /// Writes the verdict, and whether only a part of each buffer was looked at.
    pub(super) fn tell_verdict(&mut self, counts: Counts, devices: u64, is_quick: bool) {
        let counts = CountsForMachines(counts);
        self.tell(format_args!(
            "{{\"devices\":{devices},\"quick\":{is_quick},{counts}}}"
        ));
    }
}

/// How many checks ended in which way, as members of an object of JSON.
pub(super) struct CountsForMachines(pub(super) Counts);

impl Display for CountsForMachines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts {
            passed,
            failed,
            skipped,
        } = self.0;
        let result = Json(self.0.outcome());
        write!(
            f,
            "\"pass\":{passed},\"fail\":{failed},\"skip\":{skipped},\"result\":{result}"
        )
    }
}
