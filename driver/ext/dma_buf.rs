// SPDX-License-Identifier: GPL-2.0

//! dma-bufs: memory of a driver that other devices import, behind a file descriptor.
//!
//! A driver implements [`Exporter`] for the object that owns its memory; [`export`] gives out file
//! descriptors. A dma-buf owns a reference to the object, and so outlives the device: each method has to
//! cope with a device that is gone.
//!
//! # Lifetimes
//!
//! What an importer has of the memory, a [`Mapping`] for its device or an address in the kernel's, contains
//! a [`Use`]: dropping the memory waits for those ([`Importers::revoke`]).
//!
//! User space maps a dma-buf as it maps the driver's own files: its VMAs are listed in the same
//! [`AddressSpace`], and have the same operations. They keep the dma-buf's file, which owns the reference
//! to the object until it is released.
//!
//! # Locks
//!
//! `map_dma_buf()`, `unmap_dma_buf()`, `vmap()` and `vunmap()` are called with the dma-buf's reservation
//! lock held; the others are not.
//!
//! # Coherency
//!
//! An importer maps the pages themselves, and sees the CPUs' caches exactly if the object's own device
//! does; others are refused. So what synchronises the memory with one of the devices synchronises it with
//! all of them.
//!
//! C header: [`include/linux/dma-buf.h`](srctree/include/linux/dma-buf.h)

pub(crate) mod importers;
pub(crate) mod shared;

use super::{
    address_space::AddressSpace,
    ffi,
    new_vma::{
        Installed,
        NewVma, //
    },
    vm_fault::VmOperations, //
};
use core::{
    marker::PhantomData,
    mem::MaybeUninit,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    dma::DataDirection,
    error::{
        from_err_ptr,
        to_result, //
    },
    ffi::{
        c_int,
        c_void, //
    },
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        ArcBorrow,
        Mutex, //
    },
    types::ForeignOwnable, //
};
use shared::{
    Mapping,
    Shared,
    Use, //
};

/// An object whose memory other devices may import.
pub(crate) trait Exporter: VmOperations {
    /// Returns the address space that lists the mappings of the object's files.
    fn address_space(&self) -> &AddressSpace;

    /// Refuses if the memory is not there any more: by `ENODEV`.
    fn is_there(&self) -> Result;

    /// Returns the memory, for a device to be mapped for.
    fn share(&self) -> Result<Shared>;

    /// Returns the address of the memory in the kernel's own mapping, and what keeps it.
    fn address(&self) -> Result<(*mut u8, Use)>;

    /// Has the CPUs find what the object's own device has written.
    fn begin_cpu_access(&self, direction: DataDirection) -> Result;

    /// Has the object's own device find what the CPUs have written.
    fn end_cpu_access(&self, direction: DataDirection) -> Result;

    /// Sets up a new VMA of the dma-buf.
    fn mmap(this: ArcBorrow<'_, Self>, vma: NewVma<'_, Self>) -> Result<Installed>;
}

/// Returns a new file descriptor, open for reading and writing and closed on exec, of a new dma-buf of
/// `size` bytes of the memory of `this`.
///
/// # Errors
///
/// - `EMFILE`, `ENFILE`, `ENOMEM`.
/// - `ENODEV`: the memory is being taken away.
/// - `EOPNOTSUPP`: the kernel has no dma-bufs (`CONFIG_DMA_SHARED_BUFFER`).
pub(crate) fn export<T: Exporter>(this: ArcBorrow<'_, T>, size: usize) -> Result<isize> {
    let importers = this.address_space().importers();
    let export = || {
        let object = KBox::pin_init(
            pin_init!(Object {
                this: ForeignArc::new(Arc::from(this)),
                address <- new_mutex!(None, "Object::address"),
            }),
            GFP_KERNEL,
        )?;
        let object = object.into_foreign();

        // SAFETY: The operations are those of dma-bufs whose private data is an `Object<T>`, which is the
        // dma-buf's until `release()`; it keeps the address space, in which the file's VMAs are listed.
        let buf = from_err_ptr(unsafe {
            ffi::faultline_dma_buf_export(
                &Operations::<T>::TABLE,
                size,
                object,
                this.address_space().as_ptr(),
            )
        })
        // SAFETY: There is no dma-buf that has the object.
        .inspect_err(|_| drop(unsafe { Pin::<KBox<Object<T>>>::from_foreign(object) }))?;
        NonNull::new(buf).ok_or(ENOMEM)
    };

    // SAFETY: The closure returns the only reference to a dma-buf whose `release()` calls `forget()` of
    // this very value; the other table has the same operations without `vmap()`.
    unsafe { importers.file_descriptor(&Operations::<T>::REVOKED, export) }
}

