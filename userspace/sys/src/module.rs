// SPDX-License-Identifier: GPL-2.0-only

//! Kernel modules come and go.

use core::ffi::CStr;

use faultline_core::errno::Errno;
use rustix::fs::OFlags;
use rustix::system::{delete_module, finit_module};

use crate::error::errno;
use crate::file::open;

/// Loads a module, with parameters as `insmod` takes them.
pub fn load(path: &CStr, parameters: &CStr) -> Result<(), Errno> {
    let module = open(path, OFlags::RDONLY)?;
    finit_module(module, parameters, 0).map_err(errno)
}

/// Unloads a module that nobody uses.
pub fn unload(name: &CStr) -> Result<(), Errno> {
    delete_module(name, OFlags::NONBLOCK.bits() as i32).map_err(errno)
}
