// SPDX-License-Identifier: GPL-2.0-only

//! A file of the fake device.

use std::cell::RefCell;
use std::ffi::CStr;
use std::rc::Rc;

use faultline_uapi::{litmus_word, Litmus, LITMUS_WORDS};

use crate::device::{Call, Device};
use crate::errno::Errno;

use super::lie::Lie;
use super::state::{is_second, State, Vma, PAGE, READ_ONLY};
use super::vma::step_task;

/// The path by which the device is another driver's.
pub(crate) const FOREIGN: &CStr = c"/dev/foreign";

/// A file of the fake device.
pub(crate) struct File {
    pub(super) state: Rc<RefCell<State>>,
    pub(super) binding: u64,
    pub(super) foreign: bool,
}

impl File {
    /// The kernel's side, while the other task plays its own.
    pub(super) fn litmus(&mut self, litmus: &mut Litmus) -> Result<(), Errno> {
        let lie = self.state.borrow().lie;
        if let Some(Lie::LitmusFails(errno)) = lie {
            return Err(errno);
        }
        self.state.borrow_mut().litmuses += 1;
        if let Some(Lie::LitmusIsStarved(calls)) = lie {
            if self.state.borrow().litmuses <= calls {
                return Err(Errno::TIMEDOUT);
            }
        }
        for round in 1..=litmus.rounds {
            let mut looks = 0;
            while self.word(litmus.flag) != round {
                looks += 1;
                if looks > 4 {
                    return Err(Errno::TIMEDOUT);
                }
                step_task(&self.state);
            }
            let words = (0..LITMUS_WORDS).map(|index| (index, index as u64 * 8));
            let right = words
                .clone()
                .all(|(index, at)| self.word(litmus.data + at) == litmus_word(round, index));
            if !right || lie == Some(Lie::KernelSeesWrong(round)) {
                litmus.wrong += 1;
            }
            for (index, at) in words {
                let mut word = litmus_word(!round, index);
                if index == 5 && lie == Some(Lie::KernelShowsWrong(round)) {
                    word = litmus_word(!(round - 1), index);
                }
                self.set_word(litmus.answer_data + at, word);
            }
            self.set_word(litmus.answer_flag, round);
        }
        Ok(())
    }

    pub(super) fn word(&self, at: u64) -> u64 {
        let state = self.state.borrow();
        u64::from_ne_bytes(state.memory[at as usize..][..8].try_into().unwrap())
    }

    pub(super) fn set_word(&mut self, at: u64, word: u64) {
        let mut state = self.state.borrow_mut();
        state.memory[at as usize..][..8].copy_from_slice(&word.to_ne_bytes());
    }
}

impl Device for File {
    type Mapping = Vma;

    fn call(&mut self, call: Call<'_>) -> Result<(), Errno> {
        assert!(!self.foreign, "who knows what {call:?} means to it");
        let mut state = self.state.borrow_mut();
        if state.binding != self.binding && !state.lies(Lie::UnbindLeavesFiles) {
            return Err(Errno::NODEV);
        }
        match call {
            Call::Info(info) => {
                *info = state.info()?;
                Ok(())
            }
            Call::Sync(sync) => state.sync(sync),
            _ if state.lies(Lie::NoSelftest) => Err(Errno::NOTTY),
            Call::Frame(frame) => {
                frame.physical_address = state.physical_address(frame.offset)?;
                Ok(())
            }
            Call::Translate(question) => state.translate(question),
            Call::Master(master) => {
                *master = state.master()?;
                Ok(())
            }
            Call::Fill(fill) => {
                fill.length = state.judge_fill(fill)?;
                if state.lies(Lie::MasterStumbles) {
                    let at = fill.offset as usize;
                    state.memory[at..][..fill.length as usize].fill(b'?');
                    drop(state);
                    step_task(&self.state);
                    state = self.state.borrow_mut();
                }
                let data = state.data();
                state.put(fill.offset, &data, fill.length);
                Ok(())
            }
            Call::Copy(copy) => {
                state.judge_copy(copy)?;
                let from = if state.lies(Lie::MasterReadsStale) {
                    &state.stale
                } else if let Some(cached) = &state.cached {
                    &cached.memory
                } else {
                    &state.memory
                };
                let length = copy.length as usize;
                if copy.source.saturating_add(copy.length) <= state.size {
                    let data = from[copy.source as usize..][..length].to_vec();
                    state.put(copy.destination, &data, copy.length);
                }
                Ok(())
            }
            Call::Litmus(litmus) => {
                drop(state);
                self.litmus(litmus)
            }
        }
    }

