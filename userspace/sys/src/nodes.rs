// SPDX-License-Identifier: GPL-2.0-only

//! The driver's device nodes, as they are in `/dev`.

use core::ffi::CStr;
use core::fmt::Write;

use faultline_core::errno::Errno;
use faultline_core::name::DEVICE;
use faultline_core::nodes::{Nodes, MAX_NODES};
use faultline_core::text::Line;
use rustix::fs::{access, Access};

use crate::error::errno;

/// Finds the driver's nodes.
///
/// # Errors
///
/// What is there or not cannot be told.
pub fn find() -> Result<Nodes, Errno> {
    let mut nodes = Nodes::default();
    for number in 0..MAX_NODES {
        match access(NodePath::new(number).as_c_str(), Access::EXISTS).map_err(errno) {
            Ok(()) => nodes.see(number),
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(nodes)
}

/// The path of a node.
pub struct NodePath(Line);

impl NodePath {
    /// The path of `/dev/faultlineN`.
    pub fn new(number: u32) -> Self {
        let mut path = Line::new();
        // A line has room for it.
        let _ = write!(path, "{DEVICE}{number}\0");
        Self(path)
    }

    /// The path, for a system call.
    pub fn as_c_str(&self) -> &CStr {
        path(&self.0)
    }
}

/// A line that ends with a NUL as a path. One that has been cut, or that has a NUL before its end,
/// is the empty path, which no file has.
pub(crate) fn path(line: &Line) -> &CStr {
    CStr::from_bytes_with_nul(line.bytes()).unwrap_or(c"")
}
