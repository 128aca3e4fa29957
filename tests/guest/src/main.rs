// SPDX-License-Identifier: GPL-2.0-only

//! What a test does from inside a guest: `faultline-guest-test COMMAND [ARG]`.
//!
//! - `exit N`: ends with that status.
//! - `hang`: never ends.
//! - `say TEXT`, `log TEXT`: puts a line on the console, or into the kernel's log.
//! - `unbind`, `unload`: takes the device or the driver away while they are in use. The first
//!   thing that is not as it should be is said, and gives the exit status 1.
//! - `nobody DEVICE`: opens it as a user who may by its mode, and has no capability.
//! - `vm-fault`: uses the device of docs/upstream/series/rust_vm_fault.rs.
//! - `pinned DEVICE NODE`: unbinds a cached buffer while its pages are pinned.
//! - `direct DEVICE FILE`, `ring DEVICE FILE`: writes and reads a file from the mapping of a cached
//!   buffer, by O_DIRECT and by io_uring.
//! - `holes`: unmaps the arena of the stress program; the kernel must put no other mapping there.
//! - `engine NODE`: takes the DMA engine away, with which the device has to go that has its channel.

#![no_std]
#![no_main]

mod pin;

use core::ffi::CStr;
use core::fmt::{self, Display, Write};

use faultline_core::device::{Device, Fault, Mapping, Signal};
use faultline_core::errno::Errno;
use faultline_core::system::System;
use faultline_sys::arena::Arena;
use faultline_sys::console::Console;
use faultline_sys::device::File;
use faultline_sys::machine::Machine;
use faultline_sys::process::Args;
use faultline_sys::scratch::Scratch;
use faultline_sys::{fault, init, program};
use faultline_uapi::FLAG_PRISTINE;
use rustix::fs::{Mode, OFlags};
use rustix::process::Uid;
use rustix::system::delete_module;
use rustix::thread::set_thread_uid;

program!(main);

/// The device that is taken away, and the node it stands for (dts/qemu-virt.dtso).
const DEVICE: &CStr = c"/dev/faultline0";
const NODE: &[u8] = b"dma-buffer-0";

fn main(mut args: Args) -> i32 {
    let mut console = Console::stdout();
    fault::install();
    let (command, argument) = (args.next().unwrap_or(c""), args.next().unwrap_or(c""));
    let outcome = match command.to_bytes() {
        b"exit" => return number(argument),
        b"hang" => loop {
            core::hint::spin_loop();
        },
        b"say" => {
            let text = argument.to_str().unwrap_or("?");
            // The console remembers that something could not be written.
            let _ = writeln!(console, "{text}");
            Ok(())
        }
        b"log" => write_file(c"/dev/kmsg", argument.to_bytes()),
        b"unbind" => unbind(),
        b"unload" => unload(),
        b"nobody" => nobody(argument),
        b"vm-fault" => vm_fault(),
        b"pinned" => pin::pinned(argument, args.next().unwrap_or(c"").to_bytes()),
        b"direct" => pin::direct(argument, args.next().unwrap_or(c"")),
        b"ring" => pin::ring(argument, args.next().unwrap_or(c"")),
        b"holes" => holes(),
        b"engine" => engine(argument.to_bytes()),
        _ => return 2,
    };
    match outcome {
        Ok(()) => 0,
        Err(unexpected) => {
            let _ = writeln!(console, "unexpected: {unexpected}");
            1
        }
    }
}

fn number(text: &CStr) -> i32 {
    text.to_str()
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(2)
}

/// Makes a hole of the whole arena, and has the kernel choose addresses for mappings of all sizes, which
/// stay. In the arena a task of the stress program would unmap them: its own stack, for example.
fn holes() -> Result<(), Unexpected> {
    const LENGTH: u64 = 64 << 20;
    const LARGEST: u32 = 25;
    const PAGE: u32 = 14;

    let mut arena = Arena::new(LENGTH).map_err(|errno| note("mmap() of an arena", errno))?;
    arena
        .unmap(0, LENGTH)
        .map_err(|errno| note("munmap() of the arena", errno))?;
    let start = arena.address(0);
    let mut kept = [const { None }; (LARGEST - PAGE + 1) as usize];
    for (bits, kept) in (PAGE..=LARGEST).rev().zip(&mut kept) {
        let memory = Scratch::new(1 << bits).map_err(|errno| note("mmap() of memory", errno))?;
        let address = memory.as_ptr().addr() as u64;
        if (start..start + LENGTH).contains(&address) {
            return Err(note(
                "an address that the kernel chose",
                "it is in the arena",
            ));
        }
        *kept = Some(memory);
    }
    Ok(())
}

