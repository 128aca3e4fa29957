// SPDX-License-Identifier: GPL-2.0-only

//! The call that maps a range before it is touched.

use faultline_core::device::{Call, Device, Mapping};
use faultline_core::errno::Errno;
use faultline_core::finding::Stop;
use faultline_sys::fault_counter::FaultCounter;
use faultline_sys::mapping::Access;
use faultline_uapi::Prefault;

use super::{Subject, PAGE};

/// How often to look: the fewest faults count, because others of the process may be among them.
const ROUNDS: usize = 3;

/// After PREFAULT neither loads nor stores fault, on any page; without it they do. The driver refuses a range
/// that makes no sense, and one that is not the buffer's.
pub(super) fn prefault(subject: &mut Subject<'_>) -> Result<(), Stop> {
    for (what, is_asked, want) in [
        ("accesses that fault, without PREFAULT", false, true),
        ("accesses that fault after PREFAULT", true, false),
    ] {
        let mut fewest = u64::MAX;
        for _ in 0..ROUNDS {
            fewest = fewest.min(faults(subject, is_asked)?);
        }
        subject.finding.same(what, fewest > 0, want)?;
    }

    let mapping = subject.map()?;
    let (start, size) = (mapping.address(), subject.info.size);
    for (what, address, length, want) in [
        ("PREFAULT of nothing", start, 0, Errno::INVAL),
        ("PREFAULT from inside a page", start + 8, PAGE, Errno::INVAL),
        ("PREFAULT of part of a page", start, PAGE - 1, Errno::INVAL),
        ("PREFAULT that wraps", start, start.wrapping_neg(), Errno::INVAL),
        ("PREFAULT past the end", start, 2 * size, Errno::FAULT),
        ("PREFAULT of null", 0, size, Errno::FAULT),
    ] {
        let answer = ask(subject, address, length);
        subject.finding.same(what, answer, want)?;
    }
    Ok(())
}

/// How many page faults it takes to load from each page of a new mapping, then to store to each.
fn faults(subject: &mut Subject<'_>, is_asked: bool) -> Result<u64, Stop> {
    let mut mapping = subject.map()?;
    if is_asked {
        let answer = ask(subject, mapping.address(), subject.info.size);
        subject.finding.need("PREFAULT", answer)?;
    }
    let finding = &mut subject.finding;
    let counter = finding.need("open() of /proc/self/stat", FaultCounter::new())?;
    let mut count = || finding.need("read() of /proc/self/stat", counter.read());
    let before = count()?;
    let loaded = mapping.touch(PAGE as usize, Access::Load);
    let stored = mapping.touch(PAGE as usize, Access::Store);
    let after = count()?;
    finding.access("load", loaded)?;
    finding.access("store", stored)?;
    match (before, after) {
        (Some(before), Some(after)) => Ok(after - before),
        _ => Err(Stop::Skip("/proc/self/stat has no number of page faults")),
    }
}

fn ask(subject: &mut Subject<'_>, address: u64, length: u64) -> Result<(), Errno> {
    let mut range = Prefault { address, length };
    subject.device.call(Call::Prefault(&mut range))
}
