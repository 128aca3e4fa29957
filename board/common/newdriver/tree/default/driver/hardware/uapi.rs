// SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note

//! What a program can ask of the device, and what it finds in the buffer.
//!
//! This file uses `core` alone and is compiled twice: into the kernel module, and into user space's
//! `faultline-uapi` crate, by `#[path]`. The driver asserts at build time that the number below is the one
//! that the kernel's `_IOW()` gives, and the tests of user space that it is the one of rustix's.

/// The sequence number of [`FAULTLINE_IOC_ALARM`].
pub const NR_ALARM: u32 = 0x98;

/// `_IOW('|', 0x98, Alarm)`: sets the alarm, in place of one that was set before. When it goes off, the
/// next [`Event`] is in the buffer, and `poll()` has [`POLL_ALARM`] until an alarm is set again.
///
/// # Errors
///
/// - `EBADF`: the file is not open for writing.
/// - `EINVAL`: a reserved field is not zero.
/// - `ENXIO`: the device has no interrupt.
/// - `ENODEV`: the device was unbound after the file had been opened.
pub const FAULTLINE_IOC_ALARM: u32 = 0x4008_7c98;

/// The event of `poll()` that says that the alarm has gone off: `POLLPRI`.
pub const POLL_ALARM: u16 = 0x2;

/// The argument of [`FAULTLINE_IOC_ALARM`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Alarm {
    /// In how many seconds it is to go off; zero: at once.
    pub seconds: u32,
    /// Zero.
    pub reserved: u32,
}

/// A slot of the buffer: event `number` is in slot `(number - 1) % slots`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Counts the events of the device from 1 on. Zero: there is no event in this slot.
    pub number: u32,
    /// The device's count when it was handled.
    pub count: u32,
    /// The time then, in nanoseconds of `CLOCK_MONOTONIC`.
    pub time: u64,
}

const _: () = assert!(core::mem::size_of::<Alarm>() == 8);
const _: () = assert!(core::mem::size_of::<Event>() == 16);
