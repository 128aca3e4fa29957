// SPDX-License-Identifier: GPL-2.0

//! Misc devices that exist once per bound device.
//!
//! `kernel::miscdevice` registers one device per driver, under a name known at build time, and
//! tells `open()` nothing but that. Here each [`Registration`] has a name and an instance of its
//! own, `open()` gets the instance, and there are `llseek()`, and an
//! [address space](AddressSpace) that all files of the instance share.
//!
//! C header: [`include/linux/miscdevice.h`](srctree/include/linux/miscdevice.h)

use super::{
    address_space::AddressSpace,
    copy::{
        Destination,
        Source,
        UserMemory, //
    },
    ffi,
    new_vma::{
        Installed,
        NewVma, //
    },
    open_flags,
    position::{
        transfer,
        write_at, //
    },
    sysfs::{
        Attributes,
        ClassDevice,
        Group, //
    }, //
};
use core::{
    marker::PhantomData,
    mem::offset_of, //
};
use kernel::{
    bindings,
    device::{
        Bound,
        Device, //
    },
    error::to_result,
    ffi::{
        c_char,
        c_int,
        c_long,
        c_uint,
        c_ulong, //
    },
    fs::{
        file::flags,
        File,
        LocalFile, //
    },
    iov::{
        IovIterDest,
        IovIterSource, //
    },
    module::this_module,
    prelude::*,
    str::CString,
    sync::{
        poll::PollTable,
        Arc,
        ArcBorrow, //
    },
    types::{
        ForeignOwnable,
        Opaque, //
    }, //
};

/// A device that can be opened, read, written, controlled and mapped.
///
/// Every open file holds a reference to the instance, and so outlives the registration: each
/// method has to cope with a device that is gone.
#[vtable]
pub(crate) trait Instance: Attributes + Send + Sync + Sized + 'static {
    /// Returns the address space that lists the mappings of every file of this instance.
    fn address_space(&self) -> &AddressSpace;

    /// Allows or refuses a new open file.
    fn open(&self) -> Result;

    /// Returns the size in bytes, for `llseek()`.
    fn size(&self) -> Result<usize>;

    /// Reads from byte `position` on and returns how many bytes.
    fn read<D: Destination>(&self, position: usize, destination: &mut D) -> Result<usize>;

    /// Writes from byte `position` on and returns how many bytes.
    fn write<S: Source>(&self, position: usize, source: &mut S) -> Result<usize>;

    /// Carries out the command `cmd` with its argument; `ENOTTY` if there is no such command.
    ///
    /// `read()`, `write()` and `mmap_prepare()` are not called where the mode of the file does not allow
    /// them; this always is, and `file` has the mode.
    fn ioctl(this: ArcBorrow<'_, Self>, file: &LocalFile, cmd: u32, arg: usize) -> Result<isize>;

    /// An open file goes: nothing else is called for it any more.
    fn release(&self, _file: &LocalFile) {}

    /// Describes a new VMA of a file of this instance.
    fn mmap_prepare(this: ArcBorrow<'_, Self>, vma: NewVma<'_, Self>) -> Result<Installed>;

    /// Returns the events that have happened (`EPOLLIN` and its like), and registers for those to
    /// come.
    fn poll(&self, file: &File, table: PollTable<'_>) -> u32;
}

/// What [`Instance::poll`] answers where neither reading nor writing waits: `EPOLLIN`, `EPOLLOUT` and
/// their like.
pub(crate) const READY: u32 =
    bindings::POLLIN | bindings::POLLOUT | bindings::POLLRDNORM | bindings::POLLWRNORM;

/// What [`Instance::poll`] answers where the device is gone: `EPOLLHUP`, `EPOLLERR`.
pub(crate) const HANGUP: u32 = bindings::POLLHUP | bindings::POLLERR;

/// A registered misc device.
///
/// Files that are open when it is dropped stay open, on their reference to the instance.
///
/// # Invariants
///
/// `misc` is registered with `misc_register()`, with the operations of [`Operations<T>`], and its
/// name is `name`.
#[pin_data(PinnedDrop)]
pub(crate) struct Registration<T: Instance> {
    name: CString,
    instance: Arc<T>,
    #[pin]
    misc: Opaque<bindings::miscdevice>,
}

// SAFETY: A misc device may be deregistered by another thread than has registered it, and `Instance`
// requires that the instance may be sent and shared.
unsafe impl<T: Instance> Send for Registration<T> {}

// SAFETY: `&self` gives access to nothing.
unsafe impl<T: Instance> Sync for Registration<T> {}

impl<T: Instance> Registration<T> {
    /// Registers `instance` as `/dev/NAME`, below `parent` in sysfs.
    ///
    /// # Errors
    ///
    /// - `EBUSY`: no minor number is left.
    /// - Whatever `device_create()` answers, such as `EEXIST` for a name that is taken.
    pub(crate) fn new<'a>(
        parent: &'a Device<Bound>,
        name: CString,
        instance: Arc<T>,
    ) -> impl PinInit<Self, Error> + 'a
    where
        T: 'a,
    {
        // The string is on the heap, and does not move with `name`.
        let raw_name = name.as_char_ptr();

        // The order matters: `open()` can be called as soon as `misc` is registered.
        try_pin_init!(Self {
            name,
            instance,
            // INVARIANT: If this succeeds the device is registered.
            misc <- Opaque::try_ffi_init(move |slot: *mut bindings::miscdevice| {
                let mut misc: bindings::miscdevice = pin_init::zeroed();
                // CAST: The constant is 255.
                misc.minor = bindings::MISC_DYNAMIC_MINOR as c_int;
                misc.name = raw_name;
                misc.fops = &Operations::<T>::VTABLE;
                misc.parent = ffi::raw_device(parent);
                misc.groups = Group::<Self>::groups();

                // SAFETY: `slot` is memory for the structure, which nothing refers to yet.
                unsafe { slot.write(misc) };

                // SAFETY: `slot` was just written, and does not move: it is deregistered,
                // in `drop()`, before its memory and the name go. `parent` is alive, and the
                // device holds a reference to it.
                to_result(unsafe { bindings::misc_register(slot) })
            }),
        })
    }

    /// Returns the instance of the registration that a misc device belongs to.
    ///
    /// # Safety
    ///
    /// `misc` must be the misc device of a `Registration<T>`, which is not dropped during `'a`.
    unsafe fn instance_of<'a>(misc: *mut bindings::miscdevice) -> &'a Arc<T> {
        let registration = misc
            .cast::<Opaque<bindings::miscdevice>>()
            .wrapping_byte_sub(offset_of!(Registration<T>, misc))
            .cast::<Registration<T>>();

        // SAFETY: By the safety requirements. Only the one field is referred to, as
        // `Registration::new()` may not have returned yet.
        unsafe { &(*registration).instance }
    }
}

