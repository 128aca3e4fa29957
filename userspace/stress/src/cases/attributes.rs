// SPDX-License-Identifier: GPL-2.0-only

//! What sysfs says of a buffer: it agrees with INFO, comes and goes with the device, and what is for root
//! is for root alone.

use core::fmt;
use core::sync::atomic::Ordering::SeqCst;

use faultline_core::device::Device;
use faultline_core::errno::Errno;
use faultline_core::finding::Stop;
use faultline_core::name::{CLASS_DEVICE, DEVICE};
use faultline_core::text::Printable;
use faultline_sys::child::{become_nobody, fork};
use faultline_uapi::FLAG_COHERENT;
use rustix::fs::OFlags;
use rustix::io::pread;

use super::context::{numbers, Context};
use super::Case;
use crate::world::{errno, open_file, read_file, Path};

const NAMES: [&str; 6] = [
    "size",
    "dma_address",
    "coherent",
    "memory_type",
    "region",
    "label",
];

pub(super) const CASES: &[Case] = &[
    Case {
        name: "attributes",
        proves:
            "The attributes agree with INFO, nobody can write one, and dma_address is for root \
            alone.",
        steps: attributes,
    },
    Case {
        name: "attributes_against_unbind",
        proves:
            "Processes that read all attributes while the device is unbound, by files that they \
            keep open, get the value or ENODEV, and no unbinding hangs.",
        steps: attributes_against_unbind,
    },
];

fn attributes(c: &mut Context<'_>) -> Result<(), Stop> {
    let info = c.open()?.info();
    let info = c.need("INFO", info)?;
    let is_coherent = info.flags & FLAG_COHERENT != 0;

    is(c, "size", format_args!("{}", info.size))?;
    is(c, "dma_address", format_args!("{:#x}", info.dma_address))?;
    // No device of the tree has a region that is mapped otherwise than its coherency says. What the device
    // of a cached buffer sees, INFO does not say.
    if !c.target.is_cached {
        is(c, "coherent", format_args!("{}", u64::from(is_coherent)))?;
    }
    let memory_type = if is_coherent || c.target.is_cached {
        "cached"
    } else {
        "uncached"
    };
    is(c, "memory_type", format_args!("{memory_type}"))?;

    // The mode is for everybody else.
    let path = c.target.path.clone();
    let child = fork(|| {
        if become_nobody().is_err() {
            return 1;
        }
        let mut buffer = [0; 64];
        let mut read = |name| read_file(attribute(&path, name).c_str(), &mut buffer).map(|_| ());
        i32::from(read("size").is_err()) * 2
            + i32::from(read("dma_address") != Err(Errno::ACCES)) * 4
    });
    let child = c.need("fork()", child)?;
    c.ending("end of nobody, who reads all but dma_address", child)?;

    // Nothing can be written.
    for name in NAMES {
        let opened = open_file(attribute(&c.target.path, name).c_str(), OFlags::WRONLY).map(drop);
        c.same("open() of an attribute for writing", opened, Errno::ACCES)?;
    }
    Ok(())
}

fn attributes_against_unbind(c: &mut Context<'_>) -> Result<(), Stop> {
    let shared = numbers::<1>(c);
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
        let one = c.need("fork()", one)?;
        let other = c.need("fork()", other)?;
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

/// Whether a device sees the caches of the CPUs, by its attribute `coherent`.
pub(super) fn sees_caches(device: &Path) -> Result<bool, Errno> {
    let mut buffer = [0; 64];
    let value = read_file(attribute(device, "coherent").c_str(), &mut buffer)?;
    Ok(value == b"1\n")
}

/// The path of an attribute of a device.
fn attribute(device: &Path, name: &str) -> Path {
    let number = device.bytes().strip_prefix(DEVICE.as_bytes());
    let number = Printable(number.unwrap_or_default());
    Path::new(format_args!("{CLASS_DEVICE}{number}/{name}"))
}

/// An attribute has this value.
fn is(c: &mut Context<'_>, name: &'static str, value: fmt::Arguments<'_>) -> Result<(), Stop> {
    let want = Path::new(format_args!("{value}\n"));
    let mut buffer = [0; 64];
    let seen = read_file(attribute(&c.target.path, name).c_str(), &mut buffer);
    let seen = c.need(name, seen)?;
    c.same(name, seen == want.bytes(), true)
}
