// SPDX-License-Identifier: GPL-2.0

//! The platform driver: which nodes of the device tree it takes, what it reads there, and in
//! which order things come and go.

use crate::{
    buffer::Length,
    chardev::CharDevice,
    mapping::SharedBuffer,
    master::{
        self,
        Attach, //
    },
    mutant, //
};
use kernel::{
    device::{
        Core,
        Device, //
    },
    of,
    platform,
    prelude::*,
    sync::Arc, //
};

kernel::of_device_table!(
    OF_TABLE,
    <CoherentBufferDriver as platform::Driver>::IdInfo,
    [
        (of::DeviceId::new(c"faultline,coherent-buffer"), None),
        (
            of::DeviceId::new(c"faultline,fw-cfg-buffer"),
            Some(master::fw_cfg::attach)
        ),
        (
            of::DeviceId::new(c"faultline,bcm2835-mbox-buffer"),
            Some(master::mailbox::attach)
        ),
    ]
);

/// What is bound to one device.
#[pin_data]
pub(crate) struct CoherentBufferDriver {
    // Fields are dropped in this order: no file is opened any more when the buffer goes.
    #[pin]
    chardev: CharDevice,
    shared: Arc<SharedBuffer>,
}

impl platform::Driver for CoherentBufferDriver {
    /// How to take hold of the bus master that the node is, if its compatible says that it is one.
    type IdInfo = Option<Attach>;
    type Data<'bound> = Self;
    const OF_ID_TABLE: Option<of::IdTable<Self::IdInfo>> = Some(&OF_TABLE);

    fn probe<'bound>(
        pdev: &'bound platform::Device<Core<'_>>,
        attach: Option<&'bound Self::IdInfo>,
    ) -> impl PinInit<Self, Error> + 'bound {
        pin_init::pin_init_scope(move || {
            let dev = pdev.as_ref();

            if let Some(mutant) = mutant::NAME {
                dev_info!(dev, "mutant {mutant}: for tests only\n");
            }

            let length = buffer_length(dev)?;
            let attach = attach.copied().flatten().or_else(|| channel(dev));
            let shared = SharedBuffer::new(pdev, length, attach)?;

            let coherency = if shared.buffer()?.device_is_coherent() {
                "coherent"
            } else {
                "non-coherent"
            };
            if let Ok(master) = shared.buffer()?.describe_master() {
                dev_info!(
                    dev,
                    "bus master {}: fills {} bytes, copies {}\n",
                    master.name,
                    master.max_fill,
                    master.max_copy
                );
            }
            let chardev = CharDevice::new(dev, shared.clone());

            Ok(try_pin_init!(Self {
                chardev <- chardev,
                shared,
                _: {
                    dev_info!(
                        dev,
                        "/dev/faultline{}: {} bytes, {coherency}\n",
                        chardev.number(),
                        length.bytes()
                    );
                },
            }))
        })
    }

    /// Takes the buffer away from user space while the device can still do DMA: its memory has to
    /// be freed before the device loses its DMA configuration, whoever holds a file open.
    fn unbind(_pdev: &platform::Device<Core<'_>>, this: Pin<&Self>) {
        this.shared.revoke();
    }
}

/// How to take hold of the channel of a DMA engine that the node has, if it has one.
fn channel(dev: &Device) -> Option<Attach> {
    dev.fwnode()
        .filter(|node| node.property_present(c"dmas"))
        .map(|_| master::dmaengine::attach as Attach)
}

/// Reads the property `size`, in bytes: one cell or two, and one page if it is not there.
fn buffer_length(dev: &Device) -> Result<Length> {
    let Some(node) = dev.fwnode().filter(|node| node.property_present(c"size")) else {
        return Ok(Length::ONE_PAGE);
    };

    let bytes = match node.property_count_elem::<u32>(c"size") {
        Ok(1) => node.property_read::<u32>(c"size").required_by(dev)?.into(),
        Ok(2) => node.property_read::<u64>(c"size").required_by(dev)?,
        // A property without a value has no cells; the kernel answers with an error.
        cells => {
            dev_err!(dev, "size: {} cells, want 1 or 2\n", cells.unwrap_or(0));
            return Err(EINVAL);
        }
    };

    Length::from_bytes(bytes).map_err(|error| {
        dev_err!(dev, "size: {error}\n");
        error.into()
    })
}