impl<T: Instance> ClassDevice for Registration<T> {
    type Object = T;

    unsafe fn object<'a>(dev: *mut bindings::device) -> &'a T {
        // SAFETY: `misc_register()` has left the misc device in the driver data of the class device, and
        // `misc_deregister()` removes the device before the registration goes.
        unsafe { Self::instance_of(bindings::dev_get_drvdata(dev).cast()) }
    }
}

#[pinned_drop]
impl<T: Instance> PinnedDrop for Registration<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariants the device is registered.
        unsafe { bindings::misc_deregister(self.misc.get()) };
    }
}

/// The C operations of files on `T`.
///
/// All but `open()` are called for files that `open()` has succeeded on, so that their private
/// data is a foreign `Arc<T>`, which belongs to the file until `release()`.
struct Operations<T: Instance>(PhantomData<T>);

impl<T: Instance> Operations<T> {
    /// Returns the instance that an open file refers to.
    ///
    /// # Safety
    ///
    /// `file` must be a file of this table, and must not be released during `'a`.
    unsafe fn instance<'a>(file: *mut bindings::file) -> ArcBorrow<'a, T> {
        // SAFETY: By the safety requirements the private data is the file's `Arc<T>`.
        unsafe { Arc::<T>::borrow((*file).private_data) }
    }

