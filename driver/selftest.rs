// SPDX-License-Identifier: GPL-2.0

//! The self-test: what shows that a buffer is what it should be, and is no part of a driver that
//! people use.
//!
//! It is built with `CONFIG_FAULTLINE_SELFTEST`, looks at the driver from outside, and is attached to
//! it in one place, as [`Extension`]. It adds the calls of [`uapi`], which [`calls`] carries out; two
//! witnesses stand behind them, the CPU's own [translation](ext::translate) of an address and
//! [bus masters](master).

mod calls;
mod ext;
mod imported;
mod litmus;
mod master;
pub mod uapi;

use crate::{
    buffer::Buffer,
    cached,
    ext::memory::MemoryType,
    mapping::{
        Extension,
        SharedBuffer, //
    },
};
use ext::capability;
use kernel::{
    device::{
        Bound,
        Core,
        Device, //
    },
    fs::LocalFile,
    platform,
    prelude::*,
    sync::{
        atomic::{
            AtomicFlag,
            Relaxed, //
        },
        Arc,
        ArcBorrow, //
    }, //
};
use master::Master;

/// What the self-test attaches to a buffer.
pub(crate) struct SelfTest {
    /// The bus master that the node is or has, if it is or has one.
    master: Option<Arc<dyn Master>>,
    /// Whether a message-passing test is under way.
    is_tested: Arc<AtomicFlag>,
}

impl SelfTest {
    /// Returns the bus master.
    ///
    /// # Errors
    ///
    /// `ENODATA` if there is none.
    fn master(&self) -> Result<&dyn Master> {
        self.master.as_deref().ok_or(ENODATA)
    }

    /// Keeps others from testing the buffer as long as the guard lives.
    ///
    /// # Errors
    ///
    /// `EBUSY` if somebody does.
    fn begin_test(&self) -> Result<Tested> {
        if self.is_tested.xchg(true, Relaxed) {
            return Err(EBUSY);
        }
        Ok(Tested(self.is_tested.clone()))
    }
}

/// The only test of a buffer.
struct Tested(Arc<AtomicFlag>);

impl Drop for Tested {
    fn drop(&mut self) {
        self.0.store(false, Relaxed);
    }
}

impl Extension for SelfTest {
    fn attach(pdev: &platform::Device<Core<'_>>) -> Result<Self> {
        let attach = master::of_node(pdev.as_ref());
        let master = attach.map(|attach| attach(pdev)).transpose()?;
        // The CPU writes orders without synchronisation.
        let has_orders = master
            .as_ref()
            .is_some_and(|master| master.describe().orders > 0);
        if has_orders && cached::is_asked_for(pdev.as_ref())? {
            dev_err!(
                pdev,
                "faultline,cached: is not honoured here: the bus master finds its orders in the buffer\n"
            );
            return Err(EINVAL);
        }

        Ok(Self {
            master,
            is_tested: Arc::new(AtomicFlag::new(false), GFP_KERNEL)?,
        })
    }

    fn dma_device(&self) -> Option<&Device<Bound>> {
        self.master.as_deref().and_then(Master::device)
    }

    /// Says in the log what the driver itself does not, for those who read what tests have said.
    fn prepared(&self, dev: &Device<Bound>, name: &CStr, buffer: &Buffer) {
        if let Ok(master) = self.master().map(Master::describe) {
            dev_info!(
                dev,
                "bus master {}: fills {} bytes, copies {}\n",
                master.name,
                master.max_fill,
                master.max_copy
            );
        }
        let coherency = match buffer.memory().memory_type() {
            _ if buffer.memory().pages().is_some() => "cached",
            MemoryType::Cached => "coherent",
            MemoryType::DmaCoherent => "non-coherent",
        };
        dev_info!(
            dev,
            "/dev/{name}: {} bytes, {coherency}\n",
            buffer.memory().size()
        );
    }

    /// A process that can write to a buffer in which a bus master finds its orders can give it some.
    fn may_open(&self) -> Result {
        let has_orders = self
            .master()
            .is_ok_and(|master| master.describe().orders > 0);

        if has_orders && !capability::may_do_raw_io() {
            return Err(EPERM);
        }
        Ok(())
    }

    fn ioctl<X: Extension>(
        this: ArcBorrow<'_, SharedBuffer<X>>,
        own: impl Fn(&X) -> &Self,
        file: &LocalFile,
        cmd: u32,
        arg: usize,
    ) -> Result<isize> {
        calls::ioctl(this, own, file, cmd, arg)
    }

    /// A bus master is idle, and a channel back with its engine, before drivers are shut down that it
    /// depends on: for some engines that is the same as being unbound.
    fn goes_at_shutdown(&self) -> bool {
        self.master.is_some()
    }

    fn settle(&self) -> Result {
        self.master.as_deref().map_or(Ok(()), Master::settle)
    }
}
