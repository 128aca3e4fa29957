// SPDX-License-Identifier: GPL-2.0

//! Faultline: DMA-coherent buffers for user space, mapped through the page-fault path.
//!
//! Each device-tree node compatible with `faultline,coherent-buffer` gets a buffer from
//! `dma_alloc_coherent()` and a character device `/dev/faultlineN` that reads, writes and maps it.
//! A node that is a bus master can be asked, through the same device, to access the buffer.
//!
//! Dependencies point one way: [`platform`] → [`chardev`] → [`mapping`] → [`buffer`] → [`master`] →
//! [`ext`], and [`uapi`] is a leaf. All `unsafe` and all raw bindings are in [`ext`], which holds what
//! `rust/kernel` does not have yet, written as one would send it there.
//!
//! `docs/architecture.md` has the picture.

mod buffer;
mod chardev;
mod ext;
mod litmus;
mod mapping;
mod master;
mod mutant;
mod platform;
pub mod uapi;

kernel::module_platform_driver! {
    type: platform::CoherentBufferDriver,
    name: "faultline",
    authors: ["The Faultline authors"],
    description: "DMA-coherent buffers for user space, mapped through the page-fault path",
    license: "GPL v2",
    params: {
        mapping: u8 {
            default: 0,
            description: "How pages are mapped: 0 blocks and batches (default), 1 batches, 2 page by page. For comparison",
        },
    },
}
