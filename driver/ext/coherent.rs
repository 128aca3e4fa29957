// SPDX-License-Identifier: GPL-2.0

//! DMA-coherent memory that may be lent to user space.
//!
//! `kernel::dma::Coherent` frees its memory when it is dropped, even if it is mapped. A
//! [`MappableCoherent`] first takes it away from user space. The types keep the order:
//!
//! - pages can be mapped only by way of a [`Run`], which borrows the memory they belong to;
//! - [`Fault::insert`](super::vm_fault::Fault::insert) accepts a run only in VMAs of the
//!   [`AddressSpace`] that the memory is tied to;
//! - dropping the memory needs all borrows to have ended, and unmaps that address space first.
//!
//! C header: [`include/linux/dma-mapping.h`](srctree/include/linux/dma-mapping.h)

mod in_region;
mod ordinary;

use super::{
    address_space::AddressSpace,
    copy::{
        Destination,
        Source, //
    },
    ffi,
    memory::MemoryType,
    pmd_memory,
    reserved_memory::AssignedRegion,
    run::Run, //
};
use core::{
    mem::{
        ManuallyDrop,
        MaybeUninit, //
    },
    ops::Range, //
};
use kernel::{
    bindings,
    device::{
        Bound,
        Core,
        Device, //
    },
    dma::{
        Coherent,
        Device as _,
        DmaAddress,
        DmaMask, //
    },
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    platform,
    prelude::*,
    sync::{
        aref::ARef,
        Arc, //
    }, //
};
use ordinary::Memory;

/// Sets a device's DMA mask: what the device itself can reach. Where its bus reaches less, the bus's
/// `dma-ranges` in the device tree says so, and the DMA layer obeys.
///
/// # Errors
///
/// `EIO`: the device cannot do DMA, or not with so narrow a mask on this machine.
pub(crate) fn set_dma_mask(pdev: &platform::Device<Core<'_>>, mask: DmaMask) -> Result {
    // SAFETY: `Core` means that a bus callback has the device locked, so that no other callback runs;
    // the driver allocates DMA memory for the device only when it has done this.
    unsafe { pdev.dma_set_mask_and_coherent(mask) }
}

/// Zeroed memory from `dma_alloc_coherent()`: a whole number of pages, which can be mapped into user
/// space.
///
/// # Invariants
///
/// The driver of `dev` is bound: as [`Coherent`], memory of a device is dropped before that is unbound.
pub(crate) struct MappableCoherent {
    memory: ManuallyDrop<Memory>,
    size: usize,
    /// Whether a device may access the memory even when it is nobody's.
    is_abandoned: bool,
    space: Arc<AddressSpace>,
    dev: ARef<Device>,
    /// The type of the memory in the kernel's own mapping.
    memory_type: MemoryType,
    /// What the memory was allocated from, if the node says: given back after the memory.
    region: Option<AssignedRegion>,
    /// The first PFN, if the others follow it one by one.
    contiguous_from: Option<usize>,
}

impl MappableCoherent {
    /// Allocates `pages` pages for `dev`, whose DMA mask is set, mappable through the files of
    /// `space`.
    ///
    /// A failed allocation is not reported to the log: the caller can say more.
    ///
    /// # Errors
    ///
    /// - `ENOMEM`: no contiguous memory of that size, or the size overflows.
    /// - `ERANGE`: the device does not reach the memory.
    pub(crate) fn zeroed(
        dev: &Device<Bound>,
        pages: usize,
        space: Arc<AddressSpace>,
    ) -> Result<Self> {
        let size = pages.checked_mul(PAGE_SIZE).ok_or(ENOMEM)?;
        let memory = pmd_memory::zeroed(dev, size)?;

        Self::new(dev, memory, space).located(dev)
    }

    /// Takes memory of `dev`.
    fn new(dev: &Device<Bound>, memory: Coherent<[u8]>, space: Arc<AddressSpace>) -> Self {
        // INVARIANT: The device is bound.
        Self {
            size: memory.size(),
            memory: ManuallyDrop::new(Memory::Coherent(memory)),
            is_abandoned: false,
            space,
            dev: dev.into(),
            // The DMA layer's choice by the same rule: `dma_pgprot()` in kernel/dma/mapping.c, without
            // what it does where memory is encrypted.
            memory_type: if is_coherent(dev) {
                MemoryType::Cached
            } else {
                MemoryType::DmaCoherent
            },
            region: None,
            contiguous_from: None,
        }
    }

