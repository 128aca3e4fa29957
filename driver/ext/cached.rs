// SPDX-License-Identifier: GPL-2.0

//! Ordinary pages that a device accesses, too: cached memory with a streaming DMA mapping.
//!
//! The kernel and user space have the pages cached, whether or not the device sees the caches. Who
//! accesses them next is said by [`CachedPages::sync_for_cpu`] and [`CachedPages::sync_for_device`]:
//! there the DMA layer maintains the caches, or copies, if the device cannot reach the pages and uses a
//! bounce buffer in their place.
//!
//! # Lifetime
//!
//! Each page has its own reference count. [`CachedPages`] owns one reference, a page-table entry of user
//! space another, and whatever pins the page (`get_user_pages()`: O_DIRECT, io_uring, `vmsplice()`) one
//! more. When a [`CachedPages`] is dropped, the DMA mapping ends and its references go. A page that
//! something else still refers to stays allocated, and is neither the device's nor anybody else's; the
//! last reference frees it. So nothing has to be waited for.
//!
//! C header: [`include/linux/dma-mapping.h`](srctree/include/linux/dma-mapping.h)

use super::ffi;
use core::{
    ops::Range,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    device::{
        Bound,
        Device, //
    },
    dma::{
        DataDirection,
        DmaAddress, //
    },
    ffi::{
        c_uint,
        c_void, //
    },
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*,
    sync::aref::ARef, //
};

/// How low memory can be asked for: anywhere, where 32 bits reach, and where the most limited devices of
/// the machine do (`faultline_pages_alloc()`).
const ZONES: [c_uint; 3] = [0, 1, 2];

/// Zeroed pages that follow each other in physical memory, mapped for a device.
///
/// # Invariants
///
/// `pages` is the address of `size` bytes, whole pages, in the linear map; this value owns one reference
/// of each page. `address` is what the device finds them at, by a mapping in both directions of all of
/// them, which this value owns.
pub(crate) struct CachedPages {
    dev: ARef<Device>,
    pages: NonNull<c_void>,
    size: usize,
    address: u64,
}

// SAFETY: The pages and the mapping belong to the value, not to a thread.
unsafe impl Send for CachedPages {}

// SAFETY: `&self` gives access to pages by raw pointers and C functions only, which may be called at the
// same time.
unsafe impl Sync for CachedPages {}

impl CachedPages {
    /// Allocates `pages` pages and maps them for `dev`, whose DMA mask is set.
    ///
    /// A failed allocation is not reported to the log: the caller can say more.
    ///
    /// # Errors
    ///
    /// - `ENOMEM`: there are no contiguous pages of that size, or it overflows.
    /// - `EIO`: the DMA layer cannot map them; it may have no room for a bounce buffer of that size.
    pub(crate) fn zeroed(dev: &Device<Bound>, pages: usize) -> Result<Self> {
        let size = pages.checked_mul(PAGE_SIZE).ok_or(ENOMEM)?;
        let pages = allocate(dev, size).ok_or(ENOMEM)?;
        let mut address = 0;

        // SAFETY: `dev` is valid and bound; the pages are allocated, and `address` may be written to.
        let is_mapped = unsafe {
            ffi::faultline_pages_map(ffi::raw_device(dev), pages.as_ptr(), size, &mut address)
        };
        if !is_mapped {
            // SAFETY: The pages are ours, and not mapped.
            unsafe { ffi::faultline_pages_free(pages.as_ptr(), size) };
            return Err(EIO);
        }

        // INVARIANT: The pages are allocated and mapped, and nobody else knows of them.
        Ok(Self {
            dev: dev.into(),
            pages,
            size,
            address,
        })
    }

    /// Returns the size in bytes.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Returns the address of the first byte in the kernel's own mapping.
    pub(super) fn as_ptr(&self) -> *mut u8 {
        self.pages.as_ptr().cast()
    }

    /// Returns the address at which the device finds the pages, or what stands for them.
    pub(super) fn dma_address(&self) -> DmaAddress {
        // CAST: It came as a DMA address.
        self.address as DmaAddress
    }

    /// Returns the device that the pages are mapped for.
    pub(super) fn device(&self) -> &ARef<Device> {
        &self.dev
    }

    /// Returns the address of a page in the kernel's own mapping, or `None` past the end.
    pub(super) fn page(&self, page: usize) -> Option<*mut c_void> {
        (page < self.size >> PAGE_SHIFT)
            .then(|| self.pages.as_ptr().wrapping_byte_add(page << PAGE_SHIFT))
    }

