// SPDX-License-Identifier: GPL-2.0

//! SRCU with read sides that cost next to nothing.
//!
//! A read side of `kernel::sync::Srcu` executes two full memory barriers. [`FastSrcu`] is the kernel's
//! SRCU-fast, whose read sides have none: they are what a page fault and a system call execute each
//! time. The price is paid by [`FastSrcu::synchronize_expedited`], which waits for RCU, too.
//!
//! C header: [`include/linux/srcu.h`](srctree/include/linux/srcu.h)

use super::ffi;
use kernel::{
    bindings,
    error::to_result,
    ffi::c_void,
    prelude::*,
    types::{
        NotThreadSafe,
        Opaque, //
    }, //
};

/// SRCU whose read sides may sleep, and have no memory barriers.
///
/// # Invariants
///
/// `inner` is initialised by `init_srcu_struct_fast()`, and is used by the functions of that flavour
/// alone.
#[pin_data(PinnedDrop)]
pub(super) struct FastSrcu {
    #[pin]
    inner: Opaque<bindings::srcu_struct>,
}

// SAFETY: An `srcu_struct` may be cleaned up by another thread than has initialised it.
unsafe impl Send for FastSrcu {}

// SAFETY: It is made to be used by any number of threads.
unsafe impl Sync for FastSrcu {}

impl FastSrcu {
    /// Creates an SRCU domain.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            // INVARIANT: If the C function succeeds it has initialised the structure.
            inner <- Opaque::try_ffi_init(|slot| {
                // SAFETY: `slot` may be written to, and does not move.
                to_result(unsafe { ffi::faultline_srcu_init(slot) })
            }),
        })
    }

    /// Enters a read side, until the guard is dropped.
    #[inline]
    pub(super) fn read_lock(&self) -> Guard<'_> {
        Guard {
            srcu: self,
            // SAFETY: By the type invariants.
            // INVARIANT: This is the cookie.
            cookie: unsafe { ffi::faultline_srcu_read_lock(self.inner.get()) },
            _not_send: NotThreadSafe,
        }
    }

    /// Waits until every read side that is entered now has been left. May sleep; must not be called in
    /// a read side.
    pub(super) fn synchronize_expedited(&self) {
        // SAFETY: By the type invariants.
        unsafe { bindings::synchronize_srcu_expedited(self.inner.get()) };
    }
}

#[pinned_drop]
impl PinnedDrop for FastSrcu {
    fn drop(self: Pin<&mut Self>) {
        let srcu = self.inner.get();

        // A guard borrows `self`: there is one left only if it was forgotten. Its read side never ends,
        // and nor does this, as it does not in `kernel::sync::Srcu`: better than to free what is in use.
        //
        // SAFETY: By the type invariants.
        let is_read = unsafe { bindings::srcu_readers_active(srcu) };
        if kernel::warn_on!(is_read) {
            self.synchronize_expedited();
        }

        // SAFETY: By the type invariants; no callback was queued but those that have been waited for.
        unsafe { bindings::cleanup_srcu_struct(srcu) };
    }
}

/// A read side.
///
/// # Invariants
///
/// `cookie` is what the entering of `srcu` returned, which has not been left since.
pub(super) struct Guard<'a> {
    srcu: &'a FastSrcu,
    cookie: *mut c_void,
    /// It is left by the task that has entered it.
    _not_send: NotThreadSafe,
}

impl Drop for Guard<'_> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariants.
        unsafe { ffi::faultline_srcu_read_unlock(self.srcu.inner.get(), self.cookie) };
    }
}
