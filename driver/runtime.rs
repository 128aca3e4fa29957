// SPDX-License-Identifier: GPL-2.0

//! Buffers that are made at run time: each directory `/sys/kernel/config/faultline/NAME` is one, which
//! there is while its attribute `enable` is 1. `docs/configfs-faultline` says what each attribute means.
//!
//! A directory that is enabled has a platform device of its own, with the properties that a node of the
//! device tree would have. The driver binds it as any other: whatever the properties mean, and what is
//! wrong with them, is decided where those of nodes are.
//!
//! # Locking
//!
//! An attribute takes the mutex of its directory. `enable` holds it while the device is bound or unbound,
//! which takes the device's lock and all that probing and unbinding take; none of those comes back here.
//! configfs calls no attribute of a directory any more when it has gone, and holds none of its own locks
//! but those of the parent's inode when the device goes with it. A directory keeps the module loaded.

use crate::{
    ext::platform_device::{
        PlatformDevice,
        Property,
        Value, //
    },
    label,
    length::Length, //
};
use kernel::{
    configfs::{
        self,
        configfs_attrs, //
    },
    device::Device,
    driver::{
        Registration,
        RegistrationOps, //
    },
    fmt::{
        self,
        Write as _, //
    },
    module::ModuleMetadata,
    new_mutex,
    page::PAGE_SIZE,
    prelude::*,
    str::{
        parse_int::ParseInt,
        BStr,
        CString,
        Formatter, //
    },
    sync::Mutex,
    InPlaceModule, //
};

/// As the kernel's macro of this name, for a module that has the directory in configfs, too.
macro_rules! module_driver {
    (<$type:ident>, $operations:ty, { type: $driver:ty, $($rest:tt)* }) => {
        type Operations<$type> = $operations;

        kernel::prelude::module! {
            type: $crate::runtime::Module<Operations<$driver>>,
            $($rest)*
        }
    };
}
pub(crate) use module_driver;

/// The module: the driver, and the directory in configfs.
#[pin_data]
pub(crate) struct Module<O: RegistrationOps> {
    // Dropped first: what is made there needs the driver.
    #[pin]
    _buffers: configfs::Subsystem<Buffers>,
    #[pin]
    _driver: Registration<O>,
}

impl<O: RegistrationOps + 'static> InPlaceModule for Module<O> {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        const NAME: &CStr = <crate::LocalModule as ModuleMetadata>::NAME;

        let buffers = configfs_attrs! {
            container: configfs::Subsystem<Buffers>,
            data: Buffers,
            child: Directory,
            attributes: [],
        };

        try_pin_init!(Self {
            _driver <- Registration::new(NAME, module),
            _buffers <- configfs::Subsystem::new(NAME, buffers, Ok(Buffers)),
        })
    }
}

/// The directory of all buffers.
pub(crate) struct Buffers;

#[vtable]
impl configfs::GroupOperations for Buffers {
    type Child = Directory;

    /// # Errors
    ///
    /// `EINVAL`: the name could not be a label.
    fn make_group(&self, name: &CStr) -> Result<impl PinInit<configfs::Group<Directory>, Error>> {
        let attributes = configfs_attrs! {
            container: configfs::Group<Directory>,
            data: Directory,
            attributes: [
                size: 0,
                dma_mask_bits: 1,
                cached: 2,
                coherent: 3,
                enable: 4,
                device: 5,
            ],
        };

        if !label::is_name(name.to_bytes()) {
            return Err(EINVAL);
        }
        Ok(configfs::Group::new(
            name.try_into()?,
            attributes,
            Directory::new(name.try_into()?),
        ))
    }
}

/// The directory of one buffer. When it goes its device does.
#[pin_data]
pub(crate) struct Directory {
    name: CString,
    #[pin]
    state: Mutex<State>,
}

struct State {
    wish: Wish,
    device: Option<PlatformDevice>,
}

/// What the attributes ask for.
struct Wish {
    bytes: u64,
    dma_mask_bits: u32,
    is_cached: bool,
    is_coherent: bool,
}

impl Directory {
    fn new(name: CString) -> impl PinInit<Self, Error> {
        let wish = Wish {
            // CAST: `usize` is no wider than `u64`.
            bytes: PAGE_SIZE as u64,
            // What the kernel's own platform devices begin with: nothing says how far a bus master reaches.
            dma_mask_bits: 32,
            is_cached: false,
            is_coherent: false,
        };

        try_pin_init!(Self {
            name,
            state <- new_mutex!(State { wish, device: None }, "Directory::state"),
        })
    }

