// SPDX-License-Identifier: GPL-2.0-only

//! What files do beside reading and writing: `poll()`, `fsync()`, `msync()`, `O_APPEND`.

use faultline_core::errno::Errno;
use faultline_sys::child::{fork, Ending};
use faultline_sys::file::{flush, poll, HANGUP, READY};
use rustix::fs::OFlags;

use super::{end_within, Context, PATIENCE_MS};
use crate::report::Stop;
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
