// SPDX-License-Identifier: GPL-2.0

//! Page tables and PAR of 32-bit ARM without LPAE: the short-descriptor format.
//!
//! The Arm Architecture Reference Manual, ARMv7-A and ARMv7-R edition, has it under "Short-descriptor
//! translation table format", "memory region attributes, with TEX remap" and "PAR". QEMU leaves the memory
//! attributes out of PAR. So they are read from the descriptor, and compared with PAR where that has any.

use super::Mapping;
use kernel::prelude::*;

/// What a CPU found by its walk for one address, and what it went by.
#[derive(Clone, Copy)]
pub(super) struct Walk {
    /// PAR, after a walk that did not fail.
    pub(super) par: u32,
    /// The descriptor of the first level.
    pub(super) first: u32,
    /// That of the second level, if the first one refers to a table.
    pub(super) second: u32,
    /// The primary region remap register: memory types and shareability.
    pub(super) prrr: u32,
    /// The normal memory remap register: how normal memory is cached.
    pub(super) nmrr: u32,
}

/// Returns where `address` lies in memory, and the attributes of that memory.
///
/// # Errors
///
/// - `EAGAIN`: PAR and the descriptors are not of the same entry, which has changed in between.
/// - `EIO`: they are of the same entry, and PAR has other attributes than the descriptor stands for.
pub(super) fn mapping(walk: Walk, address: usize, writable: bool) -> Result<Mapping> {
    let entry = Entry::read(walk.first, walk.second).ok_or(EAGAIN)?;
    // CAST: An address has 32 bits here.
    let physical_address = entry.base | u64::from(address as u32) & (entry.size - 1);
    if physical_address != Par(walk.par).physical_address(address) {
        return Err(EAGAIN);
    }

    let attributes = entry.attributes(walk.prrr, walk.nmrr).ok_or(EIO)?;
    if Par(walk.par)
        .attributes()
        .is_some_and(|said| said != Ok(attributes))
    {
        return Err(EIO);
    }
    Ok(Mapping {
        physical_address,
        attribute: attributes.attribute,
        shareability: attributes.shareability,
        writable,
        entry_size: Some(entry.size),
    })
}

/// How memory is accessed, as [`Mapping`] has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Attributes {
    attribute: u8,
    shareability: u8,
}

impl Attributes {
    const NOT_SHAREABLE: u8 = 0;
    const OUTER: u8 = 2;
    const INNER: u8 = 3;

    /// Memory whose accesses are in the order of the program: Device-nGnRnE.
    const STRONGLY_ORDERED: Self = Self {
        attribute: 0x00,
        shareability: Self::OUTER,
    };

    /// Returns how memory is shared, by a bit that says so and one that says that it is only within
    /// the inner domain.
    fn shareability(is_shared: bool, is_inner: bool) -> u8 {
        match (is_shared, is_inner) {
            (false, _) => Self::NOT_SHAREABLE,
            (true, false) => Self::OUTER,
            (true, true) => Self::INNER,
        }
    }
}

/// Device memory: Device-nGnRE.
const DEVICE: u8 = 0x04;

/// What a byte of `MAIR_EL1` has, in either half, for a field of NMRR: not cached, write-back with
/// allocation on stores, write-through, write-back without.
const CACHED: [u8; 4] = [0x4, 0xf, 0xa, 0xe];

/// Returns bit `index`.
fn bit(word: u32, index: u32) -> bool {
    word >> index & 1 != 0
}

/// Returns the two bits from `index` on.
fn field(word: u32, index: u32) -> usize {
    // CAST: Two bits.
    (word >> index & 3) as usize
}

/// The entry that maps an address, of whichever level.
struct Entry {
    /// The physical address of its first byte.
    base: u64,
    /// How many bytes it maps: a power of two.
    size: u64,
    /// The bits TEX[0], C and B, which select fields of PRRR and NMRR.
    region: u32,
    /// The bit S.
    is_shared: bool,
}

impl Entry {
    /// Reads the descriptors, or returns `None` if they map nothing.
    fn read(first: u32, second: u32) -> Option<Self> {
        let entry = |base, size, word: u32, tex: u32, shared| Self {
            base,
            size,
            region: (word >> tex & 1) << 2 | word >> 2 & 3,
            is_shared: bit(word, shared),
        };

        Some(match (field(first, 0), field(second, 0)) {
            // A table, and a page of 64 KiB or 4 KiB.
            (1, 1) => entry((second & 0xffff_0000).into(), 1 << 16, second, 12, 10),
            (1, 2..) => entry((second & 0xffff_f000).into(), 1 << 12, second, 6, 10),
            // A supersection, whose address has 40 bits, and a section.
            (2.., _) if bit(first, 18) => {
                let high = u64::from(first >> 20 & 0xf) | u64::from(first >> 5 & 0xf) << 4;
                let base = u64::from(first & 0xff00_0000) | high << 32;
                entry(base, 1 << 24, first, 12, 16)
            }
            (2.., _) => entry((first & 0xfff0_0000).into(), 1 << 20, first, 12, 16),
            _ => return None,
        })
    }

    /// Returns the attributes that the entry stands for, or `None` if that is a reserved value.
    fn attributes(&self, prrr: u32, nmrr: u32) -> Option<Attributes> {
        let at = 2 * self.region;
        // Which bit says whether memory is shared: for each type there are two, for either value of S.
        let is_shared = |from: u32| bit(prrr, from + u32::from(self.is_shared));
        let (attribute, is_shared) = match field(prrr, at) {
            0 => return Some(Attributes::STRONGLY_ORDERED),
            1 => (DEVICE, is_shared(16)),
            2 => {
                let [inner, outer] = [at, at + 16].map(|at| CACHED[field(nmrr, at)]);
                (outer << 4 | inner, is_shared(18))
            }
            _ => return None,
        };
        Some(Attributes {
            attribute,
            shareability: Attributes::shareability(is_shared, bit(prrr, 24 + self.region)),
        })
    }
}

