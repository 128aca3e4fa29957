// SPDX-License-Identifier: GPL-2.0-only

//! The checks, one entry each: this is the one file to change for a new one.

use core::ffi::CStr;
use core::fmt::{Debug, Write};

use faultline_core::device::{Call, Device, Mapping, Signal, Unmapped};
use faultline_core::errno::Errno;
use faultline_core::text::Note;
use faultline_sys::device::File;
use faultline_sys::file::poll;
use faultline_uapi::{Alarm, Event, Info, FLAG_PRISTINE, POLL_ALARM};

/// One check.
pub struct Check {
    /// Its name in the report.
    pub name: &'static str,
    /// Looks, and says what is wrong.
    pub run: fn(&mut Subject<'_>) -> Result<(), Stop>,
}

/// All checks, in the order in which they are made. The first one needs a buffer that nobody has used.
pub const CHECKS: &[Check] = &[
    Check {
        name: "zeroed",
        run: zeroed,
    },
    Check {
        name: "shared",
        run: shared,
    },
    Check {
        name: "read_write",
        run: read_write,
    },
    Check {
        name: "bounds",
        run: bounds,
    },
    Check {
        name: "unmapped",
        run: unmapped,
    },
    Check {
        name: "refused",
        run: refused,
    },
    Check {
        name: "alarm",
        run: alarm,
    },
    Check {
        name: "alarm_waits",
        run: alarm_waits,
    },
];

/// What a check looks at.
pub struct Subject<'a> {
    /// The path of the device node.
    pub path: &'a CStr,
    /// The device, open for reading and writing.
    pub device: File,
    /// What the driver says of the buffer.
    pub info: Info,
}

