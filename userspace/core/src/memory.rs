// SPDX-License-Identifier: GPL-2.0-only

//! How a mapping accesses memory, in the architecture's words.

use core::fmt;

/// The memory type of a mapping, as the architecture names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryType {
    /// Cached: that of a coherent device's buffer, and of all ordinary memory.
    WriteBack,
    /// Not cached: that of the buffer of a device that is not coherent.
    NonCacheable,
    /// For registers.
    Device(DeviceMemory),
    /// None that Linux uses: a byte of `MAIR_EL1`.
    Other(u8),
}

/// The kinds of memory for registers, from the strictest on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceMemory {
    /// Accesses are not gathered, not reordered, and acknowledged by the device.
    NGnRnE,
    /// Writes may be acknowledged earlier.
    NGnRE,
    /// Accesses may be reordered, too.
    NGRE,
    /// Accesses may be gathered, too.
    Gre,
}

/// How 32-bit ARM maps ordinary memory with one CPU, if the kernel has made itself one for such a machine:
/// write-back, without allocation on stores, and not shareable.
pub const WITHOUT_ALLOCATION: u8 = 0xee;

impl MemoryType {
    /// The type that a byte of `MAIR_EL1` stands for.
    pub const fn of_attribute(attribute: u8) -> Self {
        match attribute {
            // 0xf0 has tags beside (MTE): as what the kernel itself maps memory, if it can.
            0xff | 0xf0 => Self::WriteBack,
            0x44 => Self::NonCacheable,
            0x00 => Self::Device(DeviceMemory::NGnRnE),
            0x04 => Self::Device(DeviceMemory::NGnRE),
            0x08 => Self::Device(DeviceMemory::NGRE),
            0x0c => Self::Device(DeviceMemory::Gre),
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for MemoryType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WriteBack => "Normal write-back",
            Self::NonCacheable => "Normal non-cacheable",
            Self::Device(DeviceMemory::NGnRnE) => "Device-nGnRnE",
            Self::Device(DeviceMemory::NGnRE) => "Device-nGnRE",
            Self::Device(DeviceMemory::NGRE) => "Device-nGRE",
            Self::Device(DeviceMemory::Gre) => "Device-GRE",
            Self::Other(attribute) => return write!(f, "memory attribute {attribute:#x}"),
        })
    }
}

/// How the CPU can access a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Not at all or, if a store was asked about, not by a store.
    Nothing,
    /// By a load only.
    ReadOnly,
    /// By a load and by a store.
    Writable,
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "no access",
            Self::ReadOnly => "read-only",
            Self::Writable => "writable",
        })
    }
}

/// The field `SH` of `PAR_EL1` (Arm Architecture Reference Manual, `PAR_EL1`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shareability(pub u8);

impl Shareability {
    /// Shared between all CPUs, as Linux maps all memory.
    pub const INNER: Self = Self(3);

    /// With no other, as 32-bit ARM can map memory where there is one CPU.
    pub const NONE: Self = Self(0);
}

impl fmt::Display for Shareability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            0 => "non-shareable",
            2 => "outer shareable",
            3 => "inner shareable",
            _ => "a reserved shareability",
        })
    }
}
