// SPDX-License-Identifier: GPL-2.0-only

//! What the checks of one device share.

use core::ffi::CStr;
use core::fmt::Write;

use faultline_uapi::{Info, Master, Translation, FLAG_CACHED, FLAG_COHERENT};

use super::data::{Data, Patch, NO_PATCHES, PATCHES};
use super::places::Way;
use crate::args::verify::Options;
use crate::device::{Call, Device, Fault, Mapping};
use crate::errno::Errno;
use crate::finding::{about, Finding, Stop, Value};
use crate::memory::MemoryType;
use crate::name;
use crate::progress::Progress;
use crate::system::System;

/// What the checks of one device share.
pub struct Context<'s, S: System> {
    pub(super) system: &'s mut S,
    pub(super) path: &'s CStr,
    pub(super) options: &'s Options<'s>,
    pub(super) device: S::Device,
    pub(super) witness: Witness<S::Device>,
    pub(super) mappings: [Option<S::Mapping>; 3],
    pub(super) info: Info,
    pub(super) page: u64,
    /// The bus master, if the answer was that there is one.
    pub(super) master: Master,
    pub(super) has_master: Result<(), Errno>,
    pub(super) data: Data,
    /// What the bus master has written in this check.
    pub(super) patches: [Patch; PATCHES],
    /// The memory type that the mappings must have: of a foreign device, if it was not told, the
    /// one that was seen first.
    pub(super) demanded: Option<MemoryType>,
    /// What TRANSLATE answered last.
    pub(super) answer: Translation,
    /// The memory types, as last seen.
    pub(super) types: Types,
    pub(super) finding: &'s mut Finding,
    pub(super) progress: Progress<'s>,
}

/// Which device asks the CPU about the mappings.
pub(super) enum Witness<D> {
    /// The device itself: it is one of this driver.
    NotNeeded,
    /// The device is a foreign one: this one, of this driver.
    Device(D),
    /// The device is a foreign one, and there is none of this driver.
    None,
    /// There is one of this driver, which cannot be opened.
    Refused(Errno),
}

/// The memory types of a buffer's mappings, as far as they are known.
#[derive(Clone, Copy)]
pub struct Types {
    /// Of user space's.
    pub user: Option<MemoryType>,
    /// Of the kernel's.
    pub kernel: Option<MemoryType>,
}

impl<'s, S: System> Context<'s, S> {
    /// Opens a device to check it, and asks it for its size, unless it is a foreign one.
    ///
    /// # Errors
    ///
    /// A device that does not answer as the interface says is not one to check.
    pub fn open(
        system: &'s mut S,
        path: &'s CStr,
        options: &'s Options<'s>,
        finding: &'s mut Finding,
        terminal: Option<&'s mut dyn Write>,
    ) -> Result<Self, Stop> {
        let page = system.page_size();
        let device = if options.foreign {
            system.open_foreign(path, options.size)
        } else {
            system.open(path)
        };
        let device = finding.need("open", device)?;
        let witness = if options.foreign {
            match system.open(options.witness) {
                Ok(witness) => Witness::Device(witness),
                Err(Errno::NOENT) => Witness::None,
                Err(errno) => Witness::Refused(errno),
            }
        } else {
            Witness::NotNeeded
        };
        let mut context = Self {
            system,
            path,
            options,
            device,
            witness,
            mappings: [None, None, None],
            info: Info {
                size: options.size,
                ..Info::default()
            },
            page,
            master: Master::default(),
            has_master: Err(Errno::NODATA),
            data: Data::NONE,
            patches: NO_PATCHES,
            demanded: options.kernel,
            answer: Translation::default(),
            types: Types {
                user: None,
                kernel: options.kernel,
            },
            finding,
            progress: Progress::new(terminal),
        };
        if !options.foreign {
            context.describe()?;
        }
        Ok(context)
    }

    /// What the device says of itself.
    fn describe(&mut self) -> Result<(), Stop> {
        let info = self.device.info();
        let info = self.finding.need(
            concat!("open: INFO of a ", name::module!(), " device"),
            info,
        )?;
        let whole_pages = (info.size / self.page * self.page).max(self.page);
        let size = Value::Word(info.size);
        self.finding
            .same("open: INFO: size", size, Value::Word(whole_pages))?;
        let reserved = Value::Word(info.reserved.into());
        self.finding
            .same("open: INFO: reserved", reserved, Value::Word(0))?;
        self.info = info;
        // The device's coherency demands it, or the node asks for it.
        self.demanded = Some(if info.flags & (FLAG_COHERENT | FLAG_CACHED) != 0 {
            MemoryType::WriteBack
        } else {
            MemoryType::NonCacheable
        });
        self.has_master = self.device.call(Call::Master(&mut self.master));
        Ok(())
    }

    /// Whether it is another driver's, which has none of this driver's calls.
    pub(super) fn is_foreign(&self) -> bool {
        self.options.foreign
    }

    /// Whether the driver was built without its self-test: it answers INFO, but knows no other call.
    pub(super) fn lacks_selftest(&self) -> bool {
        self.has_master == Err(Errno::NOTTY)
    }

    /// What the device said of itself before the first check.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// The address of the buffer for the device: a foreign one is not asked for it.
    pub fn dma_address(&self) -> Option<u64> {
        (!self.is_foreign()).then_some(self.info.dma_address)
    }

    /// The memory types, as the CPU said.
    pub fn types(&self) -> Types {
        self.types
    }

    /// The bus master, if there is one.
    pub fn master(&self) -> Option<&Master> {
        self.has_master.ok().map(|()| &self.master)
    }

    /// What the last check looked at last.
    pub fn finding(&self) -> &Finding {
        self.finding
    }

    /// Counts what a check has gone through, and shows now and then how far the checks are.
    pub(super) fn advance(&mut self, bytes: u64) {
        if self.progress.advance(bytes) {
            let now = self.system.milliseconds();
            self.progress.show(now);
        }
    }

    /// A mapping that an earlier step made.
    pub(super) fn mapping(&mut self, way: Way) -> &mut S::Mapping {
        match &mut self.mappings[way.slot()] {
            Some(mapping) => mapping,
            None => unreachable!("an earlier step maps"),
        }
    }

    pub(super) fn load(&mut self, way: Way, at: u64, bytes: &mut [u8]) -> Result<(), Stop> {
        let loaded = self.mapping(way).load(at, bytes);
        self.accessed(way, loaded)
    }

    pub(super) fn store(&mut self, way: Way, at: u64, bytes: &[u8]) -> Result<(), Stop> {
        let stored = self.mapping(way).store(at, bytes);
        self.accessed(way, stored)
    }

    /// An access to a mapping, inside the buffer, must not be answered by a signal.
    pub(super) fn accessed<T>(&mut self, way: Way, access: Result<T, Fault>) -> Result<T, Stop> {
        let at = match &access {
            Ok(_) => 0,
            Err(fault) => fault.address.wrapping_sub(self.mapping(way).address()),
        };
        self.finding
            .access(about("access to").of(way.name()).at(at), access)
    }
}
