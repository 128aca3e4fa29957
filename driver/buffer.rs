// SPDX-License-Identifier: GPL-2.0

//! The buffer of one device: its memory, and all arithmetic on sizes and offsets.

#[cfg(faultline_mutant = "eager")]
use crate::ext::vm_fault::{
    Installed,
    NewArea, //
};
use crate::{
    ext::{
        address_space::AddressSpace,
        coherent::{
            set_dma_mask,
            MappableCoherent,
            Run, //
        },
        memory,
        translate::{
            Access,
            Translation, //
        }, //
    },
    master::{
        Attach,
        Description,
        Master,
        Target, //
    },
    mutant, //
};
use core::{
    mem::MaybeUninit,
    ops::Range, //
};
use kernel::{
    device::{
        Bound,
        Core,
        Device, //
    },
    dma::DmaAddress,
    fmt,
    iov::{
        IovIterDest,
        IovIterSource, //
    },
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    platform,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            AtomicFlag,
            Relaxed, //
        },
        Arc, //
    }, //
};

/// The length of a buffer: at least one page, whole pages, no more than the machine's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Length {
    pages: usize,
}

impl Length {
    /// One page, the length of a buffer whose node does not say.
    pub(crate) const ONE_PAGE: Self = Self { pages: 1 };

    /// Accepts a length in bytes that a buffer can have on this machine.
    ///
    /// # Errors
    ///
    /// [`BadLength`] says what is wrong with it.
    pub(crate) fn from_bytes(bytes: u64) -> Result<Self, BadLength> {
        Self::from_bytes_within(bytes, memory::total_pages())
    }

    /// As [`from_bytes`](Self::from_bytes), on a machine with `available` pages of memory.
    fn from_bytes_within(bytes: u64, available: usize) -> Result<Self, BadLength> {
        // CAST: `usize` is no wider than `u64` on any architecture, and a page smaller still.
        const PAGE: u64 = PAGE_SIZE as u64;

        if bytes == 0 {
            return Err(BadLength::Zero);
        }
        if bytes % PAGE != 0 {
            return Err(BadLength::NotWholePages { bytes });
        }

        match usize::try_from(bytes / PAGE) {
            Ok(pages) if pages <= available => Ok(Self { pages }),
            _ => Err(BadLength::MoreThanMemory {
                bytes,
                // CAST: As above; and the memory of a machine fits its physical addresses.
                memory: available as u64 * PAGE,
            }),
        }
    }

    /// Returns the length in bytes.
    pub(crate) fn bytes(self) -> usize {
        // Does not overflow: memory of that many pages exists.
        self.pages << PAGE_SHIFT
    }

    /// Returns the length in pages.
    pub(crate) fn pages(self) -> usize {
        self.pages
    }

    /// Returns whether `count` pages from page `first` on lie inside the buffer.
    pub(crate) fn contains_pages(self, first: usize, count: usize) -> bool {
        first
            .checked_add(count)
            .is_some_and(|end| end <= self.pages)
    }

    /// Returns the pages of the aligned group of `size` pages that `page` is in, as far as they lie
    /// inside the buffer. `size` must be a power of two.
    pub(crate) fn group(self, page: usize, size: usize) -> Range<usize> {
        let first = page & !(size - 1);
        first..first.saturating_add(size).min(self.pages)
    }

    /// Returns the part of `length` bytes from byte `position` on that lies inside the buffer;
    /// it is empty, not refused, where nothing does.
    pub(crate) fn clamp(self, position: usize, length: usize) -> Range<usize> {
        let start = position.min(self.bytes());
        start..start.saturating_add(length).min(self.bytes())
    }

    /// Returns `length` bytes from byte `offset` on, or `None` if there are none or they are not all
    /// inside the buffer.
    pub(crate) fn part(self, offset: u64, length: u64) -> Option<Range<usize>> {
        let end = usize::try_from(offset.checked_add(length)?).ok()?;
        let start = usize::try_from(offset).ok()?;

        (length > 0 && end <= self.bytes()).then_some(start..end)
    }
}

/// Why a buffer cannot have a length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadLength {
    /// It is nothing.
    Zero,
    /// It does not end at the end of a page.
    NotWholePages { bytes: u64 },
    /// The machine has less.
    MoreThanMemory { bytes: u64, memory: u64 },
}

