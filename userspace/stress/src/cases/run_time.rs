// SPDX-License-Identifier: GPL-2.0-only

//! Buffers that are made at run time, by directories of configfs (docs/runtime.md).

use core::fmt;
use core::sync::atomic::Ordering::SeqCst;

use faultline_core::device::{Device, Signal};
use faultline_core::errno::Errno;
use faultline_core::finding::Stop;
use faultline_core::name::{CLASS_DEVICE, DEVICE, MODULE};
use faultline_core::nodes::MAX_NODES;
use faultline_sys::arena::{Access, Sharing};
use faultline_sys::child::fork;
use faultline_sys::device::File;
use rustix::fs::{mkdir, rmdir, Mode};
use rustix::mount::{mount, MountFlags};

use super::context::{numbers, Context};
use super::Case;
use crate::inject::Failer;
use crate::world::{errno, now_ms, read_file, tagged, write_file, Path, World as W};

/// Once, and not for each device of the tree.
pub(super) const MACHINE: &[Case] = &[
    Case {
        name: "run_time",
        proves: "A directory makes a buffer that is what it asks for, and takes it away from who \
            has it mapped: by its attribute enable, and when it is removed.",
        steps: run_time,
    },
    Case {
        name: "run_time_refuses",
        proves:
            "What makes no sense is refused, what is there cannot be changed, and a probe that \
            fails is an error of enable that leaves nothing.",
        steps: run_time_refuses,
    },
    Case {
        name: "run_time_at_once",
        proves:
            "Processes that make, enable, use, disable and remove one directory at the same time \
            neither hang nor leave anything.",
        steps: run_time_at_once,
    },
    Case {
        name: "run_time_without_memory",
        proves: "Each allocation of enable can fail: then it is an error, and the next attempt \
            succeeds.",
        steps: run_time_without_memory,
    },
];

/// Where configfs is mounted.
const CONFIGFS: &str = "/sys/kernel/config";

/// A directory of configfs, which is removed when this value goes.
struct Directory {
    name: &'static str,
}

impl Directory {
    /// # Errors
    ///
    /// What `mkdir()` answers.
    fn new(name: &'static str) -> Result<Self, Errno> {
        mkdir(Self::path(name).c_str(), Mode::from_raw_mode(0o755)).map_err(errno)?;
        Ok(Self { name })
    }

    fn path(name: &str) -> Path {
        Path::new(format_args!("{CONFIGFS}/{MODULE}/{name}"))
    }

    fn attribute(&self, attribute: &str) -> Path {
        Path::new(format_args!(
            "{CONFIGFS}/{MODULE}/{}/{attribute}",
            self.name
        ))
    }

    fn write(&self, attribute: &str, value: fmt::Arguments<'_>) -> Result<(), Errno> {
        let line = Path::new(format_args!("{value}\n"));
        write_file(self.attribute(attribute).c_str(), line.bytes())
    }

    fn enable(&self) -> Result<(), Errno> {
        self.write("enable", format_args!("1"))
    }

    fn disable(&self) -> Result<(), Errno> {
        self.write("enable", format_args!("0"))
    }

    /// Whether an attribute has this value.
    fn has(&self, attribute: &str, value: fmt::Arguments<'_>) -> Result<bool, Errno> {
        let mut buffer = [0; 64];
        let line = Path::new(format_args!("{value}\n"));
        read_file(self.attribute(attribute).c_str(), &mut buffer).map(|seen| seen == line.bytes())
    }

    /// Opens the buffer, whose label is the name of the directory.
    fn open(&self) -> Result<File, Errno> {
        let label = Path::new(format_args!("{}\n", self.name));
        for number in 0..MAX_NODES {
            let mut buffer = [0; 80];
            let path = Path::new(format_args!("{CLASS_DEVICE}{number}/label"));
            if read_file(path.c_str(), &mut buffer) == Ok(label.bytes()) {
                return File::open(Path::new(format_args!("{DEVICE}{number}")).c_str(), false);
            }
        }
        Err(Errno::NOENT)
    }

    fn remove(&self) -> Result<(), Errno> {
        rmdir(Self::path(self.name).c_str()).map_err(errno)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // The case may have removed it.
        let _ = self.remove();
    }
}

