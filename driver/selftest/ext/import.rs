// SPDX-License-Identifier: GPL-2.0

//! dma-bufs that a bus master imports, of this driver or of another one.
//!
//! C header: [`include/linux/dma-buf.h`](srctree/include/linux/dma-buf.h)

use super::{
    ffi,
    memory::DmaSpan, //
};
use crate::ext::ffi::raw_device;
use core::{
    marker::PhantomData,
    ops::Range, //
};
use kernel::{
    bindings,
    device::{
        Bound,
        Device, //
    },
    error::from_err_ptr,
    prelude::*,
    sync::aref::ARef, //
};

/// A dma-buf that is mapped for a device.
///
/// # Invariants
///
/// `attachment` is this value's, of `_dev`, and mapped as `table`.
pub(crate) struct Imported<'a> {
    attachment: *mut bindings::dma_buf_attachment,
    table: *mut bindings::sg_table,
    /// The attachment keeps no reference.
    _dev: ARef<Device>,
    _bound: PhantomData<&'a Device<Bound>>,
}

impl<'a> Imported<'a> {
    /// Imports the dma-buf of a file descriptor of the calling task for `dev`. May sleep, as long as the exporter
    /// does.
    ///
    /// # Errors
    ///
    /// - `EBADF`: there is no such file, or the device is to write to the dma-buf and the file is not open for
    ///   writing.
    /// - `EINVAL`: it is no dma-buf.
    /// - `EOPNOTSUPP`: the kernel has no dma-bufs (`CONFIG_DMA_SHARED_BUFFER`).
    /// - Those of the exporter.
    pub(crate) fn new(dev: &'a Device<Bound>, fd: i32, is_written: bool) -> Result<Self> {
        // SAFETY: The device is valid, and bound as long as the result lives; if that is forgotten, valid still.
        let attachment =
            from_err_ptr(unsafe { ffi::faultline_import(raw_device(dev), fd, is_written) })?;
        // SAFETY: The attachment is this function's.
        let table = from_err_ptr(unsafe { ffi::faultline_import_map(attachment) })
            // SAFETY: It is not mapped.
            .inspect_err(|_| unsafe { ffi::faultline_import_end(attachment) })?;

        // INVARIANT: Both are there, and the result's.
        Ok(Self {
            attachment,
            table,
            _dev: ARef::<Device>::from(&**dev),
            _bound: PhantomData,
        })
    }

    /// Returns the bytes of `range` as the device addresses them, or `None` if there are none, they reach past
    /// the end, or they do not follow each other there.
    pub(crate) fn span(&self, range: Range<usize>) -> Option<DmaSpan<'_>> {
        let mut length = 0;

        // SAFETY: By the type invariants the table is mapped. `length` may be written to.
        let address = unsafe { ffi::faultline_import_find(self.table, range.start, &mut length) };
        if range.is_empty() || range.len() > length {
            return None;
        }
        // SAFETY: The exporter keeps the memory as long as it is mapped, which it is while `self` is borrowed.
        Some(unsafe { DmaSpan::from_raw(address, range.len()) })
    }
}

impl Drop for Imported<'_> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants; no span of it is left, as each borrows it.
        unsafe {
            ffi::faultline_import_unmap(self.attachment, self.table);
            ffi::faultline_import_end(self.attachment);
        }
    }
}
