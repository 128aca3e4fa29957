// SPDX-License-Identifier: GPL-2.0

//! The kernel's side of message-passing tests: [`uapi::FAULTLINE_IOC_LITMUS`].
//!
//! # Ordering
//!
//! Both sides are CPUs, each of which has its own alias of the same memory, of the same type. What
//! orders their accesses is acquire and release (`LDAR` and `STLR` on arm64): for normal memory of
//! either kind, cached or not, these hold between all CPUs. The barriers for DMA (`dma_wmb()` and
//! its like) are for observers outside, with which they would be as strong but say the wrong thing;
//! and stronger ones would hide what the test looks for, a mapping through which an ordering that
//! the architecture promises does not hold.
//!
//! A flag is one access, whatever the CPU: on 32-bit ARM without LPAE its upper half stays zero. The data
//! words need not be, as the flags keep one side out while the other one writes.
//!
//! # Unbinding
//!
//! The buffer's guard is held for one look at the flag, a few microseconds, or for one round, and
//! never while the thread waits. An unbinding finds it let go, and the thread finds it gone.

use super::{
    ext::{
        kthread::{
            may_run_on,
            KThread,
            Running,
            Work, //
        },
        memory::Word, //
    },
    uapi::{
        self,
        litmus_word,
        Litmus,
        LITMUS_WORDS, //
    },
    SelfTest, //
};
use crate::{
    buffer::Buffer,
    mapping::{
        Extension,
        SharedBuffer, //
    },
    part::part, //
};
use core::ops::Range;
use kernel::{
    cpu::CpuId,
    new_condvar, new_mutex,
    prelude::*,
    processor::cpu_relax,
    sync::{
        Arc,
        ArcBorrow,
        CondVar,
        Mutex, //
    },
    time::{
        Delta,
        Instant,
        Monotonic, //
    },
};

/// The length of a word, and what it is aligned to, in bytes.
const WORD: usize = Word::SIZE;

/// How often the flag is looked at before the buffer is let go and others may run.
const LOOKS: usize = 256;

/// How many rounds are played before others may run, if none has to be waited for.
const ROUNDS_IN_A_ROW: u64 = 64;

/// How long user space may take for a round.
const PATIENCE: Delta = Delta::from_millis(uapi::LITMUS_PATIENCE_MS as i64);

/// Carries out a test, by a thread on the CPU that `question` names; counts in its answer.
pub(crate) fn run<X: Extension>(
    shared: ArcBorrow<'_, SharedBuffer<X>>,
    own: impl Fn(&X) -> &SelfTest,
    question: Litmus,
) -> Result<Litmus> {
    if question.test != uapi::LITMUS_ECHO || !(1..=Word::LIMIT).contains(&question.rounds) {
        return Err(EINVAL);
    }
    let cpu = CpuId::from_u32(question.cpu).ok_or(EINVAL)?;
    // What keeps the caller off a CPU keeps its thread off, too.
    if !may_run_on(cpu) {
        return Err(EPERM);
    }
    let channels = Channels::new(&shared, question).ok_or(EINVAL)?;
    // The thread is nobody's but the kernel's: what keeps the caller from taking too much of a CPU
    // does not hold for it. One for each buffer has to do.
    let _tested = own(shared.borrow()?.extension()).begin_test()?;

    let test = Arc::pin_init(
        pin_init!(Test {
            shared: shared.into(),
            channels,
            rounds: question.rounds,
            outcome <- new_mutex!(None, "Test::outcome"),
            ended <- new_condvar!("Test::ended"),
        }),
        GFP_KERNEL,
    )?;
    let thread = KThread::start_on(cpu, c"faultline_litmus", test.clone())?;
    let outcome = test.wait();
    drop(thread);

    let Count { wrong, first } = outcome?;
    Ok(Litmus {
        wrong,
        first_wrong_round: first,
        ..question
    })
}

/// Where things are in the buffer, in bytes: checked, aligned, and apart from each other.
struct Channels {
    data: usize,
    flag: usize,
    answer_data: usize,
    answer_flag: usize,
}

