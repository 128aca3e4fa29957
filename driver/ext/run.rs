// SPDX-License-Identifier: GPL-2.0

//! PFNs that may be mapped.

use super::address_space::AddressSpace;

/// PFNs that follow each other in physical memory.
///
/// # Invariants
///
/// The memory stays allocated as long as this value lives, and is freed only after every VMA of `space` has
/// been unmapped.
#[derive(Clone, Copy)]
pub(crate) struct Run<'memory> {
    first: usize,
    length: usize,
    space: &'memory AddressSpace,
}

impl<'memory> Run<'memory> {
    /// Describes `length` PFNs from `first` on, which may be mapped in VMAs of `space`.
    ///
    /// # Safety
    ///
    /// The PFNs must be of memory that is allocated during `'memory`, and before it is freed,
    /// [`AddressSpace::unmap_all`] must be called on `space`.
    pub(super) unsafe fn new(first: usize, length: usize, space: &'memory AddressSpace) -> Self {
        // INVARIANT: By the safety requirements.
        Self {
            first,
            length,
            space,
        }
    }

    /// Returns the first PFN.
    pub(crate) fn first(self) -> usize {
        self.first
    }

    /// Returns how many PFNs there are.
    pub(super) fn length(self) -> usize {
        self.length
    }

    /// Returns the address space whose VMAs the PFNs may be mapped in.
    pub(super) fn address_space(self) -> &'memory AddressSpace {
        self.space
    }
}
