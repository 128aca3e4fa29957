// SPDX-License-Identifier: GPL-2.0

//! The properties of a node, checked. What cannot be honoured is an error that names the property.

use crate::{
    length::Length,
    refused, //
};
use kernel::{
    device::Device,
    prelude::*, //
};

/// What a node asks for.
pub(crate) struct Properties {
    /// The length of the buffer: the property `size`.
    pub(crate) length: Length,
}

impl Properties {
    /// Reads the properties of the node of `dev`.
    ///
    /// # Errors
    ///
    /// The log has the reason.
    ///
    /// - `EINVAL`: a property makes no sense.
    /// - `ENOMEM`: the buffer would be larger than the memory of the machine.
    pub(crate) fn read(dev: &Device) -> Result<Self> {
        refuse_contradiction(dev)?;
        refused::check(dev)?;

        Ok(Self {
            length: buffer_length(dev)?,
        })
    }
}

/// Reads the property `size`, in bytes: one cell or two, rounded up to whole pages, and one page if it
/// is not there.
fn buffer_length(dev: &Device) -> Result<Length> {
    let Some(node) = dev.fwnode().filter(|node| node.property_present(c"size")) else {
        return Ok(Length::ONE_PAGE);
    };

    let bytes = match node.property_count_elem::<u32>(c"size") {
        Ok(1) => node.property_read::<u32>(c"size").required_by(dev)?.into(),
        Ok(2) => node.property_read::<u64>(c"size").required_by(dev)?,
        // A property without a value has no cells; the kernel answers with an error.
        cells => {
            dev_err!(dev, "size: {} cells, want 1 or 2\n", cells.unwrap_or(0));
            return Err(EINVAL);
        }
    };

    let length = Length::from_bytes(bytes).inspect_err(|error| {
        dev_err!(dev, "size: {error}\n");
    })?;
    // CAST: `usize` is no wider than `u64`.
    if length.bytes() as u64 != bytes {
        dev_notice!(
            dev,
            "size: {bytes} is rounded up to {}, whole pages\n",
            length.bytes()
        );
    }
    Ok(length)
}

/// Refuses a node that says both that its device sees the caches of the CPUs and that it does not: the
/// kernel would take one of the two.
fn refuse_contradiction(dev: &Device) -> Result {
    let has = |name| dev.fwnode().is_some_and(|node| node.property_present(name));

    if has(c"dma-coherent") && has(c"dma-noncoherent") {
        dev_err!(
            dev,
            "dma-coherent, dma-noncoherent: the node has both, want one or none\n"
        );
        return Err(EINVAL);
    }
    Ok(())
}
