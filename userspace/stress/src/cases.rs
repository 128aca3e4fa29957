// SPDX-License-Identifier: GPL-2.0-only

//! Hostile cases: each does one thing that a driver can get wrong.

use core::ffi::CStr;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

use faultline_core::device::{Device, Signal};
use faultline_core::errno::Errno;
use faultline_core::text::Out;
use faultline_sys::arena::{Access, Argument, Sharing, DONT_FORK, DONT_NEED};
use faultline_sys::device::File;
use faultline_sys::stall::Stall;
use faultline_sys::task::{fork, stay_on_cpu, store_together, Child, Ending};
use faultline_uapi::{FAULTLINE_IOC_FRAME, FAULTLINE_IOC_INFO, FLAG_PRISTINE};
use rustix::fs::OFlags;
use rustix::process::{setrlimit, Resource, Rlimit, Uid};

use crate::report::{Finding, Part, Stop, Value};
use crate::world::{
    memory_info, now_ms, open_file, read_file, sleep_ms, tagged, write_file, Path, Target, World,
};

mod beside;
mod calls;
mod files;
mod races;

use beside::{
    advice_beside_faults, fork_beside_faults, move_beside_faults, protection_beside_faults,
};
use calls::{
    argument_in_the_buffer, arguments, litmus_alone, litmus_ends, litmus_outlives_its_file,
    litmus_refuses, masters, rights, translate_against_munmap, translate_follows,
    translate_refuses, unbind_against_masters,
};
use files::{flushing_and_appending, poll_hears_unbinding};
use races::{
    blocks_against_pages, unbind_against_fork, unbind_against_litmus, unbind_against_mmap,
    unbind_against_touch,
};
use World as W;

/// A case of one device.
struct Case {
    name: &'static str,
    run: fn(&mut Context<'_>) -> Result<(), Stop>,
}

macro_rules! cases {
    ($($name:ident)*) => { &[$(Case { name: stringify!($name), run: $name }),*] };
}

const CASES: &[Case] = cases! {
    private_mapping executable out_of_range growth relocation split read_only
    read_only_by_debugger area_flags core_dump debugger pages_are_not_lent fork_shares
    dont_fork advice advice_beside_faults fork_beside_faults protection_beside_faults
    move_beside_faults flushing_and_appending poll_hears_unbinding first_touch_together first_touch_of_processes fork_storm ioctls
    physical_addresses ends unreadable_memory copy_to_itself stalled_read stalled_write
    unbind_in_use unbind_cycles unbind_against_mmap unbind_against_touch
    unbind_against_fork unbind_against_litmus unbind_against_masters blocks_against_pages
    arguments argument_in_the_buffer rights translate_refuses translate_follows
    translate_against_munmap masters litmus_refuses litmus_alone litmus_ends
    litmus_outlives_its_file nothing_leaks
};

/// Once, after everything else.
const MACHINE: &[Case] = cases! { no_memory_is_forgotten };

pub(crate) fn count() -> u64 {
    CASES.len() as u64
}

pub(crate) fn machine_count() -> u64 {
    MACHINE.len() as u64
}

pub(crate) fn run(part: &mut Part<'_, '_>, world: &mut World, number: usize, cycles: u64) {
    run_all(part, world, number, cycles, CASES);
}

pub(crate) fn machine(part: &mut Part<'_, '_>, world: &mut World) {
    run_all(part, world, 0, 0, MACHINE);
}

fn run_all(part: &mut Part<'_, '_>, world: &mut World, number: usize, cycles: u64, cases: &[Case]) {
    let target = world.targets[number].clone();
    for case in cases {
        let mut context = Context {
            world,
            target: &target,
            cycles,
            found: Finding::NONE,
        };
        let cleared = context.world.clear();
        let result = context
            .found
            .need("an empty arena", cleared)
            .and_then(|()| (case.run)(&mut context));
        let found = context.found;
        part.result(case.name, result, &found);
    }
}

/// What a case has to do with.
struct Context<'w> {
    world: &'w mut World,
    target: &'w Target,
    cycles: u64,
    found: Finding,
}

impl Context<'_> {
    fn page(&self) -> u64 {
        self.world.page
    }

    /// How much of the buffer is looked at.
    fn size(&self) -> u64 {
        self.target.size.min(W::MOST)
    }

    fn pages(&self) -> u64 {
        self.size() / self.page()
    }

    fn same(
        &mut self,
        what: &'static str,
        seen: impl Into<Value>,
        want: impl Into<Value>,
    ) -> Result<(), Stop> {
        self.found.same(what, seen, want)
    }

    fn open(&mut self) -> Result<File, Stop> {
        let opened = self.target.open();
        self.found.need("open()", opened)
    }

    /// Maps what is looked at of the buffer, shared, to be read and written.
    fn map(&mut self, at: u64, file: &File) -> Result<(), Stop> {
        let size = self.size();
        let mapped = self
            .world
            .arena
            .map(at, size, file, 0, Access::BOTH, Sharing::Shared);
        self.found.need("mmap()", mapped)
    }

    fn store(&mut self, at: u64, word: u64) -> Result<(), Stop> {
        let stored = self.world.arena.store(at, word);
        self.same("a store", stored, ())
    }

    fn load(&mut self, what: &'static str, at: u64, want: u64) -> Result<(), Stop> {
        let loaded = self.world.arena.load(at);
        self.same(what, loaded, Value::Word(want))
    }

    fn faults(&mut self, what: &'static str, at: u64, want: Signal) -> Result<(), Stop> {
        let loaded = self.world.arena.load(at);
        self.same(what, loaded, want)
    }

    /// Looks at a word of the buffer by `read()`.
    fn read_word(&mut self, file: &mut File, offset: u64, want: u64) -> Result<(), Stop> {
        let mut bytes = [0; 8];
        let length = file.read_at(offset, &mut bytes);
        self.same("length of a read()", length, 8)?;
        let word = Value::Word(u64::from_ne_bytes(bytes));
        self.same("word by read()", word, Value::Word(want))
    }

    /// Waits until a number that other processes change has reached `want`.
    fn wait_for(&mut self, what: &'static str, number: &AtomicU64, want: u64) -> Result<(), Stop> {
        let deadline = now_ms() + PATIENCE_MS;
        while number.load(SeqCst) < want && now_ms() < deadline {
            sleep_ms(1);
        }
        let reached = number.load(SeqCst).min(want);
        self.same(what, reached, want)
    }

    /// The end of a process, waited for no longer than is reasonable.
    fn ending(&mut self, what: &'static str, child: Child) -> Result<(), Stop> {
        let seen = end_within(child, PATIENCE_MS);
        self.same(what, seen, Value::Status(0))
    }
}

