// SPDX-License-Identifier: GPL-2.0

//! Questions about nodes of the device tree other than a device's own.
//!
//! C header: [`include/linux/of.h`](srctree/include/linux/of.h)

use super::ffi;
use kernel::{
    device::{
        Core,
        Device, //
    },
    platform,
    prelude::*, //
};

/// Returns whether a node that is enabled, other than that of `pdev`, and that the driver of `pdev`
/// takes, has the string `value` as its `property`.
pub(crate) fn has_twin(pdev: &platform::Device<Core<'_>>, property: &CStr, value: &CStr) -> bool {
    let dev: &Device = pdev.as_ref();

    // SAFETY: `dev` is valid, and in a callback of its driver, as `Core` means; the strings end with a
    // null byte.
    unsafe {
        ffi::faultline_has_twin(
            ffi::raw_device(dev),
            property.as_char_ptr(),
            value.as_char_ptr(),
        )
    }
}
