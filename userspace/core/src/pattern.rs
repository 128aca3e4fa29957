// SPDX-License-Identifier: GPL-2.0-only

//! The data that the checks write and look for.

/// What each 64-bit word of the buffer must hold, told from its offset.
///
/// Every word differs from every other word of the buffer, so that a page in the wrong place is
/// noticed, and from the word at the same place in another pattern, so that what an earlier check
/// left behind is noticed too. A word found in the wrong place tells where it belongs: that is
/// what a person looking for the fault wants to know first.
///
/// ```
/// use faultline_core::pattern::Pattern;
///
/// const PATTERN: Pattern = Pattern::new(1);
/// let stray = PATTERN.word(0x1000);
/// assert_ne!(PATTERN.word(0), stray);
/// assert_eq!(PATTERN.offset_of(stray, 0x2000), Some(0x1000));
/// ```
#[derive(Clone, Copy)]
pub struct Pattern(u8);

/// What a pattern of single bits has in its number, above the pass.
const WALKING: u8 = 64;

/// The bytes in a word.
pub const WORD: usize = 8;

impl Pattern {
    /// Zero in every word: these are alike.
    pub const ZERO: Self = Self(0);

    /// The pattern of a given number, from 1 to 15.
    pub const fn new(number: u8) -> Self {
        Self(number)
    }

    /// One bit in each word, the next one in the next word; from pass to pass, from 0 to 63, it
    /// moves on by one.
    pub const fn walking(pass: u8) -> Self {
        Self(WALKING | pass)
    }

    /// The word at offset 0.
    const fn key(self) -> u64 {
        // The number in every byte: no byte of one key is that of another, nor zero.
        (self.0 as u64 * 0x1111_1111_1111_1111) ^ 0x9e37_79b9_7f4a_7c15
    }

    /// The word at `offset`, a multiple of [`WORD`].
    pub const fn word(self, offset: u64) -> u64 {
        if self.0 == 0 {
            0
        } else if self.0 & WALKING != 0 {
            1_u64.rotate_left((offset as usize / WORD) as u32 + self.0 as u32)
        } else {
            self.key() ^ offset
        }
    }

    /// The bytes from `offset` on: those that loads of one byte see after stores of the words.
    pub fn fill(self, offset: u64, bytes: &mut [u8]) {
        for (byte, at) in bytes.iter_mut().zip(offset..) {
            let within = at % WORD as u64;
            *byte = self.word(at - within).to_ne_bytes()[within as usize];
        }
    }

    /// Where in a buffer of `size` bytes a word belongs, if it is one of this pattern.
    pub const fn offset_of(self, word: u64, size: u64) -> Option<u64> {
        if self.0 == 0 || self.0 & WALKING != 0 {
            return None;
        }
        let offset = word ^ self.key();
        if offset < size && offset % WORD as u64 == 0 {
            Some(offset)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(pattern: Pattern, offset: u64) -> [u8; WORD] {
        let mut bytes = [0; WORD];
        pattern.fill(offset, &mut bytes);
        bytes
    }

    #[test]
    fn no_byte_of_one_pattern_is_the_same_in_another() {
        // The lowest bytes also carry the offset, which is the same in both: the keys decide.
        for a in 1..16 {
            for b in 1..a {
                let (a, b) = (bytes(Pattern::new(a), 0), bytes(Pattern::new(b), 0));
                assert!(a.iter().zip(b).all(|(a, b)| *a != b));
            }
        }
    }

    #[test]
    fn no_byte_of_a_key_is_zero() {
        // A cleared buffer would pass for written ones otherwise.
        for number in 1..16 {
            assert!(!bytes(Pattern::new(number), 0).contains(&0));
        }
    }

    #[test]
    fn a_word_tells_its_offset_and_a_foreign_one_does_not() {
        let pattern = Pattern::new(3);
        for offset in [0, 8, 4096, 1 << 40] {
            assert_eq!(
                pattern.offset_of(pattern.word(offset), (1 << 40) + 8),
                Some(offset)
            );
        }
        assert_eq!(pattern.offset_of(pattern.word(4096), 4096), None);
        assert_eq!(pattern.offset_of(Pattern::new(4).word(0), 1 << 40), None);
        assert_eq!(Pattern::ZERO.offset_of(8, 4096), None);
    }

    #[test]
    fn a_single_bit_walks_from_word_to_word_and_from_pass_to_pass() {
        for pass in 0..64 {
            let pattern = Pattern::walking(pass);
            for index in [0, 1, 62, 63, 64, 511, 512] {
                let bit = (index + u64::from(pass)) % 64;
                assert_eq!(pattern.word(index * 8), 1 << bit);
            }
            assert_eq!(pattern.offset_of(1, 4096), None);
        }
    }

    #[test]
    fn bytes_are_those_of_the_word_in_memory() {
        let pattern = Pattern::new(5);
        assert_eq!(bytes(pattern, 16), pattern.word(16).to_ne_bytes());
        let across = bytes(pattern, 19);
        assert_eq!(across[..5], pattern.word(16).to_ne_bytes()[3..]);
        assert_eq!(across[5..], pattern.word(24).to_ne_bytes()[..3]);
        assert_eq!(bytes(Pattern::ZERO, 16), [0; WORD]);
    }
}
