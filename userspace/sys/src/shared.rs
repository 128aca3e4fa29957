// SPDX-License-Identifier: GPL-2.0-only

//! Memory that processes share.

use core::ptr::null_mut;
use core::sync::atomic::AtomicU64;

use faultline_core::errno::Errno;
use rustix::mm::{mmap_anonymous, MapFlags, ProtFlags};

use crate::error::errno;

/// Numbers that the processes forked later share with this one. They begin as zeroes, and stay until
/// the program ends.
pub fn shared_numbers(count: usize) -> Result<&'static [AtomicU64], Errno> {
    let length = count * size_of::<AtomicU64>();
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: there is no hint and no `MAP_FIXED`, so that the kernel chooses an address where
    // nothing is mapped.
    let start = unsafe { mmap_anonymous(null_mut(), length, access, MapFlags::SHARED) };
    let start = start.map_err(errno)?.cast::<AtomicU64>();
    // SAFETY: the mapping has room for `count` numbers, begins at a page, is zeroed, and is never
    // unmapped. Every process that shares it has it by this very slice, and so accesses it by atomics alone.
    Ok(unsafe { core::slice::from_raw_parts(start, count) })
}
