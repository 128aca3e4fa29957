// SPDX-License-Identifier: GPL-2.0-only

//! Errors of system calls.

use faultline_core::errno::Errno;
use faultline_core::failure::CallError;

/// What rustix calls an error, as the core crate calls it.
pub fn errno(errno: rustix::io::Errno) -> Errno {
    Errno::new(u64::from(errno.raw_os_error().unsigned_abs()))
}

/// Names the call whose error it is; to be given to `map_err()`.
pub(crate) fn of_call(call: &'static str) -> impl Fn(rustix::io::Errno) -> CallError {
    move |error| CallError {
        call,
        errno: errno(error),
    }
}
