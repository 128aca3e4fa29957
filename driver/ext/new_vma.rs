// SPDX-License-Identifier: GPL-2.0

//! VMAs that are being made: the `mmap_prepare()` of a file, or the `mmap()` of a dma-buf.
//!
//! `kernel::mm::virt::VmaNew` is for `mmap()`, which is deprecated: it is given a VMA, and may leave
//! one half made. [`NewVma`] is a description of a VMA. Nothing that is done to it has to
//! be undone if the kernel gives up: it takes no reference and has no state.
//!
//! C header: [`include/linux/mm_types.h`](srctree/include/linux/mm_types.h)

use super::{
    ffi,
    memory::MemoryType,
    vm_fault::{
        VmOperations,
        VmOperationsVTable, //
    }, //
};
use core::marker::PhantomData;
use kernel::{
    bindings,
    ffi::c_void,
    page::PAGE_SHIFT,
    prelude::*,
    types::NotThreadSafe, //
};

/// A VMA that is being made, and has been described so far, of a file that owns a reference to a `T`.
///
/// # Invariants
///
/// `desc` describes a VMA that is being made, for the duration of `'a`, and nobody else accesses the
/// description meanwhile. `data` is a foreign `Arc<T>`, which the VMA's file owns until it is released, and
/// the VMA will be one of this very file.
pub(crate) struct NewVma<'a, T> {
    pub(super) desc: *mut bindings::vm_area_desc,
    data: *mut c_void,
    _data: PhantomData<&'a T>,
    /// The description is on the task's stack.
    _not_send: NotThreadSafe,
}

impl<T> NewVma<'_, T> {
    /// Wraps a VMA that is being described.
    ///
    /// # Errors
    ///
    /// `EINVAL`: the VMA would belong to another file than the one that is asked, as those of file
    /// systems that stand on others do. Nothing would keep the object that is to serve it.
    ///
    /// # Safety
    ///
    /// - `desc` must describe a VMA that is being made during the lifetime of the result, in which nobody
    ///   else accesses the description.
    /// - `data` must be a foreign `Arc<T>` that the file which is asked owns until it is released.
    pub(super) unsafe fn from_raw(
        desc: *mut bindings::vm_area_desc,
        data: *mut c_void,
    ) -> Result<Self> {
        // SAFETY: By the safety requirements the description is there, and nobody else writes to it.
        if unsafe { (*desc).file != (*desc).vm_file } {
            return Err(EINVAL);
        }

        // INVARIANT: By the safety requirements and the check.
        Ok(Self {
            desc,
            data,
            _data: PhantomData,
            _not_send: NotThreadSafe,
        })
    }

    /// Returns which page of the file the VMA begins with.
    pub(crate) fn pgoff(&self) -> usize {
        // SAFETY: By the type invariants the description is there, and nobody else writes to it.
        unsafe { (*self.desc).pgoff }
    }

    /// Returns the length of the VMA in pages.
    pub(crate) fn page_count(&self) -> usize {
        // SAFETY: By the type invariants the description is there, and nobody else writes to it.
        unsafe { ((*self.desc).end - (*self.desc).start) >> PAGE_SHIFT }
    }

    /// Returns whether the VMA was asked for with `MAP_SHARED`.
    ///
    /// This looks at `VM_MAYSHARE`: the kernel clears `VM_SHARED` if the file is open for reading
    /// only.
    pub(crate) fn is_shared(&self) -> bool {
        // SAFETY: By the type invariants the description is there; the function reads its flags.
        unsafe { ffi::faultline_desc_is_shared(self.desc) }
    }

    /// Keeps the VMA from ever being made executable.
    ///
    /// # Errors
    ///
    /// `EACCES`: it is to be executable at once.
    pub(crate) fn forbid_execution(&self) -> Result {
        // SAFETY: By the type invariants the description is there, and ours to change.
        if unsafe { ffi::faultline_desc_forbid_exec(self.desc) } {
            Ok(())
        } else {
            Err(EACCES)
        }
    }
}

impl<T: VmOperations> NewVma<'_, T> {
    /// Makes the file's own `T` serve the VMA's faults, as memory of type `memory_type`.
    ///
    /// The VMA cannot be expanded by `mremap()`, is not merged with others and stays out of core dumps.
    ///
    /// If `T` has [`VmOperations::huge_fault`], the VMA is marked as `madvise(MADV_HUGEPAGE)` would, as
    /// its memory costs nothing more in PMDs; the administrator's `never` and the user's
    /// `MADV_NOHUGEPAGE` are obeyed.
    pub(crate) fn install(self, memory_type: MemoryType) -> Installed {
        let is_uncached = memory_type == MemoryType::DmaCoherent;

        // SAFETY: By the type invariants the description is valid, and ours to change. The operations are
        // those of `T`, for VMAs with the flags that the function sets.
        unsafe {
            ffi::faultline_desc_set_up(self.desc, is_uncached, T::HAS_HUGE_FAULT);
            self.install_operations(&VmOperationsVTable::<T>::VTABLE)
        }
    }

    /// Gives the VMA `operations`, and the file's own `T`.
    ///
    /// # Safety
    ///
    /// `operations` must be for VMAs whose private data is a foreign `Arc<T>` that their file owns, and
    /// the VMA must have the flags that they want.
    pub(super) unsafe fn install_operations(
        self,
        operations: &'static bindings::vm_operations_struct,
    ) -> Installed {
        // SAFETY: By the type invariants the description is valid, and ours to change, and `data` is what
        // the operations want. The VMA keeps the file, and with it the reference.
        unsafe {
            (*self.desc).private_data = self.data;
            (*self.desc).vm_ops = operations;
        }
        Installed(())
    }
}

/// Proof that a VMA has been given its operations.
#[must_use = "mmap_prepare() has to return this"]
pub(crate) struct Installed(());
