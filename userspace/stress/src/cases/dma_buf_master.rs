// SPDX-License-Identifier: GPL-2.0-only

//! COPY_IMPORTED: a bus master imports a dma-buf of a buffer, and accesses it.

use faultline_core::device::{Call, Device};
use faultline_core::errno::Errno;
use faultline_core::finding::Stop;
use faultline_sys::arena::{Access, Argument, Nowhere, Sharing};
use faultline_sys::device::File;
use faultline_sys::dma_buf::{copy_imported, DmaBuf, END, READ, WRITE};
use faultline_uapi::{
    CopyImported, Master, Sync, COPY_FROM_IMPORTED, FAULTLINE_IOC_COPY_IMPORTED, MASTER_COPY,
    SYNC_END, SYNC_READ, SYNC_WRITE,
};
use rustix::fd::{AsFd, AsRawFd};

use super::attributes::sees_caches;
use super::context::{unbind_against, Context};
use super::dma_buf::{export, map};
use super::Case;
use crate::world::{tagged, Target, World as W};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "dma_buf_master",
        proves:
            "A bus master that imports the dma-buf finds in it what a CPU has stored, and a CPU \
            what the master has written; one that sees the memory in another way is refused.",
        steps: dma_buf_master,
    },
    Case {
        name: "dma_buf_master_refuses",
        proves:
            "COPY_IMPORTED refuses what is no dma-buf, ranges that are not inside both buffers, \
            and a dma-buf whose device is gone.",
        steps: dma_buf_master_refuses,
    },
    Case {
        name: "dma_buf_master_against_unbind",
        proves:
            "A bus master that imports dma-bufs again and again while the buffer's device, or its \
            own, is unbound, does what it is asked to, or says that the device is gone.",
        steps: dma_buf_master_against_unbind,
    },
];

/// Where in its own buffer the master has what it copies.
const HERE: u64 = 2048;

/// The length of an entry of the importer's table.
const SEGMENT: u64 = 64 << 10;

/// The most that is copied.
const MOST: u64 = 64;

fn dma_buf_master(c: &mut Context<'_>) -> Result<(), Stop> {
    let mut import = Import::new(c)?;
    let (size, page, length) = (c.size(), c.page(), import.length);
    map(c, W::A, &import.buf)?;
    let arena = &mut c.world.arena;
    let mapped = arena.map(W::B, page, &import.own, 0, Access::BOTH, Sharing::Shared);
    c.same("mmap() of the master's buffer", mapped, ())?;

    let exporter = sees_caches(&c.target.path);
    let exporter = c.need("read of the attribute coherent", exporter)?;
    let importer = sees_caches(&import.owner.path);
    let importer = c.need("read of the attribute coherent", importer)?;
    // With bounce buffers nobody has the memory itself.
    if exporter != importer || c.world.is_bounced {
        let answer = import.copy(0, 0);
        return c.same("COPY_IMPORTED by such a master", answer, Errno::IO);
    }

    let words = || (0..length).step_by(8);
    // The last words; the first ones; those of a page between; and words of two entries of the importer's table,
    // which are 64 KiB long (`dma_get_max_seg_size()`).
    for (there, tag) in [
        (size - length, 770),
        (0, 780),
        (c.pages() / 2 * page, 790),
        (SEGMENT - 8, 800),
    ] {
        if there + length > size {
            continue;
        }
        import.begin(c)?;
        for word in words() {
            c.store(W::B + HERE + word, tagged(tag + word))?;
            c.store(W::A + there + word, 0)?;
        }
        import.end(c)?;
        let answer = import.copy(0, there);
        c.same("COPY_IMPORTED to the dma-buf", answer, ())?;

        import.begin(c)?;
        for word in words() {
            let at = W::A + there + word;
            c.load("a word that the master has written", at, tagged(tag + word))?;
            c.store(at, tagged(tag + word + 1))?;
        }
        import.end(c)?;
        let answer = import.copy(COPY_FROM_IMPORTED, there);
        c.same("COPY_IMPORTED from the dma-buf", answer, ())?;

        import.begin(c)?;
        for word in words() {
            let at = W::B + HERE + word;
            c.load(
                "a word that the master has read",
                at,
                tagged(tag + word + 1),
            )?;
        }
        import.end(c)?;
    }
    Ok(())
}

fn dma_buf_master_refuses(c: &mut Context<'_>) -> Result<(), Stop> {
    let import = Import::new(c)?;
    let good = import.good();
    let (all, of_master) = (c.target.size, import.owner.size);
    let too_much = import.too_much();
    for (what, request, want) in [
        (
            "COPY_IMPORTED without a file",
            CopyImported { fd: -1, ..good },
            Errno::BADF,
        ),
        (
            "COPY_IMPORTED of what is no dma-buf",
            CopyImported {
                fd: import.own.as_fd().as_raw_fd(),
                ..good
            },
            Errno::INVAL,
        ),
        (
            "COPY_IMPORTED with a flag",
            CopyImported { request: 2, ..good },
            Errno::INVAL,
        ),
        (
            "COPY_IMPORTED of nothing",
            CopyImported { length: 0, ..good },
            Errno::INVAL,
        ),
        (
            "COPY_IMPORTED of too much",
            CopyImported {
                offset: 0,
                length: too_much,
                ..good
            },
            if too_much > of_master {
                Errno::INVAL
            } else {
                Errno::MSGSIZE
            },
        ),
        (
            "COPY_IMPORTED past the end of the master's buffer",
            CopyImported {
                offset: of_master,
                ..good
            },
            Errno::INVAL,
        ),
        (
            "COPY_IMPORTED of a range that wraps",
            CopyImported {
                imported: 0_u64.wrapping_sub(8),
                ..good
            },
            Errno::INVAL,
        ),
    ] {
        let answer = copy_imported(&import.own, &request);
        c.same(what, answer, want)?;
    }
    // A master that is refused does not come to look at the range.
    if import.copy(0, 0) != Err(Errno::IO) {
        for there in [all, all - 8, 1 << 40] {
            let answer = import.copy(0, there);
            c.same("COPY_IMPORTED past the end", answer, Errno::INVAL)?;
        }
    }
    let nowhere = Argument::Nowhere(Nowhere::Null);
    let arena = &mut c.world.arena;
    let answer = arena.ioctl(&import.own, FAULTLINE_IOC_COPY_IMPORTED, nowhere);
    c.same(
        "COPY_IMPORTED with an argument nowhere",
        answer,
        Errno::FAULT,
    )?;
    let reader = File::open(import.owner.path.c_str(), true);
    let reader = c.need("open() for reading", reader)?;
    let answer = copy_imported(&reader, &good);
    c.same("COPY_IMPORTED by a file for reading", answer, Errno::BADF)?;

    let unbound = c.target.unbind();
    let answer = import.copy(0, 0);
    let bound = c.target.bind();
    c.same("unbind", unbound, ())?;
    c.same("bind", bound, ())?;
    c.same("COPY_IMPORTED of what is gone", answer, Errno::NODEV)
}

