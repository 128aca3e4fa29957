// SPDX-License-Identifier: GPL-2.0-only

//! Errors of system calls.

use faultline_core::errno::Errno;

/// What rustix calls an error, as the core crate calls it.
pub fn errno(errno: rustix::io::Errno) -> Errno {
    Errno::new(u64::from(errno.raw_os_error().unsigned_abs()))
}
