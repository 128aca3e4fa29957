// SPDX-License-Identifier: GPL-2.0-only

//! The first function of a program.

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