/// Why a check ends early.
pub enum Stop {
    /// Something else was seen than what was expected.
    Failed(Note<96>),
    /// It could not be looked at.
    Skipped(&'static str),
}

/// Stops unless `seen` is `want`.
fn same<T: PartialEq + Debug>(what: &str, seen: T, want: T) -> Result<(), Stop> {
    if seen == want {
        return Ok(());
    }
    let mut note = Note::new();
    // What does not fit is left out, and three dots say so.
    let _ = write!(note, "{what}: seen {seen:?}, expected {want:?}");
    Err(Stop::Failed(note))
}

/// Stops unless a call or an access succeeds.
fn need<T, E: Debug>(what: &str, result: Result<T, E>) -> Result<T, Stop> {
    result.map_err(|error| {
        let mut note = Note::new();
        let _ = write!(note, "{what}: {error:?}");
        Stop::Failed(note)
    })
}

/// The bytes of a word.
const WORD: u64 = 8;

/// A buffer that nobody has used is all zeroes, to the last word.
fn zeroed(subject: &mut Subject<'_>) -> Result<(), Stop> {
    if subject.info.flags & FLAG_PRISTINE == 0 {
        return Err(Stop::Skipped("the buffer was used before"));
    }
    let size = subject.info.size;
    let mapping = need("mmap()", subject.device.map(0, size))?;
    for offset in (0..size).step_by(WORD as usize) {
        let word = need("load", mapping.load_acquire(offset))?;
        if word != 0 {
            return same("a word of a new buffer", word, 0);
        }
    }
    Ok(())
}

/// Two mappings show the same memory: page by page, what one stores the other loads.
fn shared(subject: &mut Subject<'_>) -> Result<(), Stop> {
    let size = subject.info.size;
    let mut one = need("mmap()", subject.device.map(0, size))?;
    let other = need("the second mmap()", subject.device.map(0, size))?;
    for offset in (0..size).step_by(4096) {
        need("store", one.store_release(offset, !offset))?;
    }
    for offset in (0..size).step_by(4096) {
        let word = need("load", other.load_acquire(offset))?;
        same("what the other mapping stored", word, !offset)?;
    }
    Ok(())
}

/// `read()` and `write()` see the memory that is mapped.
fn read_write(subject: &mut Subject<'_>) -> Result<(), Stop> {
    let size = subject.info.size;
    let mapping = need("mmap()", subject.device.map(0, size))?;
    for offset in [0, size - WORD] {
        let stored = (!offset).to_ne_bytes();
        let written = subject.device.write_at(offset, &stored);
        same("bytes of write()", written, Ok(WORD))?;
        let word = need("load", mapping.load_acquire(offset))?;
        same("what write() wrote", word, !offset)?;
        let mut loaded = [0; WORD as usize];
        let read = subject.device.read_at(offset, &mut loaded);
        same("bytes of read()", read, Ok(WORD))?;
        same("what read() reads", loaded, stored)?;
    }
    Ok(())
}

/// Nothing lies behind the end.
fn bounds(subject: &mut Subject<'_>) -> Result<(), Stop> {
    let size = subject.info.size;
    for (offset, length) in [(size, 4096), (0, size + 4096), (size - 4096, 8192)] {
        let mapped = subject.device.map(offset, length).map(drop);
        same("mmap() past the end", mapped, Err(Errno::INVAL))?;
    }
    let written = subject.device.write_at(size, &[0]);
    same("write() at the end", written, Err(Errno::NOSPC))?;
    let read = subject.device.read_at(size, &mut [0]);
    same("read() at the end", read, Ok(0))
}

/// After `munmap()` there is nothing at the address.
fn unmapped(subject: &mut Subject<'_>) -> Result<(), Stop> {
    let mapping = need("mmap()", subject.device.map(0, subject.info.size))?;
    need("load", mapping.load_byte(0))?;
    let gone = need("munmap()", mapping.unmap())?;
    let touched = gone.load(0, &mut [0]).map_err(|fault| fault.signal);
    same("load after munmap()", touched, Err(Signal::Segv))
}

/// The driver refuses an alarm that makes no sense, and one through a file that is open for reading only.
fn refused(subject: &mut Subject<'_>) -> Result<(), Stop> {
    let mut alarm = Alarm {
        reserved: 1,
        ..Alarm::default()
    };
    let answer = subject.device.call(Call::Alarm(&mut alarm));
    same("ALARM with a reserved field", answer, Err(Errno::INVAL))?;
    let mut reader = need("open() for reading", File::open(subject.path, true))?;
    let answer = reader.call(Call::Alarm(&mut Alarm::default()));
    same("ALARM, open for reading only", answer, Err(Errno::BADF))
}

/// How long to wait for what must happen, in milliseconds.
const PATIENCE: i64 = 10_000;

/// Sets the alarm.
fn set(subject: &mut Subject<'_>, seconds: u32) -> Result<(), Stop> {
    let mut alarm = Alarm {
        seconds,
        reserved: 0,
    };
    need("ALARM", subject.device.call(Call::Alarm(&mut alarm)))
}

/// The event of the latest number in the ring.
fn latest(subject: &mut Subject<'_>) -> Result<Event, Stop> {
    let mapping = need("mmap()", subject.device.map(0, subject.info.size))?;
    let mut latest = Event::default();
    for slot in (0..subject.info.size).step_by(size_of::<Event>()) {
        let (mut number, mut count, mut time) = ([0; 4], [0; 4], [0; 8]);
        need("load", mapping.load(slot, &mut number))?;
        need("load", mapping.load(slot + 4, &mut count))?;
        need("load", mapping.load(slot + 8, &mut time))?;
        let event = Event {
            number: u32::from_ne_bytes(number),
            count: u32::from_ne_bytes(count),
            time: u64::from_ne_bytes(time),
        };
        if event.number > latest.number {
            latest = event;
        }
    }
    Ok(latest)
}

/// Empties the ring, so that what is in it afterwards is new.
fn clear(subject: &mut Subject<'_>) -> Result<(), Stop> {
    for offset in (0..subject.info.size).step_by(4096) {
        let written = subject.device.write_at(offset, &[0; 4096]);
        same("bytes of write()", written, Ok(4096))?;
    }
    Ok(())
}

/// An alarm for now goes off: `poll()` says so, and the event is in the buffer. Two events follow each
/// other.
fn alarm(subject: &mut Subject<'_>) -> Result<(), Stop> {
    clear(subject)?;
    let mut before = Event::default();
    for _ in 0..2 {
        set(subject, 0)?;
        let events = need("poll()", poll(&subject.device, POLL_ALARM, PATIENCE))?;
        same("events of poll()", events & POLL_ALARM, POLL_ALARM)?;
        let event = latest(subject)?;
        same("an event with a time", event.time > before.time, true)?;
        same("a count that grows", event.count >= before.count, true)?;
        if before.number != 0 {
            same("number of the next event", event.number, before.number + 1)?;
        }
        before = event;
    }
    Ok(())
}

/// An alarm in an hour does not go off now, and setting another replaces it.
fn alarm_waits(subject: &mut Subject<'_>) -> Result<(), Stop> {
    set(subject, 3600)?;
    let events = need("poll()", poll(&subject.device, POLL_ALARM, 0))?;
    same("events of poll() before the time", events & POLL_ALARM, 0)?;
    set(subject, 0)?;
    let events = need("poll()", poll(&subject.device, POLL_ALARM, PATIENCE))?;
    same("events of poll()", events & POLL_ALARM, POLL_ALARM)
}
