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
    prelude::*,
    sync::atomic::Atomic, //
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
    pub(crate) fn word(&self, offset: usize) -> Option<&Atomic<u64>> {
        let end = offset.checked_add(size_of::<u64>())?;
        if end > self.size() || offset % align_of::<u64>() != 0 {
            return None;
        }
        let word = self.as_ptr().wrapping_add(offset);

        // SAFETY: By the check above the word lies in the memory, which begins with a page, and is
        // aligned; it stays as long as `self` is borrowed. Whatever else accesses it is C code or
        // not the kernel's: for the memory model its stores are as good as atomic ones.
        Some(unsafe { Atomic::from_ptr(word.cast()) })
    }

    /// Has the CPU translate the address of the byte at `offset` in the kernel's own mapping, or
    /// returns `None` past the end.
    ///
    /// # Errors
    ///
    /// As [`translate::kernel`].
    pub(crate) fn translate(&self, offset: usize, access: Access) -> Option<Result<Translation>> {
        let address = self.as_ptr().wrapping_add(offset);

        (offset < self.size()).then(|| translate::kernel(address.cast(), access))
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

    /// Returns the address of the first byte, for the device that the memory was allocated for.
    pub(crate) fn address(self) -> DmaAddress {
        self.address
    }

    /// Returns the length in bytes.
    pub(crate) fn length(self) -> usize {
        self.length
    }
}
