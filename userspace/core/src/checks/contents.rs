// SPDX-License-Identifier: GPL-2.0-only

//! Patterns in the buffer: put there by one way, and looked for by another.

use super::context::Context;
use super::places::{Place, Way, CHUNK};
use crate::device::Device;
use crate::errno::Errno;
use crate::failure::CallError;
use crate::finding::{about, Count, Stop, Subject, Value};
use crate::pattern::{Pattern, WORD};
use crate::system::System;

/// What is seen in place after place, and should be something else: the first that differs or, as
/// long as none does, the last one; and in how many pages it differs.
pub(super) struct Differences {
    at: u64,
    seen: u64,
    want: u64,
    page: u64,
    wrong_pages: u64,
    /// The page that was last found wrong.
    last_wrong: Option<u64>,
    pages: u64,
    last_page: Option<u64>,
}

impl Differences {
    pub(super) const fn new(page: u64) -> Self {
        Self {
            at: 0,
            seen: 0,
            want: 0,
            page,
            wrong_pages: 0,
            last_wrong: None,
            pages: 0,
            last_page: None,
        }
    }

    /// Offsets ascend.
    pub(super) fn see(&mut self, at: u64, seen: u64, want: u64) {
        if self.wrong_pages == 0 {
            self.at = at;
            self.seen = seen;
            self.want = want;
        }
        let page = Some(at / self.page);
        if self.last_page != page {
            self.pages += 1;
            self.last_page = page;
        }
        if seen != want && self.last_wrong != page {
            self.wrong_pages += 1;
            self.last_wrong = page;
        }
    }
}

impl<S: System> Context<'_, S> {
    /// Puts a pattern somewhere.
    pub(super) fn put(&mut self, way: Way, place: Place, pattern: Pattern) -> Result<(), Stop> {
        let chunks = place.chunks(self.info.size, self.page, self.options.quick);
        let mut bytes = [0; CHUNK];
        let bytes = &mut bytes[..chunks.length];
        for at in chunks {
            pattern.fill(at, bytes);
            if way == Way::File {
                let answer = self.device.write_at(at, bytes);
                self.transferred("write()", at, bytes.len(), answer, Errno::NOSPC.into())?;
            } else {
                self.store(way, at, bytes)?;
            }
            self.advance(bytes.len() as u64);
        }
        Ok(())
    }

    /// Looks for a pattern where it was put.
    pub(super) fn get(&mut self, way: Way, place: Place, pattern: Pattern) -> Result<(), Stop> {
        let size = self.info.size;
        let chunks = place.chunks(size, self.page, self.options.quick);
        let (mut want, mut seen) = ([0; CHUNK], [0; CHUNK]);
        let (want, seen) = (&mut want[..chunks.length], &mut seen[..chunks.length]);
        let mut differences = Differences::new(self.page);
        for at in chunks {
            pattern.fill(at, want);
            self.patch(at, want);
            if way == Way::File {
                let answer = self.device.read_at(at, seen);
                self.transferred("read()", at, seen.len(), answer, Value::Count(0))?;
            } else {
                self.load(way, at, seen)?;
            }
            self.advance(seen.len() as u64);
            let inside = (size - at).min(want.len() as u64) as usize;
            let words = seen[..inside].chunks(WORD).zip(want[..inside].chunks(WORD));
            for ((seen, want), at) in words.zip((at..).step_by(WORD)) {
                differences.see(at, word(seen), word(want));
            }
        }
        if place == Place::PastEnd {
            return Ok(());
        }
        let result = self.judge(about("load by").of(way.name()), &differences);
        if !place.has_every_page() {
            self.finding.count = None;
        }
        if result.is_err() {
            self.finding.belongs_at = pattern.offset_of(differences.seen, size);
        }
        result
    }

    /// A call was to transfer so many bytes: it must have taken those that are inside the buffer, or
    /// answered in this way where there are none.
    fn transferred(
        &mut self,
        call: &'static str,
        at: u64,
        length: usize,
        answer: Result<u64, Errno>,
        past_end: Value,
    ) -> Result<(), Stop> {
        let foreign = self.is_foreign();
        let seen = Value::from(answer);
        let want = match (self.info.size - at).min(length as u64) {
            // It is a driver's own affair how it refuses.
            0 if foreign && matches!(answer, Ok(0) | Err(_)) => seen,
            0 => past_end,
            inside => Value::Count(inside),
        };
        let result = self.finding.same(about(call).at(at), seen, want);
        match answer {
            // That is how the kernel says that a driver has no such call; or dma-bufs none at an offset.
            Err(errno @ (Errno::INVAL | Errno::SPIPE)) if foreign && result.is_err() => {
                Err(Stop::Refused(CallError { call, errno }))
            }
            _ => result,
        }
    }

    /// What was seen in several places must be what was wanted there.
    pub(super) fn judge(
        &mut self,
        subject: Subject,
        differences: &Differences,
    ) -> Result<(), Stop> {
        let Differences { at, seen, want, .. } = *differences;
        let result = self
            .finding
            .same(subject.at(at), Value::Word(seen), Value::Word(want));
        self.finding.count = Some(Count {
            unit: "pages",
            wrong: differences.wrong_pages,
            all: differences.pages,
        });
        result
    }
}

/// Up to eight bytes as a word.
pub(super) fn word(bytes: &[u8]) -> u64 {
    let mut word = [0; WORD];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_ne_bytes(word)
}
