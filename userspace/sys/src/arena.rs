// SPDX-License-Identifier: GPL-2.0-only

//! A range of addresses set aside, in which a program may do to its mappings whatever it likes.
//!
//! What [`crate::mapping::FileMapping`] is to one well-behaved mapping, an [`Arena`] is to any number of
//! badly behaved ones: they are put at places of the caller's choice, over one another, cut into
//! pieces, moved, and accessed where nothing is.

use core::ffi::c_void;
use core::ptr::without_provenance_mut;

use faultline_core::device::Fault;
use faultline_core::errno::Errno;
use rustix::fd::{AsFd, AsRawFd};
use rustix::mm::{self, MapFlags, MprotectFlags, MremapFlags, ProtFlags};

use crate::arch;
use crate::call::{self, call};
use crate::cpu::lacks_lpae;
use crate::device::File;
use crate::error::errno;
use crate::fault::Watch;
use crate::mapping::map_file;

/// What a VMA may be used for: any of these, joined by `|`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access(u32);

impl Access {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// `PROT_READ`.
    pub const READ: Self = Self(ProtFlags::READ.bits());
    /// `PROT_WRITE`.
    pub const WRITE: Self = Self(ProtFlags::WRITE.bits());
    /// `PROT_EXEC`.
    pub const EXEC: Self = Self(ProtFlags::EXEC.bits());
    /// `PROT_READ | PROT_WRITE`.
    pub const BOTH: Self = Self(Self::READ.0 | Self::WRITE.0);

    /// Any of the eight, by number.
    pub fn of_number(number: u64) -> Self {
        Self(number as u32 & (Self::BOTH.0 | Self::EXEC.0))
    }
}

impl core::ops::BitOr for Access {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Who sees what is stored in a VMA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// `MAP_SHARED`.
    Shared,
    /// `MAP_PRIVATE`.
    Private,
    /// `MAP_SHARED | MAP_POPULATE`.
    Populated,
}

/// Where the argument of an ioctl points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument {
    /// Into the arena.
    At(u64),
    /// To no address that a program can have: a number below the lowest one that may be mapped,
    /// or above the highest.
    Nowhere(Nowhere),
}

/// Addresses at which a process has nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nowhere {
    /// Zero.
    Null,
    /// The last one there is.
    Last,
    /// One of the kernel's.
    Kernel,
}

/// The advice of `madvise()` that concerns VMAs alone: none of it poisons memory.
pub const ADVICE: [u32; 22] = [
    0, 1, 2, 3, 4, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24,
];

/// The most that the number of an ioctl can say that it carries (`_IOC_SIZEMASK`).
pub(crate) const MOST_CARRIED: u64 = 1 << 14;

/// `MADV_DONTNEED`.
pub const DONT_NEED: u32 = 4;
/// `MADV_DONTFORK`.
pub const DONT_FORK: u32 = 10;
/// `MADV_WIPEONFORK`.
pub const WIPE_ON_FORK: u32 = 18;

/// A range of addresses in which the program may map what it likes where it likes.
///
/// Offsets count from its start, in bytes. What reaches out of the range is a mistake of the
/// caller's and panics; an access inside it that is answered by a signal is a [`Fault`].
///
/// # Invariants
///
/// `length` bytes from `start` on are addresses that `mmap()` gave and that nobody but this value
/// uses, even where they have been unmapped since: [`Arena::START`] says why the kernel puts no other
/// mapping there.
pub struct Arena {
    start: *mut u8,
    length: usize,
}

impl Arena {
    /// The multiple at which an arena begins: a PMD of a page table of 4 KiB pages.
    pub const ALIGNMENT: u64 = 2 << 20;

    /// Where the arena is. The program makes holes in it, and maps memory of its own meanwhile, such as
    /// the stacks of tasks: at an address that the kernel chooses, which must not be in a hole. The kernel
    /// takes the highest free range that is large enough (`mm_get_unmapped_area()`), and there are always
    /// some hundred MiB free above this address; in the legacy layout it takes none below a third of the
    /// address space (`TASK_UNMAPPED_BASE`).
    const START: usize = 0x2000_0000;

