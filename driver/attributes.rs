// SPDX-License-Identifier: GPL-2.0

//! The attributes of a buffer in sysfs: `/sys/class/misc/faultlineN/`. `docs/sysfs-faultline` says what
//! each means.
//!
//! Each borrows the buffer: once an unbinding has begun a read is `ENODEV`, and the unbinding waits for
//! the reads before it.

use crate::{
    ext::{
        memory::MemoryType,
        sysfs::{
            Attribute,
            Attributes, //
        }, //
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

/// What an attribute shows.
#[derive(Clone, Copy)]
pub(crate) enum Shown {
    Size,
    DmaAddress,
    IsCoherent,
    MemoryType,
    Region,
    Label,
}

impl<X: Extension> Attributes for SharedBuffer<X> {
    type Shown = Shown;

    const ATTRIBUTES: &'static [Attribute<Shown>] = &[
        Attribute::new(c"size", Shown::Size),
        Attribute::for_root(c"dma_address", Shown::DmaAddress),
        Attribute::new(c"coherent", Shown::IsCoherent),
        Attribute::new(c"memory_type", Shown::MemoryType),
        Attribute::new(c"region", Shown::Region),
        Attribute::new(c"label", Shown::Label),
    ];

    fn show(&self, shown: Shown, out: &mut Formatter<'_>) -> Result {
        let buffer = self.borrow()?;
        let memory = buffer.memory();

        match shown {
            Shown::Size => write!(out, "{}", self.length().bytes())?,
            Shown::DmaAddress => write!(out, "{:#x}", memory.dma_address())?,
            Shown::IsCoherent => out.write_str(if memory.device_is_coherent() {
                "1"
            } else {
                "0"
            })?,
            Shown::MemoryType if memory.memory_type() == MemoryType::DmaCoherent => {
                out.write_str("uncached")?
            }
            Shown::MemoryType => out.write_str("cached")?,
            Shown::Region => {
                if let Some(region) = memory.region() {
                    out.write_fmt(fmt!("{}", region.name()))?
                }
            }
            Shown::Label => {
                if let Some(label) = &self.label {
                    out.write_fmt(fmt!("{}", &**label))?
                }
            }
        }
        Ok(())
    }
}
