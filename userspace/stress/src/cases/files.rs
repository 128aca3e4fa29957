// SPDX-License-Identifier: GPL-2.0-only

//! What files do beside `read()` and `write()`: `readv()`, `poll()`, `fsync()`, `msync()`, `O_APPEND`.

use faultline_core::errno::Errno;
use faultline_sys::arena::Access;
use faultline_sys::child::{fork, Ending};
use faultline_sys::file::{flush, poll, HANGUP, READY};
use rustix::fs::OFlags;

use super::{end_within, Context, PATIENCE_MS};
use crate::report::{Stop, Value};
use crate::world::{open_file, sleep_ms, tagged, World as W};

/// An event loop that waits for nothing but an unbinding hears of it, before and after it has begun to
/// wait.
pub(super) fn poll_hears_unbinding(c: &mut Context<'_>) -> Result<(), Stop> {
    let file = c.open()?;
    c.same(
        "poll(): events",
        poll(&file, READY, 0).map(u64::from),
        u64::from(READY),
    )?;
    c.same("poll() for a hang-up", poll(&file, 0, 0).map(u64::from), 0)?;

    let waiter = fork(|| match poll(&file, 0, 10 * PATIENCE_MS as i64) {
        Ok(seen) if seen & HANGUP == HANGUP => 0,
        _ => 1,
    });
    let waiter = c.found.need("fork()", waiter)?;
    sleep_ms(50);
    let unbound = c.target.unbind();
    c.found.need("unbind", unbound)?;
    // One that is not woken would look by itself only when its time is over.
    let ending = end_within(waiter, PATIENCE_MS);
    let after = poll(&file, READY, 0).map(u64::from);
    let bound = c.target.bind();
    c.found.need("bind", bound)?;
    c.same("a task in poll()", ending, Ending::Exit(0))?;
    c.same("poll() afterwards", after, u64::from(READY | HANGUP))
}

/// `preadv()` and `pwritev()`: the driver has them beside `pread()` and `pwrite()`.
pub(super) fn vectors(c: &mut Context<'_>) -> Result<(), Stop> {
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
    let appending = c.found.need("open(O_APPEND)", appending)?;
    let written = c.world.arena.write_vectors(both, &appending, 0);
    c.same("pwritev() to a file that appends", written, Errno::NOSPC)
}

/// What is stored is there: to ask that it be is no error. What is to be appended finds no room.
pub(super) fn flushing_and_appending(c: &mut Context<'_>) -> Result<(), Stop> {
    let mut file = c.open()?;
    c.map(W::A, &file)?;
    c.store(W::A, tagged(420))?;
    c.same("fsync()", flush(&file), ())?;
    let synced = c.world.arena.sync(W::A, c.size());
    c.same("msync()", synced, ())?;
    let path = c.target.path.clone();
    let appending = open_file(path.c_str(), OFlags::RDWR | OFlags::APPEND);
    let appending = c.found.need("open(O_APPEND)", appending)?;
    let written = c.world.arena.write(W::A, 8, &appending);
    c.same("write() to a file that appends", written, Errno::NOSPC)?;
    c.read_word(&mut file, 0, tagged(420))
}
