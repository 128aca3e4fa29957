// SPDX-License-Identifier: GPL-2.0-only

//! Mappings of a file, accessed in a way that survives faults.

use core::ffi::c_void;
use core::ops::{Deref, DerefMut};
use core::ptr::{null_mut, NonNull};
use core::slice;

use faultline_core::device::{Fault, Mapping, Unmapped};
use faultline_core::errno::Errno;
use rustix::fd::{AsFd, BorrowedFd};
use rustix::mm::{mmap, mmap_anonymous, munmap, MapFlags, ProtFlags};

use crate::arch;
use crate::errno;
use crate::fault::Watch;

/// The bytes in a word.
const WORD: usize = size_of::<u64>();

/// A mapping of a file.
///
/// No reference to what is behind it is ever made: others may change it at any time, and it may
/// cease to be there.
///
/// # Invariants
///
/// `area` is a range of addresses that [`mmap`] gave, that has not been unmapped, and that nobody
/// else accesses or unmaps.
pub struct Area {
    area: Range,
}

/// A range of addresses that was unmapped. The program maps nothing without being told to, so that
/// the kernel has given the range to nobody else; if it had, probing it would still harm nobody.
pub struct Gone {
    area: Range,
}

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
        // Without a text here and below: it would be in the program, and nobody would see it.
        assert!(start <= self.length && size <= self.length - start, "");
        self.start.wrapping_add(start)
    }

    /// Loads bytes that may not be there.
    #[inline(never)]
    fn load(&self, offset: u64, mut bytes: &mut [u8]) -> Result<(), Fault> {
        let mut from = self.at(offset, bytes.len());
        // SAFETY: no code but that of this module accesses the range, and it does by `arch` alone.
        let watch = unsafe { Watch::new(from.addr(), bytes.len()) };
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at_mut(access(from, bytes.len()));
            if let Some(word) = now.first_chunk_mut() {
                // SAFETY: the address is aligned, and a fault is watched for. The range is, or was,
                // a mapping of a file, which has no Rust object in it.
                *word = unsafe { arch::load(from.cast()) }.to_ne_bytes();
            } else {
                // SAFETY: as above, but that bytes are always aligned.
                now[0] = unsafe { arch::load_byte(from) };
            }
            from = from.wrapping_add(now.len());
            bytes = later;
        }
        watch.end()
    }
}

/// `mmap()` of a file.
///
/// Where there is `mmap2()` instead, which counts the offset in units, rustix drops what is left over
/// and maps another place than the one that was asked for. Here that is refused, as it is elsewhere.
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
    // SAFETY: as the caller vouches.
    unsafe { mmap(start, length, protection, flags, file, offset) }.map_err(errno)
}

/// How many of some bytes are accessed at once: a word's, where one begins and ends among them.
fn access(pointer: *mut u8, length: usize) -> usize {
    if pointer.cast::<u64>().is_aligned() && length >= WORD {
        WORD
    } else {
        1
    }
}

impl Area {
    /// Maps `length` bytes of a file, from `offset` on.
    pub(crate) fn new(
        file: BorrowedFd<'_>,
        offset: u64,
        length: u64,
        protection: ProtFlags,
        flags: MapFlags,
    ) -> Result<Self, Errno> {
        let length = usize::try_from(length).map_err(|_| Errno::NOMEM)?;
        // SAFETY: the kernel is free to choose the address (there is no `MAP_FIXED` and no hint),
        // and so takes one where nothing is.
        let start = unsafe { map_file(null_mut(), length, protection, flags, file, offset) }?;
        let start = start.cast();
        // INVARIANT: `mmap` gave this range, and only this value knows of it.
        Ok(Self {
            area: Range { start, length },
        })
    }
}

impl Area {
    /// The address of a word.
    ///
    /// # Panics
    ///
    /// If it is not aligned, or not in the range.
    fn word(&self, offset: u64) -> *mut u64 {
        let word = self.area.at(offset, WORD).cast::<u64>();
        assert!(word.is_aligned(), "");
        word
    }

