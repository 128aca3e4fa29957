// SPDX-License-Identifier: GPL-2.0-only

//! Data that a bus master moves: FAULTLINE_IOC_FILL and FAULTLINE_IOC_COPY.
//!
//! What the master writes is chosen by its own side: a number that is another one in each boot, and
//! that the kernel's command line tells; or the command line itself, as the firmware of a Raspberry Pi
//! knows it. The kernel has it from the device tree, which has nothing to do with the buffer. Finding
//! it in a mapping takes the master, the right address, and memory in which the CPU sees what it
//! writes.

use faultline_uapi::{Copy, Fill, Master, MASTER_COPY, MASTER_DATA_COMMAND_LINE, MASTER_FILL};

use super::{Context, Pattern, Point, Way};
use crate::device::{Call, Device};
use crate::errno::Errno;
use crate::job::{Job, MOST_BYTES};
use crate::old_finding::{Stop, Value, NOWHERE};
use crate::system::System;

/// What the nonce is called on the kernel's command line.
const NONCE: &[u8] = b"faultline.nonce=";

/// The most that is read of it.
const COMMAND_LINE: usize = 4096;

/// What is copied.
const DATA: Pattern = Pattern::new(15);

/// How many places there are, each with a source, that differ from the rest of the buffer.
pub(super) const PATCHES: usize = 6;

/// The most that a bus master is expected to write: a firmware's answer with a long command line.
const MOST_DATA: usize = 1024;

/// Where the text is in a firmware's answer, which has five words in front of it.
const TEXT: usize = 20;

/// What is in such a place: bytes of the master's data, or of what is copied.
#[derive(Clone, Copy)]
pub(super) struct Patch {
    at: u64,
    length: u64,
    /// Where in the pattern of what is copied they are from, or [`NOWHERE`].
    from: u64,
}

