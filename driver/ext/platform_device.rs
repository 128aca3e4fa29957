// SPDX-License-Identifier: GPL-2.0

//! Platform devices that no firmware describes: a driver's own module registers them.
//!
//! C header: [`include/linux/platform_device.h`](srctree/include/linux/platform_device.h)

use super::ffi;
use core::ptr::{
    null,
    NonNull, //
};
use kernel::{
    bindings,
    device::Device,
    error::to_result,
    ffi::{
        c_char,
        c_ulong, //
    },
    prelude::*, //
};

/// A property of a device, as a node of the device tree would have it.
pub(crate) struct Property<'a> {
    pub(crate) name: &'a CStr,
    pub(crate) value: Value<'a>,
}

/// What a property has.
pub(crate) enum Value<'a> {
    /// No value: it is there.
    Present,
    U32(u32),
    U64(u64),
    Text(&'a CStr),
}

impl Property<'_> {
    /// Describes the property as the kernel wants it, which has pointers to what `self` borrows.
    fn entry(&self) -> bindings::property_entry {
        // What is inline is part of the entry itself.
        let mut entry = bindings::property_entry {
            name: self.name.as_char_ptr(),
            is_inline: true,
            ..pin_init::zeroed()
        };

        match self.value {
            // Without a length it is a property without a value.
            Value::Present => {}
            Value::U32(value) => {
                entry.type_ = bindings::dev_prop_type_DEV_PROP_U32;
                entry.length = size_of_val(&value);
                entry.__bindgen_anon_1.value.u32_data = [value, 0];
            }
            Value::U64(value) => {
                entry.type_ = bindings::dev_prop_type_DEV_PROP_U64;
                entry.length = size_of_val(&value);
                entry.__bindgen_anon_1.value.u64_data = [value];
            }
            Value::Text(text) => {
                let text = text.as_char_ptr();
                entry.type_ = bindings::dev_prop_type_DEV_PROP_STRING;
                entry.length = size_of_val(&text);
                // There is room for as many pointers as fit into 64 bits. The length says that it is one.
                entry.__bindgen_anon_1.value.str_ =
                    [text; size_of::<u64>() / size_of::<*const c_char>()];
            }
        }
        entry
    }
}

/// The most properties that a device can have.
const MAX: usize = 4;

/// A platform device that is not registered yet.
///
/// # Invariants
///
/// This value owns the only reference to a device of `platform_device_alloc()`.
struct Unregistered(NonNull<bindings::platform_device>);

