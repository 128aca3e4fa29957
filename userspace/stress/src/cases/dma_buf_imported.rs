// SPDX-License-Identifier: GPL-2.0-only

//! Devices that import a dma-buf of a buffer.

use core::sync::atomic::Ordering::SeqCst;

use faultline_core::device::Signal;
use faultline_core::errno::Errno;
use faultline_core::finding::Stop;
use faultline_sys::child::fork;
use faultline_sys::dma_buf::{DmaBuf, END, READ};
use faultline_sys::importer::{Importer, PICTURE};
use faultline_uapi::{FLAG_CACHED, FLAG_COHERENT};

use super::context::{numbers, unbind_against, wait_in_child, Context};
use super::dma_buf::{export, map};
use super::Case;
use crate::world::{now_ms, read_file, sleep_ms, World as W};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "dma_buf_imported",
        proves:
            "What a device that imports the dma-buf writes is found in the buffer; when it lets go \
            while an unbinding waits for it, the unbinding goes on.",
        steps: dma_buf_imported,
    },
    Case {
        name: "dma_buf_held",
        proves: "A device that does not let go of the dma-buf holds an unbinding up for a limited \
            time, and writes to memory that is nobody else's.",
        steps: dma_buf_held,
    },
    Case {
        name: "dma_buf_imported_against_unbind",
        proves: "A device that imports dma-bufs again and again while the buffer's own device is \
            unbound is refused, and the kernel warns of nothing.",
        steps: dma_buf_imported_against_unbind,
    },
];

/// The longest that an unbinding may wait for importers, with a kernel that checks everything: the
/// driver's own limits are two seconds.
const LIMIT_MS: u64 = 15_000;

/// The longest that a picture may take.
const PICTURE_MS: i64 = 15_000;

fn dma_buf_imported(c: &mut Context<'_>) -> Result<(), Stop> {
    let importer = importer(c)?;
    let shared = numbers::<2>(c);
    let file = c.open()?;
    let buf = export(c, &file)?;
    map(c, W::A, &buf)?;
    c.map(W::B, &file)?;
    picture(c, &importer, &buf)?;
    c.same("DMA_BUF_IOCTL_SYNC: start", buf.sync(READ), ())?;
    is_written(c, W::A, true)?;
    is_written(c, W::B, true)?;
    c.same("DMA_BUF_IOCTL_SYNC: end", buf.sync(READ | END), ())?;

    // It lets go, and takes it again, of a descriptor that is closed at once.
    c.same("STREAMOFF", importer.let_go(), ())?;
    drop(importer);
    let holder = fork(|| {
        let Ok(importer) = Importer::open() else {
            return 1;
        };
        // After the first picture it has the address, which it would not check if it came to ask for it when
        // the memory is going (`vivid_fillbuff()`).
        let asked = importer.ask(&buf).and(importer.start());
        let taken = asked.and_then(|()| importer.picture(PICTURE_MS));
        if taken.and_then(|()| importer.ask(&buf)).is_err() {
            return 2;
        }
        shared[0].store(1, SeqCst);
        wait_in_child(&shared[1], 1);
        // The unbinding waits meanwhile, but not for a task that has the memory cached.
        sleep_ms(100);
        i32::from(importer.let_go().is_err()) * 3
    });
    let holder = c.need("fork()", holder)?;
    drop(buf);
    c.wait_for("a process that imports", &shared[0], 1)?;
    shared[1].store(1, SeqCst);
    unbind_in_time(c)?;
    c.ending("end of a process that imports", holder)?;
    c.faults("a mapping of the dma-buf", W::A, Signal::Bus)
}

fn dma_buf_held(c: &mut Context<'_>) -> Result<(), Stop> {
    if reports_what_is_not_freed(c)? {
        return Err(Stop::Skip(
            "DMA-API debugging reports memory that is not freed",
        ));
    }
    let importer = importer(c)?;
    let file = c.open()?;
    let buf = export(c, &file)?;
    picture(c, &importer, &buf)?;
    c.same("VIDIOC_QBUF", importer.ask(&buf), ())?;

    unbind_in_time(c)?;

    // It goes on to write, where the new buffer is not.
    let mut new = c.open()?;
    c.map(W::B, &new)?;
    for _ in 0..3 {
        c.same(
            "a picture after unbinding",
            importer.picture(PICTURE_MS),
            (),
        )?;
        c.same("VIDIOC_QBUF", importer.ask(&buf), ())?;
    }
    is_written(c, W::B, false)?;
    c.read_word(&mut new, 0, 0)?;

    // Nobody gets it any more.
    let other = export(c, &new)?;
    c.same("STREAMOFF", importer.let_go(), ())?;
    drop(importer);
    let importer = self::importer(c)?;
    let asked = importer.ask(&buf).is_ok();
    c.same("whether VIDIOC_QBUF takes what is gone", asked, false)?;
    c.same("VIDIOC_QBUF of the new buffer", importer.ask(&other), ())?;
    c.same("STREAMOFF", importer.let_go(), ())
}

