// SPDX-License-Identifier: GPL-2.0-only

//! The calls of the driver: what each answers when nothing is wrong, and how the cases make them.

use faultline_core::device::{Call, Device};
use faultline_core::errno::Errno;
use faultline_core::finding::{Stop, Value};
use faultline_sys::device::File;
use faultline_uapi::{
    Copy, Fill, Frame, Info, Master, Sync, Translation, FAULTLINE_IOC_COPY, FAULTLINE_IOC_FILL,
    FAULTLINE_IOC_FRAME, FAULTLINE_IOC_INFO, FAULTLINE_IOC_LITMUS, FAULTLINE_IOC_MASTER,
    FAULTLINE_IOC_SYNC, FAULTLINE_IOC_TRANSLATE, MASTER_COPY, MASTER_FILL, SYNC_READ,
};

use crate::round;
use crate::world::Target;

/// Where in the buffer LITMUS has the round that comes, and one that does not.
pub(super) const PLAYED: u64 = 0;

pub(super) const AWAITED: u64 = 1024;

/// What one entry of the page table can map at most, in bytes.
pub(super) const PMD_SIZE: u64 = 2 << 20;

/// A call, and what there is to know about its argument.
pub(super) struct Kind {
    pub(super) command: u32,
    /// It is read; it is written.
    reads: bool,
    writes: bool,
    /// Only a bus master can do this.
    takes_master: bool,
    /// An argument, in words.
    pub(super) words: [u64; 6],
}

impl Kind {
    /// What comes of it with an argument that can be read and written or not.
    pub(super) fn want(&self, target: &Target, readable: bool, writable: bool) -> Value {
        match target.master {
            _ if self.reads && !readable => Errno::FAULT.into(),
            _ if self.command == FAULTLINE_IOC_SYNC && target.is_cached => Errno::INVAL.into(),
            _ if self.command == FAULTLINE_IOC_SYNC => Errno::OPNOTSUPP.into(),
            Err(reason) if self.takes_master => reason.into(),
            _ if self.writes && !writable => Errno::FAULT.into(),
            _ => Value::Success,
        }
    }
}

pub(super) const fn kind(command: u32, takes_master: bool, words: [u64; 6]) -> Kind {
    Kind {
        command,
        // By the direction in its number (include/uapi/asm-generic/ioctl.h).
        reads: command >> 30 & 1 != 0,
        writes: command >> 30 & 2 != 0,
        takes_master,
        words,
    }
}

pub(super) const KINDS: [Kind; 8] = [
    kind(FAULTLINE_IOC_INFO, false, [0; 6]),
    // Of nothing, which a cached buffer refuses: a start that is accepted would have to be ended.
    kind(FAULTLINE_IOC_SYNC, false, [SYNC_READ as u64, 0, 0, 0, 0, 0]),
    kind(FAULTLINE_IOC_FRAME, false, [0; 6]),
    kind(FAULTLINE_IOC_TRANSLATE, false, [0; 6]),
    kind(FAULTLINE_IOC_MASTER, true, [0; 6]),
    kind(FAULTLINE_IOC_FILL, true, [256, 8, 0, 0, 0, 0]),
    kind(FAULTLINE_IOC_COPY, true, [256, 264, 8, 0, 0, 0]),
    kind(FAULTLINE_IOC_LITMUS, false, [0, 1, 0, 64, 72, 136]),
];

/// What each call answers when nothing is wrong with its argument.
pub(super) fn each(file: &mut File) -> [Result<(), Errno>; 8] {
    let mut copy = copy_of(256, 264, 8);
    [
        file.call(Call::Info(&mut Info::default())),
        file.call(Call::Sync(&mut Sync {
            flags: SYNC_READ,
            ..Sync::default()
        })),
        file.call(Call::Frame(&mut Frame::default())),
        file.call(Call::Translate(&mut Translation::default())),
        file.call(Call::Master(&mut Master::default())),
        file.call(Call::Fill(&mut fill_of(256, 8))),
        file.call(Call::Copy(&mut copy)),
        file.call(Call::Litmus(&mut round::at(PLAYED, 0))),
    ]
}

/// The cases ask a bus master for bytes at any offset, from and to anywhere. That is fw_cfg; others can
/// do less.
pub(super) fn takes_any_bytes(master: Result<Master, Errno>) -> Result<(), Stop> {
    match master {
        Ok(master) if master.alignment > 1 || master.abilities != MASTER_FILL | MASTER_COPY => {
            Err(Stop::Skip("a bus master that cannot do all"))
        }
        _ => Ok(()),
    }
}

pub(super) fn fill_of(offset: u64, length: u64) -> Fill {
    Fill {
        offset,
        length,
        reserved: 0,
    }
}

pub(super) fn copy_of(source: u64, destination: u64, length: u64) -> Copy {
    Copy {
        source,
        destination,
        length,
        reserved: 0,
    }
}

pub(super) fn translate(file: &mut File, address: u64, request: u32) -> Result<Translation, Errno> {
    let mut question = Translation {
        address,
        request,
        ..Translation::default()
    };
    file.call(Call::Translate(&mut question)).map(|()| question)
}
