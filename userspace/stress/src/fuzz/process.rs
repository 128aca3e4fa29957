// SPDX-License-Identifier: GPL-2.0-only

//! A process, and how it does each of the operations.

use faultline_core::device::{Fault, Signal};
use faultline_core::errno::Errno;
use faultline_core::random::Random;
use faultline_sys::arena::{Access, Argument, Nowhere, Sharing, ADVICE, WIPE_ON_FORK};
use faultline_sys::child::{fork, Child, Ending};
use faultline_sys::device::File;
use faultline_sys::process::exit;
use faultline_uapi::{
    FAULTLINE_IOC_COPY, FAULTLINE_IOC_FILL, FAULTLINE_IOC_FRAME, FAULTLINE_IOC_INFO,
    FAULTLINE_IOC_LITMUS, FAULTLINE_IOC_MASTER, FAULTLINE_IOC_TRANSLATE, TRANSLATE_KERNEL,
    TRANSLATE_WRITE,
};
use rustix::fs::{seek, SeekFrom};

use super::kind::Kind;
use super::record::{Field, Record, FOUND_STRAY};
use crate::round;
use crate::world::{tagged, World};

/// One process of the fuzzer.
pub(super) struct Process<'w> {
    pub(super) world: &'w mut World,
    pub(super) own: Record<'w>,
    pub(super) random: Random,
    pub(super) files: [Option<File>; 4],
}

impl<'w> Process<'w> {
    /// Of the arena: what is mapped over and over, before the ordinary memory at its end.
    const SPAN: u64 = World::MEMORY;
    /// Where ioctls have their arguments: the only words in the arena without a tag.
    const ARGUMENT: u64 = World::MEMORY + (4 << 20);

    pub(super) fn new(world: &'w mut World, own: Record<'w>, random: Random) -> Self {
        Self {
            world,
            own,
            random,
            files: [const { None }; 4],
        }
    }

    /// Does one thing. `false`: a word was found that nobody stored.
    pub(super) fn step(&mut self, may_fork: bool) -> bool {
        let kind = Kind::any(&mut self.random);
        let place = Kind::ALL.iter().position(|&(other, _, _)| other == kind);
        self.own.set(Field::Doing, place.unwrap_or(0) as u64);
        let is_right = self.act(kind, may_fork);
        self.own.add(Field::Done);
        is_right
    }

    pub(super) fn refused<T>(&mut self, result: Result<T, Errno>) {
        if result.is_err() {
            self.own.add(Field::Errors);
        }
    }

    pub(super) fn signalled(&mut self, fault: Fault) {
        self.own.add(match fault.signal {
            Signal::Bus => Field::Bus,
            Signal::Segv => Field::Segv,
        });
    }

    /// A place in the arena, and a length: mostly of few pages, at times of many, now and then
    /// of whole PMDs, aligned like one.
    pub(super) fn range(&mut self) -> (u64, u64) {
        let page = self.world.page;
        let pages = Self::SPAN / page;
        let (at, length) = match self.random.below(8) {
            0 => {
                let block = 2 << 20;
                let at = self.random.below(Self::SPAN / block) * block;
                (at, block * (1 + self.random.below(2)))
            }
            // All meet in few places, or nothing would ever be on top of anything.
            1..=5 => (
                self.random.below(64) * page,
                page * (1 + self.random.below(16)),
            ),
            _ => (
                self.random.below(pages) * page,
                page * (1 + self.random.below(1100)),
            ),
        };
        (at, length.min(Self::SPAN - at))
    }

    /// A word that lies where most mappings are.
    pub(super) fn word(&mut self) -> u64 {
        let (at, length) = self.range();
        at + self.random.below(length / 8) * 8
    }

    /// A multiple of eight bytes of the arena, at a multiple of eight, at times in ordinary memory.
    pub(super) fn bytes(&mut self) -> (u64, u64) {
        let (at, length) = self.range();
        let start = self.random.below(length / 8) * 8;
        let length = (length - start).min(8 * (1 + self.random.below(1100)));
        if self.random.below(4) == 0 {
            (World::MEMORY + self.random.below(512) * 8, length)
        } else {
            (at + start, length)
        }
    }

    /// An offset into a file: mostly in a small buffer, at times anywhere.
    pub(super) fn offset(&mut self, multiple: u64) -> u64 {
        let bits = self.random.of(&[12, 14, 16, 23, 32, 62]);
        self.random.below(1 << bits) / multiple * multiple
    }

    /// One in a buffer, mostly: where a call of the driver's has something to do.
    pub(super) fn place(&mut self) -> u64 {
        if self.random.below(8) == 0 {
            return self.offset(8);
        }
        8 * self.random.below((16 << 10) / 8)
    }