/// Makes a directory, on a kernel and with a driver that have them.
fn directory(c: &mut Context<'_>, name: &'static str) -> Result<Directory, Stop> {
    match mount(
        c"configfs",
        CONFIGFS,
        c"configfs",
        MountFlags::empty(),
        None,
    )
    .map_err(errno)
    {
        Err(Errno::NODEV | Errno::NOENT) => return Err(Stop::Skip("this kernel has no configfs")),
        Ok(()) | Err(Errno::BUSY) => {}
        Err(error) => c.same("mount() of configfs", error, ())?,
    }
    if read_file(Directory::path("").c_str(), &mut []) == Err(Errno::NOENT) {
        return Err(Stop::Skip("this driver makes no buffers at run time"));
    }
    let made = Directory::new(name);
    c.need("mkdir()", made)
}

/// Maps the first page of a buffer, and stores to it.
fn map(c: &mut Context<'_>, at: u64, file: &File) -> Result<(), Stop> {
    let page = c.page();
    let mapped = c
        .world
        .arena
        .map(at, page, file, 0, Access::BOTH, Sharing::Shared);
    c.need("mmap()", mapped)?;
    c.load("word of a fresh buffer", at, 0)?;
    c.store(at, tagged(900))?;
    c.load("word", at, tagged(900))
}

fn run_time(c: &mut Context<'_>) -> Result<(), Stop> {
    let size = 3 * c.page();
    let directory = directory(c, "stress-run.time_0")?;
    let has = directory.has("enable", format_args!("0"));
    c.same("whether enable begins with 0", has, true)?;
    let opened = directory.open().map(drop);
    c.same("open() before enable", opened, Errno::NOENT)?;
    // The last page is not whole.
    let written = directory.write("size", format_args!("{}", size - 5));
    c.same("size", written, ())?;
    c.same("enable", directory.enable(), ())?;
    let has = directory.has("enable", format_args!("1"));
    c.same("whether enable is 1", has, true)?;

    let opened = directory.open();
    let mut file = c.need("open()", opened)?;
    let info = file.info();
    let info = c.need("INFO", info)?;
    c.same("size of the buffer", info.size, size)?;
    map(c, W::A, &file)?;
    c.same("enable once more", directory.enable(), ())?;
    c.load("word after that", W::A, tagged(900))?;

    c.same("enable = 0", directory.disable(), ())?;
    c.faults("a load after that", W::A, Signal::Bus)?;
    let read = file.read_at(0, &mut [0; 8]);
    c.same("read() after that", read, Errno::NODEV)?;
    let opened = directory.open().map(drop);
    c.same("open() after that", opened, Errno::NOENT)?;

    // The buffer of the next one is another.
    c.same("enable again", directory.enable(), ())?;
    let opened = directory.open();
    let mut file = c.need("open()", opened)?;
    map(c, W::B, &file)?;
    c.same("rmdir()", directory.remove(), ())?;
    c.faults("a load after rmdir()", W::B, Signal::Bus)?;
    let read = file.read_at(0, &mut [0; 8]);
    c.same("read() after rmdir()", read, Errno::NODEV)?;
    let opened = directory.open().map(drop);
    c.same("open() after rmdir()", opened, Errno::NOENT)
}

fn run_time_refuses(c: &mut Context<'_>) -> Result<(), Stop> {
    let directory = directory(c, "stress-refused")?;
    let twin = Directory::new("stress-refused").map(drop);
    c.same("mkdir() of what is there", twin, Errno::EXIST)?;
    let inner = Directory::new("stress-refused/inner").map(drop);
    c.same("mkdir() below it", inner, Errno::PERM)?;

    for (attribute, value, answer) in [
        ("size", "0", Errno::INVAL),
        ("size", "-1", Errno::INVAL),
        ("size", "", Errno::INVAL),
        ("size", "4096 ", Errno::INVAL),
        ("size", "18446744073709551616", Errno::INVAL),
        ("size", "0xffffffffffffffff", Errno::NOMEM),
        ("dma_mask_bits", "0", Errno::INVAL),
        ("dma_mask_bits", "65", Errno::INVAL),
        ("dma_mask_bits", "4294967328", Errno::INVAL),
        ("cached", "2", Errno::INVAL),
        ("cached", "y", Errno::INVAL),
        ("coherent", "-1", Errno::INVAL),
        ("enable", "2", Errno::INVAL),
        ("device", "x", Errno::ACCES),
    ] {
        let written = directory.write(attribute, format_args!("{value}"));
        c.same(attribute, written, answer)?;
    }

    // One bit reaches no memory: the probe fails.
    let written = directory.write("dma_mask_bits", format_args!("1"));
    c.same("dma_mask_bits", written, ())?;
    c.same("enable", directory.enable(), Errno::IO)?;
    let has = directory.has("enable", format_args!("0"));
    c.same("whether enable is 0 after that", has, true)?;
    let has = directory.has("device", format_args!(""));
    c.same("whether there is no device after that", has, true)?;
    let written = directory.write("dma_mask_bits", format_args!("0x20"));
    c.same("dma_mask_bits again", written, ())?;
    c.same("enable again", directory.enable(), ())?;

    for (attribute, value) in [
        ("size", "4096"),
        ("dma_mask_bits", "32"),
        ("cached", "1"),
        ("coherent", "1"),
    ] {
        let written = directory.write(attribute, format_args!("{value}"));
        c.same(attribute, written, Errno::BUSY)?;
    }
    let opened = directory.open().map(drop);
    c.same("open()", opened, ())
}

