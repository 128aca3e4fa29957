// SPDX-License-Identifier: GPL-2.0-only

//! The driver's device nodes, as a listing of `/dev` gives them.

/// Numbers from this on are not looked for.
pub const MAX_NODES: u32 = 256;

/// The numbers N of `/dev/faultlineN`.
///
/// ```
/// use faultline_core::nodes::Nodes;
///
/// let mut nodes = Nodes::default();
/// for name in [&b"faultline10"[..], b"null", b"faultline9"] {
///     nodes.see(name);
/// }
/// assert_eq!(nodes.count(), 2);
/// assert!(nodes.numbers().eq([9, 10]));
/// ```
#[derive(Default)]
pub struct Nodes {
    seen: [u64; MAX_NODES as usize / 64],
}

impl Nodes {
    /// Takes note of a name in `/dev` if it is one of the driver's.
    pub fn see(&mut self, name: &[u8]) {
        if let Some(number) = number(name) {
            if let Some(seen) = self.seen.get_mut(number as usize / 64) {
                *seen |= 1 << (number % 64);
            }
        }
    }

    /// How many were seen.
    pub fn count(&self) -> u64 {
        self.numbers().count() as u64
    }

    /// What was seen, ascending.
    pub fn numbers(&self) -> impl Iterator<Item = u32> + '_ {
        let seen = |number: &u32| self.seen[*number as usize / 64] >> (*number % 64) & 1 != 0;
        (0..MAX_NODES).filter(seen)
    }
}

/// The N of `faultlineN`, written as the driver writes it: decimal, without leading zeroes.
fn number(name: &[u8]) -> Option<u32> {
    let digits = name.strip_prefix(b"faultline")?;
    if digits.is_empty() || digits.len() > 9 || (digits[0] == b'0' && digits.len() > 1) {
        return None;
    }
    let mut number = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        number = number * 10 + u32::from(digit - b'0');
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (name, want) in [
            ("faultline0", Some(0)),
            ("faultline10", Some(10)),
            ("faultline999999999", Some(999_999_999)),
            ("faultline4294967297", None),
            ("faultline", None),
            ("faultline01", None),
            ("faultline1a", None),
            ("xfaultline1", None),
            ("faultline-1", None),
            ("faultline/", None),
        ] {
            assert_eq!(number(name.as_bytes()), want, "{name}");
        }
    }

    #[test]
    fn all_that_can_be_seen_are_in_order_once() {
        let mut nodes = Nodes::default();
        for number in (0..MAX_NODES + 1).rev().chain([7]) {
            nodes.see(format!("faultline{number}").as_bytes());
        }
        assert!(nodes.numbers().eq(0..MAX_NODES));
        assert_eq!(nodes.count(), u64::from(MAX_NODES));
    }
}
