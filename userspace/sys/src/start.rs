// SPDX-License-Identifier: GPL-2.0-only

//! The first functions of a program.

use faultline_core::errno::Errno;
use rustix::fd::IntoRawFd;
use rustix::fs::{Mode, OFlags};

use crate::call;
use crate::error::errno;

/// Called by the entry point, `_start`, which is in `arch`.
///
/// # Safety
///
/// Nothing of the program has run yet, and `stack` is the stack pointer as the kernel has set it: it
/// points to the number of arguments, with the arguments behind it.
pub(crate) unsafe extern "C" fn begin(stack: *mut usize) -> ! {
    // SAFETY: origin asks for the stack pointer that the kernel has set, before anything else has
    // run: by this function's contract `stack` is that.
    unsafe { origin::program::start(stack) }
}

/// Opens `/dev/null` in place of each standard file that the program was started without. The next
/// file that is opened would be that one otherwise: a report would be written to a device.
///
/// It is opened for reading, so that what is written there fails, and the exit status says so.
pub(crate) fn open_standard_files() -> Result<(), Errno> {
    for number in 0..=2 {
        // SAFETY: `F_GETFD` neither reads nor writes memory of the program.
        if unsafe { call::call(call::FCNTL, &[number, call::GET_FLAGS]) }.is_err() {
            // It gets the lowest number that is free, which is this one, and stays open.
            let file = rustix::fs::open(c"/dev/null", OFlags::RDONLY, Mode::empty());
            let _ = file.map_err(errno)?.into_raw_fd();
        }
    }
    Ok(())
}
