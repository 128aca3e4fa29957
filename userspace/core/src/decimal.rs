// SPDX-License-Identifier: GPL-2.0-only

//! Numbers in decimal, as command lines and `/proc` have them.

/// The number that these digits are: `None` if there is none, if anything else is among them, or if
/// it does not fit.
///
/// ```
/// use faultline_core::decimal::parse;
///
/// assert_eq!(parse(b"4096"), Some(4096));
/// assert_eq!(parse(b"4k"), None);
/// ```
pub fn parse(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_digits_that_fit_are_a_number() {
        for (digits, number) in [
            ("0", Some(0)),
            ("007", Some(7)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("0x10", None),
            ("4k", None),
        ] {
            assert_eq!(parse(digits.as_bytes()), number, "{digits}");
        }
    }
}
