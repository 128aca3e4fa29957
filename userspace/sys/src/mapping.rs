// SPDX-License-Identifier: GPL-2.0-only

//! Mappings of a file, accessed in a way that survives SIGBUS and SIGSEGV.
//!
//! [`fault`](crate::fault) says how.

use core::ffi::c_void;
use core::mem::ManuallyDrop;
use core::ptr::null_mut;

use faultline_core::device::{Fault, Mapping, Unmapped};
use faultline_core::errno::Errno;
use rustix::fd::{AsFd, BorrowedFd};
use rustix::mm::{mmap, munmap, MapFlags, ProtFlags};

use crate::arch;
use crate::error::errno;
use crate::fault::Watch;

/// The bytes in a word.
const WORD: usize = size_of::<u64>();

/// A mapping of a file.
///
/// No reference to the memory behind it is ever made: others may change that memory at any time, and
/// it may cease to be there.
///
/// # Invariants
///
/// `range` is a range of addresses that [`mmap`] gave, that has not been unmapped, and that no other
/// value accesses or unmaps.
pub struct FileMapping {
    range: Range,
}

/// A range of addresses that was a mapping and has been unmapped. It can only be probed.
///
/// The kernel may give the range to a later mapping. A probe that meets that mapping loads its bytes
/// and changes nothing.
pub struct Gone {
    range: Range,
}

/// A range of addresses.
#[derive(Clone, Copy)]
struct Range {
    start: *mut u8,
    length: usize,
}

impl Range {
    /// The address of `size` bytes at `offset`.
    ///
    /// # Panics
    ///
    /// If they are not all in the range.
    fn at(&self, offset: u64, size: usize) -> *mut u8 {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        assert!(
            start <= self.length && size <= self.length - start,
            "access out of the mapping"
        );
        self.start.wrapping_add(start)
    }

    /// The address of a word.
    ///
    /// # Panics
    ///
    /// If it is not aligned, or not in the range.
    fn word(&self, offset: u64) -> *mut u64 {
        let word = self.at(offset, WORD).cast::<u64>();
        assert!(word.is_aligned(), "a word that is not aligned");
        word
    }

    /// Loads bytes that may not be there.
    fn load(&self, offset: u64, mut bytes: &mut [u8]) -> Result<(), Fault> {
        let mut from = self.at(offset, bytes.len());
        // SAFETY: while the watch lives this function accesses the range, which it does by `arch`,
        // and no other code runs.
        let watch = unsafe { Watch::new(from.addr(), bytes.len()) };
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at_mut(access_size(from, bytes.len()));
            if let Some(word) = now.first_chunk_mut() {
                // SAFETY: `access_size` has seen that the address is aligned, and the watch covers
                // it, so that the address need not be readable. The memory belongs to a file, and no
                // Rust reference to it exists.
                *word = unsafe { arch::load(from.cast()) }.to_ne_bytes();
            } else {
                // SAFETY: a byte is always aligned, and the watch covers the address, so that it need
                // not be readable. The memory belongs to a file, and no Rust reference to it exists.
                now[0] = unsafe { arch::load_byte(from) };
            }
            from = from.wrapping_add(now.len());
            bytes = later;
        }
        watch.end()
    }
}

/// How many of `length` bytes one instruction accesses: a word where one begins and ends among them,
/// otherwise a byte.
fn access_size(pointer: *mut u8, length: usize) -> usize {
    if pointer.cast::<u64>().is_aligned() && length >= WORD {
        WORD
    } else {
        1
    }
}

/// `mmap()` of a file.
///
/// Where there is `mmap2()` instead, which counts the offset in units, rustix drops what is left over
/// and maps another place than the one that was asked for. Here that is refused, as a C library's
/// `mmap()` refuses it.
///
/// # Safety
///
/// As for [`mmap`].
pub(crate) unsafe fn map_file(
    start: *mut c_void,
    length: usize,
    protection: ProtFlags,
    flags: MapFlags,
    file: impl AsFd,
    offset: u64,
) -> Result<*mut c_void, Errno> {
    const UNIT: u64 = 4096;

    if cfg!(target_pointer_width = "32") && offset % UNIT != 0 {
        return Err(Errno::INVAL);
    }
    // SAFETY: by the contract of this function, which is that of `mmap`, what the mapping replaces, if
    // anything, may be replaced.
    unsafe { mmap(start, length, protection, flags, file, offset) }.map_err(errno)
}

impl FileMapping {
    /// Maps `length` bytes of a file, from `offset` on.
    pub(crate) fn new(
        file: BorrowedFd<'_>,
        offset: u64,
        length: u64,
        protection: ProtFlags,
        flags: MapFlags,
    ) -> Result<Self, Errno> {
        // A length that no address space has is for the kernel to refuse.
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        // `MAP_FIXED` would replace what somebody else may have mapped.
        assert!(!flags.intersects(MapFlags::FIXED), "a fixed address");
        // SAFETY: there is no hint and no `MAP_FIXED`, so that the kernel chooses an address where
        // nothing is mapped.
        let start = unsafe { map_file(null_mut(), length, protection, flags, file, offset) }?;
        let start = start.cast();
        // INVARIANT: the kernel has just given this range, and told nobody else of it.
        Ok(Self {
            range: Range { start, length },
        })
    }

