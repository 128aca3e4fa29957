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
        // SAFETY: who is to wait for ever is the caller's affair; no memory is touched.
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
        // SAFETY: the number is that of a call that reads and writes an `Api`.
        let request = unsafe { Updater::<{ API as ioctl::Opcode }, Api>::new(&mut api) };
        // SAFETY: it does nothing else.
        unsafe { ioctl::ioctl(&file, request) }.map_err(errno)?;
        // SAFETY: the number is that of a call that reads and writes a `Register`.
        let request =
            unsafe { Updater::<{ REGISTER as ioctl::Opcode }, Register>::new(&mut register) };
        // SAFETY: it changes what touching the range does, which is what the arena is for.
        unsafe { ioctl::ioctl(&file, request) }.map_err(errno)?;
        Ok(Self(file))
    }
}
