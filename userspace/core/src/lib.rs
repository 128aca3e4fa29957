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
//! - [`memory`]: how a mapping accesses memory, in the architecture's words.
//! - [`failure`]: which call failed, by which error.
//! - [`job`]: what a second task does meanwhile, on another CPU.
//! - [`ktap`]: the report's format, KTAP version 1.
//! - [`pattern`]: the data that is written and looked for.
//! - [`kmsg`]: which records of the kernel's log are complaints.
//! - [`progress`]: how far a run is, for a terminal.
//! - [`random`]: numbers for `faultline-stress`.
//! - [`args`]: the command lines of the three programs, with one entry for each option.
//! - [`name`]: the project's name, in each form that the programs need.
//! - [`nodes`]: the devices when the command line names none.
//! - [`decimal`]: numbers as they are written there, and in `/proc`.
//! - [`minor_faults`]: how many page faults a process has had.
//! - [`bench`]: the statistics and the report of `faultline-bench`.
//!
//! [`System`]: system::System
//! [`Device`]: device::Device
//! [`Mapping`]: device::Mapping

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod args;
pub mod bench;
pub mod checks;
pub mod decimal;
pub mod device;
pub mod errno;
pub mod failure;
pub mod finding;
pub mod job;
pub mod kmsg;
pub mod ktap;
pub mod memory;
pub mod minor_faults;
pub mod name;
pub mod nodes;
pub mod pattern;
pub mod progress;
pub mod random;
pub mod session;
pub mod system;
pub mod text;

#[cfg(test)]
mod fake;
