// SPDX-License-Identifier: GPL-2.0-only

//! What a second task does with the buffer, on a CPU of its own and by a mapping of its own, while
//! the program itself has the buffer changed.
//!
//! A [`Job`] is done a look at a time, so that its caller decides how long to go on, and the
//! tests do two of them by turns.
//!
//! # Ordering
//!
//! What a flag announces is stored before it with `STLR` and loaded after it with `LDAR`: both
//! sides are CPUs, and for normal memory of either kind, cached or not, acquire and release hold
//! between all of them. The kernel's side of these tests (`driver/selftest/litmus.rs`) does the same.
//! Stronger barriers (`DSB`) would hide what is looked for, a mapping by which an ordering that the
//! architecture promises does not hold.

use faultline_uapi::{litmus_word, LITMUS_WORDS};

use crate::device::{Fault, Mapping, Signal};
use crate::finding::{about, Subject, Value};
use crate::pattern::WORD;

/// How often a job looks before others may run.
const LOOKS: u32 = 256;

/// How long nothing may happen, in milliseconds, while a task looks. This alone is no verdict: the
/// other side may not have run in that time.
const PATIENCE: u64 = if cfg!(test) { 20 } else { 2000 };

/// How long, in milliseconds, what has been done may take to be seen, and so be late.
pub const SETTLING: u64 = if cfg!(test) { 10 } else { 250 };

/// How often a task looks, a few times each, before it believes that something does not come.
pub const ENOUGH_LOOKS: u32 = 16;

/// The most bytes that [`Job::poll`] looks at.
pub const MOST_BYTES: usize = 64;

/// What a task that is ready stores in the buffer's last word.
pub const READY: u64 = 0x5e74_e4d7_0b5e_77e5;

/// What a task that does a job needs of the machine.
pub trait Worker {
    /// Milliseconds of a clock that only grows.
    fn milliseconds(&mut self) -> u64;

    /// Says that the second task has looked at the buffer, by that task.
    fn beat(&mut self);

    /// Whether the second task has been told that the first one's work is done. What the first did
    /// before that can be seen then.
    fn is_told(&mut self) -> bool;
}

/// How a job ended: what was seen there, and what should have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// An offset in the buffer, if it is about one.
    pub at: Option<u64>,
    /// What was seen.
    pub seen: Seen,
    /// What was wanted.
    pub want: Seen,
}

/// What a job can see or want.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// An access succeeded.
    Access,
    /// An access was answered by a signal.
    Signal(Signal),
    /// A number of rounds, or of one.
    Count(u64),
    /// A byte.
    Byte(u8),
    /// Nothing, for too long.
    Nothing,
}

impl From<Seen> for Value {
    fn from(seen: Seen) -> Self {
        match seen {
            Seen::Access => Self::Success,
            Seen::Signal(signal) => Self::Signal(signal),
            Seen::Count(count) => Self::Count(count),
            Seen::Byte(byte) => Self::Word(byte.into()),
            Seen::Nothing => Self::Nothing,
        }
    }
}

/// How many numbers a [`Tally`] takes that goes from one process to another.
pub const TALLY_NUMBERS: usize = 6;

impl Tally {
    /// What it is about.
    pub fn about(&self, what: &'static str) -> Subject {
        let subject = about(what);
        self.at.map_or(subject, |at| subject.at(at))
    }

    /// It as numbers, for memory that two processes share.
    pub fn to_numbers(self) -> [u64; TALLY_NUMBERS] {
        let [seen, want] = [self.seen, self.want].map(Seen::to_numbers);
        [
            self.at.is_some().into(),
            self.at.unwrap_or(0),
            seen[0],
            seen[1],
            want[0],
            want[1],
        ]
    }

    /// It from its numbers: none, if no tally has these.
    pub fn from_numbers(numbers: [u64; TALLY_NUMBERS]) -> Option<Self> {
        let [has_offset, at, seen_kind, seen, want_kind, want] = numbers;
        Some(Self {
            at: (has_offset != 0).then_some(at),
            seen: Seen::from_numbers([seen_kind, seen])?,
            want: Seen::from_numbers([want_kind, want])?,
        })
    }
}

impl Seen {
    fn to_numbers(self) -> [u64; 2] {
        match self {
            Self::Access => [1, 0],
            Self::Signal(Signal::Bus) => [2, 0],
            Self::Signal(Signal::Segv) => [3, 0],
            Self::Count(count) => [4, count],
            Self::Byte(byte) => [5, byte.into()],
            Self::Nothing => [6, 0],
        }
    }

