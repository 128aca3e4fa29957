// SPDX-License-Identifier: GPL-2.0-only

//! The devices, and the files by which they and the kernel are asked.

use core::ffi::CStr;
use core::fmt::{self, Write};
use core::sync::atomic::AtomicU64;

use faultline_core::device::{Call, Device};
use faultline_core::errno::Errno;
use faultline_core::failure::CallError;
use faultline_core::name::{BIND, CLASS_DEVICE, DEVICE, NONCE, UNBIND};
use faultline_core::text::Printable;
use faultline_sys::arena::{Access, Arena};
use faultline_sys::device::File;
use faultline_sys::nodes::find;
use faultline_sys::shared::shared_numbers;
use faultline_uapi::{Info, Master, FLAG_CACHED, MASTER_DATA_NONCE, MASTER_FILL};
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, CWD};
use rustix::thread::{nanosleep, sched_getaffinity, Timespec};
use rustix::time::{clock_gettime, ClockId};

use crate::round;

/// The most devices that are looked at.
pub(crate) const MAX_TARGETS: usize = 8;

/// What everything happens to.
pub(crate) struct World {
    pub(crate) targets: heapless::Vec<Target, MAX_TARGETS>,
    pub(crate) arena: Arena,
    pub(crate) page: u64,
    pub(crate) cpus: usize,
    /// What the processes of one case share, and then those of the next: were it mapped for each,
    /// there would be more VMAs than fit into what is read of `/proc/self/smaps`.
    pub(crate) shared: &'static [AtomicU64],
    /// Whether the kernel gives every device bounce buffers.
    pub(crate) is_bounced: bool,
    nonce: Nonce,
}

/// A device.
#[derive(Clone)]
pub(crate) struct Target {
    /// `/dev/faultlineN`.
    pub(crate) path: Path,
    /// The name by which it is bound: that of its node in the device tree.
    pub(crate) node: Path,
    pub(crate) size: u64,
    /// Whether its pages are ordinary ones, and accesses have to be synchronised.
    pub(crate) is_cached: bool,
    /// The bus master that can be asked to access the buffer, or why there is none.
    pub(crate) master: Result<Master, Errno>,
}

/// The words of what bus masters fill with, as the kernel's command line has it.
type Nonce = heapless::Vec<u64, 8>;

/// A path for a system call, or the name of a device's node.
#[derive(Clone)]
pub(crate) struct Path {
    /// Zeroed beyond `length`, and at the end.
    bytes: [u8; Self::ROOM],
    length: usize,
}

impl Path {
    /// As long as the name of a file can be (`NAME_MAX`), and more than the paths that are made here.
    const ROOM: usize = 256;

    pub(crate) fn new(path: fmt::Arguments<'_>) -> Self {
        let mut new = Self {
            bytes: [0; Self::ROOM],
            length: 0,
        };
        if new.write_fmt(path).is_err() {
            unreachable!("there is room for the longest name");
        }
        new
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    pub(crate) fn c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or(c"")
    }
}

impl Write for Path {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        if end >= Self::ROOM {
            return Err(fmt::Error);
        }
        self.bytes[self.length..end].copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

impl World {
    /// Of the arena: where the cases map, in places that are far apart.
    pub(crate) const A: u64 = 0;
    pub(crate) const B: u64 = 16 << 20;
    pub(crate) const C: u64 = 32 << 20;
    /// Ordinary memory of the cases; and as much as an ioctl can carry, after it.
    pub(crate) const MEMORY: u64 = 48 << 20;
    const ARENA: u64 = 64 << 20;

    /// The most numbers that a case has its processes share.
    const SHARED: usize = 16;

    /// Buffers longer than this are mapped and read from their start only.
    pub(crate) const MOST: u64 = 8 << 20;

    /// Looks at all the devices there are.
    pub(crate) fn find() -> Result<Self, CallError> {
        let cpus = sched_getaffinity(None).map_err(errno);
        let mut buffer = [0; 4096];
        let line = read_file(c"/proc/cmdline", &mut buffer)
            .map_err(CallError::of("read of /proc/cmdline"))?;
        let mut options = line.split(u8::is_ascii_whitespace);
        let mut world = Self {
            targets: heapless::Vec::new(),
            arena: Arena::new(Self::ARENA).map_err(CallError::of("mmap() of an arena"))?,
            page: rustix::param::page_size() as u64,
            cpus: cpus.map_err(CallError::of("sched_getaffinity()"))?.count() as usize,
            shared: shared_numbers(Self::SHARED)
                .map_err(CallError::of("mmap() of shared memory"))?,
            is_bounced: options.any(|option| option == b"swiotlb=force"),
            nonce: nonce(line),
        };
        let nodes = find().map_err(CallError::of("access() of a device node"))?;
        for number in nodes.numbers() {
            let target = Target::of(number)?;
            if world.targets.push(target).is_err() {
                break;
            }
        }
        world
            .clear()
            .map_err(CallError::of("mmap() in the arena"))?;
        Ok(world)
    }

    /// Makes the arena empty.
    pub(crate) fn clear(&mut self) -> Result<(), Errno> {
        let length = self.arena.length();
        self.arena.map_memory(0, length, Access::NONE)?;
        self.arena
            .map_memory(Self::MEMORY, length - Self::MEMORY, Access::BOTH)
    }
}

impl World {
    /// Whether a word in a buffer can be one that this program stored or had stored, whole and at a
    /// multiple of eight.
    pub(crate) fn is_known(&self, word: u64) -> bool {
        if word == 0 || word & TAG_MASK == TAG {
            return true;
        }
        if cfg!(target_pointer_width = "32") {
            // The kernel copies halves there, and what others store meanwhile comes in between.
            let upper = word >> 32;
            return upper == 0
                || round::is_upper_half(upper as u32)
                || self.nonce.iter().any(|known| known >> 32 == upper);
        }
        round::is_word(word) || self.nonce.contains(&word)
    }

