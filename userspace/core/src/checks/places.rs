// SPDX-License-Identifier: GPL-2.0-only

//! The ways to the buffer, and the places in it.

use crate::pattern::WORD;

/// How much is read, written, loaded or stored at a time. A page is a multiple of it.
pub(super) const CHUNK: usize = 4096;

/// How much is read or written to start and to end anywhere: no word's size, nor its multiple.
pub(super) const PIECE: u64 = 7;

/// How much of the start of a buffer `--quick` looks at, beside the last page: a multiple of every
/// page's size.
pub const QUICK: u64 = 1 << 20;

/// A way to the buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// A mapping of the whole buffer, in which no other check has touched anything.
    First,
    /// A second one.
    Second,
    /// A third one.
    Third,
    /// The open file: `read()` and `write()`.
    File,
    /// The kernel's own mapping.
    Kernel,
}

impl Way {
    /// What people call it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::First => "the first mapping",
            Self::Second => "the second mapping",
            Self::Third => "a new mapping",
            Self::File => "read()",
            Self::Kernel => "the kernel's mapping",
        }
    }

    /// Which of the context's mappings it is.
    pub(super) fn slot(self) -> usize {
        match self {
            Self::First => 0,
            Self::Second => 1,
            Self::Third => 2,
            Self::File | Self::Kernel => unreachable!("the program has no mapping of it"),
        }
    }
}

/// Where in the buffer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// All of it.
    All,
    /// The first and the last word of every page.
    PageEnds,
    /// The first and the last word.
    Ends,
    /// A piece at the start.
    Start,
    /// A piece across the border of two pages or, of only one, in its middle.
    Border,
    /// The byte before that.
    Before,
    /// The byte after that.
    After,
    /// A piece at the end.
    End,
    /// The last byte.
    Last,
    /// The last byte and one more.
    AcrossEnd,
    /// The first byte past the end.
    PastEnd,
}

impl Place {
    /// Whether it has a part of every page.
    pub(super) const fn has_every_page(self) -> bool {
        matches!(self, Self::All | Self::PageEnds)
    }

    /// Its chunks, in a buffer of so many bytes, of which pages have so many.
    pub(super) fn chunks(self, size: u64, page: u64, is_quick: bool) -> Chunks {
        let border = page.min(size / 2) - PIECE / 2;
        let word = WORD as u64;
        let (at, length, step) = match self {
            Self::All => (0, CHUNK as u64, Distance::Always(CHUNK as u64)),
            Self::PageEnds => (0, word, Distance::BothEndsOf(page)),
            Self::Ends => (0, word, Distance::BothEndsOf(size)),
            Self::Start => (0, PIECE, Distance::Once),
            Self::Border => (border, PIECE, Distance::Once),
            Self::Before => (border - 1, 1, Distance::Once),
            Self::After => (border + PIECE, 1, Distance::Once),
            Self::End => (size - PIECE, PIECE, Distance::Once),
            Self::Last => (size - 1, 1, Distance::Once),
            Self::AcrossEnd => (size - 1, 2, Distance::Once),
            Self::PastEnd => (size, 1, Distance::Once),
        };
        let skipped = if is_quick && self.has_every_page() && size > QUICK + page {
            Some((QUICK, size - page))
        } else {
            None
        };
        Chunks {
            at: Some(at),
            end: size.max(at + 1),
            length: length as usize,
            step,
            skipped,
        }
    }
}

/// How far it is from one chunk to the next.
#[derive(Clone, Copy)]
enum Distance {
    /// Always as far.
    Always(u64),
    /// A chunk at the start of each part of so many bytes, and another at its end.
    BothEndsOf(u64),
    /// There is one chunk.
    Once,
}

/// The chunks of a place, by their offsets: all of one length.
#[derive(Clone)]
pub(super) struct Chunks {
    at: Option<u64>,
    end: u64,
    pub(super) length: usize,
    step: Distance,
    /// From where on what is left out, and where it goes on.
    skipped: Option<(u64, u64)>,
}

impl Iterator for Chunks {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let at = self.at?;
        let length = self.length as u64;
        let next = match self.step {
            Distance::Once => None,
            Distance::Always(distance) => Some(at + distance),
            Distance::BothEndsOf(part) if at % part == 0 => Some(at + part - length),
            Distance::BothEndsOf(_) => Some(at + length),
        };
        self.at = match (next, self.skipped) {
            (Some(next), Some((from, to))) if next >= from && next < to => Some(to),
            _ => next.filter(|next| *next < self.end),
        };
        Some(at)
    }
}

/// How many bytes of a buffer are looked at.
pub(crate) fn extent(size: u64, page: u64, is_quick: bool) -> u64 {
    if is_quick {
        size.min(QUICK + page)
    } else {
        size
    }
}

/// The pages of a buffer, by their offsets.
pub(super) fn pages(size: u64, page: u64, is_quick: bool) -> impl Iterator<Item = u64> {
    let chunks = Place::All.chunks(size, page, is_quick);
    chunks.filter(move |at| at % page == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunks(place: Place, size: u64, is_quick: bool) -> Vec<u64> {
        place.chunks(size, 4096, is_quick).collect()
    }

    #[test]
    fn places_are_where_they_should_be() {
        assert_eq!(chunks(Place::All, 8192, false), [0, 4096]);
        assert_eq!(chunks(Place::PageEnds, 8192, false), [0, 4088, 4096, 8184]);
        assert_eq!(chunks(Place::Ends, 8192, false), [0, 8184]);
        assert_eq!(chunks(Place::Border, 8192, false), [4093]);
        assert_eq!(chunks(Place::Border, 4096, false), [2045]);
        assert_eq!(chunks(Place::After, 8192, false), [4100]);
        assert_eq!(chunks(Place::PastEnd, 8192, false), [8192]);
    }

    #[test]
    fn a_quick_look_has_the_start_and_the_last_page() {
        let size = 4 * QUICK;
        let all = chunks(Place::All, size, true);
        assert_eq!(all.len() as u64, QUICK / 4096 + 1);
        assert_eq!(all.last(), Some(&(size - 4096)));
        let ends = chunks(Place::PageEnds, size, true);
        assert_eq!(ends[ends.len() - 2..], [size - 4096, size - 8]);
        assert_eq!(chunks(Place::Ends, size, true), [0, size - 8]);
        assert_eq!(pages(size, 16384, true).last(), Some(size - 16384));
        // A small buffer is looked at as a whole.
        assert_eq!(chunks(Place::All, QUICK, true).len() as u64, QUICK / 4096);
    }
}
