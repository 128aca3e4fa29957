// SPDX-License-Identifier: GPL-2.0-only

//! Random numbers that can be had again.

/// A sequence of numbers that its seed determines: SplitMix64, which has no bad seed and whose
/// sequences of neighbouring seeds have nothing in common.
///
/// ```
/// use faultline_core::random::Random;
///
/// let (mut one, mut again) = (Random::new(7), Random::new(7));
/// assert_eq!(one.next(), again.next());
/// assert!(one.below(10) < 10);
/// ```
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    /// Begins the sequence of a seed.
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next number.
    #[expect(
        clippy::should_implement_trait,
        reason = "the sequence has no end that an iterator could come to"
    )]
    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = self.state;
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        number ^ (number >> 31)
    }

    /// A number below `end`, or 0 if there is none. The bias of the remainder does not matter
    /// here.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next().checked_rem(end).unwrap_or(0)
    }

    /// One of the elements.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn of<T: Copy>(&mut self, elements: &[T]) -> T {
        elements[self.below(elements.len() as u64) as usize]
    }

    /// A number of a sequence that belongs to the `number`th of several users of one seed.
    pub fn branch(seed: u64, number: u64) -> Self {
        let mut branch = Self::new(seed);
        let start = branch.next().wrapping_add(number);
        Self::new(Self::new(start).next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_the_published_one() {
        // Sebastiano Vigna's splitmix64.c, with the state 1234567.
        let mut random = Random::new(1_234_567);
        let first = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
        ];
        assert_eq!([random.next(), random.next(), random.next()], first);
    }

    #[test]
    fn below_stays_below() {
        let mut random = Random::new(0);
        assert!((1..1000).all(|end| random.below(end) < end));
        assert_eq!(random.below(0), 0);
    }

    #[test]
    fn branches_differ() {
        let mut first: Vec<u64> = (0..64).map(|n| Random::branch(1, n).next()).collect();
        first.sort_unstable();
        first.dedup();
        assert_eq!(first.len(), 64);
        assert_ne!(Random::branch(1, 0).next(), Random::branch(2, 0).next());
    }
}
