// SPDX-License-Identifier: GPL-2.0-only

//! Each lie is caught by exactly the checks that look at what it is about.

use core::ffi::CStr;

use super::catalogue::{Check, CHECKS};
use super::context::Context;
use crate::args::verify::Options;
use crate::errno::Errno;
use crate::fake::{Lie, Machine, FOREIGN, PAGE};
use crate::finding::{DeviceMemory, Finding, MemoryType, Stop};
use crate::pattern::Pattern;

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
        let mut context = Context::open(&mut machine, path, options, &mut finding).unwrap();
        let results = CHECKS
            .iter()
            .map(|check| {
                let result = context.run(check.steps);
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
        self.that(|result| matches!(result, Err(Stop::Skip(_) | Stop::Refused { .. })))
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
fn every_check_can_fail_alone() {
    let alone: Vec<_> = LIES
        .iter()
        .filter(|lie| lie.1.len() == 1)
        .map(|lie| lie.1[0])
        .collect();
    for Check { name, .. } in CHECKS {
        assert!(alone.contains(name), "no lie makes {name} fail alone");
    }
}

/// Lies, and the checks that must fail.
const LIES: &[(Lie, &[&str])] = &[
    (Lie::NotZeroed(0), &["zeroed"]),
    (Lie::NotZeroed(2 * PAGE + 9), &["zeroed"]),
    (Lie::NotZeroed(4 * PAGE - 1), &["zeroed"]),
    (Lie::PristineForEver, &["zeroed"]),
    (Lie::InfoFailsLater(Errno::NODEV), &["zeroed", "revoked"]),
    //
    (Lie::SameAddress, &["two_mappings"]),
    //
    (Lie::PrivateCopyOfSecond, &["alias_write"]),
    (
        Lie::PrivateCopy,
        &[
            "alias_write",
            "store_read",
            "last_byte",
            "master_fill",
            "master_copy",
            "master_polled",
            "litmus_kernel",
            "litmus_user",
            "bits",
            "munmap",
            "revoked",
        ],
    ),
    (
        Lie::SecondIsACopy,
        &[
            "alias_write",
            "write_load",
            "last_byte",
            "master_fill",
            "master_copy",
            "bits",
        ],
    ),
    (
        Lie::OneFrame,
        &[
            "alias_write",
            "pagemap_kernel",
            "store_read",
            "write_load",
            "master_fill",
            "master_copy",
            "master_refuses",
            "master_polled",
            "litmus_kernel",
            "litmus_user",
            "bits",
        ],
    ),
    //
    (Lie::PagemapDiffers, &["pagemap_same"]),
    (
        Lie::PagemapAbsent,
        &["pagemap_same", "pagemap_kernel", "walk_frames"],
    ),
    (
        Lie::WrongPageInSecond,
        &[
            "alias_write",
            "pagemap_same",
            "write_load",
            "last_byte",
            "master_fill",
            "master_copy",
            "bits",
            "munmap",
        ],
    ),
    //
    (Lie::FramesMoved, &["pagemap_kernel"]),
    (Lie::FrameWrong(0, PAGE), &["pagemap_kernel", "walk_frames"]),
    (Lie::FrameWrong(3, 1), &["pagemap_kernel", "walk_frames"]),
    (
        Lie::FrameFails(Errno::IO),
        &["pagemap_kernel", "past_end", "walk_frames"],
    ),
    // A driver that is wrong in the same way everywhere agrees with itself.
    (
        Lie::WrongPage,
        &[
            "pagemap_kernel",
            "store_read",
            "write_load",
            "master_fill",
            "master_copy",
            "master_polled",
            "litmus_kernel",
        ],
    ),
    (
        Lie::NextPage,
        &[
            "pagemap_kernel",
            "store_read",
            "write_load",
            "master_fill",
            "master_copy",
            "master_polled",
            "litmus_kernel",
            "bits",
        ],
    ),
    (
        Lie::LastPageBeyond,
        &[
            "pagemap_kernel",
            "store_read",
            "write_load",
            "master_fill",
            "master_copy",
            "litmus_kernel",
            "bits",
        ],
    ),
    (
        Lie::Swapped(0, 3),
        &[
            "pagemap_kernel",
            "store_read",
            "write_load",
            "master_fill",
            "master_copy",
            "master_polled",
            "litmus_kernel",
        ],
    ),
    (
        Lie::Swapped(1, 2),
        &[
            "pagemap_kernel",
            "store_read",
            "write_load",
            "master_fill",
            "master_copy",
            "master_polled",
            "litmus_kernel",
        ],
    ),
    //
    (Lie::StaleRead, &["store_read"]),
    (Lie::ReadAligns, &["store_read", "last_byte"]),
    (Lie::ReadLosesLastByte, &["store_read", "bits"]),
    (Lie::ShortRead, &["zeroed", "store_read", "bits"]),
    (
        Lie::ReadFails(Errno::IO),
        &["zeroed", "store_read", "last_byte", "past_end", "bits"],
    ),
    (
        Lie::ReadGivesNothing,
        &["zeroed", "store_read", "last_byte", "bits"],
    ),
    //
    (Lie::WriteRoundsUp, &["write_load"]),
    (Lie::WriteClobbersBefore, &["write_load"]),
    (Lie::ShortWrite, &["write_load", "bits"]),
    (
        Lie::WriteLosesLastByte,
        &["write_load", "last_byte", "bits"],
    ),
    (Lie::WriteGoesAside, &["store_read", "write_load", "bits"]),
    (
        Lie::WriteFails(Errno::IO),
        &["write_load", "last_byte", "past_end", "bits"],
    ),
    //
    (Lie::LastByteCannotBeStored, &["last_byte"]),
    (Lie::LastByteCannotBeRead, &["last_byte"]),
    (Lie::LastByteCannotBeWritten, &["last_byte"]),
    (Lie::ReadAcrossEndRefused, &["last_byte"]),
    (Lie::WriteAcrossEnd, &["last_byte"]),
    //
    (Lie::MapPastEnd, &["past_end"]),
    (Lie::MapAcrossEnd, &["past_end"]),
    (Lie::MapFarBeyond, &["past_end"]),
    (Lie::MapPastEndSigsegv, &["past_end"]),
    (Lie::MapPastEndErrno(Errno::NOMEM), &["past_end"]),
    (Lie::SigbusIsMissed, &["past_end"]),
    (Lie::NoSureSigbus(Errno::NOENT), &["past_end"]),
    (Lie::FramePastEnd, &["past_end"]),
    (Lie::FramePastEndLikeAnError, &["past_end"]),
    (Lie::ReadPastEnd, &["past_end"]),
    (Lie::WritePastEnd, &["past_end"]),
    (Lie::WritePastEndGivesNothing, &["past_end"]),
    //
    (
        Lie::MasterFails(Errno::IO),
        &[
            "master_fill",
            "master_copy",
            "master_refuses",
            "master_polled",
        ],
    ),
    (
        Lie::MasterOddAlignment,
        &[
            "master_fill",
            "master_copy",
            "master_refuses",
            "master_polled",
        ],
    ),
    (
        Lie::MasterSilent,
        &["master_fill", "master_copy", "master_polled"],
    ),
    (Lie::OtherNonce, &["master_fill", "master_polled"]),
    (Lie::FirmwareErrs, &["master_fill"]),
    (Lie::FillSaysMore, &["master_fill", "master_polled"]),
    (Lie::FillOverruns, &["master_fill"]),
    (Lie::MasterOverruns, &["master_fill", "master_copy"]),
    (
        Lie::MasterUnderruns,
        &["master_fill", "master_copy", "master_polled"],
    ),
    (
        Lie::MasterElsewhere,
        &["master_fill", "master_copy", "master_polled"],
    ),
    (Lie::MasterReadsStale, &["master_copy"]),
    (Lie::MasterTakesAll, &["master_refuses"]),
    (Lie::MasterTriesAll, &["master_refuses"]),
    (Lie::MasterRefusesBy(Errno::FAULT), &["master_refuses"]),
    (Lie::MasterStumbles, &["master_polled"]),
    //
    (
        Lie::NoTask(Errno::AGAIN),
        &["master_polled", "litmus_kernel", "litmus_user", "revoked"],
    ),
    (Lie::KernelSeesWrong(1), &["litmus_kernel"]),
    (Lie::KernelSeesWrong(70), &["litmus_kernel"]),
    (Lie::KernelShowsWrong(99), &["litmus_kernel"]),
    (Lie::LitmusFails(Errno::IO), &["litmus_kernel"]),
    (Lie::TaskSeesNoFlag, &["litmus_kernel", "litmus_user"]),
    (Lie::StaleWords, &["litmus_user"]),
    // By address-in-cell alone these go unnoticed.
    (Lie::LoneBit(0x1808), &["bits"]),
    (Lie::LoneGap(0x2ff8), &["bits"]),
    (Lie::Coupled(0x1808), &["bits"]),
    (Lie::Coupled(0x3000 - 8), &["bits"]),
    //
    (Lie::UnbindLeavesMappings, &["revoked"]),
    (Lie::UnbindLeavesTask, &["revoked"]),
    (Lie::UnbindLeavesFiles, &["revoked"]),
    (Lie::UnbindFails(Errno::IO), &["revoked"]),
    (Lie::BindFails(Errno::NODEV), &["revoked"]),
    (Lie::BindLeavesData, &["revoked"]),
    (Lie::BindLeavesUsed, &["revoked"]),
    //
    (Lie::UnmapFails(Errno::INVAL), &["munmap"]),
    (Lie::UnmapLeaves, &["munmap"]),
    (Lie::UnmapClears, &["munmap"]),
    (Lie::UnmapSigbus, &["munmap"]),
    (Lie::UnmapTakesAll, &["munmap", "revoked"]),
    (Lie::UnmapIsTheEnd, &["munmap", "revoked"]),
    //
    (Lie::TypeAlwaysRight, &["translate_known"]),
    (Lie::TranslateTakesAll, &["translate_known"]),
    (Lie::ConstantIsWritable, &["translate_known"]),
    (Lie::NothingIsThere, &["translate_known"]),
    (
        Lie::TranslateFails(Errno::IO),
        &[
            "translate_known",
            "attribute_user",
            "attribute_kernel",
            "read_only",
            "walk_frames",
        ],
    ),
    //
    (Lie::TypeOfUser(0x44), &["attribute_user"]),
    (Lie::TypeOfUser(0x04), &["attribute_user"]),
    (Lie::TypeOfUser(0xbb), &["attribute_user"]),
    (Lie::TypeOfSecond(0x44), &["attribute_user"]),
    (Lie::TypeOfPage(0, 0x44), &["attribute_user"]),
    (Lie::TypeOfPage(3, 0x44), &["attribute_user"]),
    (Lie::TypeForStores(0x44), &["attribute_user"]),
    (Lie::UserIsReadOnly, &["attribute_user"]),
    (
        Lie::UserIsNotThere,
        &["attribute_user", "read_only", "walk_frames"],
    ),
    (Lie::TypeOfKernel(0x44), &["attribute_kernel"]),
    (Lie::KernelIsReadOnly, &["attribute_kernel"]),
    (
        Lie::TypeOfAll(0x44),
        &["attribute_user", "attribute_kernel"],
    ),
    (
        Lie::Shareability(2),
        &["attribute_user", "attribute_kernel"],
    ),
    //
    (Lie::ReadOnlyIsWritable, &["read_only"]),
    (Lie::ReadOnlyIsStored, &["read_only"]),
    (Lie::ReadOnlyRefused(Errno::INVAL), &["read_only"]),
    //
    (Lie::WalkWrong(0, PAGE), &["walk_frames"]),
    (Lie::WalkWrong(3, 8), &["walk_frames"]),
    (Lie::KernelWalkWrong(2, PAGE), &["walk_frames"]),
    //
    (Lie::Log("4,3,3,-;faultline a: odd"), &["kernel_log"]),
    (Lie::Log("0,3,3,-;the end"), &["kernel_log"]),
    (
        Lie::Log("6,3,3,-;WARNING: CPU: 0 PID: 1 at mm/x.c:1"),
        &["kernel_log"],
    ),
    (Lie::Log("6,3,3,-;BUG: Bad page map"), &["kernel_log"]),
    (Lie::LogWithoutEnd, &["kernel_log"]),
];

#[test]
fn every_lie_is_caught_where_it_should_be() {
    let mistaken: Vec<String> = LIES
        .iter()
        .map(|(lie, want)| (lie, failed(*lie), *want))
        .filter(|(_, seen, want)| seen != want)
        .map(|(lie, seen, want)| format!("{lie:?}: {seen:?}, want {want:?}"))
        .collect();
    assert!(mistaken.is_empty(), "{mistaken:#?}");
}

#[test]
fn a_refused_mmap_fails_all_but_the_log() {
    let run = Run::new(4, Some(Lie::MapRefused(Errno::AGAIN)));
    assert_eq!(
        run.passed(),
        ["translate_known", "attribute_kernel", "kernel_log"]
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
fn what_cannot_be_looked_at_is_skipped() {
    for (lie, want) in [
        (Lie::UsedBefore, &["zeroed"][..]),
        (
            Lie::PagemapHides,
            &["pagemap_same", "pagemap_kernel", "walk_frames"],
        ),
        (
            Lie::PagemapFails(Errno::NOENT),
            &["pagemap_same", "pagemap_kernel", "walk_frames"],
        ),
        (
            Lie::FrameFails(Errno::PERM),
            &["pagemap_kernel", "walk_frames"],
        ),
        (
            Lie::TranslateFails(Errno::OPNOTSUPP),
            &[
                "translate_known",
                "attribute_user",
                "attribute_kernel",
                "read_only",
                "walk_frames",
            ],
        ),
        (Lie::WalkHides, &["walk_frames"]),
        (
            Lie::NoMaster,
            &[
                "master_fill",
                "master_copy",
                "master_refuses",
                "master_polled",
            ],
        ),
        (Lie::MasterCannotFill, &["master_fill", "master_polled"]),
        (Lie::MasterCannotCopy, &["master_copy"]),
        (Lie::MasterIsFirmware, &[]),
        (Lie::FirmwareHasOtherLine, &["master_fill", "master_polled"]),
        (Lie::NoNonce, &["master_fill", "master_polled"]),
        (
            Lie::OneCpu,
            &["master_polled", "litmus_kernel", "litmus_user"],
        ),
        (Lie::UnbindFails(Errno::ACCES), &["revoked"]),
        (Lie::LogFails(Errno::PERM), &["kernel_log"]),
        (Lie::LogLost, &["kernel_log"]),
    ] {
        let run = Run::new(4, Some(lie));
        assert_eq!(run.skipped(), want, "{lie:?}");
        assert!(run.failed().is_empty(), "{lie:?}");
    }
}

#[test]
fn a_machine_without_time_is_no_failure() {
    let late = "could not tell: each time a round of messages took longer than seconds";
    let starved = "could not tell: another task did not run within a minute";
    for (lie, want) in [
        // The task has not looked when the kernel gives up, but its message has arrived.
        (
            Lie::LitmusFails(Errno::TIMEDOUT),
            &[("litmus_kernel", late)][..],
        ),
        (Lie::LitmusIsStarved(2), &[]),
        (Lie::LitmusIsStarved(3), &[("litmus_kernel", late)]),
        (
            Lie::TaskIsStarved,
            &[
                ("master_polled", starved),
                ("litmus_kernel", late),
                ("litmus_user", late),
                ("revoked", starved),
            ],
        ),
    ] {
        let run = Run::new(4, Some(lie));
        let unknown = run.undecided();
        let notes: Vec<_> = unknown
            .iter()
            .map(|check| (*check, run.note(check)))
            .collect();
        assert_eq!(notes, want, "{lie:?}");
        assert_eq!(run.passed().len(), CHECKS.len() - want.len(), "{lie:?}");
    }
}

#[test]
fn a_message_that_never_arrives_is_a_failure() {
    for (lie, check, want) in [
        // The task's stores go to a copy of its own, or to another page.
        (
            Lie::PrivateCopy,
            "litmus_user",
            "round that another task has announced at offset 0x1000: 0x0, want 0x1",
        ),
        (
            Lie::WrongPage,
            "litmus_kernel",
            "round that a task has announced to the kernel at offset 0x1000: 0x40e03e534e9d231, want 0x1",
        ),
        (
            Lie::TaskSeesNoFlag,
            "litmus_kernel",
            "round that was answered, when another task saw no answer at offset 0x3000: 0x1, want \
             0x0",
        ),
    ] {
        let run = Run::new(4, Some(lie));
        assert!(run.failed().contains(&check), "{lie:?}");
        assert_eq!(run.note(check), want, "{lie:?}");
    }
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
    Context::open(&mut machine, c"/dev/faultline0", &OURS, &mut finding).map(drop)
}

#[test]
fn notes_name_the_place_and_what_was_wanted() {
    for (lie, check, want) in [
        (
            Lie::NotZeroed(2 * PAGE + 9),
            "zeroed",
            "load by read() at offset 0x2008: 0x100, want 0x0; pages wrong: 1 of 4".to_string(),
        ),
        (
            Lie::WrongPage,
            "store_read",
            format!(
                "load by read() at offset 0x0: {:#x} (which belongs at offset 0x1000), want {:#x}; \
                 pages wrong: 4 of 4",
                Pattern::new(3).word(PAGE),
                Pattern::new(3).word(0)
            ),
        ),
        (
            Lie::WrongPage,
            "write_load",
            format!(
                "load by the first mapping at offset 0x0: {:#x} (which belongs at offset 0x1000), \
                 want {:#x}; pages wrong: 4 of 4",
                Pattern::new(4).word(PAGE),
                Pattern::new(4).word(0)
            ),
        ),
        (
            Lie::FrameWrong(3, PAGE),
            "pagemap_kernel",
            "physical address at offset 0x3000: 0x40003000, want 0x40004000; pages wrong: 1 of 4"
                .into(),
        ),
        (
            Lie::TypeOfUser(0x44),
            "attribute_user",
            "type of the first mapping at offset 0x0: Normal non-cacheable, \
             want Normal write-back"
                .into(),
        ),
        (
            Lie::UnmapClears,
            "munmap",
            format!(
                "load by the first mapping at offset 0x0: 0x0, want {:#x}",
                Pattern::new(8).word(0)
            ),
        ),
        (
            Lie::MapPastEnd,
            "past_end",
            "load past the end, where mmap() was not refused, at offset 0x400000: success, want SIGBUS"
                .into(),
        ),
        (
            Lie::Log("4,3,3,-;faultline a: odd"),
            "kernel_log",
            "warnings or worse in /dev/kmsg: 1, want 0; the first: faultline a: odd".into(),
        ),
        (
            Lie::UsedBefore,
            "zeroed",
            "the buffer was used before".into(),
        ),
    ] {
        assert_eq!(Run::new(4, Some(lie)).note(check), want, "{lie:?}");
    }
}

/// What only our driver can be asked for.
const OURS_ALONE: [&str; 8] = [
    "zeroed",
    "pagemap_kernel",
    "attribute_kernel",
    "master_fill",
    "master_copy",
    "master_refuses",
    "master_polled",
    "litmus_kernel",
];

/// What only the self-test can be asked for.
const SELFTEST_ALONE: [&str; 10] = [
    "pagemap_kernel",
    "translate_known",
    "attribute_user",
    "attribute_kernel",
    "walk_frames",
    "master_fill",
    "master_copy",
    "master_refuses",
    "master_polled",
    "litmus_kernel",
];

#[test]
fn without_the_self_test_what_takes_it_is_skipped_and_nothing_else() {
    let run = Run::new(4, Some(Lie::NoSelftest));
    assert!(run.failed().is_empty(), "{:?}", run.results);
    assert_eq!(run.skipped(), SELFTEST_ALONE);
    for check in SELFTEST_ALONE {
        let want = "the driver was built without its self-test (CONFIG_FAULTLINE_SELFTEST)";
        assert_eq!(run.note(check), want);
    }
}

fn skipped_of_foreign(others: &[&'static str]) -> Vec<&'static str> {
    let all = CHECKS.iter().map(|check| check.name);
    let is_skipped =
        |check: &&str| OURS_ALONE.contains(check) || *check == "revoked" || others.contains(check);
    all.filter(is_skipped).collect()
}

#[test]
fn a_foreign_device_is_judged_as_far_as_that_goes() {
    let run = Run::foreign(Some(MemoryType::WriteBack), None);
    assert!(run.failed().is_empty(), "{:?}", run.results);
    assert_eq!(run.skipped(), skipped_of_foreign(&[]));
    for check in OURS_ALONE {
        let want = "a foreign device: this takes a call that only the faultline driver has";
        assert_eq!(run.note(check), want);
    }
}

#[test]
fn a_foreign_mapping_of_another_type_than_the_kernels_fails() {
    for kernel in [MemoryType::NonCacheable, DEVICE] {
        let run = Run::foreign(Some(kernel), None);
        assert_eq!(run.failed(), ["attribute_user"]);
        let want =
            format!("type of the first mapping at offset 0x0: Normal write-back, want {kernel}");
        assert_eq!(run.note("attribute_user"), want);
    }
    // Whichever of those that are for registers.
    let run = Run::foreign(Some(DEVICE), Some(Lie::TypeOfAll(0x0c)));
    assert!(run.failed().is_empty(), "{:?}", run.results);
}

#[test]
fn a_foreign_mapping_is_not_right_because_both_are_alike() {
    let run = Run::foreign(None, None);
    assert!(run.failed().is_empty());
    assert_eq!(run.skipped(), skipped_of_foreign(&["attribute_user"]));
    assert_eq!(
        run.note("attribute_user"),
        "both mappings are alike, which does not make them right: --kernel-attr says what they must be"
    );
    for lie in [Lie::TypeOfSecond(0x44), Lie::TypeOfPage(3, 0x44)] {
        let run = Run::foreign(None, Some(lie));
        assert_eq!(run.failed(), ["attribute_user"], "{lie:?}");
    }
}

#[test]
fn a_foreign_device_may_do_without() {
    for (lie, skipped) in [
        (
            Lie::NoReadWrite,
            &["store_read", "write_load", "last_byte"][..],
        ),
        (Lie::PagemapAbsent, &["pagemap_same", "walk_frames"]),
        (Lie::RefusesByFault, &[]),
        (Lie::MapPastEndErrno(Errno::NOMEM), &[]),
        (Lie::WritePastEndGivesNothing, &[]),
        (
            Lie::NoWitness,
            &[
                "translate_known",
                "attribute_user",
                "read_only",
                "walk_frames",
            ],
        ),
    ] {
        let run = Run::foreign(Some(MemoryType::WriteBack), Some(lie));
        assert!(run.failed().is_empty(), "{lie:?}: {:?}", run.results);
        assert_eq!(run.skipped(), skipped_of_foreign(skipped), "{lie:?}");
    }
}

#[test]
fn what_is_wrong_with_a_foreign_device_is_seen() {
    for (lie, check) in [
        (Lie::SecondIsACopy, "alias_write"),
        (Lie::PagemapDiffers, "pagemap_same"),
        (Lie::StaleRead, "store_read"),
        (Lie::WriteLosesLastByte, "write_load"),
        (Lie::ReadFails(Errno::IO), "store_read"),
        (Lie::MapPastEnd, "past_end"),
        (Lie::ReadPastEnd, "past_end"),
        (Lie::WritePastEnd, "past_end"),
        (Lie::ReadOnlyIsStored, "read_only"),
        (Lie::LoneBit(0x1808), "bits"),
        (Lie::StaleWords, "litmus_user"),
        (Lie::UnmapLeaves, "munmap"),
        (Lie::Log("4,3,3,-;odd"), "kernel_log"),
    ] {
        let run = Run::foreign(Some(MemoryType::WriteBack), Some(lie));
        assert!(run.failed().contains(&check), "{lie:?}: {:?}", run.results);
    }
}
