// SPDX-License-Identifier: GPL-2.0-only

//! Time.

use core::ptr;
use core::time::Duration;

use linux_raw_sys::general::{__kernel_timespec, CLOCK_MONOTONIC};
use rustix::time::{clock_gettime, ClockId};

use crate::call::{call, CLOCK_GETTIME};

/// The time since the machine started (`CLOCK_MONOTONIC`).
pub fn uptime() -> Duration {
    let time = clock_gettime(ClockId::Monotonic);
    // The clock begins at 0 and only grows.
    let seconds = Duration::from_secs(time.tv_sec.unsigned_abs());
    seconds + Duration::from_nanos(time.tv_nsec.unsigned_abs())
}

/// The same in nanoseconds.
pub fn now_ns() -> u64 {
    let now = uptime();
    now.as_secs() * 1_000_000_000 + u64::from(now.subsec_nanos())
}

/// The same in milliseconds, from the kernel. The clock of the vDSO, which rustix looks for, is faster,
/// and its code has 1800 bytes: a fortieth of what faultline-verify may have.
pub fn now_ms() -> u64 {
    let mut now = __kernel_timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let to = ptr::from_mut(&mut now).expose_provenance();
    // SAFETY: the call writes a `__kernel_timespec` to the address, where `now` is one that is mutably
    // borrowed until the call has returned, and accesses no other memory of the program.
    let read = unsafe { call(CLOCK_GETTIME, &[CLOCK_MONOTONIC as usize, to]) };
    // A clock that stands still would have a check wait for ever.
    assert!(read.is_ok(), "the kernel has no clock");
    now.tv_sec.unsigned_abs() * 1000 + now.tv_nsec.unsigned_abs() / 1_000_000
}
