// SPDX-License-Identifier: GPL-2.0-only

//! What must be refused, and calls with values that make no sense.

use super::*;

pub(super) fn private_mapping(c: &mut Context<'_>) -> Result<(), Stop> {
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

pub(super) fn executable(c: &mut Context<'_>) -> Result<(), Stop> {
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

pub(super) fn out_of_range(c: &mut Context<'_>) -> Result<(), Stop> {
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

pub(super) fn growth(c: &mut Context<'_>) -> Result<(), Stop> {
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

pub(super) fn ioctls(c: &mut Context<'_>) -> Result<(), Stop> {
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
pub(super) const NOBODY: u32 = 65534;

pub(super) fn physical_addresses(c: &mut Context<'_>) -> Result<(), Stop> {
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

pub(super) fn ends(c: &mut Context<'_>) -> Result<(), Stop> {
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
pub(super) fn unreadable_memory(c: &mut Context<'_>) -> Result<(), Stop> {
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
pub(super) fn copy_to_itself(c: &mut Context<'_>) -> Result<(), Stop> {
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
