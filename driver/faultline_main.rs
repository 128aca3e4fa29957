// SPDX-License-Identifier: GPL-2.0

//! Faultline: DMA-coherent buffers for user space, mapped through the page-fault path.
//!
//! Each device-tree node compatible with `faultline,coherent-buffer` gets a buffer from
//! `dma_alloc_coherent()` and a character device `/dev/faultlineN` that reads, writes and maps it.
//!
//! Dependencies point one way: [`platform`] → [`chardev`] → [`mapping`] → [`buffer`] → [`ext`], and
//! [`uapi`] is a leaf. All `unsafe` and all raw bindings are in `ext` folders, which hold what
//! `rust/kernel` does not have yet, written as one would send it there.
//!
//! `docs/architecture.md` has the picture.

mod attributes;
mod brackets;
mod buffer;
mod cached;
mod chardev;
mod dma_mask;
#[macro_use]
mod ext;
mod export;
mod label;
mod length;
mod mapping;
mod memory_region;
mod page_faults;
mod part;
mod platform;
mod prefault;
mod properties;
mod refused;
#[cfg(CONFIG_FAULTLINE_RUNTIME)]
mod runtime;
#[cfg(CONFIG_FAULTLINE_SELFTEST)]
pub mod selftest;
mod sync;
pub mod uapi;

#[cfg(not(CONFIG_FAULTLINE_RUNTIME))]
use kernel::module_driver;
#[cfg(CONFIG_FAULTLINE_RUNTIME)]
use runtime::module_driver;

module_driver!(<T>, ext::shutdown::Adapter<T>, {
    type: platform::CoherentBufferDriver,
    name: "faultline",
    authors: ["The Faultline authors"],
    description: "DMA-coherent buffers for user space, mapped through the page-fault path",
    license: "GPL v2",
});
