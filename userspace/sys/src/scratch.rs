// SPDX-License-Identifier: GPL-2.0-only

//! Memory of the program's own.

use core::ffi::c_void;
use core::ops::{Deref, DerefMut};
use core::ptr::{null_mut, NonNull};
use core::slice;

use faultline_core::errno::Errno;
use rustix::mm::{mmap_anonymous, munmap, MapFlags, ProtFlags};

use crate::error::errno;

/// Memory of the program's own, zeroed at first, until it is dropped.
///
/// # Invariants
///
/// `start` is the address of `length` bytes, not more than `isize::MAX`, that are mapped, readable
/// and writable, and known to this value alone.
pub struct Scratch {
    start: NonNull<u8>,
    length: usize,
}

impl Scratch {
    /// Gets `length` bytes.
    pub fn new(length: usize) -> Result<Self, Errno> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: there is no hint and no `MAP_FIXED`, so that the kernel chooses an address where
        // nothing is mapped.
        let start = unsafe { mmap_anonymous(null_mut(), length, protection, MapFlags::PRIVATE) };
        let Some(start) = NonNull::new(start.map_err(errno)?.cast()) else {
            unreachable!("the kernel chooses no address below `vm.mmap_min_addr`");
        };
        // INVARIANT: the kernel has just mapped this range, readable and writable, and told nobody
        // else of it. No mapping is longer than half the address space.
        Ok(Self { start, length })
    }

    /// The address behind its last byte, a multiple of the page size if its length is: where a stack
    /// begins that grows down into it.
    pub(crate) fn end(&mut self) -> *mut u8 {
        self.start.as_ptr().wrapping_add(self.length)
    }
}

impl Deref for Scratch {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: by the invariant the bytes are mapped and readable, and were zeroed by the kernel.
        // They stay so until this value is dropped, and it is borrowed for as long as the slice
        // lives, so that nothing changes them meanwhile.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: by the invariant the bytes are mapped, readable and writable, and were zeroed by
        // the kernel. This value is mutably borrowed for as long as the slice lives, and no other
        // value knows of the memory.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // SAFETY: by the invariant the range is this value's own. The value goes away with this
        // call, and slices of it have gone before.
        let unmapped = unsafe { munmap(self.start.as_ptr().cast::<c_void>(), self.length) };
        debug_assert!(unmapped.is_ok(), "the range was mapped");
    }
}
