// SPDX-License-Identifier: GPL-2.0-only

//! What is checked of each device.
//!
//! Each check looks at one property, most of them by two new mappings of the whole buffer, so that
//! a driver that is wrong in one way fails in few places, and those say which way it is. What they
//! have in common is that a [`Pattern`] of their own goes into the buffer by one way and is looked
//! for by another:
//!
//! | check            | written by          | looked at by                | so it finds           |
//! |------------------|---------------------|-----------------------------|-----------------------|
//! | `zeroed`         | nobody              | `read()`, a mapping         | stale memory          |
//! | `two_mappings`   | nobody              | two mappings' addresses     | no second mapping     |
//! | `alias_write`    | either mapping      | the other one               | copies, shared frames |
//! | `pagemap_same`   | nobody              | pagemap of both mappings    | different frames      |
//! | `pagemap_kernel` | nobody              | pagemap, the driver's ioctl | wrong frames          |
//! | `store_read`     | a mapping           | `read()`                    | wrong pages, lengths  |
//! | `write_load`     | `write()`           | both mappings               | wrong pages, lengths  |
//! | `last_byte`      | mapping, `write()`  | mapping, `read()`           | ends one too early    |
//! | `past_end`       | nobody              | the kernel's refusals       | ends one too late     |
//! | `munmap`         | a mapping           | probes of where it was      | mappings that stay    |
//! | `kernel_log`     | the kernel          | `/dev/kmsg`                 | complaints            |
//!
//! A driver that maps the wrong pages, but always the same wrong ones, agrees with itself:
//! `alias_write` and `pagemap_same` pass, and `pagemap_kernel`, `store_read` and `write_load`
//! fail. Mapping and `read()` are compared in those two alone; `last_byte` compares each with its
//! own kind.
//!
//! None of this can tell whether the memory is *coherent* with a bus master: on a machine whose
//! caches are not modelled, nor on one that was lucky.

use faultline_uapi::{Info, FLAG_PRISTINE, VERSION};

use crate::device::{Device, Fault, Mapping, Signal, System, Unmapped};
use crate::errno::Errno;
use crate::kmsg::Record;
use crate::pattern::{Pattern, WORD};
use crate::text::{Note, Out, Printable, Show};

const ALIAS_THERE: Pattern = Pattern::new(1);
const ALIAS_BACK: Pattern = Pattern::new(2);
const STORE_READ: Pattern = Pattern::new(3);
const WRITE_LOAD: Pattern = Pattern::new(4);
const MUNMAP: Pattern = Pattern::new(5);

/// How much is read, written, loaded or stored at a time. A page is a multiple of it.
const CHUNK: usize = 4096;
const CHUNK_WORDS: usize = CHUNK / WORD as usize;

/// How much is read or written to start and to end anywhere: no word's size, nor its multiple.
const PIECE: usize = 7;

/// The most that a record of the kernel's log takes (`PRINTK_MESSAGE_MAX`).
const LOG_RECORD: usize = 2048;

/// Records are read until there are none, but a kernel that never stops complaining must not
/// keep the verdict from being given.
const LOG_RECORDS: u32 = 100_000;

