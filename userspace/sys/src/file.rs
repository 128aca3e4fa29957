// SPDX-License-Identifier: GPL-2.0-only

//! Files: opening one, and what else programs do with them.

use core::ffi::CStr;

use faultline_core::errno::Errno;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};

use crate::error::errno;

/// Opens a file that exists. A program that is executed later does not inherit it.
pub(crate) fn open(path: &CStr, flags: OFlags) -> Result<OwnedFd, Errno> {
    rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty()).map_err(errno)
}

/// The events of a file that can be read and written without waiting: `POLLIN`, `POLLOUT`,
/// `POLLRDNORM` and `POLLWRNORM`.
pub const READY: u16 = PollFlags::IN
    .union(PollFlags::OUT)
    .union(PollFlags::RDNORM)
    .union(PollFlags::WRNORM)
    .bits();

/// The events of a file whose device is gone: `POLLERR` and `POLLHUP`.
pub const HANGUP: u16 = PollFlags::ERR.union(PollFlags::HUP).bits();

/// `poll()`: waits for any of the `wanted` events, or a hang-up, for so many milliseconds. Returns
/// the events that there are.
pub fn poll(file: impl AsFd, wanted: u16, milliseconds: i64) -> Result<u16, Errno> {
    let mut polled = [PollFd::new(&file, PollFlags::from_bits_retain(wanted))];
    let limit = Timespec {
        tv_sec: milliseconds / 1000,
        tv_nsec: milliseconds % 1000 * 1_000_000,
    };
    rustix::event::poll(&mut polled, Some(&limit)).map_err(errno)?;
    Ok(polled[0].revents().bits())
}

/// `fsync()`.
pub fn flush(file: impl AsFd) -> Result<(), Errno> {
    rustix::fs::fsync(file).map_err(errno)
}

/// `fcntl(F_SETFL)`.
pub fn set_flags(file: impl AsFd, flags: OFlags) -> Result<(), Errno> {
    rustix::fs::fcntl_setfl(file, flags).map_err(errno)
}

/// `ftruncate()`.
pub fn truncate(file: impl AsFd, length: u64) -> Result<(), Errno> {
    rustix::fs::ftruncate(file, length).map_err(errno)
}
