// SPDX-License-Identifier: GPL-2.0

//! What the calling task may do.
//!
//! C header: [`include/linux/capability.h`](srctree/include/linux/capability.h)

use kernel::bindings;

/// Returns whether the calling task may see physical addresses, by the rule of
/// `/proc/PID/pagemap`: it needs `CAP_SYS_ADMIN`.
pub(crate) fn may_see_physical_addresses() -> bool {
    is_capable(bindings::CAP_SYS_ADMIN)
}

/// Returns whether the calling task may have devices do what the kernel has not looked through:
/// `CAP_SYS_RAWIO`.
pub(crate) fn may_do_raw_io() -> bool {
    is_capable(bindings::CAP_SYS_RAWIO)
}

fn is_capable(capability: u32) -> bool {
    // CAST: The constants are below 64.
    let capability = capability as kernel::ffi::c_int;
    // SAFETY: `capable()` may be called from any task context, and the callers of this module
    // are system calls.
    unsafe { bindings::capable(capability) }
}