impl fmt::Display for BadLength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zero => write!(
                f,
                "0 is not a size: give a multiple of the page size ({PAGE_SIZE})"
            ),
            Self::NotWholePages { bytes } => {
                write!(
                    f,
                    "{bytes} is not a multiple of the page size ({PAGE_SIZE})"
                )
            }
            Self::MoreThanMemory { bytes, memory } => write!(
                f,
                "{bytes} bytes are more than this machine's memory ({memory} bytes)"
            ),
        }
    }
}

impl From<BadLength> for Error {
    fn from(error: BadLength) -> Self {
        match error {
            BadLength::Zero | BadLength::NotWholePages { .. } => EINVAL,
            BadLength::MoreThanMemory { .. } => ENOMEM,
        }
    }
}

/// Allocated, zeroed memory that the device and the CPU share; and the device, if it can be asked
/// to access it.
pub(crate) struct Buffer {
    // Dropped before the memory that it accesses.
    master: Option<Arc<dyn Master>>,
    memory: MappableCoherent,
    #[cfg(faultline_mutant = "bounce")]
    bounce: MappableCoherent,
    length: Length,
    /// Whether the memory may have changed since it was allocated.
    was_used: AtomicFlag,
}

impl Buffer {
    /// Takes hold of the bus master that `pdev` is or has, and allocates a buffer for it, or for
    /// `pdev` itself, that can be mapped through the files of `space`.
    ///
    /// # Errors
    ///
    /// The log has the reason.
    ///
    /// - As [`set_dma_mask`] and [`MappableCoherent::zeroed`].
    /// - As `attach`.
    pub(crate) fn allocate(
        pdev: &platform::Device<Core<'_>>,
        length: Length,
        space: Arc<AddressSpace>,
        attach: Option<Attach>,
    ) -> Result<Self> {
        set_dma_mask(pdev)?;
        let master = attach.map(|attach| attach(pdev)).transpose()?;

        let this: &Device<Bound> = pdev.as_ref();
        let dev = master.as_deref().and_then(Master::device).unwrap_or(this);
        #[cfg(faultline_mutant = "bounce")]
        let bounce = MappableCoherent::zeroed(dev, length.pages(), space.clone())?;

        let memory = MappableCoherent::zeroed(dev, length.pages(), space).inspect_err(|_| {
            dev_err!(
                pdev,
                "size: cannot allocate {} bytes of DMA memory\n",
                length.bytes()
            );
        })?;

        if mutant::NOT_ZEROED {
            memory.write(length.bytes() - 1, b"!");
        }

        Ok(Self {
            #[cfg(faultline_mutant = "bounce")]
            bounce,
            master,
            memory,
            length,
            was_used: AtomicFlag::new(false),
        })
    }

    /// Returns whether the buffer must still be all zeroes: nobody has mapped it, written to it, or
    /// had the bus master do so.
    pub(crate) fn is_pristine(&self) -> bool {
        !self.was_used.load(Relaxed)
    }

    /// Takes note that the buffer may change from here on.
    pub(crate) fn mark_used(&self) {
        // Most calls find it marked: do not write to a cache line that all CPUs read.
        if self.is_pristine() {
            self.was_used.store(true, Relaxed);
        }
    }

    /// Returns the bus master.
    ///
    /// # Errors
    ///
    /// `ENODATA` if there is none.
    fn master(&self) -> Result<&dyn Master> {
        self.master.as_deref().ok_or(ENODATA)
    }

    /// Says what the bus master is and can do.
    ///
    /// # Errors
    ///
    /// `ENODATA` if there is none.
    pub(crate) fn describe_master(&self) -> Result<Description> {
        self.master().map(Master::describe)
    }

    /// Has the bus master write what it has to at most `length` bytes from `offset` on; returns how
    /// many bytes it has written. May sleep.
    ///
    /// # Errors
    ///
    /// - `ENODATA`, `EOPNOTSUPP`: there is no bus master, or it cannot.
    /// - `EINVAL`: the bytes are not all in the buffer, not aligned, or none.
    /// - `EMSGSIZE`: they are less than what the bus master must write at once.
    /// - As [`Master::fill`].
    pub(crate) fn fill(&self, offset: u64, length: u64) -> Result<usize> {
        let master = self.master()?;
        let description = master.describe();

        let range = self.accessible(description, description.max_fill, offset, length)?;
        let length = range.len().min(description.max_fill);
        if length < description.orders {
            return Err(EMSGSIZE);
        }

        self.mark_used();
        if !mutant::MASTER_SILENT {
            let target = mutant::target(range.start..range.start + length, self.length);
            master.fill(&Target::new(&self.memory, target).ok_or(EINVAL)?)?;
        }
        Ok(length)
    }

