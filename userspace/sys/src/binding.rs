// SPDX-License-Identifier: GPL-2.0-only

//! Takes a device away from its driver and gives it back, through sysfs.

use core::ffi::CStr;
use core::fmt::Write;

use faultline_core::errno::Errno;
use faultline_core::failure::CallError;
use faultline_core::name::{BIND, UNBIND};
use faultline_core::text::{Line, Printable};
use rustix::fs::{readlinkat_raw, OFlags, CWD};
use rustix::io;

use crate::error::errno;
use crate::file::open;
use crate::nodes::path;

/// Where sysfs has the driver's devices, by the names of their nodes.
const CLASS: &str = "/sys/class/misc/";

/// `ENAMETOOLONG`.
const TOO_LONG: Errno = Errno::new(36);

/// How much of a link's target is read.
const TARGET: usize = 256;

/// A device by the name that its bus knows it by.
#[derive(Default)]
pub struct BusDevice(Line);

impl BusDevice {
    /// The device behind a device node.
    ///
    /// # Errors
    ///
    /// Those of `readlink()`: there is no sysfs, or no such node; `ENAMETOOLONG`.
    pub fn of_node(node: &CStr) -> Result<Self, CallError> {
        let last = |path| <[u8]>::rsplit(path, |byte| *byte == b'/').next();
        let mut link = Line::new();
        let name = last(node.to_bytes()).unwrap_or_default();
        // A path that does not fit is no path: see `path`.
        let _ = write!(link, "{CLASS}{}/device\0", Printable(name));
        let mut target = [0; TARGET];
        let length = readlinkat_raw(CWD, path(&link), &mut target[..])
            .map_err(errno)
            // What fills the buffer may have been cut off.
            .and_then(|length| (length < TARGET).then_some(length).ok_or(TOO_LONG))
            .map_err(CallError::of("readlink() of the device's parent in sysfs"))?;
        let mut device = Line::new();
        let name = last(&target[..length]).unwrap_or_default();
        let _ = write!(device, "{}", Printable(name));
        Ok(Self(device))
    }

    /// Unbinds it from its driver.
    pub fn unbind(&self) -> Result<(), CallError> {
        self.tell(UNBIND)
            .map_err(CallError::of("write to the driver's `unbind`"))
    }

    /// Binds it to its driver.
    pub fn bind(&self) -> Result<(), CallError> {
        self.tell(BIND)
            .map_err(CallError::of("write to the driver's `bind`"))
    }

    /// Writes its name to a file of the driver's directory.
    fn tell(&self, file: &CStr) -> Result<(), Errno> {
        let file = open(file, OFlags::WRONLY)?;
        io::write(file, self.0.bytes()).map(drop).map_err(errno)
    }
}
