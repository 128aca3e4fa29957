// SPDX-License-Identifier: GPL-2.0-only

//! What is checked of each device.
//!
//! Each check looks at one property, most of them by two new mappings of the whole buffer, so that
//! a driver that is wrong in one way fails in few places, and those say which way it is. A check is
//! a list of steps, most of which put a [`Pattern`] of the check's own into the buffer by one
//! way or look for it by another:
//!
//! | check              | written by         | looked at by                | so it finds           |
//! |--------------------|--------------------|-----------------------------|-----------------------|
//! | `zeroed`           | nobody             | `read()`, a mapping         | stale memory          |
//! | `two_mappings`     | nobody             | two mappings' addresses     | no second mapping     |
//! | `alias_write`      | either mapping     | the other one               | copies, shared frames |
//! | `pagemap_same`     | nobody             | pagemap of both mappings    | different frames      |
//! | `pagemap_kernel`   | nobody             | pagemap, the driver's ioctl | wrong frames          |
//! | `store_read`       | a mapping          | `read()`                    | wrong pages, lengths  |
//! | `write_load`       | `write()`          | both mappings               | wrong pages, lengths  |
//! | `last_byte`        | mapping, `write()` | mapping, `read()`           | ends one too early    |
//! | `past_end`         | nobody             | the kernel's refusals       | ends one too late     |
//! | `translate_known`  | the program        | TRANSLATE                   | a driver that lies    |
//! | `attribute_user`   | nobody             | TRANSLATE of two mappings   | wrong memory types    |
//! | `attribute_kernel` | nobody             | TRANSLATE of the kernel's   | mismatched aliases    |
//! | `read_only`        | nobody             | TRANSLATE, a store          | writable mappings     |
//! | `walk_frames`      | nobody             | TRANSLATE, pagemap, FRAME   | wrong accounts        |
//! | `master_fill`      | a bus master       | both mappings               | memory not coherent   |
//! | `master_copy`      | a mapping, a master | both mappings               | memory not coherent   |
//! | `master_refuses`   | nobody             | FILL, COPY                  | wild writes           |
//! | `master_polled`    | a bus master       | a task on another CPU       | torn or late data     |
//! | `litmus_kernel`    | a task, the kernel | the kernel, a task          | lost ordering         |
//! | `litmus_user`      | two tasks          | two tasks                   | lost ordering         |
//! | `bits`             | mappings, `write()` | mappings, `read()`         | stuck, coupled bits   |
//! | `munmap`           | a mapping          | probes of where it was      | mappings that stay    |
//! | `revoked`          | a mapping          | probes of where it was      | mappings that outlive |
//! | `kernel_log`       | the kernel         | `/dev/kmsg`                 | complaints            |
//!
//! A driver that maps the wrong pages, but always the same wrong ones, agrees with itself:
//! `alias_write` and `pagemap_same` pass, and `pagemap_kernel`, `store_read` and `write_load`
//! fail. Mapping and `read()` are compared in those two alone; `last_byte` compares each with its
//! own kind.
//!
//! What contents cannot tell, on a machine whose caches are not modelled nor on one that was lucky,
//! is whether the memory is *coherent* with a bus master. That hangs on the memory type of each
//! mapping, which is looked at where it takes effect: in the CPU's own translation ([`attributes`]).

use core::ffi::CStr;

use faultline_uapi::{
    Info, Master, Translation, FLAG_COHERENT, FLAG_PRISTINE, MASTER_COPY, MASTER_FILL,
};

use crate::args::verify::Options;
use crate::device::{Call, Device, Fault, Mapping, Signal, Unmapped};
use crate::errno::Errno;
use crate::kmsg::complaint;
use crate::old_finding::{Finding, Stop, Value, NOWHERE};
use crate::pattern::{Pattern, WORD};
use crate::system::System;
use crate::text::{cut, nth_line, Line, Out};

use Account::{Driver, Pagemap, Walk};
use Place::{AcrossEnd, After, All, Before, Border, End, Ends, Last, PageEnds, PastEnd, Start};
use Step::{
    Able, Apart, Attributes, Bits, Copied, Filled, Frames, Get, KnownMemory, Map, Maps, Messages,
    NoComplaint, NoFramePastEnd, NoMapPastEnd, Polled, Pristine, Put, ReadOnly, Refused, Revoked,
    Sigbus, Touched, Unmap,
};
use Way::{File, First, Kernel, Second, Third};

mod attributes;
mod bits;
mod master;
mod together;

use master::{Data, Patch, PATCHES};

/// How much is read, written, loaded or stored at a time. A page is a multiple of it.
const CHUNK: usize = 4096;

/// How much is read or written to start and to end anywhere: no word's size, nor its multiple.
const PIECE: u64 = 7;

/// The most that a record of the kernel's log takes (`PRINTK_MESSAGE_MAX`).
const LOG_RECORD: usize = 2048;