    /// Whether what the bus masters fill with is known.
    pub(crate) fn knows_fill(&self) -> bool {
        let masters = self.targets.iter().flat_map(|target| &target.master);
        masters
            .filter(|master| master.abilities & MASTER_FILL != 0)
            .all(|master| {
                master.data == MASTER_DATA_NONCE && master.max_fill == 8 * self.nonce.len() as u64
            })
    }
}

impl Target {
    fn of(number: u32) -> Result<Self, CallError> {
        let path = Path::new(format_args!("{DEVICE}{number}"));
        let link = Path::new(format_args!("{CLASS_DEVICE}{number}/device"));
        let mut bytes = [0; 256];
        let length = rustix::fs::readlinkat_raw(CWD, link.c_str(), &mut bytes[..])
            .map_err(errno)
            .map_err(CallError::of("readlink() of a device in /sys/class/misc"))?;
        let name = bytes[..length].rsplit(|&byte| byte == b'/').next();
        let node = Path::new(format_args!("{}", Printable(name.unwrap_or(b""))));
        let mut file =
            File::open(path.c_str(), false).map_err(CallError::of("open() of a device"))?;
        let info = file.info().map_err(CallError::of("INFO"))?;
        let mut master = Master::default();
        let master = file.call(Call::Master(&mut master)).map(|()| master);
        Ok(Self {
            path,
            node,
            size: info.size,
            is_cached: info.flags & FLAG_CACHED != 0,
            master,
        })
    }

    pub(crate) fn open(&self) -> Result<File, Errno> {
        File::open(self.path.c_str(), false)
    }

    pub(crate) fn unbind(&self) -> Result<(), Errno> {
        write_file(UNBIND, self.node.bytes())
    }

    pub(crate) fn bind(&self) -> Result<(), Errno> {
        write_file(BIND, self.node.bytes())
    }

    pub(crate) fn info(&self) -> Result<Info, Errno> {
        self.open()?.info()
    }
}

pub(crate) use faultline_sys::error::errno;

pub(crate) fn open_file(path: &CStr, flags: OFlags) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::from_raw_mode(0o600)).map_err(errno)
}

pub(crate) fn write_file(path: &CStr, text: &[u8]) -> Result<(), Errno> {
    let file = open_file(path, OFlags::WRONLY)?;
    rustix::io::write(&file, text).map_err(errno).map(drop)
}

/// Reads a file, or as much of it as there is room for.
pub(crate) fn read_file<'b>(path: &CStr, buffer: &'b mut [u8]) -> Result<&'b [u8], Errno> {
    let file = open_file(path, OFlags::RDONLY)?;
    let mut length = 0;
    while length < buffer.len() {
        match rustix::io::read(&file, &mut buffer[length..]).map_err(errno)? {
            0 => break,
            more => length += more,
        }
    }
    Ok(&buffer[..length])
}

/// Finds the nonce on the kernel's command line, as far as it is whole words.
fn nonce(line: &[u8]) -> Nonce {
    let given = line
        .split(u8::is_ascii_whitespace)
        .find_map(|word| word.strip_prefix(NONCE.as_bytes()));
    let mut nonce = Nonce::new();
    for bytes in given.unwrap_or(b"").chunks_exact(8) {
        let word = u64::from_ne_bytes(bytes.try_into().unwrap_or_default());
        if nonce.push(word).is_err() {
            break;
        }
    }
    nonce
}

/// The number in the line of `/proc/meminfo` that begins with `name`, in KiB, if there is one.
pub(crate) fn memory_info(name: &[u8]) -> Result<Option<u64>, Errno> {
    let mut buffer = [0; 4096];
    let text = read_file(c"/proc/meminfo", &mut buffer)?;
    let line = text
        .split(|&byte| byte == b'\n')
        .find_map(|line| line.strip_prefix(name));
    let Some(line) = line else { return Ok(None) };
    let digits = line.iter().filter(|byte| byte.is_ascii_digit());
    Ok(Some(digits.fold(0, |number, digit| {
        number * 10 + u64::from(digit - b'0')
    })))
}

pub(crate) fn sleep_ms(milliseconds: u64) {
    sleep_ns(milliseconds * NS_PER_MS);
}

pub(crate) fn sleep_ns(nanoseconds: u64) {
    // Whether all of it was slept does not matter to anybody.
    let _ = nanosleep(&Timespec {
        tv_sec: (nanoseconds / (1000 * NS_PER_MS)) as i64,
        tv_nsec: (nanoseconds % (1000 * NS_PER_MS)) as i64,
    });
}

const NS_PER_MS: u64 = 1_000_000;

pub(crate) fn now_ms() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / NS_PER_MS
}

/// A seed that no earlier run is likely to have had.
pub(crate) fn new_seed() -> u64 {
    let now = clock_gettime(ClockId::Realtime);
    (now.tv_sec as u64).wrapping_mul(1_000_000_007) ^ now.tv_nsec as u64
}

/// Words that only this program stores: whatever else is found in a buffer, but zero and what
/// [`World::is_known`] allows for, came from somewhere else.
pub(crate) const TAG: u64 = 0xfa17 << 48;
pub(crate) const TAG_MASK: u64 = 0xffff << 48;

pub(crate) fn tagged(number: u64) -> u64 {
    TAG | number & !TAG_MASK
}
