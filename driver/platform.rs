// SPDX-License-Identifier: GPL-2.0

//! The platform driver: which nodes of the device tree it takes, and in which order things come
//! and go.

// What is attached to each buffer: the one place that decides it.
#[cfg(not(CONFIG_FAULTLINE_SELFTEST))]
use crate::mapping::Nothing as Attached;
#[cfg(CONFIG_FAULTLINE_SELFTEST)]
use crate::selftest::SelfTest as Attached;

use crate::{
    chardev::CharDevice,
    ext::shutdown,
    mapping::SharedBuffer,
    properties::Properties, //
};
use kernel::{
    device::Core,
    of,
    platform,
    prelude::*,
    sync::Arc, //
};

kernel::of_device_table!(
    OF_TABLE,
    <CoherentBufferDriver as platform::Driver>::IdInfo,
    [(of::DeviceId::new(c"faultline,coherent-buffer"), ())]
);

/// What is bound to one device.
#[pin_data]
pub(crate) struct CoherentBufferDriver {
    // Fields are dropped in this order: no file is opened any more when the buffer goes.
    #[pin]
    chardev: CharDevice<Attached>,
    shared: Arc<SharedBuffer<Attached>>,
}

impl platform::Driver for CoherentBufferDriver {
    type IdInfo = ();
    type Data<'bound> = Self;
    const OF_ID_TABLE: Option<of::IdTable<Self::IdInfo>> = Some(&OF_TABLE);

    fn probe<'bound>(
        pdev: &'bound platform::Device<Core<'_>>,
        _info: Option<&'bound Self::IdInfo>,
    ) -> impl PinInit<Self, Error> + 'bound {
        pin_init::pin_init_scope(move || {
            let properties = Properties::read(pdev.as_ref())?;
            let shared = SharedBuffer::new(pdev, properties.length)?;

            Ok(try_pin_init!(Self {
                chardev <- CharDevice::new(pdev.as_ref(), shared.clone()),
                shared,
            }))
        })
    }

    /// Takes the buffer away from user space while the device can still do DMA: its memory has to
    /// be freed before the device loses its DMA configuration, even if files are still open.
    fn unbind(_pdev: &platform::Device<Core<'_>>, this: Pin<&Self>) {
        this.shared.revoke();
    }
}

impl shutdown::Driver for CoherentBufferDriver {
    fn shutdown(_pdev: &platform::Device<Core<'_>>, this: Pin<&Self>) {
        this.shared.shut_down();
    }
}
