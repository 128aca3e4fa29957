// SPDX-License-Identifier: GPL-2.0-only

//! Random operations from several processes at once.
//!
//! What each process does depends on the seed alone, how the processes meet does not. All that is
//! ever stored are [tagged](crate::world::tagged) words at multiples of eight, and the few that FILL
//! and LITMUS store, so that anything else that is found in a buffer, but zero, is somebody else's
//! memory. COPY moves whole words, as `read()` and `write()` do.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use faultline_core::device::{Device, Fault, Signal};
use faultline_core::errno::Errno;
use faultline_core::options::Options;
use faultline_core::random::Random;
use faultline_core::text::{Note, Out, Printable};
use faultline_sys::arena::{Access, Argument, Nowhere, Sharing, ADVICE};
use faultline_sys::device::File;
use faultline_sys::process::exit;
use faultline_sys::task::{fork, shared_numbers, Child, Ending};
use faultline_uapi::{
    FAULTLINE_IOC_COPY, FAULTLINE_IOC_FILL, FAULTLINE_IOC_FRAME, FAULTLINE_IOC_INFO,
    FAULTLINE_IOC_LITMUS, FAULTLINE_IOC_MASTER, FAULTLINE_IOC_TRANSLATE, FLAG_PRISTINE,
    TRANSLATE_KERNEL, TRANSLATE_WRITE,
};
use rustix::fs::{seek, SeekFrom};

use crate::report::{Finding, Part, Stop, Value};
use crate::round;
use crate::world::{now_ms, read_file, sleep_ms, tagged, Path, World};

/// What is done; the order is that of [`Kind::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Load,
    Store,
    Map,
    MapPrivate,
    Unmap,
    Protect,
    Resize,
    Relocate,
    Advise,
    Read,
    Write,
    ReadAt,
    WriteAt,
    Seek,
    Info,
    Frame,
    Translate,
    Master,
    Fill,
    Copy,
    Litmus,
    Garbage,
    Open,
    Close,
    Fork,
    Unbind,
    Bind,
}

impl Kind {
    /// Each with its name, and how often it comes: as a share of the sum.
    const ALL: &'static [(Self, &'static str, u64)] = &[
        (Self::Load, "load", 140),
        (Self::Store, "store", 140),
        (Self::Map, "mmap", 120),
        (Self::MapPrivate, "mmap(MAP_PRIVATE)", 6),
        (Self::Unmap, "munmap", 60),
        (Self::Protect, "mprotect", 60),
        (Self::Resize, "mremap in place", 30),
        (Self::Relocate, "mremap elsewhere", 50),
        (Self::Advise, "madvise", 60),
        (Self::Read, "read", 40),
        (Self::Write, "write", 40),
        (Self::ReadAt, "pread", 40),
        (Self::WriteAt, "pwrite", 40),
        (Self::Seek, "lseek", 20),
        (Self::Info, "INFO", 20),
        (Self::Frame, "FRAME", 20),
        (Self::Translate, "TRANSLATE", 30),
        (Self::Master, "MASTER", 10),
        (Self::Fill, "FILL", 30),
        (Self::Copy, "COPY", 50),
        (Self::Litmus, "LITMUS", 20),
        (Self::Garbage, "ioctl", 30),
        (Self::Open, "open", 50),
        (Self::Close, "close", 20),
        (Self::Fork, "fork", 6),
        (Self::Unbind, "unbind", 4),
        (Self::Bind, "bind", 8),
    ];

    fn any(random: &mut Random) -> Self {
        let sum = Self::ALL.iter().map(|(_, _, share)| share).sum();
        let mut place = random.below(sum);
        for &(kind, _, share) in Self::ALL {
            if place < share {
                return kind;
            }
            place -= share;
        }
        Self::Load
    }
}

/// What each process tells the others.
const FIELDS: usize = 8;
const DONE: usize = 0;
const DOING: usize = 1;
const ERRORS: usize = 2;
const BUS: usize = 3;
const SEGV: usize = 4;
const STRAY: usize = 5;
const MASTERED: usize = 6;
const TESTED: usize = 7;

/// For how long a process may not get on with anything. The debug kernel is slow, its unbind waits
/// for others, and the emulator may have to wait for its own turn.
const STUCK_MS: u64 = 300_000;

/// The exit status of a process that found what is nobody's in a buffer.
const FOUND_STRAY: i32 = 3;

