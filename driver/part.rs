// SPDX-License-Identifier: GPL-2.0

//! Parts of a buffer, as user space gives them.

use core::ops::Range;
use kernel::prelude::*;

/// Returns `count` bytes from byte `offset` on, or `None` if there are none or they are not all inside
/// a buffer of `size` bytes.
pub(crate) fn part(size: usize, offset: u64, count: u64) -> Option<Range<usize>> {
    let end = usize::try_from(offset.checked_add(count)?).ok()?;
    let start = usize::try_from(offset).ok()?;

    (count > 0 && end <= size).then_some(start..end)
}

#[kunit_tests(faultline_part)]
mod tests {
    use super::*;
    use kernel::page::PAGE_SIZE;

    /// Parts, as an offset and a length in bytes, of a buffer of one page.
    #[test]
    fn parts_inside() {
        let end = PAGE_SIZE as u64;
        let all = 0..PAGE_SIZE;

        for (offset, count, expected) in [
            (0, 0, None),
            (0, end, Some(all.clone())),
            (0, end + 1, None),
            (1, end, None),
            (end - 1, 1, Some(all.end - 1..all.end)),
            (end - 1, 2, None),
            (end, 0, None),
            (end, 1, None),
            (1, u64::MAX, None),
            (u64::MAX, 1, None),
            (u64::MAX, u64::MAX, None),
        ] {
            assert_eq!(part(PAGE_SIZE, offset, count), expected);
        }
    }
}
