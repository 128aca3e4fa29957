// SPDX-License-Identifier: GPL-2.0-only

//! Data that a bus master moves: FAULTLINE_IOC_FILL and FAULTLINE_IOC_COPY.
//!
//! What the master writes is chosen by its own side: a number that is another one in each boot, and
//! that the kernel's command line tells; or the command line itself, as the firmware of a Raspberry
//! Pi knows it. The kernel has it from the device tree, which has nothing to do with the buffer.
//! Finding it in a mapping takes the master, the right address, and memory in which the CPU sees
//! what it writes.

use faultline_uapi::{
    Copy, Fill, MASTER_COPY, MASTER_DATA_COMMAND_LINE, MASTER_FILL, SYNC_END, SYNC_WRITE,
};

use super::context::Context;
use super::data::{Contents, Data, Patch, COPIED, TEXT};
use super::places::Way;
use crate::device::{Call, Device};
use crate::errno::Errno;
use crate::finding::{about, Stop, Value};
use crate::job::{Job, MOST_BYTES};
use crate::name;
use crate::system::System;

/// The most that is read of the kernel's command line.
const COMMAND_LINE: usize = 4096;

/// A request to the bus master. Offsets and lengths are in bytes.
#[derive(Clone, core::marker::Copy)]
enum Request {
    /// Writes the master's data.
    Fill { at: u64, length: u64, reserved: u64 },
    /// Copies.
    Copy {
        from: u64,
        to: u64,
        length: u64,
        reserved: u64,
    },
}

impl Request {
    const fn fill(at: u64, length: u64) -> Self {
        Self::Fill {
            at,
            length,
            reserved: 0,
        }
    }

    const fn copy(from: u64, to: u64, length: u64) -> Self {
        Self::Copy {
            from,
            to,
            length,
            reserved: 0,
        }
    }
}

