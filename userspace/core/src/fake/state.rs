// SPDX-License-Identifier: GPL-2.0-only

//! What the fake machine is made of.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;

use faultline_uapi::{
    Copy, Fill, Info, Master, Translation, FLAG_CACHED, FLAG_COHERENT, FLAG_PRISTINE, MASTER_COPY,
    MASTER_FILL, TRANSLATED, TRANSLATE_KERNEL, TRANSLATE_WRITE, TRANSLATION_WRITABLE,
};

use crate::errno::Errno;
use crate::job::{Job, Tally};
use crate::memory::WITHOUT_ALLOCATION;

use super::lie::Lie;

/// The number that the fake bus master has, and how much it copies at once.
pub(super) const NONCE: &[u8] = b"0123456789abcdef0123456789abcdef";
pub(super) const MOST_COPIED: u64 = 16;

/// The size of the fake machine's pages.
pub(crate) const PAGE: u64 = 4096;

/// Where page 0 of the fake machine's memory lies.
pub(super) const MEMORY: u64 = 0x4000_0000;

/// Pages behind the buffer that belong to somebody else.
pub(super) const FOREIGN_PAGES: usize = 2;

/// What the device has, and the accesses that have started.
pub(super) struct Cached {
    pub(super) memory: Vec<u8>,
    pub(super) open: Vec<(Range<u64>, u32)>,
}

impl Cached {
    /// Those of a device with a lie, if its buffer is cached.
    pub(super) fn new(lie: Option<Lie>, memory: &[u8]) -> Option<Self> {
        let is_cached = matches!(
            lie,
            Some(
                Lie::Cached
                    | Lie::SyncIsSilent
                    | Lie::SyncOfStart
                    | Lie::SyncTheOtherWay
                    | Lie::SyncTakesAnyRange
                    | Lie::SyncEndsWithoutStart
                    | Lie::SyncFails(_)
            )
        );
        is_cached.then(|| Self {
            memory: memory.to_vec(),
            open: Vec::new(),
        })
    }
}

pub(super) struct State {
    pub(super) lie: Option<Lie>,
    pub(super) size: u64,
    pub(super) memory: Vec<u8>,
    pub(super) stale: Vec<u8>,
    pub(super) pristine: bool,
    pub(super) infos: u32,
    pub(super) mappings: u64,
    pub(super) unmapped: bool,
    pub(super) vanished: bool,
    pub(super) coherent: bool,
    pub(super) cached: Option<Cached>,
    pub(super) read_only: Vec<u64>,
    pub(super) task: Option<(Job, Vma)>,
    pub(super) outcome: Option<Tally>,
    pub(super) beats: u64,
    pub(super) told: bool,
    pub(super) litmuses: u32,
    pub(super) time: u64,
    /// How often the device was bound or unbound; odd while it is bound.
    pub(super) binding: u64,
    pub(super) log: VecDeque<Result<Vec<u8>, Errno>>,
}

impl State {
    pub(super) fn info(&mut self) -> Result<Info, Errno> {
        self.infos += 1;
        let pristine = self.pristine || self.lies(Lie::PristineForEver);
        let coherent = match self.cached {
            Some(_) => FLAG_CACHED,
            None if self.coherent => FLAG_COHERENT,
            None => 0,
        };
        let mut info = Info {
            flags: coherent | if pristine { FLAG_PRISTINE } else { 0 },
            size: self.size,
            dma_address: MEMORY,
            reserved: 0,
        };
        match self.lie {
            Some(Lie::InfoFails(errno)) => return Err(errno),
            Some(Lie::InfoFailsLater(errno)) if self.infos > 1 => return Err(errno),
            Some(Lie::InfoSize(size)) => info.size = size,
            Some(Lie::InfoReserved(reserved)) => info.reserved = reserved,
            _ => {}
        }
        Ok(info)
    }

    pub(super) fn physical_address(&self, offset: u64) -> Result<u64, Errno> {
        match self.lie {
            Some(Lie::FrameFails(errno)) => Err(errno),
            Some(Lie::FrameWrong(page, by)) if offset / PAGE == page => Ok(MEMORY + offset + by),
            Some(Lie::FramePastEnd) => Ok(MEMORY + offset),
            Some(Lie::FramePastEndLikeAnError) if offset >= self.size => {
                Ok(Errno::INVAL.number().wrapping_neg())
            }
            _ if offset >= self.size => Err(Errno::INVAL),
            _ => Ok(MEMORY + offset),
        }
    }