    /// # Safety
    ///
    /// `file` must be in its `open()`, on a misc device that a [`Registration<T>`] has registered.
    unsafe extern "C" fn open(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: `misc_open()` has left the misc device in the private data.
        let misc = unsafe { (*file).private_data.cast::<bindings::miscdevice>() };

        // SAFETY: `misc` is a field of a `Registration<T>`. `misc_open()` holds `misc_mtx`, which
        // `misc_deregister()` takes: the registration is not dropped meanwhile.
        let instance = unsafe { Registration::<T>::instance_of(misc) };

        // SAFETY: The file is being opened.
        if let Err(error) = unsafe { open_flags::check(file) }.and_then(|()| instance.open()) {
            return error.to_errno();
        }

        // SAFETY: The file is being opened, and `inode` is its own; the function reads both.
        let status = unsafe { bindings::generic_file_open(inode, file) };
        if status != 0 {
            return status;
        }

        // SAFETY: The file is being opened, so that nothing has mapped it, and from the next
        // statement on it keeps the instance, and so the address space, alive until `release()`.
        unsafe { instance.address_space().adopt(file) };

        // SAFETY: The file is being opened, so that nobody else knows of it, and `misc_open()` does not
        // use the private data again.
        unsafe { (*file).private_data = instance.clone().into_foreign() };

        0
    }

    /// # Safety
    ///
    /// `file` must be a file of this table that is being released.
    unsafe extern "C" fn release(_inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: By the safety requirements; nobody else has the file any more.
        unsafe { Self::instance(file).release(LocalFile::from_raw_file(file)) };

        // SAFETY: The file owns the reference, and is not used after this.
        drop(unsafe { Arc::<T>::from_foreign((*file).private_data) });
        0
    }

    /// # Safety
    ///
    /// `file` must be a file of this table.
    unsafe extern "C" fn llseek(
        file: *mut bindings::file,
        offset: bindings::loff_t,
        whence: c_int,
    ) -> bindings::loff_t {
        // SAFETY: By the safety requirements; the caller of the system call holds a reference to the file
        // until this returns.
        let instance = unsafe { Self::instance(file) };

        match instance.size() {
            // SAFETY: The file is valid, and the function is made to be called by an `llseek()`. CAST: No
            // object has more than `isize::MAX` bytes.
            Ok(size) => unsafe {
                bindings::fixed_size_llseek(file, offset, whence, size as bindings::loff_t)
            },
            Err(error) => error.to_errno().into(),
        }
    }

    /// `read()` and `pread()`. `readv()`, io_uring and their like come to `read_iter()`.
    ///
    /// # Safety
    ///
    /// `file` must be a file of this table, `access_ok()` be true of `address` and `length`, and
    /// `position` be the caller's.
    unsafe extern "C" fn read(
        file: *mut bindings::file,
        address: *mut c_char,
        length: usize,
        position: *mut bindings::loff_t,
    ) -> isize {
        // SAFETY: By the safety requirements; the caller holds a reference to the file.
        let (instance, position, mut destination) = unsafe {
            (
                Self::instance(file),
                &mut *position,
                UserMemory::from_raw(address, length),
            )
        };

        transfer(position, |position| {
            instance.read(position, &mut destination)
        })
    }

    /// # Safety
    ///
    /// `kiocb` must be a request on a file of this table, and `iter` a valid destination.
    unsafe extern "C" fn read_iter(
        kiocb: *mut bindings::kiocb,
        iter: *mut bindings::iov_iter,
    ) -> isize {
        // SAFETY: The request and the iterator are the caller's, for the duration of this call,
        // and the file of a request is not released before it ends.
        let (instance, position, iter) = unsafe {
            (
                Self::instance((*kiocb).ki_filp),
                &mut (*kiocb).ki_pos,
                IovIterDest::from_raw(iter),
            )
        };

        transfer(position, |position| instance.read(position, iter))
    }

    /// `write()` and `pwrite()`. `writev()`, io_uring and their like come to `write_iter()`.
    ///
    /// # Safety
    ///
    /// `file` must be a file of this table, `access_ok()` be true of `address` and `length`, and
    /// `position` be the caller's.
    unsafe extern "C" fn write(
        file: *mut bindings::file,
        address: *const c_char,
        length: usize,
        position: *mut bindings::loff_t,
    ) -> isize {
        // SAFETY: By the safety requirements; the caller holds a reference to the file. The position in
        // the file itself is not looked at here: `position` is the caller's copy.
        let (instance, file, position, mut source) = unsafe {
            (
                Self::instance(file),
                LocalFile::from_raw_file(file),
                &mut *position,
                UserMemory::from_raw(address.cast_mut(), length),
            )
        };

        let is_append = file.flags() & flags::O_APPEND != 0;
        write_at(
            is_append,
            position,
            || instance.size(),
            |position| instance.write(position, &mut source),
        )
    }