pub(crate) fn run(part: &mut Part<'_, '_>, world: &mut World, seed: u64, options: &Options) {
    let processes = options.processes as usize;
    let outcome = shared_numbers(processes * FIELDS);
    let Ok(shared) = outcome else {
        for _ in 0..=processes {
            let mut finding = Finding::NONE;
            let result = finding.same("shared memory", outcome.map(drop), ());
            part.result("process", result, &finding);
        }
        return;
    };

    let mut children = heapless::Vec::<Option<Child>, 64>::new();
    for number in 0..processes {
        let own = &shared[number * FIELDS..][..FIELDS];
        let share = options.operations / options.processes
            + u64::from((number as u64) < options.operations % options.processes);
        let random = Random::branch(seed, number as u64);
        let child = fork(|| {
            let mut process = Process::new(world, own, random);
            for _ in 0..share {
                if !process.step(true) {
                    return FOUND_STRAY;
                }
            }
            0
        });
        let _ = children.push(child.ok());
    }
    let mut endings = heapless::Vec::<Value, 64>::new();
    let _ = endings.resize(processes, Value::Text("was not started"));
    watch(part, shared, &mut children, &mut endings);

    for (number, &ending) in endings.iter().enumerate() {
        let own = &shared[number * FIELDS..][..FIELDS];
        let mut finding = Finding::NONE;
        let result = finding.same("end", ending, Value::Status(0));
        let mut said = Note::<200>::new();
        let out: &mut dyn Out = &mut said;
        for (field, name) in [
            (DONE, " operations, "),
            (ERRORS, " refused, "),
            (BUS, " SIGBUS, "),
            (SEGV, " SIGSEGV, "),
            (MASTERED, " by a bus master, "),
            (TESTED, " tests; "),
        ] {
            out.number(own[field].load(Relaxed)).text(name);
        }
        out.show(&finding);
        if ending == Value::Status(FOUND_STRAY) {
            out.text(": a word that nobody stored: ")
                .hex(own[STRAY].load(Relaxed));
        }
        let name = Path::with("process_", number as u64, "");
        let name = core::str::from_utf8(name.bytes()).unwrap_or("process");
        part.result(name, result, &said);
    }
    let mut finding = Finding::NONE;
    let result = afterwards(world, &mut finding);
    part.result("devices_afterwards", result, &finding);
}

/// Waits for the processes; names and kills one that does not get on.
fn watch(
    part: &mut Part<'_, '_>,
    shared: &[AtomicU64],
    children: &mut [Option<Child>],
    endings: &mut [Value],
) {
    let mut last = [(0, now_ms()); 64];
    let mut said = now_ms();
    loop {
        let mut left = 0;
        for (number, slot) in children.iter_mut().enumerate() {
            let Some(child) = slot else { continue };
            if let Some(ending) = child.ending() {
                endings[number] = ending.into();
                *slot = None;
                continue;
            }
            left += 1;
            let own = &shared[number * FIELDS..][..FIELDS];
            let done = own[DONE].load(Relaxed);
            if done != last[number].0 {
                last[number] = (done, now_ms());
            } else if now_ms() - last[number].1 > STUCK_MS {
                name_stuck(part, number, child.pid(), own);
                endings[number] = Value::Text("stuck");
                // If it does not even die there is nothing to wait for.
                child.kill();
                sleep_ms(1000);
                if child.ending().is_some() {
                    *slot = None;
                } else {
                    core::mem::forget(slot.take());
                }
            }
        }
        if left == 0 {
            return;
        }
        if now_ms() - said > 60_000 {
            said = now_ms();
            let done: u64 = shared
                .chunks(FIELDS)
                .map(|own| own[DONE].load(Relaxed))
                .sum();
            part.line().number(done).text(" operations so far\n");
        }
        sleep_ms(20);
    }
}

fn name_stuck(part: &mut Part<'_, '_>, number: usize, pid: u32, own: &[AtomicU64]) {
    let doing = Kind::ALL.get(own[DOING].load(Relaxed) as usize);
    let name = doing.map_or("?", |(_, name, _)| name);
    let out = part.line().text("process ").number(number as u64);
    out.text(" is stuck in operation ")
        .number(own[DONE].load(Relaxed));
    out.text(", ").text(name).text(", in the kernel at:\n");
    let mut buffer = [0; 2048];
    let path = Path::with("/proc/", pid.into(), "/stack");
    let stack = read_file(path.c_str(), &mut buffer).unwrap_or(b"(it does not say)");
    for line in stack
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        part.line().text("  ").show(&Printable(line)).text("\n");
    }
}