impl<S: System> Context<'_, S> {
    /// The device has a bus master with these abilities; else the check is skipped.
    pub(super) fn able(&mut self, abilities: u32) -> Result<(), Stop> {
        match self.has_master {
            Err(Errno::NODATA) => return Err(Stop::Skip("the device has no bus master")),
            answer => self.finding.need("MASTER", answer)?,
        }
        let master = &self.master;
        if master.abilities & abilities != abilities {
            return Err(Stop::Skip("the device's bus master cannot do this"));
        }
        let a_power = master.alignment.is_power_of_two();
        self.finding
            .same("MASTER: alignment is a power of two", a_power, true)?;
        if abilities & MASTER_FILL == 0 {
            return Ok(());
        }
        self.find_data()
    }

    /// Learns what the master is going to write.
    fn find_data(&mut self) -> Result<(), Stop> {
        let mut line = [0; COMMAND_LINE];
        let length = self.system.command_line(&mut line);
        let length = self.finding.need("/proc/cmdline", length)?;
        let line = &line[..length];
        self.data = if self.answers() {
            Data::answer(line)
        } else {
            Data::nonce(line)
        };
        let known = self.data.bytes().len() as u64;
        if known == 0 {
            return Err(Stop::Skip(concat!(
                "the kernel's command line does not say what the bus master writes (",
                name::module!(),
                ".nonce=)"
            )));
        }
        let what = "MASTER: bytes that the bus master writes";
        let result = self.finding.same(what, self.master.max_fill, known);
        if result.is_err() && self.answers() {
            // A later loader, or the kernel's configuration, may have changed what firmware wrote.
            return Err(Stop::Skip(
                "the kernel's command line is not the one that the firmware passed",
            ));
        }
        result
    }

    /// Whether the master is a firmware that answers a question.
    fn answers(&self) -> bool {
        self.master.data == MASTER_DATA_COMMAND_LINE
    }

    /// The multiple of the master's alignment at or below an offset.
    fn aligned(&self, at: u64) -> u64 {
        let alignment = u64::from(self.master.alignment);
        at / alignment * alignment
    }

    /// Has the master write its data.
    fn fill(&mut self, at: u64) -> Result<(), Stop> {
        let length = self.data.bytes().len() as u64;
        let answer = self.ask(Request::fill(at, length));
        let what = about("FILL: bytes written").at(at);
        self.finding.same(what, answer, Value::Count(length))
    }

    /// FILL or COPY: the answer is how many bytes the former has written, or success.
    fn ask(&mut self, request: Request) -> Result<Value, Errno> {
        match request {
            Request::Fill {
                at,
                length,
                reserved,
            } => {
                let mut fill = Fill {
                    offset: at,
                    length,
                    reserved,
                };
                self.device.call(Call::Fill(&mut fill))?;
                Ok(Value::Count(fill.length))
            }
            Request::Copy {
                from,
                to,
                length,
                reserved,
            } => {
                let mut copy = Copy {
                    source: from,
                    destination: to,
                    length,
                    reserved,
                };
                self.device.call(Call::Copy(&mut copy))?;
                Ok(Value::Success)
            }
        }
    }

    /// At the first page, across a border of pages, up to the last byte.
    pub(super) fn filled(&mut self) -> Result<(), Stop> {
        self.write_all(SYNC_END)?;
        let length = self.data.bytes().len() as u64;
        let border = self.page.min(self.info.size / 2) - length / 2;
        let places = [0, border, self.info.size - length];
        for (index, at) in places.into_iter().enumerate() {
            let at = self.aligned(at);
            self.fill(at)?;
            self.patches[index] = Patch {
                at,
                length,
                contents: Contents::Data,
            };
        }
        self.read_patches(0)
    }

    /// From the first page across a border of pages, from the last byte, and up to it. What is
    /// copied differs in every byte from what is there.
    pub(super) fn copied(&mut self) -> Result<(), Stop> {
        self.write_all(SYNC_END)?;
        let size = self.info.size;
        let most = self.master.max_copy.min(MOST_BYTES as u64);
        let length = self.aligned(most.min(size / 16));
        let border = self.page.min(size / 2) - length / 2;
        let ways = [
            (0, border),
            (size - length, 2 * length),
            (4 * length, size - length),
        ];
        for (pair, (from, to)) in ways.into_iter().enumerate() {
            let (from, to) = (self.aligned(from), self.aligned(to));
            let mut data = [0; MOST_BYTES];
            let data = &mut data[..length as usize];
            COPIED.fill(from, data);
            self.sync(SYNC_WRITE, from, length)?;
            self.store(Way::First, from, data)?;
            self.sync(SYNC_WRITE | SYNC_END, from, length)?;
            let answer = self.ask(Request::copy(from, to, length));
            self.finding
                .same(about("COPY").at(to), answer, Value::Success)?;
            for (patch, at) in self.patches[2 * pair..].iter_mut().zip([from, to]) {
                *patch = Patch {
                    at,
                    length,
                    contents: Contents::Copied(from),
                };
            }
        }
        self.read_patches(0)
    }

    /// Puts what was copied, or the bus master has written, in place of what the pattern has there.
    pub(super) fn patch(&self, at: u64, bytes: &mut [u8]) {
        for patch in &self.patches {
            for index in 0..patch.length {
                let within = (patch.at + index).wrapping_sub(at);
                let Some(byte) = bytes.get_mut(within as usize) else {
                    continue;
                };
                match patch.contents {
                    Contents::Data => *byte = self.data.bytes()[index as usize],
                    Contents::Copied(from) => {
                        COPIED.fill(from + index, core::slice::from_mut(byte));
                    }
                }
            }
        }
    }

    /// Each request that makes no sense is refused, with the right error.
    pub(super) fn refused(&mut self) -> Result<(), Stop> {
        let unit = u64::from(self.master.alignment);
        let end = self.info.size;
        // Before the start, when it is counted from the end of all numbers.
        let before = unit.wrapping_neg();
        let too_long = self.master.max_copy + unit;
        let reserved_fill = Request::Fill {
            at: 0,
            length: unit,
            reserved: 1,
        };
        let reserved_copy = Request::Copy {
            from: 0,
            to: unit,
            length: unit,
            reserved: 1,
        };
        for request in [
            // Past the end, across it, around the end of all numbers, more than there is.
            Request::fill(end, unit),
            Request::fill(end - unit, 2 * unit),
            Request::fill(before, 2 * unit),
            Request::fill(0, before),
            // Nothing; something that later versions may know.
            Request::fill(0, 0),
            reserved_fill,
            // The same of either end of a copy.
            Request::copy(end, 0, unit),
            Request::copy(end - unit, 0, 2 * unit),
            Request::copy(0, end, unit),
            Request::copy(0, end - unit, 2 * unit),
            Request::copy(0, 0, 0),
            reserved_copy,
        ] {
            self.refusal(request, Errno::INVAL)?;
        }
        self.refusal(Request::copy(0, 0, too_long), Errno::MSGSIZE)?;
        if unit > 1 {
            // Not aligned: the offset, and the length.
            for request in [
                Request::fill(1, unit),
                Request::fill(0, unit + 1),
                Request::copy(1, 1, unit),
                Request::copy(0, 0, unit + 1),
            ] {
                self.refusal(request, Errno::INVAL)?;
            }
        }
        Ok(())
    }

    fn refusal(&mut self, request: Request, want: Errno) -> Result<(), Stop> {
        let (what, at, ability, reserved) = match request {
            Request::Fill { at, reserved, .. } => {
                ("FILL that must be refused", at, MASTER_FILL, reserved)
            }
            Request::Copy { to, reserved, .. } => {
                ("COPY that must be refused", to, MASTER_COPY, reserved)
            }
        };
        let lacks = self.master.abilities & ability == 0;
        // A reserved field is looked at first.
        let want = if lacks && reserved == 0 {
            Errno::OPNOTSUPP
        } else {
            want
        };
        let seen = self.ask(request);
        self.finding.same(about(what).at(at), seen, want)
    }

    /// Has the master write to what another task is looking at.
    pub(super) fn polled(&mut self) -> Result<(), Stop> {
        if self.is_cached() {
            return Err(Stop::Skip(
                "the buffer is cached: while the device writes, no CPU may look",
            ));
        }
        let length = self.data.bytes().len() as u64;
        let border = self.page.min(self.info.size / 2) - length / 2;
        let at = self.aligned(border);
        // Before the firmware's answer there is nothing: the request has zeroes for it.
        let (skipped, mask) = if self.answers() { (TEXT, 0) } else { (0, 0xff) };
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
        self.finding.same(
            tally.about("byte polled while it is written"),
            tally.seen,
            tally.want,
        )
    }
}
