// SPDX-License-Identifier: GPL-2.0

//! Lets the types of `uapi.rs` cross the border to user space.

use crate::uapi::{
    self,
    Frame,
    Info, //
};
use core::mem::{
    offset_of,
    size_of, //
};
use kernel::{
    ioctl,
    transmute::{
        AsBytes,
        FromBytes, //
    },
};

// The layout has no padding: every field begins where the one before it ends, and the last one
// ends with the type.
const _: () = {
    assert!(offset_of!(Info, version) == 0);
    assert!(offset_of!(Info, flags) == 4);
    assert!(offset_of!(Info, size) == 8);
    assert!(offset_of!(Info, dma_address) == 16);
    assert!(offset_of!(Info, reserved) == 24);
    assert!(size_of::<Info>() == 32);
    assert!(offset_of!(Frame, offset) == 0);
    assert!(offset_of!(Frame, physical_address) == 8);
    assert!(size_of::<Frame>() == 16);
};

// The numbers are those which the kernel's own macros give.
const _: () = {
    assert!(uapi::FAULTLINE_IOC_INFO == ioctl::_IOR::<Info>(uapi::IOC_TYPE, uapi::NR_INFO));
    assert!(uapi::FAULTLINE_IOC_FRAME == ioctl::_IOWR::<Frame>(uapi::IOC_TYPE, uapi::NR_FRAME));
};

// SAFETY: `Info` is `repr(C)`, of integers only, and has no padding by the assertions above, so
// that all its bytes are initialised.
unsafe impl AsBytes for Info {}

// SAFETY: `Frame` is `repr(C)`, of integers only, and has no padding by the assertions above, so
// that all its bytes are initialised.
unsafe impl AsBytes for Frame {}

// SAFETY: `Frame` is `repr(C)`, of integers only: any bytes make a value.
unsafe impl FromBytes for Frame {}
