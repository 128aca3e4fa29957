// SPDX-License-Identifier: GPL-2.0-only

//! What sysfs says of a buffer: it agrees with INFO, comes and goes with the device, and what is for root
//! is for root alone.

use core::sync::atomic::Ordering::SeqCst;

use faultline_core::device::Device;
use faultline_core::errno::Errno;
use faultline_core::text::Out;
use faultline_sys::child::fork;
use faultline_uapi::FLAG_COHERENT;
use rustix::fs::OFlags;
use rustix::io::pread;
use rustix::process::Uid;
use rustix::thread::set_thread_uid;

use super::{numbers, Context, NOBODY};
use crate::report::Stop;
use crate::world::{errno, open_file, read_file, Path};

const NAMES: [&str; 6] = [
    "size",
    "dma_address",
    "coherent",
    "memory_type",
    "region",
    "label",
];

pub(super) fn attributes(c: &mut Context<'_>) -> Result<(), Stop> {
    let info = c.open()?.info();
    let info = c.found.need("INFO", info)?;
    let cached = info.flags & FLAG_COHERENT != 0;

    is(c, "size", |out| {
        out.number(info.size);
    })?;
    is(c, "dma_address", |out| {
        out.hex(info.dma_address);
    })?;
    // No device of the tree has a region that is mapped otherwise than its coherency says.
    is(c, "coherent", |out| {
        out.number(u64::from(cached));
    })?;
    is(c, "memory_type", |out| {
        out.text(if cached { "cached" } else { "uncached" });
    })?;

    // The mode is for everybody else.
    let path = c.target.path.clone();
    let child = fork(|| {
        if set_thread_uid(Uid::from_raw(NOBODY)).is_err() {
            return 1;
        }
        let mut buffer = [0; 64];
        let mut read = |name| read_file(attribute(&path, name).c_str(), &mut buffer).map(|_| ());
        i32::from(read("size").is_err()) * 2
            + i32::from(read("dma_address") != Err(Errno::ACCES)) * 4
    });
    let child = c.found.need("fork()", child)?;
    c.ending("end of nobody, who reads all but dma_address", child)?;

    // Nothing can be written.
    for name in NAMES {
        let opened = open_file(attribute(&c.target.path, name).c_str(), OFlags::WRONLY).map(drop);
        c.same("open() of an attribute for writing", opened, Errno::ACCES)?;
    }
    Ok(())
}

/// Processes read all attributes, by files that they keep open, while the device is unbound: each read is
/// the value or `ENODEV`, and no unbinding hangs.
pub(super) fn attributes_against_unbind(c: &mut Context<'_>) -> Result<(), Stop> {
    let shared = numbers(c, 1)?;
    let path = c.target.path.clone();
    for _ in 0..c.cycles {
        shared[0].store(0, SeqCst);
        let reader = || {
            let mut files = heapless::Vec::<_, 6>::new();
            for name in NAMES {
                let Ok(file) = open_file(attribute(&path, name).c_str(), OFlags::RDONLY) else {
                    return 1;
                };
                let _ = files.push(file);
            }
            shared[0].fetch_add(1, SeqCst);
            let mut buffer = [0; 64];
            loop {
                for file in &files {
                    match pread(file, &mut buffer, 0).map_err(errno) {
                        Ok(length) if length > 0 => {}
                        Err(Errno::NODEV) => return 0,
                        _ => return 2,
                    }
                }
            }
        };
        let readers = [fork(reader), fork(reader)];
        let [one, other] = readers;
        let one = c.found.need("fork()", one)?;
        let other = c.found.need("fork()", other)?;
        c.wait_for("processes that read", &shared[0], 2)?;
        let unbound = c.target.unbind();
        let bound = c.target.bind();
        c.same("unbind", unbound, ())?;
        c.same("bind", bound, ())?;
        c.ending("end of a reader", one)?;
        c.ending("end of a reader", other)?;
    }
    Ok(())
}

/// The path of an attribute of the device `/dev/NAME`.
fn attribute(device: &Path, name: &str) -> Path {
    let mut path = Path::new();
    let file = device.bytes().strip_prefix(b"/dev/").unwrap_or_default();
    let out: &mut dyn Out = &mut path;
    out.text("/sys/class/misc/");
    out.write(file);
    out.text("/").text(name);
    path
}

/// An attribute has the value that `write` writes.
fn is(
    c: &mut Context<'_>,
    name: &'static str,
    write: impl FnOnce(&mut dyn Out),
) -> Result<(), Stop> {
    let mut want = Path::new();
    write(&mut want);
    (&mut want as &mut dyn Out).text("\n");

    let mut buffer = [0; 64];
    let seen = read_file(attribute(&c.target.path, name).c_str(), &mut buffer);
    let seen = c.found.need(name, seen)?;
    c.same(name, u64::from(seen == want.bytes()), 1)
}
