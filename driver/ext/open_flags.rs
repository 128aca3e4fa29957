// SPDX-License-Identifier: GPL-2.0

//! Flags of `open()` that a device without signals and without exclusive use cannot honour.
//!
//! The kernel lets a driver have these flags and forgets about them: a program would wait for signals
//! that never come, or believe that it is alone.
//!
//! C header: [`include/uapi/asm-generic/fcntl.h`](srctree/include/uapi/asm-generic/fcntl.h)

use kernel::{
    bindings,
    ffi::{
        c_int,
        c_uint, //
    },
    prelude::*, //
};

/// What [`check`] refuses. With `O_CREAT`, `O_EXCL` does not get this far: the file exists.
const REFUSED: c_uint = bindings::O_EXCL | bindings::FASYNC;

/// Refuses a file that is being opened with a flag that cannot be honoured.
///
/// # Errors
///
/// `EINVAL`.
///
/// # Safety
///
/// `file` must be valid and in its `open()` call.
pub(super) unsafe fn check(file: *mut bindings::file) -> Result {
    // SAFETY: During `open()` the file belongs to the caller alone.
    let flags = unsafe { (*file).f_flags };

    if flags & REFUSED != 0 {
        return Err(EINVAL);
    }
    Ok(())
}

/// The operation `fasync`: refuses `O_ASYNC` by `fcntl()`, and signals by the ioctl `FIOASYNC`, which
/// the kernel would accept from a driver without this operation.
///
/// # Safety
///
/// None of its own.
pub(super) unsafe extern "C" fn fasync(
    _descriptor: c_int,
    _file: *mut bindings::file,
    on: c_int,
) -> c_int {
    if on == 0 {
        0
    } else {
        EINVAL.to_errno()
    }
}
