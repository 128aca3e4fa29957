// SPDX-License-Identifier: GPL-2.0-only

//! The checks that `faultline-verify` makes, and the report it writes.
//!
//! Nothing here makes a system call or knows an address: a [`System`] opens a [`Device`], a
//! device gives a [`Mapping`], and the checks judge what those answer. `faultline-sys` implements
//! the three traits with the real thing; the tests of this crate implement them with a device
//! that can be made to lie, one lie for every way in which a driver can be wrong.
//!
//! - [`session`]: one run over several devices: the report, the totals, the verdict.
//! - [`checks`]: what is checked, and why it proves what it says.
//! - [`finding`]: what was seen, and what was wanted.
//! - [`job`]: what a second task does meanwhile, on another CPU.
//! - [`ktap`]: the report's format, KTAP version 1.
//! - [`pattern`]: the data that is written and looked for.
//! - [`kmsg`]: which records of the kernel's log are complaints.
//! - [`random`]: numbers for `faultline-stress`, and [`options`] its command line.
//! - [`args`] and [`nodes`]: the command line, and the devices when it names none.
//! - [`bench`]: what `faultline-bench` has of its own.
//!
//! [`System`]: system::System
//! [`Device`]: device::Device
//! [`Mapping`]: device::Mapping

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod args;
pub mod bench;
pub mod checks;
pub mod device;
pub mod errno;
pub mod finding;
pub mod old_finding;
pub mod job;
pub mod kmsg;
pub mod ktap;
pub mod nodes;
pub mod options;
pub mod pattern;
pub mod random;
pub mod session;
pub mod system;
pub mod text;

#[cfg(test)]
mod fake;
