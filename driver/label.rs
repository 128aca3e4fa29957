// SPDX-License-Identifier: GPL-2.0

//! The property `label`: a name for a buffer by which programs find it, whatever its number is.

use crate::ext::device_tree;
use kernel::{
    device::{
        Core,
        Device, //
    },
    platform,
    prelude::*,
    str::CString, //
};

/// The most bytes that a label may have.
const MAX: usize = 63;

/// Reads the label of a node, if it has one.
///
/// # Errors
///
/// The log has the reason.
///
/// - `EINVAL`: it cannot be the name of a file that every program can handle.
/// - `EEXIST`: another buffer has the same label.
pub(crate) fn read(pdev: &platform::Device<Core<'_>>) -> Result<Option<CString>> {
    let dev: &Device = pdev.as_ref();
    let node = dev.fwnode().filter(|node| node.property_present(c"label"));
    let Some(node) = node else {
        return Ok(None);
    };

    let label = node.property_read::<CString>(c"label").required_by(dev)?;
    // With its end; where a node of the device tree has more strings only the first one would be looked at.
    let is_one = !node.is_of_node()
        || node.property_count_elem::<u8>(c"label")? == label.to_bytes_with_nul().len();
    if !is_one || !is_name(label.to_bytes()) {
        dev_err!(
            dev,
            "label: want one string of 1 to {MAX} of a-z A-Z 0-9 . _ - with no dot at the beginning\n"
        );
        return Err(EINVAL);
    }
    // Each of them is refused, so that it does not depend on the order of the probes which one is.
    if device_tree::has_twin(pdev, c"label", &label) {
        dev_err!(dev, "label: {}: another buffer has it, too\n", &*label);
        return Err(EEXIST);
    }
    Ok(Some(label))
}

/// Returns whether a label can be the name of a file that every program can handle.
pub(crate) fn is_name(label: &[u8]) -> bool {
    let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);

    (1..=MAX).contains(&label.len()) && label[0] != b'.' && label.iter().all(is_allowed)
}