    /// Accesses one byte of each `step`, from the first byte on, and stores zeroes if it stores.
    pub fn touch(&mut self, step: usize, access: Access) -> Result<(), Fault> {
        let mut pointer = self.area.start;
        let end = pointer.wrapping_add(self.area.length);
        // SAFETY: no code but that of this module accesses the range, and it does by `arch` alone.
        let watch = unsafe { Watch::new(pointer.addr(), self.area.length) };
        match access {
            Access::Load => {
                while pointer < end {
                    // SAFETY: a fault is watched for. By the invariant of `Area` the range has no
                    // Rust object in it.
                    unsafe { arch::load_byte(pointer) };
                    pointer = pointer.wrapping_add(step);
                }
            }
            Access::Store => {
                while pointer < end {
                    // SAFETY: as above.
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

/// Memory of the program's own, zeroed at first, until it is dropped.
///
/// # Invariants
///
/// `start` is the address of `length` bytes, not more than `isize::MAX`, that are mapped,
/// readable and writable, and known to this value alone.
pub struct Scratch {
    start: NonNull<u8>,
    length: usize,
}

impl Scratch {
    /// Gets `length` bytes.
    pub fn new(length: usize) -> Result<Self, Errno> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the kernel is free to choose the address, and so takes one where nothing is.
        let start = unsafe { mmap_anonymous(null_mut(), length, protection, MapFlags::PRIVATE) };
        // INVARIANT: that is what was mapped, and no mapping is longer than half the address space.
        Ok(Self {
            start: NonNull::new(start.map_err(errno)?.cast()).ok_or(Errno::NOMEM)?,
            length,
        })
    }
}

impl Deref for Scratch {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: by the invariant the memory is there and lives as long as this value, which is
        // borrowed; nobody else changes it.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and this value is borrowed for this slice alone.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // SAFETY: by the invariant the memory is this value's own, and nobody can use it after
        // this.
        let unmapped = unsafe { munmap(self.start.as_ptr().cast::<c_void>(), self.length) };
        debug_assert!(unmapped.is_ok(), "the range was mapped");
    }
}

impl Mapping for Area {
    type Unmapped = Gone;

    fn address(&self) -> u64 {
        self.area.start.addr() as u64
    }

    fn load(&self, offset: u64, bytes: &mut [u8]) -> Result<(), Fault> {
        self.area.load(offset, bytes)
    }

    #[inline(never)]
    fn store(&mut self, offset: u64, mut bytes: &[u8]) -> Result<(), Fault> {
        let mut to = self.area.at(offset, bytes.len());
        // SAFETY: no code but that of this module accesses the range, and it does by `arch` alone.
        let watch = unsafe { Watch::new(to.addr(), bytes.len()) };
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(access(to, bytes.len()));
            if let Some(word) = now.first_chunk() {
                // SAFETY: the address is aligned, and a fault is watched for. By the invariant of
                // `Area` the range has no Rust object in it.
                unsafe { arch::store(to.cast(), u64::from_ne_bytes(*word)) };
            } else {
                // SAFETY: as above, but that bytes are always aligned.
                unsafe { arch::store_byte(to, now[0]) };
            }
            to = to.wrapping_add(now.len());
            bytes = later;
        }
        watch.end()
    }

    #[inline(never)]
    fn load_acquire(&self, offset: u64) -> Result<u64, Fault> {
        let word = self.word(offset);
        // SAFETY: no code but that of this module accesses the range, and it does by `arch` alone.
        let watch = unsafe { Watch::new(word.addr(), WORD) };
        // SAFETY: the address is aligned, and a fault is watched for. By the invariant of `Area`
        // the range has no Rust object in it.
        let value = unsafe { arch::load_acquire(word) };
        watch.end().map(|()| value)
    }

    #[inline(never)]
    fn store_release(&mut self, offset: u64, value: u64) -> Result<(), Fault> {
        let word = self.word(offset);
        // SAFETY: no code but that of this module accesses the range, and it does by `arch` alone.
        let watch = unsafe { Watch::new(word.addr(), WORD) };
        // SAFETY: the address is aligned, and a fault is watched for. By the invariant of `Area`
        // the range has no Rust object in it.
        unsafe { arch::store_release(word, value) };
        watch.end()
    }

    fn unmap(self) -> Result<Gone, Errno> {
        let area = self.area;
        // SAFETY: by the invariant of `Area` the range is this value's own. It is consumed, and
        // what is returned only probes.
        let unmapped = unsafe { munmap(area.start.cast::<c_void>(), area.length) };
        core::mem::forget(self);
        unmapped.map_err(errno).map(|()| Gone { area })
    }
}

impl Drop for Area {
    #[inline(never)]
    fn drop(&mut self) {
        // SAFETY: by the invariant of `Area` the range is this value's own, and nobody can use it
        // after this.
        let unmapped = unsafe { munmap(self.area.start.cast::<c_void>(), self.area.length) };
        debug_assert!(unmapped.is_ok(), "the range was mapped");
    }
}

impl Unmapped for Gone {
    fn load(&self, offset: u64, bytes: &mut [u8]) -> Result<(), Fault> {
        self.area.load(offset, bytes)
    }
}
