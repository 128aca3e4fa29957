// SPDX-License-Identifier: GPL-2.0

//! Copies between a file's memory and that of user space, some of which may have to be brought in.
//!
//! What may not be copied while it sleeps, such as memory that can be revoked, is copied as far as user
//! memory is present, in pieces. In between, the rest is brought in.
//!
//! C header: [`include/linux/uaccess.h`](srctree/include/linux/uaccess.h)

use super::copy::{
    Destination,
    Few,
    Source, //
};
use core::ops::Range;
use kernel::{
    prelude::*,
    task::might_sleep, //
};

/// The most that is copied in one go, in bytes. Uncached memory is slow to read: between two
/// pieces other tasks may run, and an unbinding may go on.
const PIECE: usize = 1024 * 1024;

/// Memory that files are read from and written to, by positions in bytes.
pub(crate) trait Memory {
    /// Copies the bytes of `range` out, as far as the destination's memory is present; returns how many.
    fn copy_out<D: Destination + ?Sized>(
        &self,
        range: Range<usize>,
        destination: &mut D,
    ) -> Result<usize>;

    /// Copies the bytes of `range` in, as far as the source's memory is present; returns how many.
    fn copy_in<S: Source + ?Sized>(&self, range: Range<usize>, source: &mut S) -> Result<usize>;
}

/// Copies the bytes of `range` out; returns how many. May sleep.
///
/// # Errors
///
/// Only if nothing was copied:
///
/// - `EFAULT`: the user's memory cannot be accessed.
/// - Whatever [`Memory::copy_out`] answers.
#[inline]
pub(crate) fn read<M: Memory, D: Destination>(
    memory: &M,
    range: Range<usize>,
    destination: &mut D,
) -> Result<usize> {
    // Most often all is present.
    let first = range.start..range.end.min(range.start + PIECE);
    let copied = memory.copy_out(first, destination)?;
    if copied == range.len() {
        return Ok(copied);
    }
    read_rest(memory, range, copied, destination)
}

/// Copies the bytes of `range` in; returns how many. May sleep.
///
/// # Errors
///
/// As [`read`], by [`Memory::copy_in`].
#[inline]
pub(crate) fn write<M: Memory, S: Source>(
    memory: &M,
    range: Range<usize>,
    source: &mut S,
) -> Result<usize> {
    // Most often all is present.
    let first = range.start..range.end.min(range.start + PIECE);
    let copied = memory.copy_in(first, source)?;
    if copied == range.len() {
        return Ok(copied);
    }
    write_rest(memory, range, copied, source)
}

/// Copies the rest of `range`, and returns how many bytes were copied in all, with the `copied` of the
/// first attempt, which was of [`PIECE`] bytes at most.
///
/// `copy` moves what it can without sleeping, and stops where user memory is not present. `bring_in` then
/// brings in all that is still to be copied. If nothing of it stays until the next attempt, `copy_few`
/// moves at least one byte, through kernel memory: a page that is taken away as soon as it comes slows the
/// call down, but does not make it fail.
///
/// # Errors
///
/// As [`read`].
fn transfer<I: ?Sized>(
    range: Range<usize>,
    copied: usize,
    user: &mut I,
    copy: impl Fn(Range<usize>, &mut I) -> Result<usize>,
    bring_in: impl Fn(&mut I, usize),
    copy_few: impl Fn(Range<usize>, &mut I) -> Result<usize>,
) -> Result<usize> {
    let mut position = range.start + copied;
    let mut is_short = copied < PIECE;
    let mut is_brought_in = false;

    let outcome = loop {
        might_sleep();
        if is_short && !is_brought_in {
            bring_in(user, PIECE.min(range.end - position));
            is_brought_in = true;
        } else if is_short {
            match copy_few(position..range.end.min(position + Few::MAX), user) {
                Ok(0) => break Err(EFAULT),
                Ok(copied) => position += copied,
                Err(error) => break Err(error),
            }
            is_brought_in = false;
        }

        let piece = position..range.end.min(position + PIECE);
        let wanted = piece.len();
        let copied = match copy(piece, user) {
            Ok(copied) => copied,
            Err(error) => break Err(error),
        };
        position += copied;

        if position == range.end {
            break Ok(());
        }
        is_short = copied < wanted;
        // Whether memory was brought in, and nothing has been copied since.
        is_brought_in &= copied == 0;
    };

    match outcome {
        Err(error) if position == range.start => Err(error),
        _ => Ok(position - range.start),
    }
}

// Both are rarely called, and once in the module, not once in each caller.

#[inline(never)]
fn read_rest<M: Memory>(
    memory: &M,
    range: Range<usize>,
    copied: usize,
    destination: &mut dyn Destination,
) -> Result<usize> {
    transfer(
        range,
        copied,
        destination,
        |piece, destination| memory.copy_out(piece, destination),
        |destination, length| destination.bring_in(length),
        |piece, destination| read_few(memory, piece, destination),
    )
}

#[inline(never)]
fn write_rest<M: Memory>(
    memory: &M,
    range: Range<usize>,
    copied: usize,
    source: &mut dyn Source,
) -> Result<usize> {
    transfer(
        range,
        copied,
        source,
        |piece, source| memory.copy_in(piece, source),
        |source, length| source.bring_in(length),
        |piece, source| write_few(memory, piece, source),
    )
}

/// As [`read`], of at most [`Few::MAX`] bytes; waits until user memory is there.
fn read_few<M: Memory>(
    memory: &M,
    range: Range<usize>,
    destination: &mut dyn Destination,
) -> Result<usize> {
    let mut few = Few::new();
    memory.copy_out(range, &mut few)?;
    Ok(few.move_to(destination))
}

/// As [`write`], of at most [`Few::MAX`] bytes; waits until user memory is there.
fn write_few<M: Memory>(memory: &M, range: Range<usize>, source: &mut dyn Source) -> Result<usize> {
    let mut few = Few::new();
    let count = few.fill_from(source, range.len());
    memory.copy_in(range.start..range.start + count, &mut few)
}
