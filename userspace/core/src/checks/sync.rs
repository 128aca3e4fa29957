// SPDX-License-Identifier: GPL-2.0-only

//! Cached buffers: FAULTLINE_IOC_SYNC around what the CPUs access, and what it refuses.
//!
//! A machine without caches shows nothing of a missing synchronisation, unless the device cannot reach
//! the pages, so that the kernel copies them to where it can (`swiotlb=force`): then what was not
//! synchronised is stale. So each place that a bus master writes is synchronised by itself, with its own
//! range, and not the whole buffer at once.

use faultline_uapi::{Sync, FLAG_CACHED, FLAG_COHERENT, SYNC_END, SYNC_READ, SYNC_WRITE};

use super::context::Context;
use crate::device::{Call, Device};
use crate::errno::Errno;
use crate::finding::{about, Stop, Value};
use crate::system::System;

/// A request that must not be carried out, or one that must.
struct Request {
    flags: u32,
    reserved: u32,
    at: u64,
    length: u64,
    want: Value,
}

impl<S: System> Context<'_, S> {
    /// Whether accesses to the buffer have to be synchronised.
    pub(super) fn is_cached(&self) -> bool {
        self.info.flags & FLAG_CACHED != 0
    }

    /// What sees the caches of the CPUs, in a word.
    pub fn coherency(&self) -> &'static str {
        if self.is_cached() {
            "cached"
        } else if self.info.flags & FLAG_COHERENT != 0 {
            "coherent"
        } else {
            "non-coherent"
        }
    }

    fn ask_sync(&mut self, flags: u32, reserved: u32, at: u64, length: u64) -> Result<(), Errno> {
        self.device.call(Call::Sync(&mut Sync {
            flags,
            reserved,
            offset: at,
            length,
        }))
    }

    /// Begins or ends an access to a cached buffer; of any other there is nothing to do.
    pub(super) fn sync(&mut self, flags: u32, at: u64, length: u64) -> Result<(), Stop> {
        if !self.is_cached() {
            return Ok(());
        }
        let answer = self.ask_sync(flags, 0, at, length);
        self.finding.need(about("SYNC").at(at), answer)
    }

    /// Begins or ends the writing of a pattern to the whole buffer.
    pub(super) fn write_all(&mut self, end: u32) -> Result<(), Stop> {
        self.sync(SYNC_WRITE | end, 0, self.info.size)
    }

    /// Begins or ends the reading of each place that the bus master has accessed.
    pub(super) fn read_patches(&mut self, end: u32) -> Result<(), Stop> {
        for patch in self.patches {
            if patch.length > 0 {
                self.sync(SYNC_READ | end, patch.at, patch.length)?;
            }
        }
        Ok(())
    }

    /// SYNC refuses what makes no sense and, of a buffer that is not cached, everything.
    pub(super) fn sync_refused(&mut self) -> Result<(), Stop> {
        const END: u32 = SYNC_READ | SYNC_END;
        let request = |flags, at, length, want| Request {
            flags,
            reserved: 0,
            at,
            length,
            want,
        };
        if !self.is_cached() {
            let answer = self.ask_sync(SYNC_READ, 0, 0, 1);
            if answer == Err(Errno::NOTTY) {
                return Err(Stop::Skip("the driver has no cached buffers"));
            }
            let what = "SYNC of a buffer that is not cached";
            return self.finding.same(what, answer, Errno::OPNOTSUPP);
        }
        let size = self.info.size;
        let invalid = Value::Errno(Errno::INVAL);
        let no_start = Value::Errno(Errno::NOENT);
        for Request {
            flags,
            reserved,
            at,
            length,
            want,
        } in [
            // Past the end, across it, around the end of all numbers, nothing.
            request(SYNC_READ, size, 1, invalid),
            request(SYNC_READ, size - 1, 2, invalid),
            request(SYNC_READ, u64::MAX, 2, invalid),
            request(SYNC_READ, 0, 0, invalid),
            // No access; something that later versions may know.
            request(0, 0, 1, invalid),
            request(SYNC_READ | SYNC_END << 1, 0, 1, invalid),
            Request {
                reserved: 1,
                ..request(SYNC_READ, 0, 1, invalid)
            },
            // An end without a start: none, another access, another range; and a second one.
            request(END, 0, 1, no_start),
            request(SYNC_READ, 0, 2, Value::Success),
            request(SYNC_WRITE | SYNC_END, 0, 2, no_start),
            request(END, 0, 1, no_start),
            request(END, 0, 2, Value::Success),
            request(END, 0, 2, no_start),
        ] {
            let answer = self.ask_sync(flags, reserved, at, length);
            self.finding
                .same(about("SYNC that is checked").at(at), answer, want)?;
        }
        Ok(())
    }
}
