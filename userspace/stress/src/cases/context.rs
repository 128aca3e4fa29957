// SPDX-License-Identifier: GPL-2.0-only

//! What the cases have in common: what they work with, and how they take note of what they see.

use core::convert::Infallible;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

use faultline_core::device::{Device, Signal};
use faultline_core::errno::Errno;
use faultline_core::failure::TaskError;
use faultline_core::finding::{Finding, Stop, Value};
use faultline_sys::arena::{Access, Arena, Sharing};
use faultline_sys::child::{fork, Child, Ending};
use faultline_sys::device::File;

use crate::world::{now_ms, sleep_ms, Target, World};

/// What a case has to do with.
pub(super) struct Context<'w> {
    pub(super) world: &'w mut World,
    pub(super) target: &'w Target,
    pub(super) cycles: u64,
    pub(super) found: Finding,
}

impl<'w> Context<'w> {
    pub(super) fn new(world: &'w mut World, target: &'w Target, cycles: u64) -> Self {
        Self {
            world,
            target,
            cycles,
            found: Finding::NONE,
        }
    }

    /// What was looked at last.
    pub(super) fn found(&self) -> &Finding {
        &self.found
    }

    /// Makes the arena empty.
    pub(super) fn clear(&mut self) -> Result<(), Stop> {
        let cleared = self.world.clear();
        self.need("mmap() of an empty arena", cleared)
    }
    pub(super) fn page(&self) -> u64 {
        self.world.page
    }

    /// How much of the buffer is looked at.
    pub(super) fn size(&self) -> u64 {
        self.target.size.min(World::MOST)
    }

    pub(super) fn pages(&self) -> u64 {
        self.size() / self.page()
    }

    pub(super) fn same(
        &mut self,
        what: &'static str,
        seen: impl Into<Value>,
        want: impl Into<Value>,
    ) -> Result<(), Stop> {
        self.found.same(what, seen, want)
    }

