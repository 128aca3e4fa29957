// SPDX-License-Identifier: GPL-2.0

//! The registers, one entry each: offset, and fields by their bits.
//!
//! They are those of the PL031 (Arm DDI 0224), as far as the driver uses them.

use kernel::io::register;

/// How many bytes of registers the driver maps.
pub(super) const SIZE: usize = 0x1000;

/// [`PART_LOW`] of a PL031.
pub(super) const PART_OF_PL031: u32 = 0x31;

register! {
    /// The count of seconds (RTCDR).
    pub(super) COUNT(u32) @ 0x0 {
        31:0 value;
    }

    /// The count at which the device raises its interrupt (RTCMR).
    pub(super) MATCH(u32) @ 0x4 {
        31:0 value;
    }

    /// Whether the device may raise its interrupt (RTCIMSC).
    pub(super) INTERRUPT_MASK(u32) @ 0x10 {
        0:0 alarm;
    }

    /// Whether it does (RTCMIS).
    pub(super) INTERRUPT_STATUS(u32) @ 0x18 {
        0:0 alarm;
    }

    /// A one takes the interrupt back (RTCICR).
    pub(super) INTERRUPT_CLEAR(u32) @ 0x1c {
        0:0 alarm;
    }

    /// The low byte of the part number (RTCPeriphID0).
    pub(super) PART_LOW(u32) @ 0xfe0 {
        7:0 value;
    }
}