    /// One of the devices; those with a bus master come more often, or little would be asked of it.
    pub(super) fn target(&mut self) -> usize {
        let targets = &self.world.targets;
        let master = targets.iter().position(|target| target.master.is_ok());
        match (self.random.below(3), master) {
            (0, Some(number)) => number,
            _ => self.random.below(targets.len() as u64) as usize,
        }
    }

    pub(super) fn file(&mut self) -> Option<usize> {
        let slot = self.random.below(4) as usize;
        self.files[slot].is_some().then_some(slot)
    }

    pub(super) fn act(&mut self, kind: Kind, may_fork: bool) -> bool {
        match kind {
            Kind::Load => {
                let at = self.word();
                match self.world.arena.load(at) {
                    Ok(word) if !self.world.is_known(word) => {
                        self.own.set(Field::Stray, word);
                        return false;
                    }
                    Ok(_) => {}
                    Err(fault) => self.signalled(fault),
                }
            }
            Kind::Store => {
                let (at, word) = (self.word(), tagged(self.random.next()));
                if let Err(fault) = self.world.arena.store(at, word) {
                    self.signalled(fault);
                }
            }
            Kind::Fork if may_fork => self.fork(),
            // A child of a child would be one too many.
            Kind::Fork => {}
            Kind::Unbind | Kind::Bind => {
                let number = self.random.below(self.world.targets.len() as u64) as usize;
                let target = &self.world.targets[number];
                let result = if kind == Kind::Bind {
                    target.bind()
                } else {
                    target.unbind()
                };
                self.refused(result);
            }
            Kind::Open => {
                let number = self.target();
                let read_only = self.random.below(8) == 0;
                let slot = self.random.below(4) as usize;
                let opened = File::open(self.world.targets[number].path.c_str(), read_only);
                match opened {
                    Ok(file) => self.files[slot] = Some(file),
                    Err(_) => self.own.add(Field::Errors),
                }
            }
            Kind::Close => {
                let slot = self.random.below(4) as usize;
                self.files[slot] = None;
            }
            Kind::Unmap | Kind::Protect | Kind::Resize | Kind::Relocate | Kind::Advise => {
                self.arrange(kind);
            }
            _ => self.call(kind),
        }
        true
    }

    /// What needs no file.
    pub(super) fn arrange(&mut self, kind: Kind) {
        let (at, length) = self.range();
        let result = match kind {
            Kind::Unmap => self.world.arena.unmap(at, length),
            Kind::Protect => {
                let access = Access::of_number(self.random.next());
                self.world.arena.protect(at, length, access)
            }
            Kind::Advise => {
                let advice = self.random.of(&ADVICE);
                if advice == WIPE_ON_FORK {
                    // A mapping of the buffer refuses it. Of anonymous memory that was moved the kernel
                    // (7.3) then warns in the child: docs/upstream/wipe-on-fork.md.
                    return;
                }
                self.world.arena.advise(at, length, advice)
            }
            _ => {
                let (to, new_length) = self.range();
                let new_length = match self.random.below(3) {
                    0 => new_length,
                    _ => length,
                };
                if kind == Kind::Resize {
                    let new_length = new_length.min(Self::SPAN - at);
                    self.world.arena.resize(at, length, new_length)
                } else {
                    let new_length = new_length.min(Self::SPAN - to);
                    self.world.arena.relocate(at, length, to, new_length)
                }
            }
        };
        self.refused(result);
    }

