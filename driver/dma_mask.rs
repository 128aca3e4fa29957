// SPDX-License-Identifier: GPL-2.0

//! The property `dma-mask-bits`: how far a device reaches that is narrower than its bus.

use crate::ext::coherent::set_dma_mask;
use kernel::{
    device::{
        Core,
        Device, //
    },
    dma::DmaMask,
    platform,
    prelude::*, //
};

/// Sets the DMA mask of a device to the number of bits that its node gives, or to 64.
///
/// # Errors
///
/// The log has the reason.
///
/// - `EINVAL`: the number makes no sense.
/// - `EIO`: the kernel cannot find memory for so narrow a device on this machine.
pub(crate) fn set(pdev: &platform::Device<Core<'_>>) -> Result {
    let dev: &Device = pdev.as_ref();
    let node = dev
        .fwnode()
        .filter(|node| node.property_present(c"dma-mask-bits"));
    let Some(node) = node else {
        return set_dma_mask(pdev, DmaMask::new::<64>());
    };

    let bits = match node.property_count_elem::<u32>(c"dma-mask-bits") {
        Ok(1) => node
            .property_read::<u32>(c"dma-mask-bits")
            .required_by(dev)?,
        cells => {
            let cells = cells.unwrap_or(0);
            dev_err!(dev, "dma-mask-bits: {cells} cells, want 1\n");
            return Err(EINVAL);
        }
    };
    let mask = match DmaMask::try_new(bits) {
        Ok(mask) if bits > 0 => mask,
        _ => {
            dev_err!(dev, "dma-mask-bits: {bits}, want 1 to 64\n");
            return Err(EINVAL);
        }
    };
    set_dma_mask(pdev, mask).inspect_err(|_| {
        dev_err!(
            dev,
            "dma-mask-bits: this machine has no memory that {bits} bits reach\n"
        );
    })
}
