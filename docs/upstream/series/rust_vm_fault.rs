// SPDX-License-Identifier: GPL-2.0

//! Rust sample of a misc device that maps memory by page faults.
//!
//! Each open file has a buffer of four pages. A write revokes it, whatever is written: pages that
//! are mapped stay, and every page that is touched later gets a `SIGBUS`.
//!
//! Below is an example userspace C program that exercises this sample's functionality.
//!
//! ```c
//! #include <fcntl.h>
//! #include <stdio.h>
//! #include <sys/mman.h>
//! #include <unistd.h>
//!
//! int main(void)
//! {
//!   long size = 4 * sysconf(_SC_PAGESIZE);
//!   int fd = open("/dev/rust-vm-fault", O_RDWR);
//!   char *first, *second;
//!
//!   if (fd < 0) {
//!     perror("open");
//!     return 1;
//!   }
//!   first = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
//!   second = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
//!   if (first == MAP_FAILED || second == MAP_FAILED) {
//!     perror("mmap");
//!     return 1;
//!   }
//!
//!   // Each access to a page that is not mapped yet is a fault, which the kernel's log shows.
//!   first[size - 1] = 42;
//!   printf("the other mapping has %d\n", second[size - 1]);
//!
//!   if (write(fd, "x", 1) != 1) {
//!     perror("write");
//!     return 1;
//!   }
//!   printf("a mapped page still has %d, and now the first page:\n", first[size - 1]);
//!   return first[0]; // SIGBUS
//! }
//! ```

use kernel::{
    fs::{
        File,
        Kiocb, //
    },
    iov::IovIterSource,
    miscdevice::{
        MiscDevice,
        MiscDeviceOptions,
        MiscDeviceRegistration, //
    },
    mm::virt::{
        desc::{
            Installed,
            VmaDesc, //
        },
        fault::{
            Fault,
            Outcome,
            VmOperations, //
        }, //
    },
    page::Page,
    prelude::*,
    revocable::sleepable::SleepableRevocable,
    sync::{
        Arc,
        ArcBorrow, //
    }, //
};

const PAGES: usize = 4;

module! {
    type: RustVmFaultModule,
    name: "rust_vm_fault",
    authors: ["Rust for Linux Contributors"],
    description: "Rust sample of a misc device that maps memory by page faults",
    license: "GPL",
}

#[pin_data]
struct RustVmFaultModule {
    #[pin]
    _miscdev: MiscDeviceRegistration<RustVmFault>,
}

impl kernel::InPlaceModule for RustVmFaultModule {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        let options = MiscDeviceOptions {
            name: c"rust-vm-fault",
        };

        try_pin_init!(Self {
            _miscdev <- MiscDeviceRegistration::register(options),
        })
    }
}

/// What an open file has.
#[pin_data]
struct RustVmFault {
    #[pin]
    pages: SleepableRevocable<KVec<Page>>,
}

#[vtable]
impl MiscDevice for RustVmFault {
    type Ptr = Arc<Self>;

    fn open(_file: &File, _misc: &MiscDeviceRegistration<Self>) -> Result<Arc<Self>> {
        let mut pages = KVec::with_capacity(PAGES, GFP_KERNEL)?;
        for _ in 0..PAGES {
            pages.push(Page::alloc_page(GFP_KERNEL | __GFP_ZERO)?, GFP_KERNEL)?;
        }

        Arc::pin_init(
            try_pin_init!(Self {
                pages <- SleepableRevocable::new(pages),
            }),
            GFP_KERNEL,
        )
    }

    fn mmap_prepare(this: ArcBorrow<'_, Self>, vma: VmaDesc<'_, Arc<Self>>) -> Result<Installed> {
        let pages = this.pages.try_access().ok_or(ENODEV)?;
        let end = vma.pgoff().checked_add(vma.page_count());

        // A private copy would not show what others store.
        if !vma.is_shared() || end.is_none_or(|end| end > pages.len()) {
            return Err(EINVAL);
        }
        vma.forbid_execution()?;

        Ok(vma.install::<Self>())
    }

    fn write_iter(kiocb: Kiocb<'_, Arc<Self>>, iov: &mut IovIterSource<'_>) -> Result<usize> {
        if kiocb.file().pages.revoke() {
            pr_info!("the buffer is revoked\n");
        }

        Ok(iov.len())
    }
}

#[vtable]
impl VmOperations for RustVmFault {
    type Data = Arc<Self>;

    fn fault(this: ArcBorrow<'_, Self>, fault: &Fault<'_>) -> Outcome {
        // The buffer is not revoked while this guard lives.
        let Some(pages) = this.pages.try_access() else {
            return Outcome::SIGBUS;
        };

        match pages.get(fault.pgoff()) {
            Some(page) => {
                pr_info!("page {} is touched\n", fault.pgoff());
                fault.insert_page(page)
            }
            None => Outcome::SIGBUS,
        }
    }
}