    /// As [`Finding::need`].
    pub(super) fn need<T, E>(&mut self, call: &'static str, result: Result<T, E>) -> Result<T, Stop>
    where
        Value: From<Result<(), E>>,
    {
        self.found.need(call, result)
    }

    /// As [`Finding::task`].
    pub(super) fn task<T>(&mut self, result: Result<T, TaskError>) -> Result<T, Stop> {
        self.found.task(result)
    }

    /// Takes note of whether something is there, and gives it.
    pub(super) fn have<T>(&mut self, what: &'static str, thing: Option<T>) -> Result<T, Stop> {
        self.same(what, thing.is_some(), true)?;
        thing.ok_or(Stop::Fail)
    }

    pub(super) fn open(&mut self) -> Result<File, Stop> {
        let opened = self.target.open();
        self.need("open()", opened)
    }

    /// Maps what is looked at of the buffer, shared, to be read and written.
    pub(super) fn map(&mut self, at: u64, file: &File) -> Result<(), Stop> {
        let size = self.size();
        let mapped = self
            .world
            .arena
            .map(at, size, file, 0, Access::BOTH, Sharing::Shared);
        self.need("mmap()", mapped)
    }

    pub(super) fn store(&mut self, at: u64, word: u64) -> Result<(), Stop> {
        let stored = self.world.arena.store(at, word);
        self.same("a store", stored, ())
    }

    pub(super) fn load(&mut self, what: &'static str, at: u64, want: u64) -> Result<(), Stop> {
        let loaded = self.world.arena.load(at);
        self.same(what, loaded.map(Value::Word), Value::Word(want))
    }

    pub(super) fn faults(&mut self, what: &'static str, at: u64, want: Signal) -> Result<(), Stop> {
        let loaded = self.world.arena.load(at);
        self.same(what, loaded.map(Value::Word), want)
    }

    /// Looks at a word of the buffer by `read()`.
    pub(super) fn read_word(
        &mut self,
        file: &mut File,
        offset: u64,
        want: u64,
    ) -> Result<(), Stop> {
        let mut bytes = [0; 8];
        let length = file.read_at(offset, &mut bytes);
        self.same("length of a read()", length, 8_u64)?;
        let word = Value::Word(u64::from_ne_bytes(bytes));
        self.same("word by read()", word, Value::Word(want))
    }

    /// Waits until a number that other processes change has reached `want`.
    pub(super) fn wait_for(
        &mut self,
        what: &'static str,
        number: &AtomicU64,
        want: u64,
    ) -> Result<(), Stop> {
        let deadline = now_ms() + PATIENCE_MS;
        while number.load(SeqCst) < want && now_ms() < deadline {
            sleep_ms(1);
        }
        let reached = number.load(SeqCst).min(want);
        self.same(what, reached, want)
    }

    /// The answer of the call whose error is the exit status of a process, waited for no longer than is
    /// reasonable: it must be a success.
    pub(super) fn answer(&mut self, call: &'static str, child: Child) -> Result<(), Stop> {
        let seen = answer_of(end_within(child, PATIENCE_MS));
        self.same(call, seen, ())
    }

    /// The end of a process, waited for no longer than is reasonable.
    pub(super) fn ending(&mut self, what: &'static str, child: Child) -> Result<(), Stop> {
        let seen = end_within(child, PATIENCE_MS);
        self.same(what, seen, Ending::Exit(0))
    }
}

/// How long a guest may take for what should take no time, with a kernel that checks everything
/// on a machine that has other things to do.
pub(super) const PATIENCE_MS: u64 = 60_000;

pub(super) fn end_within(mut child: Child, milliseconds: u64) -> Value {
    let deadline = now_ms() + milliseconds;
    loop {
        if let Some(ending) = child.ending() {
            return ending.into();
        }
        if now_ms() >= deadline {
            return Value::Running;
        }
        sleep_ms(1);
    }
}

/// What a call came to whose error is the exit status of a process that has ended.
pub(super) fn answer_of(ending: Value) -> Value {
    match ending {
        Value::Exit(0) => Value::Success,
        Value::Exit(errno) => Errno::new(errno.unsigned_abs().into()).into(),
        other => other,
    }
}

/// Waits, in a child, until the parent has brought a number to `want`; who never does so is gone.
pub(super) fn wait_in_child(number: &AtomicU64, want: u64) {
    let deadline = now_ms() + 2 * PATIENCE_MS;
    while number.load(SeqCst) < want && now_ms() < deadline {
        sleep_ms(1);
    }
}

/// Unbinds the device again and again, each time while a process with a file of its own calls `step`, which has
/// been carried out once, until that answers `ENODEV`: it may answer nothing else than that and success.
pub(super) fn unbind_against(
    c: &mut Context<'_>,
    what: &'static str,
    mut step: impl FnMut(&mut Arena, &File) -> Result<(), Errno>,
) -> Result<(), Stop> {
    let shared = numbers::<2>(c);
    let path = c.target.path.clone();
    for _ in 0..c.cycles {
        for number in shared {
            number.store(0, SeqCst);
        }
        let arena = &mut c.world.arena;
        let child = fork(|| {
            let mut use_it = || -> Result<Infallible, Errno> {
                let file = File::open(path.c_str(), false)?;
                loop {
                    step(arena, &file)?;
                    shared[0].store(1, SeqCst);
                }
            };
            let Err(error) = use_it();
            if error != Errno::NODEV {
                return error.number() as i32;
            }
            wait_in_child(&shared[1], 1);
            0
        });
        let child = c.need("fork()", child)?;
        c.wait_for("a process that uses the device", &shared[0], 1)?;
        let unbound = c.target.unbind();
        shared[1].store(1, SeqCst);
        let bound = c.target.bind();
        c.same("unbind", unbound, ())?;
        c.same("bind", bound, ())?;
        c.answer(what, child)?;
    }
    Ok(())
}

/// As many zeroes that the processes of a case share. A case takes them once.
pub(super) fn numbers<const N: usize>(c: &Context<'_>) -> &'static [AtomicU64; N] {
    let Some(shared) = c.world.shared.first_chunk() else {
        unreachable!("no case takes more than `World::SHARED`");
    };
    for number in shared {
        number.store(0, SeqCst);
    }
    shared
}
