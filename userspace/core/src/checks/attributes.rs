// SPDX-License-Identifier: GPL-2.0-only

//! What the CPU itself says of a mapping: FAULTLINE_IOC_TRANSLATE.
//!
//! The driver asks the CPU to translate an address, and passes on what that answers. It answers for
//! any address of the caller: what it says of memory that has nothing to do with it shows whether
//! it passes on anything else.

use faultline_uapi::{
    Translation, TRANSLATED, TRANSLATE_KERNEL, TRANSLATE_WRITE, TRANSLATION_WRITABLE,
};

use super::context::{Context, Witness};
use super::places::Way;
use crate::device::{Call, Device, Mapping, Signal};
use crate::errno::Errno;
use crate::failure::CallError;
use crate::finding::{about, Matter, Stop, Subject, Value};
use crate::memory::{Access, MemoryType, Shareability, WITHOUT_ALLOCATION};
use crate::name;
use crate::system::System;

/// What TRANSLATE's flags say.
fn access(flags: u32) -> Value {
    const WRITABLE: u32 = TRANSLATED | TRANSLATION_WRITABLE;
    match flags {
        0 => Value::Access(Access::Nothing),
        TRANSLATED => Value::Access(Access::ReadOnly),
        WRITABLE => Value::Access(Access::Writable),
        // The interface has no such flags.
        other => Value::Word(other.into()),
    }
}

/// What is asked: about a load, and about a store.
const LOAD: u32 = 0;
const STORE: u32 = TRANSLATE_WRITE;

