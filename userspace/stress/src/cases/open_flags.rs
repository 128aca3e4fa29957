// SPDX-License-Identifier: GPL-2.0-only

//! Flags of `open()`: each is honoured or refused, as docs/uapi.md says.

use faultline_core::errno::Errno;
use faultline_core::finding::{Stop, Value};
use faultline_sys::arena::{Access, Sharing};
use faultline_sys::file::{set_flags, truncate};
use rustix::fs::OFlags;

use super::context::Context;
use super::Case;
use crate::world::{open_file, tagged, World as W};

/// `O_ASYNC`, which rustix leaves out (include/uapi/asm-generic/fcntl.h).
const ASYNC: OFlags = OFlags::from_bits_retain(0x2000);

pub(super) const CASES: &[Case] = &[Case {
    name: "open_flags",
    proves:
        "Each flag of open() and of fcntl(F_SETFL) is honoured, or refused with an error; none is \
        ignored.",
    steps: open_flags,
}];

fn open_flags(c: &mut Context<'_>) -> Result<(), Stop> {
    let mut file = c.open()?;
    c.map(W::A, &file)?;
    c.store(W::A, tagged(430))?;

    let path = c.target.path.clone();
    let both = OFlags::RDWR;
    for (what, flags, want) in [
        ("open(O_DIRECT)", OFlags::DIRECT, Errno::INVAL.into()),
        ("open(O_EXCL)", OFlags::EXCL, Errno::INVAL.into()),
        (
            "open(O_CREAT | O_EXCL)",
            OFlags::CREATE | OFlags::EXCL,
            Errno::EXIST.into(),
        ),
        ("open(O_ASYNC)", ASYNC, Errno::INVAL.into()),
        ("open(O_DIRECTORY)", OFlags::DIRECTORY, Errno::NOTDIR.into()),
        ("open(O_SYNC)", OFlags::SYNC, Value::Success),
        ("open(O_DSYNC)", OFlags::DSYNC, Value::Success),
        ("open(O_NONBLOCK)", OFlags::NONBLOCK, Value::Success),
        ("open(O_TRUNC)", OFlags::TRUNC, Value::Success),
        ("open(O_NOATIME)", OFlags::NOATIME, Value::Success),
    ] {
        let opened = open_file(path.c_str(), both | flags).map(drop);
        c.same(what, opened, want)?;
    }
    // O_TRUNC has cut nothing off.
    c.read_word(&mut file, 0, tagged(430))?;
    c.same("ftruncate()", truncate(&file, 0), Errno::INVAL)?;

    for (what, flags, want) in [
        ("fcntl(O_DIRECT)", OFlags::DIRECT, Errno::INVAL.into()),
        ("fcntl(O_ASYNC)", ASYNC, Errno::INVAL.into()),
        ("fcntl(O_NONBLOCK)", OFlags::NONBLOCK, Value::Success),
        ("fcntl(O_APPEND)", OFlags::APPEND, Value::Success),
    ] {
        c.same(what, set_flags(&file, flags), want)?;
    }
    // The last one counts at once.
    let written = c.world.arena.write(W::A, 8, &file);
    c.same(
        "write() to a file that appends by now",
        written,
        Errno::NOSPC,
    )?;

    // O_PATH names the file and opens nothing.
    let named = open_file(path.c_str(), OFlags::PATH);
    let named = c.need("open(O_PATH)", named)?;
    let page = c.page();
    let arena = &mut c.world.arena;
    let mapped = arena.map(W::B, page, &named, 0, Access::READ, Sharing::Shared);
    c.same("mmap() of a file with O_PATH", mapped, Errno::BADF)
}
