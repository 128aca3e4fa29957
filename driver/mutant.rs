// SPDX-License-Identifier: GPL-2.0

//! Drivers that are wrong on purpose, each in one way, to show that the verification catches it.
//!
//! `FAULTLINE_MUTANT=name` (driver/Kbuild) builds one of them. In every other build all constants
//! here are false, so that the compiler drops what hangs on them; what would add to a type, or to
//! the C side, is left out by `cfg`. `docs/testing.md` says which check catches which.
//!
//! The rest of the driver asks here at the place where the mutant goes wrong, and nowhere decides
//! for itself.

use crate::{
    buffer::Length,
    ext::{
        translate::{
            Mapping,
            Translation, //
        },
        vm_fault::MemoryType, //
    }, //
};
use core::ops::Range;

/// Declares mutants: a constant and a name each. Build scripts read these lines.
macro_rules! mutants {
    ($($(#[$doc:meta])* $constant:ident = $name:literal;)*) => {
        $($(#[$doc])* pub(crate) const $constant: bool = cfg!(faultline_mutant = $name);)*

        /// The name of the way in which this driver is wrong, if it is.
        pub(crate) const NAME: Option<&str> = {
            let mut name = None;
            $(if $constant {
                name = Some($name);
            })*
            name
        };
    };
}

mutants! {
    /// A fault maps the neighbour of the page that was touched.
    WRONG_PAGE = "wrong-page";
    /// Every fault maps the first page.
    SAME_FRAME = "same-frame";
    /// One entry for a block maps the neighbour of the block that was touched.
    WRONG_BLOCK = "wrong-block";
    /// User space's mapping is cached, whatever the device is.
    CACHEABLE = "cacheable";
    /// User space's mapping is of device memory where it should be normal non-cacheable.
    DEVICE_MEMORY = "device-memory";
    /// The frame is computed from the address that the *device* has for the buffer.
    DMA_ADDRESS = "dma-address";
    /// The first store to a page copies it for the process, although the area is shared.
    PRIVATE_COPY = "private-copy";
    /// `read()` and `write()` work on memory of their own.
    BOUNCE = "bounce";
    /// `read()` leaves the last byte out.
    SHORT_READ = "short-read";
    /// `write()` drops the last byte, and says that it did not.
    SHORT_WRITE = "short-write";
    /// The last byte of a new buffer is not zero.
    NOT_ZEROED = "not-zeroed";
    /// Unbinding leaves every mapping in place.
    NO_REVOKE = "no-revoke";
    /// Unbinding misses the mappings of files that a second process has opened.
    REVOKE_MISSES_ONE = "revoke-misses-one";
    /// `TRANSLATE` says what the device's coherency demands, whatever the CPU says.
    ATTRIBUTE_LIES = "attribute-lies";
    /// The bus master does nothing, and is said to have done all.
    MASTER_SILENT = "master-silent";
    /// The bus master writes one byte too many.
    MASTER_OVERRUN = "master-overrun";
    /// `mmap()` maps everything at once, if the module's parameter `mapping` is 3; an unbinding that
    /// comes in between misses the mapping.
    EAGER = "eager";
}

/// Whether memory that unbinding leaves in user space's hands is kept, so that the guest lives to
/// tell.
pub(crate) const KEEPS_MEMORY: bool = NO_REVOKE || REVOKE_MISSES_ONE;

/// Returns the page that is mapped where `touched` should be, if it is to be another one.
pub(crate) fn page_instead_of(touched: usize, length: Length) -> Option<usize> {
    if SAME_FRAME {
        return Some(0);
    }

    let neighbour = touched ^ 1;
    (WRONG_PAGE && length.contains_pages(neighbour, 1)).then_some(neighbour)
}

/// Returns the pages that a block is mapped to, or `None` if there shall be no block.
pub(crate) fn block(pages: Range<usize>, length: Length) -> Option<Range<usize>> {
    if PRIVATE_COPY || page_instead_of(pages.start, length).is_some() {
        return None;
    }

    let neighbour = pages.start ^ pages.len();
    if WRONG_BLOCK && length.contains_pages(neighbour, pages.len()) {
        return Some(neighbour..neighbour + pages.len());
    }
    Some(pages)
}

/// Returns the memory type that an area is given in place of the right one.
pub(crate) fn memory_type(right: MemoryType) -> MemoryType {
    match right {
        MemoryType::DmaCoherent if CACHEABLE => MemoryType::Cached,
        #[cfg(faultline_mutant = "device-memory")]
        MemoryType::DmaCoherent => MemoryType::Device,
        _ => right,
    }
}

/// Returns how many bytes are left out at the end of a transfer.
pub(crate) fn left_out(is_mutant: bool, range: &Range<usize>) -> usize {
    usize::from(is_mutant && range.len() > 1)
}

/// Returns what is said of a translation.
pub(crate) fn said(truth: Translation, is_coherent: bool) -> Translation {
    match truth {
        Translation::Mapped(mapping) if ATTRIBUTE_LIES => Translation::Mapped(Mapping {
            attribute: if is_coherent { 0xff } else { 0x44 },
            ..mapping
        }),
        _ => truth,
    }
}

/// Returns what a bus master writes to, of a buffer of that length.
pub(crate) fn target(range: Range<usize>, length: Length) -> Range<usize> {
    let end = range.end + usize::from(MASTER_OVERRUN);
    range.start..end.min(length.bytes())
}

/// Returns whether the mappings of a file that the calling task opens are to be missed.
pub(crate) fn misses_this_process() -> bool {
    #[cfg(faultline_mutant = "revoke-misses-one")]
    {
        use kernel::{
            current,
            sync::atomic::{
                Atomic,
                Relaxed, //
            },
        };

        static FIRST: Atomic<i32> = Atomic::new(0);
        let process = current!().tgid();
        return FIRST
            .cmpxchg(0, process, Relaxed)
            .is_err_and(|first| first != process);
    }
    #[cfg(not(faultline_mutant = "revoke-misses-one"))]
    false
}