    /// Looks where the memory is.
    ///
    /// # Errors
    ///
    /// `ERANGE`: the device does not reach it.
    fn located(mut self, dev: &Device<Bound>) -> Result<Self> {
        if !self.is_reached_by(dev) {
            return Err(ERANGE);
        }

        // Behind an IOMMU the PFNs may be scattered. They mostly are not, and to know so saves
        // a walk of the kernel's page table at every fault.
        let first = self.pfn(0);
        if (0..self.page_count()).all(|page| self.pfn(page) == first + page) {
            self.contiguous_from = Some(first);
        }
        Ok(self)
    }

    /// Returns whether the device reaches all of the memory, by its mask and its bus: a rule that the DMA
    /// layer itself obeys (`dma_coherent_ok()` in kernel/dma/direct.c), but not for memory of a region.
    #[allow(clippy::useless_conversion)] // The configuration decides how wide a DMA address is.
    fn is_reached_by(&self, dev: &Device<Bound>) -> bool {
        // SAFETY: `dev` is valid and bound, so that its DMA configuration does not change.
        let (mask, bus) = unsafe {
            let raw = ffi::raw_device(dev);
            ((*raw).coherent_dma_mask, (*raw).bus_dma_limit)
        };
        let limit = if bus == 0 { mask } else { mask.min(bus) };

        // CAST: `usize` is no wider than `u64`.
        u64::from(self.dma_address())
            .checked_add(self.size() as u64 - 1)
            .is_some_and(|last| last <= limit)
    }

    /// Returns the address space that the memory can be mapped in.
    pub(super) fn space(&self) -> &Arc<AddressSpace> {
        &self.space
    }

