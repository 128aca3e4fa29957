// SPDX-License-Identifier: GPL-2.0-only

//! System calls that take addresses as they come, where a safe wrapper would want references.

use faultline_core::errno::Errno;

use crate::arch;
use crate::error::errno;

pub(crate) use linux_raw_sys::general::{
    __NR_fcntl as FCNTL, __NR_ioctl as IOCTL, __NR_madvise as MADVISE, __NR_pread64 as PREAD,
    __NR_preadv as READ_VECTORS, __NR_process_vm_readv as PROCESS_VM_READ,
    __NR_process_vm_writev as PROCESS_VM_WRITE, __NR_pwrite64 as PWRITE,
    __NR_pwritev as WRITE_VECTORS, __NR_read as READ, __NR_sched_setscheduler as SET_SCHEDULER,
    __NR_syslog as SYSLOG, __NR_vmsplice as VMSPLICE, __NR_write as WRITE,
};

/// `clock_gettime()` with 64 bits of seconds.
#[cfg(target_pointer_width = "64")]
pub(crate) const CLOCK_GETTIME: u32 = linux_raw_sys::general::__NR_clock_gettime;
#[cfg(target_pointer_width = "32")]
pub(crate) const CLOCK_GETTIME: u32 = linux_raw_sys::general::__NR_clock_gettime64;

/// `setuid()` with 32 bits. The other one of 32-bit ARM is an option of the kernel (`CONFIG_UID16`).
#[cfg(not(target_arch = "arm"))]
pub(crate) const SET_UID: u32 = linux_raw_sys::general::__NR_setuid;
#[cfg(target_arch = "arm")]
pub(crate) const SET_UID: u32 = linux_raw_sys::general::__NR_setuid32;

/// Of `fcntl()`: the command that reads a descriptor's flags, which fails if it is not open.
pub(crate) const GET_FLAGS: usize = linux_raw_sys::general::F_GETFD as usize;

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
pub(crate) unsafe fn call(number: u32, given: &[usize]) -> Result<usize, Errno> {
    let mut arguments = [0; 6];
    arguments[..given.len()].copy_from_slice(given);
    // SAFETY: this function has the contract of that one, and hands on what it was given; the kernel does
    // not look at arguments that a call does not have, which are zero here.
    match unsafe { arch::system_call(number, arguments) } {
        error @ FIRST_ERROR..=-1 => Err(of_result(error)),
        result => Ok(result as usize),
    }
}
