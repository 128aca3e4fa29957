// SPDX-License-Identifier: GPL-2.0-only

//! The checks, one entry each: this is the one file to change for a new one.

use core::ffi::CStr;

use faultline_core::device::{Call, Device, Mapping, Signal, Unmapped};
use faultline_core::errno::Errno;
use faultline_core::finding::{about, Finding, Stop, Value};
use faultline_sys::binding::BusDevice;
use faultline_sys::device::File;
use faultline_sys::file::poll;
use faultline_sys::process::is_init;
use faultline_uapi::{Alarm, Event, Info, FLAG_PRISTINE, POLL_ALARM};

/// One check.
pub struct Check {
    /// Its name in the report.
    pub name: &'static str,
    /// Looks: [`Finding::same`] decides that it fails, and takes note of what was seen.
    pub run: fn(&mut Subject<'_>) -> Result<(), Stop>,
}

/// All checks, in the order in which they are made. The first one needs a buffer that nobody has used, and the
/// last one has the device bound again: what comes after it has a new buffer.
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
    Check {
        name: "revoked",
        run: revoked,
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
    /// What a check saw last, and what it wanted.
    pub finding: Finding,
}

impl Subject<'_> {
    /// Maps the buffer.
    fn map(&mut self) -> Result<<File as Device>::Mapping, Stop> {
        let mapping = self.device.map(0, self.info.size);
        self.finding.need("mmap()", mapping)
    }

    /// Sets the alarm.
    fn set_alarm(&mut self, seconds: u32) -> Result<(), Stop> {
        let mut alarm = Alarm {
            seconds,
            reserved: 0,
        };
        let answer = self.device.call(Call::Alarm(&mut alarm));
        self.finding.need("ALARM", answer)
    }

    /// The alarm has gone off, or goes off within so many milliseconds, or does not.
    fn goes_off(&mut self, milliseconds: i64, want: bool) -> Result<(), Stop> {
        let events = poll(&self.device, POLL_ALARM, milliseconds);
        let events = self.finding.need("poll()", events)?;
        let what = "poll(): the alarm has gone off";
        self.finding.same(what, events & POLL_ALARM != 0, want)
    }