/// All devices can be bound again, and are new.
fn afterwards(world: &mut World, finding: &mut Finding) -> Result<(), Stop> {
    let cleared = world.clear();
    finding.need("an empty arena", cleared)?;
    // Numbers may have changed hands: first none is bound, then each takes its own.
    for target in &world.targets {
        let _ = target.unbind();
    }
    for target in &world.targets {
        finding.same("bind", target.bind(), ())?;
        let info = finding.need("INFO", target.info())?;
        finding.same("size of the buffer", info.size, target.size)?;
        let pristine = u64::from(info.flags & FLAG_PRISTINE);
        finding.same("FLAG_PRISTINE", pristine, u64::from(FLAG_PRISTINE))?;
    }
    for target in &world.targets {
        let mut file = finding.need("open()", target.open())?;
        let arena = &mut world.arena;
        let (at, page) = (World::A, world.page);
        let mapped = arena.map(at, page, &file, 0, Access::BOTH, Sharing::Shared);
        finding.same("mmap()", mapped, ())?;
        finding.same("word of a fresh buffer", arena.load(at), Value::Word(0))?;
        finding.same("a store", arena.store(at, tagged(1)), ())?;
        let mut bytes = [0; 8];
        finding.same("read()", file.read_at(0, &mut bytes), 8)?;
        let word = Value::Word(u64::from_ne_bytes(bytes));
        finding.same("word by read()", word, Value::Word(tagged(1)))?;
    }
    Ok(())
}

/// One process of the fuzzer.
struct Process<'w> {
    world: &'w mut World,
    own: &'w [AtomicU64],
    random: Random,
    files: [Option<File>; 4],
}

impl<'w> Process<'w> {
    /// Of the arena: what is mapped over and over, before the ordinary memory at its end.
    const SPAN: u64 = World::MEMORY;
    /// Where ioctls have their arguments: the only words in the arena without a tag.
    const ARGUMENT: u64 = World::MEMORY + (4 << 20);

    fn new(world: &'w mut World, own: &'w [AtomicU64], random: Random) -> Self {
        Self {
            world,
            own,
            random,
            files: [const { None }; 4],
        }
    }

    fn count(&self, field: usize) {
        self.own[field].fetch_add(1, Relaxed);
    }

    /// Does one thing. `false`: a word was found that nobody stored.
    fn step(&mut self, may_fork: bool) -> bool {
        let kind = Kind::any(&mut self.random);
        let place = Kind::ALL.iter().position(|&(other, _, _)| other == kind);
        self.own[DOING].store(place.unwrap_or(0) as u64, Relaxed);
        let is_right = self.act(kind, may_fork);
        self.count(DONE);
        is_right
    }

    fn refused<T>(&mut self, result: Result<T, Errno>) {
        if result.is_err() {
            self.count(ERRORS);
        }
    }

    fn signalled(&mut self, fault: Fault) {
        self.count(match fault.signal {
            Signal::Bus => BUS,
            Signal::Segv => SEGV,
        });
    }

    /// A place in the arena, and a length: mostly of few pages, at times of many, now and then of
    /// whole blocks at the place of a block.
    fn range(&mut self) -> (u64, u64) {
        let page = self.world.page;
        let pages = Self::SPAN / page;
        let (at, length) = match self.random.below(8) {
            0 => {
                let block = 2 << 20;
                let at = self.random.below(Self::SPAN / block) * block;
                (at, block * (1 + self.random.below(2)))
            }
            // All meet in few places, or nothing would ever be on top of anything.
            1..=5 => (
                self.random.below(64) * page,
                page * (1 + self.random.below(16)),
            ),
            _ => (
                self.random.below(pages) * page,
                page * (1 + self.random.below(1100)),
            ),
        };
        (at, length.min(Self::SPAN - at))
    }

    /// A word that lies where most mappings are.
    fn word(&mut self) -> u64 {
        let (at, length) = self.range();
        at + self.random.below(length / 8) * 8
    }

    /// A multiple of eight bytes of the arena, at a multiple of eight, at times in ordinary memory.
    fn bytes(&mut self) -> (u64, u64) {
        let (at, length) = self.range();
        let start = self.random.below(length / 8) * 8;
        let length = (length - start).min(8 * (1 + self.random.below(1100)));
        if self.random.below(4) == 0 {
            (World::MEMORY + self.random.below(512) * 8, length)
        } else {
            (at + start, length)
        }
    }

    /// An offset into a file: mostly in a small buffer, at times anywhere.
    fn offset(&mut self, multiple: u64) -> u64 {
        let bits = self.random.of(&[12, 14, 16, 23, 32, 62]);
        self.random.below(1 << bits) / multiple * multiple
    }

    /// One in a buffer, mostly: where a call of the driver's has something to do.
    fn place(&mut self) -> u64 {
        if self.random.below(8) == 0 {
            return self.offset(8);
        }
        8 * self.random.below((16 << 10) / 8)
    }

