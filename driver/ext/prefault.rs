// SPDX-License-Identifier: GPL-2.0

//! Maps pages before they are touched, by the faults that would map them.
//!
//! `madvise(MADV_POPULATE_WRITE)` and `mlock()` do so for ordinary memory, and refuse or ignore special
//! mappings.
//!
//! C header: [`include/linux/mm.h`](srctree/include/linux/mm.h)

use super::{
    address_space::AddressSpace,
    vm_fault::ptes_per_table, //
};
use core::ops::Range;
use kernel::{
    bindings,
    error::to_result,
    mm::virt::{
        flags,
        VmaRef, //
    },
    page::PAGE_SIZE,
    prelude::*, //
};

/// Has the current task fault on every page of `addresses`, as by a store where the VMA is writable, or
/// else by a load. Page faults are the kernel's own: what the fault handler refuses is refused here.
///
/// # Errors
///
/// What has been mapped before stays mapped.
///
/// - `EFAULT`: a page is not in a VMA of `space`, its VMA allows no access, or its fault ends in a
///   signal.
/// - `EINTR`: a signal came.
/// - `ENOMEM`: there is no memory for page tables.
pub(crate) fn populate(space: &AddressSpace, addresses: Range<usize>) -> Result {
    let task = current!();
    let mm = task.mm().ok_or(EFAULT)?;
    // A power of two: what one page table maps. Between two pieces others may change the VMAs.
    let piece = ptes_per_table() * PAGE_SIZE;

    let mut address = addresses.start;
    while address < addresses.end {
        if task.signal_pending() {
            return Err(EINTR);
        }

        let vmas = mm.mmap_read_lock();
        let vma = vmas
            .vma_lookup(address)
            .filter(|vma| is_of(vma, space))
            .ok_or(EFAULT)?;
        let access = if vma.flags() & flags::WRITE != 0 {
            bindings::fault_flag_FAULT_FLAG_WRITE
        } else {
            0
        };
        // The piece that a VMA is in ends below the end of the address space, which is the kernel's.
        let end = addresses
            .end
            .min(vma.end())
            .min((address | (piece - 1)) + 1);

        let mut was_unlocked = false;
        while address < end && !was_unlocked {
            // SAFETY: The lock of the task's own `mm` is held, for reading, before and after the call.
            // In between it may be given up: `vma` is not used any more.
            to_result(unsafe {
                bindings::fixup_user_fault(mm.as_raw(), address, access, &mut was_unlocked)
            })?;
            address += PAGE_SIZE;
        }
    }
    Ok(())
}

/// Returns whether a VMA is one of `space`.
fn is_of(vma: &VmaRef, space: &AddressSpace) -> bool {
    // SAFETY: The VMA is locked, so that its file, if it has one, stays and is valid.
    unsafe {
        let file = (*vma.as_ptr()).vm_file;
        !file.is_null() && (*file).f_mapping == space.as_ptr()
    }
}
