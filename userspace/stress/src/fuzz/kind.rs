// SPDX-License-Identifier: GPL-2.0-only

//! The operations.

use faultline_core::random::Random;

/// What is done; the order is that of [`Kind::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Load,
    Store,
    Map,
    MapPrivate,
    Unmap,
    Protect,
    Resize,
    Relocate,
    Advise,
    Read,
    Write,
    ReadAt,
    WriteAt,
    Seek,
    Info,
    Frame,
    Translate,
    Master,
    Fill,
    Copy,
    Litmus,
    Garbage,
    Open,
    Close,
    Fork,
    Unbind,
    Bind,
}

impl Kind {
    /// Each with its name, and how often it comes: as a share of the sum.
    pub(super) const ALL: &'static [(Self, &'static str, u64)] = &[
        (Self::Load, "load", 140),
        (Self::Store, "store", 140),
        (Self::Map, "mmap", 120),
        (Self::MapPrivate, "mmap(MAP_PRIVATE)", 6),
        (Self::Unmap, "munmap", 60),
        (Self::Protect, "mprotect", 60),
        (Self::Resize, "mremap in place", 30),
        (Self::Relocate, "mremap elsewhere", 50),
        (Self::Advise, "madvise", 60),
        (Self::Read, "read", 40),
        (Self::Write, "write", 40),
        (Self::ReadAt, "pread", 40),
        (Self::WriteAt, "pwrite", 40),
        (Self::Seek, "lseek", 20),
        (Self::Info, "INFO", 20),
        (Self::Frame, "FRAME", 20),
        (Self::Translate, "TRANSLATE", 30),
        (Self::Master, "MASTER", 10),
        (Self::Fill, "FILL", 30),
        (Self::Copy, "COPY", 50),
        (Self::Litmus, "LITMUS", 20),
        (Self::Garbage, "ioctl", 30),
        (Self::Open, "open", 50),
        (Self::Close, "close", 20),
        (Self::Fork, "fork", 6),
        (Self::Unbind, "unbind", 4),
        (Self::Bind, "bind", 8),
    ];

    pub(super) fn any(random: &mut Random) -> Self {
        let sum = Self::ALL.iter().map(|(_, _, share)| share).sum();
        let mut place = random.below(sum);
        for &(kind, _, share) in Self::ALL {
            if place < share {
                return kind;
            }
            place -= share;
        }
        Self::Load
    }
}
