// SPDX-License-Identifier: GPL-2.0-only

//! What is checked of each device.
//!
//! - [`catalogue`]: the checks, one entry each. To add a check, add an entry there.
//! - [`step`]: what a check can be made of.
//! - `run`: makes a check, and decides which of its steps a device lacks.
//! - [`context`]: what the checks of one device share.
//! - `places` and `contents`: patterns in the buffer, by every way to it.
//! - `mapping`: what `mmap()` gives and refuses, and `munmap()` takes away.
//! - `pfns`: the physical address of each page, by every account of it.
//! - `attributes`: what the CPU says of a mapping.
//! - `data` and `master`: what a bus master moves.
//! - `sync`: what a cached buffer takes beside, and what SYNC refuses.
//! - `together`: what takes a second task.
//! - `bits`: bits that stick, or follow their neighbours.
//! - `log`: what the kernel has to complain of.
//!
//! Whether a check fails is decided in [`finding`](crate::finding), by `Finding::same`.

mod attributes;
mod bits;
pub mod catalogue;
mod contents;
pub mod context;
mod data;
mod log;
mod mapping;
mod master;
mod pfns;
mod places;
mod run;
pub mod step;
mod sync;
mod together;

#[cfg(test)]
mod tests;
