// SPDX-License-Identifier: GPL-2.0

//! Memory that is lent to user space, as bus masters and witnesses see it.

use super::translate::{
    self,
    Access,
    Translation, //
};
use crate::ext::coherent::MappableCoherent;
use core::{
    marker::PhantomData,
    ops::Range, //
};
use kernel::{
    dma::{
        Coherent,
        DmaAddress, //
    },
    page::PAGE_SHIFT,
    prelude::*, //
};

impl MappableCoherent {
    /// Returns the bytes of `range` as the device addresses them, or `None` if there are none or they
    /// reach past the end.
    pub(crate) fn span(&self, range: Range<usize>) -> Option<DmaSpan<'_>> {
        if range.is_empty() || range.end > self.size() {
            return None;
        }

        Some(DmaSpan {
            // CAST: A DMA address is at least as wide as the size of what can be addressed.
            address: self.dma_address() + range.start as DmaAddress,
            length: range.len(),
            _memory: PhantomData,
        })
    }

    /// Returns the PFN of `page`, or `None` past the end.
    pub(crate) fn frame(&self, page: usize) -> Option<usize> {
        (page < self.size() >> PAGE_SHIFT).then(|| self.pfn(page))
    }

    /// Returns the word at `offset`, or `None` if it is not aligned or not all of it is memory.
    ///
    /// User space and devices may access it at the same time.
    pub(crate) fn word(&self, offset: usize) -> Option<Word<'_>> {
        let end = offset.checked_add(Word::SIZE)?;
        if end > self.size() || offset % Word::SIZE != 0 {
            return None;
        }
        let word = self.as_ptr().wrapping_add(offset);

        // SAFETY: By the check above the word lies in the memory, which begins with a page, and is
        // aligned; it stays as long as `self` is borrowed. Whatever else accesses it is C code or
        // not the kernel's: for the memory model its stores are as good as atomic ones.
        Some(unsafe { Word::new(word.cast()) })
    }

    /// Has the CPU translate the address of the byte at `offset` in the kernel's own mapping, or
    /// returns `None` past the end.
    ///
    /// # Errors
    ///
    /// As [`translate::kernel`].
    pub(crate) fn translate(&self, offset: usize, access: Access) -> Option<Result<Translation>> {
        let address = self.as_ptr().wrapping_add(offset);

        // SAFETY: The byte is of this memory, which stays mapped as long as `self` is borrowed.
        (offset < self.size()).then(|| unsafe { translate::kernel(address.cast(), access) })
    }
}

/// A word of 64 bits, which others may access at the same time.
///
/// It is one access wherever the CPU has one that keeps nothing else from memory. 32-bit ARM without LPAE
/// has none of more than 32 bits. There the halves are two accesses, so that a word whose value changes while
/// others look must be less than [`Word::LIMIT`]: its upper half never changes.
pub(crate) struct Word<'memory>(parts::Parts<'memory>);

impl<'memory> Word<'memory> {
    /// The length of a word, and what it is aligned to, in bytes.
    pub(crate) const SIZE: usize = size_of::<u64>();

    /// The greatest value that one access reads or writes.
    pub(crate) const LIMIT: u64 = parts::LIMIT;

    /// Describes the word at `word`.
    ///
    /// # Safety
    ///
    /// The word must be aligned, and memory that stays during `'memory`. All that access it meanwhile must do
    /// so atomically, as the memory model has it.
    unsafe fn new(word: *mut u64) -> Self {
        // SAFETY: By the safety requirements.
        Self(unsafe { parts::Parts::new(word) })
    }

    /// Loads it, in no order.
    pub(crate) fn load(&self) -> u64 {
        self.0.load()
    }

    /// Loads it before all that comes after it in the program.
    pub(crate) fn load_acquire(&self) -> u64 {
        self.0.load_acquire()
    }

    /// Stores it, in no order.
    pub(crate) fn store(&self, value: u64) {
        self.0.store(value);
    }

    /// Stores it after all that comes before it in the program.
    pub(crate) fn store_release(&self, value: u64) {
        self.0.store_release(value);
    }
}

