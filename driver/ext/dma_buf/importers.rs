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
/// If `exported` is a dma-buf, its structure is valid while the mutex is held:
/// [`forget`](Self::forget) takes it out before the dma-buf is freed.
#[pin_data]
pub(crate) struct Importers {
    #[pin]
    exported: Mutex<Option<Exported>>,
    uses: Atomic<u32>,
}

/// A dma-buf, which may be about to be released, and the operations that it has from the revocation on.
struct Exported(NonNull<bindings::dma_buf>, &'static bindings::dma_buf_ops);

// SAFETY: A dma-buf belongs to no thread.
unsafe impl Send for Exported {}

impl Importers {
    pub(in crate::ext) fn new() -> impl PinInit<Self> {
        // INVARIANT: There is no dma-buf.
        pin_init!(Self {
            exported <- new_mutex!(None, "Importers::exported"),
            uses: Atomic::new(0),
        })
    }

    /// Returns a file descriptor of the dma-buf that there is, or of one that `export` makes.
    ///
    /// There is one dma-buf at a time, so that all importers have one reservation object.
    ///
    /// # Errors
    ///
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

        // SAFETY: By the type invariants a dma-buf that is known here is valid while the lock is held.
        let live = exported
            .as_ref()
            .map(|exported| exported.0)
            .filter(|live| unsafe { ffi::faultline_dma_buf_get_live(live.as_ptr()) });
        let buf = match live {
            Some(live) => live,
            None => export()?,
        };
        // INVARIANT: There is a reference to it; by the safety requirements `release()`, which the
        // last one brings about, calls `forget()` and so waits for the lock.
        *exported = Some(Exported(buf, revoked));
        drop(exported);

        // SAFETY: The reference is ours, and the function's if it succeeds.
        let fd = unsafe { ffi::faultline_dma_buf_fd(buf.as_ptr()) };
        if fd < 0 {
            // SAFETY: It is ours still. It may be the last one: the lock is not held any more.
            unsafe { ffi::faultline_dma_buf_put(buf.as_ptr()) };
            return Err(Error::from_errno(fd));
        }
        // CAST: A file descriptor fits.
        Ok(fd as isize)
    }

    /// Takes note that a dma-buf is about to be freed.
    pub(super) fn forget(&self, buf: NonNull<bindings::dma_buf>) {
        let mut exported = self.exported.lock();

        if exported.as_ref().is_some_and(|exported| exported.0 == buf) {
            *exported = None;
        }
    }

    /// Asks importers to let go of the memory, and waits, for a limited time, until they have. Returns
    /// whether they have. May sleep.
    ///
    /// To be called when there can be no new [`Use`].
    pub(in crate::ext) fn revoke(&self) -> bool {
        let exported = self.exported.lock();
        // SAFETY: By the type invariants the dma-buf is valid while the lock is held. Importers do not
        // call back but by `unmap_dma_buf()` and its like, which do not take this lock. The new operations
        // are as good as the old ones, by the safety requirements of `file_descriptor()`: `dma_buf_vmap()`
        // looks for `vmap()` with the reservation lock held, under which they change.
        let are_signalled = exported.as_ref().is_none_or(|exported| unsafe {
            ffi::faultline_dma_buf_invalidate(exported.0.as_ptr(), exported.1, PATIENCE)
        });
        drop(exported);

        let mut waited = 0;
        // What was done by a use comes before what is done when there is none.
        while self.uses.load(Acquire) > 0 && waited < PATIENCE {
            fsleep(Delta::from_millis(INTERVAL.into()));
            waited += INTERVAL;
        }
        are_signalled && self.uses.load(Acquire) == 0
    }

    /// Takes note of one more use, until [`end_use`](Self::end_use).
    pub(super) fn begin_use(&self) {
        // It is ordered before the revocation by what keeps the memory meanwhile.
        let _ = self.uses.fetch_add(1, Relaxed);
    }

    /// A use of [`begin_use`](Self::begin_use) ends.
    pub(super) fn end_use(&self) {
        let _ = self.uses.fetch_sub(1, Release);
    }
}
