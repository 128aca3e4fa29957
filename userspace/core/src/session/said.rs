// SPDX-License-Identifier: GPL-2.0-only

//! What is said of a check: what was seen, what that means, and where to read more.

use core::fmt::{self, Display};

use super::machines::Machines;
use crate::checks::catalogue::{text, Check};
use crate::finding::{Finding, Matter, Stop};
use crate::ktap::{Group, Outcome};
use crate::name;
use crate::text::Json;

/// What stands for a check of a device that cannot be opened.
pub(super) const OPEN: Check = Check {
    name: "open",
    proves: text("The device is there, and is one of the driver."),
    failure: concat!(
        "The device does not answer INFO as the interface says. Check first that the path is that of \
         a ",
        name::module!(),
        " device, and that program and driver are of one version."
    ),
    steps: &[],
};

/// What the failure of a check means whose property could not be looked at.
pub(super) const CALL_FAILED: &str =
    "A call or a task that this check needs failed, so that its property was not looked at. Check first \
    how the driver answers that call or, if it is not the driver's, what the machine lacks.";
pub(super) const ACCESS_FAILED: &str =
    "The kernel answered an access inside the buffer by a signal. Check first which offsets the \
    driver's fault handler refuses.";

/// What it means if a mapping has the right memory type, and differs in something else.
pub(super) const WRONG_ENTRY: &str =
    "The page table permits other accesses than the mapping was made for, has no entry, or does not \
    share the memory between all CPUs. Check first what the fault handler inserts: the page protection \
    is the VMA's `vm_page_prot`.";

/// What is said of a check, to people and to machines alike.
pub(super) struct Said<'a> {
    result: Result<(), Stop>,
    finding: &'a Finding,
    meaning: Meaning,
}

/// What a failure means, and where to read more.
struct Meaning {
    text: &'static str,
    anchor: &'static str,
}

impl Display for Meaning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} See docs/verdicts.md#{}.", self.text, self.anchor)
    }
}

impl<'a> Said<'a> {
    pub(super) fn of(check: &Check, result: Result<(), Stop>, finding: &'a Finding) -> Self {
        let text = match finding.matter {
            Matter::Property => check.failure,
            Matter::Call => CALL_FAILED,
            Matter::Access => ACCESS_FAILED,
            Matter::Entry => WRONG_ENTRY,
        };
        Self {
            result,
            finding,
            meaning: Meaning {
                text,
                anchor: check.name,
            },
        }
    }

    /// Writes what was seen and what it means, and the result.
    pub(super) fn report(&self, group: &mut Group<'_>, name: &dyn Display) {
        let outcome = Outcome::of(self.result);
        match self.result {
            Ok(()) => group.comment(format_args!("{name}: {}", self.finding)),
            Err(Stop::Fail) => {
                group.comment(format_args!("{name}: {}", self.finding));
                group.comment(format_args!("{name}: {}", self.meaning));
            }
            Err(_) => {}
        }
        match self.result {
            Ok(()) => group.conclude(outcome, name, &""),
            Err(stop) => group.conclude(outcome, name, &stop),
        }
    }

    /// Writes the same for machines.
    pub(super) fn tell(&self, json: &mut Machines<'_>, device: &dyn Display, name: &str) {
        let outcome = Outcome::of(self.result);
        let (device, name, result) = (Json(device), Json(name), Json(outcome));
        let start = format_args!("{{\"device\":{device},\"check\":{name},\"result\":{result}");
        match self.result {
            Ok(()) => json.tell(format_args!("{start},\"seen\":{}}}", Json(self.finding))),
            Err(Stop::Fail) => json.tell(format_args!(
                "{start},\"seen\":{},\"meaning\":{}}}",
                Json(self.finding),
                Json(&self.meaning)
            )),
            Err(stop) => json.tell(format_args!("{start},\"seen\":{}}}", Json(stop))),
        }
    }
}
