// SPDX-License-Identifier: GPL-2.0-only

//! The cases: each is one misuse or one race, and makes sure of one property of the driver. There is a
//! file for each row of the table in docs/stress.md, which begins with its list of cases.
//!
//! To add one, add a [`Case`] to the list of its file, and its name to the table.

use faultline_core::args::Arg;
use faultline_core::finding::Stop;

use crate::report::Part;
use crate::world::World;

mod at_the_same_time;
mod attributes;
mod calls;
mod calls_at_bad_moments;
mod calls_refused;
mod context;
mod dma_buf;
mod dma_buf_fenced;
mod dma_buf_imported;
mod dma_buf_master;
mod during_faults;
mod keeps_working;
mod memory;
mod not_dumped;
mod open_flags;
mod prefault;
mod race;
mod refused;
mod run_time;
mod unbind;
mod unbind_during_calls;

use context::Context;

/// A case.
struct Case {
    /// Its name in the report, in docs/stress.md, and in the lists of what each mutant fails.
    name: &'static str,
    /// What it proves: whole sentences, which a failure quotes.
    proves: &'static str,
    /// How it is made.
    steps: fn(&mut Context<'_>) -> Result<(), Stop>,
}

/// The cases of a device, in the order in which they are run.
const CASES: &[&[Case]] = &[
    refused::CASES,
    keeps_working::CASES,
    open_flags::CASES,
    prefault::CASES,
    attributes::CASES,
    dma_buf::CASES,
    dma_buf_fenced::CASES,
    dma_buf_imported::CASES,
    dma_buf_master::CASES,
    not_dumped::CASES,
    during_faults::CASES,
    at_the_same_time::CASES,
    unbind::CASES,
    unbind_during_calls::CASES,
    calls_refused::CASES,
    calls_at_bad_moments::CASES,
    memory::CASES,
];

/// Those of the machine: once, after everything else.
const MACHINE: &[&[Case]] = &[run_time::MACHINE, memory::MACHINE];

/// The cases that are run.
#[derive(Clone, Copy)]
pub(crate) struct Selection<'a> {
    /// Their names, or none for all.
    names: &'a [Arg],
}

impl<'a> Selection<'a> {
    /// # Errors
    ///
    /// A name that no case has.
    pub(crate) fn new(names: &'a [Arg]) -> Result<Self, Arg> {
        let this = Self { names };
        let is_one = |name: Arg| {
            let mut all = CASES.iter().chain(MACHINE).copied().flatten();
            all.any(|case| case.name.as_bytes() == name.to_bytes())
        };
        match names.iter().find(|&&name| !is_one(name)) {
            Some(&name) => Err(name),
            None => Ok(this),
        }
    }

    fn has(&self, case: &Case) -> bool {
        let mut names = self.names.iter();
        self.names.is_empty() || names.any(|name| name.to_bytes() == case.name.as_bytes())
    }

    fn of(
        self,
        cases: &'static [&'static [Case]],
    ) -> impl Iterator<Item = &'static Case> + use<'a> {
        cases
            .iter()
            .copied()
            .flatten()
            .filter(move |case| self.has(case))
    }

    /// Returns how many are run for each device.
    pub(crate) fn count(self) -> u64 {
        self.of(CASES).count() as u64
    }

    /// Returns how many are run for the machine.
    pub(crate) fn machine_count(self) -> u64 {
        self.of(MACHINE).count() as u64
    }

    /// Runs those of a device.
    pub(crate) fn run(
        self,
        part: &mut Part<'_, '_>,
        world: &mut World,
        number: usize,
        cycles: u64,
    ) {
        run_all(part, world, number, cycles, self.of(CASES));
    }

    /// Runs those of the machine.
    pub(crate) fn run_machine(self, part: &mut Part<'_, '_>, world: &mut World) {
        run_all(part, world, 0, 0, self.of(MACHINE));
    }
}

fn run_all(
    part: &mut Part<'_, '_>,
    world: &mut World,
    number: usize,
    cycles: u64,
    cases: impl Iterator<Item = &'static Case>,
) {
    let target = world.targets[number].clone();
    for case in cases {
        let mut context = Context::new(world, &target, cycles);
        let result = context.clear().and_then(|()| (case.steps)(&mut context));
        if result == Err(Stop::Fail) {
            // The case may have stopped between an unbinding and the next binding, and the cases after
            // it need the device. EBUSY if it is bound. Whatever else is wrong, they will report it.
            let _ = target.bind();
        }
        part.case(case.name, case.proves, result, context.found());
    }
}