    pub(super) fn master(&self) -> Result<Master, Errno> {
        let mut master = Master {
            name: *b"fake\0\0\0\0\0\0\0\0\0\0\0\0",
            abilities: MASTER_FILL | MASTER_COPY,
            alignment: 4,
            max_fill: self.data().len() as u64,
            max_copy: MOST_COPIED,
            data: u32::from(self.is_firmware()),
            reserved: 0,
        };
        match self.lie {
            Some(Lie::NoMaster) => return Err(Errno::NODATA),
            Some(Lie::MasterFails(errno)) => return Err(errno),
            Some(Lie::MasterOddAlignment) => master.alignment = 3,
            Some(Lie::MasterCannotFill) => {
                master.abilities = MASTER_COPY;
                master.max_fill = 0;
            }
            Some(Lie::MasterCannotCopy) => {
                master.abilities = MASTER_FILL;
                master.max_copy = 0;
            }
            _ => {}
        }
        Ok(master)
    }

    /// Whether the bus master is the firmware of a Raspberry Pi.
    pub(super) fn is_firmware(&self) -> bool {
        matches!(
            self.lie,
            Some(Lie::MasterIsFirmware | Lie::FirmwareErrs | Lie::FirmwareHasOtherLine)
        )
    }

    /// What the bus master writes.
    pub(super) fn data(&self) -> Vec<u8> {
        if !self.is_firmware() {
            return NONCE.to_vec();
        }
        let mut line = self.command_line();
        let mut code = 1 << 31;
        match self.lie {
            Some(Lie::FirmwareErrs) => code |= 1,
            Some(Lie::FirmwareHasOtherLine) => line.truncate(5),
            _ => {}
        }
        let room = line.len().next_multiple_of(4);
        let whole = (24 + room).next_multiple_of(16);
        let words = [whole, code, 0x5_0001, room, 1 << 31 | line.len()];
        let mut data: Vec<u8> = words
            .iter()
            .flat_map(|word| (*word as u32).to_le_bytes())
            .chain(line)
            .collect();
        data.resize(whole, 0);
        data
    }

    /// The kernel's.
    pub(super) fn command_line(&self) -> Vec<u8> {
        let mut line = b"quiet faultline.nonce=".to_vec();
        match self.lie {
            Some(Lie::NoNonce) => line.clear(),
            Some(Lie::OtherNonce) => line.extend(NONCE.iter().rev()),
            _ => line.extend(NONCE),
        }
        line
    }

    /// Whether a part of the buffer can be asked for.
    pub(super) fn judge_part(&self, at: u64, length: u64) -> Result<(), Errno> {
        let inside = at.checked_add(length).is_some_and(|end| end <= self.size);
        match self.lie {
            Some(Lie::MasterTakesAll | Lie::MasterTriesAll) => Ok(()),
            Some(Lie::MasterRefusesBy(errno)) if !inside => Err(errno),
            _ if inside && length > 0 && at % 4 == 0 && length % 4 == 0 => Ok(()),
            _ => Err(Errno::INVAL),
        }
    }

    pub(super) fn judge_fill(&self, fill: &Fill) -> Result<u64, Errno> {
        match self.lie {
            Some(Lie::NoMaster) => return Err(Errno::NODATA),
            Some(Lie::MasterTakesAll | Lie::MasterTriesAll) => {}
            _ if fill.reserved != 0 => return Err(Errno::INVAL),
            Some(Lie::MasterCannotFill) => return Err(Errno::OPNOTSUPP),
            _ => {}
        }
        self.judge_part(fill.offset, fill.length)?;
        let more = u64::from(self.lies(Lie::FillSaysMore));
        Ok(fill.length.min(self.data().len() as u64) + more)
    }

