// SPDX-License-Identifier: GPL-2.0-only

//! The machine, by system calls and without libc. All of the programs' `unsafe` is in this crate.
//!
//! - `start`, `arch`: the entry point, and what has to be written in assembly; `call`, [`error`]:
//!   system calls that rustix has no function for, and what system calls answer.
//! - [`fault`]: **what SIGBUS and SIGSEGV look like to the program.**
//! - [`mapping`]: mappings of a file, which survive both signals.
//! - [`file`], [`device`], [`nodes`], [`module`]: an open file, an open device and its calls, the device
//!   nodes, kernel modules.
//! - [`binding`]: takes a device away from its driver, and gives it back.
//! - [`console`], [`init`], [`process`]: what makes a program.

#![no_std]
#![warn(unreachable_pub)]

#[cfg_attr(target_arch = "aarch64", path = "arch/aarch64.rs")]
mod arch;

pub mod binding;
mod call;
pub mod console;
pub mod device;
pub mod error;
pub mod fault;
pub mod fault_counter;
pub mod file;
mod heap;
pub mod init;
pub mod mapping;
pub mod module;
pub mod nodes;
pub mod process;
mod start;
