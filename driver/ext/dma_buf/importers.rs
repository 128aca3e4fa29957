// SPDX-License-Identifier: GPL-2.0

//! What other devices have of a driver's memory: the dma-buf that stands for it, and how many uses of it
//! there are.
//!
//! [`MappableCoherent`](crate::ext::coherent::MappableCoherent) frees its memory when the device is
//! unbound. An importer of a dma-buf may be using it, and nothing can stop one: `invalidate_mappings()`
//! asks those that have it, and most have not. So [`Importers::revoke`] asks, waits a limited time, and
//! then says whether the memory may be freed. If not it stays allocated for ever: to free it when the last
//! importer goes would be too late, as the DMA layer then knows nothing of the device any more.
//!
//! C header: [`include/linux/dma-buf.h`](srctree/include/linux/dma-buf.h)

use crate::ext::ffi;
use core::ptr::NonNull;
use kernel::{
    bindings,
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Relaxed,
            Release, //
        },
        Mutex, //
    },
    time::{
        delay::fsleep,
        Delta, //
    }, //
};

/// How long importers have to let go of memory, in milliseconds: for their fences, and then for their
/// mappings.
const PATIENCE: u32 = 1000;

/// How often to look whether they have.
const INTERVAL: u32 = 10;

/// The importers of the memory of one address space.
///
/// # Invariants
///
/// Each dma-buf in `exported` is valid while the mutex is held: [`forget`](Self::forget) takes it out before
/// the dma-buf is freed. Its file may be freed already: a process that holds the directory entry, such as by
/// `O_PATH`, delays the release of a dma-buf, but not that of its file.
#[pin_data]
pub(crate) struct Importers {
    #[pin]
    exported: Mutex<Exported>,
    uses: Atomic<u32>,
}

/// The dma-bufs of the memory, as long as it may be exported.
struct Exported {
    bufs: KVec<Weak>,
    is_closed: bool,
}

/// A dma-buf, which may be about to be released, and the operations that it has when the memory goes.
struct Weak(NonNull<bindings::dma_buf>, &'static bindings::dma_buf_ops);

// SAFETY: A dma-buf belongs to no thread.
unsafe impl Send for Weak {}

impl Importers {
    pub(in crate::ext) fn new() -> impl PinInit<Self> {
        // INVARIANT: There is no dma-buf.
        pin_init!(Self {
            exported <- new_mutex!(
                Exported {
                    bufs: KVec::new(),
                    is_closed: false,
                },
                "Importers::exported"
            ),
            uses: Atomic::new(0),
        })
    }

    /// Returns a file descriptor of the dma-buf that `export` makes.
    ///
    /// Each has a dma-buf of its own. To have one for several descriptors, a reference to its file would be
    /// needed, and the file of a dma-buf that is known here may be gone.
    ///
    /// # Errors
    ///
    /// - `ENODEV`: the memory is being taken away.
    /// - `EMFILE`, `ENFILE`, `ENOMEM`.
    /// - As `export`.
    ///
    /// # Safety
    ///
    /// `export` must return a reference to a dma-buf, the `release()` of which calls
    /// [`forget`](Self::forget) of this value. `revoked` must be its operations, all of them or without
    /// `vmap()`.
    pub(super) unsafe fn file_descriptor(
        &self,
        revoked: &'static bindings::dma_buf_ops,
        export: impl FnOnce() -> Result<NonNull<bindings::dma_buf>>,
    ) -> Result<isize> {
        let mut exported = self.exported.lock();
        if exported.is_closed {
            return Err(ENODEV);
        }
        exported.bufs.reserve(1, GFP_KERNEL)?;
        let buf = export()?;
        // INVARIANT: There is a reference to it; by the safety requirements `release()`, which the
        // last one brings about, calls `forget()` and so waits for the lock.
        // There is room for it.
        let _ = exported.bufs.push_within_capacity(Weak(buf, revoked));
        drop(exported);

        // SAFETY: The reference is ours, and the function's if it succeeds.
        let fd = unsafe { ffi::faultline_dma_buf_fd(buf.as_ptr()) };
        if fd < 0 {
            // SAFETY: It is ours still. It is the last one: the lock is not held any more.
            unsafe { ffi::faultline_dma_buf_put(buf.as_ptr()) };
            return Err(Error::from_errno(fd));
        }
        // CAST: A file descriptor fits.
        Ok(fd as isize)
    }

    /// Takes note that a dma-buf is about to be freed.
    pub(super) fn forget(&self, buf: NonNull<bindings::dma_buf>) {
        self.exported.lock().bufs.retain(|weak| weak.0 != buf);
    }

    /// Has all dma-bufs refuse new addresses of the memory, and allows no new dma-buf. May sleep.
    ///
    /// To be called before the memory is taken away. The kernel warns of a `vmap()` that fails
    /// (`dma_buf_vmap()` in drivers/dma-buf/dma-buf.c), and takes it as an error if there is none.
    pub(in crate::ext) fn close(&self) {
        let mut exported = self.exported.lock();

        exported.is_closed = true;
        for Weak(buf, revoked) in &exported.bufs {
            // SAFETY: By the type invariants the dma-buf is valid while the lock is held. The new operations
            // are as good as the old ones, by the safety requirements of `file_descriptor()`: `dma_buf_vmap()`
            // looks for `vmap()` and calls it with the reservation lock held, under which they change.
            unsafe { ffi::faultline_dma_buf_set_ops(buf.as_ptr(), *revoked) };
        }
    }

    /// Asks importers to let go of the memory, and waits, for a limited time, until they have. Returns
    /// whether they have. May sleep.
    ///
    /// To be called when there can be no new [`Use`](super::shared::Use).
    pub(in crate::ext) fn revoke(&self) -> bool {
        let exported = self.exported.lock();
        let mut left = PATIENCE;
        let mut are_signalled = true;
        for Weak(buf, _) in &exported.bufs {
            // SAFETY: By the type invariants the dma-buf is valid while the lock is held. Importers do not
            // call back but by `unmap_dma_buf()` and its like, which do not take this lock. `left` may be
            // written to.
            are_signalled &= unsafe { ffi::faultline_dma_buf_invalidate(buf.as_ptr(), &mut left) };
        }
        drop(exported);

        let mut waited = 0;
        // Pairs with the release in `end_use()`: what a use did comes before what follows here.
        while self.uses.load(Acquire) > 0 && waited < PATIENCE {
            fsleep(Delta::from_millis(INTERVAL.into()));
            waited += INTERVAL;
        }
        are_signalled && self.uses.load(Acquire) == 0
    }

    /// Takes note of one more use, until [`end_use`](Self::end_use).
    pub(super) fn begin_use(&self) {
        // The borrow of the memory, which the caller holds, orders it before the revocation.
        let _ = self.uses.fetch_add(1, Relaxed);
    }

    /// A use of [`begin_use`](Self::begin_use) ends.
    pub(super) fn end_use(&self) {
        let _ = self.uses.fetch_sub(1, Release);
    }
}
