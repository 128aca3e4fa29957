// SPDX-License-Identifier: GPL-2.0-only

//! What pins pages of a cached buffer: pipes, direct I/O, io_uring.

use core::ffi::CStr;

use faultline_core::device::{Call, Device};
use faultline_core::errno::Errno;
use faultline_core::system::System;
use faultline_sys::arena::{Access, Arena, Sharing};
use faultline_sys::device::File;
use faultline_sys::machine::Machine;
use faultline_sys::ring::{Ring, Way};
use faultline_uapi::{Fill, FLAG_CACHED};
use rustix::fd::OwnedFd;
use rustix::fs::{open, Mode, OFlags};
use rustix::pipe::pipe;

use crate::{expect, failed, note, write_file, Unexpected};

/// The drivers' files, by which a node is taken away and given back.
const UNBIND: &CStr = c"/sys/bus/platform/drivers/faultline/unbind";
const BIND: &CStr = c"/sys/bus/platform/drivers/faultline/bind";

/// A module that has a block device, if the guest needs one: RAM disks.
const RAM_DISK: &CStr = c"/lib/modules/brd.ko";

/// The bit of an entry of pagemap that says that a page is mapped.
const PRESENT: u64 = 1 << 63;

/// The bytes of a word.
const WORD: u64 = 8;

/// A cached buffer that is mapped at the start of an arena, with room behind it.
struct Mapped {
    file: File,
    arena: Arena,
    size: u64,
    page: u64,
}

impl Mapped {
    fn new(device: &CStr) -> Result<Self, Unexpected> {
        let mut machine = Machine::new();
        let file = machine.open(device);
        let mut file = file.map_err(|errno| note("open()", errno))?;
        let info = file.info().map_err(|errno| note("INFO", errno))?;
        if info.flags & FLAG_CACHED == 0 {
            return Err(note("INFO", "the buffer is not cached"));
        }
        let size = info.size;
        let page = machine.page_size();
        let arena = Arena::new(beside(size) + 2 * page);
        let mut arena = arena.map_err(|errno| note("mmap() of an arena", errno))?;
        arena
            .map(0, size, &file, 0, Access::BOTH, Sharing::Populated)
            .map_err(|errno| note("mmap()", errno))?;
        for at in (0..size).step_by(page as usize) {
            let entry = machine.pagemap(arena.address(at));
            let entry = entry.map_err(|errno| note("pagemap", errno))?;
            if entry & PRESENT == 0 {
                return Err(note("MAP_POPULATE", "a page is not mapped"));
            }
        }
        Ok(Self {
            file,
            arena,
            size,
            page,
        })
    }

    /// Stores words of the whole buffer, which differ from each other and from those of other seeds.
    fn put(&mut self, seed: u64) -> Result<(), Unexpected> {
        for at in (0..self.size).step_by(WORD as usize) {
            let stored = self.arena.store(at, word(seed, at));
            stored.map_err(|fault| note("a store", fault))?;
        }
        Ok(())
    }

    /// Looks for them.
    fn has(&self, what: &'static str, seed: u64) -> Result<(), Unexpected> {
        for at in (0..self.size).step_by(WORD as usize) {
            match self.arena.load(at) {
                Ok(seen) if seen == word(seed, at) => {}
                Ok(_) => return Err(note(what, "another word")),
                Err(fault) => return Err(note(what, fault)),
            }
        }
        Ok(())
    }
}

