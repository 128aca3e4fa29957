// SPDX-License-Identifier: GPL-2.0-only

//! What takes a second task: messages between two CPUs, and a mapping of another process.

use faultline_uapi::{Litmus, FLAG_PRISTINE, LITMUS_ECHO};

use super::{Context, Way};
use crate::device::{Call, Device, Mapping, Signal};
use crate::errno::Errno;
use crate::job::{Channel, Job, Tally, ENOUGH_LOOKS, READY, SETTLING};
use crate::old_finding::{Stop, Value, NOWHERE};
use crate::pattern::WORD;
use crate::system::System;

/// How many rounds of messages there are at first; each time there are twice as many, but no more
/// once there have been enough.
const FIRST_ROUNDS: u64 = 100;
const ENOUGH_ROUNDS: u64 = if cfg!(test) { 1 } else { 25_000 };

/// How many there are if it may take long.
const MANY_ROUNDS: u64 = 100_000;

/// In milliseconds, what they may take before there are no more. On a busy machine an emulator may
/// take a thousand times as long for one as any board.
const TIME: u64 = 120;

/// How often rounds are begun that then take too long, before there is no verdict.
const ATTEMPTS: u32 = 3;

/// In milliseconds, how long another task may take to run at all.
const LONG: u64 = if cfg!(test) { 100 } else { 60_000 };