/// Records are read until there are none, but a kernel that never stops complaining must not
/// keep the verdict from being given.
const LOG_RECORDS: u32 = 100_000;

const ZERO: Pattern = Pattern::ZERO;
const ALIAS_THERE: Pattern = Pattern::new(1);
const ALIAS_BACK: Pattern = Pattern::new(2);
const STORE_READ: Pattern = Pattern::new(3);
const WRITE_LOAD: Pattern = Pattern::new(4);
const WRITE_PIECE: Pattern = Pattern::new(5);
const LAST_STORED: Pattern = Pattern::new(6);
const LAST_WRITTEN: Pattern = Pattern::new(7);
const MUNMAP: Pattern = Pattern::new(8);
const FILLED: Pattern = Pattern::new(9);
const COPIED: Pattern = Pattern::new(10);
const REFUSED: Pattern = Pattern::new(11);
const REVOKED: Pattern = Pattern::new(12);

/// A check, by its number.
#[derive(Clone, Copy)]
pub struct Check(usize);

impl Check {
    /// Its name, a colon, and what its failure means on a board and where to look.
    pub fn text(self) -> &'static [u8] {
        nth_line(TEXTS, self.0)
    }

    /// Its name.
    pub fn name(self) -> &'static [u8] {
        cut(self.text(), b':').map_or(&[], |(name, _)| name)
    }

    /// Its number, from 0 on.
    pub fn number(self) -> usize {
        self.0
    }
}

/// How many there are.
pub const CHECKS: usize = STEPS.len();

/// All of them, in the order in which they are made.
pub fn checks() -> impl Iterator<Item = Check> {
    (0..CHECKS).map(Check)
}

/// Defines the checks, by a text and steps that are done up to the first that fails. The texts are
/// in one: a table of them would be as long as half of them.
macro_rules! checks {
    ($($text:literal: [$($step:expr,)*],)*) => {
        const TEXTS: &[u8] = concat!($($text, "\n"),*).as_bytes();
        const STEPS: &[&[Step]] = &[$(&[$($step,)*],)*];
    };
}

