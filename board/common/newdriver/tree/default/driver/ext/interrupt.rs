// SPDX-License-Identifier: GPL-2.0

//! Interrupt handlers that the kernel frees when their device is unbound.
//!
//! `kernel::irq::ThreadedRegistration::new` is unsafe, because a registration that is never dropped would
//! outlive what its handler uses. Here devres owns the registration, and drops it.
//!
//! C header: [`include/linux/interrupt.h`](srctree/include/linux/interrupt.h)

use core::ptr;
use kernel::{
    bindings,
    device::Bound,
    devres,
    irq::{
        Flags,
        ThreadedHandler,
        ThreadedRegistration, //
    },
    platform,
    prelude::*, //
};

/// `EPOLLPRI`: what `poll()` answers where something has happened that is neither data to read nor room
/// to write.
pub(crate) const POLL_EVENT: u32 = bindings::POLLPRI;

/// Has the first interrupt of `pdev` handled by `handler`, in a thread, until the device is unbound. The
/// interrupt stays masked until the thread has run.
///
/// # Errors
///
/// - `ENXIO`: the node has no interrupt.
/// - `EPROBE_DEFER`: its controller is not there yet.
/// - As `request_threaded_irq()`.
pub(crate) fn request_threaded<T: ThreadedHandler + Send + 'static>(
    pdev: &platform::Device<Bound>,
    name: &'static CStr,
    handler: T,
) -> Result {
    // SAFETY: The reference is used for the registration alone, which devres drops before the device is
    // unbound, and so while it is alive.
    let lasting: &'static platform::Device<Bound> = unsafe { &*ptr::from_ref(pdev) };
    let request = lasting.irq_by_index(0)?;

    // SAFETY: devres owns the registration and drops it: nobody else can keep that from happening.
    let registration =
        unsafe { ThreadedRegistration::new(request, Flags::ONESHOT, name, Ok(handler)) };

    devres::register(pdev.as_ref(), registration, GFP_KERNEL)
}
