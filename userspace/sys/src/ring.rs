// SPDX-License-Identifier: GPL-2.0-only

//! io_uring with a fixed buffer: the kernel pins a range of an arena once, and then reads into it and
//! writes from it.

use core::ffi::c_void;
use core::mem::zeroed;
use core::ptr::{null_mut, write_volatile};
use core::sync::atomic::{
    AtomicU32,
    Ordering::{Acquire, Release},
};

use faultline_core::errno::Errno;
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::io_uring::{
    io_uring_cqe, io_uring_enter, io_uring_params, io_uring_register, io_uring_setup, io_uring_sqe,
    iovec, IoringEnterFlags, IoringFeatureFlags, IoringOp, IoringRegisterOp, IORING_OFF_SQES,
    IORING_OFF_SQ_RING,
};
use rustix::mm::{mmap, munmap, MapFlags, ProtFlags};

use crate::arena::Arena;
use crate::call;
use crate::error::errno;

/// One request at a time.
const ENTRIES: u32 = 1;

/// A ring with a range of an arena as its fixed buffer, pinned until the ring is dropped.
///
/// # Invariants
///
/// `queues` and `requests` are mappings of the ring, of `length` bytes and of one request, which nobody
/// else has; `parameters` are those that the kernel answered.
pub struct Ring<'a> {
    file: OwnedFd,
    parameters: io_uring_params,
    queues: *mut c_void,
    length: usize,
    requests: *mut io_uring_sqe,
    arena: &'a Arena,
}

/// Which way a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the file into the buffer.
    Read,
    /// From the buffer into the file.
    Write,
}

impl<'a> Ring<'a> {
    /// Makes a ring and registers `length` bytes of the arena from `at` on, which pins their pages.
    pub fn new(arena: &'a Arena, at: u64, length: u64) -> Result<Self, Errno> {
        let mut parameters = io_uring_params::default();
        // SAFETY: no work queue is shared.
        let file = unsafe { io_uring_setup(ENTRIES, &mut parameters) }.map_err(errno)?;
        if !parameters
            .features
            .contains(IoringFeatureFlags::SINGLE_MMAP)
        {
            return Err(Errno::NOSYS);
        }
        let submission = parameters.sq_off.array as usize + 4 * parameters.sq_entries as usize;
        let completion = parameters.cq_off.cqes as usize
            + size_of::<io_uring_cqe>() * parameters.cq_entries as usize;
        let size = submission.max(completion);

        let map = |length, offset| {
            let protection = ProtFlags::READ | ProtFlags::WRITE;
            // SAFETY: there is no hint, so that the kernel chooses an address where nothing is mapped.
            unsafe {
                mmap(
                    null_mut(),
                    length,
                    protection,
                    MapFlags::SHARED,
                    &file,
                    offset,
                )
            }
            .map_err(errno)
        };
        let queues = map(size, IORING_OFF_SQ_RING)?;
        let requests = map(
            size_of::<io_uring_sqe>() * parameters.sq_entries as usize,
            IORING_OFF_SQES,
        )?;
        // INVARIANT: the kernel has just given both, of this ring.
        let ring = Self {
            file,
            parameters,
            queues,
            length: size,
            requests: requests.cast(),
            arena,
        };

        let buffer = iovec {
            iov_base: arena.pointer(at, length).cast(),
            iov_len: length as usize,
        };
        // SAFETY: the call reads one vector, and pins memory of the arena, in which no Rust object is.
        let registered = unsafe {
            io_uring_register(
                &ring.file,
                IoringRegisterOp::RegisterBuffers,
                (&raw const buffer).cast(),
                1,
            )
        };
        registered.map_err(errno).map(|_| ring)
    }

    /// Reads or writes `length` bytes of the fixed buffer, at `at` in the arena, and returns how many.
    pub fn transfer(
        &mut self,
        way: Way,
        at: u64,
        length: u64,
        file: impl AsFd,
        offset: u64,
    ) -> Result<u64, Errno> {
        // SAFETY: all zeroes are a request that does nothing.
        let mut request: io_uring_sqe = unsafe { zeroed() };
        request.opcode = match way {
            Way::Read => IoringOp::ReadFixed,
            Way::Write => IoringOp::WriteFixed,
        };
        request.fd = file.as_fd().as_raw_fd();
        request.off_or_addr2.off = offset;
        request.addr_or_splice_off_in.addr.ptr = self.arena.pointer(at, length).cast();
        request.len.len = length as u32;
        // SAFETY: by the invariant the mapping holds a request, and none is under way.
        unsafe { write_volatile(self.requests, request) };

        let (sq, cq) = (self.parameters.sq_off, self.parameters.cq_off);
        // There is one entry, number 0, so that every index is one of it.
        self.word(sq.array).store(0, Release);
        let tail = self.word(sq.tail);
        tail.store(tail.load(Acquire).wrapping_add(1), Release);
        // SAFETY: the kernel reads the request above; what that reads or writes is memory of the arena.
        unsafe { io_uring_enter(&self.file, 1, 1, IoringEnterFlags::GETEVENTS) }.map_err(errno)?;

        let head = self.word(cq.head);
        let index = head.load(Acquire) & self.word(cq.ring_mask).load(Acquire);
        let result = cq.cqes
            + index * size_of::<io_uring_cqe>() as u32
            + core::mem::offset_of!(io_uring_cqe, res) as u32;
        let result = self.word(result).load(Acquire) as i32;
        head.store(head.load(Acquire).wrapping_add(1), Release);
        match result {
            0.. => Ok(result as u64),
            _ => Err(call::of_result(result as isize)),
        }
    }

    /// A word of the queues, at an offset that the kernel has given.
    fn word(&self, offset: u32) -> &AtomicU32 {
        assert!(offset as usize + size_of::<u32>() <= self.length && offset % 4 == 0);
        let word = self.queues.wrapping_byte_add(offset as usize);
        // SAFETY: by the invariant and the check the word is in the mapping, and aligned. What changes
        // it beside this value is the kernel, by atomic accesses.
        unsafe { AtomicU32::from_ptr(word.cast()) }
    }
}

impl Drop for Ring<'_> {
    fn drop(&mut self) {
        let size = size_of::<io_uring_sqe>() * self.parameters.sq_entries as usize;
        for (start, length) in [(self.queues, self.length), (self.requests.cast(), size)] {
            // SAFETY: by the invariant the mapping is this value's own, and it goes away with this call.
            let unmapped = unsafe { munmap(start, length) };
            debug_assert!(unmapped.is_ok(), "the range was mapped");
        }
    }
}
