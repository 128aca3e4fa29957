// SPDX-License-Identifier: GPL-2.0

//! Lets the types of the self-test's calls cross the border to user space.

use crate::selftest::uapi::*;

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

crosses!(CopyImported, in and out, {
    fd: 4,
    request: 4,
    offset: 8,
    imported: 8,
    length: 8,
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
    use crate::uapi::IOC_TYPE;
    use kernel::ioctl::{
        _IOR,
        _IOW,
        _IOWR, //
    };

    assert!(FAULTLINE_IOC_FRAME == _IOWR::<Frame>(IOC_TYPE, NR_FRAME));
    assert!(FAULTLINE_IOC_TRANSLATE == _IOWR::<Translation>(IOC_TYPE, NR_TRANSLATE));
    assert!(FAULTLINE_IOC_MASTER == _IOR::<Master>(IOC_TYPE, NR_MASTER));
    assert!(FAULTLINE_IOC_FILL == _IOWR::<Fill>(IOC_TYPE, NR_FILL));
    assert!(FAULTLINE_IOC_COPY == _IOW::<Copy>(IOC_TYPE, NR_COPY));
    assert!(FAULTLINE_IOC_COPY_IMPORTED == _IOW::<CopyImported>(IOC_TYPE, NR_COPY_IMPORTED));
    assert!(FAULTLINE_IOC_LITMUS == _IOWR::<Litmus>(IOC_TYPE, NR_LITMUS));
};
