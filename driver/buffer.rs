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
        reserved_memory::AssignedRegion, //
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
    /// `space`, from `region` if the node names one.
    ///
    /// # Errors
    ///
    /// As [`MappableCoherent::zeroed`].
    pub(crate) fn allocate(
        dev: &Device<Bound>,
        length: Length,
        space: Arc<AddressSpace>,
        region: Option<AssignedRegion>,
    ) -> Result<Self> {
        Ok(Self {
            memory: MappableCoherent::zeroed(dev, length.pages(), space, region)?,
            was_used: AtomicFlag::new(false),
        })
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