    /// One of the devices; those with a bus master come more often, or little would be asked of it.
    fn target(&mut self) -> usize {
        let targets = &self.world.targets;
        let master = targets.iter().position(|target| target.master.is_ok());
        match (self.random.below(3), master) {
            (0, Some(number)) => number,
            _ => self.random.below(targets.len() as u64) as usize,
        }
    }

    fn file(&mut self) -> Option<usize> {
        let slot = self.random.below(4) as usize;
        self.files[slot].is_some().then_some(slot)
    }

    fn act(&mut self, kind: Kind, may_fork: bool) -> bool {
        match kind {
            Kind::Load => {
                let at = self.word();
                match self.world.arena.load(at) {
                    Ok(word) if !self.world.is_known(word) => {
                        self.own[STRAY].store(word, Relaxed);
                        return false;
                    }
                    Ok(_) => {}
                    Err(fault) => self.signalled(fault),
                }
            }
            Kind::Store => {
                let (at, word) = (self.word(), tagged(self.random.next()));
                if let Err(fault) = self.world.arena.store(at, word) {
                    self.signalled(fault);
                }
            }
            Kind::Fork if may_fork => self.fork(),
            // A child of a child would be one too many.
            Kind::Fork => {}
            Kind::Unbind | Kind::Bind => {
                let number = self.random.below(self.world.targets.len() as u64) as usize;
                let target = &self.world.targets[number];
                let result = if kind == Kind::Bind {
                    target.bind()
                } else {
                    target.unbind()
                };
                self.refused(result);
            }
            Kind::Open => {
                let number = self.target();
                let read_only = self.random.below(8) == 0;
                let slot = self.random.below(4) as usize;
                let opened = File::open(self.world.targets[number].path.c_str(), read_only);
                match opened {
                    Ok(file) => self.files[slot] = Some(file),
                    Err(_) => self.count(ERRORS),
                }
            }
            Kind::Close => {
                let slot = self.random.below(4) as usize;
                self.files[slot] = None;
            }
            Kind::Unmap | Kind::Protect | Kind::Resize | Kind::Relocate | Kind::Advise => {
                self.arrange(kind);
            }
            _ => self.call(kind),
        }
        true
    }

    /// What needs no file.
    fn arrange(&mut self, kind: Kind) {
        let (at, length) = self.range();
        let result = match kind {
            Kind::Unmap => self.world.arena.unmap(at, length),
            Kind::Protect => {
                let access = Access::of_number(self.random.next());
                self.world.arena.protect(at, length, access)
            }
            Kind::Advise => {
                let advice = self.random.of(&ADVICE);
                self.world.arena.advise(at, length, advice)
            }
            _ => {
                let (to, new_length) = self.range();
                let new_length = match self.random.below(3) {
                    0 => new_length,
                    _ => length,
                };
                if kind == Kind::Resize {
                    let new_length = new_length.min(Self::SPAN - at);
                    self.world.arena.resize(at, length, new_length)
                } else {
                    let new_length = new_length.min(Self::SPAN - to);
                    self.world.arena.relocate(at, length, to, new_length)
                }
            }
        };
        self.refused(result);
    }

