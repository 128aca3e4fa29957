// SPDX-License-Identifier: GPL-2.0

//! The call by which a bus master accesses a dma-buf that it imports.

use super::{
    ext::import::Imported,
    uapi::{
        CopyImported,
        COPY_FROM_IMPORTED, //
    },
    SelfTest, //
};
use crate::mapping::{
    Extension,
    SharedBuffer, //
};
use core::mem;
use kernel::{
    fs::{
        file::flags,
        LocalFile, //
    },
    prelude::*, //
};

/// Carries out [`FAULTLINE_IOC_COPY_IMPORTED`](super::uapi::FAULTLINE_IOC_COPY_IMPORTED).
///
/// The buffer is borrowed meanwhile, and so an unbinding of its device waits until the exporter has mapped the
/// dma-buf, which may allocate memory and wait for others. No call of the driver itself does that.
pub(super) fn copy<X: Extension>(
    shared: &SharedBuffer<X>,
    own: impl Fn(&X) -> &SelfTest,
    file: &LocalFile,
    request: CopyImported,
) -> Result {
    if request.request & !COPY_FROM_IMPORTED != 0 {
        return Err(EINVAL);
    }
    // One of both directions reads the buffer, and the other one writes to it.
    if file.flags() & flags::O_ACCMODE != flags::O_RDWR {
        return Err(EBADF);
    }

    let buffer = shared.borrow()?;
    let master = own(buffer.extension()).master()?;
    let description = master.describe();
    let limit = description.max_copy;

    let size = buffer.memory().size();
    let here = description.accessible(limit, size, request.offset, request.length)?;
    if here.len() > limit {
        return Err(EMSGSIZE);
    }
    let there = usize::try_from(request.imported).map_err(|_| EINVAL)?;
    let end = there.checked_add(here.len()).ok_or(EINVAL)?;
    if there % description.alignment != 0 {
        return Err(EINVAL);
    }
    // A master that still does what it was asked to before is told of nothing else.
    master.settle()?;

    let is_read = request.request & COPY_FROM_IMPORTED != 0;
    let imported = Imported::new(buffer.memory().device(), request.fd, !is_read)?;
    let outcome = {
        let here = buffer.memory().span(here).ok_or(EINVAL)?;
        let there = imported.span(there..end).ok_or(EINVAL)?;

        buffer.mark_used();
        if is_read {
            master.copy(there, here)
        } else {
            master.copy(here, there)
        }
    };
    if outcome == Err(ETIMEDOUT) && master.settle().is_err() {
        pr_err!(
            "a dma-buf stays imported for ever: a bus master that was to copy cannot be stopped\n"
        );
        mem::forget(imported);
    }
    outcome
}
