// SPDX-License-Identifier: GPL-2.0

//! The attributes of a buffer in sysfs: `/sys/class/misc/faultlineN/`. `docs/sysfs-faultline` says what
//! each means.
//!
//! Each borrows the buffer: once an unbinding has begun a read is `ENODEV`, and the unbinding waits for
//! the reads before it.

use crate::{
    ext::{
        new_vma::MemoryType,
        sysfs::Attribute, //
    },
    mapping::{
        Extension,
        SharedBuffer, //
    }, //
};
use kernel::{
    fmt::Write as _,
    prelude::*,
    str::Formatter, //
};

impl<X: Extension> SharedBuffer<X> {
    /// The attributes of every buffer.
    pub(crate) const ATTRIBUTES: &'static [Attribute<Self>] = &[
        Attribute::new(c"size", Self::show_size),
        Attribute::for_root(c"dma_address", Self::show_dma_address),
        Attribute::new(c"coherent", Self::show_coherent),
        Attribute::new(c"memory_type", Self::show_memory_type),
        Attribute::new(c"region", Self::show_region),
        Attribute::new(c"label", Self::show_label),
    ];

    fn show_size(&self, out: &mut Formatter<'_>) -> Result {
        let _buffer = self.borrow()?;

        Ok(write!(out, "{}", self.length().bytes())?)
    }

    fn show_dma_address(&self, out: &mut Formatter<'_>) -> Result {
        let buffer = self.borrow()?;

        Ok(write!(out, "{:#x}", buffer.memory().dma_address())?)
    }

    fn show_coherent(&self, out: &mut Formatter<'_>) -> Result {
        let buffer = self.borrow()?;

        Ok(write!(
            out,
            "{}",
            u32::from(buffer.memory().device_is_coherent())
        )?)
    }

    fn show_memory_type(&self, out: &mut Formatter<'_>) -> Result {
        let buffer = self.borrow()?;

        let text = if buffer.memory().memory_type() == MemoryType::DmaCoherent {
            "uncached"
        } else {
            "cached"
        };
        Ok(out.write_str(text)?)
    }

    fn show_region(&self, out: &mut Formatter<'_>) -> Result {
        let buffer = self.borrow()?;

        match buffer.memory().region() {
            Some(region) => Ok(out.write_fmt(fmt!("{}", region.name()))?),
            None => Ok(()),
        }
    }

    fn show_label(&self, out: &mut Formatter<'_>) -> Result {
        let _buffer = self.borrow()?;

        match self.label() {
            Some(label) => Ok(out.write_fmt(fmt!("{label}"))?),
            None => Ok(()),
        }
    }
}
