// SPDX-License-Identifier: GPL-2.0-only

//! What keeps working, whatever is done to a mapping.

use core::sync::atomic::Ordering::SeqCst;

use faultline_core::device::{Device, Signal};
use faultline_core::errno::Errno;
use faultline_core::finding::{Stop, Value};
use faultline_sys::arena::{Access, Sharing, ADVICE, DONT_FORK, DONT_NEED};
use faultline_sys::child::fork;
use faultline_sys::file::flush;
use rustix::fs::OFlags;

use super::context::{numbers, wait_in_child, Context};
use super::Case;
use crate::world::{errno, open_file, tagged, Path, World as W};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "relocation",
        proves: "A mapping that mremap() has moved, as a whole or in part, shows the same memory; \
            nothing is left at the old place.",
        steps: relocation,
    },
    Case {
        name: "split",
        proves: "Both parts of a mapping with a hole show the same memory, mprotect() of one part \
            leaves the other alone, and no fault maps more than its VMA.",
        steps: split,
    },
    Case {
        name: "advice",
        proves: "madvise(), mlock() and MAP_POPULATE change nothing that a program can see.",
        steps: advice,
    },
    Case {
        name: "dont_fork",
        proves: "A child does not have the mapping after MADV_DONTFORK, and its parent keeps it.",
        steps: dont_fork,
    },
    Case {
        name: "fork_shares",
        proves: "Parent and children store and load the same memory, whether a page was touched \
            before fork() or not.",
        steps: fork_shares,
    },
    Case {
        name: "debugger",
        proves: "A debugger reads and writes the buffer through /proc/PID/mem, in pages that \
            nobody has touched, too; after an unbinding it gets EIO.",
        steps: debugger,
    },
    Case {
        name: "copy_to_itself",
        proves: "read() and write() between the buffer and a mapping of the same buffer copy, and \
            do not hang.",
        steps: copy_to_itself,
    },
    Case {
        name: "absent_memory",
        proves: "read() and write() bring in user memory that is not present, and lose no byte of it.",
        steps: absent_memory,
    },
    Case {
        name: "flushing_and_appending",
        proves: "fsync() and msync() succeed, and a file with O_APPEND has no room to write to.",
        steps: flushing_and_appending,
    },
    Case {
        name: "vectors",
        proves: "preadv() and pwritev() transfer as pread() and pwrite() do, up to the end of the buffer and \
            of memory that is there.",
        steps: vectors,
    },
];

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

    // The last page alone, and to an address that no PMD can map.
    let to = W::C + page;
    let moved = c.world.arena.relocate(W::B + size - page, page, to, page);
    c.same("mremap() of the last page", moved, ())?;
    c.load("word of the last page", to + page - 8, tagged(11))?;
    if size > page {
        c.load("word of the rest", W::B, tagged(10))?;
        let dropped = c.world.arena.drop_pages(W::B, size - page, &file, 0);
        c.same("madvise(MADV_DONTNEED)", dropped, ())?;
        c.load("word touched again", W::B, tagged(10))?;
    }
    let dropped = c.world.arena.drop_pages(to, page, &file, size - page);
    c.same("madvise(MADV_DONTNEED)", dropped, ())?;
    c.load("word of the last page again", to + page - 8, tagged(11))
}

