// SPDX-License-Identifier: GPL-2.0

//! The CPU's own translation of an address.
//!
//! What the kernel has written into its page tables can be read there. What the hardware makes of
//! it, it alone can say: arm64 has instructions (`AT S1E0R` and its like) that walk the table as
//! an access would, and leave address and memory attribute in a register (`PAR_EL1`). 32-bit ARM
//! has the same among its CP15 registers; without LPAE in another format ([`short`]).

mod short;

use super::ffi;
use kernel::{
    error::to_result,
    ffi::c_void,
    prelude::*, //
};

/// The kind of access that is translated for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Load,
    Store,
}

/// What the CPU makes of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Translation {
    /// The access would reach memory.
    Mapped(Mapping),
    /// The access would fault, with this fault status code (`PAR_EL1.FST`; of 32 bits, `PAR.FS`).
    Fault(u8),
}

/// What an access would reach, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mapping {
    /// The physical address of the very byte.
    pub(crate) physical_address: u64,
    /// The memory attribute, encoded as a byte of `MAIR_EL1` is.
    pub(crate) attribute: u8,
    /// Not (0), outer (2) or inner (3) shareable.
    pub(crate) shareability: u8,
    /// Whether a store would do.
    pub(crate) writable: bool,
    /// How many bytes the page-table entry maps, if that is known.
    pub(crate) entry_size: Option<u64>,
}

/// Translates an address of the calling task, with user space's rights.
///
/// Reads no memory of the task, and brings none in. The answer is of this moment: other threads may
/// change the mapping at any time.
///
/// # Errors
///
/// - `EFAULT`: the address is not one of user space.
/// - `EOPNOTSUPP`: the architecture has no such instruction.
/// - 32-bit ARM without LPAE, where the task's `mm` is locked meanwhile, so that no buffer may be held: `EINTR`
///   for a deadly signal, `EAGAIN` for a mapping that does not stop changing, `EIO` for an answer that
///   contradicts the page table.
pub(crate) fn user(address: u64, access: Access) -> Result<Translation> {
    let address = usize::try_from(address).map_err(|_| EFAULT)?;

    again(|| {
        let mut walk = ffi::faultline_walk::default();

        // SAFETY: The function refuses addresses that are not user space's, and accesses none; `walk`
        // may be written to.
        to_result(unsafe { ffi::faultline_translate_user(address, &mut walk) })?;
        Translation::new(walk, address, access)
    })
}

/// Translates a kernel address, with the kernel's rights.
///
/// What the answer says about an address that is not the caller's may tell secrets.
///
/// # Safety
///
/// On 32-bit ARM without LPAE, where the page table is read, there must be memory at the address that stays
/// mapped. Elsewhere any address will do: it is not accessed.
///
/// # Errors
///
/// - `EOPNOTSUPP`: the architecture has no such instruction.
/// - 32-bit ARM without LPAE: `EIO` for an answer that contradicts the page table.
pub(super) unsafe fn kernel(address: *const c_void, access: Access) -> Result<Translation> {
    again(|| {
        let mut walk = ffi::faultline_walk::default();

        // SAFETY: By the safety requirements the page tables of the address stay where the function reads
        // them; `walk` may be written to.
        to_result(unsafe { ffi::faultline_translate_kernel(address, &mut walk) })?;
        Translation::new(walk, address.addr(), access)
    })
}

/// How often a mapping may change while it is translated.
const ATTEMPTS: usize = 100;

/// Translates again as long as the answer is `EAGAIN`.
fn again(mut translate: impl FnMut() -> Result<Translation>) -> Result<Translation> {
    let mut answer = translate();
    for _ in 1..ATTEMPTS {
        if answer != Err(EAGAIN) {
            break;
        }
        answer = translate();
    }
    answer
}

/// Whether page tables and PAR have the short-descriptor format.
const IS_SHORT: bool = cfg!(all(CONFIG_ARM, not(CONFIG_ARM_LPAE)));

