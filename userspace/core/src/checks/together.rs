// SPDX-License-Identifier: GPL-2.0-only

//! What takes a second task: messages between two CPUs, and a mapping of another process.

use faultline_uapi::{Litmus, LITMUS_ECHO};

use super::context::Context;
use super::places::Way;
use super::step::Partner;
use crate::device::{Call, Device, Mapping, Signal};
use crate::errno::Errno;
use crate::failure::CallError;
use crate::finding::{about, Count, Stop, Subject, Value};
use crate::job::{Channel, Job, Seen, Tally, ENOUGH_LOOKS, READY, SETTLING};
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
    pub(super) fn begin(&mut self, mut job: Job) -> Result<(), Stop> {
        let [mine, other] = self.system.two_cpus();
        if mine == other && !matches!(job, Job::Hold { .. }) {
            return Err(Stop::Skip("this takes two CPUs, and there is one"));
        }
        self.store_word(self.ready_at(), 0)?;
        let started = self
            .system
            .start(self.path, self.info.size, other, &mut job);
        self.finding.called(started)?;
        self.system.stay_on(Some(mine));
        Ok(())
    }

    /// Waits for the other task, once this one's own work is done, and gives what that came to.
    pub(super) fn end(&mut self, worked: Result<(), Stop>) -> Result<Tally, Stop> {
        self.system.stay_on(None);
        let tally = self.system.finish();
        // Its own trouble is the reason of this one's.
        let tally = self.finding.task(tally)?;
        worked.map(|()| tally)
    }

    fn store_word(&mut self, at: u64, word: u64) -> Result<(), Stop> {
        let stored = self.mapping(Way::First).store_release(at, word);
        self.accessed(Way::First, stored)
    }

    fn load_word(&mut self, at: u64) -> Result<u64, Stop> {
        let loaded = self.mapping(Way::First).load_acquire(at);
        self.accessed(Way::First, loaded)
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
                let subject = about(what).at(at);
                return self
                    .finding
                    .same(subject, Value::Word(seen), Value::Word(READY));
            }
            if !has_said_so && now - since > LONG {
                return Err(Stop::Undecided("another task did not run within a minute"));
            }
        }
    }

    /// Passes messages between another task and the kernel, or this one: some rounds and, as long
    /// as there is time, some more.
    pub(super) fn litmus(&mut self, partner: Partner) -> Result<(), Stop> {
        let since = self.system.milliseconds();
        let (mut rounds, mut all) = (FIRST_ROUNDS, 0);
        if self.options.long {
            rounds = MANY_ROUNDS;
        }
        let mut attempts = 0;
        while all < ENOUGH_ROUNDS {
            if self.some_rounds(partner, rounds)? {
                all += rounds;
                rounds *= 2;
            } else {
                attempts += 1;
            }
            if all > 0 && self.system.milliseconds() - since > TIME {
                break;
            }
            if attempts == ATTEMPTS {
                return Err(Stop::Undecided(
                    "each time a round of messages took longer than seconds",
                ));
            }
        }
        self.finding.count = Some(Count {
            unit: "rounds",
            wrong: 0,
            all,
        });
        Ok(())
    }

    /// Whether they came to their end: if not, although every message arrives, a side had no time.
    fn some_rounds(&mut self, partner: Partner, rounds: u64) -> Result<bool, Stop> {
        let [there, back] = self.channels();
        for channel in [there, back] {
            self.store_word(channel.flag, 0)?;
        }
        let job = Job::pass(true, there, back, rounds);
        self.begin(job)?;
        let mine = match partner {
            Partner::Kernel => Side {
                what: about("rounds wrong for the kernel"),
                seen: self.ask_kernel(there, back, rounds),
            },
            Partner::Task => {
                let tally = match &mut self.mappings[Way::First.slot()] {
                    Some(mapping) => {
                        Job::pass(false, back, there, rounds).run(self.system, mapping, false)
                    }
                    None => unreachable!("an earlier step maps"),
                };
                let what = if tally.seen == Seen::Nothing {
                    "round that this task waits for"
                } else {
                    "rounds wrong for this task"
                };
                Side {
                    what: tally.about(what),
                    seen: tally.seen.into(),
                }
            }
        };
        let other = self.end(Ok(()))?;
        if let (Seen::Nothing, Seen::Count(round)) = (other.seen, other.want) {
            // The kernel's half answers by an error.
            if matches!(mine.seen, Value::Nothing | Value::Errno(Errno::TIMEDOUT)) {
                return self.late(partner, there.flag, back.flag, round);
            }
        }
        self.finding.same(mine.what, mine.seen, Value::Count(0))?;
        let what = if other.seen == Seen::Nothing {
            "round that another task waits for"
        } else {
            "rounds wrong for another task"
        };
        self.finding
            .same(other.about(what), other.seen, other.want)?;
        Ok(true)
    }

    /// Has the kernel answer messages: how many rounds were wrong for it.
    fn ask_kernel(&mut self, there: Channel, back: Channel, rounds: u64) -> Value {
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
        answer.map(|()| question.wrong).into()
    }

    /// Both sides have waited for each other without success, and have ended. The task that led has announced
    /// this round at one flag and has, up to now, not seen it answered at the other one. By what this
    /// side itself sees there, a message did not arrive; or all have, too late.
    fn late(&mut self, partner: Partner, flag: u64, answer: u64, round: u64) -> Result<bool, Stop> {
        let came = self.see_flag(partner, flag)?;
        let answered = self.see_flag(partner, answer)?;
        let what = match partner {
            Partner::Kernel => "round that a task has announced to the kernel",
            Partner::Task => "round that another task has announced",
        };
        self.finding
            .same(about(what).at(flag), Value::Word(came), Value::Word(round))?;
        self.finding.same(
            about("round that was answered, when another task saw no answer").at(answer),
            Value::Word(answered),
            Value::Word(round - 1),
        )?;
        Ok(false)
    }

    /// What this task, or the kernel, sees at a flag.
    fn see_flag(&mut self, partner: Partner, at: u64) -> Result<u64, Stop> {
        if partner == Partner::Task {
            return self.load_word(at);
        }
        let mut bytes = [0; WORD];
        let read = self.device.read_at(at, &mut bytes);
        let subject = about("read() of a flag").at(at);
        self.finding.same(subject, read, WORD as u64)?;
        Ok(u64::from_ne_bytes(bytes))
    }

    /// Unbinds the device, and binds it again: no mapping of it outlives that, by whichever process it was
    /// made, and no open file; the new buffer has nothing of the old one.
    pub(super) fn revoked(&mut self) -> Result<(), Stop> {
        if !self.options.may_unbind {
            return Err(Stop::Skip(
                "only the first process of a machine may unbind its devices",
            ));
        }
        let job = Job::hold(self.ready_at());
        self.begin(job)?;
        let unbound = self.wait_until_ready().and_then(|()| {
            match self.system.unbind(self.path) {
                // The caller needs the permission, and a machine with sysfs.
                Err(
                    refused @ CallError {
                        errno: Errno::ACCES | Errno::PERM | Errno::NOENT,
                        ..
                    },
                ) => Err(Stop::Refused(refused)),
                answer => self.finding.called(answer),
            }
        });
        let touch = self.mapping(Way::First).load(0, &mut [0]);
        let call = self.device.info().map(|_| Value::Success);
        let tally = self.end(unbound);
        self.mappings = [None, None, None];
        let bound = self.system.bind();
        let tally = tally?;
        self.finding.called(bound)?;
        let device = self.system.open(self.path);
        self.device = self.finding.need("open", device)?;

        let what = about("load by a mapping of the unbound device").at(0);
        self.finding.same(what, touch, Signal::Bus)?;
        let what = tally.about("access by another process's mapping of the unbound device");
        self.finding.same(what, tally.seen, tally.want)?;
        self.finding
            .same("INFO of the unbound device", call, Errno::NODEV)?;
        let info = self.device.info();
        let info = self.finding.need("INFO", info)?;
        self.pristine(info.flags, true)
    }
}

/// What this side of a message-passing test saw.
struct Side {
    what: Subject,
    seen: Value,
}
