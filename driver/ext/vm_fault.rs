// SPDX-License-Identifier: GPL-2.0

//! Page-fault handlers for memory areas.
//!
//! A driver that maps memory of its own into user space implements [`VmOperations`] and, in its
//! `mmap()`, [installs](NewArea::install) the implementation on the new area. From then on the
//! kernel calls [`VmOperations::fault`] whenever user space touches a page of the area that is
//! not there. The handler answers with an [`Outcome`], and the only way to make the one that
//! lets the access go on is to [insert](Fault::insert) frames.
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
//! `/proc/PID/pagemap` shows the frames, which it does not in `VM_PFNMAP` areas. All entries are
//! special, so that the kernel looks at no `struct page`.
//!
//! Areas are `VM_IO` as well. It says what is true, that nobody but the driver may look at the
//! pages, and it is what keeps `get_user_pages()` away from blocks: it finds special entries of
//! single pages by themselves, but not those of blocks (`follow_huge_pmd()` in mm/gup.c), and
//! would take, and drop, references to frames that are not counted.
//!
//! C header: [`include/linux/mm.h`](srctree/include/linux/mm.h)

use super::{
    address_space::AddressSpace,
    coherent::Run,
    ffi, //
};
use core::{
    marker::PhantomData,
    mem::MaybeUninit,
    ops::{
        Deref,
        Range, //
    },
    slice,
};
use kernel::{
    bindings,
    error::VTABLE_DEFAULT_ERROR,
    ffi::{
        c_int,
        c_uint,
        c_ulong,
        c_void, //
    },
    mm::virt::{
        flags,
        VmaNew,
        VmaRef, //
    },
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
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
///         let page = fault.pgoff();
///         match this.memory.run(page..page + 1) {
///             Some(run) => fault.insert(page, run),
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

    /// Answers an access to an address where nothing is mapped in a whole block, before
    /// [`fault`](Self::fault) is asked for the page.
    ///
    /// A block is what one entry of a higher page-table level maps, 2 MiB on arm64 with 4 KiB
    /// pages. With [`Outcome::FALLBACK`] the kernel goes on with single pages. The context is
    /// that of `fault`.
    ///
    /// This method is optional.
    fn huge_fault(_this: ArcBorrow<'_, Self>, _fault: &BlockFault<'_>) -> Outcome {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Reads or writes the area's memory for a debugger (`ptrace()`, `/proc/PID/mem`), from byte
    /// `position` of the file on, and returns how many bytes.
    ///
    /// The kernel asks when it cannot get hold of the pages, which it cannot with those of a
    /// [`Run`]. Runs in the debugger's context, with the lock of the area's `mm` held for
    /// reading. May sleep.
    ///
    /// This method is optional.
    fn access(
        _this: ArcBorrow<'_, Self>,
        _position: usize,
        _transfer: Transfer<'_>,
    ) -> Result<usize> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}

/// What a debugger wants of an area's memory.
pub(crate) enum Transfer<'a> {
    /// Memory is to be copied here.
    Read(&'a mut [MaybeUninit<u8>]),
    /// This is to be copied to memory.
    Write(&'a [u8]),
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
    pub(crate) fn pgoff(&self) -> usize {
        self.raw().pgoff
    }

    /// Maps `run` so that its first frame is page `first` of the file.
    ///
    /// That must include the page that was touched; others are mapped along as a favour. Frames
    /// that would lie outside the area, or outside the page table that has the entry of the page
    /// touched, are left out, and so are pages that are mapped already: if another CPU was faster,
    /// its entry stays. The entries have the area's page protection, and are dirty from the start
    /// if it is writable, so that a store does not fault twice.
    ///
    /// Answers [`Outcome::SIGBUS`] if the page that was touched is not in the run, or if the area
    /// is not one of the address space that the frames' memory is tied to: that memory, when it
    /// goes, could not be taken back.
    pub(crate) fn insert(&self, first: usize, run: Run<'_>) -> Outcome {
        let raw = self.raw();
        let area = self.area();
        let space = run.address_space();
        if !self.is_of(space) {
            return Outcome::SIGBUS;
        }

        // How many pages there are before the one that was touched, and from it on: in the run, in
        // the area and in the page table.
        let Some(before) = raw.pgoff.checked_sub(first) else {
            return Outcome::SIGBUS;
        };
        let Some(from) = run.length().checked_sub(before).filter(|&from| from > 0) else {
            return Outcome::SIGBUS;
        };
        let in_table = (raw.address >> PAGE_SHIFT) % ENTRIES_PER_TABLE;
        let back = before
            .min((raw.address - area.start()) >> PAGE_SHIFT)
            .min(in_table);
        let count = back
            + from
                .min((area.end() - raw.address) >> PAGE_SHIFT)
                .min(ENTRIES_PER_TABLE - in_table);

        let _guard = space.lock_insertion();
        // SAFETY:
        // - The area is locked for reading and is `VM_MIXEDMAP` (`NewArea::install()`, and the
        //   flag is never cleared), and by the computation above the pages are in it and in one
        //   table. The insertion lock keeps blocks from coming in between.
        // - The frames are allocated, as `run` borrows their memory; before the memory is freed,
        //   the address space that this area belongs to is unmapped (see `coherent.rs`).
        Outcome(unsafe {
            ffi::faultline_insert_pages(
                self.vmf.get(),
                raw.address - (back << PAGE_SHIFT),
                run.first() + (before - back),
                count,
            )
        })
    }

    /// Returns whether the area is one of `space`.
    fn is_of(&self, space: &AddressSpace) -> bool {
        // SAFETY: The area is valid and locked, so that its file does not change; an area with
        // our operations has one, as `NewArea` stands for an area of a file.
        let mapping = unsafe { (*(*self.raw().vma).vm_file).f_mapping };
        mapping == space.as_ptr()
    }
}

/// How many entries the lowest level of page tables has at least, on any architecture: pages that
/// are this close to each other, by multiples of it, share a table.
const ENTRIES_PER_TABLE: usize = 256;

/// A fault in a block of which nothing is mapped.
///
/// # Invariants
///
/// As [`Fault`]; and the kernel has asked for an entry of `1 << order` pages.
pub(crate) struct BlockFault<'a> {
    fault: Fault<'a>,
    order: c_uint,
}

impl BlockFault<'_> {
    /// Returns which pages of the file the block would map, or `None` if it would reach out of
    /// the area.
    pub(crate) fn pages(&self) -> Option<Range<usize>> {
        let raw = self.fault.raw();
        let area = self.fault.area();
        let length = PAGE_SIZE << self.order;

        let start = raw.address & !(length - 1);
        if start < area.start() || area.end() - start < length {
            return None;
        }

        let first = raw.pgoff - ((raw.address - start) >> PAGE_SHIFT);
        Some(first..first + (1 << self.order))
    }

    /// Maps `run`, in one entry, at the block that was touched.
    ///
    /// Answers [`Outcome::FALLBACK`] if that cannot be: `run` is not of the block's length, not
    /// aligned to it, the block reaches out of the area, or the architecture has no such entries.
    pub(crate) fn insert(&self, run: Run<'_>) -> Outcome {
        let length = 1 << self.order;
        if run.length() != length || run.first() % length != 0 || self.pages().is_none() {
            return Outcome::FALLBACK;
        }
        let space = run.address_space();
        if !self.fault.is_of(space) {
            return Outcome::SIGBUS;
        }

        let _guard = space.lock_insertion();
        // SAFETY:
        // - The area is locked for reading, is `VM_MIXEDMAP`, and holds the whole block; the
        //   frames are aligned as the entry is.
        // - All frames of `run` are allocated, and unmapped before they are freed, as in
        //   `Fault::insert()`.
        Outcome(unsafe {
            ffi::faultline_insert_block(self.fault.vmf.get(), run.first(), self.order)
        })
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

    /// There is no block to map: the kernel shall ask for the page. Only an answer to
    /// [`VmOperations::huge_fault`]; [`VmOperations::fault`] turns it into [`Self::SIGBUS`].
    pub(crate) const FALLBACK: Self = Self(bindings::vm_fault_reason_VM_FAULT_FALLBACK);
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
    pub(crate) fn pgoff(&self) -> usize {
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
    ///
    /// If `T` has [`VmOperations::huge_fault`] the area is marked as `madvise(MADV_HUGEPAGE)`
    /// would, as its memory costs nothing more in blocks; the administrator's `never` and the
    /// user's `MADV_NOHUGEPAGE` are obeyed.
    pub(crate) fn install<T: VmOperations>(
        self,
        memory_type: MemoryType,
        data: Arc<T>,
    ) -> Installed {
        self.set_mixedmap();
        self.set_io();
        self.set_dontexpand();
        self.set_dontdump();

        let vma = self.as_ptr();
        if memory_type == MemoryType::DmaCoherent {
            // SAFETY: The area is being set up by this task and has no pages yet.
            unsafe { ffi::faultline_vma_set_dmacoherent(vma) };
        }

        if T::HAS_HUGE_FAULT && cfg!(CONFIG_TRANSPARENT_HUGEPAGE) {
            // SAFETY: The area is being set up by this task, and the flag is one that user space
            // may set on any area.
            unsafe { (*vma).__bindgen_anon_2.vm_flags |= flags::HUGEPAGE };
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

        // A child's copy begins without entries, and faults for itself. `copy_huge_pmd()` in
        // mm/huge_memory.c reads the parent's entry of a block before it takes the lock, and does
        // not look again: it would hand on a block that `AddressSpace::unmap_all()` has taken away
        // meanwhile. `dup_mmap()` in mm/mmap.c looks at this flag right after this call, so that
        // it is set here, where `MADV_KEEPONFORK` cannot clear it.
        //
        // SAFETY: The area is locked for writing.
        unsafe { (*vma).__bindgen_anon_2.vm_flags |= flags::WIPEONFORK };
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

        // SAFETY: The area is one of this table, and locked for as long as `fault` lives.
        let data = unsafe { Self::data(fault.area()) };

        match T::fault(data, &fault) {
            Outcome(answer) if answer == Outcome::FALLBACK.0 => Outcome::SIGBUS.0,
            Outcome(answer) => answer,
        }
    }

    /// Nothing is there in a whole block.
    ///
    /// # Safety
    ///
    /// As [`fault`](Self::fault).
    unsafe extern "C" fn huge_fault(
        vmf: *mut bindings::vm_fault,
        order: c_uint,
    ) -> bindings::vm_fault_t {
        // INVARIANT: By the safety requirements.
        let fault = BlockFault {
            fault: Fault {
                // SAFETY: As in `fault()`.
                vmf: unsafe { &*vmf.cast() },
                _not_send: NotThreadSafe,
            },
            order,
        };

        // SAFETY: The area is one of this table, and locked for as long as `fault` lives.
        let data = unsafe { Self::data(fault.fault.area()) };

        T::huge_fault(data, &fault).0
    }

    /// A debugger wants to read or write.
    ///
    /// # Safety
    ///
    /// `vma` must be an area of this table, locked for reading; `address` must lie in it; and
    /// `buffer` must be `length` bytes of kernel memory that are the caller's own.
    unsafe extern "C" fn access(
        vma: *mut bindings::vm_area_struct,
        address: c_ulong,
        buffer: *mut c_void,
        length: c_int,
        write: c_int,
    ) -> c_int {
        // SAFETY: By the safety requirements.
        let (area, data) = unsafe { (VmaRef::from_raw(vma), Self::data(VmaRef::from_raw(vma))) };
        let Ok(length) = usize::try_from(length) else {
            return EINVAL.to_errno();
        };

        // The kernel leaves it to this function to obey the area's protection. A debugger may look
        // at what the task could make readable, but may write only what the task may write now:
        // the same as for shared areas whose pages the kernel gets hold of.
        let needed = if write != 0 {
            flags::WRITE
        } else {
            flags::MAYREAD
        };
        if area.flags() & needed == 0 {
            return EACCES.to_errno();
        }

        // A copy ends with the area: what is beyond belongs to another.
        let length = length.min(area.end() - address);
        // SAFETY: The area is locked for reading.
        let first = unsafe { (*vma).vm_pgoff } << PAGE_SHIFT;
        let position = first + (address - area.start());

        let transfer = if write != 0 {
            // SAFETY: By the safety requirements; initialised, as it is to be written.
            Transfer::Write(unsafe { slice::from_raw_parts(buffer.cast(), length) })
        } else {
            // SAFETY: By the safety requirements; it need not be initialised.
            Transfer::Read(unsafe { slice::from_raw_parts_mut(buffer.cast(), length) })
        };

        match T::access(data, position, transfer) {
            // CAST: No more than `length`, which came as a `c_int`.
            Ok(copied) => copied.min(length) as c_int,
            Err(error) => error.to_errno(),
        }
    }

    /// Returns what serves an area.
    ///
    /// # Safety
    ///
    /// `area` must be one of this table.
    unsafe fn data(area: &VmaRef) -> ArcBorrow<'_, T> {
        // SAFETY: The area owns a reference, and cannot be closed while it is locked, which by
        // the invariants of `VmaRef` it is.
        unsafe { Arc::<T>::borrow((*area.as_ptr()).vm_private_data) }
    }

    const VTABLE: bindings::vm_operations_struct = bindings::vm_operations_struct {
        open: Some(Self::open),
        close: Some(Self::close),
        fault: Some(Self::fault),
        huge_fault: if T::HAS_HUGE_FAULT {
            Some(Self::huge_fault)
        } else {
            None
        },
        access: if T::HAS_ACCESS {
            Some(Self::access)
        } else {
            None
        },
        ..pin_init::zeroed()
    };
}
