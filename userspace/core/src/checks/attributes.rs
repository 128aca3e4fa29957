// SPDX-License-Identifier: GPL-2.0-only

//! What the CPU itself says of a mapping: FAULTLINE_IOC_TRANSLATE.
//!
//! The driver asks the CPU to translate an address, and passes on what that answers. It answers for
//! any address of the caller: what it says of memory that has nothing to do with it shows whether
//! it passes on anything else.

use faultline_uapi::{
    Translation, FLAG_COHERENT, TRANSLATED, TRANSLATE_KERNEL, TRANSLATE_WRITE, TRANSLATION_WRITABLE,
};

use super::{Context, Way};
use crate::device::{Call, Device, Mapping, Signal, System};
use crate::errno::Errno;
use crate::finding::{Stop, Value, NOWHERE};

const NOTHING: u32 = 0;
const READABLE: u32 = TRANSLATED;
const WRITABLE: u32 = TRANSLATED | TRANSLATION_WRITABLE;

/// What is asked: about a load, and about a store.
const REQUESTS: [u32; 2] = [0, TRANSLATE_WRITE];

/// What is said of flags and of a type.
type Whats = [&'static str; 2];

/// Memory of the program's own: what TRANSLATE must say of it for a load, and for a store.
const KNOWN: [(Whats, [u32; 2]); 3] = [
    (
        ["TRANSLATE of a variable: flags", "type of a variable"],
        [WRITABLE; 2],
    ),
    (
        ["TRANSLATE of a constant: flags", "type of a constant"],
        [READABLE, NOTHING],
    ),
    (["TRANSLATE of nothing: flags", ""], [NOTHING; 2]),
];

/// A mapping: the first, the second, the kernel's.
const MAPPINGS: [Whats; 3] = [
    [
        "TRANSLATE of the first mapping: flags",
        "type of the first mapping",
    ],
    [
        "TRANSLATE of the second mapping: flags",
        "type of the second mapping",
    ],
    [
        "TRANSLATE of the kernel's mapping: flags",
        "type of the kernel's mapping",
    ],
];

/// `PAR_EL1.SH`: between all CPUs.
const INNER_SHAREABLE: u32 = 3;

impl<S: System> Context<'_, S> {
    /// TRANSLATE; skips where the CPU has no such instruction.
    #[inline(never)]
    fn translate(&mut self, at: u64, address: u64, request: u32) -> Result<Translation, Stop> {
        let mut question = Translation {
            address,
            request,
            ..Translation::default()
        };
        let answer = self.device.call(Call::Translate(&mut question));
        answer.map(|()| question).map_err(|errno| {
            let stop = self.finding.refused("TRANSLATE", errno);
            self.finding.at = at;
            match errno {
                Errno::OPNOTSUPP => Stop::Skip,
                _ => stop,
            }
        })
    }

    /// TRANSLATE of an address that must be this: mapped or not, writable or not, and of a type.
    #[inline(never)]
    fn judge_type(
        &mut self,
        [flags_what, type_what]: &Whats,
        at: u64,
        answer: &Translation,
        flags: u32,
        memory_type: Value,
    ) -> Result<(), Stop> {
        self.finding.equal(flags_what, at, answer.flags, flags)?;
        if flags == NOTHING {
            return Ok(());
        }
        // It means something of what is cached alone: of the rest the CPU says what the page table
        // does, or that it is outer shareable, as it likes.
        if Value::memory_type(answer.attribute) == Value::WRITE_BACK {
            let what = "shareability (2 outer, 3 inner) by the CPU";
            let seen = u32::from(answer.shareability);
            self.finding.equal(what, at, seen, INNER_SHAREABLE)?;
        }
        let seen = Value::memory_type(answer.attribute);
        self.finding.equal(type_what, at, seen, memory_type)
    }

    /// The memory type that the device's coherency demands of every mapping.
    fn demanded(&self) -> Value {
        if self.info.flags & FLAG_COHERENT != 0 {
            Value::WRITE_BACK
        } else {
            Value::NON_CACHEABLE
        }
    }

    pub(super) fn known_memory(&mut self) -> Result<(), Stop> {
        let known = self.system.known_memory();
        let addresses = [known.variable, known.constant, known.nothing];
        for ((whats, flags), &address) in KNOWN.iter().zip(&addresses) {
            for (request, flags) in REQUESTS.iter().zip(flags) {
                let answer = self.translate(NOWHERE, address, *request)?;
                self.judge_type(whats, NOWHERE, &answer, *flags, Value::WRITE_BACK)?;
            }
        }
        let mut unknown = Translation {
            request: 1 << 31,
            ..Translation::default()
        };
        let answer = self.device.call(Call::Translate(&mut unknown));
        let seen = answer.map_or_else(Value::from, |()| Value::NO_ERROR);
        let what = "TRANSLATE of a request with an unknown bit";
        self.finding.equal(what, NOWHERE, seen, Errno::INVAL)
    }

    pub(super) fn attributes(&mut self, way: Way) -> Result<(), Stop> {
        let whats = &MAPPINGS[(way as usize).min(MAPPINGS.len() - 1)];
        for &at in &[0, self.info.size - self.page] {
            for &request in &REQUESTS {
                let answer = if way == Way::Kernel {
                    self.translate(at, at, request | TRANSLATE_KERNEL)?
                } else {
                    let mut byte = [0];
                    self.load(way, at, &mut byte)?;
                    if request == TRANSLATE_WRITE {
                        self.store(way, at, &byte)?;
                    }
                    let address = self.mapping(way).address() + at;
                    let answer = self.translate(at, address, request)?;
                    // Some CPUs leave it to the kernel to note the first store to a page: until
                    // then it is read-only in the page table.
                    let stored = if request == 0 {
                        TRANSLATION_WRITABLE
                    } else {
                        0
                    };
                    Translation {
                        flags: answer.flags | stored,
                        ..answer
                    }
                };
                self.types[usize::from(way == Way::Kernel)] = Value::memory_type(answer.attribute);
                let demanded = self.demanded();
                self.judge_type(whats, at, &answer, WRITABLE, demanded)?;
            }
        }
        Ok(())
    }

    pub(super) fn read_only(&mut self) -> Result<(), Stop> {
        const MAP: &str = "mmap to be read only";

        let mapping = self.device.map_read_only(self.info.size);
        let mut mapping = mapping.map_err(|errno| self.finding.refused(MAP, errno))?;
        let last = self.info.size - 1;
        let touch = mapping.load(last, &mut [0]);
        self.finding
            .equal("load by it", last, touch, Value::NO_SIGNAL)?;
        for (&request, &flags) in REQUESTS.iter().zip(&[READABLE, NOTHING]) {
            let answer = self.translate(last, mapping.address() + last, request)?;
            let what = "TRANSLATE of a read-only mapping: flags";
            self.finding.equal(what, last, answer.flags, flags)?;
        }
        let store = mapping.store(last, &[0]);
        let what = "store to a read-only mapping";
        self.finding.equal(what, last, store, Signal::Segv)
    }

    /// The physical address of a byte by the CPU's walk.
    pub(super) fn walk(&mut self, way: Way, at: u64, address: u64) -> Result<u64, Stop> {
        let request = match way {
            Way::Kernel => TRANSLATE_KERNEL,
            _ => 0,
        };
        let answer = self.translate(at, address, request)?;
        let mapped = answer.flags & TRANSLATED;
        let what = "page mapped by the CPU's walk";
        self.finding.equal(what, at, mapped, TRANSLATED)?;
        let what = "address told by TRANSLATE (needs CAP_SYS_ADMIN)";
        self.known(what, at, answer.physical_address)
    }
}