    /// # Safety
    ///
    /// `kiocb` must be a request on a file of this table, and `iter` a valid source.
    unsafe extern "C" fn write_iter(
        kiocb: *mut bindings::kiocb,
        iter: *mut bindings::iov_iter,
    ) -> isize {
        // SAFETY: The request and the iterator are the caller's, for the duration of this call,
        // and the file of a request is not released before it ends.
        let (instance, position, iter, is_append) = unsafe {
            (
                Self::instance((*kiocb).ki_filp),
                &mut (*kiocb).ki_pos,
                IovIterSource::from_raw(iter),
                ffi::faultline_is_append(kiocb),
            )
        };

        write_at(
            is_append,
            position,
            || instance.size(),
            |position| instance.write(position, iter),
        )
    }

    /// # Safety
    ///
    /// `file` must be a file of this table.
    unsafe extern "C" fn ioctl(file: *mut bindings::file, cmd: c_uint, arg: c_ulong) -> c_long {
        // SAFETY: By the safety requirements; the caller of the system call holds a reference to
        // the file. This thread has not called `fdget_pos()`, and the position that another thread may
        // use at this time is not looked at here.
        let (instance, file) = unsafe { (Self::instance(file), LocalFile::from_raw_file(file)) };

        match T::ioctl(instance, file, cmd, arg) {
            // CAST: `isize` and `c_long` have the same width.
            Ok(value) => value as c_long,
            Err(error) => error.to_errno() as c_long,
        }
    }

    /// # Safety
    ///
    /// `desc` must describe a VMA that a file of this table is to be mapped in.
    unsafe extern "C" fn mmap_prepare(desc: *mut bindings::vm_area_desc) -> c_int {
        // SAFETY: By the safety requirements; the file of the description is not released before the
        // call has ended, and owns its `Arc<T>` until then.
        let (instance, vma) = unsafe {
            let file = (*desc).file;
            (
                Self::instance(file),
                NewVma::from_raw(desc, (*file).private_data),
            )
        };

        match vma.and_then(|vma| T::mmap_prepare(instance, vma)) {
            Ok(Installed { .. }) => 0,
            Err(error) => error.to_errno(),
        }
    }

    /// # Safety
    ///
    /// `file` must be a file of this table, and `table` null or a valid poll table.
    unsafe extern "C" fn poll(
        file: *mut bindings::file,
        table: *mut bindings::poll_table,
    ) -> bindings::__poll_t {
        // SAFETY: By the safety requirements; the caller holds a reference to the file. What `File` asks
        // of `fdget_pos()` is about the position, which files of character devices have without a lock
        // (`FMODE_ATOMIC_POS` is for regular files and directories). Nobody here looks at it:
        // `poll_wait()` takes a reference to the file, and `Instance::poll()` has no way to it.
        let (instance, file, table) = unsafe {
            (
                Self::instance(file),
                File::from_raw_file(file),
                PollTable::from_raw(table),
            )
        };

        instance.poll(file, table)
    }

    const VTABLE: bindings::file_operations = bindings::file_operations {
        owner: this_module::<T::OwnerModule>().as_ptr(),
        open: Some(Self::open),
        release: Some(Self::release),
        llseek: Some(Self::llseek),
        read: Some(Self::read),
        write: Some(Self::write),
        read_iter: Some(Self::read_iter),
        write_iter: Some(Self::write_iter),
        unlocked_ioctl: Some(Self::ioctl),
        #[cfg(CONFIG_COMPAT)]
        compat_ioctl: bindings::compat_ptr_ioctl,
        mmap_prepare: Some(Self::mmap_prepare),
        poll: Some(Self::poll),
        fasync: Some(open_flags::fasync),
        // What is written is there: for the device, too.
        fsync: Some(bindings::noop_fsync),
        // VMAs that are large enough begin where PMDs do.
        #[cfg(CONFIG_TRANSPARENT_HUGEPAGE)]
        get_unmapped_area: Some(bindings::thp_get_unmapped_area),
        ..pin_init::zeroed()
    };
}
