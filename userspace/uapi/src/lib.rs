// SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note

//! The driver's interface to user space and that of its self-test, compiled from the driver's own
//! files.
//!
//! ```
//! use faultline_uapi::{Info, FLAG_COHERENT, FLAG_PRISTINE};
//!
//! let info = Info { flags: FLAG_PRISTINE, size: 4096, ..Info::default() };
//! assert_eq!(info.flags & FLAG_COHERENT, 0);
//! ```

#![no_std]
#![forbid(unsafe_code)]

#[path = "../../../driver/uapi.rs"]
mod uapi;

#[path = "../../../driver/selftest/uapi.rs"]
mod selftest;

pub use selftest::*;
pub use uapi::*;

#[cfg(test)]
mod tests;