impl<S: System> Context<'_, S> {
    /// Asks the device or, of a foreign one, the witness: a foreign device does not know the call, or
    /// has another one of the same number.
    ///
    /// # Errors
    ///
    /// There is no witness, or it cannot be opened. The answer to the call itself is the inner result.
    fn ask_cpu(&mut self) -> Result<Result<(), Errno>, Stop> {
        let question = Call::Translate(&mut self.answer);
        match &mut self.witness {
            Witness::NotNeeded => Ok(self.device.call(question)),
            Witness::Device(witness) => Ok(witness.call(question)),
            Witness::None => Err(Stop::Skip(concat!(
                "a foreign device: there is no ",
                name::module!(),
                " device to ask the CPU by"
            ))),
            Witness::Refused(errno) => Err(Stop::Refused(CallError {
                call: concat!(
                    "open() of the ",
                    name::module!(),
                    " device to ask the CPU by"
                ),
                errno: *errno,
            })),
        }
    }

    /// TRANSLATE: the answer is then in `self.answer`. Skips where the CPU has no such instruction,
    /// and where there is nobody to ask it.
    fn translate(&mut self, subject: Subject, address: u64, request: u32) -> Result<(), Stop> {
        self.answer = Translation {
            address,
            request,
            ..Translation::default()
        };
        let answer = self.ask_cpu()?;
        match answer {
            Err(Errno::OPNOTSUPP) => Err(Stop::Skip(
                "the CPU has no instruction that translates addresses",
            )),
            // The witness was built without the self-test.
            Err(Errno::NOTTY) if self.options.foreign => Err(Stop::Skip(concat!(
                "a foreign device: the driver of the ",
                name::module!(),
                " device was built without its self-test"
            ))),
            answer => self.finding.need(subject, answer),
        }
    }

    /// The answer must be this: which accesses the CPU permits and, if it permits any, the memory type.
    fn judge_type(
        &mut self,
        whose: &'static str,
        at: Option<u64>,
        permitted: Access,
        memory_type: MemoryType,
    ) -> Result<(), Stop> {
        let Translation {
            attribute,
            shareability,
            flags,
            ..
        } = self.answer;
        let subject = |what| {
            let subject = about(what).of(whose);
            at.map_or(subject, |at| subject.at(at))
        };
        self.finding.same_in(
            Matter::Entry,
            subject("access to"),
            access(flags),
            Value::Access(permitted),
        )?;
        if permitted == Access::Nothing {
            return Ok(());
        }
        let seen = self.seen_type();
        // It means something of what is cached alone: of the rest the CPU says what the page table
        // does, or that it is outer shareable, as it likes.
        if seen == MemoryType::WriteBack {
            let want = if attribute == WITHOUT_ALLOCATION {
                Shareability::NONE
            } else {
                Shareability::INNER
            };
            self.finding.same_in(
                Matter::Entry,
                subject("shareability of"),
                Value::Shareability(Shareability(shareability)),
                Value::Shareability(want),
            )?;
        }
        // Which of the types for registers it is, is nobody's to demand.
        let want = match (memory_type, seen) {
            (MemoryType::Device(_), MemoryType::Device(_)) => seen,
            (memory_type, _) => memory_type,
        };
        self.finding.same(subject("type of"), seen, want)
    }

    /// The memory type of the answer.
    fn seen_type(&mut self) -> MemoryType {
        let attribute = self.answer.attribute;
        let is_alone = |[one, other]: [u32; 2]| one == other;
        if attribute == WITHOUT_ALLOCATION
            && self.system.lacks_lpae()
            && is_alone(self.system.two_cpus())
        {
            return MemoryType::WriteBack;
        }
        MemoryType::of_attribute(attribute)
    }

    /// TRANSLATE is right of memory of the program's own, and refuses what it does not know.
    pub(super) fn known_memory(&mut self) -> Result<(), Stop> {
        use Access::{Nothing, ReadOnly, Writable};

        let known = self.system.known_memory();
        for (whose, address, load, store) in [
            ("a variable", known.variable, Writable, Writable),
            ("a constant", known.constant, ReadOnly, Nothing),
            ("no memory", known.nothing, Nothing, Nothing),
        ] {
            for (request, access) in [(LOAD, load), (STORE, store)] {
                self.translate(about("TRANSLATE of").of(whose), address, request)?;
                let judged = self.judge_type(whose, None, access, MemoryType::WriteBack);
                // Whatever differs here, TRANSLATE is wrong.
                judged.inspect_err(|_| self.finding.matter = Matter::Property)?;
            }
        }
        self.answer.request = 1 << 31;
        let answer = self.ask_cpu()?;
        let what = "TRANSLATE with an unknown bit";
        self.finding.same(what, answer, Errno::INVAL)
    }

    /// The memory type of a mapping is the one that the device's coherency demands.
    pub(super) fn attributes(&mut self, way: Way) -> Result<(), Stop> {
        for at in [0, self.info.size - self.page] {
            for request in [LOAD, STORE] {
                self.ask_about(way, at, request)?;
                let seen = self.seen_type();
                if way == Way::Kernel {
                    self.types.kernel = Some(seen);
                } else {
                    self.types.user = Some(seen);
                }
                let demanded = *self.demanded.get_or_insert(seen);
                let judged = self.judge_type(way.name(), Some(at), Access::Writable, demanded);
                // The kernel's own mapping has no VMA, whose protection could be wrong.
                if way == Way::Kernel {
                    self.finding.matter = Matter::Property;
                }
                judged?;
            }
        }
        if way == Way::Second && self.is_foreign() && self.options.kernel.is_none() {
            return Err(Stop::Skip(
                "both mappings are alike, which does not make them right: --kernel-attr says what \
                 they must be",
            ));
        }
        Ok(())
    }

    /// Has the CPU translate a page of a mapping, which was accessed before.
    fn ask_about(&mut self, way: Way, at: u64, request: u32) -> Result<(), Stop> {
        let subject = about("TRANSLATE of").of(way.name()).at(at);
        if way == Way::Kernel {
            return self.translate(subject, at, request | TRANSLATE_KERNEL);
        }
        let mut byte = [0];
        self.load(way, at, &mut byte)?;
        if request == STORE {
            self.store(way, at, &byte)?;
        }
        let address = self.mapping(way).address() + at;
        self.translate(subject, address, request)?;
        // Some CPUs leave it to the kernel to note the first store to a page: until then it is
        // read-only in the page table.
        if request == LOAD && self.answer.flags == TRANSLATED {
            self.answer.flags |= TRANSLATION_WRITABLE;
        }
        Ok(())
    }

    /// A mapping to be read is not writable.
    pub(super) fn read_only(&mut self) -> Result<(), Stop> {
        let mapping = self.device.map_read_only(self.info.size);
        let mut mapping = self.finding.need("mmap() to be read only", mapping)?;
        let last = self.info.size - 1;
        let touch = mapping.load(last, &mut [0]);
        self.finding
            .access(about("load by a read-only mapping").at(last), touch)?;
        // Without the self-test the store below has to do.
        if !self.lacks_selftest() {
            for (request, permitted) in [(LOAD, Access::ReadOnly), (STORE, Access::Nothing)] {
                let subject = about("TRANSLATE of a read-only mapping").at(last);
                match self.translate(subject, mapping.address() + last, request) {
                    // The store below has to do.
                    Err(Stop::Skip(_) | Stop::Refused(_)) => break,
                    translated => translated?,
                }
                self.finding.same(
                    about("access to a read-only mapping").at(last),
                    access(self.answer.flags),
                    Value::Access(permitted),
                )?;
            }
        }
        let store = mapping.store(last, &[0]);
        let what = about("store to a read-only mapping").at(last);
        self.finding.same(what, store, Signal::Segv)
    }

    /// The physical address of a byte by the CPU's walk of the page table.
    pub(super) fn walk(&mut self, way: Way, at: u64, address: u64) -> Result<u64, Stop> {
        let request = match way {
            Way::Kernel => LOAD | TRANSLATE_KERNEL,
            _ => LOAD,
        };
        let subject = about("TRANSLATE of").of(way.name()).at(at);
        self.translate(subject, address, request)?;
        let is_mapped = self.answer.flags & TRANSLATED != 0;
        let what = about("page mapped by the CPU's walk").at(at);
        self.finding.same(what, is_mapped, true)?;
        match self.answer.physical_address {
            0 => Err(Stop::Skip(
                "TRANSLATE tells no address (needs CAP_SYS_ADMIN)",
            )),
            address => Ok(address),
        }
    }
}