    fn from_numbers(numbers: [u64; 2]) -> Option<Self> {
        Some(match numbers {
            [1, _] => Self::Access,
            [2, _] => Self::Signal(Signal::Bus),
            [3, _] => Self::Signal(Signal::Segv),
            [4, count] => Self::Count(count),
            [5, byte] => Self::Byte(byte as u8),
            [6, _] => Self::Nothing,
            _ => return None,
        })
    }
}

/// What came of a look.
enum Look {
    /// The job is done.
    Done(Tally),
    /// Something has happened.
    Moved,
    /// Nothing has.
    Still,
}

/// One direction of a message-passing test, by offsets in the buffer.
#[derive(Clone, Copy, Debug)]
pub struct Channel {
    /// Of [`LITMUS_WORDS`] words.
    pub data: u64,
    /// Of a word.
    pub flag: u64,
}

/// See the [module](self).
#[derive(Clone, Copy, Debug)]
pub enum Job {
    /// See [`Job::poll`].
    Poll {
        /// The offset of the bytes,
        at: u64,
        /// and of the word that says that they are looked at.
        ready: u64,
        /// How many,
        length: usize,
        /// what they are at first: of their complement the bits that are set here,
        mask: u8,
        /// what they are at last,
        new: [u8; MOST_BYTES],
        /// and which of them are already, by bits.
        come: u64,
    },
    /// See [`Job::hold`].
    Hold {
        /// The offset of the word that says that it is mapped.
        ready: u64,
    },
    /// See [`Job::pass`].
    Pass {
        /// Whether this side begins each round.
        leads: bool,
        /// What it writes,
        mine: Channel,
        /// and what it looks at.
        other: Channel,
        /// The round that is under way, from 1 on,
        round: u64,
        /// and the last one.
        rounds: u64,
        /// How many rounds had a wrong word.
        wrong: u64,
        /// The offset of the first wrong word.
        at: Option<u64>,
    },
}

impl Job {
    /// Looks at bytes until each has become what it is to become: none is ever anything but that
    /// or what it is at first, its complement or, with a mask of zero, zero; and none goes back.
    pub fn poll(at: u64, ready: u64, bytes: &[u8], mask: u8) -> Self {
        let mut new = [0; MOST_BYTES];
        let length = bytes.len().min(MOST_BYTES);
        new[..length].copy_from_slice(&bytes[..length]);
        Self::Poll {
            at,
            ready,
            length,
            mask,
            new,
            come: 0,
        }
    }

    /// Touches a mapping until that is answered by SIGBUS.
    pub fn hold(ready: u64) -> Self {
        Self::Hold { ready }
    }

    /// Passes messages back and forth: a round is some words and a flag that announces it,
    /// in each direction. The side that leads writes the words of the round, the other answers by
    /// those of its complement.
    pub fn pass(leads: bool, mine: Channel, other: Channel, rounds: u64) -> Self {
        Self::Pass {
            leads,
            mine,
            other,
            round: 0,
            rounds,
            wrong: 0,
            at: None,
        }
    }

    /// Does all of it, as long as anything happens.
    ///
    /// The second task goes on until it is told that the first one's work is done, however long that
    /// takes: what has not come by then, and does not come while it looks again, never comes.
    pub fn run<M: Mapping>(
        &mut self,
        system: &mut impl Worker,
        mapping: &mut M,
        is_second: bool,
    ) -> Tally {
        let patience = if is_second { SETTLING } else { PATIENCE };
        let mut since = system.milliseconds();
        let mut looks = 0;
        loop {
            // Before the look, which then sees what was done before the task was told.
            let may_give_up = !is_second || system.is_told();
            let look = self.look(mapping);
            if is_second {
                system.beat();
            }
            let now = system.milliseconds();
            match look {
                Look::Done(tally) => return tally,
                Look::Still if may_give_up => {
                    looks += 1;
                    if looks >= ENOUGH_LOOKS && now - since > patience {
                        return self.give_up(mapping);
                    }
                }
                _ => {
                    since = now;
                    looks = 0;
                }
            }
        }
    }

    /// Looks a few times. Returns the outcome if that was all.
    pub fn step<M: Mapping>(&mut self, mapping: &mut M) -> Option<Tally> {
        match self.look(mapping) {
            Look::Done(tally) => Some(tally),
            _ => None,
        }
    }

    fn look<M: Mapping>(&mut self, mapping: &mut M) -> Look {
        match self.try_look(mapping) {
            Ok(look) => look,
            Err(fault) => Look::Done(Tally {
                at: Some(fault.address.wrapping_sub(mapping.address())),
                seen: Seen::Signal(fault.signal),
                want: match self {
                    Self::Hold { .. } => Seen::Signal(Signal::Bus),
                    _ => Seen::Access,
                },
            }),
        }
    }

