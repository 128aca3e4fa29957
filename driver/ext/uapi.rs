// SPDX-License-Identifier: GPL-2.0

//! Lets the types of `uapi.rs` cross the border to user space.

use crate::uapi::{
    Info,
    FAULTLINE_IOC_INFO,
    IOC_TYPE,
    NR_INFO, //
};
use kernel::ioctl::_IOR;

/// Asserts that a type has no padding, and lets it cross: each field is given with its width, begins
/// where the one before it ends, and the last one ends with the type.
///
/// With `in and out` the type is accepted from user space too, where any bytes may come.
macro_rules! crosses {
    ($type:ident, in and out, { $($fields:tt)* }) => {
        crosses!($type, out, { $($fields)* });

        // SAFETY: The type is `repr(C)`, of integers and arrays of them only: any bytes make a
        // value.
        unsafe impl ::kernel::transmute::FromBytes for $type {}
    };
    ($type:ident, out, { $($field:ident: $width:literal,)* }) => {
        const _: () = {
            let mut end = 0;
            $(
                assert!(::core::mem::offset_of!($type, $field) == end);
                end += $width;
            )*
            assert!(::core::mem::size_of::<$type>() == end);
        };

        // SAFETY: The type is `repr(C)`, of integers and arrays of them only, and has no padding
        // by the assertions above, so that all its bytes are initialised.
        unsafe impl ::kernel::transmute::AsBytes for $type {}
    };
}

crosses!(Info, out, {
    flags: 4,
    reserved: 4,
    size: 8,
    dma_address: 8,
});

// The number is the one which the kernel's own macro gives.
const _: () = assert!(FAULTLINE_IOC_INFO == _IOR::<Info>(IOC_TYPE, NR_INFO));
