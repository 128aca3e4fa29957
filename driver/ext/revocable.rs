// SPDX-License-Identifier: GPL-2.0

//! Revocable objects whose users may sleep.
//!
//! `kernel::revocable::Revocable` is guarded by RCU: its users must not sleep, and a page-fault
//! handler may. [`SleepableRevocable`] is the same thing guarded by SRCU.

use super::srcu::{
    self,
    FastSrcu, //
};
use core::{
    ops::Deref,
    ptr::drop_in_place, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            AtomicFlag,
            Relaxed, //
        }, //
    },
    types::Opaque, //
};

/// An object that can be used until it is revoked.
///
/// # Invariants
///
/// `data` is initialised as long as `is_available` is true or a [`Guard`] lives that was made
/// when it was.
///
/// # Examples
///
/// ```ignore
/// let answer = KBox::pin_init(
///     SleepableRevocable::new(42),
///     GFP_KERNEL,
/// )?;
///
/// assert!(answer.try_access().is_some_and(|value| *value == 42));
/// answer.revoke();
/// assert!(answer.try_access().is_none());
/// ```
#[pin_data(PinnedDrop)]
pub(crate) struct SleepableRevocable<T> {
    is_available: AtomicFlag,
    #[pin]
    srcu: FastSrcu,
    #[pin]
    data: Opaque<T>,
}

// SAFETY: The owner of the value can drop the object, which is sound on any thread if the object may
// be sent.
unsafe impl<T: Send> Send for SleepableRevocable<T> {}

// SAFETY: `&self` gives `&T` to any thread, and `revoke()` drops the object on any thread.
unsafe impl<T: Send + Sync> Sync for SleepableRevocable<T> {}

impl<T> SleepableRevocable<T> {
    /// Creates a revocable object.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(data: T) -> impl PinInit<Self, Error> {
        // INVARIANT: The object is there and available.
        try_pin_init!(Self {
            is_available: AtomicFlag::new(true),
            srcu <- FastSrcu::new(),
            data: Opaque::new(data),
        })
    }

    /// Returns the object for use, or `None` if it has been revoked.
    ///
    /// The caller may sleep while it holds the guard, but must not wait for anything that
    /// [`revoke`](Self::revoke)'s caller holds.
    #[inline]
    pub(crate) fn try_access(&self) -> Option<Guard<'_, T>> {
        let srcu = self.srcu.read_lock();

        // A read side that begins before `revoke()` waits is waited for; one that begins later sees
        // what was stored before.
        self.is_available.load(Relaxed).then(|| Guard {
            data: &self.data,
            _srcu: srcu,
        })
    }

    /// Refuses the object to new users, waits for those it has, and drops it.
    ///
    /// Returns `false`, at once, if it has been revoked before. May sleep.
    pub(crate) fn revoke(&self) -> bool {
        let was_available = self.is_available.xchg(false, Relaxed);
        if was_available {
            // Expedited: it is an administrator who waits, and the read sides are short.
            self.srcu.synchronize_expedited();

            // SAFETY: The exchange succeeds once, so that this is the only drop. No guard made
            // before it is left after the grace period, and none can be made since.
            unsafe { drop_in_place(self.data.get()) };
        }
        was_available
    }
}

#[pinned_drop]
impl<T> PinnedDrop for SleepableRevocable<T> {
    fn drop(self: Pin<&mut Self>) {
        if self.is_available.load(Relaxed) {
            // SAFETY: The object was never revoked, and no guard is left, as each borrows `self`.
            unsafe { drop_in_place(self.data.get()) };
        }
    }
}

/// Access to an object that cannot be revoked meanwhile.
///
/// # Invariants
///
/// The object was available after `_srcu` had been entered.
pub(crate) struct Guard<'a, T> {
    data: &'a Opaque<T>,
    _srcu: srcu::Guard<'a>,
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: By the type invariants `revoke()` waits for this guard before it drops the
        // object; until then it is initialised, and there is only shared access to it.
        unsafe { &*self.data.get() }
    }
}
