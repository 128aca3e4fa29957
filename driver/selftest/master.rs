// SPDX-License-Identifier: GPL-2.0

//! Bus masters: devices that access the buffer by themselves, when they are asked to.
//!
//! A buffer for DMA is right if a device finds in it what the CPU wrote, and the CPU what the device
//! wrote. To show that takes a device. Some nodes of the device tree *are* one that can be made to
//! read and write where it is told; [`of_node`] names the function that claims it, and the
//! rest of the self-test sees a [`Master`].
//!
//! # Another one
//!
//! A bus master is one file in this folder with a function of type [`Attach`], and one line in
//! [`of_node`]. What it needs to know:
//!
//! - whose view of memory counts. [`fw_cfg`] and [`mailbox`] are the device of the node, and its
//!   `dma-ranges` and `dma-coherent` describe them; a [channel](dmaengine) is another device's, and
//!   the buffer is allocated for that one;
//! - what else the device accesses, such as the request that fw_cfg reads: memory of the driver's own;
//! - when it is done, and how to be sure that it will not write any more once it has run out of time;
//! - where its data comes from, and how user space can know what it must be by another way.

pub(crate) mod dmaengine;
pub(crate) mod fw_cfg;
pub(crate) mod mailbox;

use super::ext::memory::DmaSpan;
use crate::{
    ext::coherent::MappableCoherent,
    part::part, //
};
use core::ops::Range;
use kernel::{
    device::{
        Bound,
        Core,
        Device, //
    },
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

    /// Returns the device that accesses memory, if it is not the one that was attached to.
    fn device(&self) -> Option<&Device<Bound>> {
        None
    }

    /// Has the device write data of its own to all of `target`, from the data's beginning.
    ///
    /// # Errors
    ///
    /// - `ETIMEDOUT`: it has not answered in time, and may still write.
    /// - `EIO`: it reported an error.
    fn fill(&self, target: &Target<'_>) -> Result;

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

/// A part of the buffer that a bus master is to fill, and the CPU's way there: some masters find
/// their orders in it.
pub(crate) struct Target<'memory> {
    memory: &'memory MappableCoherent,
    start: usize,
    span: DmaSpan<'memory>,
}

impl<'memory> Target<'memory> {
    /// Returns the bytes of `range`, or `None` if there are none or they reach past the end.
    pub(crate) fn new(memory: &'memory MappableCoherent, range: Range<usize>) -> Option<Self> {
        Some(Self {
            memory,
            start: range.start,
            span: memory.span(range)?,
        })
    }

    /// Returns what the device is to write to.
    pub(crate) fn span(&self) -> DmaSpan<'memory> {
        self.span
    }

    /// Has the CPU write orders to the beginning.
    pub(crate) fn order(&self, orders: &[u8]) {
        self.memory.write(self.start, orders);
    }

    /// Returns the first eight bytes as the CPU finds them, or `None` if the target does not begin at
    /// a multiple of as many.
    pub(crate) fn answer(&self) -> Option<u64> {
        Some(self.memory.word(self.start)?.load())
    }
}

/// Where what a bus master fills with is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Data {
    /// The host of an emulator has made it up.
    Nonce,
    /// It is the answer of a Raspberry Pi's firmware to the question for the kernel's command line.
    CommandLine,
}

/// What a bus master is and can do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Description {
    /// What it is: at most 16 bytes.
    pub(crate) name: &'static str,
    /// Where what it fills with is from.
    pub(crate) data: Data,
    /// What offsets and lengths must be multiples of, in bytes.
    pub(crate) alignment: usize,
    /// How much it has to fill with, in bytes: a multiple of the alignment; zero if it cannot.
    pub(crate) max_fill: usize,
    /// How long the orders are that it finds in what it fills, in bytes: it fills no less. Zero if it
    /// has them from elsewhere.
    pub(crate) orders: usize,
    /// How much it copies at once, in bytes; zero if it cannot.
    pub(crate) max_copy: usize,
}

impl Description {
    /// Returns which of the `size` bytes of a buffer the device is to access, in a request of which it does up to
    /// `limit` bytes.
    ///
    /// # Errors
    ///
    /// - `EOPNOTSUPP`: it has no such request.
    /// - `EINVAL`: the range is empty, reaches past the end, or is not aligned.
    pub(crate) fn accessible(
        &self,
        limit: usize,
        size: usize,
        offset: u64,
        length: u64,
    ) -> Result<Range<usize>> {
        if limit == 0 {
            return Err(EOPNOTSUPP);
        }

        part(size, offset, length)
            .filter(|range| (range.start | range.len()) % self.alignment == 0)
            .ok_or(EINVAL)
    }
}

/// Claims the bus master that a device is or has, whose DMA mask is set. Logs what is
/// wrong with it. Only one owner has it: an `Arc` is what can hold something pinned of any type.
pub(crate) type Attach = fn(&platform::Device<Core<'_>>) -> Result<Arc<dyn Master>>;

/// Returns the function for the bus master that the node of `dev` says that it is, or has, beside its
/// buffer.
pub(crate) fn of_node(dev: &Device) -> Option<Attach> {
    let node = dev.fwnode()?;
    let is = |name| node.property_match_string(c"compatible", name).is_ok();

    if is(c"faultline,fw-cfg-buffer") {
        Some(fw_cfg::attach)
    } else if is(c"faultline,bcm2835-mbox-buffer") {
        Some(mailbox::attach)
    } else if is(c"faultline,dma-channel-buffer") {
        Some(dmaengine::attach)
    } else {
        None
    }
}
