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

use super::{
    address_space::AddressSpace,
    cached::CachedPages,
    copy::{
        Destination,
        Source, //
    },
    ffi,
    memory::MemoryType,
    pmd_memory,
    reserved_memory::{
        AssignedRegion,
        Region, //
    },
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
        attrs,
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
    sync::Arc, //
};

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

/// Zeroed memory from `dma_alloc_coherent()`, or else [`CachedPages`]: a whole number of pages, which can
/// be mapped into user space.
pub(crate) struct MappableCoherent {
    memory: ManuallyDrop<Memory>,
    size: usize,
    /// Whether a device may access the memory even when it is nobody's.
    is_abandoned: bool,
    space: Arc<AddressSpace>,
    device_is_coherent: bool,
    /// What the memory was allocated from, if the node says: given back after the memory.
    region: Option<AssignedRegion>,
    /// The first PFN, if the others follow it one by one.
    contiguous_from: Option<usize>,
}

enum Memory {
    Coherent(Coherent<[u8]>),
    Cached(CachedPages),
}

impl MappableCoherent {
    /// Makes ordinary pages mappable through the files of `space`.
    pub(crate) fn cached(pages: CachedPages, space: Arc<AddressSpace>) -> Self {
        Self {
            size: pages.size(),
            device_is_coherent: pages.device_is_coherent(),
            memory: ManuallyDrop::new(Memory::Cached(pages)),
            is_abandoned: false,
            space,
            region: None,
            contiguous_from: None,
        }
    }

    /// Allocates `pages` pages for `dev`, whose DMA mask is set, mappable through the files of
    /// `space`. They are of `region` if one is given.
    ///
    /// A failed allocation is not reported to the log: the caller can say more.
    ///
    /// # Errors
    ///
    /// - `ENOMEM`: no contiguous memory of that size, or the size overflows; or `region` has none, and
    ///   the kernel gave other memory.
    /// - `ERANGE`: the device does not reach the memory.
    /// - `EINVAL`: `region` is assigned to another device.
    pub(crate) fn zeroed(
        dev: &Device<Bound>,
        pages: usize,
        space: Arc<AddressSpace>,
        region: Option<AssignedRegion>,
    ) -> Result<Self> {
        // A region of another device would give the PFNs of other memory.
        if region.as_ref().is_some_and(|region| !region.is_of(dev)) {
            return Err(EINVAL);
        }
        let size = pages.checked_mul(PAGE_SIZE).ok_or(ENOMEM)?;
        // A `no-map` pool has no `struct page`, and one place for each size.
        let memory = match &region {
            Some(region) if region.is_no_map() => {
                Coherent::zeroed_slice_with_attrs(dev, size, GFP_KERNEL, attrs::DMA_ATTR_NO_WARN)?
            }
            _ => pmd_memory::zeroed(dev, size)?,
        };

        let mut this = Self {
            memory: ManuallyDrop::new(Memory::Coherent(memory)),
            size,
            is_abandoned: false,
            space,
            // SAFETY: `dev` is valid, and bound, so that its DMA configuration is set up.
            device_is_coherent: unsafe { ffi::faultline_dev_is_dma_coherent(ffi::raw_device(dev)) },
            region,
            contiguous_from: None,
        };
        if !this.is_reached_by(dev) {
            return Err(ERANGE);
        }

        // Behind an IOMMU the PFNs may be scattered. They mostly are not, and to know so saves
        // a walk of the kernel's page table at every fault.
        let first = this.pfn(0);
        if (0..pages).all(|page| this.pfn(page) == first + page) {
            this.contiguous_from = Some(first);
        }

        // The kernel takes memory from elsewhere if a reusable region has none left, or if an IOMMU
        // makes contiguous memory unnecessary.
        let is_in_region = this
            .region
            .as_ref()
            .is_none_or(|region| (0..pages).all(|page| region.contains(this.pfn(page))));
        if is_in_region {
            Ok(this)
        } else {
            Err(ENOMEM)
        }
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

    /// Returns the size in bytes.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Returns the pages of cached memory, or `None` if the memory is coherent.
    pub(crate) fn pages(&self) -> Option<&CachedPages> {
        match &*self.memory {
            Memory::Coherent(_) => None,
            Memory::Cached(pages) => Some(pages),
        }
    }

    /// Returns the address of the first byte in the kernel's own mapping. User space and the device
    /// may access what is there at any time.
    pub(crate) fn as_ptr(&self) -> *mut u8 {
        match &*self.memory {
            Memory::Coherent(memory) => memory.as_mut_ptr().cast(),
            Memory::Cached(pages) => pages.as_ptr(),
        }
    }

    /// Returns the address at which the device finds the memory.
    pub(crate) fn dma_address(&self) -> DmaAddress {
        match &*self.memory {
            Memory::Coherent(memory) => memory.dma_address(),
            Memory::Cached(pages) => pages.dma_address(),
        }
    }

    /// Returns whether the device sees the CPU's caches.
    pub(crate) fn device_is_coherent(&self) -> bool {
        self.device_is_coherent
    }

    /// Returns the region that the memory is of, if its device's node names one.
    pub(crate) fn region(&self) -> Option<&Region> {
        self.region.as_ref().map(AssignedRegion::region)
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
    ///
    /// It is the DMA layer's choice by the same rule: `dma_pgprot()` in kernel/dma/mapping.c, without
    /// what it does where memory is encrypted; and that of the region, if the memory is of one.
    pub(crate) fn memory_type(&self) -> MemoryType {
        if self.pages().is_some() {
            return MemoryType::Pages;
        }
        let of_device = if self.device_is_coherent {
            MemoryType::Cached
        } else {
            MemoryType::DmaCoherent
        };

        self.region
            .as_ref()
            .map_or(of_device, |region| region.memory_type(of_device))
    }

    /// Returns the PFNs of `pages`, or `None` if one is past the end, there are none, or they do
    /// not follow each other in physical memory; a single page always does. There are none of
    /// [`CachedPages`], which are mapped by themselves.
    ///
    /// They are those that the kernel's own page table has for the memory, so that they are
    /// right whatever lies between the device and its memory: the DMA address is not looked at.
    pub(crate) fn run(&self, pages: Range<usize>) -> Option<Run<'_>> {
        if pages.is_empty() || pages.end > self.size() >> PAGE_SHIFT {
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
    /// has for it, or that which follows from the place of the memory in a `no-map` region.
    pub(crate) fn pfn(&self, page: usize) -> usize {
        if let Some(region) = &self.region {
            // CAST: A page of the memory has an address that fits the device's; for others the answer
            // means nothing.
            let offset = (page << PAGE_SHIFT) as DmaAddress;
            if let Some(pfn) = region.pfn(self.dma_address().wrapping_add(offset)) {
                return pfn;
            }
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

impl Drop for MappableCoherent {
    fn drop(&mut self) {
        if let Some(pages) = self.pages() {
            pages.wait_for_faults();
        }
        // Nobody can insert a PFN any more: that takes a borrow of `self`. What was inserted
        // before goes now, and `memory`, which is dropped next, is nobody else's.
        self.space.unmap_all();

        if !self.is_abandoned {
            // SAFETY: This is the only place that drops it, and nothing uses it afterwards.
            unsafe { ManuallyDrop::drop(&mut self.memory) };
        }
    }
}
