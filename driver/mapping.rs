// SPDX-License-Identifier: GPL-2.0

//! The policy of a buffer that user space shares: who may map what, which PFN answers a fault,
//! and what remains when the device is unbound.
//!
//! # Locking
//!
//! A user of the buffer holds its SRCU read side. Inside it, an insertion takes the lock of the page
//! table. The insertion of a page table or of a PMD entry also holds the address space's spinlock
//! (`AddressSpace::lock_insertion()`), around that lock. A fault takes all of them below the lock of
//! the `mm` or of the VMA; every other operation takes the SRCU read side alone. A fault in a cached buffer
//! locks the page inside the read side, and leaves without it ([`page_faults`](crate::page_faults)); the
//! mutex of [`Brackets`] is taken by itself.
//!
//! While the read side is held, nothing touches user memory: the copies of `read()` and `write()` run
//! with page faults disabled. The driver allocates nothing either: the kernel allocates page tables before it
//! calls the handler. So neither a slow copy nor a tight cgroup of one process makes a critical section
//! longer that others wait for. A copy from one mapping of the buffer to the buffer itself does not
//! recurse.
//!
//! # Unbinding
//!
//! [`SharedBuffer::revoke`] refuses the buffer to new users, waits for the faults and transfers
//! that have it, unmaps it from every process and frees it, in this order. A fault that comes
//! later finds no buffer, and so maps nothing: there is no window.

use crate::{
    brackets::Brackets,
    buffer::Buffer,
    cached,
    dma_mask,
    ext::{
        address_space::AddressSpace,
        memory,
        new_vma::{
            Installed,
            NewVma, //
        },
        revocable::{
            Guard,
            SleepableRevocable, //
        },
        vm_fault::{
            ptes_per_table,
            Fault,
            Outcome,
            PmdFault,
            Transfer,
            VmOperations, //
        }, //
    },
    label,
    length::Length,
    memory_region,
    refused, //
};
use core::ops::Deref;
use kernel::{
    device::{
        Bound,
        Core,
        Device, //
    },
    fs::{
        File,
        LocalFile, //
    },
    new_poll_condvar,
    platform,
    prelude::*,
    str::CString,
    sync::{
        poll::{
            PollCondVar,
            PollTable, //
        },
        Arc,
        ArcBorrow, //
    }, //
};

/// What is attached to a buffer while its device is bound, and adds to what can be done with it.
///
/// It goes before the memory does: see [`settle`](Self::settle).
pub(crate) trait Extension: Send + Sync + Sized + 'static {
    /// Acquires what belongs to the node of `pdev`, whose DMA mask is set. Logs what is wrong with
    /// it.
    fn attach(pdev: &platform::Device<Core<'_>>) -> Result<Self>;

    /// Returns the device that the memory is to be allocated for, if it is not the one that was
    /// attached to.
    fn dma_device(&self) -> Option<&Device<Bound>> {
        None
    }

    /// The buffer is there and has its name, but can be opened only after this.
    fn prepared(&self, _dev: &Device<Bound>, _name: &CStr, _buffer: &Buffer) {}

    /// Allows or refuses a new open file.
    fn may_open(&self) -> Result {
        Ok(())
    }

    /// Carries out a command that the driver itself does not have; `ENOTTY` if there is no such
    /// command. To use the buffer it has to [borrow](SharedBuffer::borrow) it. What is attached to the
    /// buffer may be more than this: `own` finds it there.
    fn ioctl<X: Extension>(
        _this: ArcBorrow<'_, SharedBuffer<X>>,
        _own: impl Fn(&X) -> &Self,
        _file: &LocalFile,
        _cmd: u32,
        _arg: usize,
    ) -> Result<isize> {
        Err(ENOTTY)
    }

    /// Returns the events that have happened, for `poll()`, and registers for those to come.
    fn events(&self, _file: &File, _table: &PollTable<'_>) -> u32 {
        0
    }

    /// Returns whether what is attached has to go before the machine is switched off or restarted: other
    /// devices may be needed for it, and are shut down later.
    fn goes_at_shutdown(&self) -> bool {
        false
    }

    /// Waits until no device accesses the memory any more for what was asked of it here.
    ///
    /// # Errors
    ///
    /// `ETIMEDOUT`: one still does. The memory must never be used again.
    fn settle(&self) -> Result {
        Ok(())
    }
}