/// Unbinds a device that is open and mapped: all access ends at once, and a new binding has a new
/// buffer, without the stored data.
fn unbind() -> Result<(), Unexpected> {
    let mut machine = Machine::new();
    let mut file = open(&mut machine)?;
    let size = file.info().map_err(|errno| note("INFO", errno))?.size;
    let mut mapping = map(&mut file, size)?;
    let untouched = map(&mut file, size)?;
    for offset in [0, size - 1] {
        mapping
            .store_byte(offset, 0x5a)
            .map_err(|fault| note("a store before", fault))?;
    }

    write_file(c"/sys/bus/platform/drivers/faultline/unbind", NODE)?;
    for (mapping, offset) in [(&mapping, 0), (&mapping, size - 1), (&untouched, 0)] {
        expect_sigbus(mapping, offset)?;
    }
    expect("read()", file.read_at(0, &mut [0; 8]), Errno::NODEV)?;
    expect("write()", file.write_at(0, &[0; 8]), Errno::NODEV)?;
    expect("INFO", file.info(), Errno::NODEV)?;
    expect("FRAME", file.physical_address(0), Errno::NODEV)?;
    expect("mmap()", file.map(0, size), Errno::NODEV)?;
    expect("open()", machine.open(DEVICE), Errno::NOENT)?;

    write_file(c"/sys/bus/platform/drivers/faultline/bind", NODE)?;
    let mut fresh = open(&mut machine)?;
    let info = fresh
        .info()
        .map_err(|errno| note("INFO of the new one", errno))?;
    if info.flags & FLAG_PRISTINE == 0 {
        return Err(note("the new one", "is not pristine"));
    }
    let fresh_mapping = map(&mut fresh, info.size)?;
    for offset in 0..info.size {
        match fresh_mapping.load_byte(offset) {
            Ok(0) => {}
            Ok(_) => return Err(note("the new one", "is not zeroed")),
            Err(fault) => return Err(note("a load from the new one", fault)),
        }
    }
    // What was opened and mapped before does not come back to life.
    expect_sigbus(&mapping, 0)?;
    expect(
        "read() of the old one",
        file.read_at(0, &mut [0; 8]),
        Errno::NODEV,
    )
}

/// Unloads the module: not while it is in use, cleanly after that, and it can be loaded again.
fn unload() -> Result<(), Unexpected> {
    let mut machine = Machine::new();
    let mut file = open(&mut machine)?;
    let mapping = map(&mut file, 4096)?;
    expect("delete_module() with a file open", delete(), Errno::AGAIN)?;
    drop(file);
    expect("delete_module() with a mapping", delete(), Errno::AGAIN)?;
    mapping
        .load_byte(0)
        .map_err(|fault| note("a load", fault))?;
    drop(mapping);

    delete().map_err(|errno| note("delete_module()", errno))?;
    expect("open()", machine.open(DEVICE), Errno::NOENT)?;
    init::load_module().map_err(|errno| note("loading it again", errno))?;
    open(&mut machine).map(drop)
}

/// Opens a device whose mode lets everybody, as one who has nothing but that.
fn nobody(path: &CStr) -> Result<(), Unexpected> {
    let nobody = Uid::from_raw(65534);

    rustix::fs::chmod(path, Mode::from_raw_mode(0o666))
        .map_err(|error| failed("chmod()", error))?;
    set_thread_uid(nobody).map_err(|error| failed("setuid()", error))?;
    let opened = Machine::new().open(path).map(drop);
    opened.map_err(|errno| note("open()", errno))
}

/// Unbinds the engine of the second device's channel, while that device is open.
fn engine(node: &[u8]) -> Result<(), Unexpected> {
    const DEVICE: &CStr = c"/dev/faultline1";

    let mut machine = Machine::new();
    let file = machine.open(DEVICE);
    let mut file = file.map_err(|errno| note("open()", errno))?;
    write_file(c"/sys/bus/platform/drivers/bcm2835-dma/unbind", node)?;
    expect("INFO", file.info(), Errno::NODEV)?;
    expect("open() after", machine.open(DEVICE), Errno::NOENT)
}