fn dma_buf_master_against_unbind(c: &mut Context<'_>) -> Result<(), Stop> {
    let import = Import::new(c)?;
    if import.copy(0, 0) == Err(Errno::IO) {
        return Err(Stop::Skip(
            "the bus master was refused: it sees the memory in another way",
        ));
    }
    let good = import.good();
    let owner = import.owner.path.clone();
    drop(import);
    let copies = |own: &File, buf: &DmaBuf| {
        let request = CopyImported {
            fd: buf.as_fd().as_raw_fd(),
            ..good
        };
        match copy_imported(own, &request) {
            // An emulator whose host has other things to do may take longer than the driver waits.
            Err(Errno::TIMEDOUT) => Ok(()),
            answer => answer,
        }
    };
    unbind_against(c, "calls of a process with a bus master", |_, file| {
        let buf = DmaBuf::of(file, 0)?;
        let own = match File::open(owner.c_str(), false) {
            // It is the device that is unbound.
            Err(Errno::NOENT) => Err(Errno::NODEV),
            opened => opened,
        }?;
        copies(&own, &buf)
    })?;

    // The bus master's own device goes, and the other buffer's stays.
    if owner.bytes() != c.target.path.bytes() {
        return Ok(());
    }
    let mut others = c.world.targets.iter();
    let Some(other) = others
        .find(|other| {
            other.path.bytes() != owner.bytes() && sees_caches(&other.path) == sees_caches(&owner)
        })
        .cloned()
    else {
        return Ok(());
    };
    let file = other.open();
    let file = c.need("open() of another device", file)?;
    let buf = export(c, &file)?;
    unbind_against(c, "calls of a process that loses a bus master", |_, own| {
        copies(own, &buf)
    })
}

/// A bus master, and what it imports.
struct Import {
    owner: Target,
    /// Of its own device.
    own: File,
    buf: DmaBuf,
    /// How much it copies: whole words.
    length: u64,
}

impl Import {
    /// Finds a bus master that copies, and exports the buffer.
    fn new(c: &mut Context<'_>) -> Result<Self, Stop> {
        let can_copy = |master: &Master| master.abilities & MASTER_COPY != 0;
        let mut targets = c.world.targets.iter();
        let owner = targets
            .find(|target| target.master.as_ref().is_ok_and(can_copy))
            .cloned()
            .ok_or(Stop::Skip("there is no bus master that copies"))?;
        let opened = owner.open();
        let own = c.need("open() of the master's device", opened)?;
        let file = c.open()?;
        let buf = export(c, &file)?;
        let master = owner.master.unwrap_or_default();
        let step = u64::from(master.alignment).max(8);
        Ok(Self {
            length: master.max_copy.min(MOST) / step * step,
            owner,
            own,
            buf,
        })
    }

    /// More than the master copies.
    fn too_much(&self) -> u64 {
        let master = self.owner.master.unwrap_or_default();
        master.max_copy + u64::from(master.alignment)
    }

    /// A copy to the beginning of the dma-buf.
    fn good(&self) -> CopyImported {
        CopyImported {
            fd: self.buf.as_fd().as_raw_fd(),
            offset: HERE,
            length: self.length,
            ..CopyImported::default()
        }
    }

    /// Has the master copy, from or to its own buffer.
    fn copy(&self, request: u32, there: u64) -> Result<(), Errno> {
        copy_imported(
            &self.own,
            &CopyImported {
                request,
                imported: there,
                ..self.good()
            },
        )
    }

    /// The CPU's accesses to both buffers begin.
    fn begin(&mut self, c: &mut Context<'_>) -> Result<(), Stop> {
        self.synchronise(c, 0, 0)
    }

    /// They end.
    fn end(&mut self, c: &mut Context<'_>) -> Result<(), Stop> {
        self.synchronise(c, END, SYNC_END)
    }

    fn synchronise(&mut self, c: &mut Context<'_>, of_buf: u64, of_own: u32) -> Result<(), Stop> {
        let answer = self.buf.sync(READ | WRITE | of_buf);
        c.same("DMA_BUF_IOCTL_SYNC", answer, ())?;
        if !self.owner.is_cached || self.owner.path.bytes() == c.target.path.bytes() {
            return Ok(());
        }
        let answer = self.own.call(Call::Sync(&mut Sync {
            flags: SYNC_READ | SYNC_WRITE | of_own,
            length: c.page(),
            ..Sync::default()
        }));
        c.same("SYNC of the master's buffer", answer, ())
    }
}
