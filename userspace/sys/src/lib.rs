// SPDX-License-Identifier: GPL-2.0-only

//! The machine under `faultline-verify` and `faultline-stress`, by system calls and without libc.
//!
//! All of the programs' `unsafe` is in this crate. A module uses those above it in this list, and no
//! other:
//!
//! - `start`, `arch`: the entry point, and what has to be written in assembly; `call`, [`error`]:
//!   system calls that rustix has no function for, and what system calls answer.
//! - [`fault`]: **what SIGBUS and SIGSEGV look like to the program.**
//! - [`scratch`], [`shared`], [`mapping`]: memory of the program's own, memory that processes share,
//!   and mappings of a file, which survive both signals.
//! - [`file`], [`device`], [`nodes`], [`module`], [`clock`], [`fault_counter`], [`cpu`], [`child`]: an open
//!   file, an open device and its calls, the device nodes, kernel modules, time, page faults, CPUs,
//!   processes.
//! - [`binding`]: takes a device away from its driver, and gives it back.
//! - [`machine`]: all of this as the checks of `faultline-core` need it.
//! - [`arena`], [`disturb`], [`race`], [`stall`], [`together`], `thread`: what `faultline-stress` has
//!   beside that, to stress mappings by several tasks at a time.
//! - [`dma_buf`], [`importer`]: dma-bufs of buffers, and a device of the kernel's that imports them.
//! - [`ring`]: io_uring, for the tests.
//! - [`console`], [`command_line`], [`init`], [`process`]: what makes a program.
//!
//! The programs have one thread each.

#![no_std]
#![warn(unreachable_pub)]

#[cfg_attr(target_arch = "aarch64", path = "arch/aarch64.rs")]
#[cfg_attr(target_arch = "arm", path = "arch/arm.rs")]
mod arch;

pub mod arena;
pub mod binding;
mod call;
pub mod child;
pub mod clock;
pub mod command_line;
pub mod console;
pub mod cpu;
pub mod device;
pub mod disturb;
pub mod dma_buf;
pub mod error;
pub mod fault;
pub mod fault_counter;
pub mod fence;
pub mod file;
mod heap;
pub mod importer;
pub mod init;
pub mod machine;
pub mod mapping;
pub mod module;
pub mod nodes;
pub mod process;
pub mod race;
pub mod ring;
pub mod scratch;
pub mod shared;
pub mod stall;
mod start;
mod thread;
pub mod together;
