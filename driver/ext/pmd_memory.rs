// SPDX-License-Identifier: GPL-2.0

//! DMA memory that begins where a PMD entry can map it.
//!
//! A PMD entry maps memory whose PFN is a multiple of the pages that it maps. The page allocator
//! aligns memory to its size, but the contiguous memory allocator (CMA) aligns it to no more than
//! `CONFIG_CMA_ALIGNMENT` says: to 1 MiB on most kernels, where a PMD entry maps 2 MiB. Without
//! this file it would depend on what was allocated before whether a buffer can have PMD mappings.
//!
//! C header: [`include/linux/dma-mapping.h`](srctree/include/linux/dma-mapping.h)

use super::{
    ffi,
    vm_fault::ptes_per_table, //
};
use kernel::{
    device::{
        Bound,
        Device, //
    },
    dma::{
        attrs,
        Coherent, //
    },
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*, //
};

/// How often memory that begins elsewhere is given back.
const ATTEMPTS: usize = 8;

/// Allocates `size` zeroed bytes of DMA memory, a number of whole pages, for `dev`, without a
/// message in the log if there are none. If a PMD entry could map a part of them, they begin where
/// one can, as far as the allocator has such memory.
///
/// # Errors
///
/// As [`Coherent::zeroed_slice_with_attrs`].
pub(super) fn zeroed(dev: &Device<Bound>, size: usize) -> Result<Coherent<[u8]>> {
    let mut memory = allocate(dev, size)?;

    // The CMA gives the lowest range that is free and long enough. What lies between there and the
    // next place for a PMD entry is kept from it, until the memory is found behind.
    let mut kept = KVec::new();
    for _ in 0..ATTEMPTS {
        let Some(gap) = gap(&memory) else {
            break;
        };
        drop(memory);
        let is_kept = allocate(dev, gap).is_ok_and(|gap| kept.push(gap, GFP_KERNEL).is_ok());
        let again = allocate(dev, size);
        match again {
            Ok(found) if is_kept => memory = found,
            Ok(found) => return Ok(found),
            Err(_) => {
                drop(kept);
                return allocate(dev, size);
            }
        }
    }
    Ok(memory)
}

fn allocate(dev: &Device<Bound>, size: usize) -> Result<Coherent<[u8]>> {
    Coherent::zeroed_slice_with_attrs(dev, size, GFP_KERNEL, attrs::DMA_ATTR_NO_WARN)
}

/// Returns how many bytes lie between the beginning of `memory` and the next place where a PMD
/// entry could map some, or `None` if there are none, or nothing would be gained: it is too short
/// for a PMD entry, or its pages do not follow each other.
fn gap(memory: &Coherent<[u8]>) -> Option<usize> {
    let pages = memory.size() >> PAGE_SHIFT;
    let first = pfn(memory, 0);
    if pages < ptes_per_table() || pfn(memory, pages - 1) != first + pages - 1 {
        return None;
    }

    let beyond = first % ptes_per_table();
    (beyond > 0).then(|| (ptes_per_table() - beyond) * PAGE_SIZE)
}

/// Returns the PFN of `page`, a page of `memory`, which must have a `struct page`.
fn pfn(memory: &Coherent<[u8]>, page: usize) -> usize {
    let address: *mut u8 = memory.as_mut_ptr().cast();

    // SAFETY: The address is inside the allocation, which the DMA layer gave a mapping in the
    // linear map or in the vmalloc range.
    unsafe { ffi::faultline_vaddr_to_pfn(address.wrapping_add(page << PAGE_SHIFT).cast()) }
}
