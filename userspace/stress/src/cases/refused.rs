// SPDX-License-Identifier: GPL-2.0-only

//! What must be refused: misuse by mmap(), mprotect(), mremap(), ioctl(), read() and write().

use core::sync::atomic::Ordering::SeqCst;

use faultline_core::device::{Device, Signal};
use faultline_core::errno::Errno;
use faultline_core::finding::{Stop, Value};
use faultline_sys::arena::{Access, Argument, Sharing};
use faultline_sys::child::{become_nobody, fork};
use faultline_sys::device::File;
use faultline_uapi::{FAULTLINE_IOC_FRAME, FAULTLINE_IOC_INFO};
use rustix::fs::{seek, OFlags, SeekFrom};

use super::context::{numbers, wait_in_child, Context};
use super::Case;
use crate::world::{errno, open_file, tagged, World as W};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "private_mapping",
        proves: "mmap() with MAP_PRIVATE is refused: a private copy of DMA memory is not the \
            buffer.",
        steps: private_mapping,
    },
    Case {
        name: "executable",
        proves: "No mapping of the buffer is executable, neither by mmap() nor later by \
            mprotect().",
        steps: executable,
    },
    Case {
        name: "out_of_range",
        proves: "mmap() refuses every range that is not inside the buffer, including sums that \
            overflow.",
        steps: out_of_range,
    },
    Case {
        name: "growth",
        proves: "mremap() cannot make a mapping longer than it was, in place or elsewhere.",
        steps: growth,
    },
    Case {
        name: "read_only",
        proves: "A file that is open for reading only gives no mapping that can be written to, \
            not even after mprotect(), and no write().",
        steps: read_only,
    },
    Case {
        name: "read_only_by_debugger",
        proves: "A process cannot write to its read-only mapping through its own /proc/self/mem.",
        steps: read_only_by_debugger,
    },
    Case {
        name: "ioctls",
        proves: "The driver answers ENOTTY to every command that it does not have, such as one of \
            another size or direction.",
        steps: ioctls,
    },
    Case {
        name: "physical_addresses",
        proves:
            "FRAME refuses offsets outside the buffer, and answers EPERM without CAP_SYS_ADMIN.",
        steps: physical_addresses,
    },
    Case {
        name: "ends",
        proves: "read(), write() and lseek() stop at the end of the buffer, and refuse to go past \
            it.",
        steps: ends,
    },
    Case {
        name: "unreadable_memory",
        proves: "A copy from or to memory that is not there gives EFAULT, and one that is there \
            in part copies that part.",
        steps: unreadable_memory,
    },
    Case {
        name: "pages_are_not_lent",
        proves: "Nobody gets a reference to the pages: vmsplice(), process_vm_readv() and \
            process_vm_writev() are refused; all three work with the pages of a cached buffer, \
            which are ordinary ones.",
        steps: pages_are_not_lent,
    },
];

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

fn read_only(c: &mut Context<'_>) -> Result<(), Stop> {
    let mut writer = c.open()?;
    let written = writer.write_at(0, &tagged(30).to_ne_bytes());
    c.same("write()", written, 8)?;
    let opened = File::open(c.target.path.c_str(), true);
    let mut file = c.need("open(O_RDONLY)", opened)?;
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

fn read_only_by_debugger(c: &mut Context<'_>) -> Result<(), Stop> {
    let mut writer = c.open()?;
    let written = writer.write_at(0, &tagged(35).to_ne_bytes());
    c.same("write()", written, 8)?;
    let opened = File::open(c.target.path.c_str(), true);
    let file = c.need("open(O_RDONLY)", opened)?;
    let size = c.size();
    let mapped = c
        .world
        .arena
        .map(W::A, size, &file, 0, Access::READ, Sharing::Shared);
    c.same("mmap(PROT_READ)", mapped, ())?;
    let opened = open_file(c"/proc/self/mem", OFlags::RDWR);
    let memory = c.need("open(/proc/self/mem)", opened)?;
    let address = c.world.arena.address(W::A);
    let word = tagged(36).to_ne_bytes();
    let written = rustix::io::pwrite(&memory, &word, address).map_err(errno);
    c.same("write to /proc/self/mem", written.map(drop), Errno::IO)?;
    c.read_word(&mut writer, 0, tagged(35))
}

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
        if become_nobody().is_err() {
            return 1;
        }
        i32::from(file.physical_address(0) != Err(Errno::PERM)) * 2
    });
    let child = c.need("fork()", child)?;
    c.ending("end of nobody, who gets EPERM", child)
}

fn ends(c: &mut Context<'_>) -> Result<(), Stop> {
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
        let position = seek(&file, to).map_err(errno);
        c.same("lseek()", position, want)?;
    }
    Ok(())
}

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

fn pages_are_not_lent(c: &mut Context<'_>) -> Result<(), Stop> {
    let mut file = c.open()?;
    let (size, page) = (c.size(), c.page());
    let want = if c.target.is_cached {
        Value::Count(page)
    } else {
        Value::Errno(Errno::FAULT)
    };
    let made = rustix::pipe::pipe().map_err(errno);
    let (_reader, pipe) = c.need("pipe()", made)?;
    c.map(W::A, &file)?;
    let shared = numbers::<2>(c);
    for touched in [false, true] {
        if touched {
            c.store(W::A, tagged(50))?;
            c.store(W::A + size - 8, tagged(51))?;
        }
        for at in [W::A, W::A + size - page] {
            for _ in 0..4 {
                let lent = c.world.arena.splice_into(at, page, &pipe);
                c.same("vmsplice()", lent, want)?;
            }
        }
    }
    let child = fork(|| {
        shared[0].store(1, SeqCst);
        wait_in_child(&shared[1], 1);
        0
    });
    let child = c.need("fork()", child)?;
    c.wait_for("another process", &shared[0], 1)?;
    let address = c.world.arena.address(W::A);
    for (what, write) in [("process_vm_readv()", false), ("process_vm_writev()", true)] {
        let copied = c
            .world
            .arena
            .copy_of_process(W::MEMORY, page, child.pid(), address, write);
        if copied != Err(Errno::NOSYS) {
            c.same(what, copied, want)?;
        }
    }
    shared[1].store(1, SeqCst);
    c.ending("end of the other process", child)?;
    c.read_word(&mut file, 0, tagged(50))?;
    c.read_word(&mut file, size - 8, tagged(51))
}
