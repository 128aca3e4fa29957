// SPDX-License-Identifier: GPL-2.0

//! Types of memory, and facts about the machine's.
//!
//! C header: [`include/linux/mm.h`](srctree/include/linux/mm.h)

use super::ffi;

/// The type of memory, which all mappings of a page must have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MemoryType {
    /// Ordinary memory, cached.
    Cached,
    /// What the architecture uses for DMA memory of devices that do not see the CPU's caches
    /// (`pgprot_dmacoherent()`); on arm64, Normal Non-cacheable.
    DmaCoherent,
}

/// Returns how many pages of memory the kernel manages (`totalram_pages()`).
pub(crate) fn total_pages() -> usize {
    // SAFETY: The function reads one atomic counter and has no preconditions.
    unsafe { ffi::faultline_totalram_pages() }
}

/// Returns how many pages the kernel has set aside for CMA, in all its regions, and how many of them are
/// free.
pub(crate) fn cma_pages() -> (usize, usize) {
    // SAFETY: The functions read counters and have no preconditions.
    unsafe { (ffi::faultline_cma_pages(), ffi::faultline_free_cma_pages()) }
}

/// Returns whether the kernel encrypts memory, as it does in a confidential guest, so that what devices
/// see is another alias of it (`cc_platform_has(CC_ATTR_MEM_ENCRYPT)`).
pub(crate) fn is_encrypted() -> bool {
    // SAFETY: The function has no preconditions.
    unsafe { ffi::faultline_memory_is_encrypted() }
}
