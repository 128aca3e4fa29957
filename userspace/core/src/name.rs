// SPDX-License-Identifier: GPL-2.0-only

//! The project's name, in each form that the programs need. The two names are those of
//! board/common/project.env; tests/test_project.py fails if they are not, and if any other file of the
//! programs has one of them in a string.

use core::ffi::CStr;

/// `PROJECT`: begins the programs' names and the machine's last line.
macro_rules! project {
    () => {
        "faultline"
    };
}

/// `MODULE`: the kernel module, its platform driver, its devices.
macro_rules! module {
    () => {
        "faultline"
    };
}

/// Makes a path for a system call of these parts.
macro_rules! path {
    ($($part:expr),+) => {
        match CStr::from_bytes_with_nul(concat!($($part,)+ "\0").as_bytes()) {
            Ok(path) => path,
            Err(_) => panic!("a NUL in a path"),
        }
    };
}

/// The option of the kernel's configuration for the driver's self-test.
macro_rules! selftest_option {
    () => {
        "CONFIG_FAULTLINE_SELFTEST"
    };
}

pub(crate) use {module, selftest_option};

/// `PROJECT`.
pub const PROJECT: &str = project!();
/// `MODULE`.
pub const MODULE: &str = module!();
/// `COMPATIBLE`: the device-tree node that the driver binds to.
pub const COMPATIBLE: &str = concat!(project!(), ",coherent-buffer");

/// The programs.
pub const VERIFY: &str = concat!(project!(), "-verify");
/// See [`VERIFY`].
pub const STRESS: &str = concat!(project!(), "-stress");
/// See [`VERIFY`].
pub const BENCH: &str = concat!(project!(), "-bench");
/// See [`VERIFY`].
pub const INIT: &str = concat!(project!(), "-init");

/// The node of a device, up to its number.
pub const DEVICE: &str = concat!("/dev/", module!());
/// Any of the nodes, for a message.
pub const ANY_DEVICE: &CStr = path!("/dev/", module!(), "N");
/// What sysfs says of a device, up to its number.
pub const CLASS_DEVICE: &str = concat!("/sys/class/misc/", module!());
/// The file of the driver that takes the name of a device to unbind.
pub const UNBIND: &CStr = path!("/sys/bus/platform/drivers/", module!(), "/unbind");
/// The file of the driver that takes the name of a device to bind.
pub const BIND: &CStr = path!("/sys/bus/platform/drivers/", module!(), "/bind");

/// The module's file in a guest.
pub const MODULE_FILE: &CStr = path!("/lib/modules/", module!(), ".ko");
/// The file in a guest that names the program to run.
pub const RUN_FILE: &CStr = path!("/etc/", project!(), "/run");

/// What is before the nonce on the kernel's command line.
pub const NONCE: &str = concat!(module!(), ".nonce=");
/// What the kernel warns of whenever a module from outside its tree is loaded, this driver being one.
pub const TAINT: &str = concat!(module!(), ": loading out-of-tree module taints kernel.");