    /// Sets `length` bytes aside. They are never given back, so that there is one arena.
    pub fn new(length: u64) -> Result<Self, Errno> {
        // A length that no address space has is for the kernel to refuse.
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        // SAFETY: with this flag the call fails if anything is mapped there.
        let start = unsafe {
            mm::mmap_anonymous(
                without_provenance_mut(Self::START),
                length,
                ProtFlags::empty(),
                MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED_NOREPLACE,
            )
        };
        // INVARIANT: the kernel has just given this range, at the address that keeps others away.
        Ok(Self {
            start: start.map_err(errno)?.cast(),
            length,
        })
    }

    /// How many bytes there are.
    pub fn length(&self) -> u64 {
        self.length as u64
    }

    /// The address of the byte at `at`.
    pub fn address(&self, at: u64) -> u64 {
        self.pointer(at, 0).addr() as u64
    }

    pub(crate) fn pointer(&self, at: u64, length: u64) -> *mut u8 {
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        assert!(at <= self.length && length <= self.length - at);
        self.start.wrapping_add(at)
    }

    /// Maps `length` bytes of a file from `offset` on, in place of whatever is there.
    pub fn map(
        &mut self,
        at: u64,
        length: u64,
        file: impl AsFd,
        offset: u64,
        access: Access,
        sharing: Sharing,
    ) -> Result<(), Errno> {
        let pointer = self.pointer(at, length).cast();
        let protection = ProtFlags::from_bits_retain(access.0);
        let flags = MapFlags::FIXED
            | match sharing {
                Sharing::Shared => MapFlags::SHARED,
                Sharing::Private => MapFlags::PRIVATE,
                Sharing::Populated => MapFlags::SHARED | MapFlags::POPULATE,
            };
        // SAFETY: by the invariant nothing but what this value has put there is in the range.
        unsafe { map_file(pointer, length as usize, protection, flags, file, offset) }.map(drop)
    }

    /// Maps memory that is nothing but memory.
    pub fn map_memory(&mut self, at: u64, length: u64, access: Access) -> Result<(), Errno> {
        let pointer = self.pointer(at, length).cast();
        let protection = ProtFlags::from_bits_retain(access.0);
        let flags = MapFlags::FIXED | MapFlags::PRIVATE;
        // SAFETY: by the invariant nothing but what this value has put there is in the range.
        let mapped = unsafe { mm::mmap_anonymous(pointer, length as usize, protection, flags) };
        mapped.map(drop).map_err(errno)
    }

    /// `munmap()`.
    pub fn unmap(&mut self, at: u64, length: u64) -> Result<(), Errno> {
        let pointer = self.pointer(at, length).cast();
        // SAFETY: by the invariant nothing but what this value has put there is in the range.
        unsafe { mm::munmap(pointer, length as usize) }.map_err(errno)
    }

    /// `mprotect()`.
    pub fn protect(&mut self, at: u64, length: u64, access: Access) -> Result<(), Errno> {
        let pointer = self.pointer(at, length).cast();
        let protection = MprotectFlags::from_bits_retain(access.0);
        // SAFETY: by the invariant nothing but what this value has put there is in the range.
        unsafe { mm::mprotect(pointer, length as usize, protection) }.map_err(errno)
    }

    /// `mremap()` to another length, in place.
    pub fn resize(&mut self, at: u64, length: u64, to: u64) -> Result<(), Errno> {
        let pointer: *mut c_void = self.pointer(at, length.max(to)).cast();
        // SAFETY: by the invariant nothing but what this value has put there is in the range.
        let resized =
            unsafe { mm::mremap(pointer, length as usize, to as usize, MremapFlags::empty()) };
        resized.map(drop).map_err(errno)
    }

    /// `mremap()` to another place and length; what was there is gone.
    pub fn relocate(
        &mut self,
        at: u64,
        length: u64,
        to: u64,
        new_length: u64,
    ) -> Result<(), Errno> {
        let from: *mut c_void = self.pointer(at, length).cast();
        let pointer: *mut c_void = self.pointer(to, new_length).cast();
        // SAFETY: by the invariant nothing but what this value has put there is in the ranges.
        let moved = unsafe {
            mm::mremap_fixed(
                from,
                length as usize,
                new_length as usize,
                MremapFlags::MAYMOVE,
                pointer,
            )
        };
        moved.map(drop).map_err(errno)
    }

