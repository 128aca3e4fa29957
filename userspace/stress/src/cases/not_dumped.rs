// SPDX-License-Identifier: GPL-2.0-only

//! What a core dump must not have in it.

use core::ffi::CStr;

use faultline_core::errno::Errno;
use faultline_core::finding::Stop;
use faultline_sys::child::{fork, Ending};
use faultline_sys::cpu::lacks_lpae;
use rustix::fs::OFlags;
use rustix::process::{setrlimit, Resource, Rlimit};

use super::context::Context;
use super::Case;
use crate::world::{errno, open_file, read_file, tagged, write_file, Path, World as W};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "vma_flags",
        proves: "The kernel has the flags for the VMA that the driver needs, as /proc/self/smaps \
            shows them.",
        steps: vma_flags,
    },
    Case {
        name: "core_dump",
        proves: "The core dump of a process with the mapping has its other memory, and not the \
            buffer.",
        steps: core_dump,
    },
];

/// Enough words in a row that nothing else looks like them.
const MARK: u64 = 8;

fn vma_flags(c: &mut Context<'_>) -> Result<(), Stop> {
    let file = c.open()?;
    c.map(W::A, &file)?;
    let mut buffer = [0; 32 * 1024];
    let read = read_file(c"/proc/self/smaps", &mut buffer);
    let text = c.need("read of /proc/self/smaps", read)?;
    let address = Path::new(format_args!("{:x}-", c.world.arena.address(W::A)));
    let flags = text
        .split(|&byte| byte == b'\n')
        .skip_while(|line| !line.starts_with(address.bytes()))
        .find_map(|line| line.strip_prefix(b"VmFlags:"));
    let flags = c.have("the VMA in /proc/self/smaps", flags)?;
    let is_cached = c.target.is_cached;
    let has = |flag: &[u8]| flags.split(|&byte| byte == b' ').any(|other| other == flag);
    for (what, flag, want) in [
        ("VmFlags sh: shared", b"sh", true),
        ("VmFlags me: may become executable", b"me", false),
        ("VmFlags io: pages are not lent", b"io", !is_cached),
        ("VmFlags mm: mixed map", b"mm", !is_cached && !lacks_lpae()),
        ("VmFlags pf: PFNs alone", b"pf", !is_cached && lacks_lpae()),
        ("VmFlags de: does not expand", b"de", true),
        ("VmFlags dd: not dumped", b"dd", true),
    ] {
        c.same(what, has(flag), want)?;
    }
    Ok(())
}

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
    let child = c.need("fork()", child)?;
    let ending = child.wait();
    c.same("end of a process", ending, Ending::Killed(6))?;

    let opened = open_file(FILE, OFlags::RDONLY);
    if opened.as_ref().err() == Some(&Errno::NOENT) {
        return Err(Stop::Skip("this kernel dumps no core"));
    }
    let dump = c.need("open(/tmp/core)", opened)?;
    let (mut in_memory, mut in_buffer) = (0, 0);
    let mut block = [0; 4096];
    loop {
        let length = rustix::io::read(&dump, &mut block).map_err(errno);
        let length = c.need("read of the core file", length)?;
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
