// SPDX-License-Identifier: GPL-2.0-only

//! What a program needs of a device and of a report; no system calls.
//!
//! Nothing here makes a system call or knows an address: `faultline-sys` implements the traits of
//! [`device`] with the real thing. So all of it runs under `cargo test` on any machine.
//!
//! - [`device`]: what a program can do with a device. A new call gets its entry in [`device::Call`].
//! - [`finding`]: what was seen, and what was wanted.
//! - [`memory`]: how a mapping accesses memory, in the architecture's words.
//! - [`failure`]: which call failed, by which error.
//! - [`ktap`]: the report's format, KTAP version 1.
//! - [`text`], [`errno`]: bounded text, errors by name.
//! - [`name`]: the driver's name, in each form that the programs need.
//! - [`nodes`]: the device nodes.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod decimal;
pub mod device;
pub mod errno;
pub mod failure;
pub mod finding;
pub mod ktap;
pub mod memory;
pub mod minor_faults;
pub mod name;
pub mod nodes;
pub mod text;
