// SPDX-License-Identifier: GPL-2.0-only

//! Buffers that are cached: the device has a memory of its own, and only SYNC copies.

use super::*;

#[test]
fn an_honest_cached_device_passes_what_can_be_checked() {
    for pages in [1, 2, 3, 16] {
        let run = Run::new(pages, Some(Lie::Cached));
        assert_eq!(run.failed(), [""; 0], "{pages} pages");
        assert_eq!(run.skipped(), ["master_polled"], "{pages} pages");
    }
}

#[test]
fn a_wrong_synchronisation_is_caught() {
    for (lie, want) in [
        (Lie::SyncIsSilent, &["master_fill", "master_copy"][..]),
        (Lie::SyncOfStart, &["master_fill", "master_copy"]),
        (Lie::SyncTheOtherWay, &["master_fill", "master_copy"]),
        (Lie::SyncTakesAnyRange, &["sync_refuses"]),
        (Lie::SyncEndsWithoutStart, &["sync_refuses"]),
        (
            Lie::SyncFails(Errno::NOTTY),
            &["master_fill", "master_copy", "sync_refuses"],
        ),
    ] {
        assert_eq!(Run::new(4, Some(lie)).failed(), want, "{lie:?}");
    }
}
