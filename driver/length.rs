// SPDX-License-Identifier: GPL-2.0

//! The length of a buffer, and all arithmetic on offsets into it.

use crate::ext::memory;
use core::ops::Range;
use kernel::{
    fmt,
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*, //
};

/// The length of a buffer: at least one page, whole pages, no more than the machine's memory, nor than
/// there are addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Length {
    pages: usize,
}

impl Length {
    /// One page, the length of a buffer whose node does not say.
    pub(crate) const ONE_PAGE: Self = Self { pages: 1 };

    /// Takes a length in bytes, rounded up to whole pages, that a buffer can have on this machine.
    ///
    /// # Errors
    ///
    /// [`BadLength`] says what is wrong with it.
    pub(crate) fn from_bytes(bytes: u64) -> Result<Self, BadLength> {
        Self::from_bytes_within(bytes, memory::total_pages())
    }

    /// As [`from_bytes`](Self::from_bytes), on a machine with `available` pages of memory.
    fn from_bytes_within(bytes: u64, available: usize) -> Result<Self, BadLength> {
        // CAST: `usize` is no wider than `u64` on any architecture, and a page smaller still.
        const PAGE: u64 = PAGE_SIZE as u64;
        // A machine can have more memory than a pointer reaches.
        const MOST: usize = usize::MAX >> PAGE_SHIFT;

        if bytes == 0 {
            return Err(BadLength::Zero);
        }
        match usize::try_from(bytes.div_ceil(PAGE)) {
            Ok(pages) if pages <= available.min(MOST) => Ok(Self { pages }),
            _ => Err(BadLength::MoreThanMemory {
                bytes,
                // CAST: As above; and the memory of a machine fits its physical addresses.
                memory: available as u64 * PAGE,
            }),
        }
    }

    /// Returns the length in bytes.
    pub(crate) fn bytes(self) -> usize {
        // Does not overflow: `from_bytes_within()` has seen to it.
        self.pages << PAGE_SHIFT
    }

    /// Returns the length in pages.
    pub(crate) fn pages(self) -> usize {
        self.pages
    }

    /// Returns whether `count` pages from page `first` on lie inside the buffer.
    pub(crate) fn contains_pages(self, first: usize, count: usize) -> bool {
        first
            .checked_add(count)
            .is_some_and(|end| end <= self.pages)
    }

    /// Returns the pages that are less than `reach` pages away from `page`, as far as they lie inside
    /// the buffer.
    #[inline]
    pub(crate) fn around(self, page: usize, reach: usize) -> Range<usize> {
        page.saturating_sub(reach - 1)..page.saturating_add(reach).min(self.pages)
    }

    /// Returns the part of `length` bytes from byte `position` on that lies inside the buffer;
    /// it is empty, not refused, where nothing does.
    pub(crate) fn clamp(self, position: usize, length: usize) -> Range<usize> {
        let start = position.min(self.bytes());
        start..start.saturating_add(length).min(self.bytes())
    }
}

/// Why a buffer cannot have a length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadLength {
    /// It is nothing.
    Zero,
    /// The machine has less.
    MoreThanMemory { bytes: u64, memory: u64 },
}

impl fmt::Display for BadLength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zero => f.write_str("0 is not a size: give a number of bytes"),
            Self::MoreThanMemory { bytes, memory } => write!(
                f,
                "{bytes} bytes are more than this machine's memory ({memory} bytes)"
            ),
        }
    }
}

impl From<BadLength> for Error {
    fn from(error: BadLength) -> Self {
        match error {
            BadLength::Zero => EINVAL,
            BadLength::MoreThanMemory { .. } => ENOMEM,
        }
    }
}

#[kunit_tests(faultline_length)]
mod tests {
    use super::*;

    const PAGE: u64 = PAGE_SIZE as u64;
    const AVAILABLE: usize = 8;

    /// Sizes in bytes on a machine with [`AVAILABLE`] pages, and the pages or the complaint.
    #[test]
    fn lengths_from_bytes() {
        use BadLength::*;

        let memory = AVAILABLE as u64 * PAGE;
        let too_much = |bytes| Err(MoreThanMemory { bytes, memory });

        for (bytes, expected) in [
            (0, Err(Zero)),
            (1, Ok(1)),
            (PAGE - 1, Ok(1)),
            (PAGE, Ok(1)),
            (PAGE + 1, Ok(2)),
            (memory - PAGE, Ok(AVAILABLE - 1)),
            (memory - 1, Ok(AVAILABLE)),
            (memory, Ok(AVAILABLE)),
            (memory + 1, too_much(memory + 1)),
            (1 << 32, too_much(1 << 32)),
            (u64::MAX - PAGE + 1, too_much(u64::MAX - PAGE + 1)),
            (u64::MAX, too_much(u64::MAX)),
        ] {
            let length = Length::from_bytes_within(bytes, AVAILABLE);
            assert_eq!(length.map(Length::pages), expected);
        }
    }

    /// Ranges, as the first page and the count, in a buffer of four pages.
    #[test]
    fn ranges_inside() {
        let length = Length { pages: 4 };

        for (first, count, expected) in [
            (0, 0, true),
            (0, 4, true),
            (0, 5, false),
            (3, 1, true),
            (3, 2, false),
            (4, 0, true),
            (4, 1, false),
            (usize::MAX, 0, false),
            (usize::MAX, 1, false),
            (1, usize::MAX, false),
            (usize::MAX, usize::MAX, false),
        ] {
            assert_eq!(length.contains_pages(first, count), expected);
        }
    }

    /// Pages less than four away, in a buffer of six.
    #[test]
    fn pages_around() {
        let length = Length { pages: 6 };

        for (page, expected) in [
            (0, 0..4),
            (3, 0..6),
            (4, 1..6),
            (5, 2..6),
            (6, 3..6),
            (9, 6..6),
            (10, 7..6),
            (usize::MAX, usize::MAX - 3..6),
        ] {
            assert_eq!(length.around(page, 4), expected);
        }
    }

    /// Transfers, as a position and a length in bytes, in a buffer of two pages.
    #[test]
    fn transfers_clamped() {
        let length = Length { pages: 2 };
        let end = 2 * PAGE_SIZE;

        for (position, count, expected) in [
            (0, 0, 0..0),
            (0, end, 0..end),
            (0, end + 1, 0..end),
            (0, usize::MAX, 0..end),
            (1, usize::MAX, 1..end),
            (end - 1, 1, end - 1..end),
            (end - 1, 2, end - 1..end),
            (end, 1, end..end),
            (end + 1, 1, end..end),
            (usize::MAX, usize::MAX, end..end),
        ] {
            assert_eq!(length.clamp(position, count), expected);
        }
    }
}
