// SPDX-License-Identifier: GPL-2.0

//! The memory at the other end of `read()` and `write()`.
//!
//! `kernel::iov` has it as an iterator, which `readv()` and io_uring need. A call with one piece of user
//! memory has it as an address and a length ([`UserMemory`]), and so is cheaper by what it takes to make
//! an iterator and to look into it.
//!
//! C headers: [`include/linux/uio.h`](srctree/include/linux/uio.h),
//! [`include/linux/uaccess.h`](srctree/include/linux/uaccess.h)

use super::ffi;
use kernel::{
    bindings,
    ffi::{
        c_char,
        c_void, //
    },
    iov::{
        IovIterDest,
        IovIterSource, //
    }, //
};

/// What `read()` copies to.
pub(crate) trait Destination {
    /// Returns how many bytes there is room for.
    fn len(&self) -> usize;

    /// Copies up to `length` bytes from `source`, and returns how many. What was copied is part of the
    /// destination no more.
    ///
    /// Does not sleep: it stops short where the destination's memory is not present.
    ///
    /// # Safety
    ///
    /// `source` must be valid for reads of `length` bytes. Others may change them meanwhile.
    unsafe fn copy_from(&mut self, source: *const c_void, length: usize) -> usize;

    /// Brings in the memory of the next `length` bytes, so that a copy can go on, and returns whether at
    /// least some of it is there now. May sleep.
    fn fault_in(&mut self, length: usize) -> bool;
}

/// What `write()` copies from.
pub(crate) trait Source {
    /// Returns how many bytes there are.
    fn len(&self) -> usize;

    /// Copies up to `length` bytes to `destination`, and returns how many. What was copied is part of the
    /// source no more.
    ///
    /// Does not sleep: it stops short where the source's memory is not present.
    ///
    /// # Safety
    ///
    /// `destination` must be valid for writes of `length` bytes. Others may access them meanwhile.
    unsafe fn copy_to(&mut self, destination: *mut c_void, length: usize) -> usize;

    /// Brings in the memory of the next `length` bytes, so that a copy can go on, and returns whether at
    /// least some of it is there now. May sleep.
    fn fault_in(&mut self, length: usize) -> bool;
}

/// One piece of the calling task's memory.
///
/// # Invariants
///
/// `access_ok()` is true of `address` and `length`.
pub(super) struct UserMemory {
    address: *mut c_void,
    length: usize,
}

impl UserMemory {
    /// # Safety
    ///
    /// `access_ok()` must be true of `address` and `length`.
    #[inline]
    pub(super) unsafe fn from_raw(address: *mut c_char, length: usize) -> Self {
        // INVARIANT: By the safety requirements.
        Self {
            address: address.cast(),
            length,
        }
    }

    /// Leaves the first `length` bytes out, of which there must be as many.
    #[inline]
    fn advance(&mut self, length: usize) {
        // INVARIANT: What is left is a part of what there was.
        self.address = self.address.wrapping_byte_add(length);
        self.length -= length;
    }
}

impl Destination for UserMemory {
    #[inline]
    fn len(&self) -> usize {
        self.length
    }

    #[inline]
    unsafe fn copy_from(&mut self, source: *const c_void, length: usize) -> usize {
        let length = length.min(self.length);

        // SAFETY: By the safety requirements `source` is valid for reads of `length` bytes, and by the
        // type invariants `access_ok()` is true of as many from `address` on. The C function answers no
        // more than `length`.
        let copied = unsafe { ffi::faultline_copy_to_user(self.address, source, length) };
        self.advance(copied);
        copied
    }

    fn fault_in(&mut self, length: usize) -> bool {
        let length = length.min(self.length);

        // SAFETY: The function may be called with any address of user space, in a task that has memory,
        // and may sleep, as documented. It changes nothing there.
        let missing = unsafe { bindings::fault_in_safe_writeable(self.address.cast(), length) };
        missing < length
    }
}

impl Source for UserMemory {
    #[inline]
    fn len(&self) -> usize {
        self.length
    }

    #[inline]
    unsafe fn copy_to(&mut self, destination: *mut c_void, length: usize) -> usize {
        let length = length.min(self.length);

        // SAFETY: By the safety requirements `destination` is valid for writes of `length` bytes, and by
        // the type invariants `access_ok()` is true of as many from `address` on. The C function answers
        // no more than `length`.
        let copied = unsafe { ffi::faultline_copy_from_user(destination, self.address, length) };
        self.advance(copied);
        copied
    }

    fn fault_in(&mut self, length: usize) -> bool {
        let length = length.min(self.length);

        // SAFETY: The function may be called with any address of user space, in a task that has memory,
        // and may sleep, as documented.
        let missing = unsafe { bindings::fault_in_readable(self.address.cast(), length) };
        missing < length
    }
}

impl Destination for IovIterDest<'_> {
    fn len(&self) -> usize {
        IovIterDest::len(self)
    }

    unsafe fn copy_from(&mut self, source: *const c_void, length: usize) -> usize {
        // SAFETY: The iterator is a valid destination by its type invariants, and by the safety
        // requirements `source` is valid for reads of `length` bytes. Disabling and enabling page faults
        // is balanced.
        unsafe {
            ffi::faultline_pagefault_disable();
            let copied = bindings::_copy_to_iter(source, length, self.as_raw());
            ffi::faultline_pagefault_enable();
            copied
        }
    }

    fn fault_in(&mut self, length: usize) -> bool {
        // SAFETY: The iterator is valid by its type invariants.
        let missing = unsafe { bindings::fault_in_iov_iter_writeable(self.as_raw(), length) };
        missing < length
    }
}

impl Source for IovIterSource<'_> {
    fn len(&self) -> usize {
        IovIterSource::len(self)
    }

    unsafe fn copy_to(&mut self, destination: *mut c_void, length: usize) -> usize {
        // SAFETY: The iterator is a valid source by its type invariants, and by the safety requirements
        // `destination` is valid for writes of `length` bytes. Disabling and enabling page faults is
        // balanced.
        unsafe {
            ffi::faultline_pagefault_disable();
            let copied = bindings::_copy_from_iter(destination, length, self.as_raw());
            ffi::faultline_pagefault_enable();
            copied
        }
    }

    fn fault_in(&mut self, length: usize) -> bool {
        // SAFETY: The iterator is valid by its type invariants.
        let missing = unsafe { bindings::fault_in_iov_iter_readable(self.as_raw(), length) };
        missing < length
    }
}