impl<S: System> Context<'_, S> {
    /// Where another task says that it is ready.
    pub(super) fn ready_at(&self) -> u64 {
        self.info.size - WORD as u64
    }

    /// Where the two directions of messages are: no two parts of them in one cache line, nor, of a
    /// buffer of more than three pages, in one page.
    fn channels(&self) -> [Channel; 2] {
        let part = self.info.size / 4;
        [0, 2 * part].map(|data| Channel {
            data,
            flag: data + part,
        })
    }

    /// Has another task do a job on another CPU, and stays on one until [`Self::end`]. Where there is
    /// one CPU only it skips what takes two.
    #[inline(never)]
    pub(super) fn begin(&mut self, mut job: Job) -> Result<(), Stop> {
        let [mine, other] = self.system.two_cpus();
        if mine == other && !matches!(job, Job::Hold { .. }) {
            let _ = self.finding.equal("CPUs", NOWHERE, 1_u64, 2_u64);
            return Err(Stop::Skip);
        }
        self.store_word(self.ready_at(), 0)?;
        let started = self
            .system
            .start(self.path, self.info.size, other, &mut job);
        started.map_err(|errno| self.finding.refused("fork", errno))?;
        self.system.stay_on(Some(mine));
        Ok(())
    }

    /// Waits for the other task, once this one's own work is done, and gives what that came to.
    #[inline(never)]
    pub(super) fn end(&mut self, worked: Result<(), Stop>) -> Result<Tally, Stop> {
        self.system.stay_on(None);
        let tally = self.system.finish();
        // Its own trouble is the reason of this one's.
        let tally = tally.map_err(|errno| self.finding.refused("another task", errno))?;
        worked.map(|()| tally)
    }

    #[inline(never)]
    fn store_word(&mut self, at: u64, word: u64) -> Result<(), Stop> {
        let stored = self.mapping(Way::First).store_release(at, word);
        stored.map_err(|fault| self.faulted(Way::First, fault))
    }

    #[inline(never)]
    fn load_word(&mut self, at: u64) -> Result<u64, Stop> {
        let loaded = self.mapping(Way::First).load_acquire(at);
        loaded.map_err(|fault| self.faulted(Way::First, fault))
    }

    /// The machine has given so much of something, and so much would have been wanted.
    fn cannot_tell(&mut self, what: &'static str, seen: u64, want: u64) -> Stop {
        let _ = self.finding.equal(what, NOWHERE, seen, want);
        Stop::Unknown
    }

    /// Waits for another task to say that it is.
    pub(super) fn wait_until_ready(&mut self) -> Result<(), Stop> {
        let at = self.ready_at();
        let mut since = self.system.milliseconds();
        let mut looks = 0;
        loop {
            // Before the look: a task that has looked has said so before.
            let has_said_so = self.system.beats() > 0;
            let seen = self.load_word(at)?;
            let now = self.system.milliseconds();
            if has_said_so && looks == 0 {
                since = now;
            }
            looks += u32::from(has_said_so);
            if seen == READY || looks >= ENOUGH_LOOKS && now - since > SETTLING {
                let what = "another task's readiness";
                return self.finding.word(what, at, seen, READY);
            }
            if !has_said_so && now - since > LONG {
                let what = "could not tell: looks of another task";
                return Err(self.cannot_tell(what, 0, 1));
            }
        }
    }

    /// Passes messages between another task and the kernel, or this one: some rounds and, as long
    /// as there is time, some more.
    pub(super) fn litmus(&mut self, with_kernel: bool) -> Result<(), Stop> {
        let since = self.system.milliseconds();
        let (mut rounds, mut all) = (FIRST_ROUNDS, 0);
        if self.options.long {
            rounds = MANY_ROUNDS;
        }
        let mut attempts = 0;
        while all < ENOUGH_ROUNDS {
            if self.some_rounds(with_kernel, rounds)? {
                all += rounds;
                rounds *= 2;
            } else {
                attempts += 1;
            }
            if all > 0 && self.system.milliseconds() - since > TIME {
                break;
            }
            if attempts == ATTEMPTS {
                let what = "could not tell: rounds, none of which takes seconds";
                return Err(self.cannot_tell(what, 0, rounds));
            }
        }
        self.finding.count("rounds", all);
        Ok(())
    }

    /// Whether they came to their end: if not, although every message arrives, a side had no time.
    fn some_rounds(&mut self, with_kernel: bool, rounds: u64) -> Result<bool, Stop> {
        let [there, back] = self.channels();
        for channel in [there, back] {
            self.store_word(channel.flag, 0)?;
        }
        let mut seen = Tally::NONE;
        let job = Job::pass(true, there, back, rounds);
        self.begin(job)?;
        if with_kernel {
            let mut question = Litmus {
                cpu: self.system.two_cpus()[0],
                test: LITMUS_ECHO,
                rounds,
                data: there.data,
                flag: there.flag,
                answer_data: back.data,
                answer_flag: back.flag,
                ..Litmus::default()
            };
            let answer = self.device.call(Call::Litmus(&mut question));
            seen.seen = answer.map(|()| question.wrong).into();
        } else if let Some(mapping) = &mut self.mappings[Way::First as usize] {
            seen = Job::pass(false, back, there, rounds).run(self.system, mapping, false);
            if seen.seen == Errno::TIMEDOUT.into() {
                seen.want = Value::ZERO;
            }
        }
        let tally = self.end(Ok(()))?;
        if seen.seen == Errno::TIMEDOUT.into() && tally.seen == seen.seen {
            return self.late(with_kernel, there.flag, back.flag, tally.want.bits());
        }
        let what = if with_kernel {
            "rounds wrong for the kernel"
        } else {
            "rounds wrong for this task"
        };
        self.finding.equal(what, seen.at, seen.seen, seen.want)?;
        let what = if tally.seen == Errno::TIMEDOUT.into() {
            "round that another task waits for"
        } else {
            "rounds wrong for another task"
        };
        self.finding.equal(what, tally.at, tally.seen, tally.want)?;
        Ok(true)
    }

    /// Both sides have waited in vain for each other, and have ended. The task that led has announced
    /// this round at one flag and has, up to now, not seen it answered at the other one. By what this
    /// side itself sees there, a message did not arrive; or all have, too late.
    fn late(
        &mut self,
        with_kernel: bool,
        flag: u64,
        answer: u64,
        round: u64,
    ) -> Result<bool, Stop> {
        let [came, answered] = [flag, answer].map(|at| {
            if !with_kernel {
                return self.load_word(at);
            }
            let mut bytes = [0; WORD];
            let read = self.device.read_at(at, &mut bytes);
            let what = "read() of a flag";
            self.finding.equal(what, at, read, WORD as u64)?;
            Ok(u64::from_ne_bytes(bytes))
        });
        let what = if with_kernel {
            "round that a task has announced to the kernel"
        } else {
            "round that another task has announced"
        };
        self.finding.word(what, flag, came?, round)?;
        let what = "round that was answered, when another task saw no answer";
        self.finding.word(what, answer, answered?, round - 1)?;
        Ok(false)
    }

    /// Unbinds the device, and binds it again: no mapping of it outlives that, by whomever it was
    /// made, and no open file; the new buffer has nothing of the old one.
    pub(super) fn revoked(&mut self) -> Result<(), Stop> {
        if !self.options.may_unbind {
            let what = "leave to unbind (an init's)";
            let _ = self.finding.equal(what, NOWHERE, 0_u64, 1_u64);
            return Err(Stop::Skip);
        }
        let job = Job::hold(self.ready_at());
        self.begin(job)?;
        let unbound = self.wait_until_ready().and_then(|()| {
            let unbound = self.system.unbind(self.path);
            unbound.map_err(|errno| match self.finding.refused("unbind", errno) {
                // Not by who may not, nor where there is no sysfs.
                _ if matches!(errno, Errno::ACCES | Errno::PERM | Errno::NOENT) => Stop::Skip,
                stop => stop,
            })
        });
        let touch = self.mapping(Way::First).load(0, &mut [0]);
        let call = self.device.info().map(|info| info.size);
        let tally = self.end(unbound);
        self.mappings = [None, None, None];
        let bound = self.system.bind();
        let tally = tally?;
        bound.map_err(|errno| self.finding.refused("bind", errno))?;
        let device = self.system.open(self.path);
        self.device = device.map_err(|errno| self.finding.refused("open", errno))?;

        let what = "load by a mapping, unbound,";
        self.finding.equal(what, 0, touch, Signal::Bus)?;
        let what = "load by another process, unbound,";
        self.finding.equal(what, tally.at, tally.seen, tally.want)?;
        let what = "INFO, unbound";
        let seen: Value = call.into();
        self.finding.equal(what, NOWHERE, seen, Errno::NODEV)?;
        let flags = self.device.info().map_or(0, |info| info.flags);
        self.pristine(flags & FLAG_PRISTINE, 1)
    }
}
