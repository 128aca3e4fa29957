// SPDX-License-Identifier: GPL-2.0

//! The policy of a buffer that user space shares: who may map what, which frame answers a fault,
//! and what remains when the device is unbound.
//!
//! # Locking
//!
//! There is the buffer's SRCU read side and, inside it, one of two mutexes: the address space's,
//! which an insertion of entries holds (`AddressSpace::lock_insertion()`), or the bus master's, for
//! one request, which takes two or three seconds at the most. A fault takes the first two below the
//! `mm`'s or the area's lock; every other operation takes the first alone. A message-passing test
//! has a lock of its own for its outcome, outside of all these. While the read side is held nobody
//! touches user memory (the copies of `read()` and `write()` run with page faults disabled), so that
//! user space cannot stretch a critical section, and a copy from one mapping of the buffer to the
//! buffer itself does not recurse.
//!
//! # Unbinding
//!
//! [`SharedBuffer::revoke`] refuses the buffer to new users, waits for the faults and transfers
//! that have it, unmaps it from every process and frees it, in this order. A fault that comes
//! later finds no buffer, and so maps nothing: there is no window.

use crate::{
    buffer::{
        Buffer,
        Length, //
    },
    ext::{
        address_space::AddressSpace,
        revocable::{
            Guard,
            SleepableRevocable, //
        },
        vm_fault::{
            BlockFault,
            Fault,
            Installed,
            MemoryType,
            NewArea,
            Outcome,
            Transfer,
            VmOperations, //
        }, //
    },
    master::Attach,
    mutant, //
};
use kernel::{
    device::Core,
    new_srcu,
    platform,
    prelude::*,
    sync::{
        atomic::{
            AtomicFlag,
            Relaxed, //
        },
        Arc,
        ArcBorrow, //
    }, //
};

/// How pages get into page tables. Only the first is meant for use; the others are what it is
/// measured against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    faultline_mutant = "eager",
    expect(dead_code, reason = "it knows one way only")
)]
enum Style {
    /// By page faults: a block where one fits, else a batch of pages.
    BlocksAndBatches,
    /// By page faults, without blocks.
    Batches,
    /// By page faults, one page each.
    PageByPage,
    /// By `mmap()`, with `dma_mmap_attrs()`: the mutant `eager`, whose mappings unbinding can miss.
    #[cfg(faultline_mutant = "eager")]
    AllAtOnce,
}

impl Style {
    /// Reads the module's parameter `mapping`; a number that means nothing is the default.
    #[cfg(not(faultline_mutant = "eager"))]
    fn from_parameter(number: u8) -> Self {
        match number {
            1 => Self::Batches,
            2 => Self::PageByPage,
            _ => Self::BlocksAndBatches,
        }
    }

    /// Whatever the parameter says.
    #[cfg(faultline_mutant = "eager")]
    fn from_parameter(_number: u8) -> Self {
        Self::AllAtOnce
    }
}

/// A buffer shared with user space, until its device is unbound.
#[pin_data]
pub(crate) struct SharedBuffer {
    /// Lists the areas that map the buffer.
    space: Arc<AddressSpace>,
    length: Length,
    style: Style,
    /// Whether a message-passing test is under way.
    is_tested: AtomicFlag,
    #[pin]
    buffer: SleepableRevocable<Buffer>,
}

impl SharedBuffer {
    /// Allocates a buffer of `length` for `pdev`, and takes hold of the bus master that it is.
    ///
    /// # Errors
    ///
    /// As [`Buffer::allocate`] and [`AddressSpace::new`].
    pub(crate) fn new(
        pdev: &platform::Device<Core<'_>>,
        length: Length,
        attach: Option<Attach>,
    ) -> Result<Arc<Self>> {
        let space = Arc::pin_init(AddressSpace::new(c"[faultline]"), GFP_KERNEL)?;
        let buffer = Buffer::allocate(pdev, length, space.clone(), attach)?;

        Arc::pin_init(
            try_pin_init!(Self {
                space,
                length,
                style: Style::from_parameter(*crate::module_parameters::mapping.value_ref()),
                is_tested: AtomicFlag::new(false),
                buffer <- SleepableRevocable::new(buffer, new_srcu!("faultline_buffer")),
            }),
            GFP_KERNEL,
        )
    }

