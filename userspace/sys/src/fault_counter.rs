// SPDX-License-Identifier: GPL-2.0-only

//! How many page faults an operation costs.

use faultline_core::errno::Errno;
use faultline_core::minor_faults;
use rustix::fd::OwnedFd;
use rustix::fs::OFlags;

use crate::error::errno;
use crate::file::open;

/// Counts the minor faults of this process.
pub struct FaultCounter(OwnedFd);

impl FaultCounter {
    /// Opens what the kernel says of this process.
    pub fn new() -> Result<Self, Errno> {
        open(c"/proc/self/stat", OFlags::RDONLY).map(Self)
    }

    /// The faults so far, if the kernel's answer has such a number.
    pub fn read(&self) -> Result<Option<u64>, Errno> {
        let mut stat = [0; 512];
        let length = rustix::io::pread(&self.0, &mut stat, 0).map_err(errno)?;
        Ok(minor_faults::parse(&stat[..length]))
    }
}
