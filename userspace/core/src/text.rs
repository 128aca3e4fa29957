// SPDX-License-Identifier: GPL-2.0-only

//! Text without a heap and without `core::fmt`, whose machinery would be a quarter of the whole
//! program.
//!
//! ```
//! use faultline_core::text::Out;
//!
//! struct Screen(String);
//!
//! impl Out for Screen {
//!     fn write(&mut self, bytes: &[u8]) {
//!         self.0.push_str(&String::from_utf8_lossy(bytes));
//!     }
//! }
//!
//! let mut screen = Screen(String::new());
//! let out: &mut dyn Out = &mut screen;
//! out.text("page ").number(7).text(" at ").hex(0x7000).text("\n");
//! out.form("% page+, % byte+ at &\n", &[1, 4096, 0x7000]);
//! assert_eq!(screen.0, "page 7 at 0x7000\n1 page, 4096 bytes at 0x7000\n");
//! ```

use core::fmt::{self, Display, Write};

/// In place of an offset: none.
const NOWHERE: u64 = u64::MAX;

/// Takes text.
pub trait Out {
    /// Takes bytes. It does not fail: its owner knows if some were lost.
    fn write(&mut self, bytes: &[u8]);
}

/// Can be shown as text.
pub trait Show {
    /// Writes itself.
    fn show(&self, out: &mut dyn Out);
}

impl<W: Write> Out for W {
    fn write(&mut self, bytes: &[u8]) {
        // Its owner knows if something was lost.
        let _ = match core::str::from_utf8(bytes) {
            Ok(text) => self.write_str(text),
            Err(_) => write!(self, "{}", Printable(bytes)),
        };
    }
}

impl<T: Display + ?Sized> Show for T {
    fn show(&self, out: &mut dyn Out) {
        let _ = write!(Formatted(out), "{self}");
    }
}

/// Writes what `core::fmt` formats.
struct Formatted<'a, 'b>(&'a mut (dyn Out + 'b));

impl Write for Formatted<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

// Not inlined: what is called from a hundred places is to be small there.
impl<'a> dyn Out + 'a {
    /// Writes a string.
    #[inline(never)]
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.write(text.as_bytes());
        self
    }

    /// Writes a number in decimal.
    #[inline(never)]
    pub fn number(&mut self, number: u64) -> &mut Self {
        self.digits(number, 10)
    }

    /// Writes a number in hexadecimal, with `0x` in front.
    #[inline(never)]
    pub fn hex(&mut self, number: u64) -> &mut Self {
        self.text("0x").digits(number, 16)
    }

    /// Writes a text with numbers in it, as [`fill`](#method.fill) does.
    pub fn form(&mut self, form: &str, numbers: &[u64]) -> &mut Self {
        self.fill(form, numbers, &[])
    }

    /// Writes a text with numbers in it, the next one in place of `%` in decimal, in place of `&`
    /// in hexadecimal, or as `-` if it is [`NOWHERE`]; and with values, the next one in place of
    /// `$`, in place of `@` as a string of JSON. A `+` stands for the plural's s, unless the number
    /// before it is 1.
    #[inline(never)]
    pub fn fill(&mut self, form: &str, numbers: &[u64], values: &[&dyn Show]) -> &mut Self {
        let mut numbers = numbers.iter();
        let mut values = values.iter();
        let mut number = 0;
        for byte in form.as_bytes() {
            match byte {
                b'%' | b'&' => {
                    number = numbers.next().copied().unwrap_or(0);
                    match (byte, number) {
                        (b'%', _) => self.number(number),
                        (_, NOWHERE) => self.text("-"),
                        _ => self.hex(number),
                    };
                }
                b'$' | b'@' => {
                    let Some(value) = values.next() else { continue };
                    if *byte == b'$' {
                        value.show(self);
                    } else {
                        self.text("\"");
                        value.show(&mut Quoted(self));
                        self.text("\"");
                    }
                }
                b'+' if number == 1 => {}
                b'+' => self.write(b"s"),
                byte => self.write(&[*byte]),
            }
        }
        self
    }

    /// Writes bytes that others wrote, as [`Printable`] says.
    #[inline(never)]
    pub fn printable(&mut self, bytes: &[u8]) -> &mut Self {
        for byte in bytes {
            let printable = matches!(byte, b' '..=b'~') && *byte != b'#';
            self.write(&[if printable { *byte } else { b'?' }]);
        }
        self
    }

    /// Writes a value.
    pub fn show(&mut self, value: &(impl Show + ?Sized)) -> &mut Self
    where
        Self: 'a,
    {
        value.show(self);
        self
    }

    fn digits(&mut self, mut number: u64, base: u64) -> &mut Self {
        // 2^64 has 20 digits in base 10.
        let mut digits = [0; 20];
        let mut start = digits.len();
        for digit in digits.iter_mut().rev() {
            *digit = b"0123456789abcdef"[(number % base) as usize & 0xf];
            number /= base;
            start -= 1;
            if number == 0 {
                break;
            }
        }
        self.write(digits.get(start..).unwrap_or(&[]));
        self
    }
}

/// Puts a backslash before what would end a string of JSON, and before itself. What else such a
/// string may not have, no [`Show`] writes.
struct Quoted<'a, 'b>(&'a mut (dyn Out + 'b));

impl Out for Quoted<'_, '_> {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if let b'"' | b'\\' = byte {
                self.0.write(b"\\");
            }
            self.0.write(&[*byte]);
        }
    }
}

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

    fn written(write: impl FnOnce(&mut dyn Out)) -> String {
        let mut text = String::new();
        write(&mut text);
        text
    }

    #[test]
    fn numbers_in_both_bases() {
        for number in [0, 1, 9, 10, 15, 16, 1 << 32, u64::MAX - 1, u64::MAX] {
            let text = written(|out| {
                out.number(number).text(" ").hex(number);
            });
            assert_eq!(text, format!("{number} {number:#x}"));
        }
    }

    #[test]
    fn forms_are_filled_in() {
        let text = written(|out| {
            out.form("% page+, % page+, & byte+, &, %", &[1, 2, 17, NOWHERE]);
        });
        assert_eq!(text, "1 page, 2 pages, 0x11 bytes, -, 0");
    }

    #[test]
    fn strings_of_json_end_where_they_should() {
        let text = written(|out| {
            let value = Printable(b"a\"b\\c\n");
            out.fill("$ @,%", &[7], &[&value, &value]);
        });
        assert_eq!(text, r#"a"b\c? "a\"b\\c?",7"#);
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
