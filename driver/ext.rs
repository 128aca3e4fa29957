// SPDX-License-Identifier: GPL-2.0

//! What `rust/kernel` does not offer yet. This folder, and no other place in the driver, has
//! `unsafe` code and raw bindings; what it exports is safe to use. Each file is written as the
//! patch one would send to `rust/kernel`, and depends on the driver in nothing but [`uapi`]'s types,
//! and the ways to be wrong on purpose in [`mutant`](crate::mutant).

pub(crate) mod address_space;
pub(crate) mod coherent;
pub(crate) mod dmaengine;
mod ffi;
pub(crate) mod kthread;
pub(crate) mod memory;
pub(crate) mod miscdevice;
pub(crate) mod revocable;
pub(crate) mod translate;
mod uapi;
pub(crate) mod vm_fault;
