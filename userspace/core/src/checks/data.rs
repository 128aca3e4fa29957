// SPDX-License-Identifier: GPL-2.0-only

//! The data that a bus master moves, and where it has put it.

use crate::job::MOST_BYTES;
use crate::name::NONCE;
use crate::pattern::Pattern;

/// What is copied.
pub(super) const COPIED: Pattern = Pattern::new(15);

/// How many places there are, each with a source, that differ from the rest of the buffer.
pub(super) const PATCHES: usize = 6;

/// The most that a bus master is expected to write: a firmware's answer with a long command line.
const MOST_DATA: usize = 1024;

/// Where the text is in a firmware's answer, which has five words in front of it.
pub(super) const TEXT: usize = 20;

/// A place in the buffer that a bus master has written to, or has copied from.
#[derive(Clone, Copy)]
pub(super) struct Patch {
    pub(super) at: u64,
    pub(super) length: u64,
    pub(super) contents: Contents,
}

/// What is in such a place.
#[derive(Clone, Copy)]
pub(super) enum Contents {
    /// The bus master's own data.
    Data,
    /// What is copied, from this offset on.
    Copied(u64),
}

/// No places.
pub(super) const NO_PATCHES: [Patch; PATCHES] = [Patch {
    at: 0,
    length: 0,
    contents: Contents::Data,
}; PATCHES];

/// What the bus master writes.
pub(super) struct Data {
    bytes: [u8; MOST_DATA],
    length: usize,
}

impl Data {
    pub(super) const NONE: Self = Self {
        bytes: [0; MOST_DATA],
        length: 0,
    };

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// The nonce of a command line: none, if the line has none or it is too long.
    pub(super) fn nonce(line: &[u8]) -> Self {
        let mut data = Self::NONE;
        if let Some(at) = line
            .windows(NONCE.len())
            .position(|part| part == NONCE.as_bytes())
        {
            let text = &line[at + NONCE.len()..];
            let length = text.iter().position(|byte| *byte <= b' ');
            let text = &text[..length.unwrap_or(text.len())];
            if text.len() <= MOST_BYTES {
                data.append(text);
            }
        }
        data
    }

    /// What a firmware answers to the question for the command line, see
    /// `MASTER_DATA_COMMAND_LINE`: nothing, if it is too long.
    pub(super) fn answer(line: &[u8]) -> Self {
        let mut data = Self::NONE;
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let room = text.len().next_multiple_of(4);
        let length = (TEXT + room + 4).next_multiple_of(16);
        if length <= MOST_DATA {
            let answered = 1 << 31;
            let get_command_line = 0x0005_0001;
            for word in [
                length as u32,
                answered,
                get_command_line,
                room as u32,
                answered | text.len() as u32,
            ] {
                data.append(&word.to_le_bytes());
            }
            data.append(text);
            data.length = length;
        }
        data
    }

    /// There must be room.
    fn append(&mut self, bytes: &[u8]) {
        let end = self.length + bytes.len();
        self.bytes[self.length..end].copy_from_slice(bytes);
        self.length = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nonce(line: &str) -> Option<String> {
        let data = Data::nonce(line.as_bytes());
        (data.length > 0).then(|| String::from_utf8(data.bytes().to_vec()).unwrap())
    }

    #[test]
    fn an_answer_is_a_message_around_the_command_line() {
        let words = [32_u32, 1 << 31, 0x5_0001, 8, 1 << 31 | 8];
        let mut want = words.map(u32::to_le_bytes).concat();
        want.extend(b"quiet ro\0\0\0\0");
        assert_eq!(Data::answer(b"quiet ro\n").bytes(), want);
        assert_eq!(Data::answer(&[b'x'; MOST_DATA]).bytes(), []);
    }

    #[test]
    fn the_nonce_is_a_word_of_the_command_line() {
        assert_eq!(nonce("a faultline.nonce=12ab b\n").as_deref(), Some("12ab"));
        assert_eq!(nonce("faultline.nonce=x").as_deref(), Some("x"));
        assert_eq!(nonce("faultline.nonse=1 nonce=2"), None);
        assert_eq!(nonce("faultline.nonce= quiet"), None);
        assert_eq!(nonce(&format!("faultline.nonce={}", "1".repeat(65))), None);
    }
}
