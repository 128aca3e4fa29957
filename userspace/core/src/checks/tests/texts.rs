// SPDX-License-Identifier: GPL-2.0-only

//! What is said of a check.

use super::*;

#[test]
fn what_cannot_be_looked_at_is_skipped() {
    for (lie, want) in [
        (Lie::UsedBefore, &["zeroed"][..]),
        (
            Lie::PagemapHides,
            &["pagemap_same", "pagemap_kernel", "walk_pfns"],
        ),
        (
            Lie::PagemapFails(Errno::NOENT),
            &["pagemap_same", "pagemap_kernel", "walk_pfns"],
        ),
        (
            Lie::FrameFails(Errno::PERM),
            &["pagemap_kernel", "walk_pfns"],
        ),
        (
            Lie::TranslateFails(Errno::OPNOTSUPP),
            &[
                "translate_known",
                "attribute_user",
                "attribute_kernel",
                "walk_pfns",
            ],
        ),
        (Lie::WalkHides, &["walk_pfns"]),
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
        (
            Lie::WithoutLpae,
            &[
                "pagemap_same",
                "pagemap_kernel",
                "master_polled",
                "litmus_kernel",
                "litmus_user",
            ],
        ),
        (Lie::SyncIsUnknown, &["sync_refuses"]),
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
