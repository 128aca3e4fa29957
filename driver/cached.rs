// SPDX-License-Identifier: GPL-2.0

//! The property `faultline,cached`: a buffer of ordinary, cached pages, which user space synchronises
//! with the device ([`sync`](crate::sync)) and which can be pinned ([`page_faults`](crate::page_faults)).

use crate::{
    buffer::Buffer,
    ext::{
        address_space::AddressSpace,
        cached::CachedPages,
        coherent::MappableCoherent, //
    },
    length::Length, //
};
use kernel::{
    device::{
        Bound,
        Device, //
    },
    prelude::*,
    sync::Arc, //
};

/// Returns whether the node of `dev` asks for cached memory.
///
/// # Errors
///
/// `EINVAL`: it asks for something else, too, that cached memory cannot have. The log names it.
pub(crate) fn is_asked_for(dev: &Device) -> Result<bool> {
    let Some(node) = dev
        .fwnode()
        .filter(|node| node.property_present(c"faultline,cached"))
    else {
        return Ok(false);
    };

    if let Ok(bytes @ 1..) = node.property_count_elem::<u8>(c"faultline,cached") {
        dev_err!(dev, "faultline,cached: {bytes} bytes, want no value\n");
        return Err(EINVAL);
    }
    // A pool hands out coherent memory alone, and pages of a reusable one cannot be pinned for long.
    if node.property_present(c"memory-region") {
        dev_err!(
            dev,
            "memory-region: is not honoured here: faultline,cached takes pages of the kernel's own\n"
        );
        return Err(EINVAL);
    }
    Ok(true)
}

/// Allocates a cached buffer for `dev`, whose DMA mask is set, that can be mapped through the files of
/// `space`. What goes wrong is said in the log of `node`.
///
/// # Errors
///
/// As [`CachedPages::zeroed`]. The log has the reason.
pub(crate) fn allocate(
    node: &Device,
    dev: &Device<Bound>,
    length: Length,
    space: Arc<AddressSpace>,
) -> Result<Buffer> {
    let bytes = length.bytes();
    let pages = CachedPages::zeroed(dev, length.pages()).inspect_err(|&error| {
        if error == EIO {
            dev_err!(
                node,
                "faultline,cached: the DMA layer cannot map {bytes} bytes for the device: what it does not reach goes through bounce buffers of 256 KiB at most\n"
            );
        } else {
            dev_err!(
                node,
                "size: cannot allocate {bytes} contiguous bytes of cached memory: make the buffer smaller, or bind the driver earlier\n"
            );
        }
    })?;

    Ok(Buffer::new(MappableCoherent::cached(pages, space)))
}