/// Nothing is attached.
#[allow(dead_code)] // It depends on the configuration what is attached.
pub(crate) struct Nothing;

impl Extension for Nothing {
    fn attach(_pdev: &platform::Device<Core<'_>>) -> Result<Self> {
        Ok(Self)
    }
}

/// What a device lends to user space until it is unbound.
pub(crate) struct Lent<X: Extension> {
    // Dropped before the memory that it accesses.
    extension: X,
    buffer: Buffer,
}

impl<X: Extension> Lent<X> {
    /// Returns what is attached to the buffer.
    pub(crate) fn extension(&self) -> &X {
        &self.extension
    }
}

impl<X: Extension> Deref for Lent<X> {
    type Target = Buffer;

    fn deref(&self) -> &Buffer {
        &self.buffer
    }
}

impl<X: Extension> Drop for Lent<X> {
    fn drop(&mut self) {
        // A device that ran out of time and still is at it may yet write: to nobody's memory, then.
        if self.extension.settle().is_err() {
            self.buffer.abandon();
        }
    }
}

/// A buffer shared with user space, until its device is unbound.
#[pin_data]
pub(crate) struct SharedBuffer<X: Extension> {
    /// Lists the VMAs that map the buffer.
    space: Arc<AddressSpace>,
    length: Length,
    #[pin]
    lent: SleepableRevocable<Lent<X>>,
    /// Notified when the buffer has been revoked.
    #[pin]
    revoked: PollCondVar,
    /// The name that the device tree gives the buffer, if it gives one.
    pub(crate) label: Option<CString>,
    /// The accesses of the CPUs to a cached buffer.
    #[pin]
    pub(crate) brackets: Brackets,
}

impl<X: Extension> SharedBuffer<X> {
    /// Allocates a buffer of `length` for `pdev`, and attaches to it what is to be attached.
    ///
    /// # Errors
    ///
    /// The log has the reason.
    ///
    /// - `EOPNOTSUPP`: the kernel encrypts memory.
    /// - As [`Extension::attach`], [`Buffer::allocate`], and what else is called here.
    pub(crate) fn new(pdev: &platform::Device<Core<'_>>, length: Length) -> Result<Arc<Self>> {
        let label = label::read(pdev)?;
        // There `dma_pgprot()` adds `pgprot_decrypted()`, which `mprotect()` would take away again:
        // user space would see another alias of the memory than the device does.
        if memory::is_encrypted() {
            dev_err!(
                pdev,
                "this kernel encrypts memory: user space cannot share what the device sees\n"
            );
            return Err(EOPNOTSUPP);
        }
        dma_mask::set(pdev)?;
        let extension = X::attach(pdev)?;
        let this: &Device<Bound> = pdev.as_ref();
        let dev = extension.dma_device().unwrap_or(this);

        if extension.dma_device().is_some() {
            refused::for_another_device(this)?;
        }
        let space = Arc::pin_init(AddressSpace::new(), GFP_KERNEL)?;
        let buffer = if cached::is_asked_for(this)? {
            cached::allocate(this, dev, length, space.clone())?
        } else {
            memory_region::allocate(pdev, dev, length, space.clone())?
        };

        Arc::pin_init(
            try_pin_init!(Self {
                space,
                length,
                lent <- SleepableRevocable::new(Lent { extension, buffer }),
                revoked <- new_poll_condvar!("SharedBuffer::revoked"),
                label,
                brackets <- Brackets::new(),
            }),
            GFP_KERNEL,
        )
    }