    /// Returns whether the bus master finds its orders in the buffer, so that whoever can write there
    /// can give it some.
    pub(crate) fn has_orders(&self) -> bool {
        self.describe_master().is_ok_and(|master| master.orders > 0)
    }

    /// Has the bus master read `length` bytes at `source` and write them to `destination`. May sleep.
    ///
    /// # Errors
    ///
    /// - `EMSGSIZE`: the bus master does not copy as much at once.
    /// - As [`fill`](Self::fill).
    pub(crate) fn copy(&self, source: u64, destination: u64, length: u64) -> Result {
        let master = self.master()?;
        let description = master.describe();
        let limit = description.max_copy;

        let source = self.accessible(description, limit, source, length)?;
        let destination = self.accessible(description, limit, destination, length)?;
        if source.len() > limit {
            return Err(EMSGSIZE);
        }

        self.mark_used();
        if mutant::MASTER_SILENT {
            return Ok(());
        }
        let destination = mutant::target(destination, self.length);
        master.copy(
            self.memory.span(source).ok_or(EINVAL)?,
            self.memory.span(destination).ok_or(EINVAL)?,
        )
    }

    /// Returns the bytes that a bus master is to access, if it does such a thing at all.
    fn accessible(
        &self,
        master: Description,
        limit: usize,
        offset: u64,
        length: u64,
    ) -> Result<Range<usize>> {
        if limit == 0 {
            return Err(EOPNOTSUPP);
        }

        self.length
            .part(offset, length)
            .filter(|range| (range.start | range.len()) % master.alignment == 0)
            .ok_or(EINVAL)
    }

    /// Returns the address at which the device finds the buffer.
    pub(crate) fn dma_address(&self) -> DmaAddress {
        self.memory.dma_address()
    }

    /// Returns whether the device sees the CPU's caches.
    pub(crate) fn device_is_coherent(&self) -> bool {
        self.memory.device_is_coherent()
    }

    /// Returns the frames behind `pages`, as [`MappableCoherent::run`].
    pub(crate) fn run(&self, pages: Range<usize>) -> Option<Run<'_>> {
        self.memory.run(pages)
    }

    /// Maps all of `area` at once, as [`NewArea::map_all`].
    #[cfg(faultline_mutant = "eager")]
    pub(crate) fn map_all(&self, area: NewArea<'_>) -> Result<Installed> {
        area.map_all(&self.memory)
    }

    /// Returns the physical address of the byte at `offset`, or `None` past the end.
    pub(crate) fn physical_address(&self, offset: u64) -> Option<u64> {
        let offset = usize::try_from(offset).ok()?;
        let page = offset >> PAGE_SHIFT;
        let frame = self.memory.run(page..page + 1)?;

        // CAST: Less than a page.
        Some(frame.physical_address() + (offset % PAGE_SIZE) as u64)
    }

    /// Returns the word at `offset`, as [`MappableCoherent::word`].
    pub(crate) fn word(&self, offset: usize) -> Option<&Atomic<u64>> {
        self.memory.word(offset)
    }

    /// Has the CPU translate the kernel's own address of the byte at `offset`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: `offset` is past the end.
    /// - `EOPNOTSUPP`: the architecture cannot.
    pub(crate) fn translate(&self, offset: u64, access: Access) -> Result<Translation> {
        usize::try_from(offset)
            .ok()
            .and_then(|offset| self.memory.translate(offset, access))
            .ok_or(EINVAL)?
    }

    /// Copies the bytes of `range` out, as far as the destination's memory is present; returns
    /// how many. Does not sleep.
    pub(crate) fn read(&self, range: Range<usize>, destination: &mut IovIterDest<'_>) -> usize {
        self.transferred()
            .copy_to_iter(range.start, range.len(), destination)
    }

    /// Copies the bytes of `range` in, as far as the source's memory is present; returns how
    /// many. Does not sleep.
    pub(crate) fn write(&self, range: Range<usize>, source: &mut IovIterSource<'_>) -> usize {
        if range.is_empty() {
            return 0;
        }
        self.mark_used();
        self.transferred()
            .copy_from_iter(range.start, range.len(), source)
    }

    /// Returns what `read()` and `write()` work on: the memory, but in the mutant `bounce`.
    fn transferred(&self) -> &MappableCoherent {
        #[cfg(faultline_mutant = "bounce")]
        return &self.bounce;
        #[cfg(not(faultline_mutant = "bounce"))]
        &self.memory
    }

    /// Copies from byte `position` on to kernel memory, up to the end; returns how many bytes.
    pub(crate) fn peek(&self, position: usize, destination: &mut [MaybeUninit<u8>]) -> usize {
        self.memory.read(position, destination)
    }

    /// Copies from kernel memory to byte `position` on, up to the end; returns how many bytes.
    pub(crate) fn poke(&self, position: usize, source: &[u8]) -> usize {
        self.mark_used();
        self.memory.write(position, source)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // A device that ran out of time and still is at it may yet write: to nobody's memory, then.
        if self.master().is_ok_and(|master| master.settle().is_err()) {
            self.memory.abandon();
        }
    }
}