/// What a dma-buf owns.
#[pin_data]
struct Object<T: Exporter> {
    this: ForeignArc<T>,
    /// Keeps the memory as long as an importer has its address.
    #[pin]
    address: Mutex<Option<Use>>,
}

/// A foreign `Arc<T>`, which the VMAs of a dma-buf borrow.
///
/// # Invariants
///
/// The pointer came from `Arc::<T>::into_foreign()`, and the reference is this value's.
struct ForeignArc<T: 'static>(*mut c_void, PhantomData<Arc<T>>);

// SAFETY: It is an `Arc<T>`.
unsafe impl<T: Send + Sync> Send for ForeignArc<T> {}

// SAFETY: It is an `Arc<T>`.
unsafe impl<T: Send + Sync> Sync for ForeignArc<T> {}

impl<T: 'static> ForeignArc<T> {
    fn new(this: Arc<T>) -> Self {
        // INVARIANT: As it says.
        Self(this.into_foreign(), PhantomData)
    }

    fn borrow(&self) -> ArcBorrow<'_, T> {
        // SAFETY: By the type invariants; the reference is dropped after the borrow has ended.
        unsafe { Arc::<T>::borrow(self.0) }
    }
}

impl<T: 'static> Drop for ForeignArc<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants the reference is this value's.
        drop(unsafe { Arc::<T>::from_foreign(self.0) });
    }
}

/// The C operations of a dma-buf of `T`.
///
/// The functions are called for dma-bufs of this table, whose private data is a foreign
/// `Pin<KBox<Object<T>>>` until `release()`.
struct Operations<T: Exporter>(PhantomData<T>);

impl<T: Exporter> Operations<T> {
    /// Returns the object of a dma-buf.
    ///
    /// # Safety
    ///
    /// `buf` must be a dma-buf of this table, and not be released during `'a`.
    unsafe fn object<'a>(buf: *mut bindings::dma_buf) -> Pin<&'a Object<T>> {
        // SAFETY: By the safety requirements the private data is the dma-buf's object.
        unsafe { Pin::<KBox<Object<T>>>::borrow((*buf).priv_) }
    }

    /// # Safety
    ///
    /// `buf` must be a dma-buf of this table.
    unsafe extern "C" fn attach(
        buf: *mut bindings::dma_buf,
        _attachment: *mut bindings::dma_buf_attachment,
    ) -> c_int {
        // SAFETY: By the safety requirements; the importer has a reference to the dma-buf.
        status(unsafe { Self::object(buf) }.this.borrow().is_there())
    }

    /// # Safety
    ///
    /// `attachment` must be one of a dma-buf of this table, whose reservation lock is held.
    unsafe extern "C" fn map(
        attachment: *mut bindings::dma_buf_attachment,
        direction: bindings::dma_data_direction,
    ) -> *mut bindings::sg_table {
        // SAFETY: By the safety requirements; the importer has a reference to the dma-buf.
        let object = unsafe { Self::object((*attachment).dmabuf) };

        let mapping = object.this.borrow().share().and_then(|shared| {
            // SAFETY: The attachment is valid. The importer's device stays until the attachment goes, for
            // which the importer unmaps the memory first.
            unsafe {
                let dev = NonNull::new((*attachment).dev).ok_or(EINVAL)?;
                Mapping::new(shared, dev, direction_of(direction))
            }
        });
        match mapping {
            Ok(mapping) => mapping.into_foreign().cast(),
            Err(error) => error.to_ptr(),
        }
    }

    /// # Safety
    ///
    /// As [`map`](Self::map), which has returned `table`.
    unsafe extern "C" fn unmap(
        _attachment: *mut bindings::dma_buf_attachment,
        table: *mut bindings::sg_table,
        _direction: bindings::dma_data_direction,
    ) {
        // SAFETY: By the safety requirements the table is the beginning of a mapping that `map()` has made,
        // and not used after this.
        drop(unsafe { KBox::<Mapping>::from_foreign(table.cast()) });
    }

    /// # Safety
    ///
    /// `buf` must be a dma-buf of this table whose last reference has gone.
    unsafe extern "C" fn release(buf: *mut bindings::dma_buf) {
        // SAFETY: By the safety requirements nothing uses the object after this: VMAs, attachments and
        // addresses each keep a reference to the dma-buf.
        let object = unsafe { Pin::<KBox<Object<T>>>::from_foreign((*buf).priv_) };

        if let Some(buf) = NonNull::new(buf) {
            object.this.borrow().address_space().importers().forget(buf);
        }
    }

