// SPDX-License-Identifier: GPL-2.0-only

//! Each lie is caught by exactly the checks that look at what it is about.

use core::ffi::CStr;

use super::catalogue::{Check, CHECKS};
use super::context::Context;
use crate::args::verify::Options;
use crate::errno::Errno;
use crate::fake::{Lie, Machine, FOREIGN, PAGE};
use crate::finding::{Finding, Stop};
use crate::memory::{DeviceMemory, MemoryType};
use crate::pattern::Pattern;

mod cached;
mod foreign;
mod lies;
mod texts;

/// What the checks of one device came to, by name.
struct Run {
    results: Vec<(&'static str, Result<(), Stop>, String)>,
    machine: Machine,
}

impl Run {
    fn new(pages: u64, lie: Option<Lie>) -> Self {
        Self::of(c"/dev/faultline0", &OURS, pages, lie)
    }

    /// Another driver's device, whose kernel's mapping was told to be of this type.
    fn foreign(kernel: Option<MemoryType>, lie: Option<Lie>) -> Self {
        let options = Options {
            foreign: true,
            size: 4 * PAGE,
            kernel,
            witness: c"/dev/faultline0",
            ..Options::NONE
        };
        Self::of(FOREIGN, &options, 4, lie)
    }

    fn of(path: &CStr, options: &Options<'_>, pages: u64, lie: Option<Lie>) -> Self {
        let mut machine = Machine::new(pages, lie);
        let mut finding = Finding::NONE;
        let mut context = Context::open(&mut machine, path, options, &mut finding, None).unwrap();
        let results = CHECKS
            .iter()
            .map(|check| {
                let result = context.run(1, check);
                let said = match result {
                    Ok(()) | Err(Stop::Fail) => context.finding().to_string(),
                    Err(stop) => stop.to_string(),
                };
                (check.name, result, said)
            })
            .collect();
        Self { results, machine }
    }

    fn that(&self, is_so: impl Fn(Result<(), Stop>) -> bool) -> Vec<&'static str> {
        let runs = self.results.iter().filter(|run| is_so(run.1));
        runs.map(|run| run.0).collect()
    }

    fn passed(&self) -> Vec<&'static str> {
        self.that(|result| result.is_ok())
    }

    fn failed(&self) -> Vec<&'static str> {
        self.that(|result| result == Err(Stop::Fail))
    }

    fn skipped(&self) -> Vec<&'static str> {
        self.that(|result| matches!(result, Err(Stop::Skip(_) | Stop::Refused(_))))
    }

    fn undecided(&self) -> Vec<&'static str> {
        self.that(|result| matches!(result, Err(Stop::Undecided(_))))
    }

    fn note(&self, check: &str) -> &str {
        &self.results.iter().find(|run| run.0 == check).unwrap().2
    }
}

const DEVICE: MemoryType = MemoryType::Device(DeviceMemory::NGnRnE);

const OURS: Options<'static> = Options {
    may_unbind: true,
    ..Options::NONE
};

/// Of four pages: with fewer some lies are none.
fn failed(lie: Lie) -> Vec<&'static str> {
    let run = Run::new(4, Some(lie));
    assert!(run.skipped().is_empty(), "{lie:?}");
    run.failed()
}

#[test]
fn an_honest_device_passes_every_check() {
    for pages in [1, 2, 3, 16, 513] {
        let run = Run::new(pages, None);
        assert_eq!(run.passed().len(), CHECKS.len(), "{pages} pages");
        assert!(
            run.machine.buffer().iter().all(|&byte| byte == 0),
            "the buffer is left zeroed"
        );
    }
}

#[test]
fn a_refused_mmap_fails_all_but_the_log() {
    let run = Run::new(4, Some(Lie::MapRefused(Errno::AGAIN)));
    assert_eq!(
        run.passed(),
        [
            "translate_known",
            "attribute_kernel",
            "sync_refuses",
            "kernel_log"
        ]
    );
    assert_eq!(
        run.note("zeroed"),
        "mmap() of the buffer: EAGAIN, want success"
    );
}

#[test]
fn a_missing_page_is_survived() {
    // Every check that touches that page fails, and says where.
    for page in 0..4 {
        let run = Run::new(4, Some(Lie::PageIsMissing(page)));
        for check in [
            "zeroed",
            "alias_write",
            "pagemap_same",
            "store_read",
            "write_load",
        ] {
            assert!(run.failed().contains(&check), "{check}, page {page}");
        }
        let want = format!(
            "access to the first mapping at offset {:#x}: SIGBUS, want success",
            page * PAGE
        );
        assert!(
            run.note("zeroed").starts_with(&want),
            "{}",
            run.note("zeroed")
        );
    }
    assert!(Run::new(4, Some(Lie::PageVanishesAfterStore(2)))
        .failed()
        .contains(&"alias_write"));
}

#[test]
fn an_overlap_is_no_second_mapping() {
    assert!(Run::new(4, Some(Lie::Overlap))
        .failed()
        .contains(&"two_mappings"));
}

#[test]
fn sigbus_in_place_of_a_refusal_passes() {
    let run = Run::new(4, Some(Lie::MapPastEndSigbus));
    assert!(run.failed().is_empty());
}

#[test]
fn what_is_no_complaint_passes() {
    for record in [
        "5,3,3,-;a notice",
        "12,3,3,-;a daemon's warning",
        "6,3,3,-;fine",
    ] {
        assert!(failed(Lie::Log(record)).is_empty(), "{record}");
    }
}

#[test]
fn a_device_that_describes_itself_impossibly_is_not_checked() {
    for lie in [
        Lie::InfoFails(Errno::NOTTY),
        Lie::InfoSize(0),
        Lie::InfoSize(PAGE + 1),
        Lie::InfoReserved(1),
    ] {
        assert!(opens(lie).is_err(), "{lie:?}");
    }
}

fn opens(lie: Lie) -> Result<(), Stop> {
    let mut machine = Machine::new(4, Some(lie));
    let mut finding = Finding::NONE;
    Context::open(&mut machine, c"/dev/faultline0", &OURS, &mut finding, None).map(drop)
}
