// SPDX-License-Identifier: GPL-2.0

//! A channel of a DMA engine as a bus master.
//!
//! The node names the channel, as any user of one does: `dmas`, and `dma-names = "memcpy"`. It is the
//! engine that accesses memory, so that the buffer is allocated for the engine's device.
//!
//! [`copy`](Master::copy) goes by way of memory of its own, so that all is read before anything is
//! written. The engine has no data to [`fill`](Master::fill) with.

use super::{
    Data,
    Description,
    Master,
    Target, //
};
use crate::selftest::ext::{
    dmaengine::Channel,
    memory::DmaSpan, //
};
use kernel::{
    device::{
        Bound,
        Core,
        Device, //
    },
    dma::Coherent,
    new_mutex,
    page::PAGE_SIZE,
    platform,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    },
    time::Delta, //
};

/// How long the engine may take for a page.
const PATIENCE: Delta = Delta::from_secs(1);

/// What offsets and lengths are multiples of even where the engine does not ask for it: the widest
/// that every data path can take. (QEMU's model of the engine of a Raspberry Pi does not come to
/// an end with a length that is not.)
const WORD: usize = 4;

/// The channel, as a bus master.
#[pin_data]
struct DmaEngine {
    #[pin]
    stopover: Mutex<Stopover>,
    channel: Channel,
}

/// Where data is between being read and being written.
struct Stopover {
    /// There until it has to be given up.
    memory: Option<Coherent<[u8]>>,
}

/// Claims the channel that the node calls `memcpy`.
///
/// # Errors
///
/// The log has the reason, unless it is that the engine's driver is not there yet.
///
/// - As [`Channel::request`].
/// - `ENOMEM`: there is no page for the data.
pub(crate) fn attach(pdev: &platform::Device<Core<'_>>) -> Result<Arc<dyn Master>> {
    let dev: &Device<Bound> = pdev.as_ref();

    let channel = Channel::request(pdev, c"memcpy").inspect_err(|&error| match error {
        EPROBE_DEFER => {}
        EOPNOTSUPP => dev_err!(
            dev,
            "dmas: the engine does not copy from memory to memory\n"
        ),
        EXDEV => dev_err!(
            dev,
            "dmas: the channel accesses memory by a device of its own, not by the engine's\n"
        ),
        _ => dev_err!(
            dev,
            "dmas: no channel for the name memcpy, or no link to it: {error:?}\n"
        ),
    })?;
    let memory = Coherent::zeroed_slice(channel.device(), PAGE_SIZE, GFP_KERNEL)
        .inspect_err(|_| dev_err!(dev, "dmas: no page of DMA memory for copies\n"))?;

    Ok(Arc::pin_init(
        pin_init!(DmaEngine {
            stopover <- new_mutex!(Stopover { memory: Some(memory) }, "DmaEngine::stopover"),
            channel,
        }),
        GFP_KERNEL,
    )?)
}

impl Master for DmaEngine {
    fn describe(&self) -> Description {
        Description {
            name: "dmaengine",
            data: Data::Nonce,
            alignment: self.channel.alignment().max(WORD),
            max_fill: 0,
            orders: 0,
            max_copy: PAGE_SIZE,
        }
    }

    fn device(&self) -> Option<&Device<Bound>> {
        Some(self.channel.device())
    }

    fn fill(&self, _target: &Target<'_>) -> Result {
        Err(EOPNOTSUPP)
    }

    fn copy(&self, source: DmaSpan<'_>, destination: DmaSpan<'_>) -> Result {
        let mut stopover = self.stopover.lock();
        let memory = stopover.memory.as_ref().ok_or(ETIMEDOUT)?;
        let between = DmaSpan::of(memory, source.length()).ok_or(EMSGSIZE)?;

        let outcome = self
            .channel
            .copy(between, source, PATIENCE)
            .and_then(|()| self.channel.copy(destination, between, PATIENCE));
        if outcome == Err(EBUSY) {
            // It may be written to for ever: lost memory is the lesser evil.
            pr_err!("faultline: a DMA channel cannot be stopped: memory is lost\n");
            core::mem::forget(stopover.memory.take());
            return Err(ETIMEDOUT);
        }
        outcome
    }

    fn settle(&self) -> Result {
        self.stopover
            .lock()
            .memory
            .as_ref()
            .map(drop)
            .ok_or(ETIMEDOUT)
    }
}