    /// `madvise()`, with a number of [`ADVICE`].
    pub fn advise(&mut self, at: u64, length: u64, advice: u32) -> Result<(), Errno> {
        assert!(ADVICE.contains(&advice));
        let pointer = self.pointer(at, length);
        // SAFETY: by the invariant nothing but what this value has put there is in the range, and
        // no advice of the list reaches beyond it.
        let advised = unsafe {
            call(
                call::MADVISE,
                &[pointer.addr(), length as usize, advice as usize],
            )
        };
        advised.map(drop)
    }

    /// Takes away the pages of a mapping that shares `file` from `offset` on, to be read and written: by
    /// `MADV_DONTNEED`, which the kernel refuses of a `VM_PFNMAP` VMA. The driver has those without LPAE:
    /// there the file is mapped again in the same place.
    pub fn drop_pages(
        &mut self,
        at: u64,
        length: u64,
        file: &File,
        offset: u64,
    ) -> Result<(), Errno> {
        match (self.advise(at, length, DONT_NEED), lacks_lpae()) {
            (Err(Errno::INVAL), true) => {
                self.map(at, length, file, offset, Access::BOTH, Sharing::Shared)
            }
            (dropped, _) => dropped,
        }
    }

    /// `msync(MS_SYNC)`.
    pub fn sync(&self, at: u64, length: u64) -> Result<(), Errno> {
        let pointer = self.pointer(at, length).cast();
        // SAFETY: nothing is changed by it.
        unsafe { mm::msync(pointer, length as usize, mm::MsyncFlags::SYNC) }.map_err(errno)
    }

    /// `mlock()`.
    pub fn lock(&mut self, at: u64, length: u64) -> Result<(), Errno> {
        let pointer = self.pointer(at, length).cast();
        // SAFETY: pages are brought in, of what this value has mapped.
        unsafe { mm::mlock(pointer, length as usize) }.map_err(errno)
    }

    /// Loads a word; `at` is a multiple of eight.
    pub fn load(&self, at: u64) -> Result<u64, Fault> {
        let pointer = self.word(at);
        // SAFETY: by the invariant only this value uses the range, and it does by `arch` alone.
        let watch = unsafe { Watch::new(pointer.addr(), size_of::<u64>()) };
        // SAFETY: the address is aligned, and a fault is watched for.
        let word = unsafe { arch::load(pointer) };
        watch.end().map(|()| word)
    }

    /// Stores a word; `at` is a multiple of eight.
    pub fn store(&mut self, at: u64, word: u64) -> Result<(), Fault> {
        let pointer = self.word(at);
        // SAFETY: by the invariant only this value uses the range, and it does by `arch` alone.
        let watch = unsafe { Watch::new(pointer.addr(), size_of::<u64>()) };
        // SAFETY: the address is aligned, and a fault is watched for. There is no Rust object in
        // the range.
        unsafe { arch::store(pointer, word) };
        watch.end()
    }

    pub(crate) fn word(&self, at: u64) -> *mut u64 {
        let pointer = self.pointer(at, size_of::<u64>() as u64).cast::<u64>();
        assert!(pointer.is_aligned());
        pointer
    }

    /// `pread()` of a file into the arena.
    pub fn read_at(
        &mut self,
        at: u64,
        length: u64,
        file: impl AsFd,
        offset: u64,
    ) -> Result<u64, Errno> {
        self.transfer(call::PREAD, at, length, file, offset)
    }

    /// `pwrite()` to a file from the arena.
    pub fn write_at(
        &self,
        at: u64,
        length: u64,
        file: impl AsFd,
        offset: u64,
    ) -> Result<u64, Errno> {
        self.transfer(call::PWRITE, at, length, file, offset)
    }

    /// `read()` of a file into the arena.
    pub fn read(&mut self, at: u64, length: u64, file: impl AsFd) -> Result<u64, Errno> {
        self.transfer(call::READ, at, length, file, 0)
    }

    /// `write()` to a file from the arena.
    pub fn write(&self, at: u64, length: u64, file: impl AsFd) -> Result<u64, Errno> {
        self.transfer(call::WRITE, at, length, file, 0)
    }