    pub(super) fn judge_copy(&self, copy: &Copy) -> Result<(), Errno> {
        match self.lie {
            Some(Lie::NoMaster) => return Err(Errno::NODATA),
            Some(Lie::MasterTakesAll | Lie::MasterTriesAll) => {}
            _ if copy.reserved != 0 => return Err(Errno::INVAL),
            Some(Lie::MasterCannotCopy) => return Err(Errno::OPNOTSUPP),
            _ => {}
        }
        self.judge_part(copy.source, copy.length)?;
        self.judge_part(copy.destination, copy.length)?;
        if copy.length > MOST_COPIED && !self.lies(Lie::MasterTakesAll) {
            return Err(Errno::MSGSIZE);
        }
        Ok(())
    }

    /// What the bus master does with so much of some data, as far as it is in the buffer.
    pub(super) fn put(&mut self, mut at: u64, data: &[u8], length: u64) {
        let mut length = length.min(data.len() as u64);
        match self.lie {
            Some(Lie::MasterSilent) => return,
            Some(Lie::MasterTakesAll) if length == 0 || at >= self.size => return,
            Some(Lie::MasterUnderruns) => length -= 1,
            Some(Lie::MasterElsewhere) => at = (at + PAGE) % (self.size - length),
            _ => {}
        }
        let fill_overruns = self.lies(Lie::FillOverruns) && data == self.data();
        let overruns = fill_overruns || self.lies(Lie::MasterOverruns);
        let memory = match &mut self.cached {
            Some(cached) => &mut cached.memory,
            None => &mut self.memory,
        };
        let to = &mut memory[..self.size as usize];
        let places = to.iter_mut().skip(at as usize);
        for (to, from) in places.zip(&data[..length as usize]) {
            *to = *from;
        }
        if overruns {
            if let Some(next) = to.get_mut((at + length) as usize) {
                *next = !*next;
            }
        }
    }

