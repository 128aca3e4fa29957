// SPDX-License-Identifier: GPL-2.0-only

//! Random operations from several processes at once.
//!
//! What each process does depends on the seed alone, how the processes meet does not. All that is
//! ever stored are [tagged](crate::world::tagged) words at multiples of eight, and the few that FILL
//! and LITMUS store, so that anything else that is found in a buffer, but zero, is somebody else's
//! memory. COPY moves whole words, as `read()` and `write()` do.

use core::sync::atomic::AtomicU64;

use faultline_core::args::stress::{Options, MAX_PROCESSES as MOST};
use faultline_core::device::Device;
use faultline_core::finding::{Finding, Stop, Value};
use faultline_core::random::Random;
use faultline_core::text::Printable;
use faultline_sys::arena::{Access, Sharing};
use faultline_sys::child::{fork, Child, Ending};
use faultline_sys::shared::shared_numbers;
use faultline_uapi::FLAG_PRISTINE;

use crate::report::Part;
use crate::world::{now_ms, read_file, sleep_ms, tagged, Path, World};

mod kind;
mod process;
mod record;

use kind::Kind;
use process::Process;
use record::{Field, Record, FOUND_STRAY};

/// The most processes that there can be.
const MAX_PROCESSES: usize = MOST as usize;

/// For how long a process may not get on with anything. The debug kernel is slow, its unbind waits
/// for others, and the emulator may have to wait for its own turn.
const STUCK_MS: u64 = 300_000;

pub(crate) fn run(part: &mut Part<'_, '_>, world: &mut World, seed: u64, options: &Options) {
    let processes = options.processes as usize;
    let outcome = shared_numbers(processes * Record::FIELDS);
    let Ok(shared) = outcome else {
        for _ in 0..=processes {
            let mut finding = Finding::NONE;
            let result = finding.need("mmap() of shared memory", outcome.map(drop));
            part.result(&"process", result, &finding);
        }
        return;
    };
    let mut endings = [Value::NotStarted; MAX_PROCESSES];

    let mut children = heapless::Vec::<Option<Child>, MAX_PROCESSES>::new();
    for (number, ending) in endings.iter_mut().enumerate().take(processes) {
        let own = Record::of(shared, number);
        let share = options.operations / options.processes
            + u64::from((number as u64) < options.operations % options.processes);
        let random = Random::branch(seed, number as u64);
        let child = fork(|| {
            let mut process = Process::new(world, own, random);
            for _ in 0..share {
                if !process.step(true) {
                    return FOUND_STRAY;
                }
            }
            0
        });
        let child = match child {
            Ok(child) => Some(child),
            Err(errno) => {
                *ending = errno.into();
                None
            }
        };
        let _ = children.push(child);
    }
    watch(part, shared, &mut children, &mut endings);

    for (number, &ending) in endings[..processes].iter().enumerate() {
        let own = Record::of(shared, number);
        let mut finding = Finding::NONE;
        let result = match ending {
            Value::Exit(FOUND_STRAY) => {
                let stray = Value::Word(own.get(Field::Stray));
                finding.same("a word that nobody stored", stray, Value::Word(0))
            }
            Value::Errno(errno) => finding.need("fork()", Err(errno)),
            ending => finding.same("end of the process", ending, Ending::Exit(0)),
        };
        let count = |field| own.get(field);
        let name = format_args!("process_{number}");
        part.result(
            &name,
            result,
            &format_args!(
                "{} operations, {} refused, {} SIGBUS, {} SIGSEGV, {} by a bus master, {} tests; \
                 {finding}",
                count(Field::Done),
                count(Field::Errors),
                count(Field::Bus),
                count(Field::Segv),
                count(Field::Mastered),
                count(Field::Tested),
            ),
        );
    }
    let mut finding = Finding::NONE;
    let result = afterwards(world, &mut finding);
    part.result(&"devices_afterwards", result, &finding);
}

/// Waits for the processes; names and kills one that does not get on.
fn watch(
    part: &mut Part<'_, '_>,
    shared: &[AtomicU64],
    children: &mut [Option<Child>],
    endings: &mut [Value],
) {
    let mut last = [(0, now_ms()); MAX_PROCESSES];
    let mut said = now_ms();
    loop {
        let mut left = 0;
        for (number, slot) in children.iter_mut().enumerate() {
            let Some(child) = slot else { continue };
            if let Some(ending) = child.ending() {
                endings[number] = ending.into();
                *slot = None;
                continue;
            }
            left += 1;
            let own = Record::of(shared, number);
            let done = own.get(Field::Done);
            if done != last[number].0 {
                last[number] = (done, now_ms());
            } else if now_ms() - last[number].1 > STUCK_MS {
                name_stuck(part, number, child.pid(), own);
                endings[number] = Value::Running;
                // If it does not even die there is nothing to wait for.
                child.kill();
                sleep_ms(1000);
                if child.ending().is_some() {
                    *slot = None;
                } else {
                    core::mem::forget(slot.take());
                }
            }
        }
        if left == 0 {
            return;
        }
        if now_ms() - said > 60_000 {
            said = now_ms();
            let records = (0..children.len()).map(|number| Record::of(shared, number));
            let done: u64 = records.map(|own| own.get(Field::Done)).sum();
            part.comment(format_args!("{done} operations so far"));
        }
        sleep_ms(20);
    }
}

fn name_stuck(part: &mut Part<'_, '_>, number: usize, pid: u32, own: Record<'_>) {
    let doing = Kind::ALL.get(own.get(Field::Doing) as usize);
    let name = doing.map_or("?", |(_, name, _)| name);
    let done = own.get(Field::Done);
    part.comment(format_args!(
        "process {number} is stuck in operation {done}, {name}, in the kernel at:"
    ));
    let mut buffer = [0; 2048];
    let path = Path::new(format_args!("/proc/{pid}/stack"));
    let stack = read_file(path.c_str(), &mut buffer).unwrap_or(b"(it does not say)");
    for line in stack
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        part.comment(format_args!("  {}", Printable(line)));
    }
}

/// All devices can be bound again, and are new.
fn afterwards(world: &mut World, finding: &mut Finding) -> Result<(), Stop> {
    let cleared = world.clear();
    finding.need("mmap() of an empty arena", cleared)?;
    // Numbers may have changed hands: first none is bound, then each takes its own.
    for target in &world.targets {
        let _ = target.unbind();
    }
    for target in &world.targets {
        finding.same("bind", target.bind(), ())?;
        let info = finding.need("INFO", target.info())?;
        finding.same("size of the buffer", info.size, target.size)?;
        finding.same("FLAG_PRISTINE", info.flags & FLAG_PRISTINE != 0, true)?;
    }
    for target in &world.targets {
        let mut file = finding.need("open()", target.open())?;
        let arena = &mut world.arena;
        let (at, page) = (World::A, world.page);
        let mapped = arena.map(at, page, &file, 0, Access::BOTH, Sharing::Shared);
        finding.same("mmap()", mapped, ())?;
        let word = arena.load(at).map(Value::Word);
        finding.same("word of a fresh buffer", word, Value::Word(0))?;
        finding.same("a store", arena.store(at, tagged(1)), ())?;
        let mut bytes = [0; 8];
        finding.same("read()", file.read_at(0, &mut bytes), 8_u64)?;
        let word = Value::Word(u64::from_ne_bytes(bytes));
        finding.same("word by read()", word, Value::Word(tagged(1)))?;
    }
    Ok(())
}
