// SPDX-License-Identifier: GPL-2.0-only

//! Hostile cases: each does one thing that a driver can get wrong.

use core::ffi::CStr;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

use faultline_core::device::{Device, Signal};
use faultline_core::errno::Errno;
use faultline_core::text::Out;
use faultline_sys::arena::{Access, Argument, Sharing, DONT_FORK, DONT_NEED};
use faultline_sys::child::{fork, Child, Ending};
use faultline_sys::cpu::stay_on_cpu;
use faultline_sys::device::File;
use faultline_sys::stall::Stall;
use faultline_sys::together::{store_together, Store};
use faultline_uapi::{FAULTLINE_IOC_FRAME, FAULTLINE_IOC_INFO, FLAG_PRISTINE};
use rustix::fs::OFlags;
use rustix::process::{setrlimit, Resource, Rlimit, Uid};

use crate::report::{Finding, Part, Stop, Value};
use crate::world::{
    memory_info, now_ms, open_file, read_file, sleep_ms, tagged, write_file, Path, Target, World,
};

mod attributes;
mod beside;
mod calls;
mod files;
mod litmus;
mod masters;
mod open_flags;
mod prefault;
mod races;
mod refused;
mod several;
mod unbind;
mod working;

use attributes::{attributes, attributes_against_unbind};
use beside::{
    advice_beside_faults, fork_beside_faults, move_beside_faults, protection_beside_faults,
};
use calls::{
    argument_in_the_buffer, arguments, rights, translate_against_munmap, translate_follows,
    translate_refuses,
};
use files::{flushing_and_appending, poll_hears_unbinding, vectors};
use litmus::{
    litmus_alone, litmus_ends, litmus_keeps_off, litmus_outlives_its_file, litmus_refuses,
};
use masters::{masters, unbind_against_masters};
use open_flags::open_flags;
use prefault::{prefault, prefault_against_unbind, prefault_refuses};
use races::{
    blocks_against_pages, unbind_against_fork, unbind_against_litmus, unbind_against_mmap,
    unbind_against_touch,
};
use refused::{
    copy_to_itself, ends, executable, growth, ioctls, out_of_range, physical_addresses,
    private_mapping, unreadable_memory, NOBODY,
};
use several::{
    advice, dont_fork, first_touch_of_processes, first_touch_together, fork_shares, fork_storm,
};
use unbind::{
    is_fresh, no_memory_is_forgotten, nothing_leaks, stalled_read, stalled_write, unbind_cycles,
    unbind_in_use,
};
use working::{
    area_flags, core_dump, debugger, pages_are_not_lent, read_only, read_only_by_debugger,
    relocation, split,
};
use World as W;

/// A case of one device.
struct Case {
    name: &'static str,
    run: fn(&mut Context<'_>) -> Result<(), Stop>,
}

macro_rules! cases {
    ($($name:ident)*) => { &[$(Case { name: stringify!($name), run: $name }),*] };
}

const CASES: &[Case] = cases! {
    private_mapping executable out_of_range growth relocation split read_only
    read_only_by_debugger area_flags core_dump debugger pages_are_not_lent fork_shares
    dont_fork advice advice_beside_faults fork_beside_faults protection_beside_faults
    move_beside_faults flushing_and_appending vectors open_flags prefault prefault_refuses
    prefault_against_unbind attributes attributes_against_unbind poll_hears_unbinding first_touch_together first_touch_of_processes fork_storm ioctls
    physical_addresses ends unreadable_memory copy_to_itself stalled_read stalled_write
    unbind_in_use unbind_cycles unbind_against_mmap unbind_against_touch
    unbind_against_fork unbind_against_litmus unbind_against_masters blocks_against_pages
    arguments argument_in_the_buffer rights translate_refuses translate_follows
    translate_against_munmap masters litmus_refuses litmus_keeps_off litmus_alone litmus_ends
    litmus_outlives_its_file nothing_leaks
};

/// Once, after everything else.
const MACHINE: &[Case] = cases! { no_memory_is_forgotten };

pub(crate) fn count() -> u64 {
    CASES.len() as u64
}

pub(crate) fn machine_count() -> u64 {
    MACHINE.len() as u64
}

pub(crate) fn run(part: &mut Part<'_, '_>, world: &mut World, number: usize, cycles: u64) {
    run_all(part, world, number, cycles, CASES);
}

pub(crate) fn machine(part: &mut Part<'_, '_>, world: &mut World) {
    run_all(part, world, 0, 0, MACHINE);
}

fn run_all(part: &mut Part<'_, '_>, world: &mut World, number: usize, cycles: u64, cases: &[Case]) {
    let target = world.targets[number].clone();
    for case in cases {
        let mut context = Context {
            world,
            target: &target,
            cycles,
            found: Finding::NONE,
        };
        let cleared = context.world.clear();
        let result = context
            .found
            .need("an empty arena", cleared)
            .and_then(|()| (case.run)(&mut context));
        let found = context.found;
        part.result(case.name, result, &found);
    }
}

/// What a case has to do with.
struct Context<'w> {
    world: &'w mut World,
    target: &'w Target,
    cycles: u64,
    found: Finding,
}

