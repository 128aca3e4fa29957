// SPDX-License-Identifier: GPL-2.0-only

//! `poll()` and `fsync()` of a file.

use faultline_core::errno::Errno;
use rustix::event::{poll, PollFd, PollFlags, Timespec};
use rustix::fd::AsFd;

use crate::errno;

/// A file that can be read and written without waiting.
pub const READY: u16 = 0x0001 | 0x0004 | 0x0040 | 0x0100;

/// One whose device is gone.
pub const HANGUP: u16 = 0x0008 | 0x0010;

/// Waits for any of `wanted`, or a hang-up, for so many milliseconds; returns what there is.
pub fn events(file: impl AsFd, wanted: u16, milliseconds: i64) -> Result<u16, Errno> {
    let mut polled = [PollFd::new(&file, PollFlags::from_bits_retain(wanted))];
    let limit = Timespec {
        tv_sec: milliseconds / 1000,
        tv_nsec: milliseconds % 1000 * 1_000_000,
    };
    poll(&mut polled, Some(&limit)).map_err(errno)?;
    Ok(polled[0].revents().bits())
}

/// `fsync()`.
pub fn flush(file: impl AsFd) -> Result<(), Errno> {
    rustix::fs::fsync(file).map_err(errno)
}
