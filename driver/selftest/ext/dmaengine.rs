// SPDX-License-Identifier: GPL-2.0

//! Channels of DMA engines that copy from memory to memory.
//!
//! C header: [`include/linux/dmaengine.h`](srctree/include/linux/dmaengine.h)

use super::{
    ffi,
    memory::DmaSpan, //
};
use crate::ext::ffi::raw_device;
use core::ptr::NonNull;
use kernel::{
    device::{
        Bound,
        Core,
        Device, //
    },
    error::{
        from_err_ptr,
        to_result, //
    },
    io::poll::read_poll_timeout,
    platform,
    prelude::*,
    sync::{
        aref::ARef,
        barrier::{
            dma_mb,
            Read, //
        }, //
    },
    time::Delta, //
};

/// How often to look whether a copy is done.
const INTERVAL: Delta = Delta::from_micros(10);

/// A channel that nobody else has, of an engine that copies.
///
/// # Invariants
///
/// `raw` is a channel that this value owns. Once `request()` has returned it, its engine's driver is not
/// unbound before the driver of `consumer`, and the engine's own device accesses memory for it.
pub(crate) struct Channel {
    raw: NonNull<ffi::dma_chan>,
    /// The device that has requested the channel. `dma_release_channel()` removes a link from its folder
    /// in sysfs.
    _consumer: ARef<Device>,
}

// SAFETY: A channel belongs to no task: `dma_release_channel()` may be called by any, and so may drop the
// reference to the device.
unsafe impl Send for Channel {}

// SAFETY: Engines have locks of their own around their channels' queues, and the rest of what is
// read here does not change.
unsafe impl Sync for Channel {}

impl Channel {
    /// Requests the channel that the node's `dmas` has under this of its `dma-names`.
    ///
    /// # Errors
    ///
    /// - `EPROBE_DEFER`: the engine's driver is not there yet.
    /// - `EOPNOTSUPP`: the engine does not copy.
    /// - `EXDEV`: the channel accesses memory by a device of its own, which has no driver, so that
    ///   nothing can be allocated for it here.
    /// - `ENODEV`: the engine cannot be tied to the device.
    /// - Others: there is no such channel, or it is taken.
    pub(crate) fn request(pdev: &platform::Device<Core<'_>>, name: &CStr) -> Result<Self> {
        let dev: &Device<Bound> = pdev.as_ref();

        // SAFETY: Both pointers are valid for the call. The channel keeps the one to the device until it
        // is released, which is before `_consumer` gives its reference up; the name is copied.
        let raw = from_err_ptr(unsafe {
            ffi::faultline_dma_request(raw_device(dev), name.as_char_ptr())
        })?;

        // INVARIANT: The channel is ours as of now, and released when `this` is dropped. The link
        // below sees to the order of unbinding; without one nobody gets `this`.
        let this = Self {
            raw: NonNull::new(raw).ok_or(ENODEV)?,
            _consumer: ARef::<Device>::from(&**dev),
        };
        // The driver core makes such a link of `dmas` by itself, unless it is told not to
        // (`fw_devlink=off`), or has given up waiting for the engine's driver.
        //
        // SAFETY: The device is valid. So is the channel, which is ours and holds the module of the
        // engine's driver. Only where the driver core has made no link could an administrator unbind
        // that driver between the call above and this one, which no caller of `dma_request_chan()` can
        // prevent. `Core` means that the device is being probed; the driver core removes the link when
        // its driver is unbound, as `DL_FLAG_AUTOREMOVE_CONSUMER` says.
        if !unsafe { ffi::faultline_dma_link(raw_device(dev), this.raw.as_ptr()) } {
            return Err(ENODEV);
        }
        // SAFETY: The channel is ours, and by the link its engine's driver stays bound.
        if !unsafe { ffi::faultline_dma_can_copy(this.raw.as_ptr()) } {
            return Err(EOPNOTSUPP);
        }
        // SAFETY: As above; the function reads what has not changed since the engine was registered.
        if unsafe { ffi::faultline_dma_device(this.raw.as_ptr()) }.is_null() {
            return Err(EXDEV);
        }
        Ok(this)
    }

    /// Returns the device that accesses memory for the channel: what it is to access must be
    /// allocated for that one.
    pub(crate) fn device(&self) -> &Device<Bound> {
        // SAFETY: By the type invariants the channel is ours, and its engine's driver is bound; the
        // function reads what has not changed since `request()` looked at it.
        let raw = unsafe { ffi::faultline_dma_device(self.raw.as_ptr()) };

        // SAFETY: By the type invariants this is the engine's own device, not null. It has a driver:
        // `dma_async_device_register()` takes the module from it. By the link that driver is not
        // unbound before the driver of `_consumer`, which drops this value, and what was allocated for
        // the engine, when it is unbound.
        unsafe { Device::from_raw(raw) }
    }

    /// Returns what addresses and lengths must be multiples of, in bytes.
    pub(crate) fn alignment(&self) -> usize {
        // SAFETY: By the type invariants the channel is ours, and its engine's driver is bound: the
        // function reads a member of the engine.
        unsafe { ffi::faultline_dma_copy_alignment(self.raw.as_ptr()) }
    }

    /// Copies all of `source` to as many bytes of `destination`, which must not overlap it. May
    /// sleep.
    ///
    /// When this returns the channel accesses neither any more, unless it cannot be stopped. To stop
    /// one copy stops all that are under way on the channel.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: `destination` is shorter.
    /// - `EIO`: the engine reported an error.
    /// - `ETIMEDOUT`: it was not done in time, and was stopped.
    /// - `EBUSY`: it was not done in time, and goes on.
    /// - `ENOMEM`: it takes no more work.
    pub(crate) fn copy(
        &self,
        destination: DmaSpan<'_>,
        source: DmaSpan<'_>,
        patience: Delta,
    ) -> Result {
        if destination.length() < source.length() {
            return Err(EINVAL);
        }

        let channel = self.raw.as_ptr();
        // SAFETY: By the type invariants the channel is ours, and its engine's driver is bound;
        // `request()` has seen that it copies. The addresses are those of memory that stays allocated
        // as long as it is borrowed, which is until this returns: then the engine is done with it, or
        // was stopped, or the caller is told that it cannot be.
        let cookie = unsafe {
            ffi::faultline_dma_start_copy(
                channel,
                destination.address(),
                source.address(),
                source.length(),
            )
        };
        to_result(cookie.min(0))?;

        let outcome = read_poll_timeout(
            // SAFETY: By the type invariants the channel is ours, and its engine's driver is bound. The
            // cookie is of a copy on this channel; it is compared, and refers to nothing.
            || Ok(unsafe { ffi::faultline_dma_status(channel, cookie) }),
            |status| *status != EINPROGRESS.to_errno(),
            INTERVAL,
            patience,
        );
        if let Ok(0) = outcome {
            // Nothing is read from memory before the engine was seen to be done.
            dma_mb(Read);
            return Ok(());
        }

        // SAFETY: By the type invariants the channel is ours, and its engine's driver is bound; and this
        // may sleep, as documented.
        to_result(unsafe { ffi::faultline_dma_stop(channel) }).map_err(|_| EBUSY)?;
        outcome.and(Err(EIO))
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        // SAFETY: By the type invariants the channel is this value's own, and it is not used again. By the
        // link its engine's driver is bound, or `request()` has just failed to make the link: see there.
        // `_consumer` is dropped after this.
        unsafe { ffi::faultline_dma_release(self.raw.as_ptr()) };
    }
}