impl Translation {
    /// Reads a walk of `address` as what it means for `access`.
    fn new(walk: ffi::faultline_walk, address: usize, access: Access) -> Result<Self> {
        let store = Par(walk.store);
        let par = match access {
            Access::Load => Par(walk.load),
            Access::Store => store,
        };

        if let Some(fault) = par.fault() {
            return Ok(Self::Fault(fault));
        }
        let writable = store.fault().is_none();
        if IS_SHORT {
            let walk = short::Walk {
                // CAST: The register has 32 bits there.
                par: par.0 as u32,
                first: walk.first,
                second: walk.second,
                prrr: walk.prrr,
                nmrr: walk.nmrr,
            };
            return short::mapping(walk, address, writable).map(Self::Mapped);
        }
        Ok(Self::Mapped(Mapping {
            physical_address: par.physical_address(address),
            attribute: par.attribute(),
            shareability: par.shareability(),
            writable,
            entry_size: (walk.entry_size != 0).then_some(walk.entry_size),
        }))
    }
}

/// The physical address register (`PAR_EL1`; PAR on 32-bit ARM, of 64 bits unless the format is
/// [`short`]) after a translation.
#[derive(Clone, Copy)]
struct Par(u64);

impl Par {
    /// What the register leaves out of an address.
    const LOW: u64 = 0xfff;

    /// Returns the fault status code, bits 6 to 1 in all formats, if bit 0 says that the translation failed.
    fn fault(self) -> Option<u8> {
        // CAST: Six bits.
        (self.0 & 1 != 0).then_some((self.0 >> 1 & 0x3f) as u8)
    }

    /// Returns what `address` was translated to, by bits 51 to 12.
    fn physical_address(self, address: usize) -> u64 {
        // CAST: `usize` is no wider than `u64`.
        self.0 & ((1 << 52) - 1) & !Self::LOW | address as u64 & Self::LOW
    }

    /// Returns the memory attribute, bits 63 to 56.
    fn attribute(self) -> u8 {
        self.0.to_be_bytes()[0]
    }

    /// Returns the shareability, bits 8 and 7.
    fn shareability(self) -> u8 {
        // CAST: Two bits.
        (self.0 >> 7 & 3) as u8
    }
}

#[kunit_tests(faultline_translate)]
mod tests {
    use super::*;

    const LOAD: u64 = 0xff00_0000_4765_4b80;
    const STORE: u64 = 0xff00_0000_4765_4b80;
    const DENIED: u64 = 0x81f;

    fn translate(load: u64, store: u64, access: Access) -> Result<Translation> {
        let walk = ffi::faultline_walk {
            load,
            store,
            ..ffi::faultline_walk::default()
        };
        Translation::new(walk, 0x123, access)
    }

    fn mapped(
        physical_address: u64,
        attribute: u8,
        shareability: u8,
        writable: bool,
    ) -> Translation {
        Translation::Mapped(Mapping {
            physical_address,
            attribute,
            shareability,
            writable,
            entry_size: None,
        })
    }

    /// Registers after a load and a store, and what they mean for either.
    #[test]
    fn registers_decoded() {
        use Access::*;

        let writable = mapped(0x4765_4123, 0xff, 3, true);
        let read_only = mapped(0x4765_4123, 0xff, 3, false);
        let highest = mapped(0xf_ffff_ffff_f123, 0x44, 2, true);

        for (load, store, access, expected) in [
            (LOAD, STORE, Load, writable),
            (LOAD, STORE, Store, writable),
            (LOAD, DENIED, Load, read_only),
            (LOAD, DENIED, Store, Translation::Fault(15)),
            (0x80f, 0x80f, Load, Translation::Fault(7)),
            (0x447f_ffff_ffff_ff00, 0, Load, highest),
            (0x87f, 0x87f, Store, Translation::Fault(63)),
        ] {
            assert_eq!(translate(load, store, access), Ok(expected));
        }
    }
}
