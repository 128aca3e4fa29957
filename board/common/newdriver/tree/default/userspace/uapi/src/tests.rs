// SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note

//! The numbers, against what rustix's `_IOR()` and its like give.

use rustix::ioctl::opcode::{read, write};

use super::*;

// These fail to compile, not to run, when a number drifts.
const _: () = {
    const TYPE: u8 = IOC_TYPE as u8;

    assert!(FAULTLINE_IOC_INFO == read::<Info>(TYPE, NR_INFO as u8));
    assert!(FAULTLINE_IOC_ALARM == write::<Alarm>(TYPE, NR_ALARM as u8));
};

#[test]
fn numbers_are_set_aside_for_samples_and_differ() {
    let numbers = [NR_INFO, NR_ALARM];
    assert!(numbers.iter().all(|nr| (0x80..=0x9f).contains(nr)));
    assert!(numbers.is_sorted_by(|one, next| one < next));
}
