// SPDX-License-Identifier: GPL-2.0

//! Properties that ask for what this driver does not do. A node with one of them would get something
//! else than it asks for: probing it is an error that names the property.
//!
//! Properties that concern another subsystem, such as `pinctrl-0`, are left to it; misspelt ones are
//! found by the binding's schema.

use kernel::{
    device::Device,
    prelude::*, //
};

/// Each property, and what to do about it.
const REFUSED: &[(&CStr, &str)] = &[
    // Those of the bus, and of a region: they mean nothing in this node.
    (c"dma-ranges", "it belongs to the bus above the node"),
    (c"no-map", IN_THE_REGION),
    (c"reusable", IN_THE_REGION),
    (c"alignment", IN_THE_REGION),
    (c"alloc-ranges", IN_THE_REGION),
    (c"linux,cma-default", IN_THE_REGION),
    (c"linux,dma-default", IN_THE_REGION),
    // Those of u-dma-buf.
    (c"dma-mask", "write dma-mask-bits"),
    (c"device-name", "write label"),
    (c"minor-number", "minor numbers are dynamic"),
    (c"sync-mode", NO_SYNC),
    (c"sync-always", NO_SYNC),
    (c"sync-offset", NO_SYNC),
    (c"sync-size", NO_SYNC),
    (c"sync-direction", NO_SYNC),
    (c"quirk-mmap-on", NO_QUIRK),
    (c"quirk-mmap-off", NO_QUIRK),
    (c"quirk-mmap-auto", NO_QUIRK),
    (c"quirk-mmap-page", NO_QUIRK),
];

const IN_THE_REGION: &str = "it belongs to the region that memory-region names";
const NO_SYNC: &str = "coherent memory needs no synchronisation; for cached memory write faultline,cached, and call SYNC";
const NO_QUIRK: &str = "there is one way to map the memory, which is right for the device";

/// Refuses a node with a property that cannot be honoured.
///
/// # Errors
///
/// `EINVAL`. The log names the property.
pub(crate) fn check(dev: &Device) -> Result {
    for &(name, instead) in REFUSED {
        if has(dev, name) {
            dev_err!(dev, "{name}: is not honoured here: {instead}\n");
            return Err(EINVAL);
        }
    }
    Ok(())
}

/// Refuses properties of the node's own memory where the memory is that of another device.
///
/// # Errors
///
/// `EINVAL`. The log names the property.
pub(crate) fn for_another_device(dev: &Device) -> Result {
    for name in [c"memory-region", c"dma-mask-bits"] {
        if has(dev, name) {
            dev_err!(
                dev,
                "{name}: is not honoured here: the memory is allocated for the DMA engine\n"
            );
            return Err(EINVAL);
        }
    }
    Ok(())
}

fn has(dev: &Device, name: &CStr) -> bool {
    dev.fwnode().is_some_and(|node| node.property_present(name))
}