    /// Has the CPU find in `range` what the device has written, if `direction` includes what comes from
    /// the device. Until [`sync_for_device`](Self::sync_for_device) the device must not access it.
    ///
    /// Does nothing where the range does not lie in the pages.
    pub(crate) fn sync_for_cpu(&self, range: Range<usize>, direction: DataDirection) {
        self.sync(range, direction, ffi::faultline_pages_sync_for_cpu);
    }

    /// Has the device find in `range` what the CPU has written, if `direction` includes what goes to
    /// the device. Until [`sync_for_cpu`](Self::sync_for_cpu) the CPU must not access it.
    ///
    /// Does nothing where the range does not lie in the pages.
    pub(crate) fn sync_for_device(&self, range: Range<usize>, direction: DataDirection) {
        self.sync(range, direction, ffi::faultline_pages_sync_for_device);
    }

    fn sync(
        &self,
        range: Range<usize>,
        direction: DataDirection,
        sync: unsafe extern "C" fn(*mut bindings::device, u64, usize, usize, c_uint),
    ) {
        if range.is_empty() || range.end > self.size {
            return;
        }

        // SAFETY: By the type invariants the device is valid and has this mapping, in both directions, in
        // which the range lies.
        unsafe {
            sync(
                ffi::raw_device(&*self.dev),
                self.address,
                range.start,
                range.len(),
                // CAST: As the enumeration is declared.
                direction as c_uint,
            )
        };
    }

    /// Returns the address of the first page in the kernel's own mapping.
    pub(super) fn first(&self) -> NonNull<c_void> {
        self.pages
    }

    /// Returns whether the device's mapping is of a bounce buffer.
    pub(super) fn is_bounced(&self) -> bool {
        // SAFETY: By the type invariants the device is valid, and the pages are in the linear map.
        unsafe {
            ffi::faultline_is_bounced(
                ffi::raw_device(&*self.dev),
                self.address,
                self.pages.as_ptr(),
            )
        }
    }

    /// Waits for the faults that have been answered by one of the pages, until each has mapped it or
    /// given it up. May sleep.
    pub(super) fn wait_for_faults(&self) {
        // SAFETY: By the type invariants.
        unsafe { ffi::faultline_pages_wait(self.pages.as_ptr(), self.size) };
    }
}

/// Allocates pages that a device reaches without a bounce buffer or, if there are none, others.
fn allocate(dev: &Device<Bound>, size: usize) -> Option<NonNull<c_void>> {
    let mut pages = None;

    for zone in ZONES {
        // SAFETY: The function takes any size, and one of the zones.
        let Some(lower) = NonNull::new(unsafe { ffi::faultline_pages_alloc(size, zone) }) else {
            break;
        };
        if let Some(higher) = pages.replace(lower) {
            // SAFETY: They are ours, and mapped for nobody.
            unsafe { ffi::faultline_pages_free(higher.as_ptr(), size) };
        }
        if is_reached(dev, lower, size) {
            break;
        }
    }
    pages
}

/// Returns whether a device reaches memory without a bounce buffer: always by an IOMMU, else by its mask
/// and its bus, as `dma_capable()` in include/linux/dma-direct.h says.
fn is_reached(dev: &Device<Bound>, pages: NonNull<c_void>, size: usize) -> bool {
    let raw = ffi::raw_device(dev);

    // SAFETY: `dev` is valid and bound, so that its DMA configuration does not change; its mask is there
    // as soon as there is one; `pages` is an address in the linear map.
    let (has_iommu, mask, bus, start) = unsafe {
        let pfn = ffi::faultline_vaddr_to_pfn(pages.as_ptr());
        // CAST: A physical address can be wider than a pointer, never wider than `u64`.
        let start = ffi::faultline_phys_to_dma(raw, (pfn as u64) << PAGE_SHIFT);
        (
            ffi::faultline_uses_iommu(raw),
            (*raw).coherent_dma_mask,
            (*raw).bus_dma_limit,
            start,
        )
    };
    let limit = if bus == 0 { mask } else { mask.min(bus) };

    // CAST: `usize` is no wider than `u64`.
    has_iommu
        || start
            .checked_add(size as u64 - 1)
            .is_some_and(|last| last <= limit)
}

impl Drop for CachedPages {
    fn drop(&mut self) {
        // SAFETY: By the type invariants the mapping and one reference of each page are ours. Nothing is
        // copied back into the pages, which others may still have.
        unsafe {
            ffi::faultline_pages_unmap(ffi::raw_device(&*self.dev), self.address, self.size);
            ffi::faultline_pages_free(self.pages.as_ptr(), self.size);
        }
    }
}
