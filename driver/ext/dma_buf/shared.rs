// SPDX-License-Identifier: GPL-2.0

//! Memory that is kept for importers, and its mappings for their devices.

use crate::ext::{
    address_space::AddressSpace,
    cached::CachedPages,
    coherent::MappableCoherent,
    ffi,
    memory::MemoryType, //
};
use core::ptr::NonNull;
use kernel::{
    bindings,
    dma::DataDirection,
    error::to_result,
    ffi::c_uint,
    page::PAGE_SHIFT,
    prelude::*,
    sync::Arc, //
};

/// A use of memory, which is not freed meanwhile.
///
/// # Invariants
///
/// Either this value has one reference of each of `pages`, cached pages that start there and are so many
/// bytes long, or it is one of the uses that `space` counts, whose memory is then not freed.
pub(crate) struct Use {
    space: Arc<AddressSpace>,
    pages: Option<(NonNull<kernel::ffi::c_void>, usize)>,
}

// SAFETY: References of pages, and the count, belong to no thread.
unsafe impl Send for Use {}

impl Drop for Use {
    fn drop(&mut self) {
        match self.pages {
            // SAFETY: By the type invariants the references are this value's.
            Some((pages, size)) => unsafe { ffi::faultline_pages_free(pages.as_ptr(), size) },
            None => self.space.importers().end_use(),
        }
    }
}

/// Room for the pages of memory, which is made before the memory is borrowed.
pub(crate) struct Room(KVVec<*mut bindings::page>);

impl Room {
    /// Makes room for `pages` pages.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(pages: usize) -> Result<Self> {
        Ok(Self(KVVec::with_capacity(pages, GFP_KERNEL)?))
    }
}

/// Memory that an importer is to map.
pub(crate) struct Shared {
    /// The pages of the memory.
    pages: KVVec<*mut bindings::page>,
    /// Whether nothing has to be done for the CPUs and a device to see what the other has written.
    is_in_sync: bool,
    /// Whether the memory's own device sees the CPU's caches.
    device_is_coherent: bool,
    memory: Use,
}

impl MappableCoherent {
    /// Keeps the memory from being freed as long as the result lives.
    ///
    /// Dropping the memory waits for that, for a limited time; then the memory is never freed. Cached pages
    /// are kept by references of their own, and nobody waits.
    pub(crate) fn keep(&self) -> Use {
        let pages = self.pages().map(|pages| {
            let start = pages.first();
            // SAFETY: The pages are allocated, as `self` is borrowed.
            unsafe { ffi::faultline_pages_get(start.as_ptr(), pages.size()) };
            (start, pages.size())
        });
        if pages.is_none() {
            self.space().importers().begin_use();
        }

        // INVARIANT: One of both was done. `MappableCoherent::drop()`, which needs the borrow of `self` to have
        // ended, frees no memory that has a use.
        Use {
            space: self.space().clone(),
            pages,
        }
    }

    /// Returns the memory for an importer.
    ///
    /// # Errors
    ///
    /// - `EIO`: the memory's own device has a bounce buffer, which each synchronisation copies over what
    ///   another device has written.
    /// - `EOPNOTSUPP`: it has pages without a `struct page` that is its own: it is in a `no-map` region.
    /// - `ENOMEM`: `room` is too small.
    pub(crate) fn share(&self, room: Room) -> Result<Shared> {
        let Room(mut pages) = room;

        if self.pages().is_some_and(CachedPages::is_bounced) {
            return Err(EIO);
        }
        for page in 0..self.size() >> PAGE_SHIFT {
            pages.push_within_capacity(self.page_of(page)?.as_ptr())?;
        }
        Ok(Shared {
            pages,
            is_in_sync: self.memory_type() == MemoryType::DmaCoherent,
            device_is_coherent: self.device_is_coherent(),
            memory: self.keep(),
        })
    }