/// A check. What it saw is in the context when it returns.
pub enum Check<S: System> {
    /// Of two mappings of the whole buffer.
    Mapped(fn(&mut Context<'_, S>, &mut Pair<S>) -> Result<(), Stop>),
    /// Of something else.
    Plain(fn(&mut Context<'_, S>) -> Result<(), Stop>),
}

/// Two mappings of the whole buffer, in which nothing has been touched.
pub struct Pair<S: System> {
    first: S::Mapping,
    second: S::Mapping,
}

/// Why a check ended early; the context says what was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)] // As wide as what is given otherwise, so that both go by in registers.
pub enum Stop {
    /// The property does not hold.
    Fail,
    /// The property cannot be looked at.
    Skip,
}

/// What the checks of one device share.
pub struct Context<'s, S: System> {
    system: &'s mut S,
    device: S::Device,
    info: Info,
    page: u64,
    finding: Finding,
    complaint: Note<160>,
}

/// The last thing that a check looked at: what was seen, and what should have been.
///
/// Every line of the report about a check is one of these. They are put together in one place, so
/// that they read alike, and so that each of the many ways to fail costs few instructions.
struct Finding {
    what: &'static str,
    offset: Option<u64>,
    seen: Value,
    want: Value,
    /// In how many pages it was not as it should be, if it was looked at in every page.
    wrong_pages: Option<u64>,
}

/// Something seen or wanted.
#[derive(Clone, Copy)]
enum Value {
    /// A number of bytes or things.
    Count(u64),
    /// A word, a byte, an address.
    Hex(u64),
    /// A word, and the offset where it belongs.
    Stray(u64, u64),
    /// Two addresses.
    Two(u64, u64),
    Errno(Errno),
    Fault(Fault),
    Text(&'static str),
}

impl Show for Value {
    fn show(&self, out: &mut dyn Out) {
        match *self {
            Value::Count(number) => out.number(number),
            Value::Hex(number) => out.hex(number),
            Value::Stray(word, home) => out.hex(word).text(" (that of offset ").hex(home).text(")"),
            Value::Two(one, other) => out.hex(one).text(" and ").hex(other),
            Value::Errno(errno) => out.show(&errno),
            Value::Fault(fault) => out.show(&fault),
            Value::Text(text) => out.text(text),
        };
    }
}

impl<S: System> Show for Context<'_, S> {
    /// Shows what the last check saw, in one line.
    fn show(&self, out: &mut dyn Out) {
        let Finding {
            what,
            offset,
            seen,
            want,
            wrong_pages,
        } = &self.finding;
        out.text(what);
        if let Some(offset) = offset {
            out.text(" at offset ").hex(*offset);
        }
        out.text(": ").show(seen).text(", want ").show(want);
        if let Some(wrong) = *wrong_pages {
            out.text("; pages wrong: ")
                .number(wrong)
                .text(" of ")
                .number(self.pages());
        }
        if !self.complaint.is_empty() {
            out.text("; the first: ").show(&self.complaint);
        }
    }
}

// The small functions here are called from everywhere: inlined, they would double the program.
impl<'s, S: System> Context<'s, S> {
    /// Takes an open device and asks it for its size.
    ///
    /// # Errors
    ///
    /// A device that does not answer as the interface says is not one to check.
    pub fn new(system: &'s mut S, mut device: S::Device) -> Result<Self, NotOurs> {
        let page = system.page_size();
        let info = device.info().map_err(NotOurs::Errno)?;
        if info.version < VERSION || info.reserved != 0 || info.size == 0 || info.size % page != 0 {
            return Err(NotOurs::Info(info));
        }
        let (seen, want) = (Value::Count(0), Value::Count(0));
        let finding = Finding {
            what: "",
            offset: None,
            seen,
            want,
            wrong_pages: None,
        };
        Ok(Self {
            system,
            device,
            info,
            page,
            finding,
            complaint: Note::new(),
        })
    }

    /// The checks by name, in the order in which they are made.
    pub const CHECKS: [(&'static str, Check<S>); 11] = [
        // First, while nothing has been written.
        ("zeroed", Check::Mapped(zeroed)),
        ("two_mappings", Check::Mapped(two_mappings)),
        ("alias_write", Check::Mapped(alias_write)),
        ("pagemap_same", Check::Mapped(pagemap_same)),
        ("pagemap_kernel", Check::Mapped(pagemap_kernel)),
        ("store_read", Check::Mapped(store_read)),
        ("write_load", Check::Mapped(write_load)),
        ("last_byte", Check::Mapped(last_byte)),
        ("past_end", Check::Plain(past_end)),
        ("munmap", Check::Mapped(munmap)),
        // Last, so that it has the effects of all others before it.
        ("kernel_log", Check::Plain(kernel_log)),
    ];

    /// What the device said of itself before the first check.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// Makes a check.
    pub fn run(&mut self, check: &Check<S>) -> Result<(), Stop> {
        match check {
            Check::Mapped(check) => {
                let (first, second) = (self.map()?, self.map()?);
                check(self, &mut Pair { first, second })
            }
            Check::Plain(check) => check(self),
        }
    }

    /// Takes note of what was seen.
    #[inline(never)]
    fn saw(&mut self, what: &'static str, seen: Value, want: Value) -> Stop {
        self.finding = Finding {
            what,
            offset: None,
            seen,
            want,
            wrong_pages: None,
        };
        Stop::Fail
    }

    /// What was seen at an offset must be what is wanted there.
    #[inline(never)]
    fn equal(&mut self, what: &'static str, at: u64, seen: u64, want: u64) -> Result<(), Stop> {
        let stop = self.saw(what, Value::Hex(seen), Value::Hex(want));
        self.finding.offset = Some(at);
        if seen == want {
            Ok(())
        } else {
            Err(stop)
        }
    }

    /// A call at an offset must give a length, or an error, and no other.
    #[inline(never)]
    fn answer(
        &mut self,
        what: &'static str,
        at: u64,
        seen: Result<u64, Errno>,
        want: Result<u64, Errno>,
    ) -> Result<(), Stop> {
        let value = |answer| match answer {
            Ok(length) => Value::Count(length),
            Err(errno) => Value::Errno(errno),
        };
        let stop = self.saw(what, value(seen), value(want));
        self.finding.offset = Some(at);
        if seen == want {
            Ok(())
        } else {
            Err(stop)
        }
    }

    /// A call failed that must not.
    #[inline(never)]
    fn refused(&mut self, what: &'static str, errno: Errno) -> Stop {
        self.saw(what, Value::Errno(errno), Value::Text("no error"))
    }

    /// A load must be answered by a signal.
    #[inline(never)]
    fn signal(
        &mut self,
        what: &'static str,
        at: u64,
        touch: Result<u8, Fault>,
        want: Signal,
    ) -> Result<(), Stop> {
        let (seen, signal) = match touch {
            Ok(byte) => (Value::Hex(u64::from(byte)), None),
            Err(fault) => (Value::Fault(fault), Some(fault.signal)),
        };
        let name = if want == Signal::Bus {
            "SIGBUS"
        } else {
            "SIGSEGV"
        };
        let stop = self.saw(what, seen, Value::Text(name));
        self.finding.offset = Some(at);
        if signal == Some(want) {
            Ok(())
        } else {
            Err(stop)
        }
    }

    /// An access to a mapping was answered by a signal that must not be.
    #[inline(never)]
    fn faulted(&mut self, mapping: &S::Mapping, fault: Fault) -> Stop {
        let stop = self.saw(
            "access to a mapping",
            Value::Fault(fault),
            Value::Text("no signal"),
        );
        self.finding.offset = Some(fault.address.wrapping_sub(mapping.address()));
        stop
    }

    /// The number of pages.
    fn pages(&self) -> u64 {
        self.info.size / self.page
    }

    /// Where a page ends and, if there is one, the next begins; else the middle of the page.
    fn border(&self) -> u64 {
        self.page.min(self.info.size / 2)
    }

    /// Maps the whole buffer.
    #[inline(never)]
    fn map(&mut self) -> Result<S::Mapping, Stop> {
        let mapping = self.device.map(0, self.info.size);
        mapping.map_err(|errno| self.refused("mmap of the buffer", errno))
    }

    #[inline(never)]
    fn load(&mut self, mapping: &S::Mapping, offset: u64, words: &mut [u64]) -> Result<(), Stop> {
        mapping
            .load(offset, words)
            .map_err(|fault| self.faulted(mapping, fault))
    }

    #[inline(never)]
    fn load_word(&mut self, mapping: &S::Mapping, offset: u64) -> Result<u64, Stop> {
        let mut word = [0];
        self.load(mapping, offset, &mut word)?;
        Ok(word[0])
    }

    #[inline(never)]
    fn store(&mut self, mapping: &mut S::Mapping, offset: u64, words: &[u64]) -> Result<(), Stop> {
        mapping
            .store(offset, words)
            .map_err(|fault| self.faulted(mapping, fault))
    }

    /// Loads one byte, which must be what is wanted.
    #[inline(never)]
    fn byte(&mut self, mapping: &S::Mapping, at: u64, want: u8) -> Result<(), Stop> {
        let seen = mapping
            .load_byte(at)
            .map_err(|fault| self.faulted(mapping, fault))?;
        self.equal(
            "byte by the second mapping",
            at,
            u64::from(seen),
            u64::from(want),
        )
    }

    /// Reads bytes, of which there must be as many as are wanted.
    #[inline(never)]
    fn read(&mut self, at: u64, bytes: &mut [u8], want: usize) -> Result<(), Stop> {
        let length = self.device.read_at(at, bytes);
        self.answer("length of a read()", at, length, Ok(want as u64))
    }

    /// Reads one byte, which must be what is wanted.
    #[inline(never)]
    fn read_byte(&mut self, at: u64, want: u8) -> Result<(), Stop> {
        // A byte more than there may be at the end of the buffer.
        let mut bytes = [0; 2];
        self.read(at, &mut bytes, 1)?;
        self.equal("byte by read()", at, u64::from(bytes[0]), u64::from(want))
    }

    /// Writes bytes, of which as many must be taken as are wanted.
    #[inline(never)]
    fn write(&mut self, at: u64, bytes: &[u8], want: usize) -> Result<(), Stop> {
        let length = self.device.write_at(at, bytes);
        self.answer("length of a write()", at, length, Ok(want as u64))
    }

    /// Stores a pattern in every word.
    fn fill(&mut self, mapping: &mut S::Mapping, pattern: Pattern) -> Result<(), Stop> {
        let mut words = [0; CHUNK_WORDS];
        let mut at = 0;
        while at < self.info.size {
            let chunk = at;
            for word in &mut words {
                *word = pattern.word(at);
                at += WORD;
            }
            self.store(mapping, chunk, &words)?;
        }
        Ok(())
    }

    /// Looks for a pattern in every word of a mapping.
    fn look(
        &mut self,
        what: &'static str,
        mapping: &S::Mapping,
        pattern: Pattern,
    ) -> Result<(), Stop> {
        let mut words = [0; CHUNK_WORDS];
        let mut differences = Differences::new(pattern, self.page);
        let mut at = 0;
        while at < self.info.size {
            self.load(mapping, at, &mut words)?;
            for word in &words {
                differences.see(at, *word);
                at += WORD;
            }
        }
        differences.judge(self, what)
    }

    /// Looks for a pattern in every word by `read()`, each of which must give all that was asked
    /// for.
    fn read_all(&mut self, pattern: Pattern) -> Result<(), Stop> {
        let mut bytes = [0; CHUNK];
        let mut differences = Differences::new(pattern, self.page);
        let mut at = 0;
        while at < self.info.size {
            self.read(at, &mut bytes, CHUNK)?;
            for bytes in bytes.chunks_exact(WORD as usize) {
                let mut word = [0; WORD as usize];
                word.copy_from_slice(bytes);
                differences.see(at, u64::from_ne_bytes(word));
                at += WORD;
            }
        }
        differences.judge(self, "word by read()")
    }

    /// The physical address of a page of a mapping, which is touched first, by pagemap.
    #[inline(never)]
    fn physical_address(&mut self, mapping: &S::Mapping, offset: u64) -> Result<u64, Stop> {
        const PAGEMAP: &str = "frame number by /proc/self/pagemap";
        // Documentation/admin-guide/mm/pagemap.rst.
        const PRESENT: u64 = 1 << 63;
        const FRAME_NUMBER: u64 = (1 << 55) - 1;

        self.load_word(mapping, offset)?;
        let entry = match self.system.pagemap(mapping.address() + offset) {
            Ok(entry) => entry,
            Err(errno) => {
                self.refused(PAGEMAP, errno);
                return Err(Stop::Skip);
            }
        };
        if entry & PRESENT == 0 {
            // As for an area with VM_PFNMAP, which pagemap passes over.
            return Err(self.saw(
                PAGEMAP,
                Value::Hex(entry),
                Value::Text("a page that is present"),
            ));
        }
        match entry & FRAME_NUMBER {
            0 => {
                let want = Value::Text("another, which takes CAP_SYS_ADMIN");
                self.saw(PAGEMAP, Value::Count(0), want);
                Err(Stop::Skip)
            }
            number => Ok(number * self.page),
        }
    }
}

/// Why a device is not checked.
#[derive(Debug)]
pub enum NotOurs {
    /// INFO was refused.
    Errno(Errno),
    /// INFO was answered by something that cannot be.
    Info(Info),
}

impl Show for NotOurs {
    fn show(&self, out: &mut dyn Out) {
        out.text("INFO: ");
        match self {
            NotOurs::Errno(errno) => out.show(errno).text(", want a faultline device"),
            NotOurs::Info(info) => out
                .text("version ")
                .number(u64::from(info.version))
                .text(", size ")
                .number(info.size)
                .text(", reserved ")
                .hex(info.reserved)
                .text("; want version ")
                .number(u64::from(VERSION))
                .text(" or later, whole pages, reserved 0x0"),
        };
    }
}

/// The words that are not what they should be: the first of them, and in how many pages they are.
struct Differences {
    pattern: Pattern,
    page: u64,
    /// The first that differs; as long as none does, the last one seen.
    at: u64,
    word: u64,
    wrong_pages: u64,
    /// The end of the page that was last found wrong.
    wrong_until: u64,
}

impl Differences {
    fn new(pattern: Pattern, page: u64) -> Self {
        Self {
            pattern,
            page,
            at: 0,
            word: 0,
            wrong_pages: 0,
            wrong_until: 0,
        }
    }

    /// Looks at a word; offsets ascend.
    fn see(&mut self, at: u64, word: u64) {
        if self.wrong_pages == 0 {
            self.at = at;
            self.word = word;
        }
        if word != self.pattern.word(at) && at >= self.wrong_until {
            self.wrong_pages += 1;
            self.wrong_until = at - at % self.page + self.page;
        }
    }

    #[inline(never)]
    fn judge<S: System>(self, cx: &mut Context<'_, S>, what: &'static str) -> Result<(), Stop> {
        let result = cx.equal(what, self.at, self.word, self.pattern.word(self.at));
        if result.is_err() {
            if let Some(home) = self.pattern.offset_of(self.word, cx.info.size) {
                cx.finding.seen = Value::Stray(self.word, home);
            }
        }
        cx.finding.wrong_pages = Some(self.wrong_pages);
        result
    }
}

const BY_FIRST: &str = "word by the first mapping";
const BY_SECOND: &str = "word by the second mapping";

/// A buffer that nobody has touched since the driver was bound reads as zeroes, by `read()` and by
/// a mapping; and now that it has been mapped the driver no longer says that nobody touched it.
fn zeroed<S: System>(cx: &mut Context<'_, S>, pair: &mut Pair<S>) -> Result<(), Stop> {
    if cx.info.flags & FLAG_PRISTINE == 0 {
        let seen = Value::Text("the buffer was mapped or written to before");
        cx.saw("INFO", seen, Value::Text("PRISTINE"));
        return Err(Stop::Skip);
    }
    match cx.device.info() {
        Ok(info) if info.flags & FLAG_PRISTINE == 0 => {}
        Ok(_) => {
            let want = Value::Text("no longer");
            return Err(cx.saw("INFO after mmap", Value::Text("PRISTINE"), want));
        }
        Err(errno) => return Err(cx.refused("INFO", errno)),
    }
    cx.read_all(Pattern::ZERO)?;
    cx.look(BY_FIRST, &pair.first, Pattern::ZERO)
}

/// Both mappings are there, and do not overlap.
fn two_mappings<S: System>(cx: &mut Context<'_, S>, pair: &mut Pair<S>) -> Result<(), Stop> {
    let (a, b) = (pair.first.address(), pair.second.address());
    cx.load_word(&pair.first, 0)?;
    cx.load_word(&pair.second, 0)?;
    let stop = cx.saw(
        "addresses of two mappings",
        Value::Two(a, b),
        Value::Text("them apart"),
    );
    if a.abs_diff(b) >= cx.info.size {
        Ok(())
    } else {
        Err(stop)
    }
}

/// What is stored through one mapping is loaded through the other, in every page and in both
/// directions. All pages are written before the first is looked at: pages that share a frame
/// then hold the last one's data.
fn alias_write<S: System>(cx: &mut Context<'_, S>, pair: &mut Pair<S>) -> Result<(), Stop> {
    cross(cx, &mut pair.first, &pair.second, BY_SECOND, ALIAS_THERE)?;
    cross(cx, &mut pair.second, &pair.first, BY_FIRST, ALIAS_BACK)
}

/// Stores the first and the last word of every page through one mapping, then loads them through
/// another. A page is mapped as a whole: these two tell.
#[inline(never)]
fn cross<S: System>(
    cx: &mut Context<'_, S>,
    to: &mut S::Mapping,
    from: &S::Mapping,
    what: &'static str,
    pattern: Pattern,
) -> Result<(), Stop> {
    // From the first word of a page to its last, from there to the first of the next.
    let ends = |page: u64, at: u64| {
        if at % page == 0 {
            at + page - WORD
        } else {
            at + WORD
        }
    };
    let (size, page) = (cx.info.size, cx.page);
    let mut at = 0;
    while at < size {
        cx.store(to, at, &[pattern.word(at)])?;
        at = ends(page, at);
    }
    let mut differences = Differences::new(pattern, page);
    at = 0;
    while at < size {
        differences.see(at, cx.load_word(from, at)?);
        at = ends(page, at);
    }
    differences.judge(cx, what)
}

/// Both mappings show the same frame in every page, by `/proc/self/pagemap`.
fn pagemap_same<S: System>(cx: &mut Context<'_, S>, pair: &mut Pair<S>) -> Result<(), Stop> {
    for page in 0..cx.pages() {
        let at = page * cx.page;
        let want = cx.physical_address(&pair.first, at)?;
        let seen = cx.physical_address(&pair.second, at)?;
        cx.equal("physical address of the second mapping", at, seen, want)?;
    }
    cx.finding.wrong_pages = Some(0);
    Ok(())
}

/// The frames of a mapping are the buffer's, as the driver knows it from the kernel's own mapping.
fn pagemap_kernel<S: System>(cx: &mut Context<'_, S>, pair: &mut Pair<S>) -> Result<(), Stop> {
    for page in 0..cx.pages() {
        let at = page * cx.page;
        let seen = cx.physical_address(&pair.first, at)?;
        let want = match cx.device.physical_address(at) {
            Ok(address) => address,
            Err(errno) => {
                let stop = cx.refused("FRAME", errno);
                return Err(if errno == Errno::PERM {
                    Stop::Skip
                } else {
                    stop
                });
            }
        };
        cx.equal("physical address by pagemap", at, seen, want)?;
    }
    cx.finding.wrong_pages = Some(0);
    Ok(())
}

/// What is stored through a mapping, `read()` returns: all of it, and pieces that start and end
/// anywhere.
fn store_read<S: System>(cx: &mut Context<'_, S>, pair: &mut Pair<S>) -> Result<(), Stop> {
    cx.fill(&mut pair.first, STORE_READ)?;
    cx.read_all(STORE_READ)?;
    let mut bytes = [0; PIECE];
    for start in [
        0,
        cx.border() - PIECE as u64 / 2,
        cx.info.size - PIECE as u64,
    ] {
        cx.read(start, &mut bytes, PIECE)?;
        for (at, byte) in (start..).zip(&bytes) {
            cx.equal(
                "byte by read()",
                at,
                u64::from(*byte),
                u64::from(STORE_READ.byte(at)),
            )?;
        }
    }
    Ok(())
}

/// What `write()` takes, both mappings show: all of it, and a piece that lies across the border of
/// two pages, without its neighbours.
fn write_load<S: System>(cx: &mut Context<'_, S>, pair: &mut Pair<S>) -> Result<(), Stop> {
    let mut bytes = [0; CHUNK];
    let mut at = 0;
    while at < cx.info.size {
        let chunk = at;
        for byte in &mut bytes {
            *byte = WRITE_LOAD.byte(at);
            at += 1;
        }
        cx.write(chunk, &bytes, CHUNK)?;
    }
    cx.look(BY_FIRST, &pair.first, WRITE_LOAD)?;
    cx.look(BY_SECOND, &pair.second, WRITE_LOAD)?;

    // The piece is the complement of what stands there, so that each of its bytes is new.
    let start = cx.border() - PIECE as u64 / 2;
    let end = start + PIECE as u64;
    let complement = |at| if start <= at && at < end { 0xff } else { 0 };
    for (at, byte) in (start..end).zip(&mut bytes) {
        *byte = WRITE_LOAD.byte(at) ^ complement(at);
    }
    cx.write(start, &bytes[..PIECE], PIECE)?;
    for at in start - 1..end + 1 {
        cx.byte(&pair.second, at, WRITE_LOAD.byte(at) ^ complement(at))?;
    }
    Ok(())
}

/// The last byte is the buffer's: stored, it is loaded through another mapping; written, it is
/// read; and what would go beyond it is cut off there.
fn last_byte<S: System>(cx: &mut Context<'_, S>, pair: &mut Pair<S>) -> Result<(), Stop> {
    const STORED: u8 = 0x5a;
    const WRITTEN: u8 = 0xa5;

    let last = cx.info.size - 1;
    let touch = pair.first.store_byte(last, STORED);
    touch.map_err(|fault| cx.faulted(&pair.first, fault))?;
    cx.byte(&pair.second, last, STORED)?;
    for bytes in [[STORED].as_slice(), &[WRITTEN, STORED]] {
        cx.write(last, bytes, 1)?;
        cx.read_byte(last, bytes[0])?;
    }
    Ok(())
}

/// Nothing can be reached past the end: `mmap` refuses with `EINVAL` whatever reaches there, or
/// a touch there is answered by SIGBUS; `read()` returns 0, `write()` `ENOSPC`, FRAME `EINVAL`.
///
/// That a SIGBUS would be caught is shown first, on a mapping that is sure to give one.
fn past_end<S: System>(cx: &mut Context<'_, S>) -> Result<(), Stop> {
    let sure = match cx.system.map_beyond_a_file() {
        Ok(mapping) => mapping,
        Err(errno) => return Err(cx.refused("mmap beyond the end of a file", errno)),
    };
    cx.signal(
        "load beyond the end of a file",
        0,
        sure.load_byte(0),
        Signal::Bus,
    )?;

    let (size, page) = (cx.info.size, cx.page);
    match cx.device.physical_address(size) {
        // Without CAP_SYS_ADMIN the driver says nothing about any offset.
        Err(Errno::PERM) => {}
        result => cx.answer("FRAME", size, result, Err(Errno::INVAL))?,
    }
    cx.read(size, &mut [0], 0)?;
    let length = cx.device.write_at(size, &[0]);
    cx.answer("length of a write()", size, length, Err(Errno::NOSPC))?;

    // The first is far beyond.
    for (offset, length) in [
        (size << 8, page),
        (size, page),
        (size - page, 2 * page),
        (0, size + page),
    ] {
        match cx.device.map(offset, length) {
            Ok(mapping) => {
                let touch = mapping.load_byte(size.saturating_sub(offset));
                cx.signal(
                    "load past the end by mmap, not refused,",
                    offset,
                    touch,
                    Signal::Bus,
                )?;
            }
            Err(errno) => {
                cx.answer("mmap past the end", offset, Err(errno), Err(Errno::INVAL))?;
            }
        }
    }
    Ok(())
}

/// After `munmap` the addresses are gone, and all else stays: another mapping, the data, and the
/// device's readiness to be mapped anew.
fn munmap<S: System>(cx: &mut Context<'_, S>, pair: &mut Pair<S>) -> Result<(), Stop> {
    let ends = [0, cx.info.size - WORD];
    let mut mapping = cx.map()?;
    for at in ends {
        cx.store(&mut mapping, at, &[MUNMAP.word(at)])?;
    }
    let gone = match mapping.unmap() {
        Ok(gone) => gone,
        Err(errno) => return Err(cx.refused("munmap", errno)),
    };
    // While nothing has been mapped in its place.
    for at in ends {
        cx.signal("load after munmap", at, gone.load_byte(at), Signal::Segv)?;
    }
    let new = cx.map()?;
    for at in ends {
        for mapping in [&pair.first, &new] {
            let word = cx.load_word(mapping, at)?;
            cx.equal(
                "word after munmap of another mapping",
                at,
                word,
                MUNMAP.word(at),
            )?;
        }
    }
    Ok(())
}

/// The kernel has logged no warning, nor worse, since the program started or, of a later device,
/// since this check of the one before.
///
/// Before it looks the buffer is zeroed, so that nobody takes a test's data for their own.
fn kernel_log<S: System>(cx: &mut Context<'_, S>) -> Result<(), Stop> {
    const LOG: &str = "warnings or worse in /dev/kmsg";

    if let Ok(mut mapping) = cx.map() {
        // That storing works has been judged by now, whatever came out.
        let _ = cx.fill(&mut mapping, Pattern::ZERO);
    }
    let mut buffer = [0; LOG_RECORD];
    let mut complaints = 0;
    let mut lost = false;
    for _ in 0..LOG_RECORDS {
        match cx.system.log_record(&mut buffer) {
            Ok(None) => break,
            Ok(Some(record)) => {
                if let Some(record) = Record::parse(record).filter(Record::is_complaint) {
                    if complaints == 0 {
                        let out: &mut dyn Out = &mut cx.complaint;
                        out.show(&Printable(record.text));
                    }
                    complaints += 1;
                }
            }
            Err(Errno::PIPE) => lost = true,
            Err(errno) => {
                cx.refused(LOG, errno);
                return Err(Stop::Skip);
            }
        }
    }
    if complaints > 0 {
        return Err(cx.saw(LOG, Value::Count(complaints), Value::Count(0)));
    }
    if lost {
        cx.saw(
            LOG,
            Value::Text("records were lost before they were read"),
            Value::Count(0),
        );
        return Err(Stop::Skip);
    }
    cx.saw(LOG, Value::Count(0), Value::Count(0));
    Ok(())
}

#[cfg(test)]
mod tests;
