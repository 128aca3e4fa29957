// SPDX-License-Identifier: GPL-2.0-only

//! What `mmap()` gives and refuses, and what `munmap()` takes away.

use faultline_uapi::FLAG_PRISTINE;

use super::context::Context;
use super::places::Way;
use crate::device::{Device, Mapping, Signal, Unmapped};
use crate::errno::Errno;
use crate::finding::{about, Stop, Value};
use crate::system::System;

impl<S: System> Context<'_, S> {
    /// INFO must be right about whether nobody has touched the buffer.
    pub(super) fn pristine(&mut self, flags: u32, want: bool) -> Result<(), Stop> {
        let seen = flags & FLAG_PRISTINE != 0;
        self.finding.same("INFO: buffer never used", seen, want)
    }

    pub(super) fn map(&mut self, way: Way) -> Result<(), Stop> {
        let mapping = self.device.map(0, self.info.size);
        let mapping = self.finding.need("mmap() of the buffer", mapping)?;
        self.mappings[way.slot()] = Some(mapping);
        Ok(())
    }

    /// The first two mappings can be touched, and do not overlap.
    pub(super) fn apart(&mut self) -> Result<(), Stop> {
        for way in [Way::First, Way::Second] {
            self.load(way, 0, &mut [0])?;
        }
        let first = self.mapping(Way::First).address();
        let second = self.mapping(Way::Second).address();
        let outside = first.abs_diff(second).min(self.info.size);
        let what = "bytes of one mapping outside of the other";
        self.finding.same(what, outside, self.info.size)
    }

    pub(super) fn unmap(&mut self, way: Way) -> Result<(), Stop> {
        let Some(mapping) = self.mappings[way.slot()].take() else {
            unreachable!("an earlier step maps")
        };
        let unmapped = mapping.unmap();
        let gone = self.finding.need("munmap()", unmapped)?;
        // While nothing has been mapped in its place.
        for at in [0, self.info.size - 1] {
            let touch = gone.load(at, &mut [0]);
            self.finding
                .same(about("load after munmap()").at(at), touch, Signal::Segv)?;
        }
        Ok(())
    }

    /// A SIGBUS is caught, of a mapping that is sure to give one.
    pub(super) fn sigbus(&mut self) -> Result<(), Stop> {
        let mapping = self.system.map_beyond_a_file();
        let mapping = self
            .finding
            .need("mmap() beyond the end of a file", mapping)?;
        let touch = mapping.load(0, &mut [0]);
        self.finding
            .same("load beyond the end of a file", touch, Signal::Bus)
    }

    /// FRAME refuses an offset past the end.
    pub(super) fn no_pfn_past_end(&mut self) -> Result<(), Stop> {
        let size = self.info.size;
        match self.device.physical_address(size) {
            // Without CAP_SYS_ADMIN the driver says nothing about any offset.
            Err(Errno::PERM) => Ok(()),
            answer => {
                let seen = answer.map(Value::Word);
                self.finding
                    .same(about("FRAME").at(size), seen, Errno::INVAL)
            }
        }
    }

    /// `mmap()` past the end is refused, or a touch there is answered by SIGBUS.
    pub(super) fn no_map_past_end(&mut self) -> Result<(), Stop> {
        let (size, page) = (self.info.size, self.page);
        let foreign = self.is_foreign();
        // The first is far beyond, but no further than 32-bit kernels count bytes: they would
        // refuse it without a word to the driver.
        let far = (size << 8).min(1 << (usize::BITS - 1)).max(size);
        for (offset, length) in [
            (far, page),
            (size, page),
            (size - page, 2 * page),
            (0, size + page),
        ] {
            match self.device.map(offset, length) {
                Ok(mapping) => {
                    let touch = mapping.load(size.saturating_sub(offset), &mut [0]);
                    let what = about("load past the end, where mmap() was not refused,");
                    self.finding.same(what.at(offset), touch, Signal::Bus)?;
                }
                Err(errno) => {
                    let right = if foreign { errno } else { Errno::INVAL };
                    self.finding
                        .same(about("mmap() past the end").at(offset), errno, right)?;
                }
            }
        }
        Ok(())
    }
}