#[kunit_tests(faultline_length)]
mod tests {
    use super::*;

    const PAGE: u64 = PAGE_SIZE as u64;
    const AVAILABLE: usize = 8;

    /// Sizes in bytes on a machine with [`AVAILABLE`] pages, and the pages or the complaint.
    #[test]
    fn lengths_from_bytes() {
        use BadLength::*;

        let memory = AVAILABLE as u64 * PAGE;
        let too_much = |bytes| Err(MoreThanMemory { bytes, memory });
        let crooked = |bytes| Err(NotWholePages { bytes });

        for (bytes, expected) in [
            (0, Err(Zero)),
            (1, crooked(1)),
            (PAGE - 1, crooked(PAGE - 1)),
            (PAGE, Ok(1)),
            (PAGE + 1, crooked(PAGE + 1)),
            (memory - PAGE, Ok(AVAILABLE - 1)),
            (memory, Ok(AVAILABLE)),
            (memory + PAGE, too_much(memory + PAGE)),
            (1 << 32, too_much(1 << 32)),
            (u64::MAX - PAGE + 1, too_much(u64::MAX - PAGE + 1)),
            (u64::MAX, crooked(u64::MAX)),
        ] {
            let length = Length::from_bytes_within(bytes, AVAILABLE);
            assert_eq!(length.map(Length::pages), expected);
        }
    }

    /// Areas, as the first page and the count, in a buffer of four pages.
    #[test]
    fn areas_inside() {
        let length = Length { pages: 4 };

        for (first, count, expected) in [
            (0, 0, true),
            (0, 4, true),
            (0, 5, false),
            (3, 1, true),
            (3, 2, false),
            (4, 0, true),
            (4, 1, false),
            (usize::MAX, 0, false),
            (usize::MAX, 1, false),
            (1, usize::MAX, false),
            (usize::MAX, usize::MAX, false),
        ] {
            assert_eq!(length.contains_pages(first, count), expected);
        }
    }

    /// Groups of four pages in a buffer of six.
    #[test]
    fn groups_around_pages() {
        let length = Length { pages: 6 };

        for (page, expected) in [
            (0, 0..4),
            (3, 0..4),
            (4, 4..6),
            (5, 4..6),
            (6, 4..6),
            (8, 8..6),
            (usize::MAX, usize::MAX - 3..6),
        ] {
            assert_eq!(length.group(page, 4), expected);
        }
    }

    /// Transfers, as a position and a length in bytes, in a buffer of two pages.
    #[test]
    fn transfers_clamped() {
        let length = Length { pages: 2 };
        let end = 2 * PAGE_SIZE;

        for (position, count, expected) in [
            (0, 0, 0..0),
            (0, end, 0..end),
            (0, end + 1, 0..end),
            (0, usize::MAX, 0..end),
            (1, usize::MAX, 1..end),
            (end - 1, 1, end - 1..end),
            (end - 1, 2, end - 1..end),
            (end, 1, end..end),
            (end + 1, 1, end..end),
            (usize::MAX, usize::MAX, end..end),
        ] {
            assert_eq!(length.clamp(position, count), expected);
        }
    }

    /// Parts, as an offset and a length in bytes, of a buffer of two pages.
    #[test]
    fn parts_inside() {
        let length = Length { pages: 2 };
        let end = 2 * PAGE;
        let all = 0..2 * PAGE_SIZE;

        for (offset, count, expected) in [
            (0, 0, None),
            (0, end, Some(all.clone())),
            (0, end + 1, None),
            (1, end, None),
            (end - 1, 1, Some(all.end - 1..all.end)),
            (end - 1, 2, None),
            (end, 0, None),
            (end, 1, None),
            (1, u64::MAX, None),
            (u64::MAX, 1, None),
            (u64::MAX, u64::MAX, None),
        ] {
            assert_eq!(length.part(offset, count), expected);
        }
    }
}