#[rustfmt::skip] // A step a line.
checks! {
    // A buffer that nobody has touched since the driver was bound reads as zeroes; and now that it
    // is mapped the driver no longer says that nobody touched it. First, while nothing has been
    // written.
    "zeroed: old data leaks: zero the memory first": [
        Pristine,
        Maps,
        Touched,
        Get(File, All, ZERO),
        Get(First, All, ZERO),
    ],
    // Both mappings are there, and do not overlap.
    "two_mappings: no area of its own: mmap()": [
        Maps,
        Apart,
    ],
    // What is stored through one mapping is loaded through the other, in every page and in both
    // directions. A page is mapped as a whole: its ends tell. All pages are written before the
    // first is looked at: pages that share a frame then hold the last one's data.
    "alias_write: copies, or one frame twice: mmap(), MAP_PRIVATE": [
        Maps,
        Put(First, PageEnds, ALIAS_THERE),
        Get(Second, PageEnds, ALIAS_THERE),
        Put(Second, PageEnds, ALIAS_BACK),
        Get(First, PageEnds, ALIAS_BACK),
    ],
    // Both mappings show the same frame in every page, by `/proc/self/pagemap`.
    "pagemap_same: frames differ: the fault handler": [
        Maps,
        Frames(Pagemap(Second), Pagemap(First)),
    ],
    // The frames of a mapping are the buffer's, as the driver knows it from the kernel's own
    // mapping.
    "pagemap_kernel: wrong frames: how an address becomes a frame": [
        Maps,
        Frames(Pagemap(First), Driver),
    ],
    // What is stored through a mapping, `read()` returns: all of it, and pieces that start and end
    // anywhere.
    "store_read: other memory, or less of it: read()": [
        Maps,
        Put(First, All, STORE_READ),
        Get(File, All, STORE_READ),
        Get(File, Start, STORE_READ),
        Get(File, Border, STORE_READ),
        Get(File, End, STORE_READ),
    ],
    // What `write()` takes, both mappings show: all of it, and a piece that lies across the border
    // of two pages, without its neighbours. No byte of the piece is what stood there.
    "write_load: other memory, or less of it: write()": [
        Maps,
        Put(File, All, WRITE_LOAD),
        Get(First, All, WRITE_LOAD),
        Get(Second, All, WRITE_LOAD),
        Put(File, Border, WRITE_PIECE),
        Get(Second, Before, WRITE_LOAD),
        Get(Second, Border, WRITE_PIECE),
        Get(Second, After, WRITE_LOAD),
    ],
    // The last byte is the buffer's: stored, it is loaded through another mapping; written, it is
    // read; and what would go beyond it is cut off there.
    "last_byte: ends too early: comparisons with the size": [
        Maps,
        Put(First, Last, LAST_STORED),
        Get(Second, Last, LAST_STORED),
        Put(File, Last, LAST_STORED),
        Get(File, AcrossEnd, LAST_STORED),
        Put(File, AcrossEnd, LAST_WRITTEN),
        Get(File, AcrossEnd, LAST_WRITTEN),
    ],
    // Nothing can be reached past the end: `mmap` refuses with `EINVAL` whatever reaches there, or
    // a touch there is answered by SIGBUS; `read()` gives nothing, `write()` `ENOSPC`, FRAME
    // `EINVAL`. That a SIGBUS would be caught is shown first.
    "past_end: memory of others: comparisons with the size": [
        Sigbus,
        NoFramePastEnd,
        Get(File, PastEnd, ZERO),
        Put(File, PastEnd, ZERO),
        NoMapPastEnd,
    ],
    // TRANSLATE tells the truth where the truth is known: of memory of the program's own. A driver
    // that always says what would be right is not believed in what follows.
    "translate_known: cannot be trusted: TRANSLATE": [
        KnownMemory,
    ],
    // The CPU translates user space's mappings to the memory type that the device's coherency
    // demands: in the first and the last page, for loads and for stores.
    "attribute_user: stale data: vm_page_prot, dma-coherent": [
        Maps,
        Attributes(First),
        Attributes(Second),
    ],
    // So it does with the kernel's own mapping: otherwise one frame is accessed by two types, and
    // one of the two may miss what the other stores.
    "attribute_kernel: stale data: dma-coherent in the tree": [
        Attributes(Kernel),
    ],
    // A mapping that was made to be read cannot be written to, by the CPU's word.
    "read_only: unwanted stores: vm_page_prot": [
        ReadOnly,
    ],
    // Each page is where it is said to be: both mappings in one place and as pagemap says, the
    // kernel's as FRAME says. That pagemap and FRAME agree, `pagemap_kernel` looks at.
    "walk_frames: frames differ: TLB invalidation, FRAME": [
        Maps,
        Frames(Walk(Second), Walk(First)),
        Frames(Walk(First), Pagemap(First)),
        Frames(Walk(Second), Pagemap(Second)),
        Frames(Walk(Kernel), Driver),
    ],
    // A bus master writes a number that its own side has chosen, and both mappings show it, with
    // no other call; and nothing but it: at the first page, across a border of two, up to the last
    // byte.
    "master_fill: stale data: dma-coherent, dma-ranges, IOMMU": [
        Able(MASTER_FILL as u8),
        Maps,
        Put(First, All, FILLED),
        Filled,
        Get(First, All, FILLED),
        Get(Second, All, FILLED),
    ],
    // It reads what was stored, and writes the same elsewhere.
    "master_copy: stale data: dma-coherent, dma-ranges, IOMMU": [
        Able(MASTER_COPY as u8),
        Maps,
        Put(First, All, COPIED),
        Copied,
        Get(First, All, COPIED),
        Get(Second, All, COPIED),
    ],
    // What makes no sense is refused, and nothing is written then.
    "master_refuses: wild writes: range checks of requests": [
        Able(0),
        Maps,
        Put(First, All, REFUSED),
        Refused,
        Get(First, All, REFUSED),
    ],
    // A task on another CPU that looks all the time sees each byte as it was or as it is written,
    // never anything else, and soon the latter.
    "master_polled: late or torn data: memory type, interconnect": [
        Able(MASTER_FILL as u8),
        Maps,
        Polled,
    ],
    // What a task stores before a flag, the kernel finds there when it sees the flag, on another
    // CPU and by its own mapping; and the other way round.
    "litmus_kernel: order is lost: memory types of both sides": [
        Maps,
        Messages(true),
    ],
    // So do two tasks, each by a mapping of its own.
    "litmus_user: order is lost: memory type, shareability": [
        Maps,
        Messages(false),
    ],
    // Each bit of each word can be what it is to be, whatever the bits beside it are.
    "bits: bits stick or follow others: the memory itself": [
        Maps,
        Bits,
    ],
    // After `munmap` the addresses are gone, and all else stays: another mapping, the data, and
    // the device's readiness to be mapped anew.
    "munmap: areas stay or take others along: reference counts": [
        Maps,
        Map(Third),
        Put(Third, Ends, MUNMAP),
        Unmap(Third),
        Map(Third),
        Get(First, Ends, MUNMAP),
        Get(Third, Ends, MUNMAP),
    ],
    // When the device is unbound nobody keeps a mapping, in this process or in another one; bound
    // again, it has nothing of what was stored.
    "revoked: use after free: unmap_mapping_range() at unbind": [
        Maps,
        Put(First, All, REVOKED),
        Revoked,
        Map(First),
        Get(First, All, ZERO),
    ],
    // The kernel has logged no warning, nor worse, since the program started or, of a later
    // device, since this check of the one before. Last, so that it has the effects of all others
    // before it.
    "kernel_log: the kernel complains: its log": [
        NoComplaint,
    ],
}

