// SPDX-License-Identifier: GPL-2.0-only

//! Fences that a program itself signals: the kernel's `sw_sync` (drivers/dma-buf/sw_sync.c, where its calls
//! are declared, too).

use core::ptr;

use faultline_core::errno::Errno;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use rustix::fs::OFlags;

use crate::call;
use crate::file::open;

/// `SW_SYNC_IOC_CREATE_FENCE`.
const CREATE_FENCE: u32 = 0xc028_5700;

/// `SW_SYNC_IOC_INC`.
const INCREASE: u32 = 0x4004_5701;

/// `struct sw_sync_create_fence_data`.
#[repr(C)]
#[derive(Default)]
struct Create {
    value: u32,
    name: [u8; 32],
    fence: i32,
}

const _: () = assert!(size_of::<Create>() == 40);

/// A count, which signals the fences that it reaches. When it is closed, all of them are signalled.
pub struct Timeline(OwnedFd);

/// A fence, as a `sync_file`.
pub struct Fence(OwnedFd);

impl Timeline {
    /// # Errors
    ///
    /// `ENOENT`: the kernel has none (`CONFIG_SW_SYNC`).
    pub fn new() -> Result<Self, Errno> {
        open(c"/sys/kernel/debug/sync/sw_sync", OFlags::RDWR).map(Self)
    }

    /// Returns the fence of the next count.
    pub fn next(&self) -> Result<Fence, Errno> {
        let mut create = Create {
            value: 1,
            ..Create::default()
        };
        self.call(CREATE_FENCE, &mut create)?;
        // SAFETY: the call has made this descriptor, for its caller.
        Ok(Fence(unsafe { OwnedFd::from_raw_fd(create.fence) }))
    }

    /// Counts on by one.
    pub fn advance(&self) -> Result<(), Errno> {
        self.call(INCREASE, &mut 1_u32)
    }

    fn call<T>(&self, command: u32, argument: &mut T) -> Result<(), Errno> {
        let file = self.0.as_raw_fd() as usize;
        let argument = ptr::from_mut(argument).expose_provenance();
        // SAFETY: the calls access their argument alone, which has the type that the command names.
        unsafe { call::call(call::IOCTL, &[file, command as usize, argument]) }.map(drop)
    }
}

impl AsFd for Fence {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
