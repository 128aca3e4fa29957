// SPDX-License-Identifier: GPL-2.0

//! Read-only attributes in sysfs of the class device that a [`Registration`] makes.
//!
//! The attributes come and go with the class device: before user space hears of it, and after the last
//! read has ended.
//!
//! C header: [`include/linux/device.h`](srctree/include/linux/device.h)

use super::miscdevice::{
    Instance,
    Registration, //
};
use core::{
    marker::PhantomData,
    ptr::{
        from_ref,
        null,
        null_mut, //
    },
    slice::from_raw_parts_mut, //
};
use kernel::{
    bindings,
    ffi::c_char,
    fmt::Write as _,
    page::PAGE_SIZE,
    prelude::*,
    str::Formatter, //
};

/// What a device shows in sysfs.
pub(crate) trait Attributes: Sized + 'static {
    /// What an attribute can show.
    type Shown: Copy + 'static;

    /// The attributes that each device has: at most eight.
    const ATTRIBUTES: &'static [Attribute<Self>];

    /// Writes what an attribute shows, which is one line without its end.
    fn show(&self, shown: Self::Shown, out: &mut Formatter<'_>) -> Result;
}

/// An attribute of a device whose instance is a `T`.
///
/// # Invariants
///
/// `raw` shows the attribute by [`Group<T>::show`].
#[repr(C)]
pub(crate) struct Attribute<T: Attributes> {
    // The first field: the kernel has a pointer to it.
    raw: bindings::device_attribute,
    shown: T::Shown,
}

impl<T: Instance> Attribute<T> {
    /// Describes an attribute that everybody may read.
    pub(crate) const fn new(name: &'static CStr, shown: T::Shown) -> Self {
        Self::with_mode(name, 0o444, shown)
    }

    /// Describes an attribute that root alone may read.
    pub(crate) const fn for_root(name: &'static CStr, shown: T::Shown) -> Self {
        Self::with_mode(name, 0o400, shown)
    }

    const fn with_mode(name: &'static CStr, mode: bindings::umode_t, shown: T::Shown) -> Self {
        let mut raw: bindings::device_attribute = pin_init::zeroed();
        // `as_char_ptr()` is no constant function.
        raw.attr.name = name.to_bytes_with_nul().as_ptr();
        raw.attr.mode = mode;
        raw.__bindgen_anon_1.show = Some(Group::<T>::show);

        // INVARIANT: The function was just set.
        Self { raw, shown }
    }
}

/// The most attributes that a device can have.
const MAX: usize = 8;

/// The attributes of a device whose instance is a `T`, as the kernel wants them.
pub(super) struct Group<T: Instance>(PhantomData<T>);

impl<T: Instance> Group<T> {
    /// Returns what `struct miscdevice` has in its field `groups`.
    pub(super) const fn groups() -> *mut *const bindings::attribute_group {
        // The kernel only reads it.
        from_ref(Self::GROUPS).cast_mut().cast()
    }

    // Each list ends with a null pointer.
    const GROUPS: &'static [*const bindings::attribute_group; 2] = &[Self::GROUP, null()];

    const GROUP: &'static bindings::attribute_group = &{
        let mut group: bindings::attribute_group = pin_init::zeroed();
        group.__bindgen_anon_2.attrs = from_ref(Self::LIST).cast_mut().cast();
        group
    };

    const LIST: &'static [*mut bindings::attribute; MAX + 1] = &{
        let mut list = [null_mut(); MAX + 1];
        let mut number = 0;
        while number < T::ATTRIBUTES.len() {
            list[number] = from_ref(&T::ATTRIBUTES[number].raw.attr).cast_mut();
            number += 1;
        }
        list
    };

    /// # Safety
    ///
    /// `dev` must be the class device of a misc device that a [`Registration<T>`] has registered,
    /// `attribute` one of `T::ATTRIBUTES`, and `buffer` a page.
    unsafe extern "C" fn show(
        dev: *mut bindings::device,
        attribute: *mut bindings::device_attribute,
        buffer: *mut c_char,
    ) -> isize {
        // SAFETY: By the safety requirements; `raw` is the first field of an `Attribute<T>`, which is
        // never written to.
        let attribute = unsafe { &*attribute.cast::<Attribute<T>>() };

        // SAFETY: `misc_register()` has left the misc device in the driver data of the class device,
        // and `misc_deregister()` removes the attributes, which waits for this call, before the
        // registration goes.
        let instance =
            unsafe { Registration::<T>::instance_of(bindings::dev_get_drvdata(dev).cast()) };

        // SAFETY: sysfs hands over a page of zeroes, which is this call's alone.
        let page = unsafe { from_raw_parts_mut(buffer.cast::<u8>(), PAGE_SIZE) };
        let mut out = Formatter::new(page);

        match instance
            .show(attribute.shown, &mut out)
            .and_then(|()| Ok(out.write_char('\n')?))
        {
            // CAST: No page has more than `isize::MAX` bytes.
            Ok(()) => out.bytes_written() as isize,
            Err(error) => error.to_errno() as isize,
        }
    }
}
