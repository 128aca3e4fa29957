// SPDX-License-Identifier: GPL-2.0

//! Facts about the machine's memory.
//!
//! C header: [`include/linux/mm.h`](srctree/include/linux/mm.h)

use super::ffi;

/// Returns how many pages of memory the kernel manages (`totalram_pages()`).
pub(crate) fn total_pages() -> usize {
    // SAFETY: The function reads one atomic counter and has no preconditions.
    unsafe { ffi::faultline_totalram_pages() }
}
