// SPDX-License-Identifier: GPL-2.0

//! Page-fault handlers for VMAs.
//!
//! A driver that maps memory of its own into user space implements [`VmOperations`] and, in its
//! `mmap_prepare()`, [installs](super::new_vma::NewVma::install) the implementation on the new VMA.
//! From then on the kernel calls [`VmOperations::fault`] whenever user space touches a page of the
//! VMA that is not there. The handler answers with an [`Outcome`], and the only way to make the one
//! that lets the access go on is to [insert](Fault::insert) PFNs.
//!
//! # Lifetimes
//!
//! A VMA is served by the object that its file owns a reference to. Every VMA owns a reference to
//! its file, in `vm_file`: the kernel takes one when it makes the VMA, and one more when a VMA is
//! split, copied by `fork()` or moved by `mremap()`; it drops the VMA's when it frees the VMA. So the
//! object outlives each VMA, and there is no count of our own that could go wrong.
//!
//! # The kernel's conditions
//!
//! Where page-table entries can be special, VMAs are `VM_MIXEDMAP`: they may hold PFNs with and
//! without a `struct page`, neither of which the kernel counts, and `/proc/PID/pagemap` shows them.
//! Where they cannot, VMAs are `VM_PFNMAP`, which pagemap skips: there the kernel would count what it
//! finds in a `VM_MIXEDMAP` one. In a `VM_PFNMAP` one it counts nothing, unless the VMA is private.
//! docs/vm-fault.md has the argument.
//!
//! VMAs are `VM_IO` as well. It says what is true, that nobody but the driver may look at the
//! pages, and it is what keeps `get_user_pages()` away from PMDs: it finds special entries of
//! single pages by themselves, but not those of PMDs (`follow_huge_pmd()` in mm/gup.c), and
//! would take, and drop, references to pages that are not counted.
//!
//! # What runs beside a fault
//!
//! The VMA's lock, which a fault holds for reading, keeps out `munmap()`, `mremap()`, `mprotect()`
//! and `fork()`, which take it for writing. `madvise()`, another fault and `unmap_mapping_range()`
//! run at the same time. Both insertions look at the entry under the lock of its table, and change it
//! only if it is empty; and with `CONFIG_PT_RECLAIM` the page table itself may have gone since the
//! fault began, which `helpers.c` looks at, too. (Of a `VM_PFNMAP` VMA `madvise()` takes nothing away.)
//!
//! C header: [`include/linux/mm.h`](srctree/include/linux/mm.h)

pub(crate) mod page;