    /// Takes the buffer away from everybody and frees it. May sleep.
    ///
    /// To be called before the device is unbound; it is harmless to call it twice.
    pub(crate) fn revoke(&self) {
        self.space.close_to_importers();
        if self.lent.revoke() {
            self.revoked.notify_all();
        }
    }

    /// Takes the buffer away if what is attached to it has to go before the machine is switched off or
    /// restarted. Otherwise leaves it: a device that user space has told of it may still write to it, so
    /// that the memory must not become anybody else's. May sleep.
    pub(crate) fn shut_down(&self) {
        let goes = self
            .borrow()
            .is_ok_and(|lent| lent.extension().goes_at_shutdown());
        // The guard is gone: revoking would wait for it.
        if goes {
            self.revoke();
        }
    }

    /// Returns what is notified when the buffer has been revoked.
    pub(crate) fn revoked(&self) -> &PollCondVar {
        &self.revoked
    }

    /// Borrows the buffer; while the guard lives it is not revoked.
    ///
    /// # Errors
    ///
    /// `ENODEV` if it has been.
    pub(crate) fn borrow(&self) -> Result<Guard<'_, Lent<X>>> {
        self.lent.try_access().ok_or(ENODEV)
    }

    /// Returns the length, which does not change, not even by revocation.
    pub(crate) fn length(&self) -> Length {
        self.length
    }

    /// Returns the address space that lists the VMAs that map the buffer.
    pub(crate) fn address_space(&self) -> &AddressSpace {
        &self.space
    }

    /// Sets up a VMA; nothing is mapped before it is touched.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: the VMA is not `MAP_SHARED`, as private copies of DMA memory mean nothing; or
    ///   it reaches past the end of the buffer.
    /// - `EACCES`: `PROT_EXEC`. A later `mprotect()` gets the same answer.
    /// - `ENODEV`: the device was unbound.
    pub(crate) fn map(&self, vma: NewVma<'_, Self>) -> Result<Installed> {
        let buffer = self.borrow()?;

        if !vma.is_shared() {
            return Err(EINVAL);
        }
        if !self.length.contains_pages(vma.pgoff(), vma.page_count()) {
            return Err(EINVAL);
        }
        vma.forbid_execution()?;

        buffer.mark_used();
        if buffer.memory().pages().is_some() {
            return Ok(vma.install_pages());
        }
        Ok(vma.install(buffer.memory().memory_type()))
    }
}

#[vtable]
impl<X: Extension> VmOperations for SharedBuffer<X> {
    fn fault(this: ArcBorrow<'_, Self>, fault: &Fault<'_>) -> Outcome {
        let Ok(buffer) = this.borrow() else {
            return Outcome::SIGBUS;
        };

        // What else the page table has entries for is mapped along: a task that touches one page mostly
        // touches the next. PFNs that do not follow each other are mapped one by one.
        let touched = fault.pgoff();
        let around = this.length.around(touched, ptes_per_table());
        let first = around.start;
        if let Some(run) = buffer.memory().run(around) {
            fault.insert(first, run)
        } else if let Some(run) = buffer.memory().run(touched..touched + 1) {
            fault.insert(touched, run)
        } else {
            Outcome::SIGBUS
        }
    }

    fn huge_fault(this: ArcBorrow<'_, Self>, fault: &PmdFault<'_>) -> Outcome {
        let Ok(buffer) = this.borrow() else {
            return Outcome::SIGBUS;
        };

        fault
            .pages()
            .and_then(|pages| buffer.memory().run(pages))
            .map_or(Outcome::FALLBACK, |run| fault.insert(run))
    }

    fn access(this: ArcBorrow<'_, Self>, position: usize, transfer: Transfer<'_>) -> Result<usize> {
        let buffer = this.borrow()?;

        Ok(match transfer {
            Transfer::Read(destination) => buffer.peek(position, destination),
            Transfer::Write(source) => buffer.poke(position, source),
        })
    }
}