    /// Keeps others from testing the buffer as long as the guard lives.
    ///
    /// # Errors
    ///
    /// `EBUSY` if somebody does.
    pub(crate) fn begin_test(&self) -> Result<Tested<'_>> {
        if self.is_tested.xchg(true, Relaxed) {
            return Err(EBUSY);
        }
        Ok(Tested(&self.is_tested))
    }

    /// Takes the buffer away from everybody and frees it. May sleep.
    ///
    /// To be called before the device is unbound; it is harmless to call it twice.
    pub(crate) fn revoke(&self) {
        self.buffer.revoke();
    }

    /// Returns the buffer; while the guard lives it is not revoked.
    ///
    /// # Errors
    ///
    /// `ENODEV` if it has been.
    pub(crate) fn buffer(&self) -> Result<Guard<'_, Buffer>> {
        self.buffer.try_access().ok_or(ENODEV)
    }

    /// Returns the length, which does not change, not even by revocation.
    pub(crate) fn length(&self) -> Length {
        self.length
    }

    /// Returns the address space that lists the areas that map the buffer.
    pub(crate) fn address_space(&self) -> &AddressSpace {
        &self.space
    }

    /// Sets up an area; nothing is mapped before it is touched.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: the area is not `MAP_SHARED`, as private copies of DMA memory mean nothing; or
    ///   it reaches past the end of the buffer.
    /// - `EACCES`: `PROT_EXEC`. A later `mprotect()` gets the same answer.
    /// - `ENODEV`: the device was unbound.
    pub(crate) fn map(this: ArcBorrow<'_, Self>, area: NewArea<'_>) -> Result<Installed> {
        let buffer = this.buffer()?;

        if !area.is_shared() {
            return Err(EINVAL);
        }
        if !this
            .length
            .contains_pages(area.page_offset(), area.page_count())
        {
            return Err(EINVAL);
        }
        area.try_clear_mayexec().map_err(|_| EACCES)?;

        // The user's mapping must have the memory type of the kernel's, which is the DMA layer's
        // choice by the same rule (`dma_pgprot()` in kernel/dma/mapping.c): two types for one
        // frame are a mismatched alias, and reads through one may miss writes through the other.
        let memory_type = mutant::memory_type(if buffer.device_is_coherent() {
            MemoryType::Cached
        } else {
            MemoryType::DmaCoherent
        });

        buffer.mark_used();
        #[cfg(faultline_mutant = "eager")]
        if this.style == Style::AllAtOnce {
            return buffer.map_all(area);
        }
        Ok(area.install(memory_type, Arc::from(this)))
    }
}

/// The only test of a buffer.
pub(crate) struct Tested<'a>(&'a AtomicFlag);

impl Drop for Tested<'_> {
    fn drop(&mut self) {
        self.0.store(false, Relaxed);
    }
}

#[vtable]
impl VmOperations for SharedBuffer {
    fn fault(this: ArcBorrow<'_, Self>, fault: &Fault<'_>) -> Outcome {
        let Ok(buffer) = this.buffer() else {
            return Outcome::SIGBUS;
        };

        let touched = fault.page_offset();
        if let Some(other) = mutant::page_instead_of(touched, this.length) {
            return match buffer.run(other..other + 1) {
                Some(run) => fault.insert(touched, run),
                None => Outcome::SIGBUS,
            };
        }

        // Neighbours are mapped along: whoever touches one page mostly touches the next. Frames
        // that do not follow each other are mapped one by one.
        let size = match this.style {
            Style::PageByPage => 1,
            _ => BATCH,
        };
        let group = this.length.group(touched, size);
        let first = group.start;
        if let Some(run) = buffer.run(group) {
            fault.insert(first, run)
        } else if let Some(run) = buffer.run(touched..touched + 1) {
            fault.insert(touched, run)
        } else {
            Outcome::SIGBUS
        }
    }

    fn huge_fault(this: ArcBorrow<'_, Self>, fault: &BlockFault<'_>) -> Outcome {
        let Ok(buffer) = this.buffer() else {
            return Outcome::SIGBUS;
        };

        if this.style != Style::BlocksAndBatches {
            return Outcome::FALLBACK;
        }

        fault
            .pages()
            .and_then(|pages| mutant::block(pages, this.length))
            .and_then(|pages| buffer.run(pages))
            .map_or(Outcome::FALLBACK, |run| fault.insert(run))
    }

    fn access(this: ArcBorrow<'_, Self>, position: usize, transfer: Transfer<'_>) -> Result<usize> {
        let buffer = this.buffer()?;

        Ok(match transfer {
            Transfer::Read(destination) => buffer.peek(position, destination),
            Transfer::Write(source) => buffer.poke(position, source),
        })
    }
}

/// How many pages a fault maps at most, where a block cannot be mapped: a power of two, so that
/// those around a page lie in one page table.
const BATCH: usize = 16;
