// SPDX-License-Identifier: GPL-2.0-only

//! Memory that is missing afterwards.

use core::ffi::CStr;

use faultline_core::errno::Errno;
use faultline_core::finding::Stop;

use super::context::Context;
use super::Case;
use crate::world::{memory_info, read_file, sleep_ms, tagged, write_file, World as W};

pub(super) const CASES: &[Case] = &[Case {
    name: "nothing_leaks",
    proves: "MemFree is the same after many cycles of binding, use and unbinding of a large \
            buffer.",
    steps: nothing_leaks,
}];

/// Once, after everything else.
pub(super) const MACHINE: &[Case] = &[Case {
    name: "no_memory_is_forgotten",
    proves: "kmemleak finds no memory that nobody points to, after all else.",
    steps: no_memory_is_forgotten,
}];

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
            let free = c.need("read of /proc/meminfo", free)?;
            before = c.have("MemFree", free)?;
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
    let after = c.need("read of /proc/meminfo", after)?;
    let after = c.have("MemFree", after)?;
    let lost = before.saturating_sub(after) * 1024 / size;
    c.same(
        "buffers that are missing from MemFree",
        lost / (CYCLES / 2),
        0,
    )
}

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
    let text = c.need("read of kmemleak", read)?;
    let leaks = text
        .split(|&byte| byte == b'\n')
        .filter(|line| line.starts_with(b"unreferenced object"));
    let leaks = leaks.count() as u64;
    c.same("objects that kmemleak suspects", leaks, 0)
}
