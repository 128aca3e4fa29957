// SPDX-License-Identifier: GPL-2.0-only

//! Drivers that lack something: their self-test, or all of our calls.

use super::*;

/// What only our driver can be asked for.
const OURS_ALONE: [&str; 9] = [
    "zeroed",
    "pagemap_kernel",
    "attribute_kernel",
    "master_fill",
    "master_copy",
    "master_refuses",
    "master_polled",
    "sync_refuses",
    "litmus_kernel",
];

/// What only the self-test can be asked for.
const SELFTEST_ALONE: [&str; 10] = [
    "pagemap_kernel",
    "translate_known",
    "attribute_user",
    "attribute_kernel",
    "walk_pfns",
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
        (Lie::PagemapAbsent, &["pagemap_same", "walk_pfns"]),
        (Lie::RefusesByFault, &[]),
        (Lie::MapPastEndErrno(Errno::NOMEM), &[]),
        (Lie::WritePastEndGivesNothing, &[]),
        (
            Lie::NoWitness,
            &["translate_known", "attribute_user", "walk_pfns"],
        ),
    ] {
        let run = Run::foreign(Some(MemoryType::WriteBack), Some(lie));
        assert!(run.failed().is_empty(), "{lie:?}: {:?}", run.results);
        assert_eq!(run.skipped(), skipped_of_foreign(skipped), "{lie:?}");
    }
}

#[test]
fn a_witness_that_cannot_be_opened_is_named() {
    let lie = Lie::WitnessFails(Errno::ACCES);
    let run = Run::foreign(Some(MemoryType::WriteBack), Some(lie));
    assert!(run.failed().is_empty(), "{:?}", run.results);
    for check in ["translate_known", "attribute_user", "walk_pfns"] {
        assert_eq!(
            run.note(check),
            "open() of the faultline device to ask the CPU by: EACCES"
        );
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
