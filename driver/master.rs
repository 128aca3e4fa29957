// SPDX-License-Identifier: GPL-2.0

//! Bus masters: devices that access the buffer by themselves, when they are asked to.
//!
//! A buffer for DMA is right if a device finds in it what the CPU wrote, and the CPU what the device
//! wrote. To show that takes a device. Some nodes of the device tree *are* one that can be made to
//! read and write where it is told; the platform driver's table names the function that takes hold
//! of it, and the rest of the driver sees a [`Master`].
//!
//! # Another one
//!
//! A bus master is one file in this folder with a function of type [`Attach`], and one line in the
//! table of `platform.rs`. What it needs to know:
//!
//! - *A channel of a DMA engine* (`dmas` and `dma-names` in the node): `attach` requests the channel
//!   and remembers its limits, `copy` is one `DMA_MEMCPY` descriptor, `max_copy` the engine's
//!   maximum length and `alignment` its `copy_align`; `fill` is a descriptor of a mode in which the
//!   engine makes up data (`DMA_MEMSET`), or zero. It is the *channel's* device that accesses
//!   memory: the buffer has to be allocated for that one, or mapped for it, and its DMA address is
//!   the one that goes into descriptors. Time runs out: `dmaengine_terminate_sync()` is its
//!   `settle`.
//! - *The mailbox of a Raspberry Pi* (`mboxes`): the firmware reads a request from memory and writes
//!   its answer there, both at once in place. `fill` puts a request for the board's serial number
//!   at the target, whose answer is known from elsewhere (the device tree); `max_copy` is zero, and
//!   `alignment` 16 bytes, for the address takes the place of four bits of the channel's number. It
//!   is the firmware's view of memory that counts, which `dma-ranges` of the node describe.

pub(crate) mod fw_cfg;

use crate::ext::coherent::DmaSpan;
use kernel::{
    device::Core,
    platform,
    prelude::*,
    sync::Arc, //
};

/// A device that accesses memory by itself.
///
/// Calls come from any task and at any time, more than one at once; they may sleep. What they get is
/// checked: it lies in the buffer, and obeys the [`Description`]. A call returns when the device is
/// done, or has run out of time.
pub(crate) trait Master: Send + Sync {
    /// Says what the device is and can do. The answer never changes.
    fn describe(&self) -> Description;

    /// Has the device write data of its own to all of `target`, from the data's beginning.
    ///
    /// # Errors
    ///
    /// - `ETIMEDOUT`: it has not answered in time, and may still write.
    /// - `EIO`: it reported an error.
    fn fill(&self, target: DmaSpan<'_>) -> Result;

    /// Has the device read all of `source`, and then write that to `destination`.
    ///
    /// # Errors
    ///
    /// As [`fill`](Self::fill).
    fn copy(&self, source: DmaSpan<'_>, destination: DmaSpan<'_>) -> Result;

    /// Waits for what the device was asked to do and has not done in time.
    ///
    /// # Errors
    ///
    /// `ETIMEDOUT`: it still has not. Memory that it was told of must never be used again.
    fn settle(&self) -> Result;
}

/// What a bus master is and can do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Description {
    /// What it is: at most 16 bytes.
    pub(crate) name: &'static str,
    /// What offsets and lengths must be multiples of, in bytes.
    pub(crate) alignment: usize,
    /// How much it has to fill with, in bytes: a multiple of the alignment; zero if it cannot.
    pub(crate) max_fill: usize,
    /// How much it copies at once, in bytes; zero if it cannot.
    pub(crate) max_copy: usize,
}

/// Takes hold of the bus master that a device is, whose DMA mask is set. Says in the log what is
/// wrong with it. Only one owner has it: an `Arc` is what can hold something pinned of any type.
pub(crate) type Attach = fn(&platform::Device<Core<'_>>) -> Result<Arc<dyn Master>>;
