// SPDX-License-Identifier: GPL-2.0

//! [`MappableCoherent`] of ordinary pages: [`CachedPages`] in the place of coherent memory.

use super::MappableCoherent;
use crate::ext::{
    address_space::AddressSpace,
    cached::CachedPages,
    memory::MemoryType, //
};
use core::{
    mem::ManuallyDrop,
    ptr::slice_from_raw_parts_mut, //
};
use kernel::{
    dma::{
        Coherent,
        DmaAddress, //
    },
    sync::Arc, //
};

/// What is mapped.
pub(super) enum Memory {
    Coherent(Coherent<[u8]>),
    Cached(CachedPages),
}

impl Memory {
    pub(super) fn as_mut_ptr(&self) -> *mut [u8] {
        match self {
            Self::Coherent(memory) => memory.as_mut_ptr(),
            Self::Cached(pages) => slice_from_raw_parts_mut(pages.as_ptr(), pages.size()),
        }
    }

    pub(super) fn dma_address(&self) -> DmaAddress {
        match self {
            Self::Coherent(memory) => memory.dma_address(),
            Self::Cached(pages) => pages.dma_address(),
        }
    }
}

impl MappableCoherent {
    /// Makes ordinary pages mappable through the files of `space`. There is no [`Run`](super::Run) of
    /// them: they are mapped by themselves.
    pub(crate) fn cached(pages: CachedPages, space: Arc<AddressSpace>) -> Self {
        // INVARIANT: The pages are mapped for the device, which is bound.
        Self {
            size: pages.size(),
            dev: pages.device().clone(),
            memory: ManuallyDrop::new(Memory::Cached(pages)),
            memory_type: MemoryType::Cached,
            is_abandoned: false,
            space,
            region: None,
            contiguous_from: None,
        }
    }

    /// Returns the pages of cached memory, or `None` if the memory is coherent.
    pub(crate) fn pages(&self) -> Option<&CachedPages> {
        match &*self.memory {
            Memory::Coherent(_) => None,
            Memory::Cached(pages) => Some(pages),
        }
    }
}