/// The physical address register after a translation that did not fail.
#[derive(Clone, Copy)]
struct Par(u32);

impl Par {
    /// Returns what `address` was translated to.
    fn physical_address(self, address: usize) -> u64 {
        // CAST: An address has 32 bits here.
        let address = address as u32;
        // A supersection: bits 31 to 24 of the physical address, and above it bits 39 to 32.
        if bit(self.0, 1) {
            return u64::from(self.0 & 0xff00_0000 | address & 0xff_ffff)
                | u64::from(self.0 >> 16 & 0xff) << 32;
        }
        (self.0 & 0xffff_f000 | address & 0xfff).into()
    }

    /// Returns the attributes, or `None` if there are none: also of memory that is not cached and not
    /// shared. An error is a reserved value.
    fn attributes(self) -> Option<Result<Attributes>> {
        // Outer, inner, SH, and NOS.
        if self.0 & 0x4fc == 0 {
            return None;
        }

        // CAST: Three bits.
        let inner = (self.0 >> 4 & 7) as usize;
        let attribute = match inner {
            1 => return Some(Ok(Attributes::STRONGLY_ORDERED)),
            3 => DEVICE,
            0 | 5.. => CACHED[field(self.0, 2)] << 4 | CACHED[inner & 3],
            _ => return Some(Err(EIO)),
        };
        Some(Ok(Attributes {
            attribute,
            shareability: Attributes::shareability(bit(self.0, 7), bit(self.0, 10)),
        }))
    }
}

#[kunit_tests(faultline_translate_short)]
mod tests {
    use super::*;

    // As Linux sets them.
    const PRRR: u32 = 0xff0a_81a8;
    const NMRR: u32 = 0x40e0_40e0;
    const ADDRESS: usize = 0xb6f0_1123;

    fn walked(par: u32, first: u32, second: u32) -> Result<Mapping> {
        let walk = Walk {
            par,
            first,
            second,
            prrr: PRRR,
            nmrr: NMRR,
        };
        mapping(walk, ADDRESS, true)
    }

    fn found(base: u64, size: u64, attribute: u8, shareability: u8) -> Result<Mapping> {
        Ok(Mapping {
            physical_address: base | ADDRESS as u64 & (size - 1),
            attribute,
            shareability,
            writable: true,
            entry_size: Some(size),
        })
    }

    /// A table, and where PAR says that the address lies, without attributes, as in QEMU.
    const TABLE: u32 = 0x1000_0001;
    const PAR: u32 = 0x3f00_1000;

    fn page(attribute: u8, shareability: u8) -> Result<Mapping> {
        found(0x3f00_1000, 1 << 12, attribute, shareability)
    }

    /// The memory types that Linux uses.
    #[test]
    fn types_decoded() {
        for (second, attribute, shareability) in [
            // Not cached.
            (0x3f00_1837, 0x44, 0),
            (0x3f00_1c37, 0x44, 3),
            // Write-back, without allocation on stores and with it.
            (0x3f00_183f, 0xee, 0),
            (0x3f00_1c7f, 0xff, 3),
            // For registers.
            (0x3f00_1c73, 0x04, 3),
            (0x3f00_1433, 0x00, 2),
        ] {
            let expected = page(attribute, shareability);
            assert_eq!(walked(PAR, TABLE, second), expected);
        }
    }

    /// Entries of all sizes, none, and one that is not the one that PAR is of.
    #[test]
    fn sizes_decoded() {
        let large = found(0x3f00_0000, 1 << 16, 0xee, 3);
        let section = found(0x3f00_0000, 1 << 20, 0xff, 3);
        let supersection = found(0x2_3f00_0000, 1 << 24, 0xff, 3);

        for (par, first, second, expected) in [
            (PAR, TABLE, 0x3f00_043d, large),
            (PAR, 0x3f01_140e, 0, section),
            (0x3f02_0002, 0x3f25_140e, 0, supersection),
            (PAR, 0, 0, Err(EAGAIN)),
            (PAR, TABLE, 0, Err(EAGAIN)),
            (PAR, TABLE, 0x3f00_283f, Err(EAGAIN)),
        ] {
            assert_eq!(walked(par, first, second), expected);
        }
    }

    /// PAR with attributes: those of the descriptor, or others.
    #[test]
    fn attributes_compared() {
        const SHARED: u32 = 0x3f00_1c7f;
        const ALONE: u32 = 0x3f00_183f;
        const DEVICE: u32 = 0x3f00_1c73;
        const ORDERED: u32 = 0x3f00_1433;

        for (par, second, expected) in [
            (0x3f00_14d4, SHARED, page(0xff, 3)),
            (0x3f00_1480, SHARED, Err(EIO)),
            (0x3f00_1020, SHARED, Err(EIO)),
            (0x3f00_107c, ALONE, page(0xee, 0)),
            (0x3f00_14fc, ALONE, Err(EIO)),
            (0x3f00_14b0, DEVICE, page(0x04, 3)),
            (0x3f00_10b0, DEVICE, Err(EIO)),
            (0x3f00_1010, ORDERED, page(0x00, 2)),
        ] {
            assert_eq!(walked(par, TABLE, second), expected);
        }
    }
}