fn dma_buf_imported_against_unbind(c: &mut Context<'_>) -> Result<(), Stop> {
    let importer = importer(c)?;
    let file = c.open()?;
    let buf = export(c, &file)?;
    ask(c, &importer, &buf)?;
    c.same("STREAMOFF", importer.let_go(), ())?;
    drop((importer, buf, file));
    unbind_against(c, "calls of a process that imports", |_, file| {
        let buf = DmaBuf::of(file, 0)?;
        let importer = Importer::open()?;
        // V4L2 answers so if the buffer goes meanwhile: where it maps it, and where it asks for its address.
        match importer.ask(&buf) {
            Ok(()) | Err(Errno::INVAL | Errno::FAULT) => {}
            Err(error) => return Err(error),
        }
        importer.let_go()
    })
}

/// Whether DMA-API debugging warns of a buffer that is never freed: of coherent memory.
pub(super) fn reports_what_is_not_freed(c: &mut Context<'_>) -> Result<bool, Stop> {
    let info = c.target.info();
    let is_cached = c.need("INFO", info)?.flags & FLAG_CACHED != 0;
    let mut disabled = [0; 1];
    let disabled = read_file(c"/sys/kernel/debug/dma-api/disabled", &mut disabled);
    Ok(!is_cached && disabled == Ok(b"N"))
}

/// Unbinds the device, which may not take too long, and binds it again.
pub(super) fn unbind_in_time(c: &mut Context<'_>) -> Result<(), Stop> {
    let started = now_ms();
    let unbound = c.target.unbind();
    let took = now_ms() - started;
    let bound = c.target.bind();
    c.same("unbind", unbound, ())?;
    c.same("bind", bound, ())?;
    c.same("whether unbinding ends", took < LIMIT_MS, true)
}

/// Has a picture written to a dma-buf, and goes on.
fn picture(c: &mut Context<'_>, importer: &Importer, buf: &DmaBuf) -> Result<(), Stop> {
    ask(c, importer, buf)?;
    c.same("VIDIOC_STREAMON", importer.start(), ())?;
    c.same("a picture", importer.picture(PICTURE_MS), ())
}

/// Has a dma-buf imported, unless the importer is refused.
fn ask(c: &mut Context<'_>, importer: &Importer, buf: &DmaBuf) -> Result<(), Stop> {
    match importer.ask(buf) {
        Err(Errno::INVAL) if is_coherent(c)? => Err(Stop::Skip(
            "the importer was refused: it does not see the CPU's caches, and the device does",
        )),
        asked => c.same("VIDIOC_QBUF", asked, ()),
    }
}

fn is_coherent(c: &mut Context<'_>) -> Result<bool, Stop> {
    let info = c.target.info();
    Ok(c.need("INFO", info)?.flags & FLAG_COHERENT != 0)
}

/// Looks at whether a picture was written to what is mapped: the camera's picture has no black line.
fn is_written(c: &mut Context<'_>, at: u64, want: bool) -> Result<(), Stop> {
    let mut words = 0_u64;
    for offset in (0..PICTURE).step_by(8) {
        let loaded = c.world.arena.load(at + offset);
        words |= c.need("a load", loaded)?;
    }
    c.same("whether a picture was written", words != 0, want)
}

fn importer(c: &mut Context<'_>) -> Result<Importer, Stop> {
    if c.target.size < PICTURE {
        return Err(Stop::Skip("a picture is longer than the buffer"));
    }
    match Importer::open() {
        Err(Errno::NOENT) => Err(Stop::Skip("this kernel has no device that imports")),
        opened => c.need("open() of a camera", opened),
    }
}
