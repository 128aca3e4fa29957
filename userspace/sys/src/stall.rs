// SPDX-License-Identifier: GPL-2.0-only

//! Memory that never comes, by `userfaultfd`.

use faultline_core::errno::Errno;
use rustix::fd::OwnedFd;
use rustix::ioctl::{self, opcode, Updater};
use rustix::mm::{userfaultfd, UserfaultfdFlags};

use crate::arena::{Access, Arena};
use crate::error::errno;

/// `struct uffdio_api` (include/uapi/linux/userfaultfd.h).
#[repr(C)]
struct Api {
    api: u64,
    features: u64,
    ioctls: u64,
}

/// `struct uffdio_register`.
#[repr(C)]
struct Register {
    start: u64,
    length: u64,
    mode: u64,
    ioctls: u64,
}

const API: u32 = opcode::read_write::<Api>(0xaa, 0x3f);
const REGISTER: u32 = opcode::read_write::<Register>(0xaa, 0x00);
const VERSION: u64 = 0xaa;
const MODE_MISSING: u64 = 1;

/// A range of memory that makes the task that touches it first wait, as long as this lives: nobody
/// answers the faults.
pub struct Stall(#[expect(dead_code, reason = "it is open, and that is all")] OwnedFd);

impl Stall {
    /// Maps such a range.
    ///
    /// # Errors
    ///
    /// - `ENOSYS`: the kernel has no `userfaultfd`.
    pub fn new(arena: &mut Arena, at: u64, length: u64) -> Result<Self, Errno> {
        arena.map_memory(at, length, Access::BOTH)?;
        // SAFETY: the call opens a file. It neither reads nor writes memory, and no task waits before a
        // range is registered.
        let file = unsafe { userfaultfd(UserfaultfdFlags::CLOEXEC) }.map_err(errno)?;
        let mut api = Api {
            api: VERSION,
            features: 0,
            ioctls: 0,
        };
        let mut register = Register {
            start: arena.address(at),
            length,
            mode: MODE_MISSING,
            ioctls: 0,
        };
        // SAFETY: `UFFDIO_API` has this number, by which the kernel reads and writes a `struct uffdio_api`:
        // `Api` has its three fields of 64 bits.
        let request = unsafe { Updater::<{ API as ioctl::Opcode }, Api>::new(&mut api) };
        // SAFETY: beside `api`, which the request borrows, the call changes the state of the new file alone.
        unsafe { ioctl::ioctl(&file, request) }.map_err(errno)?;
        // SAFETY: `UFFDIO_REGISTER` has this number, by which the kernel reads and writes a
        // `struct uffdio_register`: `Register` has its four fields of 64 bits.
        let request =
            unsafe { Updater::<{ REGISTER as ioctl::Opcode }, Register>::new(&mut register) };
        // SAFETY: from here on a task waits that touches the range first. The range is the arena's, in which
        // there is no Rust object: only who means to touches it.
        unsafe { ioctl::ioctl(&file, request) }.map_err(errno)?;
        Ok(Self(file))
    }
}