    /// The event of the highest number in the ring.
    fn latest(&mut self) -> Result<Event, Stop> {
        let mapping = self.map()?;
        let mut latest = Event::default();
        for slot in (0..self.info.size).step_by(size_of::<Event>()) {
            let (mut number, mut count, mut time) = ([0; 4], [0; 4], [0; 8]);
            self.finding.access("load", mapping.load(slot, &mut number))?;
            self.finding
                .access("load", mapping.load(slot + 4, &mut count))?;
            self.finding
                .access("load", mapping.load(slot + 8, &mut time))?;
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
}

/// The bytes of a word.
const WORD: u64 = 8;
/// As many as a page has, or fewer.
const PAGE: u64 = 4096;
/// How long to wait for what must happen, in milliseconds.
const PATIENCE: i64 = 10_000;
/// How often an alarm replaces one that is going off.
const ROUNDS: u32 = 100;
/// The time between the two alarms is shorter than this, in milliseconds.
const MOST: u32 = 20;

/// A buffer that nobody has used is all zeroes, to the last word.
fn zeroed(subject: &mut Subject<'_>) -> Result<(), Stop> {
    if subject.info.flags & FLAG_PRISTINE == 0 {
        return Err(Stop::Skip("the buffer was used before"));
    }
    let mapping = subject.map()?;
    for offset in (0..subject.info.size).step_by(WORD as usize) {
        let word = subject
            .finding
            .access("load", mapping.load_acquire(offset))?;
        let what = about("a word of a new buffer").at(offset);
        subject
            .finding
            .same(what, Value::Word(word), Value::Word(0))?;
    }
    Ok(())
}

/// Two mappings show the same memory: page by page, what one stores the other loads.
fn shared(subject: &mut Subject<'_>) -> Result<(), Stop> {
    let mut one = subject.map()?;
    let other = subject.map()?;
    let pages = || (0..subject.info.size).step_by(PAGE as usize);
    for offset in pages() {
        let stored = one.store_release(offset, !offset);
        subject.finding.access("store", stored)?;
    }
    for offset in pages() {
        let word = subject.finding.access("load", other.load_acquire(offset))?;
        let what = about("what the other mapping stored").at(offset);
        subject
            .finding
            .same(what, Value::Word(word), Value::Word(!offset))?;
    }
    Ok(())
}

/// `read()` and `write()` see the memory that is mapped.
fn read_write(subject: &mut Subject<'_>) -> Result<(), Stop> {
    let mapping = subject.map()?;
    for offset in [0, subject.info.size - WORD] {
        let want = Value::Word(!offset);
        let written = subject
            .device
            .write_at(offset, &(!offset).to_ne_bytes());
        let finding = &mut subject.finding;
        finding.same(about("bytes of write()").at(offset), written, WORD)?;
        let word = finding.access("load", mapping.load_acquire(offset))?;
        finding.same(about("what write() wrote").at(offset), Value::Word(word), want)?;
        let mut bytes = [0; WORD as usize];
        let read = subject.device.read_at(offset, &mut bytes);
        finding.same(about("bytes of read()").at(offset), read, WORD)?;
        let word = Value::Word(u64::from_ne_bytes(bytes));
        finding.same(about("what read() reads").at(offset), word, want)?;
    }
    Ok(())
}

/// Nothing lies behind the end.
fn bounds(subject: &mut Subject<'_>) -> Result<(), Stop> {
    let Subject {
        device,
        finding,
        info: Info { size, .. },
        ..
    } = subject;
    for (offset, length) in [(*size, PAGE), (0, *size + PAGE), (*size - PAGE, 2 * PAGE)] {
        let mapped = device.map(offset, length).map(drop);
        finding.same(about("mmap() past the end").at(offset), mapped, Errno::INVAL)?;
    }
    let written = device.write_at(*size, &[0]);
    finding.same("write() at the end", written, Errno::NOSPC)?;
    let read = device.read_at(*size, &mut [0]);
    finding.same("bytes of read() at the end", read, 0_u64)
}

/// After `munmap()` there is nothing at the address.
fn unmapped(subject: &mut Subject<'_>) -> Result<(), Stop> {
    let mapping = subject.map()?;
    subject.finding.access("load", mapping.load_byte(0))?;
    let gone = subject.finding.need("munmap()", mapping.unmap())?;
    let touched = gone.load(0, &mut [0]);
    subject
        .finding
        .same("load after munmap()", touched, Signal::Segv)
}

/// The driver refuses an alarm that makes no sense, and one through a file that is open for reading only.
fn refused(subject: &mut Subject<'_>) -> Result<(), Stop> {
    let mut alarm = Alarm {
        reserved: 1,
        ..Alarm::default()
    };
    let finding = &mut subject.finding;
    let answer = subject.device.call(Call::Alarm(&mut alarm));
    finding.same("ALARM with a reserved field", answer, Errno::INVAL)?;
    let mut reader = finding.need("open() for reading", File::open(subject.path, true))?;
    let answer = reader.call(Call::Alarm(&mut Alarm::default()));
    finding.same("ALARM, open for reading only", answer, Errno::BADF)
}

/// An alarm for now goes off: `poll()` says so, and the event is in the buffer. Two events follow each
/// other.
fn alarm(subject: &mut Subject<'_>) -> Result<(), Stop> {
    // Nothing that is in the ring afterwards was there before.
    for offset in (0..subject.info.size).step_by(PAGE as usize) {
        let written = subject.device.write_at(offset, &[0; PAGE as usize]);
        subject.finding.same("bytes of write()", written, PAGE)?;
    }
    let mut before = Event::default();
    for _ in 0..2 {
        subject.set_alarm(0)?;
        subject.goes_off(PATIENCE, true)?;
        let event = subject.latest()?;
        let finding = &mut subject.finding;
        finding.same("an event in the ring", event.number > before.number, true)?;
        finding.same("a later time", event.time > before.time, true)?;
        finding.same("a count that grows", event.count >= before.count, true)?;
        if before.number != 0 {
            let (seen, want) = (u64::from(event.number), u64::from(before.number) + 1);
            finding.same("number of the next event", seen, want)?;
        }
        before = event;
    }
    Ok(())
}

/// An alarm in an hour does not go off now, also if it replaces one that is going off; and setting another
/// one replaces it.
fn alarm_waits(subject: &mut Subject<'_>) -> Result<(), Stop> {
    for round in 0..ROUNDS {
        subject.set_alarm(0)?;
        // Three rounds of four do not pause. On a busy machine the interrupt can take milliseconds.
        let pause = if round % 4 == 0 { round / 4 % MOST } else { 0 };
        let paused = poll(&subject.device, 0, pause.into());
        subject.finding.need("poll()", paused)?;
        subject.set_alarm(3600)?;
        subject.goes_off(2, false)?;
    }
    subject.set_alarm(0)?;
    subject.goes_off(PATIENCE, true)
}

/// When the device is unbound, a mapping answers by SIGBUS and an open file by `ENODEV`. The device can be
/// bound again, and has a new buffer then.
fn revoked(subject: &mut Subject<'_>) -> Result<(), Stop> {
    if !is_init() {
        return Err(Stop::Skip("only the first process of a machine may unbind its devices"));
    }
    let mapping = subject.map()?;
    subject.finding.access("load", mapping.load_byte(0))?;
    let parent = BusDevice::of_node(subject.path);
    let parent = subject.finding.called(parent)?;
    subject.finding.called(parent.unbind())?;
    let touched = mapping.load(0, &mut [0]);
    let answer = subject.device.info().map(drop);
    // Whatever was seen, checks that follow need the device.
    subject.finding.called(parent.bind())?;
    let opened = File::open(subject.path, false);
    subject.device = subject.finding.need("open()", opened)?;
    let finding = &mut subject.finding;
    finding.same("load after the unbinding", touched, Signal::Bus)?;
    finding.same("INFO after the unbinding", answer, Errno::NODEV)?;
    let info = finding.need("INFO", subject.device.info())?;
    let is_new = info.flags & FLAG_PRISTINE != 0;
    finding.same("a buffer that nobody has used", is_new, true)
}
