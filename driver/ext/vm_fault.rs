// SPDX-License-Identifier: GPL-2.0

//! Page-fault handlers for memory areas.
//!
//! A driver that maps memory of its own into user space implements [`VmOperations`] and, in its
//! `mmap()`, [installs](NewArea::install) the implementation on the new area. From then on the
//! kernel calls [`VmOperations::fault`] whenever user space touches a page of the area that is
//! not there. The handler answers with an [`Outcome`], and the only way to make the one that
//! lets the access go on is to [insert](Fault::insert) a frame.
//!
//! # Lifetimes
//!
//! Each area owns a reference to the object that serves it: `install()` gives it the first, the
//! kernel's `open()` call takes one more when an area is split, copied by `fork()` or moved by
//! `mremap()`, and its `close()` call drops one. `open()` is *not* called for the first mapping,
//! as `struct vm_operations_struct` documents.
//!
//! # The kernel's conditions
//!
//! Areas are `VM_MIXEDMAP`: they may hold frames with and without a `struct page`, neither of
//! which the kernel counts. None of the `BUG_ON()`s of `mm/memory.c` can be reached with that:
//! they guard `vmf_insert_pfn*()`, which needs `VM_PFNMAP` or a frame without a page. And
//! `/proc/PID/pagemap` shows the frames, which it does not in `VM_PFNMAP` areas.
//!
//! C header: [`include/linux/mm.h`](srctree/include/linux/mm.h)

use super::{
    coherent::Frame,
    ffi, //
};
use core::{
    marker::PhantomData,
    ops::Deref, //
};
use kernel::{
    bindings,
    mm::virt::{
        flags,
        VmaNew,
        VmaRef, //
    },
    page::PAGE_SHIFT,
    prelude::*,
    sync::{
        Arc,
        ArcBorrow, //
    },
    types::{
        ForeignOwnable,
        NotThreadSafe,
        Opaque, //
    }, //
};

/// What a driver does when a page of one of its areas is touched.
///
/// # Examples
///
/// A handler that maps a buffer from its first page on, and refuses what lies beyond:
///
/// ```ignore
/// #[vtable]
/// impl VmOperations for MyBuffer {
///     fn fault(this: ArcBorrow<'_, Self>, fault: &Fault<'_>) -> Outcome {
///         match this.memory.frame(fault.page_offset()) {
///             Some(frame) => fault.insert(frame),
///             None => Outcome::SIGBUS,
///         }
///     }
/// }
/// ```
#[vtable]
pub(crate) trait VmOperations: Send + Sync + Sized + 'static {
    /// Answers an access to a page that is not mapped.
    ///
    /// Runs in the context of the task that touched the page, with the lock of its `mm` or of
    /// the area held for reading; several CPUs may be here at once, for the same page too. May
    /// sleep, and must not touch user memory.
    fn fault(this: ArcBorrow<'_, Self>, fault: &Fault<'_>) -> Outcome;
}

/// A page fault that is being handled.
///
/// # Invariants
///
/// `vmf` points at a fault that the kernel is asking about, for the duration of `'a`: the area's
/// lock is held for reading.
pub(crate) struct Fault<'a> {
    vmf: &'a Opaque<bindings::vm_fault>,
    /// The locks belong to the task.
    _not_send: NotThreadSafe,
}

impl Fault<'_> {
    /// Returns the part of the C structure that a handler may read.
    fn raw(&self) -> &bindings::vm_fault__bindgen_ty_1 {
        // SAFETY: By the type invariants the structure is valid; this part of it is constant
        // (its members are `const` in C) while the fault is handled.
        unsafe { &(*self.vmf.get()).__bindgen_anon_1 }
    }

    /// Returns the area that was touched.
    pub(crate) fn area(&self) -> &VmaRef {
        // SAFETY: By the type invariants the area's lock is held, for longer than `self` lives.
        unsafe { VmaRef::from_raw(self.raw().vma) }
    }

    /// Returns which page of the file was touched: the area's offset in the file, plus the
    /// distance of the address from the area's start, in pages.
    pub(crate) fn page_offset(&self) -> usize {
        self.raw().pgoff
    }

    /// Maps `frame` where the fault happened, with the area's page protection.
    ///
    /// If another CPU was faster and has mapped a frame there, that one stays, and the access
    /// goes on. Answers [`Outcome::SIGBUS`] if the area is not one of the address space that the
    /// frame's memory is tied to: that memory, when it goes, could not be taken back.
    pub(crate) fn insert(&self, frame: Frame<'_>) -> Outcome {
        let vma = self.raw().vma;

        // SAFETY: The area is valid and locked, so that its file does not change; an area with
        // our operations has one, as `NewArea` stands for an area of a file.
        let mapping = unsafe { (*(*vma).vm_file).f_mapping };
        if mapping != frame.address_space().as_ptr() {
            return Outcome::SIGBUS;
        }

        // SAFETY:
        // - The area is locked for reading, is `VM_MIXEDMAP` (`NewArea::install()`, and the flag
        //   is never cleared), and the address lies in it.
        // - The frame is allocated, as `frame` borrows its memory; before the memory is freed,
        //   the address space that this area belongs to is unmapped (see `coherent.rs`).
        Outcome(unsafe { bindings::vmf_insert_mixed(vma, self.raw().address, frame.number()) })
    }
}

/// How a fault ends.
///
/// That a page was mapped can only be said by mapping one, with [`Fault::insert`].
#[must_use = "the outcome is the handler's answer"]
pub(crate) struct Outcome(bindings::vm_fault_t);

