// SPDX-License-Identifier: GPL-2.0

//! DMA-coherent memory that may be lent to user space.
//!
//! `kernel::dma::Coherent` frees its memory when it is dropped, whoever has it mapped. A
//! [`MappableCoherent`] first takes it away from user space. The types keep the order:
//!
//! - a page can be mapped only by way of a [`Frame`], which borrows the memory it belongs to;
//! - [`Fault::insert`](super::vm_fault::Fault::insert) accepts a frame only in areas of the
//!   [`AddressSpace`] that the memory is tied to;
//! - dropping the memory needs all borrows to have ended, and unmaps that address space first.
//!
//! C header: [`include/linux/dma-mapping.h`](srctree/include/linux/dma-mapping.h)

use super::{
    address_space::AddressSpace,
    ffi, //
};
use kernel::{
    bindings,
    device::{
        Bound,
        Core,
        Device, //
    },
    dma::{
        attrs,
        Coherent,
        Device as _,
        DmaAddress,
        DmaMask, //
    },
    iov::{
        IovIterDest,
        IovIterSource, //
    },
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    platform,
    prelude::*,
    sync::Arc, //
};

/// Zeroed memory from `dma_alloc_coherent()`, a whole number of pages, whose pages can be mapped
/// into user space.
pub(crate) struct MappableCoherent {
    memory: Coherent<[u8]>,
    space: Arc<AddressSpace>,
    device_is_coherent: bool,
}

impl MappableCoherent {
    /// Sets the device's DMA mask and allocates `pages` pages for it, mappable through the files
    /// of `space`.
    ///
    /// The mask is 64 bits: where a bus reaches less, its `dma-ranges` in the device tree says so,
    /// and the DMA layer obeys. A failed allocation is not reported to the log: the caller can
    /// say more.
    ///
    /// # Errors
    ///
    /// - `EIO`: the device cannot do DMA.
    /// - `ENOMEM`: no contiguous memory of that size, or the size overflows.
    pub(crate) fn zeroed(
        pdev: &platform::Device<Core<'_>>,
        pages: usize,
        space: Arc<AddressSpace>,
    ) -> Result<Self> {
        let size = pages.checked_mul(PAGE_SIZE).ok_or(ENOMEM)?;

        // SAFETY: `Core` means that a bus callback has the device locked, so that no other
        // callback runs; and a driver reaches the DMA layer for this device only through the
        // allocation below, which comes after.
        unsafe { pdev.dma_set_mask_and_coherent(DmaMask::new::<64>())? };

        let dev: &Device<Bound> = pdev.as_ref();
        let memory =
            Coherent::zeroed_slice_with_attrs(dev, size, GFP_KERNEL, attrs::DMA_ATTR_NO_WARN)?;

        Ok(Self {
            memory,
            space,
            // SAFETY: `dev` is valid, and bound, so that its DMA configuration is set up.
            device_is_coherent: unsafe { ffi::faultline_dev_is_dma_coherent(ffi::raw_device(dev)) },
        })
    }

    /// Returns the size in bytes.
    pub(crate) fn size(&self) -> usize {
        self.memory.size()
    }

    /// Returns the address at which the device finds the memory.
    pub(crate) fn dma_address(&self) -> DmaAddress {
        self.memory.dma_address()
    }

    /// Returns whether the device sees the CPU's caches. If it does not, the memory must be
    /// mapped uncached everywhere, as the DMA layer has done for the kernel.
    pub(crate) fn device_is_coherent(&self) -> bool {
        self.device_is_coherent
    }

    /// Returns the frame of page `page`, or `None` past the end.
    ///
    /// The frame is the one that the kernel's own page table has for the memory, so that it is
    /// right whatever lies between the device and its memory: the DMA address is not looked at.
    pub(crate) fn frame(&self, page: usize) -> Option<Frame<'_>> {
        let offset = page.checked_mul(PAGE_SIZE)?;
        if offset >= self.size() {
            return None;
        }