    pub(super) fn translate(&self, question: &mut Translation) -> Result<(), Errno> {
        let request = question.request;
        match self.lie {
            Some(Lie::TranslateFails(errno)) => return Err(errno),
            Some(Lie::TranslateTakesAll) => {}
            _ if request & !(TRANSLATE_KERNEL | TRANSLATE_WRITE) != 0 => return Err(Errno::INVAL),
            _ => {}
        }
        let (kernel, store) = (
            request & TRANSLATE_KERNEL != 0,
            request & TRANSLATE_WRITE != 0,
        );
        let demanded = if self.coherent { 0xff } else { 0x44 };
        let (number, offset) = match question.address {
            address if kernel => (0, address),
            address => (address >> 32, address & 0xffff_ffff),
        };
        let is_own = number == OWN >> 32;
        let page = offset / PAGE;
        let at = if kernel {
            page
        } else {
            shown_pfn(self, number, page)
        } * PAGE
            + offset % PAGE;
        let is_there = kernel || number != 0 || self.lies(Lie::NothingIsThere);
        let writable = match self.lie {
            Some(Lie::ConstantIsWritable) if is_own => true,
            Some(Lie::ReadOnlyIsWritable) if !is_own => true,
            Some(Lie::UserIsReadOnly) if !is_own && !kernel => false,
            Some(Lie::KernelIsReadOnly) if kernel => false,
            _ if is_own => offset < PAGE,
            _ => !self.read_only.contains(&number),
        };
        let is_there = match self.lie {
            Some(Lie::UserIsNotThere) if !kernel && !is_own => false,
            _ => is_there && (writable || !store),
        };
        if !is_there {
            question.fault = 7;
            return Ok(());
        }
        question.flags = TRANSLATED | if writable { TRANSLATION_WRITABLE } else { 0 };
        question.shareability = if demanded == 0xff || is_own { 3 } else { 2 };
        question.attribute = match self.lie {
            Some(Lie::TypeAlwaysRight) => demanded,
            _ if is_own && self.lacks_lpae() => {
                question.shareability = 0;
                WITHOUT_ALLOCATION
            }
            _ if is_own => 0xff,
            Some(Lie::TypeOfUser(attribute)) if !kernel => attribute,
            Some(Lie::TypeOfSecond(attribute)) if is_second(number) && !kernel => attribute,
            Some(Lie::TypeOfPage(wrong, attribute)) if page == wrong && !kernel => attribute,
            Some(Lie::TypeForStores(attribute)) if store && !kernel => attribute,
            Some(Lie::TypeOfKernel(attribute)) if kernel => attribute,
            Some(Lie::TypeOfAll(attribute)) => attribute,
            _ => demanded,
        };
        question.physical_address = MEMORY + at;
        match self.lie {
            Some(Lie::Shareability(shareability)) if !is_own => {
                question.shareability = shareability;
            }
            Some(Lie::WalkHides) => question.physical_address = 0,
            Some(Lie::WalkWrong(wrong, by)) if page == wrong && !kernel => {
                question.physical_address += by;
            }
            Some(Lie::KernelWalkWrong(wrong, by)) if page == wrong && kernel => {
                question.physical_address += by;
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether the CPU is a 32-bit ARM without LPAE.
    pub(super) fn lacks_lpae(&self) -> bool {
        matches!(
            self.lie,
            Some(Lie::WithoutLpae | Lie::WithoutLpaeDiffers | Lie::WithoutLpaeMoved)
        )
    }

    pub(super) fn lies(&self, lie: Lie) -> bool {
        self.lie == Some(lie)
    }

    /// What becomes of what has been stored, some bytes from a place on.
    pub(super) fn settle(&mut self, from: usize, length: usize) {
        let (Lie::LoneBit(at) | Lie::LoneGap(at) | Lie::Coupled(at)) =
            self.lie.unwrap_or(Lie::NoMaster)
        else {
            return;
        };
        let at = at as usize;
        let cell = &self.memory[at..at + 8];
        let word = u64::from_ne_bytes(cell.try_into().unwrap());
        let new = match self.lie {
            Some(Lie::LoneBit(_)) if word.count_ones() == 1 => 0,
            Some(Lie::LoneGap(_)) if word.count_zeros() == 1 => u64::MAX,
            // Of a longer store the next word is stored later.
            Some(Lie::Coupled(_)) if from == at && length == 8 => {
                self.memory[at + 8] ^= 4;
                word
            }
            _ => word,
        };
        self.memory[at..at + 8].copy_from_slice(&new.to_ne_bytes());
    }
}

/// The number of the mapping that is sure to give SIGBUS.
pub(super) const SURE: u64 = 0xffff;

/// The number of the other task's mapping.
pub(super) const TASK: u64 = 0x4001;

/// The number of the first mapping that is read only.
pub(super) const READ_ONLY: u64 = 0x8001;

/// Where the program's own memory is.
pub(super) const OWN: u64 = 0xfffe << 32;

/// Whether a mapping is the second of two. They are numbered from 1.
pub(super) fn is_second(number: u64) -> bool {
    number % 2 == 0
}

/// The page, counted from the buffer's first, that a page of a mapping shows.
pub(super) fn pfn(state: &State, number: u64, page: u64) -> u64 {
    let pages = state.size / PAGE;
    let neighbour = if page ^ 1 < pages { page ^ 1 } else { page };
    match state.lie {
        Some(Lie::WrongPage) => neighbour,
        Some(Lie::WrongPageInSecond) if is_second(number) => neighbour,
        Some(Lie::OneFrame) => 0,
        Some(Lie::NextPage) => page + 1,
        Some(Lie::LastPageBeyond) if page == pages - 1 => page + 1,
        Some(Lie::Swapped(a, b)) if page == a => b,
        Some(Lie::Swapped(a, b)) if page == b => a,
        _ => page,
    }
}

/// What is said of it.
pub(super) fn shown_pfn(state: &State, number: u64, page: u64) -> u64 {
    let is_wrong = match state.lie {
        Some(Lie::PagemapDiffers | Lie::WithoutLpaeDiffers) => is_second(number),
        Some(Lie::FramesMoved | Lie::WithoutLpaeMoved) => true,
        _ => false,
    };
    pfn(state, number, page) + u64::from(is_wrong)
}

/// A mapping of the fake device.
pub(crate) struct Vma {
    pub(super) state: Rc<RefCell<State>>,
    pub(super) number: u64,
    pub(super) offset: u64,
    pub(super) length: u64,
    pub(super) read_only: bool,
    pub(super) copy: Option<Vec<u8>>,
    pub(super) binding: u64,
}
