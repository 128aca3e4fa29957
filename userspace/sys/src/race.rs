// SPDX-License-Identifier: GPL-2.0-only

//! A task of this process that maps, or calls the driver, while the program does something else.

use faultline_core::errno::Errno;
use faultline_core::failure::{CallError, TaskError};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd};
use rustix::mm::{mmap, mprotect, munmap, MapFlags, MprotectFlags, ProtFlags};

use crate::arch;
use crate::arena::{Arena, MOST_CARRIED};
use crate::call::{call, IOCTL};
use crate::child::Ending;
use crate::cpu::yield_to_all;
use crate::device::File;
use crate::error::of_call;
use crate::thread::{beside, repeat_beside};

/// What becomes of a mapping between one and the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The next one takes its place.
    Replaced,
    /// It is made read-only, and unmapped.
    Unmapped,
}

/// What a task maps over and over, and stores to.
#[derive(Clone, Copy)]
pub struct Remapping<'f> {
    /// Where in the arena.
    pub at: u64,
    /// How much of the file, from its start on.
    pub length: u64,
    /// The file.
    pub file: BorrowedFd<'f>,
    /// The word that is stored to the start of each mapping.
    pub word: u64,
    /// What becomes of each mapping.
    pub fate: Fate,
    /// The CPU that the task runs on, while nobody else wants it.
    pub cpu: usize,
}

/// Calls `meanwhile` while a task of *this* process does this `remapping`.
///
/// # Errors
///
/// - The task could not be started.
/// - A call of the task's failed, or a signal killed it.
pub fn map_again_and_again<R>(
    arena: &mut Arena,
    remapping: Remapping<'_>,
    meanwhile: impl FnOnce(&mut Arena) -> R,
) -> Result<R, TaskError> {
    let address = arena.pointer(remapping.at, remapping.length).cast::<u64>();
    assert!(address.is_aligned(), "a mapping begins at a page");
    let setup = || yield_to_all(remapping.cpu);
    let work = || {
        // SAFETY: `pointer` has seen that the range is the arena's, which holds no Rust object.
        unsafe { remap(address, &remapping) }
    };
    // SAFETY: the task changes mappings in the arena, and stores there by `arch`. `meanwhile` accesses the
    // arena by `arch` and by system calls, for which it does not matter what is mapped there.
    unsafe { repeat_beside(setup, work, || meanwhile(arena)) }
}

/// Maps, stores, and unmaps if that is the mapping's fate.
///
/// # Safety
///
/// The address is a multiple of eight. There is no Rust object in the range.
unsafe fn remap(address: *mut u64, remapping: &Remapping<'_>) -> Result<(), CallError> {
    let access = ProtFlags::READ | ProtFlags::WRITE;
    let flags = MapFlags::SHARED | MapFlags::FIXED;
    let (start, length) = (address.cast(), remapping.length as usize);
    // SAFETY: what the call replaces is in the range, and so is no Rust object.
    unsafe { mmap(start, length, access, flags, remapping.file, 0) }.map_err(of_call("mmap()"))?;
    // SAFETY: the address is aligned, and no Rust object is there. An access that is answered by a signal
    // harms nobody: the handler steps over it while `meanwhile` watches the address, and otherwise the
    // signal kills the task, which `repeat_beside` reports.
    unsafe { arch::store(address, remapping.word) };
    if remapping.fate == Fate::Unmapped {
        // SAFETY: no Rust object loses the right to be written to: there is none in the range.
        unsafe { mprotect(start, length, MprotectFlags::READ) }
            .map_err(of_call("mprotect(PROT_READ)"))?;
        // SAFETY: what goes is in the range, and so is no Rust object.
        unsafe { munmap(start, length) }.map_err(of_call("munmap()"))?;
    }
    Ok(())
}

/// Calls `meanwhile` while a task of *this* process makes an ioctl of the driver's with its argument
/// at `at` of the arena. Both have the same open files: `meanwhile` may close this one, from under
/// the call.
///
/// Returns what either came to.
///
/// # Errors
///
/// The task could not be started, or a signal killed it.
pub fn ioctl_beside<R>(
    arena: &mut Arena,
    file: File,
    command: u32,
    at: u64,
    meanwhile: impl FnOnce(&mut Arena, File) -> R,
) -> Result<(R, Result<(), Errno>), TaskError> {
    let file_number = file.as_fd().as_raw_fd() as usize;
    let argument = arena.pointer(at, MOST_CARRIED).addr();
    let work = || {
        let arguments = [file_number, command as usize, argument];
        // SAFETY: the call reads and writes its argument, which lies in the arena with all that a
        // number can say that it carries, and the device's buffer. No Rust reference leads to either.
        // If `meanwhile` has closed the file before, the call is refused, or made of a file that has
        // got the same number since, which is the driver's, too: `meanwhile` opens no other.
        match unsafe { call(IOCTL, &arguments) } {
            Ok(_) => 0,
            // Any that a driver answers is a byte, as is the status of a process.
            Err(errno) => errno.number() as usize,
        }
    };
    // SAFETY: the task makes a system call, which writes nothing but what is in the arena and in the
    // buffer: `meanwhile` has no Rust reference to either.
    let (result, ending) =
        unsafe { beside(&work, || meanwhile(arena, file)) }.map_err(TaskError::Start)?;
    let answer = match ending {
        Ending::Exit(0) => Ok(()),
        Ending::Exit(errno) => Err(Errno::new(errno.unsigned_abs().into())),
        Ending::Killed(signal) => return Err(TaskError::Killed(signal)),
    };
    Ok((result, answer))
}