impl Channels {
    fn new<X: Extension>(shared: &SharedBuffer<X>, question: Litmus) -> Option<Self> {
        let words = |offset, words: usize| -> Option<Range<usize>> {
            // CAST: A few words.
            let found = part(shared.length().bytes(), offset, (words * WORD) as u64)?;
            (found.start % WORD == 0).then_some(found)
        };
        let parts = [
            words(question.data, LITMUS_WORDS)?,
            words(question.flag, 1)?,
            words(question.answer_data, LITMUS_WORDS)?,
            words(question.answer_flag, 1)?,
        ];

        let are_apart = parts.iter().enumerate().all(|(index, one)| {
            parts[..index]
                .iter()
                .all(|other| one.end <= other.start || other.end <= one.start)
        });
        let [data, flag, answer_data, answer_flag] = parts.map(|part| part.start);
        are_apart.then_some(Self {
            data,
            flag,
            answer_data,
            answer_flag,
        })
    }
}

/// What a test has found.
#[derive(Clone, Copy, Default)]
struct Count {
    /// How many rounds had a wrong word.
    wrong: u64,
    /// The first of them, or zero.
    first: u64,
}

/// A test that is under way.
#[pin_data]
struct Test<X: Extension> {
    shared: Arc<SharedBuffer<X>>,
    channels: Channels,
    rounds: u64,
    #[pin]
    outcome: Mutex<Option<Result<Count>>>,
    #[pin]
    ended: CondVar,
}

impl<X: Extension> Work for Test<X> {
    fn run(&self, thread: &Running) {
        let outcome = self.play(thread);

        *self.outcome.lock() = Some(outcome);
        self.ended.notify_all();
    }
}

impl<X: Extension> Test<X> {
    /// Waits for the end of the test, or for a signal.
    fn wait(&self) -> Result<Count> {
        let mut outcome = self.outcome.lock();
        loop {
            if let Some(outcome) = *outcome {
                return outcome;
            }
            if self.ended.wait_interruptible(&mut outcome) {
                return Err(EINTR);
            }
        }
    }

    /// Plays all rounds.
    fn play(&self, thread: &Running) -> Result<Count> {
        let mut count = Count::default();
        self.shared.borrow()?.mark_used();

        for round in 1..=self.rounds {
            // A task that answers at once, round after round, must not keep the thread for ever.
            if thread.should_stop() {
                return Err(EINTR);
            }
            if round % ROUNDS_IN_A_ROW == 0 {
                thread.give_way();
            }

            let began = Instant::<Monotonic>::now();
            loop {
                if let Some(is_right) = self.look(&*self.shared.borrow()?, round)? {
                    if !is_right {
                        count.wrong += 1;
                        if count.first == 0 {
                            count.first = round;
                        }
                    }
                    break;
                }
                if thread.should_stop() {
                    return Err(EINTR);
                }
                if began.elapsed() > PATIENCE {
                    return Err(ETIMEDOUT);
                }
                // User space may need this very CPU to go on.
                thread.give_way();
            }
        }

        Ok(count)
    }

    /// Looks for a round for a while; plays it, if it has come, and returns whether all its words
    /// were right.
    fn look(&self, buffer: &Buffer, round: u64) -> Result<Option<bool>> {
        let word = |offset| buffer.memory().word(offset).ok_or(EINVAL);
        let words = |first: usize| (0..LITMUS_WORDS).map(move |i| (i, first + i * WORD));

        let flag = word(self.channels.flag)?;
        if !(0..LOOKS).any(|_| {
            cpu_relax();
            flag.load_acquire() == round
        }) {
            return Ok(None);
        }

        let mut is_right = true;
        for (index, offset) in words(self.channels.data) {
            is_right &= word(offset)?.load() == litmus_word(round, index);
        }

        for (index, offset) in words(self.channels.answer_data) {
            word(offset)?.store(litmus_word(!round, index));
        }
        // The loads above are done, too, before user space sees this and writes the next round.
        word(self.channels.answer_flag)?.store_release(round);

        Ok(Some(is_right))
    }
}