    /// Returns what a setting is.
    fn get(&self, setting: Setting) -> u64 {
        let state = self.state.lock();

        match setting {
            Setting::Size => state.wish.bytes,
            Setting::DmaMaskBits => state.wish.dma_mask_bits.into(),
            Setting::Cached => state.wish.is_cached.into(),
            Setting::Coherent => state.wish.is_coherent.into(),
            Setting::Enable => state.device.is_some().into(),
        }
    }

    /// Changes a setting.
    ///
    /// # Errors
    ///
    /// - `EINVAL`, `ENOMEM`: the value makes no sense.
    /// - `EBUSY`: the buffer is there, and is not what is changed.
    /// - As [`make`](Self::make).
    fn set(&self, setting: Setting, value: u64) -> Result {
        let is_one = || match value {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(EINVAL),
        };
        let mut state = self.state.lock();

        match setting {
            Setting::Enable => match (is_one()?, state.device.is_some()) {
                (true, false) => state.device = Some(self.make(&state.wish)?),
                (false, true) => state.device = None,
                _ => {}
            },
            _ if state.device.is_some() => return Err(EBUSY),
            Setting::Size => {
                // What this machine cannot have at all is refused at once.
                Length::from_bytes(value)?;
                state.wish.bytes = value;
            }
            Setting::DmaMaskBits => match u32::try_from(value) {
                Ok(bits @ 1..=64) => state.wish.dma_mask_bits = bits,
                _ => return Err(EINVAL),
            },
            Setting::Cached => state.wish.is_cached = is_one()?,
            Setting::Coherent => state.wish.is_coherent = is_one()?,
        }
        Ok(())
    }

    /// Makes the device, and has the driver bind it.
    ///
    /// # Errors
    ///
    /// As [`PlatformDevice::new`] and [`PlatformDevice::bind`]. The log has the reason.
    fn make(&self, wish: &Wish) -> Result<PlatformDevice> {
        let name = &*self.name;
        let all = [
            property(c"label", Value::Text(name)),
            property(c"size", Value::U64(wish.bytes)),
            property(c"dma-mask-bits", Value::U32(wish.dma_mask_bits)),
            property(c"faultline,cached", Value::Present),
        ];
        let properties = if wish.is_cached { &all } else { &all[..3] };

        let device = PlatformDevice::new(properties, wish.is_coherent).inspect_err(|&error| {
            if error == EOPNOTSUPP {
                pr_err!("{name}: coherent: all devices of this machine see the caches of the CPUs: write 1\n");
            } else {
                pr_err!("{name}: enable: no device could be made: error {}\n", error.to_errno());
            }
        })?;
        device.bind().inspect_err(|error| {
            let dev: &Device = device.as_ref();
            dev_err!(
                dev,
                "{name}: enable: the probe failed: error {}\n",
                error.to_errno()
            );
        })?;
        Ok(device)
    }
}

fn property<'a>(name: &'a CStr, value: Value<'a>) -> Property<'a> {
    Property { name, value }
}

/// A setting: an attribute that is a number, which can be written.
#[derive(Clone, Copy)]
enum Setting {
    Size,
    DmaMaskBits,
    Cached,
    Coherent,
    /// The buffer itself.
    Enable,
}

macro_rules! setting {
    ($number:literal, $setting:expr) => {
        #[vtable]
        impl configfs::AttributeOperations<$number> for Directory {
            type Data = Self;

            fn show(this: &Self, page: &mut [u8; PAGE_SIZE]) -> Result<usize> {
                show(page, fmt!("{}\n", this.get($setting)))
            }

            fn store(this: &Self, page: &[u8]) -> Result {
                let line = page.strip_suffix(b"\n").unwrap_or(page);

                this.set($setting, u64::from_str(BStr::from_bytes(line))?)
            }
        }
    };
}

setting!(0, Setting::Size);
setting!(1, Setting::DmaMaskBits);
setting!(2, Setting::Cached);
setting!(3, Setting::Coherent);
setting!(4, Setting::Enable);

/// The name of the platform device, by which the log and the driver core know it.
#[vtable]
impl configfs::AttributeOperations<5> for Directory {
    type Data = Self;

    fn show(this: &Self, page: &mut [u8; PAGE_SIZE]) -> Result<usize> {
        let state = this.state.lock();
        let name = state.device.as_ref().map_or(c"", |device| {
            let device: &Device = device.as_ref();
            device.name()
        });

        show(page, fmt!("{name}\n"))
    }
}

/// Writes to the page of an attribute; returns how many bytes.
fn show(page: &mut [u8], text: fmt::Arguments<'_>) -> Result<usize> {
    let mut out = Formatter::new(page);

    out.write_fmt(text)?;
    Ok(out.bytes_written())
}
