// SPDX-License-Identifier: GPL-2.0-only

//! Fences of a dma-buf: what a device has not finished yet.

use core::sync::atomic::Ordering::SeqCst;

use faultline_core::device::Signal;
use faultline_core::errno::Errno;
use faultline_core::finding::Stop;
use faultline_sys::child::fork;
use faultline_sys::dma_buf::{DmaBuf, READ, WRITE};
use faultline_sys::fence::Timeline;

use super::context::{numbers, wait_in_child, Context};
use super::dma_buf::{export, fill, is_filled, map, stored};
use super::dma_buf_imported::{reports_what_is_not_freed, unbind_in_time};
use super::Case;
use crate::world::{sleep_ms, World as W};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "dma_buf_fenced",
        proves: "The CPU finds what a device has written before its fence was signalled: \
            DMA_BUF_IOCTL_SYNC waits for the fence, and then synchronises.",
        steps: dma_buf_fenced,
    },
    Case {
        name: "dma_buf_never_signalled",
        proves:
            "A fence that is never signalled holds an unbinding up for a limited time, and its \
            dma-buf answers that the device is gone.",
        steps: dma_buf_never_signalled,
    },
];

fn dma_buf_fenced(c: &mut Context<'_>) -> Result<(), Stop> {
    let timeline = timeline(c)?;
    let mut file = c.open()?;
    let buf = stored(c, &file)?;
    add_fence(c, &timeline, &buf)?;

    let is_asked = &numbers::<1>(c)[0];
    let device = fork(|| {
        wait_in_child(is_asked, 1);
        // The CPU waits meanwhile.
        sleep_ms(300);
        let filled = fill(&mut file);
        let signalled = timeline.advance();
        i32::from(filled.and(signalled).is_err())
    });
    let device = c.need("fork()", device)?;
    is_asked.store(1, SeqCst);
    is_filled(c, &buf)?;
    c.ending("end of a process that fills", device)
}

fn dma_buf_never_signalled(c: &mut Context<'_>) -> Result<(), Stop> {
    let timeline = timeline(c)?;
    if reports_what_is_not_freed(c)? {
        return Err(Stop::Skip(
            "DMA-API debugging reports memory that is not freed",
        ));
    }
    let file = c.open()?;
    let buf = export(c, &file)?;
    map(c, W::A, &buf)?;
    add_fence(c, &timeline, &buf)?;
    unbind_in_time(c)?;

    c.faults("a mapping of the dma-buf", W::A, Signal::Bus)?;
    // At once: the fence is not waited for.
    c.same("DMA_BUF_IOCTL_SYNC", buf.sync(READ), Errno::NODEV)?;
    let new = c.open()?;
    let new = export(c, &new)?;
    map(c, W::B, &new)?;
    c.load("a word of the new buffer", W::B, 0)
}

fn add_fence(c: &mut Context<'_>, timeline: &Timeline, buf: &DmaBuf) -> Result<(), Stop> {
    let fence = timeline.next();
    let fence = c.need("SW_SYNC_IOC_CREATE_FENCE", fence)?;
    let added = buf.add_fence(&fence, WRITE);
    c.same("DMA_BUF_IOCTL_IMPORT_SYNC_FILE", added, ())
}

fn timeline(c: &mut Context<'_>) -> Result<Timeline, Stop> {
    match Timeline::new() {
        Err(Errno::NOENT) => Err(Stop::Skip("this kernel has no fences of programs")),
        made => c.need("open() of sw_sync", made),
    }
}