        let address = self.memory.as_ptr().cast::<u8>().wrapping_add(offset);
        Some(Frame {
            // SAFETY: `address` is inside the allocation, which the DMA layer gave a mapping in
            // the linear map or in the vmalloc range (`dma_common_vaddr_to_page()` in
            // kernel/dma/ops_helpers.c makes the same distinction).
            number: unsafe { ffi::faultline_vaddr_to_pfn(address.cast()) },
            space: &self.space,
        })
    }

    /// Copies up to `length` bytes from `offset` to `destination`, and returns how many.
    ///
    /// Does not sleep: it stops short where the destination's memory is not present. Bytes that
    /// another CPU or the device changes meanwhile are copied in either state.
    pub(crate) fn copy_to_iter(
        &self,
        offset: usize,
        length: usize,
        destination: &mut IovIterDest<'_>,
    ) -> usize {
        let Some(length) = self.clamp(offset, length) else {
            return 0;
        };
        let source = self.memory.as_ptr().cast::<u8>().wrapping_add(offset);

        // SAFETY: `source` is valid for reads of `length` bytes, by `clamp()`. The copy is the C
        // function's, through raw pointers, so that no Rust reference claims that the memory does
        // not change. Disabling and enabling page faults is balanced.
        unsafe {
            ffi::faultline_pagefault_disable();
            let copied = bindings::_copy_to_iter(source.cast(), length, destination.as_raw());
            ffi::faultline_pagefault_enable();
            copied
        }
    }

    /// Copies up to `length` bytes from `source` to `offset`, and returns how many.
    ///
    /// Does not sleep: it stops short where the source's memory is not present.
    pub(crate) fn copy_from_iter(
        &self,
        offset: usize,
        length: usize,
        source: &mut IovIterSource<'_>,
    ) -> usize {
        let Some(length) = self.clamp(offset, length) else {
            return 0;
        };
        let destination = self.memory.as_mut_ptr().cast::<u8>().wrapping_add(offset);

        // SAFETY: `destination` is valid for writes of `length` bytes, by `clamp()`. The copy is
        // the C function's, through raw pointers, so that no Rust reference claims that the
        // memory is its own. Disabling and enabling page faults is balanced.
        unsafe {
            ffi::faultline_pagefault_disable();
            let copied = bindings::_copy_from_iter(destination.cast(), length, source.as_raw());
            ffi::faultline_pagefault_enable();
            copied
        }
    }

    /// Returns how much of `length` bytes from `offset` is memory, or `None` if `offset` is not.
    fn clamp(&self, offset: usize, length: usize) -> Option<usize> {
        Some(self.size().checked_sub(offset)?.min(length))
    }
}

impl Drop for MappableCoherent {
    fn drop(&mut self) {
        // Nobody can insert a frame any more: that takes a borrow of `self`. What was inserted
        // before goes now, and `memory`, which is dropped next, is nobody else's.
        self.space.unmap_all();
    }
}

/// A page frame of a [`MappableCoherent`], which stays allocated as long as this value lives.
#[derive(Clone, Copy)]
pub(crate) struct Frame<'memory> {
    number: usize,
    space: &'memory AddressSpace,
}

impl Frame<'_> {
    /// Returns the page frame number.
    pub(super) fn number(self) -> usize {
        self.number
    }

    /// Returns the address space whose areas the frame may be mapped in.
    pub(super) fn address_space(&self) -> &AddressSpace {
        self.space
    }

    /// Returns the physical address of the frame's first byte.
    pub(crate) fn physical_address(self) -> u64 {
        // CAST: A physical address can be wider than a pointer, never narrower than `u64`.
        (self.number as u64) << PAGE_SHIFT
    }
}

/// Brings in the memory that a destination points at, so that a copy can go on.
///
/// Returns whether at least some of the next `length` bytes are there now. May sleep.
pub(crate) fn fault_in_destination(destination: &mut IovIterDest<'_>, length: usize) -> bool {
    // SAFETY: The iterator is valid by the type invariants of `IovIterDest`.
    let missing = unsafe { bindings::fault_in_iov_iter_writeable(destination.as_raw(), length) };
    missing < length
}

/// Brings in the memory that a source points at, so that a copy can go on.
///
/// Returns whether at least some of the next `length` bytes are there now. May sleep.
pub(crate) fn fault_in_source(source: &mut IovIterSource<'_>, length: usize) -> bool {
    // SAFETY: The iterator is valid by the type invariants of `IovIterSource`.
    let missing = unsafe { bindings::fault_in_iov_iter_readable(source.as_raw(), length) };
    missing < length
}
