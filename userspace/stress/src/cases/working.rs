// SPDX-License-Identifier: GPL-2.0-only

//! What must keep working, whatever is done to a mapping.

use super::*;

pub(super) fn relocation(c: &mut Context<'_>) -> Result<(), Stop> {
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
        c.load("word touched again", W::B, tagged(10))?;
    }
    let dropped = c.world.arena.advise(to, page, DONT_NEED);
    c.same("madvise(MADV_DONTNEED)", dropped, ())?;
    c.load("word of the last page again", to + page - 8, tagged(11))
}

pub(super) fn split(c: &mut Context<'_>) -> Result<(), Stop> {
    let mut file = c.open()?;
    let (size, page) = (c.size(), c.page());
    if c.pages() < 3 {
        return Err(Stop::Skip("it takes three pages"));
    }
    // What is mapped along with a page that is touched ends where the VMA does.
    c.map(W::A, &file)?;
    let unmapped = c.world.arena.unmap(W::A + page, page);
    c.same("munmap() in the middle", unmapped, ())?;
    c.store(W::A, tagged(15))?;
    c.store(W::A + 2 * page, tagged(16))?;
    c.faults("a load between VMAs", W::A + page, Signal::Segv)?;

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

pub(super) fn read_only(c: &mut Context<'_>) -> Result<(), Stop> {
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

/// A process that may only read cannot write by being its own debugger.
pub(super) fn read_only_by_debugger(c: &mut Context<'_>) -> Result<(), Stop> {
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

/// What the kernel is told about a VMA, as `/proc/self/smaps` shows it.
pub(super) fn area_flags(c: &mut Context<'_>) -> Result<(), Stop> {
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
    let flags = c.found.need("the VMA's flags", flags.ok_or(Errno::NOENT))?;
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
pub(super) const MARK: u64 = 8;

pub(super) fn core_dump(c: &mut Context<'_>) -> Result<(), Stop> {
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
pub(super) fn debugger(c: &mut Context<'_>) -> Result<(), Stop> {
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
    // Nothing follows the VMA.
    let mut bytes = [0; 16];
    let read = rustix::io::pread(&memory, &mut bytes, address + size - 8);
    c.same(
        "read that leaves the VMA",
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
pub(super) fn pages_are_not_lent(c: &mut Context<'_>) -> Result<(), Stop> {
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
