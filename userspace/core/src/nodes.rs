// SPDX-License-Identifier: GPL-2.0-only

//! The driver's device nodes.

/// Numbers from this on are not looked for.
pub const MAX_NODES: u32 = 256;

/// The numbers N of `/dev/faultlineN`.
///
/// ```
/// use faultline_core::nodes::Nodes;
///
/// let mut nodes = Nodes::default();
/// for number in [10, 9] {
///     nodes.see(number);
/// }
/// assert_eq!(nodes.count(), 2);
/// assert!(nodes.numbers().eq([9, 10]));
/// ```
#[derive(Default)]
pub struct Nodes {
    /// A bit for each number.
    seen: [u64; (MAX_NODES / u64::BITS) as usize],
}

impl Nodes {
    /// Takes note of a node, if it is one that is looked for.
    pub fn see(&mut self, number: u32) {
        if let Some(seen) = self.seen.get_mut((number / u64::BITS) as usize) {
            *seen |= 1 << (number % u64::BITS);
        }
    }

    /// How many were seen.
    pub fn count(&self) -> u64 {
        self.numbers().count() as u64
    }

    /// The next one that was seen, from a number on.
    pub fn next(&self, from: u32) -> Option<u32> {
        (from..MAX_NODES).find(|number| {
            (self.seen[(number / u64::BITS) as usize] >> (number % u64::BITS)) & 1 != 0
        })
    }

    /// What was seen, ascending.
    pub fn numbers(&self) -> impl Iterator<Item = u32> + '_ {
        core::iter::successors(self.next(0), |number| self.next(number + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_can_be_seen_are_in_order_once() {
        let mut nodes = Nodes::default();
        for number in (0..MAX_NODES + 1).rev().chain([7]) {
            nodes.see(number);
        }
        assert!(nodes.numbers().eq(0..MAX_NODES));
        assert_eq!(nodes.count(), u64::from(MAX_NODES));
    }

    #[test]
    fn none_is_seen_of_itself() {
        assert_eq!(Nodes::default().count(), 0);
    }
}