    /// Accesses one byte of each `step`, from the first byte on, and stores zeroes if it stores.
    pub fn touch(&mut self, step: usize, access: Access) -> Result<(), Fault> {
        let mut pointer = self.range.start;
        let end = pointer.wrapping_add(self.range.length);
        // SAFETY: while the watch lives this function accesses the range, which it does by `arch`,
        // and no other code runs.
        let watch = unsafe { Watch::new(pointer.addr(), self.range.length) };
        match access {
            Access::Load => {
                while pointer < end {
                    // SAFETY: a byte is always aligned, and the watch covers the address. By the
                    // invariant it belongs to a mapping of a file, which no Rust reference leads to.
                    unsafe { arch::load_byte(pointer) };
                    pointer = pointer.wrapping_add(step);
                }
            }
            Access::Store => {
                while pointer < end {
                    // SAFETY: a byte is always aligned, and the watch covers the address. By the
                    // invariant it belongs to a mapping of a file, which no Rust reference leads to.
                    unsafe { arch::store_byte(pointer, 0) };
                    pointer = pointer.wrapping_add(step);
                }
            }
        }
        watch.end()
    }
}

/// What is done to memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It is loaded from.
    Load,
    /// It is stored to.
    Store,
}

impl Mapping for FileMapping {
    type Unmapped = Gone;

    fn address(&self) -> u64 {
        self.range.start.addr() as u64
    }

    fn load(&self, offset: u64, bytes: &mut [u8]) -> Result<(), Fault> {
        self.range.load(offset, bytes)
    }

    fn store(&mut self, offset: u64, mut bytes: &[u8]) -> Result<(), Fault> {
        let mut to = self.range.at(offset, bytes.len());
        // SAFETY: while the watch lives this function accesses the range, which it does by `arch`,
        // and no other code runs.
        let watch = unsafe { Watch::new(to.addr(), bytes.len()) };
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(access_size(to, bytes.len()));
            if let Some(word) = now.first_chunk() {
                // SAFETY: `access_size` has seen that the address is aligned, and the watch covers
                // it. By the invariant it belongs to a mapping of a file, which no Rust reference
                // leads to.
                unsafe { arch::store(to.cast(), u64::from_ne_bytes(*word)) };
            } else {
                // SAFETY: a byte is always aligned, and the watch covers the address. By the
                // invariant it belongs to a mapping of a file, which no Rust reference leads to.
                unsafe { arch::store_byte(to, now[0]) };
            }
            to = to.wrapping_add(now.len());
            bytes = later;
        }
        watch.end()
    }

    fn load_acquire(&self, offset: u64) -> Result<u64, Fault> {
        let word = self.range.word(offset);
        // SAFETY: while the watch lives this function accesses the word, which it does by `arch`, and
        // no other code runs.
        let watch = unsafe { Watch::new(word.addr(), WORD) };
        // SAFETY: the address is aligned, and the watch covers it. By the invariant it belongs to a
        // mapping of a file, which no Rust reference leads to.
        let value = unsafe { arch::load_acquire(word) };
        watch.end().map(|()| value)
    }

    fn store_release(&mut self, offset: u64, value: u64) -> Result<(), Fault> {
        let word = self.range.word(offset);
        // SAFETY: while the watch lives this function accesses the word, which it does by `arch`, and
        // no other code runs.
        let watch = unsafe { Watch::new(word.addr(), WORD) };
        // SAFETY: the address is aligned, and the watch covers it. By the invariant it belongs to a
        // mapping of a file, which no Rust reference leads to.
        unsafe { arch::store_release(word, value) };
        watch.end()
    }

    fn unmap(self) -> Result<Gone, Errno> {
        // Not dropped: that would unmap the range a second time.
        let range = ManuallyDrop::new(self).range;
        // SAFETY: by the invariant the range is this value's own, which is consumed here. What is
        // returned only probes the range, with a watch.
        let unmapped = unsafe { munmap(range.start.cast::<c_void>(), range.length) };
        unmapped.map_err(errno).map(|()| Gone { range })
    }
}

impl Drop for FileMapping {
    fn drop(&mut self) {
        // SAFETY: by the invariant the range is this value's own, and the value goes away with this
        // call.
        let unmapped = unsafe { munmap(self.range.start.cast::<c_void>(), self.range.length) };
        debug_assert!(unmapped.is_ok(), "the range was mapped");
    }
}

impl Unmapped for Gone {
    fn load(&self, offset: u64, bytes: &mut [u8]) -> Result<(), Fault> {
        self.range.load(offset, bytes)
    }
}