    fn transfer(
        &self,
        number: u32,
        at: u64,
        length: u64,
        file: impl AsFd,
        offset: u64,
    ) -> Result<u64, Errno> {
        let (file, pointer) = (file.as_fd().as_raw_fd() as usize, self.pointer(at, length));
        let [first, second, third] = arch::file_offset(offset);
        // SAFETY: the calls read or write the range, in which there is no Rust object.
        let length = unsafe {
            call(
                number,
                &[file, pointer.addr(), length as usize, first, second, third],
            )
        };
        length.map(|length| length as u64)
    }

    /// `preadv()` of a file into two ranges of the arena, each a place and a length.
    pub fn read_vectors(
        &mut self,
        ranges: [(u64, u64); 2],
        file: impl AsFd,
        offset: u64,
    ) -> Result<u64, Errno> {
        self.transfer_vectors(call::READ_VECTORS, ranges, file, offset)
    }

    /// `pwritev()` to a file from two ranges of the arena.
    pub fn write_vectors(
        &self,
        ranges: [(u64, u64); 2],
        file: impl AsFd,
        offset: u64,
    ) -> Result<u64, Errno> {
        self.transfer_vectors(call::WRITE_VECTORS, ranges, file, offset)
    }

    fn transfer_vectors(
        &self,
        number: u32,
        ranges: [(u64, u64); 2],
        file: impl AsFd,
        offset: u64,
    ) -> Result<u64, Errno> {
        // `struct iovec`.
        let vectors = ranges.map(|(at, length)| [self.pointer(at, length).addr(), length as usize]);
        let (file, vectors) = (file.as_fd().as_raw_fd() as usize, vectors.as_ptr().addr());
        // The offset is in two halves; on 64 bits the first is all of it.
        let (low, high) = (offset as usize, (offset >> 32) as usize);
        // SAFETY: the calls read the vectors, of two elements, which live until they have returned, and
        // read or write the ranges, in which there is no Rust object.
        let length = unsafe { call(number, &[file, vectors, 2, low, high]) };
        length.map(|length| length as u64)
    }

    /// Any ioctl whatever of a file of the driver's.
    pub fn ioctl(
        &mut self,
        file: impl AsFd,
        command: u32,
        argument: Argument,
    ) -> Result<(), Errno> {
        let argument = match argument {
            Argument::At(at) => self.pointer(at, MOST_CARRIED).addr(),
            Argument::Nowhere(Nowhere::Null) => 0,
            Argument::Nowhere(Nowhere::Last) => usize::MAX,
            Argument::Nowhere(Nowhere::Kernel) => usize::MAX << (usize::BITS - 17),
        };
        let file = file.as_fd().as_raw_fd() as usize;
        // SAFETY: what the call reads and writes, it does where the argument says: in the arena,
        // or nowhere; and in the device's buffer, which is mapped in an arena, if anywhere.
        unsafe { call(call::IOCTL, &[file, command as usize, argument]) }.map(drop)
    }

    /// `vmsplice()` of a range into a pipe, which pins its pages.
    pub fn splice_into(&self, at: u64, length: u64, pipe: impl AsFd) -> Result<u64, Errno> {
        let vector = [self.pointer(at, length).addr(), length as usize];
        let pipe = pipe.as_fd().as_raw_fd() as usize;
        // SAFETY: the call reads the vector, of one element, and pins pages of the range.
        let length = unsafe { call(call::VMSPLICE, &[pipe, vector.as_ptr().addr(), 1, 0]) };
        length.map(|length| length as u64)
    }

    /// `process_vm_readv()`, or with `write` `process_vm_writev()`, between `length` bytes here
    /// and as many at an address of another process.
    pub fn copy_of_process(
        &mut self,
        at: u64,
        length: u64,
        process: u32,
        address: u64,
        write: bool,
    ) -> Result<u64, Errno> {
        let local = [self.pointer(at, length).addr(), length as usize];
        let remote = [address as usize, length as usize];
        let number = if write {
            call::PROCESS_VM_WRITE
        } else {
            call::PROCESS_VM_READ
        };
        let (local, remote) = (local.as_ptr().addr(), remote.as_ptr().addr());
        assert_ne!(process, rustix::process::getpid().as_raw_pid() as u32);
        // SAFETY: the call reads the vectors, of one element each, and reads or writes the range,
        // in which there is no Rust object, and memory of another process.
        let length = unsafe { call(number, &[process as usize, local, 1, remote, 1, 0]) };
        length.map(|length| length as u64)
    }
}