/// A word that is one access.
#[cfg(not(all(CONFIG_ARM, not(CONFIG_ARM_LPAE))))]
mod parts {
    use kernel::sync::atomic::{
        Acquire,
        Atomic,
        Relaxed,
        Release, //
    };

    pub(super) const LIMIT: u64 = u64::MAX;

    pub(super) struct Parts<'memory>(&'memory Atomic<u64>);

    impl Parts<'_> {
        /// # Safety
        ///
        /// As for [`Word::new`](super::Word::new).
        pub(super) unsafe fn new(word: *mut u64) -> Self {
            // SAFETY: By the safety requirements.
            Self(unsafe { Atomic::from_ptr(word) })
        }

        pub(super) fn load(&self) -> u64 {
            self.0.load(Relaxed)
        }

        pub(super) fn load_acquire(&self) -> u64 {
            self.0.load(Acquire)
        }

        pub(super) fn store(&self, value: u64) {
            self.0.store(value, Relaxed);
        }

        pub(super) fn store_release(&self, value: u64) {
            self.0.store(value, Release);
        }
    }
}

/// A word that is two accesses. Those of 64 bits that the kernel has there are exclusives, whose effect on
/// memory that is not cached differs from CPU to CPU.
#[cfg(all(CONFIG_ARM, not(CONFIG_ARM_LPAE)))]
mod parts {
    use kernel::sync::atomic::{
        Acquire,
        Atomic,
        Relaxed,
        Release, //
    };

    pub(super) const LIMIT: u64 = u32::MAX as u64;

    pub(super) struct Parts<'memory> {
        low: &'memory Atomic<u32>,
        high: &'memory Atomic<u32>,
    }

    impl Parts<'_> {
        /// # Safety
        ///
        /// As for [`Word::new`](super::Word::new).
        pub(super) unsafe fn new(word: *mut u64) -> Self {
            let low: *mut u32 = word.cast();

            // SAFETY: By the safety requirements, of which both halves are parts. There is no Rust for
            // big-endian kernels.
            let [low, high] =
                [low, low.wrapping_add(1)].map(|half| unsafe { Atomic::from_ptr(half) });
            Self { low, high }
        }

        pub(super) fn load(&self) -> u64 {
            u64::from(self.high.load(Relaxed)) << 32 | u64::from(self.low.load(Relaxed))
        }

        /// The upper half first: both come before what is loaded later.
        pub(super) fn load_acquire(&self) -> u64 {
            u64::from(self.high.load(Acquire)) << 32 | u64::from(self.low.load(Acquire))
        }

        pub(super) fn store(&self, value: u64) {
            // CAST: The halves of 64 bits.
            self.high.store((value >> 32) as u32, Relaxed);
            self.low.store(value as u32, Relaxed);
        }

        pub(super) fn store_release(&self, value: u64) {
            // CAST: The halves of 64 bits.
            self.high.store((value >> 32) as u32, Release);
            self.low.store(value as u32, Release);
        }
    }
}

/// A part of memory that was allocated for DMA, as its device addresses it: at least one byte, all
/// of them allocated as long as this value lives.
#[derive(Clone, Copy)]
pub(crate) struct DmaSpan<'memory> {
    address: DmaAddress,
    length: usize,
    _memory: PhantomData<&'memory ()>,
}

impl<'memory> DmaSpan<'memory> {
    /// Returns the first `length` bytes of memory that is not for user space, or `None` if there are
    /// none or they reach past the end.
    pub(crate) fn of(memory: &'memory Coherent<[u8]>, length: usize) -> Option<Self> {
        (1..=memory.size()).contains(&length).then(|| Self {
            address: memory.dma_address(),
            length,
            _memory: PhantomData,
        })
    }

    /// Describes `length` bytes that the device finds at `address`.
    ///
    /// # Safety
    ///
    /// There must be at least one, and they must be memory that stays during `'memory`.
    pub(super) unsafe fn from_raw(address: DmaAddress, length: usize) -> Self {
        Self {
            address,
            length,
            _memory: PhantomData,
        }
    }

    /// Returns the address of the first byte, for the device that the memory was allocated for.
    pub(crate) fn address(self) -> DmaAddress {
        self.address
    }

    /// Returns the length in bytes.
    pub(crate) fn length(self) -> usize {
        self.length
    }
}
