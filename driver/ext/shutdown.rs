// SPDX-License-Identifier: GPL-2.0

//! Platform drivers that are told when the machine is about to be switched off or restarted.
//!
//! `kernel::platform::Driver` has no such callback. Here [`Driver`] adds it, and [`Adapter`] registers
//! it beside the others, which stay those of `kernel::platform`.
//!
//! C header: [`include/linux/platform_device.h`](srctree/include/linux/platform_device.h)

use core::marker::PhantomData;
use kernel::{
    bindings,
    device::{
        Core,
        CoreInternal, //
    },
    driver::{
        DriverLayout,
        RegistrationOps, //
    },
    platform,
    prelude::*,
    types::Opaque, //
};

/// A platform driver with a `shutdown()`.
pub(crate) trait Driver: platform::Driver {
    /// The machine is about to be switched off or restarted, also by kexec. Devices that depend on
    /// others are shut down before those.
    ///
    /// The device stays bound and user space may still run: everything that can be called before this
    /// can be called after it, [`unbind`](platform::Driver::unbind) too. May sleep.
    fn shutdown<'bound>(dev: &'bound platform::Device<Core<'_>>, this: Pin<&Self::Data<'bound>>);
}

/// An adapter for the registration of platform drivers with a `shutdown()`, in place of
/// [`platform::Adapter`].
pub(crate) struct Adapter<T: Driver>(PhantomData<T>);

/// What registers the rest.
type Base<T> = platform::Adapter<T>;

// SAFETY: Type and offset are those of `Base`, which has promised the same of them, and so is the type of
// the data: both are `T`'s.
unsafe impl<T: Driver> DriverLayout for Adapter<T> {
    type DriverType = bindings::platform_driver;
    type DriverData<'bound> = T::Data<'bound>;
    const DEVICE_DRIVER_OFFSET: usize = <Base<T> as DriverLayout>::DEVICE_DRIVER_OFFSET;
}

// SAFETY: `unregister()` is that of `Base`, and is valid after a successful `register()`, which has ended
// with a successful one of `Base`.
unsafe impl<T: Driver> RegistrationOps for Adapter<T> {
    unsafe fn register(
        pdrv: &Opaque<Self::DriverType>,
        name: &'static CStr,
        module: &'static ThisModule,
    ) -> Result {
        // SAFETY: The driver is not registered yet, so that nobody else looks at its fields.
        unsafe { (*pdrv.get()).shutdown = Some(shutdown_callback::<T>) };

        // SAFETY: The caller promises what `Base` asks for, which is the same. It sets other fields than
        // the one above.
        unsafe { Base::<T>::register(pdrv, name, module) }
    }

    unsafe fn unregister(pdrv: &Opaque<Self::DriverType>) {
        // SAFETY: The caller promises that `register()` was successful, and so was that of `Base`.
        unsafe { Base::<T>::unregister(pdrv) };
    }
}

extern "C" fn shutdown_callback<T: Driver>(pdev: *mut bindings::platform_device) {
    // SAFETY: `platform_shutdown()`, the only caller, passes a valid device. `platform::Device` is a
    // transparent wrapper of it. `device_shutdown()` holds the device's lock around this, as the driver
    // core does around `remove()`: that is what the context stands for.
    let pdev = unsafe { &*pdev.cast::<platform::Device<CoreInternal<'_>>>() };

    // SAFETY: `platform_shutdown()` calls the driver that `dev->driver` names. Under the device's lock
    // that is this one only if `probe()` was successful, and the device was not unbound since: the
    // driver core takes the lock around both, and resets `dev->driver` after a `probe()` that fails.
    // `probe()` stores a value of this type, as `Base` says.
    let data = unsafe { pdev.as_ref().drvdata_borrow::<T::Data<'_>>() };

    T::shutdown(pdev, data);
}
