// SPDX-License-Identifier: GPL-2.0

//! Regions of reserved memory that a device's coherent memory is to come from.
//!
//! A node names a region by its property `memory-region`. [`Region::of`] says what there is, and
//! [`Region::assign`] makes the DMA API allocate the device's coherent memory from it. The
//! [`AssignedRegion`] that it returns has to outlive that memory: `dma_free_coherent()` finds out by the
//! assignment where the memory goes back to.
//!
//! C header: [`include/linux/of_reserved_mem.h`](srctree/include/linux/of_reserved_mem.h)

use super::{
    ffi,
    memory::MemoryType, //
};
use core::ptr;
use kernel::{
    device::{
        Core,
        Device, //
    },
    dma::DmaAddress,
    error::to_result,
    fmt,
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    platform,
    prelude::*,
    sync::aref::ARef, //
};

/// Returns how many regions the property `memory-region` of a node names.
///
/// # Errors
///
/// What `of_count_phandle_with_args()` answers where the property is not a list of nodes that there
/// are.
pub(crate) fn count(dev: &Device) -> Result<usize> {
    // SAFETY: `dev` is valid, and the driver core keeps its node.
    let count = unsafe { ffi::faultline_region_count(ffi::raw_device(dev)) };

    usize::try_from(count).map_err(|_| Error::from_errno(count))
}

/// What memory of a region is to the kernel, by the properties of the region's node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `reusable`: ordinary memory, which the kernel uses for itself until a device wants it (CMA).
    Reusable,
    /// `no-map`: no memory of the kernel's, which has no `struct page` and no mapping of it but the one
    /// that the pool makes, by `memremap(MEMREMAP_WC)`.
    NoMap,
}

/// The region that a node names.
pub(crate) struct Region {
    raw: ffi::faultline_region,
}

impl Region {
    /// Returns the first region that the property `memory-region` of a node names.
    ///
    /// # Errors
    ///
    /// `ENODEV`: it names none.
    pub(crate) fn of(dev: &Device) -> Result<Self> {
        let mut raw = ffi::faultline_region::default();

        // SAFETY: `dev` is valid, and the driver core keeps its node; `raw` may be written to.
        to_result(unsafe { ffi::faultline_region_describe(ffi::raw_device(dev), &mut raw) })?;
        Ok(Self { raw })
    }

    /// Returns the name of the region's node, of which very long ones are cut.
    pub(crate) fn name(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.raw.name).unwrap_or(c"?")
    }

    /// Returns whether the region's node is enabled. The kernel passes over a node that is not.
    pub(crate) fn is_enabled(&self) -> bool {
        self.raw.is_enabled
    }

    /// Returns whether the kernel has reserved the region.
    pub(crate) fn is_reserved(&self) -> bool {
        self.raw.size > 0
    }

    /// Returns what kind of pool the region is, or `None` if it is not a `shared-dma-pool` that is
    /// either `reusable` or `no-map`.
    pub(crate) fn kind(&self) -> Option<Kind> {
        match (self.raw.is_pool, self.raw.is_reusable, self.raw.is_no_map) {
            (true, true, false) => Some(Kind::Reusable),
            (true, false, true) => Some(Kind::NoMap),
            _ => None,
        }
    }

    /// Returns whether the region begins and ends where pages do.
    pub(crate) fn has_whole_pages(&self) -> bool {
        // CAST: A page is smaller than any address.
        (self.raw.base | self.raw.size) % PAGE_SIZE as u64 == 0
    }

    /// Makes the region the one that the coherent memory of its device comes from. Says so in the log.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: the region is no pool, or does not consist of whole pages.
    /// - `EOPNOTSUPP`: the region is `no-map`, and the device is behind an IOMMU, which the pool's DMA
    ///   addresses would pass by.
    /// - `EBUSY`: a pool is assigned to the device already.
    /// - `ENOMEM`.
    pub(crate) fn assign(self, pdev: &platform::Device<Core<'_>>) -> Result<AssignedRegion> {
        let dev: &Device = pdev.as_ref();
        let kind = self.kind().ok_or(EINVAL)?;
        if !self.is_enabled() || !self.is_reserved() || !self.has_whole_pages() {
            return Err(EINVAL);
        }
        // SAFETY: `dev` is valid, and `Core` means that its DMA configuration is set up.
        let uses_iommu = unsafe { ffi::faultline_uses_iommu(ffi::raw_device(dev)) };
        if kind == Kind::NoMap && uses_iommu {
            return Err(EOPNOTSUPP);
        }

        // SAFETY: `dev` is valid, and `Core` means that a bus callback has it locked: nothing allocates
        // for it meanwhile.
        to_result(unsafe { ffi::faultline_region_assign(ffi::raw_device(dev)) })?;

        // INVARIANT: The region that the function takes is the one that `of()` has described.
        Ok(AssignedRegion {
            dev: dev.into(),
            region: self,
            kind,
        })
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.name(), f)?;
        write!(f, " ({:#x} bytes at {:#x})", self.raw.size, self.raw.base)
    }
}

