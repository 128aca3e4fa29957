// SPDX-License-Identifier: GPL-2.0

//! The call that exports a buffer as a dma-buf, which other devices import.

use crate::{
    ext::{
        address_space::AddressSpace,
        dma_buf::{
            self,
            shared::{
                Room,
                Shared,
                Use, //
            },
            Exporter, //
        },
        new_vma::{
            Installed,
            NewVma, //
        }, //
    },
    mapping::{
        Extension,
        SharedBuffer, //
    },
    uapi::{
        Export,
        FAULTLINE_IOC_EXPORT,
        IOC_TYPE,
        NR_EXPORT, //
    }, //
};
use kernel::{
    dma::DataDirection,
    fs::{
        file::flags,
        LocalFile, //
    },
    ioctl::_IOW,
    page::PAGE_SHIFT,
    prelude::*,
    sync::ArcBorrow,
    uaccess::UserSlice, //
};

crosses!(Export, in and out, {
    flags: 8,
});

// The number is the one which the kernel's own macro gives.
const _: () = assert!(FAULTLINE_IOC_EXPORT == _IOW::<Export>(IOC_TYPE, NR_EXPORT));

/// Carries out [`FAULTLINE_IOC_EXPORT`].
pub(crate) fn ioctl<X: Extension>(
    this: ArcBorrow<'_, SharedBuffer<X>>,
    file: &LocalFile,
    argument: UserSlice,
) -> Result<isize> {
    let request: Export = argument.reader().read()?;
    if request != Export::default() {
        return Err(EINVAL);
    }
    // A process that has the dma-buf can write to the buffer, and so can the devices that import it.
    if file.flags() & flags::O_ACCMODE != flags::O_RDWR {
        return Err(EBADF);
    }

    // The borrow ends before memory is allocated.
    this.borrow()?.memory().can_be_shared()?;
    dma_buf::export(this, this.length().bytes())
}

impl<X: Extension> Exporter for SharedBuffer<X> {
    fn address_space(&self) -> &AddressSpace {
        self.address_space()
    }

    fn is_there(&self) -> Result {
        self.borrow().map(drop)
    }

    fn share(&self) -> Result<Shared> {
        let room = Room::new(self.length().bytes() >> PAGE_SHIFT)?;

        let buffer = self.borrow()?;
        buffer.mark_used();
        buffer.memory().share(room)
    }

    fn address(&self) -> Result<(*mut u8, Use)> {
        let buffer = self.borrow()?;

        buffer.mark_used();
        Ok((buffer.memory().as_ptr(), buffer.memory().keep()))
    }

    fn begin_cpu_access(&self, direction: DataDirection) -> Result {
        let buffer = self.borrow()?;

        if let Some(pages) = buffer.memory().pages() {
            pages.sync_for_cpu(0..self.length().bytes(), direction);
        }
        Ok(())
    }

    fn end_cpu_access(&self, direction: DataDirection) -> Result {
        let buffer = self.borrow()?;

        if let Some(pages) = buffer.memory().pages() {
            pages.sync_for_device(0..self.length().bytes(), direction);
        }
        Ok(())
    }

    fn mmap(this: ArcBorrow<'_, Self>, vma: NewVma<'_, Self>) -> Result<Installed> {
        this.map(vma)
    }
}
