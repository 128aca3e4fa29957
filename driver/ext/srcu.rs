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

// SAFETY: Nothing in an `srcu_struct` belongs to the task that has initialised it: its counters and its
// work are per CPU, and `cleanup_srcu_struct()` may be called by any task.
unsafe impl Send for FastSrcu {}

// SAFETY: What `&self` offers is to enter and leave read sides, which changes per-CPU counters atomically,
// and to wait for them, which takes the structure's own locks.
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
                // SAFETY: `slot` has room for the structure, and is pinned, so that the lists in it stay
                // where they are until `drop()` cleans it up. Where the function fails it has freed
                // what it had allocated.
                to_result(unsafe { ffi::faultline_srcu_init(slot) })
            }),
        })
    }

    /// Enters a read side, until the guard is dropped.
    #[inline]
    pub(super) fn read_lock(&self) -> Guard<'_> {
        Guard {
            srcu: self,
            // SAFETY: By the type invariants the structure is initialised, for read sides of this
            // flavour, and no others are entered. RCU watches wherever Rust code of a module runs:
            // in system calls, page faults and kernel threads.
            // INVARIANT: The guard takes the cookie, and is the only one to leave by it.
            cookie: unsafe { ffi::faultline_srcu_read_lock(self.inner.get()) },
            _not_send: NotThreadSafe,
        }
    }

    /// Waits until every read side that is entered now has been left. May sleep; must not be called in
    /// a read side.
    pub(super) fn synchronize_expedited(&self) {
        // SAFETY: By the type invariants the structure is initialised. To call this in a read side would
        // be to wait for ever, not to access what is gone.
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
        // SAFETY: By the type invariants the structure is initialised; the function adds up its counters.
        let is_read = unsafe { bindings::srcu_readers_active(srcu) };
        if kernel::warn_on!(is_read) {
            self.synchronize_expedited();
        }

        // SAFETY: By the type invariants the structure is initialised, and it is not used again. No read
        // side is left, as was seen above. The only callbacks ever queued are those of
        // `synchronize_srcu_expedited()`, which returns when its callback has run.
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
        // SAFETY: By the type invariants the cookie is that of a read side of this structure, which is
        // left here alone. The guard does not leave its task.
        unsafe { ffi::faultline_srcu_read_unlock(self.srcu.inner.get(), self.cookie) };
    }
}
