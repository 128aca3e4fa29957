// SPDX-License-Identifier: GPL-2.0

//! The C functions of `helpers.c`, and what it takes to call C with Rust's types.

use core::ptr::from_ref;
use kernel::{
    bindings,
    device::{
        Device,
        DeviceContext, //
    }, //
};

/// Returns the C structure of a device, as `Device::as_raw()` does inside the kernel crate:
/// `Device` is a transparent wrapper of `struct device`.
pub(crate) fn raw_device<Ctx: DeviceContext>(dev: &Device<Ctx>) -> *mut bindings::device {
    from_ref(dev).cast_mut().cast()
}

/// What bindgen makes of `helpers.h`.
mod generated {
    #![allow(missing_docs, unreachable_pub)]
    // Types are the kernel's. Which structures have no members, and so look strange to the lint,
    // depends on the kernel's configuration; they are only pointed at.
    #![allow(improper_ctypes)]
    // bindgen writes `Default` of structures with `unsafe` and without comments.
    #![allow(clippy::undocumented_unsafe_blocks)]

    use kernel::bindings::*;

    include!(concat!(env!("FAULTLINE_OBJ"), "/helpers_generated.rs"));
}

pub(super) use generated::*;
