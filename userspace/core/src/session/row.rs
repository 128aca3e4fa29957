// SPDX-License-Identifier: GPL-2.0-only

//! What is said of a device after its checks: a row of the table, and a line for machines.

use core::fmt::{self, Display};

use crate::checks::context::Context;
use crate::ktap::Counts;
use crate::memory::MemoryType;
use crate::session::machines::CountsForMachines;
use crate::system::System;
use crate::text::{Json, Printable};

/// The heads of the table's columns, in the order in which [`Row`] writes them.
pub(super) const HEADS: &str =
    "device | bytes | DMA address | user | kernel | master | pass | fail | skip";

/// What is said of a device, after its checks.
pub(super) struct Row<'a> {
    device: &'a dyn Display,
    bytes: u64,
    dma_address: Known<Address>,
    user: Known<MemoryType>,
    kernel: Known<MemoryType>,
    /// Padded with zeroes.
    master: [u8; MASTER_NAME],
    counts: Counts,
}

const MASTER_NAME: usize = 16;

/// An address, which is shown in hexadecimal.
struct Address(u64);

impl Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// What may not be known, and what stands for it then.
struct Known<T> {
    value: Option<T>,
    otherwise: &'static str,
}

impl<T: Display> Display for Known<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => value.fmt(f),
            None => f.write_str(self.otherwise),
        }
    }
}

impl<'a> Row<'a> {
    pub(super) fn of<S: System>(
        device: &'a dyn Display,
        context: &Context<'_, S>,
        counts: Counts,
    ) -> Self {
        let types = context.types();
        let memory = |value| Known {
            value,
            otherwise: "unknown",
        };
        Self {
            device,
            bytes: context.info().size,
            dma_address: Known {
                value: context.dma_address().map(Address),
                otherwise: "-",
            },
            user: memory(types.user),
            kernel: memory(types.kernel),
            master: context
                .master()
                .map_or([0; MASTER_NAME], |master| master.name),
            counts,
        }
    }

    /// The name of the bus master.
    fn master(&self) -> Known<Printable<'_>> {
        let name = self.master.split(|byte| *byte == 0).next();
        Known {
            value: name.filter(|name| !name.is_empty()).map(Printable),
            otherwise: "-",
        }
    }

    /// The same as an object of JSON.
    pub(super) fn for_machines(&self) -> RowForMachines<'_> {
        RowForMachines(self)
    }
}

impl Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} | {}", self.device, self.bytes)?;
        write!(f, " | {}", self.dma_address)?;
        write!(f, " | {} | {}", self.user, self.kernel)?;
        write!(f, " | {}", self.master())?;
        let Counts {
            passed,
            failed,
            skipped,
        } = self.counts;
        write!(f, " | {passed} | {failed} | {skipped}")
    }
}

/// See [`Row::for_machines`].
pub(super) struct RowForMachines<'a>(&'a Row<'a>);

impl Display for RowForMachines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = self.0;
        write!(f, "{{\"device\":{}", Json(row.device))?;
        write!(f, ",\"bytes\":{}", row.bytes)?;
        write!(f, ",\"dma_address\":{}", Json(&row.dma_address))?;
        write!(f, ",\"user\":{}", Json(&row.user))?;
        write!(f, ",\"kernel\":{}", Json(&row.kernel))?;
        write!(f, ",\"master\":{}", Json(row.master()))?;
        write!(f, ",{}}}", CountsForMachines(row.counts))
    }
}
