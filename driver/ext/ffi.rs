// SPDX-License-Identifier: GPL-2.0

//! The C functions of `helpers.c`, and what it takes to call C with Rust's types.

use core::ptr::from_ref;
use kernel::{
    bindings,
    device::{
        Device,
        DeviceContext, //
    },
    ffi::{
        c_char,
        c_int,
        c_uint,
        c_ulong,
        c_void, //
    }, //
};

/// Returns the C structure of a device, as `Device::as_raw()` does inside the kernel crate:
/// `Device` is a transparent wrapper of `struct device`.
pub(super) fn raw_device<Ctx: DeviceContext>(dev: &Device<Ctx>) -> *mut bindings::device {
    from_ref(dev).cast_mut().cast()
}

/// What a walk of the page table answers; the layout is that of `struct faultline_walk`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct Walk {
    /// `PAR_EL1` for a load.
    pub(super) load: u64,
    /// `PAR_EL1` for a store.
    pub(super) store: u64,
    /// How many bytes the entry maps, or zero if that is not known.
    pub(super) entry_size: u64,
}

/// `struct dma_chan`, `include/linux/dmaengine.h`: only pointed at.
#[repr(C)]
pub(super) struct DmaChan {
    _private: [u8; 0],
}

/// `DMA_COMPLETE` of `enum dma_status`, `include/linux/dmaengine.h`.
pub(super) const DMA_COMPLETE: c_uint = 0;

/// `DMA_IN_PROGRESS` of `enum dma_status`.
pub(super) const DMA_IN_PROGRESS: c_uint = 1;

// Which structures have no members, and so look strange to the lint, depends on the kernel's
// configuration (`lockdep_map` without CONFIG_LOCKDEP). They are only pointed at.
#[allow(improper_ctypes)]
extern "C" {
    /// `dev_is_dma_coherent()`, `include/linux/dma-map-ops.h`.
    pub(super) fn faultline_dev_is_dma_coherent(dev: *mut bindings::device) -> bool;

    /// Applies `pgprot_dmacoherent()`, an architecture's macro, to an area's page protection.
    pub(super) fn faultline_vma_set_dmacoherent(vma: *mut bindings::vm_area_struct);

    /// Makes a shared area a private one.
    #[cfg(faultline_mutant = "private-copy")]
    pub(super) fn faultline_vma_set_private(vma: *mut bindings::vm_area_struct);

    /// Applies `pgprot_noncached()`, an architecture's macro, to an area's page protection.
    #[cfg(faultline_mutant = "device-memory")]
    pub(super) fn faultline_vma_set_noncached(vma: *mut bindings::vm_area_struct);

    /// Maps `pages` frames from `pfn` on at `addr`, where nothing is mapped yet, with special
    /// entries that are dirty if the area is writable.
    pub(super) fn faultline_insert_pages(
        vmf: *mut bindings::vm_fault,
        addr: c_ulong,
        pfn: c_ulong,
        pages: c_ulong,
    ) -> bindings::vm_fault_t;

    /// `vmf_insert_pfn_pmd()`, `mm/huge_memory.c`, for blocks of its order; `VM_FAULT_FALLBACK`
    /// for others, and without `CONFIG_TRANSPARENT_HUGEPAGE`.
    pub(super) fn faultline_insert_block(
        vmf: *mut bindings::vm_fault,
        pfn: c_ulong,
        order: c_uint,
    ) -> bindings::vm_fault_t;

    /// The frame behind a mapped kernel address, in the linear map or in the vmalloc range.
    pub(super) fn faultline_vaddr_to_pfn(vaddr: *const c_void) -> c_ulong;

    /// `totalram_pages()`, `include/linux/mm.h`.
    pub(super) fn faultline_totalram_pages() -> c_ulong;

    /// `pagefault_disable()`, `include/linux/uaccess.h`.
    pub(super) fn faultline_pagefault_disable();

    /// `pagefault_enable()`, `include/linux/uaccess.h`.
    pub(super) fn faultline_pagefault_enable();

    /// `dma_request_chan()`, `drivers/dma/dmaengine.c`: a channel, or an error pointer; that is
    /// `-ENODEV` without `CONFIG_DMA_ENGINE`.
    pub(super) fn faultline_dma_request(
        dev: *mut bindings::device,
        name: *const c_char,
    ) -> *mut DmaChan;

    /// `dma_release_channel()`, `drivers/dma/dmaengine.c`.
    pub(super) fn faultline_dma_release(chan: *mut DmaChan);

    /// `dmaengine_get_dma_device()`, `include/linux/dmaengine.h`.
    pub(super) fn faultline_dma_device(chan: *mut DmaChan) -> *mut bindings::device;

    /// Whether the engine copies from memory to memory.
    pub(super) fn faultline_dma_can_copy(chan: *mut DmaChan) -> bool;

    /// What addresses and lengths of copies must be multiples of.
    pub(super) fn faultline_dma_copy_alignment(chan: *mut DmaChan) -> usize;

    /// Has the channel begin to copy; returns what to ask for its state by, or an error number.
    pub(super) fn faultline_dma_start_copy(
        chan: *mut DmaChan,
        destination: bindings::dma_addr_t,
        source: bindings::dma_addr_t,
        length: usize,
    ) -> c_int;

    /// `dma_async_is_tx_complete()`, `include/linux/dmaengine.h`.
    pub(super) fn faultline_dma_status(chan: *mut DmaChan, cookie: c_int) -> c_uint;

    /// `dmaengine_terminate_sync()`, `include/linux/dmaengine.h`.
    pub(super) fn faultline_dma_stop(chan: *mut DmaChan) -> c_int;

    /// `FMODE_WRITE`, `include/linux/fs.h`, of an open file.
    pub(super) fn faultline_may_write(file: *const bindings::file) -> bool;

    /// `cpu_online()`, `include/linux/cpumask.h`, for the number of a CPU.
    pub(super) fn faultline_cpu_is_online(cpu: c_uint) -> bool;

    /// A reference to an inode made by `anon_inode_create_getfile()`, `fs/anon_inodes.c`, that no
    /// file is left on; or an error pointer.
    pub(super) fn faultline_anon_inode(name: *const c_char) -> *mut bindings::inode;

    /// Has the CPU translate an address of the calling task, with user space's rights;
    /// `-EOPNOTSUPP` if the CPU cannot, `-EFAULT` if the address is not one of user space.
    pub(super) fn faultline_translate_user(addr: c_ulong, walk: *mut Walk) -> c_int;

    /// Has the CPU translate a kernel address; `-EOPNOTSUPP` if it cannot.
    pub(super) fn faultline_translate_kernel(addr: *const c_void, walk: *mut Walk) -> c_int;
}
