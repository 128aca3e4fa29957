// SPDX-License-Identifier: GPL-2.0-only

//! A mapping of the fake device.

use std::cell::RefCell;
use std::rc::Rc;

use faultline_uapi::litmus_word;

use crate::device::{Fault, Mapping, Signal, Unmapped};
use crate::errno::Errno;

use super::lie::Lie;
use super::state::{is_second, pfn, State, Vma, PAGE, SURE, TASK};

impl Vma {
    /// The address of a byte: mappings are far apart.
    pub(super) fn address_of(&self, offset: u64) -> u64 {
        (self.number << 32) + offset
    }

    /// Where in memory a byte is, if it is there.
    pub(super) fn place(&self, state: &State, offset: u64) -> Result<usize, Fault> {
        assert!(
            offset < self.length,
            "{offset:#x} is not in a mapping of {:#x}",
            self.length
        );
        let fault = |signal| {
            Err(Fault {
                signal,
                address: self.address_of(offset),
            })
        };
        if self.number == SURE {
            return if state.lies(Lie::SigbusIsMissed) {
                Ok(0)
            } else {
                fault(Signal::Bus)
            };
        }
        let at = self.offset + offset;
        let page = at / PAGE;
        let stays = match state.lie {
            Some(Lie::UnbindLeavesMappings) => self.number != TASK,
            Some(Lie::UnbindLeavesTask) => self.number == TASK,
            _ => false,
        };
        if self.binding != state.binding && !stays {
            return fault(Signal::Bus);
        }
        match state.lie {
            Some(Lie::PageIsMissing(missing)) if page == missing => return fault(Signal::Bus),
            Some(Lie::PageVanishesAfterStore(missing)) if page == missing && state.vanished => {
                return fault(Signal::Bus)
            }
            Some(Lie::UnmapTakesAll) if state.unmapped => return fault(Signal::Bus),
            Some(Lie::MapPastEndSigbus) if at >= state.size => return fault(Signal::Bus),
            Some(Lie::MapPastEndSigsegv) if at >= state.size => return fault(Signal::Segv),
            _ => {}
        }
        let place = pfn(state, self.number, page) * PAGE + at % PAGE;
        Ok(place as usize % state.memory.len())
    }
}

impl Mapping for Vma {
    type Unmapped = Gone;

    fn address(&self) -> u64 {
        match self.state.borrow().lie {
            Some(Lie::SameAddress) if !self.read_only => 1 << 32,
            Some(Lie::Overlap) if is_second(self.number) => ((self.number - 1) << 32) + PAGE,
            _ => self.address_of(0),
        }
    }

    fn load(&self, offset: u64, bytes: &mut [u8]) -> Result<(), Fault> {
        let state = self.state.borrow();
        for (byte, offset) in bytes.iter_mut().zip(offset..) {
            let place = self.place(&state, offset)?;
            *byte = self.copy.as_ref().unwrap_or(&state.memory)[place];
        }
        // Several words, as no other check loads.
        if state.lies(Lie::StaleWords) && bytes.len() == 64 && self.number != TASK {
            bytes[..8].copy_from_slice(&litmus_word(0, 0).to_ne_bytes());
        }
        Ok(())
    }

    fn store(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Fault> {
        let mut state = self.state.borrow_mut();
        if self.read_only && !state.lies(Lie::ReadOnlyIsStored) {
            return Err(Fault {
                signal: Signal::Segv,
                address: self.address_of(offset),
            });
        }
        let last = bytes.len() == 1 && self.offset + offset == state.size - 1;
        if state.lies(Lie::LastByteCannotBeStored) && last {
            return Ok(());
        }
        let second = state.lies(Lie::PrivateCopyOfSecond) && is_second(self.number);
        if (state.lies(Lie::PrivateCopy) || second) && self.copy.is_none() {
            self.copy = Some(state.memory.clone());
        }
        for (&byte, offset) in bytes.iter().zip(offset..) {
            let place = self.place(&state, offset)?;
            match &mut self.copy {
                Some(copy) => copy[place] = byte,
                None => state.memory[place] = byte,
            }
            if let Some(Lie::PageVanishesAfterStore(page)) = state.lie {
                state.vanished |= place as u64 / PAGE == page;
            }
        }
        state.settle((self.offset + offset) as usize, bytes.len());
        Ok(())
    }

    fn load_acquire(&self, offset: u64) -> Result<u64, Fault> {
        let mut word = [0; 8];
        self.load(offset, &mut word)?;
        if self.number == TASK && self.state.borrow().lies(Lie::TaskSeesNoFlag) {
            return Ok(0);
        }
        Ok(u64::from_ne_bytes(word))
    }

    fn store_release(&mut self, offset: u64, word: u64) -> Result<(), Fault> {
        self.store(offset, &word.to_ne_bytes())
    }

    fn unmap(self) -> Result<Gone, Errno> {
        let mut state = self.state.borrow_mut();
        if let Some(Lie::UnmapFails(errno)) = state.lie {
            return Err(errno);
        }
        state.unmapped = true;
        if state.lies(Lie::UnmapClears) {
            state.memory.fill(0);
        }
        drop(state);
        Ok(Gone(self))
    }
}

/// Where a mapping of the fake device was.
pub(crate) struct Gone(Vma);

impl Unmapped for Gone {
    fn load(&self, offset: u64, bytes: &mut [u8]) -> Result<(), Fault> {
        let address = self.0.address_of(offset);
        match self.0.state.borrow().lie {
            Some(Lie::UnmapLeaves) => {}
            Some(Lie::UnmapSigbus) => {
                return Err(Fault {
                    signal: Signal::Bus,
                    address,
                })
            }
            _ => {
                return Err(Fault {
                    signal: Signal::Segv,
                    address,
                })
            }
        }
        self.0.load(offset, bytes)
    }
}

/// Has the other task look at what it is to look at, if there is one.
pub(super) fn step_task(state: &Rc<RefCell<State>>) {
    if state.borrow().lies(Lie::TaskIsStarved) {
        return;
    }
    let Some((mut job, mut vma)) = state.borrow_mut().task.take() else {
        return;
    };
    let outcome = job.step(&mut vma);
    let mut state = state.borrow_mut();
    state.beats += 1;
    match outcome {
        None => state.task = Some((job, vma)),
        outcome => state.outcome = outcome,
    }
}