    /// What a file is needed for.
    pub(super) fn call(&mut self, kind: Kind) {
        let Some(slot) = self.file() else {
            return;
        };
        let (at, length) = self.range();
        let (start, bytes) = self.bytes();
        let page = self.world.page;
        let (page_offset, offset) = (self.offset(page), self.offset(8));
        let access = match self.random.below(4) {
            0 => Access::of_number(self.random.next()),
            1 => Access::READ,
            _ => Access::BOTH,
        };
        let sharing = match self.random.below(8) {
            _ if kind == Kind::MapPrivate => Sharing::Private,
            0 => Sharing::Populated,
            _ => Sharing::Shared,
        };
        let words = self.question(kind, slot, at);
        let command = match (kind, self.random.below(2)) {
            (Kind::Info, _) => FAULTLINE_IOC_INFO,
            (Kind::Frame, _) => FAULTLINE_IOC_FRAME,
            (Kind::Translate, _) => FAULTLINE_IOC_TRANSLATE,
            (Kind::Master, _) => FAULTLINE_IOC_MASTER,
            (Kind::Fill, _) => FAULTLINE_IOC_FILL,
            (Kind::Copy, _) => FAULTLINE_IOC_COPY,
            (Kind::Litmus, _) => FAULTLINE_IOC_LITMUS,
            // Of the driver's type: what other types mean is not for it to say.
            (_, 0) => self.random.next() as u32 & 0xffff_00ff | FAULTLINE_IOC_INFO & 0xff00,
            _ => FAULTLINE_IOC_INFO ^ (1 << self.random.of(&[0, 1, 5, 16, 20, 30, 31])),
        };
        let argument = match self.random.below(16) {
            0 => Argument::Nowhere(Nowhere::Null),
            1 => Argument::Nowhere(Nowhere::Last),
            2 => Argument::Nowhere(Nowhere::Kernel),
            _ => Argument::At(Self::ARGUMENT),
        };
        let position = match self.random.below(3) {
            0 => SeekFrom::Start(offset),
            1 => SeekFrom::End(-(offset as i64)),
            _ => SeekFrom::Current(offset as i64 % 0x1_0000),
        };
        let arena = &mut self.world.arena;
        let Some(file) = self.files[slot].as_mut() else {
            return;
        };
        let result = match kind {
            Kind::Map | Kind::MapPrivate => {
                arena.map(at, length, &*file, page_offset, access, sharing)
            }
            Kind::Read => arena.read(start, bytes, &*file).map(drop),
            Kind::Write => arena.write(start, bytes, &*file).map(drop),
            Kind::ReadAt => arena.read_at(start, bytes, &*file, offset).map(drop),
            Kind::WriteAt => arena.write_at(start, bytes, &*file, offset).map(drop),
            Kind::Seek => seek(&*file, position)
                .map(drop)
                .map_err(crate::world::errno),
            _ => {
                for (word, number) in (Self::ARGUMENT..).step_by(8).zip(words) {
                    let stored = arena.store(word, number);
                    debug_assert!(stored.is_ok(), "it is ordinary memory");
                }
                arena.ioctl(&*file, command, argument)
            }
        };
        match (kind, result) {
            (Kind::Fill | Kind::Copy, Ok(())) => self.own.add(Field::Mastered),
            (Kind::Litmus, Ok(())) => self.own.add(Field::Tested),
            _ => self.refused(result),
        }
    }

    /// The argument of a call of the driver's, in words. What makes sense of it is made of whole
    /// words at multiples of eight, so that none that is stored is ever another.
    pub(super) fn question(&mut self, kind: Kind, slot: usize, at: u64) -> [u64; 8] {
        // Now and then an offset that is not there, or that overflows.
        let length = match self.random.below(8) {
            0 => (8 * self.random.below(3)).wrapping_neg(),
            number => 8 * (number % 5),
        };
        let reserved = u64::from(self.random.below(16) == 0);
        let (offset, other) = (self.place(), self.place());
        let (any, cpus) = (self.random.next(), self.world.cpus as u64);
        match kind {
            Kind::Translate => {
                let request = match self.random.below(8) {
                    0 => any >> 32,
                    number => number & u64::from(TRANSLATE_KERNEL | TRANSLATE_WRITE),
                };
                let address = match self.random.below(4) {
                    0 => any,
                    1 => offset,
                    _ => self.world.arena.address(at) + any % self.world.page,
                };
                [address, request, reserved << 24, 0, 0, 0, 0, 0]
            }
            Kind::Fill if !self.world.knows_fill() => [0; 8],
            Kind::Fill => [offset, length, reserved, 0, 0, 0, 0, 0],
            Kind::Copy => [other, offset, length, reserved, 0, 0, 0, 0],
            Kind::Litmus => {
                let question = round::at(offset, (any % (cpus + 1)) as u32);
                // Where the round does not come it takes two seconds: somebody may overwrite it.
                if let Some(file) = &mut self.files[slot] {
                    let _ = round::lay(file, &question);
                }
                let test = u64::from(question.test + u32::from(reserved != 0)) << 32;
                let cpu_and_test = u64::from(question.cpu) | test;
                [
                    cpu_and_test,
                    question.rounds,
                    question.data,
                    question.flag,
                    question.answer_data,
                    question.answer_flag,
                    0,
                    0,
                ]
            }
            Kind::Frame => [offset, 0, 0, 0, 0, 0, 0, 0],
            _ => [0; 8],
        }
    }

    /// A child with all the mappings, which goes on by itself for a while.
    pub(super) fn fork(&mut self) {
        let steps = self.random.below(24);
        let mut random = Random::branch(self.random.next(), 1);
        let child = fork(|| {
            core::mem::swap(&mut self.random, &mut random);
            for _ in 0..steps {
                if !self.step(false) {
                    return FOUND_STRAY;
                }
            }
            0
        });
        match child.map(Child::wait) {
            Ok(Ending::Exit(0)) => {}
            Ok(Ending::Exit(status)) => exit(status),
            Ok(Ending::Killed(_)) => exit(4),
            Err(_) => self.own.add(Field::Errors),
        }
    }
}
