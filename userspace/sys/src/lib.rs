// SPDX-License-Identifier: GPL-2.0-only

//! The machine under `faultline-verify` and `faultline-stress`, by system calls and without libc.
//!
//! All of the programs' `unsafe` is in this crate, most of it in [`memory`] and [`fault`]: the
//! accesses to memory that a device may change or take away, and the signal handler that lets them
//! fail without harm.
//!
//! The programs have one thread each.

#![no_std]
#![warn(unreachable_pub)]

#[cfg_attr(target_arch = "aarch64", path = "arch/aarch64.rs")]
#[cfg_attr(target_arch = "arm", path = "arch/arm.rs")]
mod arch;

pub mod arena;
mod call;
pub mod clock;
pub mod command_line;
pub mod console;
pub mod device;
pub mod disturb;
pub mod events;
pub mod fault;
pub mod init;
pub mod memory;
pub mod module;
pub mod process;
pub mod stall;
pub mod task;

/// What rustix calls an error, as the core crate calls it.
pub fn errno(errno: rustix::io::Errno) -> faultline_core::errno::Errno {
    // CAST: it is above zero. From here to there nothing is left of it but a sign extension.
    faultline_core::errno::Errno::new(i64::from(errno.raw_os_error()) as u64)
}