    /// What a file is needed for.
    fn call(&mut self, kind: Kind) {
        let Some(slot) = self.file() else {
            return;
        };
        let (at, length) = self.range();
        let (start, bytes) = self.bytes();
        let page = self.world.page;
        let (page_offset, offset) = (self.offset(page), self.offset(8));
        let access = match self.random.below(4) {
            0 => Access::of_number(self.random.next()),
            1 => Access::READ,
            _ => Access::BOTH,
        };
        let sharing = match self.random.below(8) {
            _ if kind == Kind::MapPrivate => Sharing::Private,
            0 => Sharing::Populated,
            _ => Sharing::Shared,
        };
        let words = self.question(kind, slot, at);
        let command = match (kind, self.random.below(2)) {
            (Kind::Info, _) => FAULTLINE_IOC_INFO,
            (Kind::Frame, _) => FAULTLINE_IOC_FRAME,
            (Kind::Translate, _) => FAULTLINE_IOC_TRANSLATE,
            (Kind::Master, _) => FAULTLINE_IOC_MASTER,
            (Kind::Fill, _) => FAULTLINE_IOC_FILL,
            (Kind::Copy, _) => FAULTLINE_IOC_COPY,
            (Kind::Litmus, _) => FAULTLINE_IOC_LITMUS,
            // Of the driver's type: what other types mean is not for it to say.
            (_, 0) => self.random.next() as u32 & 0xffff_00ff | FAULTLINE_IOC_INFO & 0xff00,
            _ => FAULTLINE_IOC_INFO ^ (1 << self.random.of(&[0, 1, 5, 16, 20, 30, 31])),
        };
        let argument = match self.random.below(16) {
            0 => Argument::Nowhere(Nowhere::Null),
            1 => Argument::Nowhere(Nowhere::Last),
            2 => Argument::Nowhere(Nowhere::Kernel),
            _ => Argument::At(Self::ARGUMENT),
        };
        let position = match self.random.below(3) {
            0 => SeekFrom::Start(offset),
            1 => SeekFrom::End(-(offset as i64)),
            _ => SeekFrom::Current(offset as i64 % 0x1_0000),
        };
        let arena = &mut self.world.arena;
        let Some(file) = self.files[slot].as_mut() else {
            return;
        };
        let result = match kind {
            Kind::Map | Kind::MapPrivate => {
                arena.map(at, length, &*file, page_offset, access, sharing)
            }
            Kind::Read => arena.read(start, bytes, &*file).map(drop),
            Kind::Write => arena.write(start, bytes, &*file).map(drop),
            Kind::ReadAt => arena.read_at(start, bytes, &*file, offset).map(drop),
            Kind::WriteAt => arena.write_at(start, bytes, &*file, offset).map(drop),
            Kind::Seek => seek(&*file, position)
                .map(drop)
                .map_err(crate::world::errno),
            _ => {
                for (word, number) in (Self::ARGUMENT..).step_by(8).zip(words) {
                    let stored = arena.store(word, number);
                    debug_assert!(stored.is_ok(), "it is ordinary memory");
                }
                arena.ioctl(&*file, command, argument)
            }
        };
        match (kind, result) {
            (Kind::Fill | Kind::Copy, Ok(())) => self.count(MASTERED),
            (Kind::Litmus, Ok(())) => self.count(TESTED),
            _ => self.refused(result),
        }
    }

    /// The argument of a call of the driver's, in words. What makes sense of it is made of whole
    /// words at multiples of eight, so that none that is stored is ever another.
    fn question(&mut self, kind: Kind, slot: usize, at: u64) -> [u64; 8] {
        // Now and then what is not there, or goes round.
        let length = match self.random.below(8) {
            0 => (8 * self.random.below(3)).wrapping_neg(),
            number => 8 * (number % 5),
        };
        let reserved = u64::from(self.random.below(16) == 0);
        let (offset, other) = (self.place(), self.place());
        let (any, cpus) = (self.random.next(), self.world.cpus as u64);
        match kind {
            Kind::Translate => {
                let request = match self.random.below(8) {
                    0 => any >> 32,
                    number => number & u64::from(TRANSLATE_KERNEL | TRANSLATE_WRITE),
                };
                let address = match self.random.below(4) {
                    0 => any,
                    1 => offset,
                    _ => self.world.arena.address(at) + any % self.world.page,
                };
                [address, request, reserved << 24, 0, 0, 0, 0, 0]
            }
            Kind::Fill if !self.world.knows_fill() => [0; 8],
            Kind::Fill => [offset, length, reserved, 0, 0, 0, 0, 0],
            Kind::Copy => [other, offset, length, reserved, 0, 0, 0, 0],
            Kind::Litmus => {
                let question = round::at(offset, (any % (cpus + 1)) as u32);
                // Where the round does not come it takes two seconds: somebody may overwrite it.
                if let Some(file) = &mut self.files[slot] {
                    let _ = round::lay(file, &question);
                }
                let test = u64::from(question.test + u32::from(reserved != 0)) << 32;
                let cpu_and_test = u64::from(question.cpu) | test;
                [
                    cpu_and_test,
                    question.rounds,
                    question.data,
                    question.flag,
                    question.answer_data,
                    question.answer_flag,
                    0,
                    0,
                ]
            }
            Kind::Frame => [offset, 0, 0, 0, 0, 0, 0, 0],
            _ => [0; 8],
        }
    }

    /// A child with all the mappings, which goes on by itself for a while.
    fn fork(&mut self) {
        let steps = self.random.below(24);
        let mut random = Random::branch(self.random.next(), 1);
        let child = fork(|| {
            core::mem::swap(&mut self.random, &mut random);
            for _ in 0..steps {
                if !self.step(false) {
                    return FOUND_STRAY;
                }
            }
            0
        });
        match child.map(Child::wait) {
            Ok(Ending::Exit(0)) => {}
            Ok(Ending::Exit(status)) => exit(status),
            Ok(Ending::Killed(_)) => exit(4),
            Err(_) => self.count(ERRORS),
        }
    }
}
