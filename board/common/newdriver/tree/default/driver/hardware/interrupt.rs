// SPDX-License-Identifier: GPL-2.0

//! The handler of the interrupt. It runs in a thread, so that it may sleep.

use super::{
    record,
    Hardware, //
};
use crate::{
    ext::interrupt,
    mapping::{
        Extension,
        SharedBuffer, //
    }, //
};
use kernel::{
    device::Core,
    irq::{
        IrqReturn,
        ThreadedHandler, //
    },
    platform,
    prelude::*,
    sync::Arc, //
};

struct Handler<X: Extension> {
    hardware: Arc<Hardware>,
    /// Whose buffer gets the events.
    shared: Arc<SharedBuffer<X>>,
}

/// Has the interrupt of `pdev` handled until the device is unbound, if the node has one; `own` finds the
/// device in what is attached to the buffer.
///
/// # Errors
///
/// The log has the reason.
pub(crate) fn request<X: Extension>(
    pdev: &platform::Device<Core<'_>>,
    shared: &Arc<SharedBuffer<X>>,
    own: impl Fn(&X) -> &Arc<Hardware>,
) -> Result {
    let hardware = own(shared.borrow()?.extension()).clone();
    if !hardware.has_interrupt {
        return Ok(());
    }

    let handler = Handler {
        hardware,
        shared: shared.clone(),
    };
    interrupt::request_threaded(pdev, c"faultline", handler).inspect_err(|error| {
        dev_err!(pdev, "interrupts: cannot be requested: {error:?}\n");
    })
}

impl<X: Extension> ThreadedHandler for Handler<X> {
    fn handle_threaded(&self) -> IrqReturn {
        let buffer = self.shared.borrow();
        let is_ours = self.hardware.go_off(|event| {
            // Once the device is being unbound there is no buffer any more.
            if let Ok(buffer) = &buffer {
                record(buffer, self.shared.length(), event);
            }
        });

        if is_ours {
            IrqReturn::Handled
        } else {
            IrqReturn::None
        }
    }
}