use super::{
    address_space::AddressSpace,
    ffi,
    run::Run, //
};
use core::{
    marker::PhantomData,
    mem::MaybeUninit,
    ops::Range,
    slice, //
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

/// What a driver does when a page of one of its VMAs is touched.
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
    /// the VMA held for reading; several CPUs may be here at once, for the same page too. May
    /// sleep, and must not touch user memory.
    fn fault(this: ArcBorrow<'_, Self>, fault: &Fault<'_>) -> Outcome;

    /// Answers an access to an address where nothing is mapped by a whole PMD, before
    /// [`fault`](Self::fault) is asked for the page.
    ///
    /// A PMD is an entry of the level above page tables, and maps 2 MiB on arm64 with 4 KiB pages. With [`Outcome::FALLBACK`] the kernel goes on with single pages. The context is
    /// that of `fault`.
    ///
    /// This method is optional.
    fn huge_fault(_this: ArcBorrow<'_, Self>, _fault: &PmdFault<'_>) -> Outcome {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Reads or writes the VMA's memory for a debugger (`ptrace()`, `/proc/PID/mem`), from byte
    /// `position` of the file on, and returns how many bytes.
    ///
    /// The kernel asks when it cannot get hold of the pages, which it cannot with those of a
    /// [`Run`]. Runs in the debugger's context, with the lock of the VMA's `mm` held for
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

/// What a debugger wants of a VMA's memory.
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
/// `vmf` points at a fault that the kernel is asking about, for the duration of `'a`: the VMA's
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

    /// Returns the VMA that was touched.
    fn vma(&self) -> &VmaRef {
        // SAFETY: By the type invariants the VMA's lock is held, for longer than `self` lives.
        unsafe { VmaRef::from_raw(self.raw().vma) }
    }

    /// Returns which page of the file was touched: the VMA's offset in the file, plus the
    /// distance of the address from the VMA's start, in pages.
    pub(crate) fn pgoff(&self) -> usize {
        self.raw().pgoff
    }

    /// Maps `run` so that its first PFN is page `first` of the file.
    ///
    /// That must include the page that was touched; others are mapped along as a favour. PFNs
    /// that would lie outside the VMA, or outside the page table that has the entry of the page
    /// touched, are left out, and so are pages that are mapped already: if another CPU was faster,
    /// its entry stays. The entries have the VMA's page protection, and are dirty from the start
    /// if it is writable, so that a store does not fault twice.
    ///
    /// Answers [`Outcome::SIGBUS`] if the page that was touched is not in the run, or if the VMA
    /// is not one of the address space that the PFNs' memory is tied to: that memory, when it
    /// goes, could not be taken back. The same of a private VMA where entries cannot be special.
    #[inline]
    pub(crate) fn insert(&self, first: usize, run: Run<'_>) -> Outcome {
        let raw = self.raw();
        let vma = self.vma();
        let space = run.address_space();
        if !self.is_of(space) {
            return Outcome::SIGBUS;
        }

        // How many pages there are before the one that was touched, and from it on: in the run, in
        // the VMA and in the page table.
        let Some(before) = raw.pgoff.checked_sub(first) else {
            return Outcome::SIGBUS;
        };
        let Some(from) = run.length().checked_sub(before).filter(|&from| from > 0) else {
            return Outcome::SIGBUS;
        };
        let per_table = ptes_per_table();
        let in_table = (raw.address >> PAGE_SHIFT) % per_table;
        let back = before
            .min((raw.address - vma.start()) >> PAGE_SHIFT)
            .min(in_table);
        let count = back
            + from
                .min((vma.end() - raw.address) >> PAGE_SHIFT)
                .min(per_table - in_table);

        let vmf = self.vmf.get();
        let address = raw.address - (back << PAGE_SHIFT);
        let pfn = run.first() + (before - back);
        // SAFETY:
        // - The VMA is locked for reading and is of the kind that the function wants
        //   (those that install these operations set the flags, which are never cleared); where
        //   entries cannot be special, the function itself refuses a private one. By the computation
        //   above the pages are in it and in one table.
        // - By the type invariants of `run` the PFNs are of allocated memory; before it is freed, the
        //   address space that this VMA belongs to is unmapped.
        let mut outcome = unsafe { ffi::faultline_insert_pages(vmf, address, pfn, count) };
        if outcome == Outcome::FALLBACK.0 {
            let _guard = space.lock_insertion();
            // SAFETY: As above. `_guard` keeps PMD entries out, as below.
            outcome = unsafe { ffi::faultline_insert_table(vmf, address, pfn, count) };
        }
        Outcome(outcome)
    }

    /// Returns whether the VMA is one of `space`.
    fn is_of(&self, space: &AddressSpace) -> bool {
        // SAFETY: The VMA is valid and locked, so that its file does not change; a VMA with
        // our operations has one, as those that install them do so for VMAs of files.
        let mapping = unsafe { (*(*self.raw().vma).vm_file).f_mapping };
        mapping == space.as_ptr()
    }
}

/// Returns how many entries a page table has: pages that are this close to each other, by multiples of
/// it, share one.
pub(crate) fn ptes_per_table() -> usize {
    // SAFETY: It is a constant of C's.
    unsafe { ffi::faultline_ptes_per_table }
}

/// A fault where nothing is mapped by a whole PMD.
///
/// # Invariants
///
/// As [`Fault`]; and the kernel has asked for an entry of `1 << order` pages.
pub(crate) struct PmdFault<'a> {
    fault: Fault<'a>,
    order: c_uint,
}

impl PmdFault<'_> {
    /// Returns which pages of the file the entry would map, or `None` if it would reach out of
    /// the VMA.
    #[inline]
    pub(crate) fn pages(&self) -> Option<Range<usize>> {
        let raw = self.fault.raw();
        let vma = self.fault.vma();
        let length = PAGE_SIZE << self.order;

        let start = raw.address & !(length - 1);
        if start < vma.start() || vma.end() - start < length {
            return None;
        }

        let first = raw.pgoff - ((raw.address - start) >> PAGE_SHIFT);
        Some(first..first + (1 << self.order))
    }

    /// Maps `run`, in one entry, around the address that was touched.
    ///
    /// Answers [`Outcome::FALLBACK`] if that cannot be: `run` is not of the entry's length, not
    /// aligned to it, the entry would reach out of the VMA, or the architecture has none.
    #[inline]
    pub(crate) fn insert(&self, run: Run<'_>) -> Outcome {
        let length = 1 << self.order;
        if run.length() != length || run.first() % length != 0 || self.pages().is_none() {
            return Outcome::FALLBACK;
        }
        let space = run.address_space();
        if !self.fault.is_of(space) {
            return Outcome::SIGBUS;
        }

        // The function looks whether the entry is empty, and then has the kernel insert one: no page
        // table may come in between. Only an insertion could bring one, as the entry lies in one VMA.
        let _guard = space.lock_insertion();
        // SAFETY:
        // - The VMA is locked for reading, is of the kind that the function wants, and holds all of
        //   the entry; the PFNs are aligned as the entry is.
        // - All PFNs of `run` are of allocated memory, and unmapped before it is freed, as in
        //   `Fault::insert()`.
        Outcome(unsafe { ffi::faultline_insert_pmd(self.fault.vmf.get(), run.first(), self.order) })
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

    /// There is no PMD to map: the kernel calls `fault` for the page. Only an answer to
    /// [`VmOperations::huge_fault`]; [`VmOperations::fault`] turns it into [`Self::SIGBUS`].
    pub(crate) const FALLBACK: Self = Self(bindings::vm_fault_reason_VM_FAULT_FALLBACK);
}

