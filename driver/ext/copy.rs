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
use core::ops::Range;
use kernel::{
    bindings,
    ffi::{
        c_char,
        c_ulong,
        c_void, //
    },
    iov::{
        IovIterDest,
        IovIterSource, //
    },
    prelude::*, //
};

/// Runs a transfer at a file's position, and moves the position on.
///
/// A position that is no `usize`, which 32 bits have, is past the end of every object.
#[inline]
pub(super) fn transfer(
    file_position: &mut bindings::loff_t,
    run: impl FnOnce(usize) -> Result<usize>,
) -> isize {
    let transferred = match *file_position {
        ..0 => Err(EINVAL),
        position => run(usize::try_from(position).unwrap_or(usize::MAX)),
    };

    match transferred {
        Ok(length) => {
            // CAST: No object has more than `isize::MAX` bytes.
            *file_position += length as bindings::loff_t;
            length as isize
        }
        Err(error) => error.to_errno() as isize,
    }
}

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

    /// Copies up to all of `source`, and returns how many bytes. As with [`copy_from`](Self::copy_from), but
    /// may sleep: memory that is not present is brought in. The answer is 0 if it cannot be accessed.
    fn copy_from_slice(&mut self, source: &[u8]) -> usize;
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

    /// Copies up to as many bytes as `destination` has, and returns how many. As with [`copy_to`](Self::copy_to), but
    /// may sleep: memory that is not present is brought in. The answer is 0 if it cannot be accessed.
    fn copy_to_slice(&mut self, destination: &mut [u8]) -> usize;
}

/// A few bytes of kernel memory.
///
/// A copy from or to user memory that is not present goes through them: they are copied once while the
/// buffer is borrowed, and once while page faults may be served.
pub(crate) struct Few {
    bytes: [u8; Self::MAX],
    /// Which of them have been filled, and not taken out.
    filled: Range<usize>,
}

impl Few {
    /// How many there are. They are on the stack, and most often the memory is present afterwards for all
    /// that follows.
    pub(crate) const MAX: usize = 64;

    /// Returns none.
    pub(crate) fn new() -> Self {
        Self {
            bytes: [0; Self::MAX],
            filled: 0..0,
        }
    }

    /// Moves them to `destination`, and returns how many it took.
    pub(crate) fn move_to<D: Destination>(self, destination: &mut D) -> usize {
        destination.copy_from_slice(&self.bytes[self.filled])
    }

    /// Moves up to `length` of them in from `source`, and returns how many.
    pub(crate) fn fill_from<S: Source>(&mut self, source: &mut S, length: usize) -> usize {
        let copied = source.copy_to_slice(&mut self.bytes[..length.min(Self::MAX)]);
        self.filled = 0..copied;
        copied
    }
}

impl Destination for Few {
    fn len(&self) -> usize {
        Self::MAX - self.filled.end
    }

    unsafe fn copy_from(&mut self, source: *const c_void, length: usize) -> usize {
        let space = &mut self.bytes[self.filled.end..];
        let length = length.min(space.len());

        // SAFETY: By the safety requirements `source` is valid for reads of `length` bytes, and `space` has
        // as many. They do not overlap, as `space` is borrowed for ourselves alone. The copy is the C
        // function's, which does not mind that others change what it reads.
        unsafe { bindings::memcpy(space.as_mut_ptr().cast(), source, length) };
        self.filled.end += length;
        length
    }

    fn copy_from_slice(&mut self, source: &[u8]) -> usize {
        // SAFETY: A slice is valid for reads of its length.
        unsafe { self.copy_from(source.as_ptr().cast(), source.len()) }
    }
}

impl Source for Few {
    fn len(&self) -> usize {
        self.filled.len()
    }

    unsafe fn copy_to(&mut self, destination: *mut c_void, length: usize) -> usize {
        let filled = &self.bytes[self.filled.clone()];
        let length = length.min(filled.len());

        // SAFETY: By the safety requirements `destination` is valid for writes of `length` bytes, and
        // `filled` has as many. They do not overlap, as `filled` is borrowed from what is ours. The copy is
        // the C function's, which does not mind that others access what it writes.
        unsafe { bindings::memcpy(destination, filled.as_ptr().cast(), length) };
        self.filled.start += length;
        length
    }

    fn copy_to_slice(&mut self, destination: &mut [u8]) -> usize {
        // SAFETY: A mutable slice is valid for writes of its length.
        unsafe { self.copy_to(destination.as_mut_ptr().cast(), destination.len()) }
    }
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

    fn copy_from_slice(&mut self, source: &[u8]) -> usize {
        let length = source.len().min(self.length);

        // SAFETY: `source` is valid for reads of `length` bytes. The function checks the address itself, and
        // answers how many bytes it did not copy, which are no more than `length`.
        let missing = unsafe {
            bindings::copy_to_user(self.address, source.as_ptr().cast(), length as c_ulong)
        };
        let copied = length - missing as usize;
        self.advance(copied);
        copied
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

    fn copy_to_slice(&mut self, destination: &mut [u8]) -> usize {
        let length = destination.len().min(self.length);

        // SAFETY: `destination` is valid for writes of `length` bytes. The function checks the address
        // itself, and answers how many bytes it did not copy, which are no more than `length`.
        let missing = unsafe {
            bindings::copy_from_user(
                destination.as_mut_ptr().cast(),
                self.address,
                length as c_ulong,
            )
        };
        let copied = length - missing as usize;
        self.advance(copied);
        copied
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

    fn copy_from_slice(&mut self, source: &[u8]) -> usize {
        self.copy_to_iter(source)
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

    fn copy_to_slice(&mut self, destination: &mut [u8]) -> usize {
        self.copy_from_iter(destination)
    }
}