fn word(seed: u64, at: u64) -> u64 {
    (at ^ seed << 48).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Where in the arena the room begins.
fn beside(size: u64) -> u64 {
    size.next_multiple_of(Arena::ALIGNMENT)
}

/// A call that must have moved so many bytes.
fn moved(what: &'static str, seen: Result<u64, Errno>, want: u64) -> Result<(), Unexpected> {
    match seen {
        Ok(length) if length == want => Ok(()),
        Ok(_) => Err(note(what, "not all of it")),
        Err(errno) => Err(note(what, errno)),
    }
}

/// Pages that a pipe holds outlive the device: they keep what the CPU stored, and nobody gets them.
pub(crate) fn pinned(device: &CStr, node: &[u8]) -> Result<(), Unexpected> {
    let mut mapped = Mapped::new(device)?;
    let (size, page) = (mapped.size, mapped.page);
    mapped.put(1)?;
    let (reader, writer) = pipe().map_err(|error| failed("pipe()", error))?;
    let pipe_takes = 2 * page;
    for at in [0, size - page] {
        let length = mapped.arena.splice_into(at, page, &writer);
        moved("vmsplice()", length, page)?;
    }
    // The pipe holds the pages themselves.
    mapped.put(2)?;
    // What the device has written and nobody has asked for stays out of them.
    let mut fill = Fill {
        offset: 0,
        length: WORD,
        reserved: 0,
    };
    match mapped.file.call(Call::Fill(&mut fill)) {
        Ok(()) | Err(Errno::NODATA | Errno::NOTTY) => {}
        Err(errno) => return Err(note("FILL", errno)),
    }
    mapped.put(2)?;
    let held = [0, size - page].map(|at| mapped.file.physical_address(at));
    if let Some(errno) = held.iter().find_map(|address| address.err()) {
        return Err(note("FRAME", errno));
    }

    write_file(UNBIND, node)?;
    match mapped.arena.load(0) {
        Err(_) => {}
        Ok(_) => return Err(note("a load after the unbinding", "it worked")),
    }
    expect("INFO", mapped.file.info(), Errno::NODEV)?;

    // A new buffer has other pages. (That nobody else gets them, a kernel with KASAN sees.)
    write_file(BIND, node)?;
    let fresh = File::open(device, true);
    let mut fresh = fresh.map_err(|errno| note("open()", errno))?;
    for at in (0..size).step_by(page as usize) {
        if held.contains(&fresh.physical_address(at)) {
            return Err(note("a new buffer", "it has a page that is pinned"));
        }
    }
    drop(fresh);

    let beside = beside(size);
    mapped
        .arena
        .map_memory(beside, pipe_takes, Access::BOTH)
        .map_err(|errno| note("mmap() of memory", errno))?;
    let mut got = 0;
    while got < pipe_takes {
        let read = mapped.arena.read(beside + got, pipe_takes - got, &reader);
        got += read.map_err(|errno| note("read() of the pipe", errno))?;
    }
    for (page_of_pipe, first) in [(0, 0), (page, size - page)] {
        for at in (0..page).step_by(WORD as usize) {
            match mapped.arena.load(beside + page_of_pipe + at) {
                Ok(seen) if seen == word(2, first + at) => {}
                Ok(_) => return Err(note("a pinned page", "it has changed")),
                Err(fault) => return Err(note("a load of what the pipe gave", fault)),
            }
        }
    }
    Ok(())
}

/// Opens a file for direct I/O, on a RAM disk perhaps.
fn open_direct(path: &CStr, flags: OFlags) -> Result<OwnedFd, Unexpected> {
    if path.to_bytes().starts_with(b"/dev/ram") {
        // It may have been loaded before.
        match faultline_sys::module::load(RAM_DISK, c"rd_nr=1 rd_size=4096") {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(note("loading the RAM disk", errno)),
        }
    }
    let flags = flags | OFlags::RDWR | OFlags::CREATE;
    open(path, flags, Mode::from_raw_mode(0o600))
        .map_err(|error| failed("open() of the file", error))
}

/// Writes the buffer to a file and reads it back, both from the mapping and past the page cache.
pub(crate) fn direct(device: &CStr, path: &CStr) -> Result<(), Unexpected> {
    let mut mapped = Mapped::new(device)?;
    let file = open_direct(path, OFlags::DIRECT)?;
    let size = mapped.size;
    mapped.put(4)?;
    moved("write()", mapped.arena.write_at(0, size, &file, 0), size)?;
    mapped.put(5)?;
    moved("read()", mapped.arena.read_at(0, size, &file, 0), size)?;
    mapped.has("what the file gave back", 4)
}

/// The same by io_uring, which pins the pages once.
pub(crate) fn ring(device: &CStr, path: &CStr) -> Result<(), Unexpected> {
    let mut mapped = Mapped::new(device)?;
    let file = open_direct(path, OFlags::empty())?;
    let size = mapped.size;
    for (way, seed) in [(Way::Write, 6), (Way::Read, 7)] {
        mapped.put(seed)?;
        let mut ring = Ring::new(&mapped.arena, 0, size)
            .map_err(|errno| note("a ring with a fixed buffer", errno))?;
        moved("a transfer", ring.transfer(way, 0, size, &file, 0), size)?;
    }
    mapped.has("what the file gave back", 6)
}
