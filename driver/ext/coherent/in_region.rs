// SPDX-License-Identifier: GPL-2.0

//! [`MappableCoherent`] of a region of reserved memory.

use super::MappableCoherent;
use crate::ext::{
    address_space::AddressSpace,
    pmd_memory,
    reserved_memory::{
        AssignedRegion,
        Region, //
    }, //
};
use kernel::{
    device::{
        Bound,
        Device, //
    },
    dma::{
        attrs,
        Coherent,
        DmaAddress, //
    },
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*,
    sync::Arc, //
};

impl MappableCoherent {
    /// As [`zeroed`](Self::zeroed), of `region`.
    ///
    /// # Errors
    ///
    /// - `ENOMEM`: the region has no contiguous memory of that size, or the size overflows.
    /// - `ERANGE`: the device does not reach the memory.
    /// - `EINVAL`: `region` is assigned to another device.
    pub(crate) fn zeroed_in(
        region: AssignedRegion,
        dev: &Device<Bound>,
        pages: usize,
        space: Arc<AddressSpace>,
    ) -> Result<Self> {
        // A region of another device would give the PFNs of other memory.
        if !region.is_of(dev) {
            return Err(EINVAL);
        }
        let size = pages.checked_mul(PAGE_SIZE).ok_or(ENOMEM)?;
        // A `no-map` pool has no `struct page`, and one place for each size.
        let memory = if region.is_no_map() {
            Coherent::zeroed_slice_with_attrs(dev, size, GFP_KERNEL, attrs::DMA_ATTR_NO_WARN)?
        } else {
            pmd_memory::zeroed(dev, size)?
        };

        let mut this = Self::new(dev, memory, space);
        this.memory_type = region.memory_type(this.memory_type);
        this.region = Some(region);
        let this = this.located(dev)?;

        // The kernel takes memory from elsewhere if a reusable region has none left, or if an IOMMU
        // makes contiguous memory unnecessary.
        let is_in_region = this
            .region
            .as_ref()
            .is_some_and(|region| (0..pages).all(|page| region.contains(this.pfn(page))));
        if is_in_region {
            Ok(this)
        } else {
            Err(ENOMEM)
        }
    }

    /// Returns the region that the memory is of, if its device's node names one.
    pub(crate) fn region(&self) -> Option<&Region> {
        self.region.as_ref().map(AssignedRegion::region)
    }

    /// Returns the PFN of `page` that follows from its place in a `no-map` region; `None` if the memory is
    /// not of one.
    pub(super) fn pfn_in_region(&self, page: usize) -> Option<usize> {
        // CAST: A page of the memory has an address that fits the device's; for others the answer means
        // nothing.
        let offset = (page << PAGE_SHIFT) as DmaAddress;

        self.region
            .as_ref()?
            .pfn(self.dma_address().wrapping_add(offset))
    }
}
