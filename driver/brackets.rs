// SPDX-License-Identifier: GPL-2.0

//! Which accesses of the CPUs to a cached buffer have started and not ended.
//!
//! An access is a *bracket*, from its start to its end: the same file says both, with the same range and
//! the same kind of access. A file that is closed has no brackets any more.

use core::{
    ops::Range,
    ptr, //
};
use kernel::{
    fs::LocalFile,
    new_mutex,
    prelude::*,
    sync::Mutex, //
};

/// How many brackets of one file may be open.
const MOST_OF_A_FILE: usize = 64;

/// A file, by the address of its structure: no other file has it before this one is released.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileId(usize);

impl FileId {
    pub(crate) fn of(file: &LocalFile) -> Self {
        Self(ptr::from_ref(file).addr())
    }
}

/// An access of the CPUs that has started.
#[derive(PartialEq, Eq)]
pub(crate) struct Bracket {
    pub(crate) file: FileId,
    pub(crate) range: Range<usize>,
    /// [`SYNC_READ`](crate::uapi::SYNC_READ) and [`SYNC_WRITE`](crate::uapi::SYNC_WRITE).
    pub(crate) access: u32,
}

/// The accesses of the CPUs to a buffer that have started and not ended.
#[pin_data]
pub(crate) struct Brackets {
    #[pin]
    open: Mutex<KVec<Bracket>>,
}

impl Brackets {
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            open <- new_mutex!(KVec::new(), "Brackets::open"),
        })
    }

    /// Opens a bracket.
    ///
    /// # Errors
    ///
    /// - `ENOSPC`: its file has [`MOST_OF_A_FILE`] open.
    /// - `ENOMEM`.
    pub(crate) fn start(&self, bracket: Bracket) -> Result {
        let mut spare = KVec::new();

        loop {
            let mut open = self.open.lock();
            let of_file = open.iter().filter(|other| other.file == bracket.file);
            if of_file.count() == MOST_OF_A_FILE {
                return Err(ENOSPC);
            }
            if spare.capacity() > open.capacity() {
                for moved in open.drain_all() {
                    spare.push_within_capacity(moved)?;
                }
                core::mem::swap(&mut *open, &mut spare);
            }
            if open.len() < open.capacity() {
                open.push_within_capacity(bracket)?;
                return Ok(());
            }

            // A task whose cgroup has no memory left must not wait for some while it has the lock.
            let wanted = open.len() + MOST_OF_A_FILE;
            drop(open);
            spare = KVec::with_capacity(wanted, GFP_KERNEL_ACCOUNT)?;
        }
    }

    /// Closes a bracket.
    ///
    /// # Errors
    ///
    /// `ENOENT`: there is no such bracket.
    pub(crate) fn end(&self, bracket: &Bracket) -> Result {
        let mut open = self.open.lock();
        let index = open.iter().position(|other| other == bracket);
        open.remove(index.ok_or(ENOENT)?).map(drop)?;
        Ok(())
    }

    /// Forgets the brackets of a file that is released.
    pub(crate) fn release(&self, file: FileId) {
        self.open.lock().retain(|bracket| bracket.file != file);
    }
}