    /// Returns the size in bytes.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    fn page_count(&self) -> usize {
        self.size >> PAGE_SHIFT
    }

    /// Returns the address of the first byte in the kernel's own mapping. User space and the device
    /// may access what is there at any time.
    pub(crate) fn as_ptr(&self) -> *mut u8 {
        self.memory.as_mut_ptr().cast()
    }

    /// Returns the address at which the device finds the memory.
    pub(crate) fn dma_address(&self) -> DmaAddress {
        self.memory.dma_address()
    }

    /// Returns the device that the memory was allocated for.
    pub(crate) fn device(&self) -> &Device<Bound> {
        // SAFETY: By the type invariants the device is bound as long as `self` lives.
        unsafe { Device::from_raw(ffi::raw_device(&*self.dev)) }
    }

    /// Returns whether the device sees the CPU's caches.
    pub(crate) fn device_is_coherent(&self) -> bool {
        is_coherent(self.device())
    }

    /// Gives the memory up: it will be taken away from user space as usual, but never freed.
    ///
    /// That is for a device that was told of the memory and cannot be stopped.
    pub(crate) fn abandon(&mut self) {
        self.is_abandoned = true;
    }

    /// Returns the type of the memory in the kernel's own mapping, which every other mapping must have,
    /// too: two types for one page are a mismatched alias, and reads through one may miss writes through
    /// the other.
    pub(crate) fn memory_type(&self) -> MemoryType {
        self.memory_type
    }

    /// Returns the PFNs of `pages`, or `None` if one is past the end, there are none, or they do
    /// not follow each other in physical memory; a single page always does.
    ///
    /// They are those that the kernel's own page table has for the memory, so that they are
    /// right whatever lies between the device and its memory: the DMA address is not looked at.
    #[inline]
    pub(crate) fn run(&self, pages: Range<usize>) -> Option<Run<'_>> {
        if pages.is_empty() || pages.end > self.page_count() {
            return None;
        }

        let first = match self.contiguous_from {
            Some(first) => first + pages.start,
            None if pages.len() == 1 && self.pages().is_none() => self.pfn(pages.start),
            None => return None,
        };
        // SAFETY: The PFNs are of `self`, which the run borrows, and `drop()` unmaps the address space
        // before it frees the memory.
        Some(unsafe { Run::new(first, pages.len(), &self.space) })
    }

    /// Returns the PFN of `page`, which must be a page of the memory: that which the kernel's page table
    /// has for it.
    pub(crate) fn pfn(&self, page: usize) -> usize {
        if let Some(pfn) = self.pfn_in_region(page) {
            return pfn;
        }
        let address = self.as_ptr();

        // SAFETY: The address is inside the allocation, which the DMA layer gave a mapping in the
        // linear map or in the vmalloc range (`dma_common_vaddr_to_page()` in
        // kernel/dma/ops_helpers.c makes the same distinction). For a page that is not of the
        // memory the answer would mean nothing, but the function only computes and walks.
        unsafe { ffi::faultline_vaddr_to_pfn(address.wrapping_add(page << PAGE_SHIFT).cast()) }
    }

    /// Copies up to `length` bytes from `offset` to `destination`, and returns how many.
    ///
    /// Does not sleep: it stops short where the destination's memory is not present. Bytes that
    /// another CPU or the device changes meanwhile are copied in either state.
    #[inline]
    pub(crate) fn copy_to<D: Destination + ?Sized>(
        &self,
        offset: usize,
        length: usize,
        destination: &mut D,
    ) -> usize {
        let Some(length) = self.clamp(offset, length) else {
            return 0;
        };
        let source = self.as_ptr().wrapping_add(offset);

        // SAFETY: `source` is valid for reads of `length` bytes, by `clamp()`. No Rust reference claims
        // that the memory does not change: there are raw pointers to it only.
        unsafe { destination.copy_from(source.cast(), length) }
    }

    /// Copies up to `length` bytes from `source` to `offset`, and returns how many.
    ///
    /// Does not sleep: it stops short where the source's memory is not present.
    #[inline]
    pub(crate) fn copy_from<S: Source + ?Sized>(
        &self,
        offset: usize,
        length: usize,
        source: &mut S,
    ) -> usize {
        let Some(length) = self.clamp(offset, length) else {
            return 0;
        };
        let destination = self.as_ptr().wrapping_add(offset);

        // SAFETY: `destination` is valid for writes of `length` bytes, by `clamp()`. No Rust reference
        // claims that the memory is its own: there are raw pointers to it only.
        unsafe { source.copy_to(destination.cast(), length) }
    }

    /// As [`copy_to`](Self::copy_to), to kernel memory.
    pub(crate) fn read(&self, offset: usize, destination: &mut [MaybeUninit<u8>]) -> usize {
        let Some(length) = self.clamp(offset, destination.len()) else {
            return 0;
        };
        let source = self.as_ptr().wrapping_add(offset);

        // SAFETY: Both are valid for `length` bytes, and do not overlap, as `destination` is
        // borrowed and the memory is nobody's. The copy is the C function's, as above.
        unsafe { bindings::memcpy(destination.as_mut_ptr().cast(), source.cast(), length) };
        length
    }

    /// As [`copy_from`](Self::copy_from), from kernel memory.
    pub(crate) fn write(&self, offset: usize, source: &[u8]) -> usize {
        let Some(length) = self.clamp(offset, source.len()) else {
            return 0;
        };
        let destination = self.as_ptr().wrapping_add(offset);

        // SAFETY: As in `read()`.
        unsafe { bindings::memcpy(destination.cast(), source.as_ptr().cast(), length) };
        length
    }

    /// Returns how much of `length` bytes from `offset` is memory, or `None` if `offset` is not.
    fn clamp(&self, offset: usize, length: usize) -> Option<usize> {
        Some(self.size().checked_sub(offset)?.min(length))
    }
}

/// Returns whether a device sees the CPU's caches.
fn is_coherent(dev: &Device<Bound>) -> bool {
    // SAFETY: `dev` is valid, and bound, so that its DMA configuration is set up.
    unsafe { ffi::faultline_dev_is_dma_coherent(ffi::raw_device(dev)) }
}

impl Drop for MappableCoherent {
    fn drop(&mut self) {
        if let Some(pages) = self.pages() {
            pages.wait_for_faults();
        }
        // Nobody can insert a PFN any more: that takes a borrow of `self`. What was inserted
        // before goes now, and `memory`, which is dropped next, is nobody else's.
        self.space.unmap_all();
        self.take_from_importers();

        if !self.is_abandoned {
            // SAFETY: This is the only place that drops it, and nothing uses it afterwards.
            unsafe { ManuallyDrop::drop(&mut self.memory) };
        }
    }
}
