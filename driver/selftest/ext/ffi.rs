// SPDX-License-Identifier: GPL-2.0

//! The C functions of the self-test's `helpers.c`.

/// What bindgen makes of `selftest/helpers.h`.
mod generated {
    #![allow(missing_docs, non_camel_case_types, unreachable_pub)]
    // Types are the kernel's. Which structures have no members, and so look strange to the lint,
    // depends on the kernel's configuration; they are only pointed at.
    #![allow(improper_ctypes)]

    use kernel::bindings::*;

    /// `include/linux/dmaengine.h`: only pointed at.
    #[repr(C)]
    pub struct dma_chan {
        _private: [u8; 0],
    }

    include!(concat!(
        env!("FAULTLINE_OBJ"),
        "/selftest/helpers_generated.rs"
    ));
}

pub(super) use generated::*;