    fn try_look<M: Mapping>(&mut self, mapping: &mut M) -> Result<Look, Fault> {
        match self {
            Self::Poll {
                at,
                ready,
                length,
                mask,
                new,
                come,
            } => {
                let mut bytes = [0; MOST_BYTES];
                let bytes = &mut bytes[..*length];
                for look in 0..LOOKS {
                    mapping.load(*at, bytes)?;
                    for (index, seen) in bytes.iter().enumerate() {
                        let is_there = *come >> index & 1 != 0;
                        if *seen == new[index] {
                            *come |= 1 << index;
                        } else if is_there || *seen != !new[index] & *mask {
                            return Ok(Look::Done(byte(*at, index, *seen, new[index])));
                        }
                    }
                    if *come == u64::MAX >> (MOST_BYTES - *length) {
                        let last = *length - 1;
                        return Ok(Look::Done(byte(*at, last, new[last], new[last])));
                    }
                    if look == 0 {
                        mapping.store_release(*ready, READY)?;
                    }
                }
                Ok(Look::Still)
            }
            Self::Hold { ready } => {
                mapping.store_release(*ready, READY)?;
                Ok(Look::Still)
            }
            Self::Pass {
                leads,
                mine,
                other,
                round,
                rounds,
                wrong,
                at,
            } => {
                let mut look = Look::Still;
                if *round == 0 {
                    *round = 1;
                    if *leads {
                        put(mapping, *mine, 1, 1)?;
                    }
                }
                for _ in 0..LOOKS {
                    if mapping.load_acquire(other.flag)? != *round {
                        continue;
                    }
                    let want = if *leads { !*round } else { *round };
                    if let Some(index) = first_wrong(mapping, *other, want)? {
                        if *wrong == 0 {
                            *at = Some(other.data + (index - index % WORD) as u64);
                        }
                        *wrong += 1;
                    }
                    look = Look::Moved;
                    if !*leads {
                        put(mapping, *mine, *round, !*round)?;
                    }
                    if *round == *rounds {
                        return Ok(Look::Done(Tally {
                            at: *at,
                            seen: Seen::Count(*wrong),
                            want: Seen::Count(0),
                        }));
                    }
                    *round += 1;
                    if *leads {
                        put(mapping, *mine, *round, *round)?;
                    }
                }
                Ok(look)
            }
        }
    }

    /// Nothing has happened for too long.
    fn give_up<M: Mapping>(&self, mapping: &M) -> Tally {
        match self {
            Self::Poll { at, new, come, .. } => {
                let index = come.trailing_ones() as usize % MOST_BYTES;
                match mapping.load_byte(at + index as u64) {
                    Ok(seen) => byte(*at, index, seen, new[index]),
                    Err(fault) => Tally {
                        at: Some(at + index as u64),
                        seen: Seen::Signal(fault.signal),
                        want: Seen::Byte(new[index]),
                    },
                }
            }
            Self::Hold { ready } => Tally {
                at: Some(*ready),
                seen: Seen::Access,
                want: Seen::Signal(Signal::Bus),
            },
            // The round that it waits for is the one that it has announced, if it leads.
            Self::Pass { other, round, .. } => Tally {
                at: Some(other.flag),
                seen: Seen::Nothing,
                want: Seen::Count(*round),
            },
        }
    }
}

fn byte(at: u64, index: usize, seen: u8, want: u8) -> Tally {
    Tally {
        at: Some(at + index as u64),
        seen: Seen::Byte(seen),
        want: Seen::Byte(want),
    }
}

/// The words of a number.
fn words(number: u64) -> [u8; LITMUS_WORDS * WORD] {
    let mut words = [0; LITMUS_WORDS * WORD];
    for (index, word) in words.chunks_mut(WORD).enumerate() {
        word.copy_from_slice(&litmus_word(number, index).to_ne_bytes());
    }
    words
}

/// Writes the words of a number, then, with release, the round to the flag.
fn put<M: Mapping>(
    mapping: &mut M,
    channel: Channel,
    round: u64,
    number: u64,
) -> Result<(), Fault> {
    mapping.store(channel.data, &words(number))?;
    mapping.store_release(channel.flag, round)
}

/// Loads the words, once the flag is seen, and gives the first byte that is not one of the number.
fn first_wrong<M: Mapping>(
    mapping: &M,
    channel: Channel,
    number: u64,
) -> Result<Option<usize>, Fault> {
    let mut seen = [0; LITMUS_WORDS * WORD];
    mapping.load(channel.data, &mut seen)?;
    let want = words(number);
    let mut bytes = seen.iter().zip(&want);
    Ok(bytes.position(|(seen, want)| seen != want))
}
