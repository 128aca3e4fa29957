// SPDX-License-Identifier: GPL-2.0

//! Who accesses a part of a cached buffer next, the CPUs or the device: [`uapi::FAULTLINE_IOC_SYNC`].

use crate::{
    brackets::{
        Bracket,
        FileId, //
    },
    mapping::{
        Extension,
        SharedBuffer, //
    },
    part::part,
    uapi::{
        self,
        Sync, //
    },
};
use kernel::{
    dma::DataDirection,
    fs::{
        file::flags,
        LocalFile, //
    },
    ioctl::_IOW,
    prelude::*,
    uaccess::UserSlice, //
};

crosses!(Sync, in and out, {
    flags: 4,
    reserved: 4,
    offset: 8,
    length: 8,
});

// The number is the one which the kernel's own macro gives.
const _: () = assert!(uapi::FAULTLINE_IOC_SYNC == _IOW::<Sync>(uapi::IOC_TYPE, uapi::NR_SYNC));

/// Carries out [`uapi::FAULTLINE_IOC_SYNC`].
pub(crate) fn ioctl<X: Extension>(
    shared: &SharedBuffer<X>,
    file: &LocalFile,
    argument: UserSlice,
) -> Result {
    const KNOWN: u32 = uapi::SYNC_READ | uapi::SYNC_WRITE | uapi::SYNC_END;

    let request: Sync = argument.reader().read()?;
    let access = request.flags & (uapi::SYNC_READ | uapi::SYNC_WRITE);
    if request.flags & !KNOWN != 0 || access == 0 || request.reserved != 0 {
        return Err(EINVAL);
    }
    // What the CPUs have of a range goes to the device then: a write, by a file that may not.
    let is_read_only = file.flags() & flags::O_ACCMODE == flags::O_RDONLY;
    if access & uapi::SYNC_WRITE != 0 && is_read_only {
        return Err(EBADF);
    }

    // Looked at by itself: nothing may allocate, as the start of a bracket does, while it is borrowed.
    shared.borrow()?.memory().pages().ok_or(EOPNOTSUPP)?;
    let size = shared.length().bytes();
    let range = part(size, request.offset, request.length).ok_or(EINVAL)?;
    let bracket = Bracket {
        file: FileId::of(file),
        range: range.clone(),
        access,
    };
    let direction = match access {
        uapi::SYNC_READ => DataDirection::FromDevice,
        uapi::SYNC_WRITE => DataDirection::ToDevice,
        _ => DataDirection::Bidirectional,
    };

    let ends = request.flags & uapi::SYNC_END != 0;
    if ends {
        shared.brackets.end(&bracket)?;
    } else {
        shared.brackets.start(bracket)?;
    }

    let buffer = shared.borrow()?;
    let pages = buffer.memory().pages().ok_or(EOPNOTSUPP)?;
    if ends {
        pages.sync_for_device(range, direction);
    } else {
        pages.sync_for_cpu(range, direction);
    }
    Ok(())
}

/// Ends the accesses that a file has started, which is released.
pub(crate) fn release<X: Extension>(shared: &SharedBuffer<X>, file: &LocalFile) {
    shared.brackets.release(FileId::of(file));
}
