// SPDX-License-Identifier: GPL-2.0-only

//! A round of LITMUS that needs nobody else: user space's half of it is in the buffer before the
//! kernel begins.

use faultline_core::device::{Call, Device};
use faultline_core::errno::Errno;
use faultline_sys::device::File;
use faultline_uapi::{litmus_word, Litmus, LITMUS_ECHO, LITMUS_WORDS};

/// The only round there is.
const ROUND: u64 = 1;

/// The length of the words of one direction, of a flag, and of all together, in bytes.
const WORDS: u64 = 8 * LITMUS_WORDS as u64;
const FLAG: u64 = 8;
pub(crate) const LENGTH: u64 = 2 * (WORDS + FLAG);

/// What the kernel is asked for the round that takes [`LENGTH`] bytes from `offset` on.
pub(crate) fn at(offset: u64, cpu: u32) -> Litmus {
    // Nothing overflows but what the fuzzer makes up.
    let place = |distance| offset.wrapping_add(distance);
    Litmus {
        cpu,
        test: LITMUS_ECHO,
        rounds: ROUND,
        data: place(0),
        flag: place(WORDS),
        answer_data: place(WORDS + FLAG),
        answer_flag: place(2 * WORDS + FLAG),
        ..Litmus::default()
    }
}

/// Writes user space's half.
pub(crate) fn lay(file: &mut File, question: &Litmus) -> Result<(), Errno> {
    let mut words = [0; WORDS as usize];
    for (index, bytes) in words.chunks_exact_mut(8).enumerate() {
        bytes.copy_from_slice(&litmus_word(ROUND, index).to_ne_bytes());
    }
    file.write_at(question.data, &words)?;
    flag(file, question, ROUND)
}

/// Writes user space's flag: zero, and there is no round for the kernel to see.
pub(crate) fn flag(file: &mut File, question: &Litmus, value: u64) -> Result<(), Errno> {
    file.write_at(question.flag, &value.to_ne_bytes()).map(drop)
}

/// Plays it, and tells how many words were wrong as the kernel sees it: no round or this one.
pub(crate) fn play(file: &mut File, question: Litmus) -> Result<u64, Errno> {
    let mut answer = question;
    lay(file, &question)?;
    file.call(Call::Litmus(&mut answer))?;
    Ok(answer.wrong)
}

/// Whether a round stores this word.
pub(crate) fn is_word(word: u64) -> bool {
    word == ROUND
        || (0..LITMUS_WORDS)
            .any(|index| word == litmus_word(ROUND, index) || word == litmus_word(!ROUND, index))
}

/// Whether the upper half of a word is that of one that a round stores.
pub(crate) fn is_upper_half(half: u32) -> bool {
    let upper = |word: u64| (word >> 32) as u32;
    (0..LITMUS_WORDS).any(|index| {
        half == upper(litmus_word(ROUND, index)) || half == upper(litmus_word(!ROUND, index))
    })
}