impl Patch {
    pub(super) const NONE: Self = Self {
        at: 0,
        length: 0,
        from: 0,
    };
}

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

    /// Makes the data of a command line: a nonce that it has, or the answer of a firmware, see
    /// [`MASTER_DATA_COMMAND_LINE`]. Without the one, and if the other is too long, there is none.
    fn know(&mut self, line: &[u8], answers: bool) {
        let mut words = [0; TEXT / 4];
        let mut text = line;
        let mut length = 0;
        if answers {
            text = line.strip_suffix(b"\n").unwrap_or(line);
            let room = text.len().next_multiple_of(4);
            length = (TEXT + room + 4).next_multiple_of(16);
            let marked = 1 << 31 | text.len() as u32;
            words = [length as u32, 1 << 31, 0x0005_0001, room as u32, marked];
        } else if let Some(at) = line.windows(NONCE.len()).position(|part| part == NONCE) {
            text = &line[at + NONCE.len()..];
            let ends = |byte: &u8| *byte <= b' ';
            length = text.iter().position(ends).unwrap_or(text.len());
        }
        let header = if answers { TEXT } else { 0 };
        if length > if answers { MOST_DATA } else { MOST_BYTES } {
            return;
        }
        for (index, to) in self.bytes.iter_mut().enumerate().take(length) {
            *to = match index.checked_sub(header) {
                Some(index) => text.get(index).copied().unwrap_or(0),
                None => (words[index / 4] >> (index % 4 * 8)) as u8,
            };
        }
        self.length = length;
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// A place: so many units of the master's alignment from the start, or from the end.
type At = (Point, i8);

/// A request that must be refused: COPY or FILL, where from, where to, how many units, and what is
/// in the reserved field.
type Refusal = (bool, At, At, i8, u8);

/// One more than the master takes at once.
const TOO_LONG: i8 = i8::MAX;

const START: At = (Point::Start, 0);

#[rustfmt::skip] // A table.
const REFUSALS: [Refusal; 13] = [
    // FILL: past the end, across it, around the end of all numbers, more than there is of anything.
    (false, START,            (Point::End, 0),    1,  0),
    (false, START,            (Point::End, -1),   2,  0),
    (false, START,            (Point::Start, -1), 2,  0),
    (false, START,            START,              -1, 0),
    // Nothing; something that later versions may know.
    (false, START,            START,              0,  0),
    (false, START,            START,              1,  1),
    // COPY: the same of either end.
    (true,  (Point::End, 0),  START,              1,  0),
    (true,  (Point::End, -1), START,              2,  0),
    (true,  START,            (Point::End, 0),    1,  0),
    (true,  START,            (Point::End, -1),   2,  0),
    (true,  START,            START,              0,  0),
    (true,  START,            (Point::Start, 1),  1,  1),
    (true,  START,            START,       TOO_LONG,  0),
];

impl<S: System> Context<'_, S> {
    /// The device has a bus master with these abilities; else the check is skipped.
    pub(super) fn able(&mut self, abilities: u32) -> Result<(), Stop> {
        if let Err(errno) = self.has_master {
            let stop = self.finding.refused("bus master", errno);
            return Err(match errno {
                Errno::NODATA => Stop::Skip,
                _ => stop,
            });
        }
        let master = &self.master;
        let able = master.abilities & abilities;
        self.finding
            .equal("abilities of the bus master", NOWHERE, able, abilities)
            .or(Err(Stop::Skip))?;
        let a_power = u64::from(master.alignment.is_power_of_two());
        self.finding
            .equal("power of two as alignment", NOWHERE, a_power, 1_u64)?;
        if abilities & MASTER_FILL == 0 {
            return Ok(());
        }
        self.find_nonce()
    }

    #[inline(never)] // It takes much of the stack.
    fn find_nonce(&mut self) -> Result<(), Stop> {
        let mut line = [0; COMMAND_LINE];
        let length = self.system.command_line(&mut line);
        let length = length.map_err(|errno| self.finding.refused("/proc/cmdline", errno))?;
        let line = &line[..length];
        self.data.know(line, self.answers());
        let found = u64::from(self.data.length > 0);
        let what = "nonce in /proc/cmdline";
        self.finding
            .equal(what, NOWHERE, found, 1_u64)
            .or(Err(Stop::Skip))?;
        let length = self.data.length as u64;
        let what = "bytes that the master has";
        let max_fill = self.master.max_fill;
        let outcome = self.finding.equal(what, NOWHERE, max_fill, length);
        if self.answers() {
            // A later loader, or the kernel's configuration, may have changed what firmware wrote.
            return outcome.or(Err(Stop::Skip));
        }
        outcome
    }

    /// Whether the master is a firmware that answers a question.
    fn answers(&self) -> bool {
        self.master.data == MASTER_DATA_COMMAND_LINE
    }

    /// The multiple of the master's alignment at or below an offset.
    fn aligned(&self, at: u64) -> u64 {
        at & u64::from(self.master.alignment).wrapping_neg()
    }

    /// Has the master write its data.
    #[inline(never)]
    fn fill(&mut self, at: u64) -> Result<(), Stop> {
        let length = self.data.length as u64;
        let answer = self.ask(false, [0, at, length, 0]);
        self.finding
            .equal("FILL: bytes written", at, answer, length)
    }

    /// FILL or COPY; the answer of the latter is zero.
    #[inline(never)]
    fn ask(
        &mut self,
        copies: bool,
        [source, destination, length, reserved]: [u64; 4],
    ) -> Result<u64, Errno> {
        if copies {
            let mut copy = Copy {
                source,
                destination,
                length,
                reserved,
            };
            self.device.call(Call::Copy(&mut copy)).map(|()| 0)
        } else {
            let mut fill = Fill {
                offset: destination,
                length,
                reserved,
            };
            let done = self.device.call(Call::Fill(&mut fill));
            done.map(|()| fill.length)
        }
    }

    /// At the first page, across a border of pages, up to the last byte.
    pub(super) fn filled(&mut self) -> Result<(), Stop> {
        let length = self.data.length as u64;
        let border = self.page.min(self.info.size / 2) - length / 2;
        let places = [0, border, self.info.size - length];
        for (patch, at) in places.iter().enumerate() {
            let at = self.aligned(*at);
            self.fill(at)?;
            self.patches[patch] = Patch {
                at,
                length,
                from: NOWHERE,
            };
        }
        Ok(())
    }

    /// From the first page across a border of pages, from the last byte, and up to it. What is
    /// copied differs in every byte from what is there.
    pub(super) fn copied(&mut self) -> Result<(), Stop> {
        let size = self.info.size;
        let most = self.master.max_copy.min(MOST_BYTES as u64);
        let length = self.aligned(most.min(size / 16));
        let border = self.page.min(size / 2) - length / 2;
        let ways = [
            (0, border),
            (size - length, 2 * length),
            (4 * length, size - length),
        ];
        for (pair, &(from, at)) in ways.iter().enumerate() {
            let (from, at) = (self.aligned(from), self.aligned(at));
            let mut data = [0; MOST_BYTES];
            let data = &mut data[..length as usize];
            DATA.fill(from, data);
            self.store(Way::First, from, data)?;
            let answer = self.ask(true, [from, at, length, 0]);
            self.finding.equal("COPY", at, answer, 0_u64)?;
            for (patch, at) in self.patches[2 * pair..].iter_mut().zip([from, at]) {
                *patch = Patch { at, length, from };
            }
        }
        Ok(())
    }

    /// Puts what was copied, or the bus master has written, in place of what the pattern has there.
    pub(super) fn patch(&self, at: u64, bytes: &mut [u8]) {
        for patch in &self.patches {
            for index in 0..patch.length {
                let within = (patch.at + index).wrapping_sub(at);
                if let Some(byte) = bytes.get_mut(within as usize) {
                    match self.data.bytes().get(index as usize) {
                        Some(data) if patch.from == NOWHERE => *byte = *data,
                        _ => DATA.fill(patch.from + index, core::slice::from_mut(byte)),
                    }
                }
            }
        }
    }

    /// Each request that makes no sense is refused, with the right error.
    pub(super) fn refused(&mut self) -> Result<(), Stop> {
        let Master {
            abilities,
            alignment,
            max_copy,
            ..
        } = self.master;
        let unit = u64::from(alignment);
        let place = |size, (from, units): &At| {
            let from = if let Point::End = from { size } else { 0 };
            unit.wrapping_mul(i64::from(*units) as u64)
                .wrapping_add(from)
        };
        let size = self.info.size;
        for (copies, source, destination, units, reserved) in &REFUSALS {
            let (length, want) = match *units {
                TOO_LONG => (max_copy + unit, Errno::MSGSIZE),
                units => (place(0, &(Point::Start, units)), Errno::INVAL),
            };
            let to = place(size, destination);
            let request = [place(size, source), to, length, (*reserved).into()];
            self.refusal(abilities, *copies, request, want)?;
        }
        if unit > 1 {
            for &copies in &[false, true] {
                self.refusal(abilities, copies, [1, 1, unit, 0], Errno::INVAL)?;
                self.refusal(abilities, copies, [0, 0, unit + 1, 0], Errno::INVAL)?;
            }
        }
        Ok(())
    }

    #[inline(never)]
    fn refusal(
        &mut self,
        abilities: u32,
        copies: bool,
        request: [u64; 4],
        want: Errno,
    ) -> Result<(), Stop> {
        let (ability, what) = if copies {
            (MASTER_COPY, "COPY that must be refused")
        } else {
            (MASTER_FILL, "FILL that must be refused")
        };
        let want = if abilities & ability == 0 && request[3] == 0 {
            Errno::OPNOTSUPP
        } else {
            want
        };
        let answer = self.ask(copies, request);
        let seen = answer.map_or_else(Value::from, |_| Value::NO_ERROR);
        self.finding.equal(what, request[1], seen, want)
    }

    /// Has the master write to what another task is looking at.
    pub(super) fn polled(&mut self) -> Result<(), Stop> {
        let length = self.data.length;
        let border = self.page.min(self.info.size / 2) - length as u64 / 2;
        let at = self.aligned(border);
        // Before the firmware's answer there is nothing: the request has zeroes for it.
        let answers = self.answers();
        let (skipped, mask) = if answers { (TEXT, 0) } else { (0, 0xff) };
        let new = &self.data.bytes()[skipped..];
        let new = &new[..new.len().min(MOST_BYTES)];
        let mut old = [0; MOST_BYTES];
        for (old, new) in old.iter_mut().zip(new) {
            *old = !new & mask;
        }
        let looked_at = at + skipped as u64;
        let job = Job::poll(looked_at, self.ready_at(), new, mask);
        let old = &old[..new.len()];
        self.store(Way::First, looked_at, old)?;
        self.begin(job)?;
        let filled = self.wait_until_ready().and_then(|()| self.fill(at));
        let tally = self.end(filled)?;
        let what = "byte polled while it is written";
        self.finding.equal(what, tally.at, tally.seen, tally.want)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nonce(line: &str) -> Option<String> {
        let mut data = Data::NONE;
        data.know(line.as_bytes(), false);
        (data.length > 0).then(|| String::from_utf8(data.bytes().to_vec()).unwrap())
    }

    #[test]
    fn an_answer_is_a_message_around_the_command_line() {
        let mut data = Data::NONE;
        data.know(b"quiet ro\n", true);
        let words = [32_u32, 1 << 31, 0x5_0001, 8, 1 << 31 | 8];
        let mut want = words.map(u32::to_le_bytes).concat();
        want.extend(b"quiet ro\0\0\0\0");
        assert_eq!(data.bytes(), want);

        data = Data::NONE;
        data.know(&[b'x'; MOST_DATA], true);
        assert_eq!(data.bytes(), []);
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