    /// Returns whether importers can map the memory.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP`, as [`share`](Self::share).
    pub(crate) fn can_be_shared(&self) -> Result {
        (0..self.size() >> PAGE_SHIFT).try_for_each(|page| self.page_of(page).map(drop))
    }

    /// Takes the memory away from importers. What they do not let go of is not freed, even if they do later.
    pub(in crate::ext) fn take_from_importers(&mut self) {
        if self.space().importers().revoke() {
            return;
        }

        pr_warn!(
            "dma-buf: an importer still uses the buffer at DMA address {:#x}: its {} bytes are not freed\n",
            self.dma_address(),
            self.size()
        );
        match self.pages().map(CachedPages::first) {
            // A fence is not signalled: mappings have references of the pages. The DMA mapping itself ends.
            // SAFETY: The pages are allocated, as `self` is borrowed.
            Some(start) => unsafe { ffi::faultline_pages_get(start.as_ptr(), self.size()) },
            None => self.abandon(),
        }
    }

    fn page_of(&self, page: usize) -> Result<NonNull<bindings::page>> {
        // SAFETY: The function looks a PFN up, whatever it is.
        NonNull::new(unsafe { ffi::faultline_page_of(self.pfn(page)) }).ok_or(EOPNOTSUPP)
    }
}

/// Memory that is mapped for a device.
///
/// # Invariants
///
/// `table` is mapped for `dev`, which lives longer, in `direction`. It is the first field, so that a
/// pointer to it is one to this value.
#[repr(C)]
pub(super) struct Mapping {
    table: bindings::sg_table,
    dev: NonNull<bindings::device>,
    direction: DataDirection,
    is_in_sync: bool,
    _memory: Use,
}

impl Mapping {
    /// Maps memory for `dev`.
    ///
    /// # Errors
    ///
    /// - `EIO`: the device sees the CPU's caches and the memory's own does not, or the other way round; or it
    ///   does not reach the memory, and would need a bounce buffer. What synchronises the memory with one
    ///   of the two would then destroy what the other has written.
    /// - `ENOMEM`, and what else `dma_map_sgtable()` answers.
    ///
    /// # Safety
    ///
    /// `dev` must be valid until the result is dropped.
    pub(super) unsafe fn new(
        shared: Shared,
        dev: NonNull<bindings::device>,
        direction: DataDirection,
    ) -> Result<KBox<Self>> {
        let Shared {
            mut pages,
            is_in_sync,
            device_is_coherent,
            memory,
        } = shared;
        // SAFETY: By the safety requirements the device is valid. It is bound: its driver maps the memory.
        if unsafe { ffi::faultline_dev_is_dma_coherent(dev.as_ptr()) } != device_is_coherent {
            return Err(EIO);
        }
        let count = c_uint::try_from(pages.len()).map_err(|_| EINVAL)?;
        let room = KBox::<Self>::new_uninit(GFP_KERNEL)?;
        let mut table = bindings::sg_table::default();

        // SAFETY: `dev` is valid by the safety requirements; the table may be written to, and the pages,
        // `count` of them, are allocated as long as `memory` lives. The function leaves the table empty if
        // it fails.
        to_result(unsafe {
            ffi::faultline_sg_map(
                dev.as_ptr(),
                &mut table,
                pages.as_mut_ptr(),
                count,
                // CAST: As the enumeration is declared.
                direction as c_uint,
                is_in_sync,
            )
        })?;

        // INVARIANT: The table is mapped. It may be moved: its entries are elsewhere, and nothing points at it.
        Ok(room.write(Self {
            table,
            dev,
            direction,
            is_in_sync,
            _memory: memory,
        }))
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: By the type invariants the table is mapped so, and the device is valid. `_memory`, which
        // keeps the pages, is dropped after this.
        unsafe {
            ffi::faultline_sg_unmap(
                self.dev.as_ptr(),
                &mut self.table,
                // CAST: As the enumeration is declared.
                self.direction as c_uint,
                self.is_in_sync,
            )
        };
    }
}