/// The C operations of VMAs that `T` serves.
///
/// The functions are called for VMAs that `install()` of [`NewVma`](super::new_vma::NewVma) has
/// set up with the same `T`, as nothing else names this table; so `vm_private_data` is
/// the pointer to a `T` that the VMA's file owns a
/// reference to, as a foreign `Arc<T>`, until it is released. A VMA keeps its file.
pub(super) struct VmOperationsVTable<T: VmOperations>(PhantomData<T>);

impl<T: VmOperations> VmOperationsVTable<T> {
    /// A copy of a VMA has been made, by `fork()`, a split or a move.
    ///
    /// # Safety
    ///
    /// `vma` must be a VMA of this table that is being made, and that nobody else can find yet.
    unsafe extern "C" fn open(vma: *mut bindings::vm_area_struct) {
        // A child's copy begins without entries, and faults for itself. `copy_huge_pmd()` in
        // mm/huge_memory.c reads the parent's PMD before it takes the lock, and does not look again:
        // it would hand on an entry that `AddressSpace::unmap_all()` has taken away meanwhile
        // (docs/upstream/). `dup_mmap()` in mm/mmap.c looks at this flag right after this call, so
        // that it is set here, where `MADV_KEEPONFORK` cannot clear it.
        //
        // SAFETY: By the safety requirements nobody else reads or writes the flags.
        unsafe { (*vma).__bindgen_anon_2.vm_flags |= flags::WIPEONFORK };
    }

    /// A page is not there.
    ///
    /// # Safety
    ///
    /// `vmf` must describe a fault in a VMA of this table, which is locked for reading.
    unsafe extern "C" fn fault(vmf: *mut bindings::vm_fault) -> bindings::vm_fault_t {
        // INVARIANT: By the safety requirements.
        let fault = Fault {
            // SAFETY: The structure is valid while the fault is being handled. `Opaque` allows
            // for the members that the kernel changes.
            vmf: unsafe { &*vmf.cast() },
            _not_send: NotThreadSafe,
        };

        // SAFETY: The VMA is one of this table, and locked for as long as `fault` lives.
        let data = unsafe { Self::data(fault.vma()) };

        match T::fault(data, &fault) {
            Outcome(answer) if answer == Outcome::FALLBACK.0 => Outcome::SIGBUS.0,
            Outcome(answer) => answer,
        }
    }

    /// Nothing is mapped by a whole PMD.
    ///
    /// # Safety
    ///
    /// As [`fault`](Self::fault).
    unsafe extern "C" fn huge_fault(
        vmf: *mut bindings::vm_fault,
        order: c_uint,
    ) -> bindings::vm_fault_t {
        // INVARIANT: By the safety requirements.
        let fault = PmdFault {
            fault: Fault {
                // SAFETY: As in `fault()`.
                vmf: unsafe { &*vmf.cast() },
                _not_send: NotThreadSafe,
            },
            order,
        };

        // SAFETY: The VMA is one of this table, and locked for as long as `fault` lives.
        let data = unsafe { Self::data(fault.fault.vma()) };

        T::huge_fault(data, &fault).0
    }

    /// A debugger wants to read or write.
    ///
    /// # Safety
    ///
    /// `vma` must be a VMA of this table, locked for reading; `address` must lie in it; and
    /// `buffer` must be `length` bytes of kernel memory that are the caller's own.
    unsafe extern "C" fn access(
        vma: *mut bindings::vm_area_struct,
        address: c_ulong,
        buffer: *mut c_void,
        length: c_int,
        write: c_int,
    ) -> c_int {
        // SAFETY: By the safety requirements.
        let (locked, data) = unsafe { (VmaRef::from_raw(vma), Self::data(VmaRef::from_raw(vma))) };
        let Ok(length) = usize::try_from(length) else {
            return EINVAL.to_errno();
        };

        // The kernel leaves it to this function to obey the VMA's protection. A debugger may look
        // at what the task could make readable, but may write only what the task may write now:
        // the same as for shared VMAs whose pages the kernel gets hold of.
        let needed = if write != 0 {
            flags::WRITE
        } else {
            flags::MAYREAD
        };
        if locked.flags() & needed == 0 {
            return EACCES.to_errno();
        }

        // A copy ends with the VMA: what is beyond belongs to another.
        let length = length.min(locked.end() - address);
        // SAFETY: The VMA is locked for reading.
        let first = unsafe { (*vma).vm_pgoff } << PAGE_SHIFT;
        let position = first + (address - locked.start());

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

    /// Returns what serves a VMA.
    ///
    /// # Safety
    ///
    /// `vma` must be one of this table.
    unsafe fn data(vma: &VmaRef) -> ArcBorrow<'_, T> {
        // SAFETY: The VMA is one of this table: the pointer is that of the `Arc<T>` which its file
        // owns. The VMA keeps the file, and is not freed while it is locked, which by the invariants
        // of `VmaRef` it is for as long as the borrow lives.
        unsafe { Arc::<T>::borrow((*vma.as_ptr()).vm_private_data) }
    }

    pub(super) const VTABLE: bindings::vm_operations_struct = bindings::vm_operations_struct {
        open: Some(Self::open),
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