/// A region that the coherent memory of a device comes from, as long as this value lives.
///
/// # Invariants
///
/// `region` is assigned to `dev`, and is a pool of `kind` in whole pages.
pub(crate) struct AssignedRegion {
    dev: ARef<Device>,
    region: Region,
    kind: Kind,
}

impl AssignedRegion {
    /// Returns whether the region is assigned to `dev`.
    pub(super) fn is_of(&self, dev: &Device) -> bool {
        ptr::eq(&*self.dev, dev)
    }

    /// Returns the region.
    pub(crate) fn region(&self) -> &Region {
        &self.region
    }

    /// Returns whether the region is `no-map`.
    pub(super) fn is_no_map(&self) -> bool {
        self.kind == Kind::NoMap
    }

    /// Returns the type of the region's memory, for a device that sees the CPU's caches or does not.
    ///
    /// A pool that is `no-map` is mapped write-combining whatever the device sees
    /// (`dma_init_coherent_memory()` in kernel/dma/coherent.c), which is the memory type of
    /// `pgprot_dmacoherent()` on arm64 and 32-bit ARM.
    pub(super) fn memory_type(&self, of_device: MemoryType) -> MemoryType {
        match self.kind {
            Kind::Reusable => of_device,
            Kind::NoMap => MemoryType::DmaCoherent,
        }
    }

    /// Returns the PFN of what the device finds at `address`, or `None` if only the kernel's page table
    /// knows it.
    ///
    /// Memory that is `no-map` has no `struct page`, which `vmalloc_to_pfn()` would go by. The pool
    /// gives the byte at offset N of the region the DMA address N beyond that of the region's start
    /// (`__dma_alloc_from_coherent()`).
    #[allow(clippy::useless_conversion)] // The configuration decides how wide a DMA address is.
    pub(super) fn pfn(&self, address: DmaAddress) -> Option<usize> {
        if self.kind != Kind::NoMap {
            return None;
        }

        // SAFETY: The device is valid, as `dev` is a reference to it. Its DMA configuration, which the
        // function reads (`dma_range_map`), goes when its driver is unbound. Memory that is `no-map` is
        // contiguous, so that its PFNs are asked for only while it is being allocated
        // (`MappableCoherent::zeroed_in()`), for a device that is bound.
        let start = unsafe {
            ffi::faultline_phys_to_dma(ffi::raw_device(&*self.dev), self.region.raw.base)
        };
        // Wraps where the device cannot reach the region: `MappableCoherent` then refuses the memory.
        let physical = self
            .region
            .raw
            .base
            .wrapping_add(u64::from(address).wrapping_sub(u64::from(start)));

        // CAST: A PFN fits a pointer's width.
        Some((physical >> PAGE_SHIFT) as usize)
    }

    /// Returns whether the region has the page `pfn`.
    pub(super) fn contains(&self, pfn: usize) -> bool {
        let ffi::faultline_region { base, size, .. } = self.region.raw;
        let first = base >> PAGE_SHIFT;

        // CAST: `usize` is no wider than `u64`.
        (first..first + (size >> PAGE_SHIFT)).contains(&(pfn as u64))
    }
}

impl Drop for AssignedRegion {
    fn drop(&mut self) {
        // SAFETY: By the type invariants the region is assigned to the device, which is valid. What was
        // allocated from it has been freed, or never will be: see the head of this file.
        unsafe { ffi::faultline_region_release(ffi::raw_device(&*self.dev)) };
    }
}
