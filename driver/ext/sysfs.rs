// SPDX-License-Identifier: GPL-2.0

//! Read-only attributes in sysfs of a class device.
//!
//! The attributes come and go with the class device: before user space hears of it, and after the last
//! read has ended.
//!
//! C header: [`include/linux/device.h`](srctree/include/linux/device.h)

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

/// An object whose class device has attributes.
pub(crate) trait Attributes: 'static {
    /// What an attribute can show.
    type Shown: Copy + 'static;

    /// The attributes that each device has: at least one, and at most eight.
    const ATTRIBUTES: &'static [Attribute<Self::Shown>];

    /// Writes what an attribute shows, which is one line without its end.
    fn show(&self, shown: Self::Shown, out: &mut Formatter<'_>) -> Result;
}

/// An attribute, which shows an `S`.
pub(crate) struct Attribute<S> {
    name: &'static CStr,
    mode: bindings::umode_t,
    shown: S,
}

impl<S> Attribute<S> {
    /// Describes an attribute that everybody may read.
    pub(crate) const fn new(name: &'static CStr, shown: S) -> Self {
        Self {
            name,
            mode: 0o444,
            shown,
        }
    }

    /// Describes an attribute that root alone may read.
    pub(crate) const fn for_root(name: &'static CStr, shown: S) -> Self {
        Self {
            name,
            mode: 0o400,
            shown,
        }
    }
}

/// Class devices that belong to an object with attributes.
pub(super) trait ClassDevice: 'static {
    /// The object.
    type Object: Attributes;

    /// Returns the object that a class device belongs to.
    ///
    /// # Safety
    ///
    /// `dev` must be a class device of this kind, which is not removed during `'a`.
    unsafe fn object<'a>(dev: *mut bindings::device) -> &'a Self::Object;
}

/// The most attributes that a device can have.
const MAX: usize = 8;

/// An attribute as the kernel wants it.
#[repr(C)]
#[derive(Clone, Copy)]
struct Entry {
    // The first field: the kernel has a pointer to it.
    raw: bindings::device_attribute,
    /// Which of the attributes it is.
    number: usize,
}

/// The attributes of class devices of the kind `C`, as the kernel wants them.
pub(super) struct Group<C: ClassDevice>(PhantomData<C>);

impl<C: ClassDevice> Group<C> {
    const ATTRIBUTES: &'static [Attribute<<C::Object as Attributes>::Shown>] =
        C::Object::ATTRIBUTES;

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
        while number < Self::ATTRIBUTES.len() {
            list[number] = from_ref(&Self::ENTRIES[number].raw.attr).cast_mut();
            number += 1;
        }
        list
    };

    // What is beyond the last attribute is in no list.
    const ENTRIES: &'static [Entry; MAX] = &{
        let mut entries = [Self::entry(0); MAX];
        let mut number = 1;
        while number < Self::ATTRIBUTES.len() {
            entries[number] = Self::entry(number);
            number += 1;
        }
        entries
    };

    const fn entry(number: usize) -> Entry {
        let attribute = &Self::ATTRIBUTES[number];
        let mut raw: bindings::device_attribute = pin_init::zeroed();
        // `as_char_ptr()` is no constant function.
        raw.attr.name = attribute.name.to_bytes_with_nul().as_ptr();
        raw.attr.mode = attribute.mode;
        raw.__bindgen_anon_1.show = Some(Self::show);

        Entry { raw, number }
    }

    /// # Safety
    ///
    /// `dev` must be a class device of the kind `C`, `attribute` one of its [`ENTRIES`](Self::ENTRIES), and
    /// `buffer` a page.
    unsafe extern "C" fn show(
        dev: *mut bindings::device,
        attribute: *mut bindings::device_attribute,
        buffer: *mut c_char,
    ) -> isize {
        // SAFETY: By the safety requirements; `raw` is the first field of an `Entry`, which is never
        // written to.
        let number = unsafe { (*attribute.cast::<Entry>()).number };

        // SAFETY: By the safety requirements; the kernel removes the attributes before the device, which
        // waits for this call.
        let object = unsafe { C::object(dev) };

        // SAFETY: sysfs hands over a page of zeroes, which is this call's alone.
        let page = unsafe { from_raw_parts_mut(buffer.cast::<u8>(), PAGE_SIZE) };
        let mut out = Formatter::new(page);

        match Self::ATTRIBUTES
            .get(number)
            .ok_or(EINVAL)
            .and_then(|attribute| object.show(attribute.shown, &mut out))
            .and_then(|()| Ok(out.write_char('\n')?))
        {
            // CAST: No page has more than `isize::MAX` bytes.
            Ok(()) => out.bytes_written() as isize,
            Err(error) => error.to_errno() as isize,
        }
    }
}
