// SPDX-License-Identifier: GPL-2.0-only

//! Text without a heap: what is bounded, and what others wrote.
//!
//! ```
//! use core::fmt::Write;
//! use faultline_core::text::{Counted, Json, Note, Printable};
//!
//! let mut note = Note::<16>::new();
//! let pages = Counted { number: 1, unit: "page" };
//! write!(note, "{pages} of {}", Printable(b"a#b")).unwrap();
//! assert_eq!(note.to_string(), "1 page of a?b");
//! assert_eq!(Json("a \"b\"").to_string(), r#""a \"b\"""#);
//! ```

use core::fmt::{self, Display, Write};

/// Bytes that others wrote (a path, a line of the kernel's log) as text that cannot break the
/// report's lines, begin a directive in them, or disturb a terminal: a question mark stands for
/// `#` and for what is not printable ASCII.
#[derive(Clone, Copy, Default)]
pub struct Printable<'a>(pub &'a [u8]);

impl Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            let printable = matches!(byte, b' '..=b'~') && *byte != b'#';
            f.write_char(if printable { char::from(*byte) } else { '?' })?;
        }
        Ok(())
    }
}

/// A value as a string of JSON, quotes included: a backslash stands before what would end the
/// string, and before itself. What else such a string may not have, no value here contains.
pub struct Json<T>(pub T);

impl<T: Display> Display for Json<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Escaped<'a, 'b>(&'a mut fmt::Formatter<'b>);

        impl Write for Escaped<'_, '_> {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                for letter in text.chars() {
                    if let '"' | '\\' = letter {
                        self.0.write_char('\\')?;
                    }
                    self.0.write_char(letter)?;
                }
                Ok(())
            }
        }

        f.write_char('"')?;
        write!(Escaped(f), "{}", self.0)?;
        f.write_char('"')
    }
}

/// A number and what it counts, which is in the plural unless there is one.
pub struct Counted {
    /// How many.
    pub number: u64,
    /// What, in the singular; an s makes it the plural.
    pub unit: &'static str,
}

impl Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.number == 1 { "" } else { "s" };
        write!(f, "{} {}{plural}", self.number, self.unit)
    }
}

/// Bounded text, for a part of a report line.
pub type Line = Note<160>;

/// Text that grows up to `N` bytes. What goes beyond is left out, and three dots say so.
#[derive(Clone, Default)]
pub struct Note<const N: usize> {
    text: heapless::String<N>,
    is_cut: bool,
}

impl<const N: usize> Note<N> {
    /// Makes an empty one.
    pub const fn new() -> Self {
        Self {
            text: heapless::String::new(),
            is_cut: false,
        }
    }

    /// Whether nothing has been written.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// What has been written, as far as it fits.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The bytes of that.
    pub fn bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// How many bytes more would fit.
    pub fn room(&self) -> usize {
        N - self.text.len()
    }
}

impl<const N: usize> Write for Note<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for letter in text.chars() {
            self.is_cut |= self.text.push(letter).is_err();
        }
        Ok(())
    }
}

impl<const N: usize> Display for Note<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        if self.is_cut {
            f.write_str("...")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: &impl Display) -> String {
        value.to_string()
    }

    #[test]
    fn numbers_have_their_plural() {
        let counted = |number| {
            shown(&Counted {
                number,
                unit: "page",
            })
        };
        assert_eq!(counted(0), "0 pages");
        assert_eq!(counted(1), "1 page");
        assert_eq!(counted(2), "2 pages");
    }

    #[test]
    fn strings_of_json_end_where_they_should() {
        assert_eq!(shown(&Json(Printable(b"a\"b\\c\n"))), r#""a\"b\\c?""#);
    }

    #[test]
    fn what_could_break_a_line_is_replaced() {
        assert_eq!(shown(&Printable(b"/dev/a#b \n\x1b\xff~")), "/dev/a?b ???~");
    }

    #[test]
    fn a_note_that_fits_is_whole() {
        let mut note = Note::<5>::new();
        assert!(note.is_empty());
        let _ = note.write_str("123");
        let _ = note.write_str("45");
        assert_eq!((shown(&note).as_str(), note.room()), ("12345", 0));
        assert!(!note.is_empty());
    }

    #[test]
    fn a_note_that_does_not_fit_says_so() {
        let mut note = Note::<5>::new();
        let _ = note.write_str("123");
        let _ = note.write_str("456");
        let _ = note.write_str("7");
        assert_eq!(shown(&note), "12345...");
    }
}