impl Context<'_> {
    fn page(&self) -> u64 {
        self.world.page
    }

    /// How much of the buffer is looked at.
    fn size(&self) -> u64 {
        self.target.size.min(W::MOST)
    }

    fn pages(&self) -> u64 {
        self.size() / self.page()
    }

    fn same(
        &mut self,
        what: &'static str,
        seen: impl Into<Value>,
        want: impl Into<Value>,
    ) -> Result<(), Stop> {
        self.found.same(what, seen, want)
    }

    fn open(&mut self) -> Result<File, Stop> {
        let opened = self.target.open();
        self.found.need("open()", opened)
    }

    /// Maps what is looked at of the buffer, shared, to be read and written.
    fn map(&mut self, at: u64, file: &File) -> Result<(), Stop> {
        let size = self.size();
        let mapped = self
            .world
            .arena
            .map(at, size, file, 0, Access::BOTH, Sharing::Shared);
        self.found.need("mmap()", mapped)
    }

    fn store(&mut self, at: u64, word: u64) -> Result<(), Stop> {
        let stored = self.world.arena.store(at, word);
        self.same("a store", stored, ())
    }

    fn load(&mut self, what: &'static str, at: u64, want: u64) -> Result<(), Stop> {
        let loaded = self.world.arena.load(at);
        self.same(what, loaded, Value::Word(want))
    }

    fn faults(&mut self, what: &'static str, at: u64, want: Signal) -> Result<(), Stop> {
        let loaded = self.world.arena.load(at);
        self.same(what, loaded, want)
    }

    /// Looks at a word of the buffer by `read()`.
    fn read_word(&mut self, file: &mut File, offset: u64, want: u64) -> Result<(), Stop> {
        let mut bytes = [0; 8];
        let length = file.read_at(offset, &mut bytes);
        self.same("length of a read()", length, 8)?;
        let word = Value::Word(u64::from_ne_bytes(bytes));
        self.same("word by read()", word, Value::Word(want))
    }

    /// Waits until a number that other processes change has reached `want`.
    fn wait_for(&mut self, what: &'static str, number: &AtomicU64, want: u64) -> Result<(), Stop> {
        let deadline = now_ms() + PATIENCE_MS;
        while number.load(SeqCst) < want && now_ms() < deadline {
            sleep_ms(1);
        }
        let reached = number.load(SeqCst).min(want);
        self.same(what, reached, want)
    }

    /// The end of a process, waited for no longer than is reasonable.
    fn ending(&mut self, what: &'static str, child: Child) -> Result<(), Stop> {
        let seen = end_within(child, PATIENCE_MS);
        self.same(what, seen, Value::Status(0))
    }
}

/// How long a guest may take for what should take no time, with a kernel that checks everything
/// on a machine that has other things to do.
const PATIENCE_MS: u64 = 60_000;

fn end_within(mut child: Child, milliseconds: u64) -> Value {
    let deadline = now_ms() + milliseconds;
    loop {
        if let Some(ending) = child.ending() {
            return ending.into();
        }
        if now_ms() >= deadline {
            return Value::Text("it does not end");
        }
        sleep_ms(1);
    }
}

/// Waits, in a child, until the parent has brought a number to `want`; who never does so is gone.
fn wait_in_child(number: &AtomicU64, want: u64) {
    let deadline = now_ms() + 2 * PATIENCE_MS;
    while number.load(SeqCst) < want && now_ms() < deadline {
        sleep_ms(1);
    }
}

/// As many zeroes that the processes of a case share. A case takes them once.
fn numbers(c: &mut Context<'_>, count: usize) -> Result<&'static [AtomicU64], Stop> {
    let shared = c.world.shared.get(..count).ok_or(Errno::NOMEM);
    let shared = c.found.need("shared memory", shared)?;
    for number in shared {
        number.store(0, SeqCst);
    }
    Ok(shared)
}