/// Maps the pages of the kernel's sample by touching them, and revokes them.
fn vm_fault() -> Result<(), Unexpected> {
    const DEVICE: &CStr = c"/dev/rust-vm-fault";
    const PAGE: u64 = 4096;
    const SIZE: u64 = 4 * PAGE;

    let mut machine = Machine::new();
    let mut file = (machine.open(DEVICE)).map_err(|errno| note("open()", errno))?;
    expect("mmap() past the end", file.map(PAGE, SIZE), Errno::INVAL)?;
    let (mut stored, loaded) = (map(&mut file, SIZE)?, map(&mut file, SIZE)?);
    for page in 0..4 {
        stored
            .store_byte(page * PAGE, page as u8 + 1)
            .map_err(|fault| note("a store", fault))?;
        match loaded.load_byte(page * PAGE) {
            Ok(byte) if u64::from(byte) == page + 1 => {}
            Ok(_) => return Err(note("the other mapping", "has another page")),
            Err(fault) => return Err(note("a load", fault)),
        }
    }

    let late = map(&mut file, SIZE)?;
    late.load_byte(0)
        .map_err(|fault| note("a load before", fault))?;
    file.write_at(0, b"x")
        .map_err(|errno| note("write()", errno))?;
    expect_sigbus(&late, PAGE)?;
    for mapping in [&late, &stored] {
        match mapping.load_byte(0) {
            Ok(1) => {}
            Ok(_) => return Err(note("a mapped page", "is another one")),
            Err(fault) => return Err(note("a load of a mapped page", fault)),
        }
    }
    expect("mmap() after", file.map(0, SIZE), Errno::NODEV)?;

    let mut other = (machine.open(DEVICE)).map_err(|errno| note("open() again", errno))?;
    match map(&mut other, SIZE)?.load_byte(0) {
        Ok(0) => Ok(()),
        Ok(_) => Err(note("another file", "has the same pages")),
        Err(fault) => Err(note("a load of another file", fault)),
    }
}

fn open(machine: &mut Machine) -> Result<File, Unexpected> {
    machine.open(DEVICE).map_err(|errno| note("open()", errno))
}

fn map(file: &mut File, size: u64) -> Result<<File as Device>::Mapping, Unexpected> {
    file.map(0, size).map_err(|errno| note("mmap()", errno))
}

fn delete() -> Result<(), Errno> {
    // O_NONBLOCK: refuse rather than wait until nobody uses it.
    const O_NONBLOCK: i32 = OFlags::NONBLOCK.bits() as i32;
    delete_module(c"faultline", O_NONBLOCK).map_err(|errno| Errno::new(errno.raw_os_error() as u64))
}

fn write_file(path: &'static CStr, bytes: &[u8]) -> Result<(), Unexpected> {
    rustix::fs::open(path, OFlags::WRONLY, Mode::empty())
        .and_then(|file| rustix::io::write(file, bytes))
        .map(drop)
        .map_err(|error| failed(path.to_str().unwrap_or("?"), error))
}

fn failed(what: &'static str, error: rustix::io::Errno) -> Unexpected {
    note(what, Errno::new(error.raw_os_error() as u64))
}

fn expect_sigbus(mapping: &impl Mapping, offset: u64) -> Result<(), Unexpected> {
    match mapping.load_byte(offset) {
        Err(fault) if fault.signal == Signal::Bus => Ok(()),
        Err(fault) => Err(note("a load after, want SIGBUS", fault)),
        Ok(_) => Err(note("a load after, want SIGBUS", "it worked")),
    }
}

fn expect<T>(what: &'static str, seen: Result<T, Errno>, want: Errno) -> Result<(), Unexpected> {
    match seen {
        Err(errno) if errno == want => Ok(()),
        Err(errno) => Err(note(what, errno)),
        Ok(_) => Err(note(what, "it worked")),
    }
}

/// What was done, and what was seen that was not expected.
struct Unexpected {
    what: &'static str,
    seen: Seen,
}

enum Seen {
    Errno(Errno),
    Fault(Fault),
    Text(&'static str),
}

fn note(what: &'static str, seen: impl Into<Seen>) -> Unexpected {
    Unexpected {
        what,
        seen: seen.into(),
    }
}

impl Display for Unexpected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.what)?;
        match &self.seen {
            Seen::Errno(errno) => write!(f, "{errno}"),
            Seen::Fault(fault) => write!(f, "{}", fault.signal),
            Seen::Text(text) => f.write_str(text),
        }
    }
}

impl From<Errno> for Seen {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<Fault> for Seen {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<&'static str> for Seen {
    fn from(text: &'static str) -> Self {
        Self::Text(text)
    }
}
