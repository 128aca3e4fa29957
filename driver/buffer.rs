// SPDX-License-Identifier: GPL-2.0

//! The buffer of one device: its memory, and whether anybody has used it.

use crate::{
    ext::{
        address_space::AddressSpace,
        coherent::MappableCoherent,
        copy::{
            Destination,
            Source, //
        },
        memory, //
    },
    length::Length, //
};
use core::{
    mem::MaybeUninit,
    ops::Range, //
};
use kernel::{
    device::{
        Bound,
        Device, //
    },
    page::PAGE_SHIFT,
    prelude::*,
    sync::{
        atomic::{
            AtomicFlag,
            Relaxed, //
        },
        Arc, //
    }, //
};

/// Allocated, zeroed memory that the device and the CPU share.
pub(crate) struct Buffer {
    memory: MappableCoherent,
    /// Whether the memory may have changed since it was allocated.
    was_used: AtomicFlag,
}

impl Buffer {
    /// Allocates a buffer for `dev`, whose DMA mask is set, that can be mapped through the files of
    /// `space`. What goes wrong is said in the log of `node`.
    ///
    /// # Errors
    ///
    /// As [`MappableCoherent::zeroed`]. The log has the reason.
    pub(crate) fn allocate(
        node: &Device,
        dev: &Device<Bound>,
        length: Length,
        space: Arc<AddressSpace>,
    ) -> Result<Self> {
        let memory = MappableCoherent::zeroed(dev, length.pages(), space).inspect_err(|_| {
            let (all, free) = memory::cma_pages();
            dev_err!(
                node,
                "size: cannot allocate {} bytes of DMA memory: of CMA's {} bytes {} are free, not all contiguous; see cma= of the kernel's command line and the property memory-region\n",
                length.bytes(),
                all << PAGE_SHIFT,
                free << PAGE_SHIFT
            );
        })?;

        Ok(Self::new(memory))
    }

    /// Takes `memory`, which nobody has used yet.
    pub(crate) fn new(memory: MappableCoherent) -> Self {
        Self {
            memory,
            was_used: AtomicFlag::new(false),
        }
    }

    /// Returns the memory. A caller that changes it must call [`mark_used`](Self::mark_used).
    pub(crate) fn memory(&self) -> &MappableCoherent {
        &self.memory
    }

    /// Returns whether the buffer must still be all zeroes: nobody has mapped it, written to it, or
    /// had the device do so.
    pub(crate) fn is_pristine(&self) -> bool {
        !self.was_used.load(Relaxed)
    }

    /// Takes note that the buffer may change from here on.
    pub(crate) fn mark_used(&self) {
        // Most calls find it marked: do not write to a cache line that all CPUs read.
        if self.is_pristine() {
            self.was_used.store(true, Relaxed);
        }
    }

    /// Copies the bytes of `range` out, as far as the destination's memory is present; returns
    /// how many. Does not sleep.
    #[inline]
    pub(crate) fn read<D: Destination + ?Sized>(
        &self,
        range: Range<usize>,
        destination: &mut D,
    ) -> usize {
        self.memory.copy_to(range.start, range.len(), destination)
    }

    /// Copies the bytes of `range` in, as far as the source's memory is present; returns how
    /// many. Does not sleep.
    #[inline]
    pub(crate) fn write<S: Source + ?Sized>(&self, range: Range<usize>, source: &mut S) -> usize {
        if range.is_empty() {
            return 0;
        }
        self.mark_used();
        self.memory.copy_from(range.start, range.len(), source)
    }

    /// Copies from byte `position` on to kernel memory, up to the end; returns how many bytes.
    pub(crate) fn peek(&self, position: usize, destination: &mut [MaybeUninit<u8>]) -> usize {
        self.memory.read(position, destination)
    }

    /// Copies from kernel memory to byte `position` on, up to the end; returns how many bytes.
    pub(crate) fn poke(&self, position: usize, source: &[u8]) -> usize {
        self.mark_used();
        self.memory.write(position, source)
    }

    /// Gives the memory up: it will be taken away from user space as usual, but never freed.
    ///
    /// That is for a device that was told of the memory and cannot be stopped.
    pub(crate) fn abandon(&mut self) {
        self.memory.abandon();
    }
}
