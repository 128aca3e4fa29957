// SPDX-License-Identifier: GPL-2.0-only

//! What the CPU itself says of a mapping: FAULTLINE_IOC_TRANSLATE.
//!
//! The driver asks the CPU to translate an address, and passes on what that answers. It answers for
//! any address of the caller: what it says of memory that has nothing to do with it shows whether
//! it passes on anything else.

use faultline_uapi::{
    Translation, TRANSLATED, TRANSLATE_KERNEL, TRANSLATE_WRITE, TRANSLATION_WRITABLE,
};

use super::{Context, Way};
use crate::device::{Call, Device, Mapping, Signal};
use crate::errno::Errno;
use crate::old_finding::{Stop, Value, NOWHERE};
use crate::system::System;

const NOTHING: u32 = 0;
const READABLE: u32 = TRANSLATED;
const WRITABLE: u32 = TRANSLATED | TRANSLATION_WRITABLE;

/// What is asked: about a load, and about a store.
const REQUESTS: [u32; 2] = [0, TRANSLATE_WRITE];

/// Memory of the program's own: what TRANSLATE must say of it for a load, and for a store.
const KNOWN: [(&[u8], [u32; 2]); 3] = [
    (b"a variable", [WRITABLE; 2]),
    (b"a constant", [READABLE, NOTHING]),
    (b"nothing", [NOTHING; 2]),
];

/// `PAR_EL1.SH`: between all CPUs.
const INNER_SHAREABLE: u32 = 3;

impl<S: System> Context<'_, S> {
    /// Asks the device or, of a foreign one, ours: that one does not know the call, or another by
    /// its number.
    fn ask_cpu(&mut self) -> Result<(), Errno> {
        let question = Call::Translate(&mut self.answer);
        match &mut self.witness {
            Ok(witness) => witness.call(question),
            Err(errno) if self.options.foreign => Err(*errno),
            Err(_) => self.device.call(question),
        }
    }

    /// TRANSLATE: the answer is then in `self.answer`. Skips where the CPU has no such instruction, and
    /// where there is nobody to ask it.
    #[inline(never)]
    fn translate(&mut self, at: u64, address: u64, request: u32) -> Result<(), Stop> {
        self.answer = Translation {
            address,
            request,
            ..Translation::default()
        };
        self.ask_cpu().map_err(|errno| {
            let stop = self.finding.refused("TRANSLATE", errno);
            self.finding.at = at;
            match errno {
                Errno::OPNOTSUPP | Errno::NOENT => Stop::Skip,
                // The witness was built without the self-test.
                Errno::NOTTY if self.options.foreign => Stop::Skip,
                _ => stop,
            }
        })
    }

    /// What was answered must be this: mapped or not, writable or not, and of a type.
    #[inline(never)]
    fn judge_type(
        &mut self,
        whose: &'static [u8],
        at: u64,
        flags: u32,
        memory_type: Value,
    ) -> Result<(), Stop> {
        let Translation {
            attribute,
            shareability,
            ..
        } = self.answer;
        let seen = Value::memory_type(attribute);
        // It means something of what is cached alone: of the rest the CPU says what the page table
        // does, or that it is outer shareable, as it likes.
        let shareability = match seen {
            Value::WRITE_BACK => shareability.into(),
            _ => INNER_SHAREABLE,
        };
        // Which of them is nobody's to demand.
        let memory_type = match memory_type {
            Value::DEVICE if seen.is_device() => seen,
            memory_type => memory_type,
        };
        let seen_flags = self.answer.flags;
        let finding = &mut *self.finding;
        let mut result = finding.equal("TRANSLATE, flags of ", at, seen_flags, flags);
        if result.is_ok() && flags != NOTHING {
            let what = "shareability (2 outer, 3 inner) of ";
            result = finding
                .equal(what, at, shareability, INNER_SHAREABLE)
                .and_then(|()| finding.equal("type of ", at, seen, memory_type));
        }
        finding.whose = whose;
        result
    }

    pub(super) fn known_memory(&mut self) -> Result<(), Stop> {
        let known = self.system.known_memory();
        let addresses = [known.variable, known.constant, known.nothing];
        for ((whose, flags), &address) in KNOWN.iter().zip(&addresses) {
            for (request, flags) in REQUESTS.iter().zip(flags) {
                self.translate(NOWHERE, address, *request)?;
                self.judge_type(whose, NOWHERE, *flags, Value::WRITE_BACK)?;
            }
        }
        self.answer.request = 1 << 31;
        let answer = self.ask_cpu();
        let seen = answer.map_or_else(Value::from, |()| Value::NO_ERROR);
        let what = "TRANSLATE of an unknown bit";
        self.finding.equal(what, NOWHERE, seen, Errno::INVAL)
    }

    pub(super) fn attributes(&mut self, way: Way) -> Result<(), Stop> {
        let whose = way.name();
        for &at in &[0, self.info.size - self.page] {
            for &request in &REQUESTS {
                if way == Way::Kernel {
                    self.translate(at, at, request | TRANSLATE_KERNEL)?;
                } else {
                    let mut byte = [0];
                    self.load(way, at, &mut byte)?;
                    if request == TRANSLATE_WRITE {
                        self.store(way, at, &byte)?;
                    }
                    let address = self.mapping(way).address() + at;
                    self.translate(at, address, request)?;
                    // Some CPUs leave it to the kernel to note the first store to a page: until
                    // then it is read-only in the page table.
                    if request == 0 {
                        self.answer.flags |= TRANSLATION_WRITABLE;
                    }
                }
                let seen = Value::memory_type(self.answer.attribute);
                self.types[usize::from(way == Way::Kernel)] = seen;
                if self.demanded == Value::UNKNOWN {
                    self.demanded = seen;
                }
                self.judge_type(whose, at, WRITABLE, self.demanded)?;
            }
        }
        if way == Way::Second && self.options.foreign && self.options.kernel == Value::UNKNOWN {
            // That they are alike does not make them right.
            let what = "type that --kernel-attr tells";
            let [seen, told] = self.types;
            let _ = self.finding.equal(what, NOWHERE, told, seen);
            return Err(Stop::Skip);
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
            // Without the self-test the store below has to do.
            if self.lacks_selftest() {
                break;
            }
            self.translate(last, mapping.address() + last, request)?;
            let what = "TRANSLATE, flags of a read-only mapping";
            self.finding.equal(what, last, self.answer.flags, flags)?;
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
        self.translate(at, address, request)?;
        let mapped = self.answer.flags & TRANSLATED;
        let what = "page mapped by the CPU's walk";
        self.finding.equal(what, at, mapped, TRANSLATED)?;
        let what = "address told by TRANSLATE (needs CAP_SYS_ADMIN)";
        self.known(what, at, self.answer.physical_address)
    }
}