/// A step of a check.
#[derive(Clone, Copy)]
enum Step {
    /// The driver says that nobody has touched the buffer; else the check is skipped.
    Pristine,
    /// The driver says so no longer.
    Touched,
    /// Maps the whole buffer twice,
    Maps,
    /// or once.
    Map(Way),
    /// The first two mappings can be touched, and do not overlap.
    Apart,
    /// Puts a pattern there.
    Put(Way, Place, Pattern),
    /// Looks for the pattern there.
    Get(Way, Place, Pattern),
    /// Each page is in the same frame by the one account as by the other.
    Frames(Account, Account),
    /// TRANSLATE is right of memory of the program's own, and refuses what it does not know.
    KnownMemory,
    /// The memory type of a mapping is the one that the device's coherency demands.
    Attributes(Way),
    /// A mapping to be read is not writable.
    ReadOnly,
    /// There is a bus master with these abilities; else the check is skipped.
    Able(u8),
    /// It writes the nonce to some places, or data from some places to others: [`Get`] then looks
    /// for that, too.
    Filled,
    Copied,
    /// It refuses to.
    Refused,
    /// It writes to where another task is looking.
    Polled,
    /// Messages are passed to another CPU: the kernel's, or a task's.
    Messages(bool),
    /// Single bits walk through all of the buffer.
    Bits,
    /// The device is unbound and bound again.
    Revoked,
    /// Unmaps; the addresses then answer by SIGSEGV.
    Unmap(Way),
    /// A SIGBUS is caught, of a mapping that is sure to give one.
    Sigbus,
    /// FRAME refuses an offset past the end.
    NoFramePastEnd,
    /// So does `mmap`, or a touch is answered by SIGBUS.
    NoMapPastEnd,
    /// Zeroes the buffer, so that nobody takes a test's data for their own; then the kernel's log
    /// has no complaint.
    NoComplaint,
}

/// A way to the buffer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Mappings of the whole buffer, in which no other check has touched anything.
    First,
    Second,
    Third,
    /// The open file: `read()` and `write()`.
    File,
    /// The kernel's own mapping.
    Kernel,
}

impl Way {
    /// What people call it.
    fn name(self) -> &'static [u8] {
        const NAMES: &[u8] = b"\
            the first mapping\n\
            the second mapping\n\
            a new mapping\n\
            read()\n\
            the kernel's mapping\n";
        nth_line(NAMES, self as usize)
    }
}

/// Who says where a page lies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Account {
    /// `/proc/self/pagemap`, of a mapping.
    Pagemap(Way),
    /// The CPU, of a mapping or of the kernel's.
    Walk(Way),
    /// The driver, by FRAME.
    Driver,
}