    fn map(&mut self, offset: u64, length: u64) -> Result<Vma, Errno> {
        let mut state = self.state.borrow_mut();
        assert!(offset % PAGE == 0 && length % PAGE == 0 && length > 0);
        let far = offset >= state.size;
        let beyond = offset
            .checked_add(length)
            .is_none_or(|end| end > state.size);
        match state.lie {
            Some(Lie::MapRefused(errno)) => return Err(errno),
            Some(Lie::UnmapIsTheEnd) if state.unmapped => return Err(Errno::NODEV),
            Some(Lie::MapPastEnd | Lie::MapPastEndSigbus | Lie::MapPastEndSigsegv) => {}
            Some(Lie::MapAcrossEnd) if !far => {}
            Some(Lie::MapFarBeyond) if far => {}
            Some(Lie::MapPastEndErrno(errno)) if beyond => return Err(errno),
            _ if beyond => return Err(Errno::INVAL),
            _ => {}
        }
        state.pristine = false;
        state.mappings += 1;
        let number = state.mappings;
        let copy =
            (state.lies(Lie::SecondIsACopy) && is_second(number)).then(|| state.memory.clone());
        Ok(Vma {
            state: self.state.clone(),
            number,
            offset,
            length,
            read_only: false,
            copy,
            binding: self.binding,
        })
    }

    fn map_read_only(&mut self, length: u64) -> Result<Vma, Errno> {
        if let Some(Lie::ReadOnlyRefused(errno)) = self.state.borrow().lie {
            return Err(errno);
        }
        // Neither the first nor the second of two.
        let mut vma = self.map(0, length)?;
        let mut state = self.state.borrow_mut();
        state.mappings -= 1;
        vma.number = READ_ONLY + 2 * state.read_only.len() as u64;
        vma.read_only = true;
        vma.copy = None;
        state.read_only.push(vma.number);
        Ok(vma)
    }

    fn read_at(&mut self, offset: u64, bytes: &mut [u8]) -> Result<u64, Errno> {
        let state = self.state.borrow();
        let left = state.size.saturating_sub(offset).min(bytes.len() as u64) as usize;
        let mut length = left;
        let mut start = offset;
        let mut from = &state.memory;
        match state.lie {
            Some(Lie::ReadFails(errno)) => return Err(errno),
            Some(Lie::NoReadWrite) => return Err(Errno::INVAL),
            Some(Lie::ReadGivesNothing) => return Ok(0),
            Some(Lie::ShortRead) if left > 1 => length -= 1,
            Some(Lie::ReadAligns) => start -= start % 8,
            Some(Lie::StaleRead | Lie::WriteGoesAside) => from = &state.stale,
            Some(Lie::ReadPastEnd) if offset == state.size => return Ok(bytes.len() as u64),
            Some(Lie::ReadAcrossEndRefused) if left > 0 && left < bytes.len() => {
                return Err(Errno::INVAL)
            }
            Some(Lie::LastByteCannotBeRead) if left == 1 => return Ok(0),
            _ => {}
        }
        let lost = usize::from(state.lies(Lie::ReadLosesLastByte) && length > 1);
        let copied = length - lost;
        bytes[..copied].copy_from_slice(&from[start as usize..][..copied]);
        Ok(length as u64)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<u64, Errno> {
        let mut state = self.state.borrow_mut();
        let left = state.size.saturating_sub(offset).min(bytes.len() as u64) as usize;
        match state.lie {
            Some(Lie::WriteFails(errno)) => return Err(errno),
            Some(Lie::NoReadWrite) => return Err(Errno::INVAL),
            Some(Lie::RefusesByFault) if left == 0 => return Err(Errno::FAULT),
            Some(Lie::WritePastEnd) if left == 0 => return Ok(bytes.len() as u64),
            Some(Lie::WritePastEndGivesNothing) if left == 0 => return Ok(0),
            Some(Lie::LastByteCannotBeWritten) if left == 1 => return Err(Errno::NOSPC),
            _ if left == 0 => return Err(Errno::NOSPC),
            _ => {}
        }
        state.pristine = false;
        let start = offset as usize;
        let mut length = left;
        let mut answer = left;
        match state.lie {
            Some(Lie::WriteLosesLastByte) => length -= 1,
            Some(Lie::ShortWrite) if left > 1 => {
                length -= 1;
                answer -= 1;
            }
            Some(Lie::WriteAcrossEnd) => answer = bytes.len(),
            _ => {}
        }
        if state.lies(Lie::WriteGoesAside) {
            state.stale[start..][..length].copy_from_slice(&bytes[..length]);
            return Ok(answer as u64);
        }
        state.memory[start..][..length].copy_from_slice(&bytes[..length]);
        state.settle(start, length);
        if state.lies(Lie::StaleRead) {
            state.stale[start..][..length].copy_from_slice(&bytes[..length]);
        }
        let end = start + length;
        if state.lies(Lie::WriteRoundsUp) {
            state.memory[end..end.next_multiple_of(8)].fill(0);
        }
        if state.lies(Lie::WriteClobbersBefore) && start > 0 && length < 4096 {
            state.memory[start - 1] = 0;
        }
        Ok(answer as u64)
    }
}