    /// # Safety
    ///
    /// `buf` must be a dma-buf of this table.
    unsafe extern "C" fn begin_cpu_access(
        buf: *mut bindings::dma_buf,
        direction: bindings::dma_data_direction,
    ) -> c_int {
        // SAFETY: By the safety requirements; the caller has a reference to the dma-buf.
        let object = unsafe { Self::object(buf) };
        let this = object.this.borrow();
        let direction = direction_of(direction);
        let is_write = direction != DataDirection::FromDevice;

        // `dma_buf_begin_cpu_access()` waits only after this call, which would be too early for what a device
        // is still writing.
        // SAFETY: As above. The reservation lock is not held.
        let wait = || to_result(unsafe { ffi::faultline_dma_buf_wait(buf, is_write) });
        // What is gone has nothing to wait for.
        status(
            this.is_there()
                .and_then(|()| wait())
                .and_then(|()| this.begin_cpu_access(direction)),
        )
    }

    /// # Safety
    ///
    /// `buf` must be a dma-buf of this table.
    unsafe extern "C" fn end_cpu_access(
        buf: *mut bindings::dma_buf,
        direction: bindings::dma_data_direction,
    ) -> c_int {
        // SAFETY: By the safety requirements; the caller has a reference to the dma-buf.
        let object = unsafe { Self::object(buf) };
        let direction = direction_of(direction);
        status(object.this.borrow().end_cpu_access(direction))
    }

    /// # Safety
    ///
    /// `vma` must be a VMA that is being made, of the file of `buf`, a dma-buf of this table.
    unsafe extern "C" fn mmap(
        buf: *mut bindings::dma_buf,
        vma: *mut bindings::vm_area_struct,
    ) -> c_int {
        // SAFETY: By the safety requirements; the VMA has a reference to the dma-buf's file.
        let object = unsafe { Self::object(buf) };
        let mut desc = MaybeUninit::uninit();

        // SAFETY: By the safety requirements. The function initialises the whole description.
        unsafe {
            bindings::compat_set_desc_from_vma(desc.as_mut_ptr(), (*buf).file, vma);
        }
        // SAFETY: The description is this function's, and `object` owns the `Arc<T>` until the dma-buf is
        // released, which its file delays.
        let described = unsafe { NewVma::from_raw(desc.as_mut_ptr(), object.this.0) }
            .and_then(|new_vma| T::mmap(object.this.borrow(), new_vma));
        match described {
            // SAFETY: The description is that of the VMA, which is still being made.
            Ok(Installed { .. }) => unsafe { bindings::__compat_vma_mmap(desc.as_mut_ptr(), vma) },
            Err(error) => error.to_errno(),
        }
    }

    /// # Safety
    ///
    /// `buf` must be a dma-buf of this table, whose reservation lock is held, and that has no address
    /// yet; `map` is the caller's.
    unsafe extern "C" fn vmap(buf: *mut bindings::dma_buf, map: *mut bindings::iosys_map) -> c_int {
        // SAFETY: By the safety requirements; the importer has a reference to the dma-buf.
        let object = unsafe { Self::object(buf) };

        status(object.this.borrow().address().map(|(address, memory)| {
            *object.address.lock() = Some(memory);
            // SAFETY: By the safety requirements the structure may be written to.
            unsafe {
                (*map).__bindgen_anon_1.vaddr = address.cast();
                (*map).is_iomem = false;
            }
        }))
    }

    /// # Safety
    ///
    /// As [`vmap`](Self::vmap), which has returned the address.
    unsafe extern "C" fn vunmap(buf: *mut bindings::dma_buf, _map: *mut bindings::iosys_map) {
        // SAFETY: By the safety requirements; the importer has a reference to the dma-buf.
        let object = unsafe { Self::object(buf) };

        *object.address.lock() = None;
    }

    const TABLE: bindings::dma_buf_ops = bindings::dma_buf_ops {
        attach: Some(Self::attach),
        map_dma_buf: Some(Self::map),
        unmap_dma_buf: Some(Self::unmap),
        release: Some(Self::release),
        begin_cpu_access: Some(Self::begin_cpu_access),
        end_cpu_access: Some(Self::end_cpu_access),
        mmap: Some(Self::mmap),
        vmap: Some(Self::vmap),
        vunmap: Some(Self::vunmap),
        ..pin_init::zeroed()
    };

    /// Those of a dma-buf whose memory goes ([`Importers::close`](importers::Importers::close)).
    const REVOKED: bindings::dma_buf_ops = bindings::dma_buf_ops {
        vmap: None,
        ..Self::TABLE
    };
}

/// Returns what C expects.
fn status(result: Result) -> c_int {
    result.map_or_else(Error::to_errno, |()| 0)
}

/// Returns what an `enum dma_data_direction` says.
fn direction_of(direction: bindings::dma_data_direction) -> DataDirection {
    match direction {
        bindings::dma_data_direction::DMA_TO_DEVICE => DataDirection::ToDevice,
        bindings::dma_data_direction::DMA_FROM_DEVICE => DataDirection::FromDevice,
        _ => DataDirection::Bidirectional,
    }
}
