// SPDX-License-Identifier: GPL-2.0-only

//! System calls that take addresses as they come, where a safe wrapper would want references.
//!
//! The numbers are those of include/uapi/asm-generic/unistd.h, which arm64 and every architecture
//! since have in common.

use faultline_core::errno::Errno;

use crate::{arch, errno};

pub(crate) const IOCTL: usize = 29;
pub(crate) const READ: usize = 63;
pub(crate) const WRITE: usize = 64;
pub(crate) const PREAD: usize = 67;
pub(crate) const PWRITE: usize = 68;
pub(crate) const VMSPLICE: usize = 75;
pub(crate) const EXIT: usize = 93;
pub(crate) const CLOCK_GETTIME: usize = 113;
pub(crate) const SYSLOG: usize = 116;
pub(crate) const SET_SCHEDULER: usize = 119;
pub(crate) const CLONE: usize = 220;
pub(crate) const MADVISE: usize = 233;
pub(crate) const PROCESS_VM_READ: usize = 270;
pub(crate) const PROCESS_VM_WRITE: usize = 271;

/// Of `syslog()`: the action that sets which messages the console shows, and the first level that it
/// then does not (include/linux/syslog.h, include/linux/kern_levels.h).
pub(crate) const CONSOLE_LEVEL: usize = 8;
pub(crate) const NOTICE: usize = 5;

/// The numbers from which on a result is an error (`MAX_ERRNO`, include/linux/err.h).
const FIRST_ERROR: isize = -4095;

/// The error that a result stands for.
pub(crate) fn of_result(result: isize) -> Errno {
    // CAST: numbers of errors are below 4096.
    errno(rustix::io::Errno::from_raw_os_error(-(result as i32)))
}

/// Makes a system call of up to six arguments; those that are missing are zero.
///
/// # Safety
///
/// As for [`arch::system_call`].
pub(crate) unsafe fn call(number: usize, given: &[usize]) -> Result<usize, Errno> {
    let mut arguments = [0; 6];
    arguments[..given.len()].copy_from_slice(given);
    // SAFETY: as the caller vouches.
    match unsafe { arch::system_call(number, arguments) } {
        error @ FIRST_ERROR..=-1 => Err(of_result(error)),
        result => Ok(result as usize),
    }
}