impl Unregistered {
    /// Allocates a device called `name`, with a number that no other device has, and with
    /// `properties`, [`MAX`] at most.
    fn new(name: &CStr, properties: &[Property<'_>]) -> Result<Self> {
        // An entry without a name is the end.
        let mut entries: [bindings::property_entry; MAX + 1] = pin_init::zeroed();
        for (entry, property) in entries[..MAX].iter_mut().zip(properties) {
            *entry = property.entry();
        }
        if properties.len() > MAX {
            return Err(EINVAL);
        }

        // SAFETY: The function takes any string, which it copies.
        let raw = unsafe {
            bindings::platform_device_alloc(name.as_char_ptr(), bindings::PLATFORM_DEVID_AUTO)
        };
        // INVARIANT: The device is new, and nobody else knows of it.
        let this = Self(NonNull::new(raw).ok_or(ENOMEM)?);

        // SAFETY: The device is allocated, and has no software node. The list has its end; the function
        // copies it, and what it points to.
        to_result(unsafe {
            bindings::device_create_managed_software_node(this.device(), entries.as_ptr(), null())
        })?;
        Ok(this)
    }

    fn device(&self) -> *mut bindings::device {
        // SAFETY: By the type invariants the device is allocated.
        unsafe { &raw mut (*self.0.as_ptr()).dev }
    }

    /// Sets whether the device sees the caches of the CPUs: `dev_assign_dma_coherent()`, which the kernel
    /// calls for the node of a device.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP`: on this architecture, as it is configured, the DMA layer takes all devices for
    /// coherent.
    fn set_coherent(&self, is_coherent: bool) -> Result {
        const FLAG: c_ulong = bindings::struct_device_flags_DEV_FLAG_DMA_COHERENT as c_ulong;
        let dev = self.device();

        // SAFETY: By the type invariants the device is allocated and nobody else has it: nothing allocates
        // memory for it yet. The flag is one of the bits.
        let is_honoured = unsafe {
            let flags = (&raw mut (*dev).flags).cast::<c_ulong>();
            if is_coherent {
                bindings::set_bit(FLAG, flags);
            } else {
                bindings::clear_bit(FLAG, flags);
            }
            ffi::faultline_dev_is_dma_coherent(dev) == is_coherent
        };

        is_honoured.then_some(()).ok_or(EOPNOTSUPP)
    }

    /// Registers the device, which no driver is bound to by that.
    fn register(self) -> Result<PlatformDevice> {
        // Otherwise the driver core binds it at once, and does not say what came of it.
        // SAFETY: The device is initialised, and the string has this length.
        to_result(unsafe {
            bindings::__device_set_driver_override(
                self.device(),
                NOBODY.as_char_ptr(),
                NOBODY.count_bytes(),
            )
        })?;

        // SAFETY: The device is initialised, and not registered.
        to_result(unsafe { bindings::platform_device_add(self.0.as_ptr()) })?;

        // INVARIANT: The device is registered.
        let device = PlatformDevice(self.0);
        // The reference is the registration's from now on.
        core::mem::forget(self);
        Ok(device)
    }
}

impl Drop for Unregistered {
    fn drop(&mut self) {
        // SAFETY: By the type invariants the reference is ours, and the device is not registered. Its
        // software node is still there, unless the attempt to register it has removed it, which the first
        // function finds out.
        unsafe {
            bindings::device_remove_software_node(self.device());
            bindings::platform_device_put(self.0.as_ptr());
        }
    }
}

/// What no driver is called: a device that is for the driver of this name alone is for none.
const NOBODY: &CStr = c"-";

/// A registered platform device, with a software node for its properties.
///
/// It is unregistered, which unbinds it, when this value is dropped.
///
/// # Invariants
///
/// The device is registered, and only this value unregisters it.
pub(crate) struct PlatformDevice(NonNull<bindings::platform_device>);

// SAFETY: A device may be unregistered by any thread.
unsafe impl Send for PlatformDevice {}

// SAFETY: `&self` gives access to a `Device`, which may be shared.
unsafe impl Sync for PlatformDevice {}

impl PlatformDevice {
    /// Registers a device that the platform driver of this module takes, and that the driver's name is
    /// the name of, with a number. No driver is bound to it by that. `is_coherent` says whether it sees
    /// the caches of the CPUs.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: there are more than [`MAX`] properties.
    /// - `EOPNOTSUPP`: devices of this machine cannot be what `is_coherent` says.
    /// - `ENOMEM`.
    pub(crate) fn new(properties: &[Property<'_>], is_coherent: bool) -> Result<Self> {
        let unregistered = Unregistered::new(Self::DRIVER, properties)?;

        unregistered.set_coherent(is_coherent)?;
        unregistered.register()
    }

    /// The name under which `module_driver!` and its like register the driver of a module.
    const DRIVER: &CStr = <crate::LocalModule as kernel::ModuleMetadata>::NAME;

    /// Binds the driver to the device, in this thread. From here on the driver core can bind and unbind it
    /// as any other device.
    ///
    /// # Errors
    ///
    /// - What the driver's `probe()` answers.
    /// - `ENODEV`: the driver is not registered.
    /// - `EBUSY`: the device is bound.
    pub(crate) fn bind(&self) -> Result {
        // SAFETY: The bus is there for ever. The function returns a driver without a reference; that of this
        // name is this module's own, which is unregistered when the module is unloaded, and not while its
        // code runs in a callback of what it has registered besides.
        let driver = unsafe {
            bindings::driver_find(
                Self::DRIVER.as_char_ptr(),
                &raw const bindings::platform_bus_type,
            )
        };
        if driver.is_null() {
            return Err(ENODEV);
        }

        let dev = self.as_raw();
        // SAFETY: By the type invariants the device is registered; the driver is of its bus, and
        // registered, as argued above.
        to_result(unsafe { bindings::device_driver_attach(driver, dev) })?;

        // SAFETY: The device is registered. An empty string ends what `register()` has begun, which cannot
        // fail.
        unsafe { bindings::__device_set_driver_override(dev, c"".as_char_ptr(), 0) };
        Ok(())
    }

    fn as_raw(&self) -> *mut bindings::device {
        // SAFETY: By the type invariants the device is registered, and so valid.
        unsafe { &raw mut (*self.0.as_ptr()).dev }
    }
}

impl AsRef<Device> for PlatformDevice {
    fn as_ref(&self) -> &Device {
        // SAFETY: By the type invariants the device is registered as long as `self` lives.
        unsafe { Device::from_raw(self.as_raw()) }
    }
}

impl Drop for PlatformDevice {
    fn drop(&mut self) {
        // SAFETY: By the type invariants the device is registered, and nobody else unregisters it.
        unsafe { bindings::platform_device_unregister(self.0.as_ptr()) };
    }
}
