// SPDX-License-Identifier: GPL-2.0

//! Lets the types of `uapi.rs` cross the border to user space.

use crate::uapi::{
    self,
    Copy,
    Fill,
    Frame,
    Info,
    Litmus,
    Master,
    Translation, //
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

/// Asserts that a type has no padding, and lets it cross: each field is given with its width, begins
/// where the one before it ends, and the last one ends with the type.
///
/// With `in and out` the type is accepted from user space too, where any bytes may come.
macro_rules! crosses {
    ($type:ident, in and out, { $($fields:tt)* }) => {
        crosses!($type, out, { $($fields)* });

        // SAFETY: The type is `repr(C)`, of integers and arrays of them only: any bytes make a
        // value.
        unsafe impl FromBytes for $type {}
    };
    ($type:ident, out, { $($field:ident: $width:literal,)* }) => {
        const _: () = {
            let mut end = 0;
            $(
                assert!(offset_of!($type, $field) == end);
                end += $width;
            )*
            assert!(size_of::<$type>() == end);
        };

        // SAFETY: The type is `repr(C)`, of integers and arrays of them only, and has no padding
        // by the assertions above, so that all its bytes are initialised.
        unsafe impl AsBytes for $type {}
    };
}

crosses!(Info, out, {
    version: 4,
    flags: 4,
    size: 8,
    dma_address: 8,
    reserved: 8,
});

crosses!(Frame, in and out, {
    offset: 8,
    physical_address: 8,
});

crosses!(Translation, in and out, {
    address: 8,
    request: 4,
    flags: 4,
    attribute: 1,
    shareability: 1,
    fault: 1,
    reserved: 5,
    entry_size: 8,
    physical_address: 8,
});

crosses!(Master, out, {
    name: 16,
    abilities: 4,
    alignment: 4,
    max_fill: 8,
    max_copy: 8,
    data: 4,
    reserved: 4,
});

crosses!(Fill, in and out, {
    offset: 8,
    length: 8,
    reserved: 8,
});

crosses!(Copy, in and out, {
    source: 8,
    destination: 8,
    length: 8,
    reserved: 8,
});

crosses!(Litmus, in and out, {
    cpu: 4,
    test: 4,
    rounds: 8,
    data: 8,
    flag: 8,
    answer_data: 8,
    answer_flag: 8,
    wrong: 8,
    first_wrong_round: 8,
});

// The numbers are those which the kernel's own macros give.
const _: () = {
    use ioctl::{
        _IOR,
        _IOW,
        _IOWR, //
    };
    use uapi::*;

    assert!(FAULTLINE_IOC_INFO == _IOR::<Info>(IOC_TYPE, NR_INFO));
    assert!(FAULTLINE_IOC_FRAME == _IOWR::<Frame>(IOC_TYPE, NR_FRAME));
    assert!(FAULTLINE_IOC_TRANSLATE == _IOWR::<Translation>(IOC_TYPE, NR_TRANSLATE));
    assert!(FAULTLINE_IOC_MASTER == _IOR::<Master>(IOC_TYPE, NR_MASTER));
    assert!(FAULTLINE_IOC_FILL == _IOWR::<Fill>(IOC_TYPE, NR_FILL));
    assert!(FAULTLINE_IOC_COPY == _IOW::<Copy>(IOC_TYPE, NR_COPY));
    assert!(FAULTLINE_IOC_LITMUS == _IOWR::<Litmus>(IOC_TYPE, NR_LITMUS));
};