impl Outcome {
    /// There is nothing at this address: the task gets a `SIGBUS`.
    pub(crate) const SIGBUS: Self = Self(bindings::vm_fault_reason_VM_FAULT_SIGBUS);
}

/// The memory type of an area's pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MemoryType {
    /// Ordinary memory, cached.
    Cached,
    /// What the architecture uses for DMA memory of devices that do not see the CPU's caches
    /// (`pgprot_dmacoherent()`); on arm64, Normal Non-cacheable.
    DmaCoherent,
}

/// An area in the `mmap()` call that creates it.
///
/// # Invariants
///
/// The area maps a file.
pub(crate) struct NewArea<'a>(&'a VmaNew);

impl<'a> NewArea<'a> {
    /// Wraps an area that is being set up.
    ///
    /// # Safety
    ///
    /// `vma` must be undergoing its initial set-up in a file's `mmap()` for the duration of `'a`.
    pub(super) unsafe fn from_raw(vma: *mut bindings::vm_area_struct) -> Self {
        // INVARIANT: By the safety requirements the area is a file's.
        // SAFETY: By the safety requirements.
        Self(unsafe { VmaNew::from_raw(vma) })
    }

    /// Returns which page of the file the area begins with.
    pub(crate) fn page_offset(&self) -> usize {
        // SAFETY: The area is being set up by this task, so that nobody changes the field.
        unsafe { (*self.as_ptr()).vm_pgoff }
    }

    /// Returns the length of the area in pages.
    pub(crate) fn page_count(&self) -> usize {
        (self.end() - self.start()) >> PAGE_SHIFT
    }

    /// Returns whether the area was asked for with `MAP_SHARED`.
    ///
    /// This looks at `VM_MAYSHARE`: the kernel clears `VM_SHARED` if the file is open for reading
    /// only.
    pub(crate) fn is_shared(&self) -> bool {
        self.flags() & flags::MAYSHARE != 0
    }

    /// Makes `data` serve the area's faults, as memory of type `memory_type`.
    ///
    /// The area cannot be expanded by `mremap()` and stays out of core dumps. This is the last
    /// thing that `mmap()` does: the value it returns is what the system call needs to succeed.
    pub(crate) fn install<T: VmOperations>(
        self,
        memory_type: MemoryType,
        data: Arc<T>,
    ) -> Installed {
        self.set_mixedmap();
        self.set_dontexpand();
        self.set_dontdump();

        let vma = self.as_ptr();
        if memory_type == MemoryType::DmaCoherent {
            // SAFETY: The area is being set up by this task and has no pages yet.
            unsafe { ffi::faultline_vma_set_dmacoherent(vma) };
        }

        // SAFETY: The area is being set up by this task. `mmap()` can no longer fail: a failure
        // would leave the reference without a `close()` to drop it.
        unsafe {
            (*vma).vm_private_data = data.into_foreign();
            (*vma).vm_ops = &VmOperationsVTable::<T>::VTABLE;
        }

        Installed(())
    }
}

impl Deref for NewArea<'_> {
    type Target = VmaNew;

    fn deref(&self) -> &VmaNew {
        self.0
    }
}

/// Proof that an area has been given its operations.
#[must_use = "mmap() has to return this"]
pub(crate) struct Installed(());

/// The C operations of areas that `T` serves.
///
/// The functions are called for areas that [`NewArea::install`] has set up with the same `T`, as
/// nothing else can name this table; so their `vm_private_data` is a foreign `Arc<T>`, of which
/// every area owns one reference.
struct VmOperationsVTable<T: VmOperations>(PhantomData<T>);

impl<T: VmOperations> VmOperationsVTable<T> {
    /// A copy of an area has been made, by `fork()`, a split or a move.
    ///
    /// # Safety
    ///
    /// `vma` must be an area of this table, locked for writing.
    unsafe extern "C" fn open(vma: *mut bindings::vm_area_struct) {
        // SAFETY: The area it was copied from, pointer and all, still owns its reference.
        let data = unsafe { Arc::<T>::borrow((*vma).vm_private_data) };

        // SAFETY: The area is locked for writing. It points at the same object as before, and
        // from here on owns a reference.
        unsafe { (*vma).vm_private_data = Arc::from(data).into_foreign() };
    }

    /// An area goes away.
    ///
    /// # Safety
    ///
    /// `vma` must be an area of this table, which is not used afterwards.
    unsafe extern "C" fn close(vma: *mut bindings::vm_area_struct) {
        // SAFETY: The area owns a reference, which is taken from it here, once.
        drop(unsafe { Arc::<T>::from_foreign((*vma).vm_private_data) });
    }

    /// A page is not there.
    ///
    /// # Safety
    ///
    /// `vmf` must describe a fault in an area of this table, which is locked for reading.
    unsafe extern "C" fn fault(vmf: *mut bindings::vm_fault) -> bindings::vm_fault_t {
        // INVARIANT: By the safety requirements.
        let fault = Fault {
            // SAFETY: The structure is valid while the fault is being handled. `Opaque` allows
            // for the members that the kernel changes.
            vmf: unsafe { &*vmf.cast() },
            _not_send: NotThreadSafe,
        };

        // SAFETY: The area owns a reference, and cannot be closed while it is locked.
        let data = unsafe { Arc::<T>::borrow((*fault.area().as_ptr()).vm_private_data) };

        T::fault(data, &fault).0
    }

    const VTABLE: bindings::vm_operations_struct = bindings::vm_operations_struct {
        open: Some(Self::open),
        close: Some(Self::close),
        fault: Some(Self::fault),
        ..pin_init::zeroed()
    };
}
