// SPDX-License-Identifier: GPL-2.0

//! Reading and writing at the position of an open file.

use kernel::{
    bindings,
    prelude::*, //
};

/// Writes at a file's position, or at the end if it is to be appended, and moves the position on.
#[inline]
pub(super) fn write_at(
    is_append: bool,
    position: &mut bindings::loff_t,
    end: impl FnOnce() -> Result<usize>,
    write: impl FnOnce(usize) -> Result<usize>,
) -> isize {
    if is_append {
        match end() {
            // CAST: No object has more than `isize::MAX` bytes.
            Ok(end) => *position = end as bindings::loff_t,
            Err(error) => return error.to_errno() as isize,
        }
    }
    transfer(position, write)
}

/// Runs a transfer at a file's position, and moves the position on.
///
/// A position that is no `usize`, which 32 bits have, is past the end of every object.
#[inline]
pub(super) fn transfer(
    file_position: &mut bindings::loff_t,
    run: impl FnOnce(usize) -> Result<usize>,
) -> isize {
    let transferred = match *file_position {
        ..0 => Err(EINVAL),
        position => run(usize::try_from(position).unwrap_or(usize::MAX)),
    };

    match transferred {
        Ok(length) => {
            // CAST: No object has more than `isize::MAX` bytes.
            *file_position += length as bindings::loff_t;
            length as isize
        }
        Err(error) => error.to_errno() as isize,
    }
}
