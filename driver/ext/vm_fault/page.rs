// SPDX-License-Identifier: GPL-2.0

//! Page faults that are answered by an ordinary page.
//!
//! The kernel counts such pages: an entry of a page table has a reference of its page. So
//! `get_user_pages()` works, and whatever it gives away keeps the page. A VMA of this kind has none of the
//! flags of the other kind, and a table of operations of its own, so that neither kind of entry can come
//! into the other's VMA.
//!
//! # Revocation
//!
//! Here the kernel makes the entry after the handler has returned. What [`PageFault::provide`] gives is
//! locked, as pages of the page cache are, and the kernel unlocks it when the entry is there. To revoke
//! pages, refuse them to new faults, wait for the handlers, lock and unlock each page, and then unmap: no
//! entry comes later. Where a page table has gone since the fault began, the kernel allocates another
//! meanwhile, so that a revocation may have to wait for memory.
//!
//! C header: [`include/linux/mm.h`](srctree/include/linux/mm.h)

use super::{
    Fault,
    VmOperations,
    VmOperationsVTable, //
};
use crate::ext::{
    cached::CachedPages,
    ffi,
    new_vma::{
        Installed,
        NewVma, //
    }, //
};
use core::{
    marker::PhantomData,
    mem, //
};
use kernel::{
    bindings,
    mm::virt::VmaRef,
    sync::ArcBorrow,
    types::{
        NotThreadSafe,
        Opaque, //
    }, //
};

/// What a driver does when a page of a VMA of ordinary pages is touched.
pub(crate) trait PageOperations: VmOperations {
    /// Answers an access to a page that is not mapped, or refuses it: then the task gets a `SIGBUS`.
    ///
    /// The context is that of [`VmOperations::fault`].
    fn page_fault<'a>(this: ArcBorrow<'_, Self>, fault: PageFault<'a>) -> Option<Provided<'a>>;
}

/// A fault that is to be answered by an ordinary page.
pub(crate) struct PageFault<'a>(Fault<'a>);

impl<'a> PageFault<'a> {
    /// Returns which page of the file was touched.
    pub(crate) fn pgoff(&self) -> usize {
        self.0.pgoff()
    }

    /// Gives a page to the kernel, which maps it. May sleep, until the page is unlocked.
    ///
    /// Returns `None` past the end of the pages.
    pub(crate) fn provide(self, pages: &CachedPages, page: usize) -> Option<Provided<'a>> {
        let page = pages.page(page)?;
        let vmf = self.0.vmf;

        // SAFETY: By the invariants of `Fault` the fault is being handled, and this is its only answer, as
        // it takes `self`; the page is allocated, as `pages` is borrowed.
        // INVARIANT: The function does both.
        unsafe { ffi::faultline_page_provide(vmf.get(), page) };
        Some(Provided {
            vmf,
            _not_send: NotThreadSafe,
        })
    }
}

/// A page for the kernel to map, which only the return from the handler makes its own.
///
/// # Invariants
///
/// The fault's `page` is locked, and has a reference that is this value's.
pub(crate) struct Provided<'a> {
    vmf: &'a Opaque<bindings::vm_fault>,
    _not_send: NotThreadSafe,
}

impl Drop for Provided<'_> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants.
        unsafe { ffi::faultline_page_take_back(self.vmf.get()) };
    }
}

impl<T: PageOperations> NewVma<'_, T> {
    /// As [`install`](NewVma::install), for pages that the kernel counts, which are cached and mapped one
    /// by one.
    pub(crate) fn install_pages(self) -> Installed {
        // SAFETY: By the type invariants the description is valid, and ours to change. The operations are
        // those of `T`, for VMAs with the flags that the function sets.
        unsafe {
            ffi::faultline_desc_set_up_pages(self.desc);
            self.install_operations(&PageOperationsVTable::<T>::VTABLE)
        }
    }
}

/// The C operations of VMAs of ordinary pages that `T` serves, as [`VmOperationsVTable`] otherwise.
struct PageOperationsVTable<T: PageOperations>(PhantomData<T>);

impl<T: PageOperations> PageOperationsVTable<T> {
    /// A page is not there.
    ///
    /// # Safety
    ///
    /// `vmf` must describe a fault in a VMA of this table, which is locked for reading.
    unsafe extern "C" fn fault(vmf: *mut bindings::vm_fault) -> bindings::vm_fault_t {
        // INVARIANT: By the safety requirements.
        let fault = Fault {
            // SAFETY: The structure is valid while the fault is being handled. `Opaque` allows for the
            // members that the kernel changes.
            vmf: unsafe { &*vmf.cast() },
            _not_send: NotThreadSafe,
        };

        // SAFETY: The VMA is one that was set up with these operations of `T`, which is done for VMAs whose
        // private data is a foreign `Arc<T>`, and locked for as long as the fault is handled.
        let data = unsafe { VmOperationsVTable::<T>::data(VmaRef::from_raw(fault.raw().vma)) };

        match T::page_fault(data, PageFault(fault)) {
            Some(provided) => {
                // The lock and the reference are the kernel's from here on.
                mem::forget(provided);
                bindings::vm_fault_reason_VM_FAULT_LOCKED
            }
            None => bindings::vm_fault_reason_VM_FAULT_SIGBUS,
        }
    }

    const VTABLE: bindings::vm_operations_struct = bindings::vm_operations_struct {
        open: Some(VmOperationsVTable::<T>::open),
        fault: Some(Self::fault),
        ..pin_init::zeroed()
    };
}
