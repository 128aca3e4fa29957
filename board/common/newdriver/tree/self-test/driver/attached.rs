// SPDX-License-Identifier: GPL-2.0

//! What is attached to each buffer in a driver that is built with its self-test: the device, and the
//! self-test beside it.

use crate::{
    buffer::Buffer,
    hardware::Hardware,
    mapping::{
        Extension,
        SharedBuffer, //
    },
    selftest::SelfTest, //
};
use kernel::{
    device::{
        Bound,
        Core,
        Device, //
    },
    fs::{
        File,
        LocalFile, //
    },
    platform,
    prelude::*,
    sync::{
        poll::PollTable,
        Arc,
        ArcBorrow, //
    },
};

/// See the [module](self).
pub(crate) struct Attached {
    hardware: Arc<Hardware>,
    selftest: SelfTest,
}

impl Attached {
    /// Returns the device.
    pub(crate) fn hardware(&self) -> &Arc<Hardware> {
        &self.hardware
    }
}

impl Extension for Attached {
    fn attach(pdev: &platform::Device<Core<'_>>) -> Result<Self> {
        Ok(Self {
            hardware: Extension::attach(pdev)?,
            selftest: Extension::attach(pdev)?,
        })
    }

    fn dma_device(&self) -> Option<&Device<Bound>> {
        self.selftest
            .dma_device()
            .or_else(|| self.hardware.dma_device())
    }

    fn prepared(&self, dev: &Device<Bound>, name: &CStr, buffer: &Buffer) {
        self.hardware.prepared(dev, name, buffer);
        self.selftest.prepared(dev, name, buffer);
    }

    fn may_open(&self) -> Result {
        self.hardware.may_open()?;
        self.selftest.may_open()
    }

    fn ioctl<X: Extension>(
        this: ArcBorrow<'_, SharedBuffer<X>>,
        own: impl Fn(&X) -> &Self,
        file: &LocalFile,
        cmd: u32,
        arg: usize,
    ) -> Result<isize> {
        match Extension::ioctl(this, |extension| &own(extension).hardware, file, cmd, arg) {
            Err(ENOTTY) => SelfTest::ioctl(this, |extension| &own(extension).selftest, file, cmd, arg),
            answer => answer,
        }
    }

    fn events(&self, file: &File, table: &PollTable<'_>) -> u32 {
        self.hardware.events(file, table) | self.selftest.events(file, table)
    }

    fn goes_at_shutdown(&self) -> bool {
        self.hardware.goes_at_shutdown() || self.selftest.goes_at_shutdown()
    }

    fn settle(&self) -> Result {
        // Both, whatever the first one says.
        let settled = self.hardware.settle();
        self.selftest.settle().and(settled)
    }
}
