// SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note

//! The numbers and the layout, against what rustix's `_IOR()` and `_IOWR()` and the C ABI give.

use core::mem::{align_of, offset_of, size_of};

use rustix::ioctl::opcode;

use super::*;

// These fail to compile, not to run, when a number drifts.
const _: () = {
    assert!(FAULTLINE_IOC_INFO == opcode::read::<Info>(IOC_TYPE as u8, NR_INFO as u8));
    assert!(FAULTLINE_IOC_FRAME == opcode::read_write::<Frame>(IOC_TYPE as u8, NR_FRAME as u8));
};

#[test]
fn ioctl_type_and_numbers_fit_their_fields() {
    assert_eq!(IOC_TYPE, u32::from(b'|'));
    for nr in [NR_INFO, NR_FRAME] {
        assert!(
            (0x80..=0x9f).contains(&nr),
            "{nr:#x} is not set aside for samples"
        );
    }
    assert_ne!(NR_INFO, NR_FRAME);
}

#[test]
fn info_has_the_same_layout_on_every_abi() {
    assert_eq!(
        (size_of::<Info>(), align_of::<Info>()),
        (32, align_of::<u64>())
    );
    assert_eq!(offset_of!(Info, version), 0);
    assert_eq!(offset_of!(Info, flags), 4);
    assert_eq!(offset_of!(Info, size), 8);
    assert_eq!(offset_of!(Info, dma_address), 16);
    assert_eq!(offset_of!(Info, reserved), 24);
}

#[test]
fn frame_has_the_same_layout_on_every_abi() {
    assert_eq!(
        (size_of::<Frame>(), align_of::<Frame>()),
        (16, align_of::<u64>())
    );
    assert_eq!(offset_of!(Frame, offset), 0);
    assert_eq!(offset_of!(Frame, physical_address), 8);
}

#[test]
fn flags_are_distinct_bits() {
    assert!(FLAG_COHERENT.is_power_of_two());
    assert!(FLAG_PRISTINE.is_power_of_two());
    assert_ne!(FLAG_COHERENT, FLAG_PRISTINE);
}