fn split(c: &mut Context<'_>) -> Result<(), Stop> {
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

fn advice(c: &mut Context<'_>) -> Result<(), Stop> {
    let mut file = c.open()?;
    let size = c.size();
    c.map(W::A, &file)?;
    for (number, &advice) in ADVICE.iter().enumerate() {
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
    let process = c.need("fork()", process)?;
    c.ending("end of a child without the VMA", process)?;
    c.load("word after fork()", W::A, tagged(80))
}

fn fork_shares(c: &mut Context<'_>) -> Result<(), Stop> {
    const CHILDREN: u64 = 6;

    let mut file = c.open()?;
    c.map(W::A, &file)?;
    let (size, page) = (c.size(), c.page());
    // Of the first page the children get the entry, if they get any; the last they touch again.
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
        let process = c.need("fork()", process)?;
        c.ending("end of a child that loads and stores", process)?;
        c.load("word that a child stored", place(child), tagged(70 + child))?;
        c.store(W::A, tagged(61 + child))?;
    }
    let read = place(0) - W::A;
    c.read_word(&mut file, read, tagged(70))
}

fn debugger(c: &mut Context<'_>) -> Result<(), Stop> {
    let mut file = c.open()?;
    let (size, page) = (c.size(), c.page());
    c.map(W::A, &file)?;
    let shared = numbers::<2>(c);
    let child = fork(|| {
        shared[0].store(1, SeqCst);
        wait_in_child(&shared[1], 1);
        0
    });
    let child = c.need("fork()", child)?;
    c.wait_for("a process that is debugged", &shared[0], 1)?;

    let path = Path::new(format_args!("/proc/{}/mem", child.pid()));
    let opened = open_file(path.c_str(), OFlags::RDWR);
    let memory = c.need("open(/proc/PID/mem)", opened)?;
    let address = c.world.arena.address(W::A);
    // Pages that nobody has touched, and a word that lies in two of them.
    for (offset, number) in [(0, 40), (size - 8, 41), (page - 4, 42)] {
        if offset + 8 > size {
            continue;
        }
        let word = tagged(number).to_ne_bytes();
        let written = rustix::io::pwrite(&memory, &word, address + offset);
        let written = written.map(|n| n as u64).map_err(errno);
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
            read.map(|n| n as u64).map_err(errno),
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
        read.map(|n| n as u64).map_err(errno),
        8,
    )?;

    let unbound = c.target.unbind();
    c.same("unbind", unbound, ())?;
    let read = rustix::io::pread(&memory, &mut bytes[..8], address);
    let seen = read.map(|n| n as u64).map_err(errno);
    let bound = c.target.bind();
    shared[1].store(1, SeqCst);
    c.same("read of /proc/PID/mem after unbind", seen, Errno::IO)?;
    c.same("bind", bound, ())?;
    c.ending("end of the process", child)
}

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

fn absent_memory(c: &mut Context<'_>) -> Result<(), Stop> {
    let file = c.open()?;
    let length = c.size().min(4 * c.page());
    let places = || (0..length).step_by(8);
    c.map(W::A, &file)?;
    for in_one_piece in [true, false] {
        for at in places() {
            c.store(W::A + at, tagged(at))?;
        }
        let mapped = c.world.arena.map_memory(W::C, length, Access::BOTH);
        c.same("mmap(MAP_ANONYMOUS)", mapped, ())?;
        let halves = [(W::C, length / 2), (W::C + length / 2, length / 2)];
        let arena = &mut c.world.arena;
        let read = if in_one_piece {
            arena.read_at(W::C, length, &file, 0)
        } else {
            arena.read_vectors(halves, &file, 0)
        };
        c.same("read() into memory that is not present", read, length)?;
        for at in places() {
            c.load("word that was read", W::C + at, tagged(at))?;
        }

        // Memory that was dropped is not present, and zero.
        let dropped = c.world.arena.advise(W::C, length, DONT_NEED);
        c.same("madvise(MADV_DONTNEED)", dropped, ())?;
        let arena = &mut c.world.arena;
        let written = if in_one_piece {
            arena.write_at(W::C, length, &file, 0)
        } else {
            arena.write_vectors(halves, &file, 0)
        };
        c.same("write() from memory that is not present", written, length)?;
        for at in places() {
            c.load("word that was written", W::A + at, 0)?;
        }
    }
    Ok(())
}

fn flushing_and_appending(c: &mut Context<'_>) -> Result<(), Stop> {
    let mut file = c.open()?;
    c.map(W::A, &file)?;
    c.store(W::A, tagged(420))?;
    c.same("fsync()", flush(&file), ())?;
    let synced = c.world.arena.sync(W::A, c.size());
    c.same("msync()", synced, ())?;
    let path = c.target.path.clone();
    let appending = open_file(path.c_str(), OFlags::RDWR | OFlags::APPEND);
    let appending = c.need("open(O_APPEND)", appending)?;
    let written = c.world.arena.write(W::A, 8, &appending);
    c.same("write() to a file that appends", written, Errno::NOSPC)?;
    c.read_word(&mut file, 0, tagged(420))
}

fn vectors(c: &mut Context<'_>) -> Result<(), Stop> {
    let mut file = c.open()?;
    let (size, page) = (c.target.size, c.page());
    let [first, second] = [W::MEMORY, W::MEMORY + 64];
    for (at, word) in [(first, 430), (second, 431), (second + 8, 432)] {
        c.store(at, tagged(word))?;
    }
    let both = [(first, 8), (second, 16)];
    let written = c.world.arena.write_vectors(both, &file, 16);
    c.same("pwritev()", written, 24)?;
    for (offset, word) in [(16, 430), (24, 431), (32, 432)] {
        c.read_word(&mut file, offset, tagged(word))?;
    }
    // Into memory that is not there before.
    let mapped = c.world.arena.map_memory(W::C, page, Access::BOTH);
    c.same("mmap(MAP_ANONYMOUS)", mapped, ())?;
    let back = [(W::C + 8, 16), (W::C, 8)];
    let read = c.world.arena.read_vectors(back, &file, 16);
    c.same("preadv()", read, 24)?;
    for (at, word) in [(W::C + 8, 430), (W::C + 16, 431), (W::C, 432)] {
        c.load("word that was read", at, tagged(word))?;
    }

    // The end of the buffer; and memory that cannot be brought in, of which what there is before counts.
    let missing = [(first, 8), (W::C + page, 8)];
    for (ranges, offset, written, read) in [
        (both, size - 16, Value::Count(16), Value::Count(16)),
        (both, size, Errno::NOSPC.into(), Value::Count(0)),
        (both, 1 << 62, Errno::NOSPC.into(), Value::Count(0)),
        (missing, 0, Value::Count(8), Value::Count(8)),
    ] {
        let length = c.world.arena.write_vectors(ranges, &file, offset);
        c.same("length of a pwritev()", length, written)?;
        let length = c.world.arena.read_vectors(ranges, &file, offset);
        c.same("length of a preadv()", length, read)?;
    }

    let path = c.target.path.clone();
    let appending = open_file(path.c_str(), OFlags::RDWR | OFlags::APPEND);
    let appending = c.need("open(O_APPEND)", appending)?;
    let written = c.world.arena.write_vectors(both, &appending, 0);
    c.same("pwritev() to a file that appends", written, Errno::NOSPC)
}
