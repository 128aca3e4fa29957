// SPDX-License-Identifier: GPL-2.0-only

//! What each process of the fuzzer tells the others, in memory that all of them share.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The exit status of a process that found a word in a buffer that nobody stored.
pub(super) const FOUND_STRAY: i32 = 3;

/// A number of a process's record.
#[derive(Clone, Copy)]
#[repr(usize)]
pub(super) enum Field {
    /// How many operations it has done.
    Done,
    /// The place of the operation that it is doing in [`Kind::ALL`](super::kind::Kind::ALL).
    Doing,
    /// How many operations were refused.
    Errors,
    /// How many accesses were answered by SIGBUS.
    Bus,
    /// How many accesses were answered by SIGSEGV.
    Segv,
    /// The word that nobody stored.
    Stray,
    /// How many requests a bus master has carried out.
    Mastered,
    /// How many message-passing tests the kernel has answered.
    Tested,
}

/// The record of a process.
#[derive(Clone, Copy)]
pub(super) struct Record<'a>(&'a [AtomicU64]);

impl<'a> Record<'a> {
    /// How many numbers it has.
    pub(super) const FIELDS: usize = Field::Tested as usize + 1;

    /// The record of this process, of all records.
    pub(super) fn of(shared: &'a [AtomicU64], process: usize) -> Self {
        Self(&shared[process * Self::FIELDS..][..Self::FIELDS])
    }

    /// Reads a number.
    pub(super) fn get(self, field: Field) -> u64 {
        self.0[field as usize].load(Relaxed)
    }

    /// Sets a number.
    pub(super) fn set(self, field: Field, number: u64) {
        self.0[field as usize].store(number, Relaxed);
    }

    /// Adds one to a number.
    pub(super) fn add(self, field: Field) {
        self.0[field as usize].fetch_add(1, Relaxed);
    }
}