/// Defines the places in the buffer and, from the same lines, the shapes of them.
macro_rules! places {
    ($($(#[$doc:meta])* $place:ident: $from:ident, $offset:expr, $length:expr, $period:ident;)*) => {
        /// Where in the buffer.
        #[derive(Clone, Copy)]
        enum Place {
            $($(#[$doc])* $place,)*
        }

        const SHAPES: &[Shape] = &[$(Shape {
            from: Point::$from,
            offset: $offset,
            length: $length as u16,
            period: Period::$period,
        },)*];
    };
}

// Where from, how far from there, how long, and how often.
#[rustfmt::skip] // A table.
places! {
    All:       Start,  0,               CHUNK, Always;
    /// The first and the last word of every page.
    PageEnds:  Start,  0,               WORD,  Page;
    /// The first and the last word.
    Ends:      Start,  0,               WORD,  Buffer;
    /// A piece at the start.
    Start:     Start,  0,               PIECE, Once;
    /// A piece across the border of two pages or, of only one, in its middle,
    Border:    Border, 0,               PIECE, Once;
    /// the byte before it, and the byte after it.
    Before:    Border, -1,              1,     Once;
    After:     Border, PIECE as i8,     1,     Once;
    /// A piece at the end.
    End:       End,    -(PIECE as i8),  PIECE, Once;
    /// The last byte, the same and one more, that one alone.
    Last:      End,    -1,              1,     Once;
    AcrossEnd: End,    -1,              2,     Once;
    PastEnd:   End,    0,               1,     Once;
}

/// What chunks of the buffer make a place.
#[derive(Clone, Copy)]
struct Shape {
    /// The first one begins there,
    from: Point,
    /// so many bytes further on.
    offset: i8,
    /// The length of each.
    length: u16,
    period: Period,
}

/// A point of the buffer.
#[derive(Clone, Copy)]
enum Point {
    Start,
    /// Where a piece across a border begins.
    Border,
    End,
}

/// What has a chunk at its start and another at its end.
#[derive(Clone, Copy)]
enum Period {
    /// As much as these two take.
    Always,
    Page,
    Buffer,
    /// More than the buffer: there is one chunk.
    Once,
}

/// The chunks of a place, by their offsets: all of one length, at alternating distances.
struct Chunks {
    at: u64,
    end: u64,
    length: usize,
    distances: [u64; 2],
}

impl Iterator for Chunks {
    type Item = u64;

    #[inline(never)]
    fn next(&mut self) -> Option<u64> {
        let at = self.at;
        self.at = at.saturating_add(self.distances[0]);
        self.distances.swap(0, 1);
        (at < self.end).then_some(at)
    }
}

/// What is seen in place after place, and should be something else: the first of it, and in how
/// many pages it is.
struct Differences {
    /// The first that differs; as long as none does, the last one seen.
    at: u64,
    seen: u64,
    want: u64,
    wrong_pages: u64,
    /// The end of the page that was last found wrong.
    wrong_until: u64,
    page: u64,
}

impl Differences {
    /// Offsets ascend.
    #[inline(never)]
    fn see(&mut self, at: u64, seen: u64, want: u64) {
        if self.wrong_pages == 0 {
            self.at = at;
            self.seen = seen;
            self.want = want;
        }
        if seen != want && at >= self.wrong_until {
            self.wrong_pages += 1;
            self.wrong_until = (at | (self.page - 1)) + 1;
        }
    }
}

/// What the checks of one device share.
pub struct Context<'s, S: System> {
    system: &'s mut S,
    path: &'s CStr,
    options: &'s Options<'s>,
    device: S::Device,
    /// Of a foreign device: one of ours, or why there is none.
    witness: Result<S::Device, Errno>,
    mappings: [Option<S::Mapping>; 3],
    info: Info,
    page: u64,
    /// The bus master, if the answer was that there is one.
    master: Master,
    has_master: Result<(), Errno>,
    data: Data,
    /// What the bus master has written in this check.
    patches: [Patch; PATCHES],
    /// The memory type that the mappings are to have: of a foreign device, if it was not told, that
    /// which was seen first.
    demanded: Value,
    /// What TRANSLATE answered last.
    answer: Translation,
    /// The memory type of user space's mappings and of the kernel's, as last seen.
    types: [Value; 2],
    finding: &'s mut Finding,
}

// The small functions here are called from everywhere: inlined, they would double the program. The
// large ones would compete for registers with what they are inlined into.
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
    ) -> Result<Self, Stop> {
        let page = system.page_size();
        let device = system
            .open(path)
            .map_err(|errno| finding.refused("open", errno))?;
        let witness = if options.foreign {
            system.open(options.witness)
        } else {
            Err(Errno::NOENT)
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
                dma_address: NOWHERE,
                ..Info::default()
            },
            page,
            master: Master::default(),
            has_master: Err(Errno::NODATA),
            data: Data::NONE,
            patches: [Patch::NONE; PATCHES],
            demanded: options.kernel,
            answer: Translation::default(),
            types: [Value::UNKNOWN, options.kernel],
            finding,
        };
        if !options.foreign {
            context.describe()?;
        }
        Ok(context)
    }

    /// What the device says of itself.
    fn describe(&mut self) -> Result<(), Stop> {
        let info = self.device.info();
        let refused = "open: INFO of a faultline device";
        let info = info.map_err(|errno| self.finding.refused(refused, errno))?;
        // A power of two divides what has no bit below its own.
        let whole_pages = info.size & self.page.wrapping_neg();
        let right = whole_pages.max(self.page);
        let finding = &mut *self.finding;
        // Whatever the driver says is but a number.
        finding.word("open: INFO: size", NOWHERE, info.size, right)?;
        let reserved = info.reserved.into();
        finding.word("open: INFO: reserved", NOWHERE, reserved, 0)?;
        self.info = info;
        // The device's coherency demands it.
        self.demanded = if info.flags & FLAG_COHERENT != 0 {
            Value::WRITE_BACK
        } else {
            Value::NON_CACHEABLE
        };
        self.has_master = self.device.call(Call::Master(&mut self.master));
        Ok(())
    }

    /// Whether it is another driver's, which has none of the calls of ours.
    fn is_foreign(&self) -> bool {
        self.options.foreign
    }

    /// Whether the driver was built without its self-test: it answers INFO, but knows no other call.
    fn lacks_selftest(&self) -> bool {
        self.has_master == Err(Errno::NOTTY)
    }

    /// What the device said of itself before the first check.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// The memory type of user space's mappings and of the kernel's, as the CPU said.
    pub fn types(&self) -> [Value; 2] {
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

    /// Makes a check.
    pub fn run(&mut self, check: Check) -> Result<(), Stop> {
        let result = STEPS[check.0].iter().try_for_each(|step| self.step(*step));
        self.mappings = [None, None, None];
        self.patches = [Patch::NONE; PATCHES];
        result
    }

    #[inline(never)]
    fn step(&mut self, step: Step) -> Result<(), Stop> {
        if self.is_foreign() {
            match step {
                // Of these there are others beside, which can be made.
                NoFramePastEnd | Frames(Walk(_), Driver) => return Ok(()),
                Pristine | Frames(_, Driver) | Attributes(Kernel) | Able(_) | Messages(true) => {
                    let what = "call of our driver's alone";
                    self.finding.refused(what, Errno::NOTTY);
                    return Err(Stop::Skip);
                }
                _ => {}
            }
        }
        if self.lacks_selftest() {
            match step {
                NoFramePastEnd => return Ok(()),
                KnownMemory
                | Attributes(_)
                | Frames(_, Driver)
                | Frames(Walk(_), _)
                | Able(_)
                | Messages(true) => {
                    let what = "call of the self-test (CONFIG_FAULTLINE_SELFTEST)";
                    self.finding.refused(what, Errno::NOTTY);
                    return Err(Stop::Skip);
                }
                _ => {}
            }
        }
        match step {
            Pristine => self.pristine(self.info.flags, 1).or(Err(Stop::Skip)),
            Touched => match self.device.info() {
                Ok(info) => self.pristine(info.flags, 0),
                Err(errno) => Err(self.finding.refused("INFO", errno)),
            },
            Maps => self.map(First).and_then(|()| self.map(Second)),
            Map(way) => self.map(way),
            Apart => self.apart(),
            Put(way, place, pattern) => self.visit(true, way, place, pattern),
            Get(way, place, pattern) => self.visit(false, way, place, pattern),
            // Ours are compared by way of pagemap, which answers for them.
            Frames(Walk(_), Walk(_)) if !self.is_foreign() => Ok(()),
            Frames(account, other) => self.frames(account, other),
            KnownMemory => self.known_memory(),
            Attributes(way) => self.attributes(way),
            ReadOnly => self.read_only(),
            Able(abilities) => self.able(abilities.into()),
            Filled => self.filled(),
            Copied => self.copied(),
            Refused => self.refused(),
            Polled => self.polled(),
            Messages(with_kernel) => self.litmus(with_kernel),
            Bits => self.bits(),
            Revoked => self.revoked(),
            Unmap(way) => self.unmap(way),
            Sigbus => self.sigbus(),
            NoFramePastEnd => self.no_frame_past_end(),
            NoMapPastEnd => self.no_map_past_end(),
            NoComplaint => self.no_complaint(),
        }
    }

    /// What INFO says of whether nobody has touched the buffer must be what is wanted.
    #[inline(never)]
    fn pristine(&mut self, flags: u32, want: u64) -> Result<(), Stop> {
        let seen = u64::from(flags & FLAG_PRISTINE != 0);
        let what = "INFO: PRISTINE";
        self.finding.equal(what, NOWHERE, seen, want)
    }

    #[inline(never)]
    fn map(&mut self, way: Way) -> Result<(), Stop> {
        match self.device.map(0, self.info.size) {
            Ok(mapping) => {
                self.mappings[way as usize] = Some(mapping);
                Ok(())
            }
            Err(errno) => Err(self.finding.refused("mmap of the buffer", errno)),
        }
    }

    /// A mapping that an earlier step made.
    fn mapping(&mut self, way: Way) -> &mut S::Mapping {
        match self.mappings.get_mut(way as usize) {
            Some(Some(mapping)) => mapping,
            _ => unreachable!("an earlier step maps"),
        }
    }

    fn apart(&mut self) -> Result<(), Stop> {
        for way in &[First, Second] {
            self.load(*way, 0, &mut [0])?;
        }
        let (one, other) = (
            self.mapping(First).address(),
            self.mapping(Second).address(),
        );
        let outside = one.abs_diff(other).min(self.info.size);
        self.finding.equal(
            "bytes of one mapping outside of the other",
            NOWHERE,
            outside,
            self.info.size,
        )
    }

    /// The chunks of a place.
    fn chunks(&self, place: Place) -> Chunks {
        let (size, page) = (self.info.size, self.page);
        let shape = SHAPES[place as usize];
        let border = page.min(size / 2) - PIECE / 2;
        let at = [0, border, size][shape.from as usize].wrapping_add_signed(shape.offset.into());
        let length = u64::from(shape.length);
        let period = [2 * length, page, size, u64::MAX][shape.period as usize];
        Chunks {
            at,
            end: size.max(at + 1),
            length: shape.length.into(),
            distances: [period - length, length],
        }
    }

    /// Puts a pattern somewhere or, where it was put, looks for it.
    #[inline(never)]
    fn visit(&mut self, put: bool, way: Way, place: Place, pattern: Pattern) -> Result<(), Stop> {
        let chunks = self.chunks(place);
        let (mut want, mut seen) = ([0; CHUNK], [0; CHUNK]);
        let (want, seen) = (&mut want[..chunks.length], &mut seen[..chunks.length]);
        let mut differences = self.differences();
        let foreign = self.is_foreign();
        for at in chunks {
            pattern.fill(at, want);
            if !put {
                self.patch(at, want);
            }
            let inside = (self.info.size - at).min(want.len() as u64);
            if way == File {
                let answer = if put {
                    self.device.write_at(at, want)
                } else {
                    self.device.read_at(at, seen)
                };
                let answer = Value::from(answer);
                let right = match inside {
                    // It is a driver's own affair how it refuses.
                    0 if foreign && answer.is_none() => answer,
                    0 if put => Value::from(Errno::NOSPC),
                    length => length.into(),
                };
                let what = if put { "write()" } else { "read()" };
                let result = self.finding.equal(what, at, answer, right);
                // That is how the kernel says that a driver has no such call.
                if foreign && answer == Errno::INVAL.into() {
                    return result.or(Err(Stop::Skip));
                }
                result?;
            } else if put {
                self.store(way, at, want)?;
            } else {
                self.load(way, at, seen)?;
            }
            if put {
                continue;
            }
            let (seen, want) = (&seen[..inside as usize], &want[..inside as usize]);
            let words = seen.chunks(WORD).zip(want.chunks(WORD));
            for ((seen, want), index) in words.zip(0..) {
                differences.see(at + index * WORD as u64, word(seen), word(want));
            }
        }
        if put || matches!(place, PastEnd) {
            return Ok(());
        }
        let result = self.judge("load by ", &differences);
        self.finding.whose = way.name();
        if !matches!(place, All | PageEnds) {
            // Not every page was looked at.
            self.finding.of = 0;
        }
        if result.is_err() {
            let home = pattern.offset_of(differences.seen, self.info.size);
            self.finding.home = home.unwrap_or(NOWHERE);
        }
        result
    }

    #[inline(never)]
    fn load(&mut self, way: Way, at: u64, bytes: &mut [u8]) -> Result<(), Stop> {
        let loaded = self.mapping(way).load(at, bytes);
        loaded.map_err(|fault| self.faulted(way, fault))
    }

    #[inline(never)]
    fn store(&mut self, way: Way, at: u64, bytes: &[u8]) -> Result<(), Stop> {
        let stored = self.mapping(way).store(at, bytes);
        stored.map_err(|fault| self.faulted(way, fault))
    }

    /// An access to a mapping was answered by a signal that must not be.
    #[inline(never)]
    fn faulted(&mut self, way: Way, fault: Fault) -> Stop {
        let at = fault.address.wrapping_sub(self.mapping(way).address());
        let what = "access to a mapping";
        let _ = self.finding.equal(what, at, fault.signal, Value::NO_SIGNAL);
        Stop::Fail
    }

    fn differences(&self) -> Differences {
        Differences {
            at: 0,
            seen: 0,
            want: 0,
            wrong_pages: 0,
            wrong_until: 0,
            page: self.page,
        }
    }

    #[inline(never)]
    fn judge(&mut self, what: &'static str, differences: &Differences) -> Result<(), Stop> {
        let Differences { at, seen, want, .. } = *differences;
        let result = self.finding.word(what, at, seen, want);
        self.finding.unit = "pages";
        self.finding.wrong = differences.wrong_pages;
        self.finding.of = self.info.size / self.page;
        result
    }

    fn frames(&mut self, account: Account, other: Account) -> Result<(), Stop> {
        let mut differences = self.differences();
        for page in 0..self.info.size / self.page {
            let at = page * self.page;
            let seen = self.physical_address(account, at)?;
            let want = self.physical_address(other, at)?;
            differences.see(at, seen, want);
        }
        self.judge("physical address", &differences)
    }

    /// The physical address of a page.
    #[inline(never)]
    fn physical_address(&mut self, account: Account, at: u64) -> Result<u64, Stop> {
        let address = match account {
            Driver => {
                let answer = self.device.physical_address(at);
                return answer.map_err(|errno| match self.finding.refused("FRAME", errno) {
                    _ if errno == Errno::PERM => Stop::Skip,
                    stop => stop,
                });
            }
            Walk(Kernel) => at,
            Pagemap(way) | Walk(way) => {
                // A page that nobody has touched is not there.
                self.load(way, at, &mut [0])?;
                self.mapping(way).address() + at
            }
        };
        match account {
            Walk(way) => self.walk(way, at, address),
            _ => self.pagemap(at, address),
        }
    }

    /// What pagemap says of a page of a mapping.
    #[inline(never)]
    fn pagemap(&mut self, at: u64, address: u64) -> Result<u64, Stop> {
        // Documentation/admin-guide/mm/pagemap.rst.
        const PRESENT: u64 = 1 << 63;
        const FRAME_NUMBER: u64 = (1 << 55) - 1;

        let entry = match self.system.pagemap(address) {
            Ok(entry) => entry,
            Err(errno) => {
                self.finding.refused("/proc/self/pagemap", errno);
                return Err(Stop::Skip);
            }
        };
        // Not so in an area with VM_PFNMAP, which pagemap passes over.
        let present = u64::from(entry & PRESENT != 0);
        let what = "page present by /proc/self/pagemap";
        let is_there = self.finding.equal(what, at, present, 1_u64);
        if self.is_foreign() {
            is_there.or(Err(Stop::Skip))?;
        }
        is_there?;
        let frame = (entry & FRAME_NUMBER) * self.page;
        self.known("frame told by pagemap (needs CAP_SYS_ADMIN)", at, frame)
    }

    /// An address that is told to some only, and is zero for others.
    #[inline(never)]
    fn known(&mut self, what: &'static str, at: u64, address: u64) -> Result<u64, Stop> {
        let told = self.finding.equal(what, at, u64::from(address != 0), 1_u64);
        told.map_or(Err(Stop::Skip), |()| Ok(address))
    }

    fn unmap(&mut self, way: Way) -> Result<(), Stop> {
        let Some(mapping) = self.mappings[way as usize].take() else {
            unreachable!("an earlier step maps")
        };
        let gone = mapping
            .unmap()
            .map_err(|errno| self.finding.refused("munmap", errno))?;
        // While nothing has been mapped in its place.
        for at in &[0, self.info.size - 1] {
            let touch = gone.load(*at, &mut [0]);
            self.finding
                .equal("load after munmap", *at, touch, Signal::Segv)?;
        }
        Ok(())
    }

    fn sigbus(&mut self) -> Result<(), Stop> {
        const FILE: &str = "load beyond the end of a file";

        let mapping = self.system.map_beyond_a_file();
        let mapping = mapping.map_err(|errno| self.finding.refused(FILE, errno))?;
        let touch = mapping.load(0, &mut [0]);
        self.finding.equal(FILE, 0, touch, Signal::Bus)
    }

    fn no_frame_past_end(&mut self) -> Result<(), Stop> {
        let size = self.info.size;
        match self.device.physical_address(size) {
            // Without CAP_SYS_ADMIN the driver says nothing about any offset.
            Err(Errno::PERM) => Ok(()),
            answer => {
                // No address is like an error.
                let seen = answer.map_or_else(Value::from, |_| Value::NO_ERROR);
                self.finding.equal("FRAME", size, seen, Errno::INVAL)
            }
        }
    }

    fn no_map_past_end(&mut self) -> Result<(), Stop> {
        let (size, page) = (self.info.size, self.page);
        let foreign = self.is_foreign();
        // The first is far beyond, but no further than 32-bit kernels count bytes: they would
        // refuse it without a word to the driver.
        let far = (size << 8).min(1 << (usize::BITS - 1)).max(size);
        for &(offset, length) in &[
            (far, page),
            (size, page),
            (size - page, 2 * page),
            (0, size + page),
        ] {
            match self.device.map(offset, length) {
                Ok(mapping) => {
                    let touch = mapping.load(size.saturating_sub(offset), &mut [0]);
                    let what = "load past the end, mmap not refused,";
                    self.finding.equal(what, offset, touch, Signal::Bus)?;
                }
                Err(errno) => {
                    let what = "mmap past the end";
                    let right = if foreign { errno } else { Errno::INVAL };
                    self.finding.equal(what, offset, errno, right)?;
                }
            }
        }
        Ok(())
    }

    #[inline(never)]
    fn no_complaint(&mut self) -> Result<(), Stop> {
        const LOG: &str = "warnings or worse in /dev/kmsg";

        // That storing works has been judged by now, whatever came out.
        let _ = self
            .map(First)
            .and_then(|()| self.visit(true, First, All, Pattern::ZERO));
        self.finding.complaint = Line::new();
        let mut buffer = [0; LOG_RECORD];
        let mut complaints = 0_u64;
        let mut lost = 0;
        for _ in 0..LOG_RECORDS {
            match self.system.log_record(&mut buffer) {
                Ok(length) => {
                    if let Some(text) = complaint(&buffer[..length]) {
                        if complaints == 0 {
                            let out: &mut dyn Out = &mut self.finding.complaint;
                            out.printable(text);
                        }
                        complaints += 1;
                    }
                }
                Err(Errno::AGAIN) => break,
                Err(Errno::PIPE) => lost += 1,
                Err(errno) => {
                    self.finding.refused(LOG, errno);
                    return Err(Stop::Skip);
                }
            }
        }
        let (what, number) = if complaints == 0 && lost > 0 {
            ("losses of records of /dev/kmsg", lost)
        } else {
            (LOG, complaints)
        };
        let result = self.finding.equal(what, NOWHERE, number, 0_u64);
        if complaints == 0 {
            result.or(Err(Stop::Skip))
        } else {
            result
        }
    }
}

/// Up to eight bytes as a word.
fn word(bytes: &[u8]) -> u64 {
    let mut word = [0; WORD];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_ne_bytes(word)
}

#[cfg(test)]
mod tests;
