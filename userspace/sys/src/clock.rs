// SPDX-License-Identifier: GPL-2.0-only

//! What an operation costs: time, and page faults.

use faultline_core::bench::minor_faults;
use faultline_core::errno::Errno;
use rustix::fd::OwnedFd;
use rustix::fs::OFlags;
use rustix::time::{clock_gettime, ClockId};

use crate::device::open;
use crate::errno;

/// Nanoseconds of `CLOCK_MONOTONIC`.
pub fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    // The clock begins at 0 when the machine starts and only grows.
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

/// Counts the minor faults of this process.
pub struct FaultCounter(OwnedFd);

impl FaultCounter {
    /// Opens what the kernel says of this process.
    pub fn new() -> Result<Self, Errno> {
        open(c"/proc/self/stat", OFlags::RDONLY)
            .map(Self)
            .map_err(errno)
    }

    /// The faults so far.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the kernel's answer has no such number.
    pub fn read(&self) -> Result<u64, Errno> {
        let mut stat = [0; 512];
        let length = rustix::io::pread(&self.0, &mut stat, 0).map_err(errno)?;
        minor_faults(&stat[..length]).ok_or(Errno::INVAL)
    }
}