/// How long a guest may take for what should take no time, with a kernel that checks everything
/// on a machine that has other things to do.
const PATIENCE_MS: u64 = 60_000;

fn end_within(mut child: Child, milliseconds: u64) -> Value {
    let deadline = now_ms() + milliseconds;
    loop {
        if let Some(ending) = child.ending() {
            return ending.into();
        }
        if now_ms() >= deadline {
            return Value::Text("it does not end");
        }
        sleep_ms(1);
    }
}

/// Waits, in a child, until the parent has brought a number to `want`; who never does so is gone.
fn wait_in_child(number: &AtomicU64, want: u64) {
    let deadline = now_ms() + 2 * PATIENCE_MS;
    while number.load(SeqCst) < want && now_ms() < deadline {
        sleep_ms(1);
    }
}

/// As many zeroes that the processes of a case share. A case takes them once.
fn numbers(c: &mut Context<'_>, count: usize) -> Result<&'static [AtomicU64], Stop> {
    let shared = c.world.shared.get(..count).ok_or(Errno::NOMEM);
    let shared = c.found.need("shared memory", shared)?;
    for number in shared {
        number.store(0, SeqCst);
    }
    Ok(shared)
}

// ---------------------------------------------------------------------------- what is refused

fn private_mapping(c: &mut Context<'_>) -> Result<(), Stop> {
    let file = c.open()?;
    let size = c.size();
    for access in [Access::READ, Access::BOTH] {
        let mapped = c
            .world
            .arena
            .map(W::A, size, &file, 0, access, Sharing::Private);
        c.same("mmap(MAP_PRIVATE)", mapped, Errno::INVAL)?;
    }
    Ok(())
}

fn executable(c: &mut Context<'_>) -> Result<(), Stop> {
    let file = c.open()?;
    let size = c.size();
    for access in [Access::READ | Access::EXEC, Access::BOTH | Access::EXEC] {
        let mapped = c
            .world
            .arena
            .map(W::A, size, &file, 0, access, Sharing::Shared);
        c.same("mmap(PROT_EXEC)", mapped, Errno::ACCES)?;
    }
    for touched in [false, true] {
        c.map(W::A, &file)?;
        if touched {
            c.store(W::A, tagged(1))?;
        }
        for access in [
            Access::EXEC,
            Access::READ | Access::EXEC,
            Access::BOTH | Access::EXEC,
        ] {
            let protected = c.world.arena.protect(W::A, size, access);
            c.same("mprotect(PROT_EXEC)", protected, Errno::ACCES)?;
        }
    }
    Ok(())
}

fn out_of_range(c: &mut Context<'_>) -> Result<(), Stop> {
    /// `EOVERFLOW`.
    const OVERFLOW: Errno = Errno::new(75);

    let file = c.open()?;
    let (size, page) = (c.target.size, c.page());
    // The last page of a device that mmap() lets a driver know of: it counts bytes in a `usize`.
    let last = usize::MAX as u64 - (page - 1);
    let half = 1 << (usize::BITS - 1);
    let beyond_32_bits = if last >> 32 == 0 {
        OVERFLOW
    } else {
        Errno::INVAL
    };
    for (offset, length, want) in [
        (size, page, Errno::INVAL),
        (size - page, 2 * page, Errno::INVAL),
        (0, size + page, Errno::INVAL),
        (1 << 32, page, beyond_32_bits),
        (1 << 43, page, beyond_32_bits),
        (half, page, Errno::INVAL),
        (last - page, page, Errno::INVAL),
        (last - size, size, Errno::INVAL),
        // mmap() itself sees that these go round.
        (last, page, OVERFLOW),
        (last, 2 * page, OVERFLOW),
    ] {
        if length > W::B {
            continue;
        }
        let arena = &mut c.world.arena;
        let mapped = arena.map(W::A, length, &file, offset, Access::READ, Sharing::Shared);
        c.same("mmap() out of the buffer", mapped, want)?;
    }
    let arena = &mut c.world.arena;
    let mapped = arena.map(
        W::A,
        page,
        &file,
        size - page,
        Access::BOTH,
        Sharing::Shared,
    );
    c.same("mmap() of the last page", mapped, ())?;
    c.store(W::A, tagged(2))
}

fn growth(c: &mut Context<'_>) -> Result<(), Stop> {
    let file = c.open()?;
    let (size, page) = (c.size(), c.page());
    let mut lengths = heapless::Vec::<u64, 2>::new();
    let _ = lengths.push(size);
    if size > page {
        let _ = lengths.push(page);
    }
    for length in lengths {
        let arena = &mut c.world.arena;
        let mapped = arena.map(W::A, length, &file, 0, Access::BOTH, Sharing::Shared);
        c.same("mmap()", mapped, ())?;
        c.store(W::A, tagged(3))?;
        // Nothing is in the way.
        let cleared = c.world.arena.unmap(W::A + length, page);
        c.same("munmap() of what follows", cleared, ())?;
        let grown = c.world.arena.resize(W::A, length, length + page);
        c.same("mremap() to more", grown, Errno::FAULT)?;
        let grown = c.world.arena.relocate(W::A, length, W::B, length + page);
        c.same("mremap() elsewhere, to more", grown, Errno::FAULT)?;
        // An old length of zero asks for a second mapping of the same pages.
        let doubled = c.world.arena.relocate(W::A, 0, W::B, length + page);
        c.same("mremap() of nothing, to more", doubled, Errno::FAULT)?;
        c.load("word after the refusals", W::A, tagged(3))?;
    }
    Ok(())
}

// ---------------------------------------------------------------------- what must keep working

fn relocation(c: &mut Context<'_>) -> Result<(), Stop> {
    let mut file = c.open()?;
    let (size, page) = (c.size(), c.page());
    let last = size - 8;
    c.map(W::A, &file)?;
    c.store(W::A, tagged(10))?;
    let moved = c.world.arena.relocate(W::A, size, W::B, size);
    c.same("mremap()", moved, ())?;
    c.faults("a load where it was", W::A, Signal::Segv)?;
    c.load("word at the new place", W::B, tagged(10))?;
    // This page may never have been touched.
    c.store(W::B + last, tagged(11))?;
    c.read_word(&mut file, last, tagged(11))?;

    // The last page alone, and to a place that no block can be at.
    let to = W::C + page;
    let moved = c.world.arena.relocate(W::B + size - page, page, to, page);
    c.same("mremap() of the last page", moved, ())?;
    c.load("word of the last page", to + page - 8, tagged(11))?;
    if size > page {
        c.load("word of the rest", W::B, tagged(10))?;
        let dropped = c.world.arena.advise(W::B, size - page, DONT_NEED);
        c.same("madvise(MADV_DONTNEED)", dropped, ())?;
        c.load("word touched anew", W::B, tagged(10))?;
    }
    let dropped = c.world.arena.advise(to, page, DONT_NEED);
    c.same("madvise(MADV_DONTNEED)", dropped, ())?;
    c.load("word of the last page anew", to + page - 8, tagged(11))
}

fn split(c: &mut Context<'_>) -> Result<(), Stop> {
    let mut file = c.open()?;
    let (size, page) = (c.size(), c.page());
    if c.pages() < 3 {
        return Err(Stop::Skip("it takes three pages"));
    }
    // What is mapped along with a page that is touched ends where the area does.
    c.map(W::A, &file)?;
    let unmapped = c.world.arena.unmap(W::A + page, page);
    c.same("munmap() in the middle", unmapped, ())?;
    c.store(W::A, tagged(15))?;
    c.store(W::A + 2 * page, tagged(16))?;
    c.faults("a load between areas", W::A + page, Signal::Segv)?;

    c.map(W::A, &file)?;
    for number in 0..3 {
        c.store(W::A + number * page, tagged(20 + number))?;
    }
    let unmapped = c.world.arena.unmap(W::A + page, page);
    c.same("munmap() in the middle", unmapped, ())?;
    c.faults("a load in the hole", W::A + page, Signal::Segv)?;
    c.load("word before the hole", W::A, tagged(20))?;
    c.load("word behind the hole", W::A + 2 * page, tagged(22))?;

    let behind = W::A + 2 * page;
    let protected = c.world.arena.protect(behind, page, Access::READ);
    c.same("mprotect(PROT_READ)", protected, ())?;
    c.load("word that is protected", behind, tagged(22))?;
    let stored = c.world.arena.store(behind, tagged(0));
    c.same("a store there", stored, Signal::Segv)?;
    c.store(W::A, tagged(23))?;
    let protected = c.world.arena.protect(behind, page, Access::BOTH);
    c.same("mprotect() back", protected, ())?;
    c.store(behind, tagged(24))?;
    c.store(W::A + size - 8, tagged(25))?;
    c.read_word(&mut file, 0, tagged(23))?;
    c.read_word(&mut file, page, tagged(21))?;
    c.read_word(&mut file, 2 * page, tagged(24))?;
    c.read_word(&mut file, size - 8, tagged(25))
}

fn read_only(c: &mut Context<'_>) -> Result<(), Stop> {
    let mut writer = c.open()?;
    let written = writer.write_at(0, &tagged(30).to_ne_bytes());
    c.same("write()", written, 8)?;
    let opened = File::open(c.target.path.c_str(), true);
    let mut file = c.found.need("open(O_RDONLY)", opened)?;
    let size = c.size();
    let mapped = c
        .world
        .arena
        .map(W::A, size, &file, 0, Access::BOTH, Sharing::Shared);
    c.same("mmap(PROT_WRITE) of an O_RDONLY file", mapped, Errno::ACCES)?;
    let mapped = c
        .world
        .arena
        .map(W::A, size, &file, 0, Access::READ, Sharing::Shared);
    c.same("mmap(PROT_READ)", mapped, ())?;
    for touched in [false, true] {
        if touched {
            c.load("word", W::A, tagged(30))?;
        }
        let protected = c.world.arena.protect(W::A, size, Access::BOTH);
        c.same("mprotect(PROT_WRITE)", protected, Errno::ACCES)?;
        let stored = c.world.arena.store(W::A, tagged(31));
        c.same("a store", stored, Signal::Segv)?;
    }
    let written = file.write_at(0, &[0]);
    c.same("write()", written, Errno::BADF)?;
    c.read_word(&mut file, 0, tagged(30))
}

/// Whoever may only read does not come to write by being his own debugger.
fn read_only_by_debugger(c: &mut Context<'_>) -> Result<(), Stop> {
    let mut writer = c.open()?;
    let written = writer.write_at(0, &tagged(35).to_ne_bytes());
    c.same("write()", written, 8)?;
    let opened = File::open(c.target.path.c_str(), true);
    let file = c.found.need("open(O_RDONLY)", opened)?;
    let size = c.size();
    let mapped = c
        .world
        .arena
        .map(W::A, size, &file, 0, Access::READ, Sharing::Shared);
    c.same("mmap(PROT_READ)", mapped, ())?;
    let opened = open_file(c"/proc/self/mem", OFlags::RDWR);
    let memory = c.found.need("open(/proc/self/mem)", opened)?;
    let address = c.world.arena.address(W::A);
    let word = tagged(36).to_ne_bytes();
    let written = rustix::io::pwrite(&memory, &word, address).map_err(crate::world::errno);
    c.same("write to /proc/self/mem", written.map(drop), Errno::IO)?;
    c.read_word(&mut writer, 0, tagged(35))
}

/// What the kernel is told about an area, as `/proc/self/smaps` shows it.
fn area_flags(c: &mut Context<'_>) -> Result<(), Stop> {
    let file = c.open()?;
    c.map(W::A, &file)?;
    let mut buffer = [0; 32 * 1024];
    let read = read_file(c"/proc/self/smaps", &mut buffer);
    let text = c.found.need("read of /proc/self/smaps", read)?;
    let mut address = Path::new();
    let out: &mut dyn Out = &mut address;
    out.hex(c.world.arena.address(W::A));
    let address = &address.bytes()[2..];
    let flags = text
        .split(|&byte| byte == b'\n')
        .skip_while(|line| !line.starts_with(address))
        .find_map(|line| line.strip_prefix(b"VmFlags:"));
    let flags = c
        .found
        .need("the area's flags", flags.ok_or(Errno::NOENT))?;
    let has = |flag: &[u8]| flags.split(|&byte| byte == b' ').any(|other| other == flag);
    for (what, flag, want) in [
        ("VmFlags sh: shared", b"sh", 1),
        ("VmFlags me: may become executable", b"me", 0),
        ("VmFlags io: pages are not lent", b"io", 1),
        ("VmFlags mm: mixed map", b"mm", 1),
        ("VmFlags de: does not expand", b"de", 1),
        ("VmFlags dd: not dumped", b"dd", 1),
    ] {
        c.same(what, u64::from(has(flag)), want)?;
    }
    Ok(())
}

/// Enough words in a row that nothing else looks like them.
const MARK: u64 = 8;

fn core_dump(c: &mut Context<'_>) -> Result<(), Stop> {
    const PATTERN: &CStr = c"/proc/sys/kernel/core_pattern";
    const FILE: &CStr = c"/tmp/core";
    const KEY_BUFFER: u64 = 0x0040_0000;
    const KEY_MEMORY: u64 = 0x0041_0000;

    // A kernel without this file dumps to `core`, where the process is.
    let named = write_file(PATTERN, FILE.to_bytes());
    if named != Err(Errno::NOENT) {
        c.same("name of the core file", named, ())?;
    }
    let file = c.open()?;
    c.map(W::A, &file)?;
    for number in 0..MARK {
        c.store(W::A + 8 * number, tagged(KEY_BUFFER + number))?;
        c.store(W::MEMORY + 8 * number, tagged(KEY_MEMORY + number))?;
    }
    let child = fork(|| {
        let all = Rlimit {
            current: None,
            maximum: None,
        };
        if setrlimit(Resource::Core, all).is_err() || rustix::process::chdir(c"/tmp").is_err() {
            return 1;
        }
        let own = rustix::process::getpid();
        let _ = rustix::process::kill_process(own, rustix::process::Signal::ABORT);
        2
    });
    let child = c.found.need("fork()", child)?;
    let ending = child.wait();
    c.same("end of a process", ending, Ending::Killed(6))?;

    let opened = open_file(FILE, OFlags::RDONLY);
    if opened.as_ref().err() == Some(&Errno::NOENT) {
        return Err(Stop::Skip("this kernel dumps no core"));
    }
    let dump = c.found.need("open(/tmp/core)", opened)?;
    let (mut in_memory, mut in_buffer) = (0, 0);
    let mut block = [0; 4096];
    loop {
        let length = rustix::io::read(&dump, &mut block).map_err(crate::world::errno);
        let length = c.found.need("read of the core file", length)?;
        if length == 0 {
            break;
        }
        // Segments begin at multiples of a page in the file as in memory.
        let begins_with = |key: u64| {
            (0..MARK)
                .zip(block.chunks_exact(8))
                .all(|(number, word)| word == tagged(key + number).to_ne_bytes())
        };
        in_memory += u64::from(begins_with(KEY_MEMORY));
        in_buffer += u64::from(begins_with(KEY_BUFFER));
    }
    let _ = rustix::fs::unlink(FILE);
    c.same("ordinary memory in the core file", in_memory, 1)?;
    c.same("the buffer in the core file", in_buffer, 0)
}

/// `ptrace()` and gdb go the way of `/proc/PID/mem`.
fn debugger(c: &mut Context<'_>) -> Result<(), Stop> {
    let mut file = c.open()?;
    let (size, page) = (c.size(), c.page());
    c.map(W::A, &file)?;
    let shared = numbers(c, 2)?;
    let child = fork(|| {
        shared[0].store(1, SeqCst);
        wait_in_child(&shared[1], 1);
        0
    });
    let child = c.found.need("fork()", child)?;
    c.wait_for("a process that is debugged", &shared[0], 1)?;

    let path = Path::with("/proc/", child.pid().into(), "/mem");
    let opened = open_file(path.c_str(), OFlags::RDWR);
    let memory = c.found.need("open(/proc/PID/mem)", opened)?;
    let address = c.world.arena.address(W::A);
    // Pages that nobody has touched, and a word that lies in two of them.
    for (offset, number) in [(0, 40), (size - 8, 41), (page - 4, 42)] {
        if offset + 8 > size {
            continue;
        }
        let word = tagged(number).to_ne_bytes();
        let written = rustix::io::pwrite(&memory, &word, address + offset);
        let written = written.map(|n| n as u64).map_err(crate::world::errno);
        // The one architecture here without HAVE_IOREMAP_PROT, by which the kernel asks drivers.
        if cfg!(target_arch = "arm") && written == Err(Errno::IO) {
            return Err(Stop::Skip("debuggers do not see such memory on ARM"));
        }
        c.same("write to /proc/PID/mem", written, 8)?;
        c.read_word(&mut file, offset, tagged(number))?;
        let written = file.write_at(offset, &tagged(number + 10).to_ne_bytes());
        c.same("write()", written, 8)?;
        let mut bytes = [0; 8];
        let read = rustix::io::pread(&memory, &mut bytes, address + offset);
        c.same(
            "read of /proc/PID/mem",
            read.map(|n| n as u64).map_err(crate::world::errno),
            8,
        )?;
        let word = Value::Word(u64::from_ne_bytes(bytes));
        c.same(
            "word in /proc/PID/mem",
            word,
            Value::Word(tagged(number + 10)),
        )?;
    }
    // Nothing follows the area.
    let mut bytes = [0; 16];
    let read = rustix::io::pread(&memory, &mut bytes, address + size - 8);
    c.same(
        "read that leaves the area",
        read.map(|n| n as u64).map_err(crate::world::errno),
        8,
    )?;

    let unbound = c.target.unbind();
    c.same("unbind", unbound, ())?;
    let read = rustix::io::pread(&memory, &mut bytes[..8], address);
    let seen = read.map(|n| n as u64).map_err(crate::world::errno);
    let bound = c.target.bind();
    shared[1].store(1, SeqCst);
    c.same("read of /proc/PID/mem after unbind", seen, Errno::IO)?;
    c.same("bind", bound, ())?;
    c.ending("end of the process", child)
}

/// The memory is not the page allocator's to lend: direct I/O and the like are refused, and no
/// reference is taken, or dropped, that was not counted.
fn pages_are_not_lent(c: &mut Context<'_>) -> Result<(), Stop> {
    let mut file = c.open()?;
    let (size, page) = (c.size(), c.page());
    let made = rustix::pipe::pipe().map_err(crate::world::errno);
    let (_reader, pipe) = c.found.need("pipe()", made)?;
    c.map(W::A, &file)?;
    let shared = numbers(c, 2)?;
    for touched in [false, true] {
        if touched {
            c.store(W::A, tagged(50))?;
            c.store(W::A + size - 8, tagged(51))?;
        }
        for at in [W::A, W::A + size - page] {
            for _ in 0..4 {
                let lent = c.world.arena.splice_into(at, page, &pipe);
                c.same("vmsplice()", lent, Errno::FAULT)?;
            }
        }
    }
    let child = fork(|| {
        shared[0].store(1, SeqCst);
        wait_in_child(&shared[1], 1);
        0
    });
    let child = c.found.need("fork()", child)?;
    c.wait_for("another process", &shared[0], 1)?;
    let address = c.world.arena.address(W::A);
    for (what, write) in [("process_vm_readv()", false), ("process_vm_writev()", true)] {
        let copied = c
            .world
            .arena
            .copy_of_process(W::MEMORY, page, child.pid(), address, write);
        if copied != Err(Errno::NOSYS) {
            c.same(what, copied, Errno::FAULT)?;
        }
    }
    shared[1].store(1, SeqCst);
    c.ending("end of the other process", child)?;
    c.read_word(&mut file, 0, tagged(50))?;
    c.read_word(&mut file, size - 8, tagged(51))
}

// ------------------------------------------------------------------------- several at a time

fn fork_shares(c: &mut Context<'_>) -> Result<(), Stop> {
    const CHILDREN: u64 = 6;

    let mut file = c.open()?;
    c.map(W::A, &file)?;
    let (size, page) = (c.size(), c.page());
    // Of the first page the children get the entry, if they get any; the last they touch anew.
    c.store(W::A, tagged(60))?;
    let place = |child: u64| W::A + (size - page) + 8 * (child + 1);
    for child in 0..CHILDREN {
        let arena = &mut c.world.arena;
        let process = fork(|| {
            if arena.load(W::A) != Ok(tagged(60 + child)) {
                return 1;
            }
            i32::from(arena.store(place(child), tagged(70 + child)).is_err()) * 2
        });
        let process = c.found.need("fork()", process)?;
        c.ending("end of a child that loads and stores", process)?;
        c.load("word that a child stored", place(child), tagged(70 + child))?;
        c.store(W::A, tagged(61 + child))?;
    }
    let read = place(0) - W::A;
    c.read_word(&mut file, read, tagged(70))
}

fn dont_fork(c: &mut Context<'_>) -> Result<(), Stop> {
    let file = c.open()?;
    let size = c.size();
    c.map(W::A, &file)?;
    c.store(W::A, tagged(80))?;
    let advised = c.world.arena.advise(W::A, size, DONT_FORK);
    c.same("madvise(MADV_DONTFORK)", advised, ())?;
    let arena = &mut c.world.arena;
    let process = fork(|| match arena.load(W::A) {
        Err(fault) if fault.signal == Signal::Segv => 0,
        _ => 1,
    });
    let process = c.found.need("fork()", process)?;
    c.ending("end of a child without the area", process)?;
    c.load("word after fork()", W::A, tagged(80))
}

/// Advice and locks change nothing that can be seen.
fn advice(c: &mut Context<'_>) -> Result<(), Stop> {
    let mut file = c.open()?;
    let size = c.size();
    c.map(W::A, &file)?;
    for (number, &advice) in faultline_sys::arena::ADVICE.iter().enumerate() {
        if advice == DONT_FORK {
            continue;
        }
        let word = tagged(90 + number as u64);
        c.store(W::A + size - 8, word)?;
        // Many a number is refused, and which is the kernel's affair.
        let _ = c.world.arena.advise(W::A, size, advice);
        c.load("word after advice", W::A + size - 8, word)?;
        c.read_word(&mut file, size - 8, word)?;
    }
    let locked = c.world.arena.lock(W::A, size);
    c.same("mlock()", locked, ())?;
    let mapped = c
        .world
        .arena
        .map(W::B, size, &file, 0, Access::BOTH, Sharing::Populated);
    c.same("mmap(MAP_POPULATE)", mapped, ())?;
    c.store(W::B, tagged(130))?;
    c.load("word by the first mapping", W::A, tagged(130))
}

/// Tasks of one process, one on each CPU, touch first: the same page, the pages of one batch, or
/// those of one block.
fn first_touch_together(c: &mut Context<'_>) -> Result<(), Stop> {
    const ROUNDS: u64 = 48;
    const MOST: usize = 8;

    let mut file = c.open()?;
    let (size, page) = (c.size(), c.page());
    let cpus = c.world.cpus.min(MOST);
    for round in 0..ROUNDS {
        c.map(W::A, &file)?;
        let mut at = [0; MOST];
        let mut words = [0; MOST];
        let start = round * page % size;
        for task in 0..cpus {
            let number = task as u64;
            let offset = match round % 3 {
                0 => start,
                1 => (start + number * page) % size,
                _ => (start + number * 61 * page) % size,
            };
            // A word of its own for each task, wherever the others are.
            at[task] = W::A + offset + 8 * number;
            words[task] = tagged(200 + 16 * round + number);
        }
        let arena = &mut c.world.arena;
        let stored = store_together(arena, W::A, size, &at[..cpus], &words[..cpus]);
        let stored = c.found.need("tasks of this process", stored)?;
        c.same("stores at the same time", stored, ())?;
        for task in 0..cpus {
            c.load("word that a task stored", at[task], words[task])?;
            c.read_word(&mut file, at[task] - W::A, words[task])?;
        }
    }
    Ok(())
}

/// The same from processes, which share nothing but the buffer.
fn first_touch_of_processes(c: &mut Context<'_>) -> Result<(), Stop> {
    const ROUNDS: u64 = 4;

    let mut file = c.open()?;
    let shared = numbers(c, 1)?;
    let (cpus, page, pages) = (c.world.cpus.min(8), c.page(), c.pages());
    for round in 0..ROUNDS {
        c.map(W::A, &file)?;
        let offset = round % pages * page;
        shared[0].store(0, SeqCst);
        let mut children = heapless::Vec::<Child, 8>::new();
        for cpu in 0..cpus {
            let arena = &mut c.world.arena;
            let number = cpu as u64;
            let child = fork(|| {
                if stay_on_cpu(cpu).is_err() {
                    return 1;
                }
                shared[0].fetch_add(1, SeqCst);
                wait_in_child(&shared[0], cpus as u64);
                let word = tagged(300 + 16 * round + number);
                i32::from(arena.store(W::A + offset + 8 * number, word).is_err()) * 2
            });
            let child = c.found.need("fork()", child)?;
            let _ = children.push(child);
        }
        for child in children {
            c.ending("end of a process that stores", child)?;
        }
        for number in 0..cpus as u64 {
            c.read_word(
                &mut file,
                offset + 8 * number,
                tagged(300 + 16 * round + number),
            )?;
        }
    }
    Ok(())
}

/// Many processes with the area at once, each of which does something else to it.
fn fork_storm(c: &mut Context<'_>) -> Result<(), Stop> {
    const WIDE: u64 = 8;
    const DEEP: u64 = 3;

    let file = c.open()?;
    let (size, page) = (c.size(), c.page());
    c.map(W::A, &file)?;
    c.store(W::A, tagged(400))?;
    let mut children = heapless::Vec::<Child, { WIDE as usize }>::new();
    for number in 0..WIDE {
        let arena = &mut c.world.arena;
        let child = fork(|| {
            if arena.load(W::A) != Ok(tagged(400)) {
                return 1;
            }
            let mut below = heapless::Vec::<Child, { DEEP as usize }>::new();
            for step in 0..DEEP {
                let own = W::A + (number * DEEP + step) * page % size;
                let Ok(child) = fork(|| {
                    let done = arena.store(own + 8 * (number * DEEP + step + 1), tagged(401));
                    let done = done.is_ok() && arena.unmap(own, page).is_ok();
                    let gone = arena.load(own).is_err();
                    i32::from(!(done && gone)) * 3
                }) else {
                    return 4;
                };
                let _ = below.push(child);
            }
            let ended = below
                .into_iter()
                .all(|child| child.wait() == Ending::Exit(0));
            i32::from(!ended || arena.unmap(W::A, size).is_err()) * 5
        });
        let child = c.found.need("fork()", child)?;
        let _ = children.push(child);
    }
    for child in children {
        c.ending("end of a process that forks", child)?;
    }
    c.load("word after the storm", W::A, tagged(400))
}

// ------------------------------------------------------------------------ calls with bad values

fn ioctls(c: &mut Context<'_>) -> Result<(), Stop> {
    /// Of the number of a command: the direction and the size.
    const READ_WRITE: u32 = 3 << 30;

    let file = c.open()?;
    let good = Argument::At(W::MEMORY);
    for command in [
        FAULTLINE_IOC_INFO + 2,
        FAULTLINE_IOC_INFO + (8 << 16),
        FAULTLINE_IOC_INFO - (8 << 16),
        FAULTLINE_IOC_INFO & 0xffff,
        FAULTLINE_IOC_INFO | READ_WRITE,
        FAULTLINE_IOC_FRAME ^ READ_WRITE,
        FAULTLINE_IOC_FRAME - 0x100,
    ] {
        let answer = c.world.arena.ioctl(&file, command, good);
        c.same("ioctl() that there is not", answer, Errno::NOTTY)?;
    }
    Ok(())
}

/// Who has no capability.
const NOBODY: u32 = 65534;

fn physical_addresses(c: &mut Context<'_>) -> Result<(), Stop> {
    let mut file = c.open()?;
    let size = c.target.size;
    for offset in [size, size + 1, 1 << 63, u64::MAX] {
        let address = file.physical_address(offset).map(drop);
        c.same("FRAME out of the buffer", address, Errno::INVAL)?;
    }
    let address = file.physical_address(size - 1).map(drop);
    c.same("FRAME of the last byte", address, ())?;
    let child = fork(|| {
        if rustix::thread::set_thread_uid(Uid::from_raw(NOBODY)).is_err() {
            return 1;
        }
        i32::from(file.physical_address(0) != Err(Errno::PERM)) * 2
    });
    let child = c.found.need("fork()", child)?;
    c.ending("end of nobody, who gets EPERM", child)
}

fn ends(c: &mut Context<'_>) -> Result<(), Stop> {
    use rustix::fs::{seek, SeekFrom};

    let mut file = c.open()?;
    let size = c.target.size;
    for (offset, want) in [
        (size, Value::Count(0)),
        (size + 1, Value::Count(0)),
        (1 << 62, Value::Count(0)),
        (1 << 63, Errno::INVAL.into()),
        (size - 3, Value::Count(3)),
    ] {
        let length = file.read_at(offset, &mut [0; 8]);
        c.same("length of a read() at the end", length, want)?;
    }
    for (offset, want) in [
        (size, Errno::NOSPC.into()),
        (1 << 62, Errno::NOSPC.into()),
        (1 << 63, Errno::INVAL.into()),
        (size - 8, Value::Count(8)),
    ] {
        let bytes = [0; 8];
        let length = file.write_at(offset, &bytes);
        c.same("length of a write() at the end", length, want)?;
    }
    let length = file.write_at(size - 3, &[0; 8]);
    c.same("length of a write() over the end", length, 3)?;
    for (to, want) in [
        (SeekFrom::Start(size), Value::Count(size)),
        (SeekFrom::Start(size + 1), Errno::INVAL.into()),
        (SeekFrom::End(0), Value::Count(size)),
        (SeekFrom::End(1), Errno::INVAL.into()),
        (SeekFrom::Current(i64::MIN), Errno::INVAL.into()),
        (SeekFrom::Start(0), Value::Count(0)),
    ] {
        let position = seek(&file, to).map_err(crate::world::errno);
        c.same("lseek()", position, want)?;
    }
    Ok(())
}

/// Memory that cannot be brought in: what there was of it counts, then EFAULT.
fn unreadable_memory(c: &mut Context<'_>) -> Result<(), Stop> {
    let file = c.open()?;
    let page = c.page();
    // What `clear` has left there: nothing may be touched.
    let length = c.world.arena.read_at(W::C, page, &file, 0);
    c.same("read() to PROT_NONE", length, Errno::FAULT)?;
    let length = c.world.arena.write_at(W::C, page, &file, 0);
    c.same("write() from PROT_NONE", length, Errno::FAULT)?;
    let mapped = c.world.arena.map_memory(W::C, page, Access::BOTH);
    c.same("mmap(MAP_ANONYMOUS)", mapped, ())?;
    let half = W::C + page / 2;
    let want = (page / 2).min(c.size());
    // At the end of a buffer of one page nothing is missing.
    let length = c.world.arena.read_at(half, page, &file, 0);
    c.same("read() to half of it", length, want)?;
    let length = c.world.arena.write_at(half, page, &file, 0);
    c.same("write() from half of it", length, want)
}

/// Copies between the buffer and a mapping of the same buffer.
fn copy_to_itself(c: &mut Context<'_>) -> Result<(), Stop> {
    let mut file = c.open()?;
    let (size, page) = (c.size(), c.page());
    for read in [false, true] {
        // Not touched before: the copy itself has to bring it in.
        c.map(W::A, &file)?;
        let written = file.write_at(0, &tagged(500).to_ne_bytes());
        c.same("write()", written, 8)?;
        // Over itself, and, if there is another, from one page to the next.
        for (from, to) in [(0, 0), (0, size - page)] {
            let length = if read {
                c.world.arena.read_at(W::A + to, page, &file, from)
            } else {
                c.world.arena.write_at(W::A + from, page, &file, to)
            };
            c.same("length of a copy", length, page)?;
            c.load("word that was copied", W::A + to, tagged(500))?;
        }
        let cleared = file.write_at(size - page, &[0; 8]);
        c.same("write()", cleared, 8)?;
    }
    Ok(())
}

// ------------------------------------------------------------------------------------- unbind

/// The exit status of a child that cannot do what it is for.
const CANNOT: i32 = 77;

fn stalled_read(c: &mut Context<'_>) -> Result<(), Stop> {
    stalled(c, false)
}

fn stalled_write(c: &mut Context<'_>) -> Result<(), Stop> {
    stalled(c, true)
}

/// A process whose memory never comes must not hold up an unbind.
fn stalled(c: &mut Context<'_>, write: bool) -> Result<(), Stop> {
    let file = c.open()?;
    let page = c.page();
    let shared = numbers(c, 1)?;
    let arena = &mut c.world.arena;
    let child = fork(|| {
        let Ok(_stall) = Stall::new(arena, W::C, page) else {
            return CANNOT;
        };
        shared[0].store(1, SeqCst);
        let _ = if write {
            arena.write_at(W::C, page, &file, 0)
        } else {
            arena.read_at(W::C, page, &file, 0)
        };
        0
    });
    let mut child = c.found.need("fork()", child)?;
    let deadline = now_ms() + PATIENCE_MS;
    while shared[0].load(SeqCst) == 0 && now_ms() < deadline {
        match child.ending() {
            Some(Ending::Exit(CANNOT)) => return Err(Stop::Skip("this kernel has no userfaultfd")),
            Some(ending) => c.same("end of a process that shall wait", ending, "none")?,
            None => sleep_ms(10),
        }
    }
    // It is on its way into the call.
    sleep_ms(300);
    let ending = child.ending().map_or(Value::Text("waits"), Value::from);
    c.same("a copy to memory that never comes", ending, "waits")?;

    let target = c.target;
    let unbind = fork(|| i32::from(target.unbind().is_err()));
    let unbind = c.found.need("fork()", unbind)?;
    let mut seen = Value::Text("hangs");
    let mut unbind = Some(unbind);
    let deadline = now_ms() + PATIENCE_MS / 3;
    while now_ms() < deadline {
        if let Some(ending) = unbind.as_mut().and_then(Child::ending) {
            seen = ending.into();
            unbind = None;
            break;
        }
        sleep_ms(5);
    }
    let still = child.ending().map_or(Value::Text("waits"), Value::from);
    child.kill();
    child.wait();
    // With the copy gone it ends, if it has not before.
    if let Some(unbind) = unbind {
        unbind.wait();
    }
    let bound = c.target.bind();
    c.same("unbind meanwhile", seen, Value::Status(0))?;
    c.same("the copy, after unbind", still, "waits")?;
    c.same("bind", bound, ())
}

/// The statuses of a process that looks at a device that is gone: 0, or which look failed.
fn look_at_the_remains(world: &mut World, file: &mut File, size: u64) -> i32 {
    let arena = &mut world.arena;
    let page = world.page;
    let is_bus = |result: Result<(), faultline_core::device::Fault>| matches!(result, Err(fault) if fault.signal == Signal::Bus);
    for mapping in [W::A, W::B] {
        for at in (0..size).step_by(page as usize) {
            if !is_bus(arena.load(mapping + at).map(drop)) {
                return 1;
            }
        }
        if !is_bus(arena.store(mapping, 0)) {
            return 2;
        }
    }
    let answers = [
        file.read_at(0, &mut [0; 8]).map(drop),
        file.read_at(size, &mut [0; 8]).map(drop),
        file.write_at(0, &[0; 8]).map(drop),
        file.write_at(size, &[0; 8]).map(drop),
        arena.map(W::C, page, &*file, 0, Access::READ, Sharing::Shared),
        rustix::fs::seek(&*file, rustix::fs::SeekFrom::End(0))
            .map(drop)
            .map_err(crate::world::errno),
    ];
    for (number, answer) in (10..).zip(answers.into_iter().chain(calls::each(file))) {
        if answer != Err(Errno::NODEV) {
            return number;
        }
    }
    // What there is left of the area can still be moved, cut and copied.
    if arena.relocate(W::A, size, W::C, size).is_err() || !is_bus(arena.store(W::C, 0)) {
        return 30;
    }
    match fork(|| i32::from(!is_bus(arena.store(W::C, 0)))).map(Child::wait) {
        Ok(Ending::Exit(0)) => 0,
        _ => 31,
    }
}

fn unbind_in_use(c: &mut Context<'_>) -> Result<(), Stop> {
    const PROCESSES: u64 = 4;

    let mut file = c.open()?;
    let size = c.size();
    // One mapping of each process is touched, the other is not.
    c.map(W::A, &file)?;
    c.map(W::B, &file)?;
    let shared = numbers(c, 2)?;
    let mut children = heapless::Vec::<Child, { PROCESSES as usize }>::new();
    for number in 0..PROCESSES {
        let (world, file) = (&mut *c.world, &mut file);
        let child = fork(|| {
            for at in (0..size).step_by(world.page as usize) {
                if world
                    .arena
                    .store(W::A + at + 8 * number, tagged(600))
                    .is_err()
                {
                    return 100;
                }
            }
            shared[0].fetch_add(1, SeqCst);
            wait_in_child(&shared[1], 1);
            look_at_the_remains(world, file, size)
        });
        let child = c.found.need("fork()", child)?;
        let _ = children.push(child);
    }
    c.wait_for("processes that use the buffer", &shared[0], PROCESSES)?;
    c.store(W::A + 8 * PROCESSES, tagged(601))?;
    let unbound = c.target.unbind();
    shared[1].store(1, SeqCst);
    c.same("unbind", unbound, ())?;
    let opened = c.target.open().map(drop);
    c.same("open() of what is gone", opened, Errno::NOENT)?;
    let remains = look_at_the_remains(c.world, &mut file, size);
    c.same(
        "which remains are not as they should be",
        Value::Status(remains),
        Value::Status(0),
    )?;
    for child in children {
        c.ending("the same in another process", child)?;
    }
    let bound = c.target.bind();
    c.same("bind", bound, ())?;
    is_fresh(c)?;
    c.faults("an old mapping", W::C, Signal::Bus)?;
    let read = file.read_at(0, &mut [0; 8]);
    c.same("read() of an old file", read, Errno::NODEV)
}

/// A buffer that was just bound: nobody has used it, and it is all zeroes.
fn is_fresh(c: &mut Context<'_>) -> Result<(), Stop> {
    let info = c.target.info();
    let info = c.found.need("INFO", info)?;
    c.same(
        "FLAG_PRISTINE",
        u64::from(info.flags & FLAG_PRISTINE),
        u64::from(FLAG_PRISTINE),
    )?;
    let mut file = c.open()?;
    let mut block = [0; 4096];
    let mut stray = 0;
    let mut offset = 0;
    while offset < c.size() {
        let length = file.read_at(offset, &mut block);
        let length = c.found.need("read()", length)?;
        let bytes = &block[..length as usize];
        stray += bytes.iter().filter(|&&byte| byte != 0).count() as u64;
        offset += length.max(1);
    }
    c.same("bytes that are not zero", stray, 0)
}

/// Unbinds and binds under live mappings, which pile up.
fn unbind_cycles(c: &mut Context<'_>) -> Result<(), Stop> {
    let size = c.size();
    for cycle in 0..c.cycles {
        let file = c.open()?;
        // The arena's last place keeps one from two cycles ago.
        let at = [W::A, W::B, W::C][cycle as usize % 3];
        c.map(at, &file)?;
        for offset in [0, (size / 2) & !7, size - 8] {
            c.load("word of a fresh buffer", at + offset, 0)?;
            c.store(at + offset, tagged(700 + cycle))?;
        }
        let unbound = c.target.unbind();
        c.same("unbind", unbound, ())?;
        c.faults("a load after unbind", at, Signal::Bus)?;
        let bound = c.target.bind();
        c.same("bind", bound, ())?;
        c.faults("a load by the old mapping", at + size - 8, Signal::Bus)?;
    }
    let cycles = c.cycles;
    c.same("cycles", cycles, cycles)
}

/// Cycles with a buffer so large that it would be missed.
fn nothing_leaks(c: &mut Context<'_>) -> Result<(), Stop> {
    const LARGE: u64 = 1 << 20;
    const CYCLES: u64 = 12;

    let size = c.size();
    if size < LARGE {
        return Err(Stop::Skip("only a large buffer would be missed"));
    }
    let mut before = 0;
    // What the first cycles take, such as for caches, is not taken again.
    for cycle in 0..CYCLES + 2 {
        if cycle == 2 {
            let free = memory_info(b"MemFree:");
            before = c.found.need("MemFree", free)?;
        }
        let file = c.open()?;
        c.map(W::A, &file)?;
        for at in (0..size).step_by(c.page() as usize) {
            c.store(W::A + at, tagged(800))?;
        }
        let bound = c.target.unbind().and_then(|()| c.target.bind());
        c.same("unbind and bind", bound, ())?;
    }
    let after = memory_info(b"MemFree:");
    let after = c.found.need("MemFree", after)?;
    let lost = before.saturating_sub(after) * 1024 / size;
    c.same(
        "buffers that are missing from MemFree",
        lost / (CYCLES / 2),
        0,
    )
}

/// With a kernel that keeps account: asks for what was allocated and that nobody points at.
fn no_memory_is_forgotten(c: &mut Context<'_>) -> Result<(), Stop> {
    const KMEMLEAK: &CStr = c"/sys/kernel/debug/kmemleak";
    /// What is younger is not yet judged (`MSECS_MIN_AGE` in mm/kmemleak.c).
    const AGE_MS: u64 = 6000;

    if read_file(KMEMLEAK, &mut [0; 1]) == Err(Errno::NOENT) {
        return Err(Stop::Skip("this kernel has no kmemleak"));
    }
    sleep_ms(AGE_MS);
    // What is found once may be on its way from one place to another.
    for _ in 0..2 {
        let scanned = write_file(KMEMLEAK, b"scan");
        c.same("scan", scanned, ())?;
    }
    let mut buffer = [0; 4096];
    let read = read_file(KMEMLEAK, &mut buffer);
    let text = c.found.need("read of kmemleak", read)?;
    let leaks = text
        .split(|&byte| byte == b'\n')
        .filter(|line| line.starts_with(b"unreferenced object"));
    let leaks = leaks.count() as u64;
    c.same("objects that kmemleak suspects", leaks, 0)
}