fn run_time_at_once(c: &mut Context<'_>) -> Result<(), Stop> {
    const NAME: &str = "stress-at_once";
    const TIME_MS: u64 = 3000;
    /// What can be where others work too.
    const USUAL: &[Errno] = &[Errno::NOENT, Errno::EXIST, Errno::NODEV];

    drop(directory(c, NAME)?);
    let usual = |result: Result<(), Errno>| match result {
        Err(error) if !USUAL.contains(&error) => error.number() as i32,
        _ => 0,
    };
    let shared = numbers::<1>(c);
    let page = c.page();
    let end = now_ms() + TIME_MS;
    // Children leave by the end of their function: this one's directory is not theirs to remove.
    let maker = fork(|| {
        let mut wrong = 0;
        while now_ms() < end {
            // It is removed at once, or by the other process before.
            let made = Directory::new(NAME).map(|directory| usual(directory.enable()));
            wrong |= made.unwrap_or_else(|error| usual(Err(error)));
        }
        shared[0].store(1, SeqCst);
        wrong
    });
    let toggle = || {
        let directory = core::mem::ManuallyDrop::new(Directory { name: NAME });
        let mut wrong = 0;
        while shared[0].load(SeqCst) == 0 {
            wrong |= usual(directory.enable());
            wrong |= usual(directory.disable());
        }
        wrong
    };
    let togglers = [fork(toggle), fork(toggle)];
    let arena = &mut c.world.arena;
    let user = fork(|| {
        let directory = core::mem::ManuallyDrop::new(Directory { name: NAME });
        let mut wrong = 0;
        while shared[0].load(SeqCst) == 0 {
            wrong |= usual(directory.open().and_then(|file| {
                arena.map(W::A, page, &file, 0, Access::BOTH, Sharing::Shared)?;
                // It is there or it is gone.
                let _ = arena.store(W::A, tagged(901));
                Ok(())
            }));
        }
        wrong
    });
    let remover = fork(|| {
        let directory = core::mem::ManuallyDrop::new(Directory { name: NAME });
        let mut wrong = 0;
        while shared[0].load(SeqCst) == 0 {
            wrong |= usual(directory.remove());
        }
        wrong
    });
    let [one, other] = togglers;
    for (what, child) in [
        ("errno of the process that makes", maker),
        ("errno of a process that enables", one),
        ("errno of the other that enables", other),
        ("errno of the process that uses", user),
        ("errno of the process that removes", remover),
    ] {
        let child = c.need("fork()", child)?;
        c.answer(what, child)?;
    }
    let directory = directory(c, NAME)?;
    let opened = directory.open().map(drop);
    c.same("open() afterwards", opened, Errno::NOENT)?;
    c.same("enable afterwards", directory.enable(), ())
}

fn run_time_without_memory(c: &mut Context<'_>) -> Result<(), Stop> {
    /// No enabling allocates as often.
    const MOST: u64 = 2000;

    let directory = directory(c, "stress-hungry")?;
    let failer = match Failer::new() {
        Ok(failer) => failer,
        Err(Errno::NOENT) => return Err(Stop::Skip("this kernel lets no allocation fail")),
        Err(error) => return c.same("set-up in /sys/kernel/debug", error, ()),
    };
    for nth in 1..=MOST {
        let armed = failer.arm(nth);
        c.need("write() to /proc/self/fail-nth", armed)?;
        let enabled = directory.enable();
        let hit = failer.disarm();
        let hit = c.need("read() of /proc/self/fail-nth", hit)?;
        if !hit {
            return c.same("enable without a failed allocation", enabled, ());
        }
        // Some failures are made up for. A device whose name there is no memory for is EINVAL to
        // `device_add()`.
        if ![Ok(()), Err(Errno::NFILE), Err(Errno::INVAL)].contains(&enabled) {
            c.same("enable with a failed allocation", enabled, Errno::NOMEM)?;
        }
        c.same("enable = 0", directory.disable(), ())?;
    }
    let what = "whether enabling makes fewer than 2000 allocations";
    c.same(what, false, true)
}
