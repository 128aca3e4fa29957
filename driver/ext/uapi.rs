// SPDX-License-Identifier: GPL-2.0

//! Lets the types of `uapi.rs` cross the border to user space.

use crate::uapi::{
    Info,
    Prefault,
    Sync,
    FAULTLINE_IOC_INFO,
    FAULTLINE_IOC_PREFAULT,
    FAULTLINE_IOC_SYNC,
    IOC_TYPE,
    NR_INFO,
    NR_PREFAULT,
    NR_SYNC, //
};
use kernel::ioctl::{
    _IOR,
    _IOW, //
};

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

crosses!(Prefault, in and out, {
    address: 8,
    length: 8,
});

crosses!(Sync, in and out, {
    flags: 4,
    reserved: 4,
    offset: 8,
    length: 8,
});

// The numbers are those which the kernel's own macros give.
const _: () = {
    assert!(FAULTLINE_IOC_INFO == _IOR::<Info>(IOC_TYPE, NR_INFO));
    assert!(FAULTLINE_IOC_PREFAULT == _IOW::<Prefault>(IOC_TYPE, NR_PREFAULT));
    assert!(FAULTLINE_IOC_SYNC == _IOW::<Sync>(IOC_TYPE, NR_SYNC));
};
