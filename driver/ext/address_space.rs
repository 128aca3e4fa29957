// SPDX-License-Identifier: GPL-2.0

//! An address space of the driver's own, to find every mapping of a device again.
//!
//! The kernel lists the VMAs that map a file in the `address_space` of the file's inode. A
//! device can be opened through several inodes (a second node made by `mknod`, a second instance
//! of devtmpfs), so that none of them lists all VMAs. [`AddressSpace`] is an inode that belongs
//! to the driver: every file that is opened [adopts](AddressSpace::adopt) it, and one call
//! [unmaps](AddressSpace::unmap_all) the device from every process. DRM drivers do the same.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::{
    dma_buf::importers::Importers,
    ffi, //
};
use core::ptr::NonNull;
use kernel::{
    bindings,
    error::from_err_ptr,
    new_spinlock,
    prelude::*,
    sync::{
        lock::spinlock::SpinLockGuard,
        SpinLock, //
    }, //
};

/// An `address_space` with an inode of its own.
///
/// # Invariants
///
/// `inode` is a reference that this value owns to an inode of its own: no file is opened on it,
/// and its `i_mapping` does not change.
#[pin_data(PinnedDrop)]
pub(crate) struct AddressSpace {
    inode: NonNull<bindings::inode>,
    /// Held while a page table or a PMD entry is inserted, so that they do not come to the same place:
    /// `vmf_insert_pfn_pmd()` warns of what it finds there.
    #[pin]
    insertion: SpinLock<()>,
    /// The other devices that have the memory.
    #[pin]
    importers: Importers,
}

// SAFETY: The reference count of an inode is atomic, and a reference may be given up by any
// thread; a spinlock that nobody holds belongs to none.
unsafe impl Send for AddressSpace {}

// SAFETY: What `&self` offers reads a pointer that never changes, takes a spinlock, and calls
// `unmap_mapping_range()`, which takes the locks that it needs.
unsafe impl Sync for AddressSpace {}

impl AddressSpace {
    /// Creates an address space.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        pin_init::pin_init_scope(move || {
            // SAFETY: The function may be called wherever sleeping is allowed, as it is where memory is
            // allocated by `GFP_KERNEL`; it has locks of its own.
            let inode = from_err_ptr(unsafe { ffi::faultline_inode_new() })?;
            let inode = NonNull::new(inode).ok_or(ENOMEM)?;

            // INVARIANT: The function returned a reference to a new inode, which only we know.
            Ok(try_pin_init!(Self {
                inode,
                insertion <- new_spinlock!((), "AddressSpace::insertion"),
                importers <- Importers::new(),
            }))
        })
    }

    /// Has the dma-bufs of what is mapped here refuse new addresses of it, and allows no new dma-buf. May
    /// sleep. To be called before the memory is taken away.
    pub(crate) fn close_to_importers(&self) {
        self.importers.close();
    }

    /// Returns the other devices that have what is mapped here.
    pub(super) fn importers(&self) -> &Importers {
        &self.importers
    }

    /// Keeps others from inserting page tables and PMD entries as long as the guard lives, during which
    /// nothing may sleep.
    pub(super) fn lock_insertion(&self) -> SpinLockGuard<'_, ()> {
        self.insertion.lock()
    }

    /// Returns the C structure, which lives as long as `self`.
    pub(super) fn as_ptr(&self) -> *mut bindings::address_space {
        // SAFETY: By the type invariants the inode is alive and `i_mapping` does not change.
        unsafe { (*self.inode.as_ptr()).i_mapping }
    }

    /// Makes `file` list its mappings here.
    ///
    /// # Safety
    ///
    /// - `file` must be valid and in its `open()` call, before anything can have mapped it.
    /// - `self` must stay alive until the file's `release()` call.
    pub(super) unsafe fn adopt(&self, file: *mut bindings::file) {
        // SAFETY: During `open()` the file belongs to the caller alone.
        unsafe { (*file).f_mapping = self.as_ptr() };
    }

    /// Takes every page that is mapped through a file of this address space away from every
    /// process. A later access faults again.
    ///
    /// May sleep. The caller must see to it that fault handlers, from here on, map nothing that
    /// is to go away.
    pub(crate) fn unmap_all(&self) {
        // SAFETY: The address space is alive by the type invariants. A length of zero means all
        // of it, and the last argument includes private copies.
        unsafe { bindings::unmap_mapping_range(self.as_ptr(), 0, 0, 1) };
    }
}

#[pinned_drop]
impl PinnedDrop for AddressSpace {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariants `self` owns this reference, and it is not used again.
        unsafe { ffi::faultline_inode_free(self.inode.as_ptr()) };
    }
}
