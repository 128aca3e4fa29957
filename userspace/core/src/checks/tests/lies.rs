// SPDX-License-Identifier: GPL-2.0-only

//! Which checks each lie makes fail.

use super::*;

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

#[test]
fn where_pagemap_cannot_tell_the_cpu_is_asked() {
    for (lie, want) in [
        (Lie::WithoutLpaeDiffers, ["pagemap_same", "walk_pfns"]),
        (Lie::WithoutLpaeMoved, ["pagemap_kernel", "walk_pfns"]),
    ] {
        assert_eq!(Run::new(4, Some(lie)).failed(), want, "{lie:?}");
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
        &["pagemap_same", "pagemap_kernel", "walk_pfns"],
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
    (Lie::FrameWrong(0, PAGE), &["pagemap_kernel", "walk_pfns"]),
    (Lie::FrameWrong(3, 1), &["pagemap_kernel", "walk_pfns"]),
    (
        Lie::FrameFails(Errno::IO),
        &["pagemap_kernel", "past_end", "walk_pfns"],
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
            "walk_pfns",
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
        &["attribute_user", "read_only", "walk_pfns"],
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
    (Lie::SyncTakesCoherent, &["sync_refuses"]),
    //
    (Lie::WalkWrong(0, PAGE), &["walk_pfns"]),
    (Lie::WalkWrong(3, 8), &["walk_pfns"]),
    (Lie::KernelWalkWrong(2, PAGE), &["walk_pfns"]),
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
