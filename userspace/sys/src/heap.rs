// SPDX-License-Identifier: GPL-2.0-only

//! Buffers of DMA-BUF heaps (include/uapi/linux/dma-heap.h).

use core::ffi::{c_char, CStr};
use core::ptr;

use faultline_core::errno::Errno;
use rustix::fd::{AsRawFd, FromRawFd, OwnedFd};
use rustix::fs::OFlags;

use crate::call;
use crate::error::errno;
use crate::file::open;

/// Where the heaps are.
const HEAPS: &[u8] = b"/dev/dma_heap/";

/// `DMA_HEAP_IOCTL_ALLOC`: `_IOWR('H', 0, struct dma_heap_allocation_data)`.
const ALLOC: u32 = 0xc018_4800;

/// `struct dma_heap_allocation_data`.
#[repr(C)]
struct Allocation {
    length: u64,
    file: u32,
    file_flags: u32,
    heap_flags: u64,
}

/// The buffer of a heap that was asked for last.
///
/// A heap gives a new buffer each time it is asked, and nobody can open a dma-buf again. Who opens the same
/// heap again, by the same argument, gets another descriptor of this one.
#[derive(Default)]
pub(crate) struct Heap(Option<(*const c_char, OwnedFd)>);

impl Heap {
    /// Whether a path is that of a heap.
    pub(crate) fn is_one(path: &CStr) -> bool {
        path.to_bytes().starts_with(HEAPS)
    }

    /// A buffer of `size` bytes of the heap with this path.
    pub(crate) fn buffer(&mut self, path: &CStr, size: u64) -> Result<OwnedFd, Errno> {
        let buffer = match self.0.take() {
            Some((of, buffer)) if of == path.as_ptr() => buffer,
            _ => allocate(path, size)?,
        };
        let (_, buffer) = self.0.insert((path.as_ptr(), buffer));
        rustix::io::fcntl_dupfd_cloexec(buffer, 0).map_err(errno)
    }
}

fn allocate(path: &CStr, size: u64) -> Result<OwnedFd, Errno> {
    let heap = open(path, OFlags::RDONLY)?;
    let mut allocation = Allocation {
        length: size,
        file: 0,
        file_flags: (OFlags::RDWR | OFlags::CLOEXEC).bits(),
        heap_flags: 0,
    };
    let argument = ptr::from_mut(&mut allocation).expose_provenance();
    let heap = heap.as_raw_fd() as usize;
    // SAFETY: the call reads and writes its argument, and nothing else: another driver that knows the number
    // goes by the same size.
    unsafe { call::call(call::IOCTL, &[heap, ALLOC as usize, argument]) }?;
    // SAFETY: the call has made this descriptor, for its caller. CAST: descriptors fit.
    Ok(unsafe { OwnedFd::from_raw_fd(allocation.file as i32) })
}
