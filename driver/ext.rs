// SPDX-License-Identifier: GPL-2.0

//! What `rust/kernel` does not offer yet. Folders of this name, and no other place in the driver,
//! have `unsafe` code and raw bindings; what they export is safe to use. Each file is written as the
//! patch one would send to `rust/kernel`, and depends on the driver in nothing but the types of
//! [`uapi`](crate::uapi).

pub(crate) mod address_space;
pub(crate) mod cached;
pub(crate) mod coherent;
pub(crate) mod copy;
pub(crate) mod device_tree;
pub(crate) mod dma_buf;
pub(crate) mod ffi;
pub(crate) mod memory;
pub(crate) mod miscdevice;
pub(crate) mod new_vma;
mod open_flags;
pub(crate) mod pieces;
#[cfg(CONFIG_FAULTLINE_RUNTIME)]
pub(crate) mod platform_device;
mod pmd_memory;
mod position;
pub(crate) mod prefault;
pub(crate) mod reserved_memory;
pub(crate) mod revocable;
mod run;
pub(crate) mod shutdown;
mod srcu;
pub(crate) mod sysfs;
#[macro_use]
mod uapi;
pub(crate) mod vm_fault;
