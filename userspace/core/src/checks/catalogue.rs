// SPDX-License-Identifier: GPL-2.0-only

//! The checks. To add one, add an entry to [`CHECKS`], and a section of its name to
//! docs/verdicts.md, which the last sentence of a failure refers to. A new kind of step is an entry of
//! [`Step`] in `step.rs`, a line in `run.rs`, and the function that it calls, in the file of its theme.
//!
//! Each check looks at one property, most of them by two new mappings of the whole buffer, so that
//! a driver that is wrong in one way fails in few places, and those say which way it is. A check is
//! a list of [`Step`]s, which are made up to the first that fails; most of them put a [`Pattern`]
//! of the check's own into the buffer by one way, or look for it by another.
//!
//! A driver that maps the wrong pages, but always the same wrong ones, agrees with itself:
//! `alias_write` and `pagemap_same` pass, and `pagemap_kernel`, `store_read` and `write_load`
//! fail. Mapping and `read()` are compared in those two alone; `last_byte` compares each with its
//! own kind.
//!
//! On a machine whose caches are not modelled, or on one that was lucky, contents cannot tell
//! whether the memory is *coherent* with a bus master. That depends on the memory type of each
//! mapping, which is looked at where it takes effect: in the CPU's own translation.

use faultline_uapi::{MASTER_COPY, MASTER_FILL};

use super::places::{
    Place::{AcrossEnd, After, All, Before, Border, End, Ends, Last, PageEnds, PastEnd, Start},
    Way::{File, First, Kernel, Second, Third},
};
use super::step::{
    Account::{Driver, Pagemap, Walk},
    Partner,
    Step::{self, *},
};
use crate::pattern::Pattern;

/// A check.
pub struct Check {
    /// Its name, which is also its anchor in docs/verdicts.md.
    pub name: &'static str,
    /// What it proves.
    pub proves: SourceText,
    /// What its failure means on a board, and what to look at first: whole sentences.
    pub failure: &'static str,
    /// How it is made.
    pub steps: &'static [Step],
}

/// A text for the reader of this file: the program has no use for it, and does not carry it.
pub struct SourceText(());

/// Writes a [`SourceText`].
pub const fn text(_: &'static str) -> SourceText {
    SourceText(())
}

const ZERO: Pattern = Pattern::ZERO;
const ALIAS_THERE: Pattern = Pattern::new(1);
const ALIAS_BACK: Pattern = Pattern::new(2);
const STORE_READ: Pattern = Pattern::new(3);
const WRITE_LOAD: Pattern = Pattern::new(4);
const WRITE_PIECE: Pattern = Pattern::new(5);
const LAST_STORED: Pattern = Pattern::new(6);
const LAST_WRITTEN: Pattern = Pattern::new(7);
const MUNMAP: Pattern = Pattern::new(8);
const FILLED: Pattern = Pattern::new(9);
const COPIED: Pattern = Pattern::new(10);
const REFUSED: Pattern = Pattern::new(11);
const REVOKED: Pattern = Pattern::new(12);

/// All checks, in the order in which they are made.
pub const CHECKS: &[Check] = &[
    Check {
        name: "zeroed",
        proves: text(
            "A buffer that nobody has touched since the driver was bound reads as zeroes, and \
            INFO says so until it is mapped.",
        ),
        failure: "The new buffer has data of its last user, or INFO is wrong about its use. Check \
            first that the driver zeroes the memory before the device can be opened.",
        // First, while nothing has been written.
        steps: &[
            Pristine,
            Maps,
            Touched,
            Get(File, All, ZERO),
            Get(First, All, ZERO),
        ],
    },
    Check {
        name: "two_mappings",
        proves: text("Two mappings of the buffer are there at once, and do not overlap."),
        failure: "The second mmap() gives no range of its own. Check the driver's mmap() first.",
        steps: &[Maps, Apart],
    },
    Check {
        name: "alias_write",
        proves: text(
            "What is stored through one mapping is loaded through the other, in every page and \
            in both directions.",
        ),
        failure:
            "Two mappings of one offset do not show the same memory: pages are copies, or several \
            offsets share a page. Check first which PFN the fault handler inserts, and that \
            MAP_PRIVATE is refused.",
        // All pages are written before the first is looked at: pages that share a PFN then hold the
        // data of the last one.
        steps: &[
            Maps,
            Put(First, PageEnds, ALIAS_THERE),
            Get(Second, PageEnds, ALIAS_THERE),
            Put(Second, PageEnds, ALIAS_BACK),
            Get(First, PageEnds, ALIAS_BACK),
        ],
    },
    Check {
        name: "pagemap_same",
        proves: text("Both mappings have the same PFN in every page, by /proc/self/pagemap."),
        failure:
            "Two mappings of one offset have different PFNs: the fault handler's answer depends \
            on who asks. Check first how the handler computes the PFN.",
        steps: &[Maps, Pfns(Pagemap(Second), Pagemap(First))],
    },
    Check {
        name: "pagemap_kernel",
        proves: text(
            "The PFNs of a mapping are those of the buffer, as the driver knows them from the \
            kernel's own mapping.",
        ),
        failure:
            "User space is mapped to memory that is not the buffer. Check first how the driver \
            turns an offset into a PFN: a DMA address is not a physical address behind \
            `dma-ranges` or an IOMMU.",
        steps: &[Maps, Pfns(Pagemap(First), Driver)],
    },
    Check {
        name: "store_read",
        proves: text(
            "read() returns what was stored through a mapping: all of it, and pieces that start \
            and end anywhere.",
        ),
        failure:
            "read() returns other data than the mapping holds, or less of it. Check the offsets \
            and lengths in the driver's read() first; if pagemap_kernel fails too, the mapping \
            is wrong.",
        steps: &[
            Maps,
            Put(First, All, STORE_READ),
            Get(File, All, STORE_READ),
            Get(File, Start, STORE_READ),
            Get(File, Border, STORE_READ),
            Get(File, End, STORE_READ),
        ],
    },
    Check {
        name: "write_load",
        proves: text(
            "Both mappings show what write() took: all of it, and a piece across the border of \
            two pages, without its neighbours.",
        ),
        failure:
            "A mapping does not show what write() took, or write() took too little. Check the \
            offsets and lengths in the driver's write() first; if pagemap_kernel fails too, the \
            mapping is wrong.",
        // No byte of the piece is what stood there.
        steps: &[
            Maps,
            Put(File, All, WRITE_LOAD),
            Get(First, All, WRITE_LOAD),
            Get(Second, All, WRITE_LOAD),
            Put(File, Border, WRITE_PIECE),
            Get(Second, Before, WRITE_LOAD),
            Get(Second, Border, WRITE_PIECE),
            Get(Second, After, WRITE_LOAD),
        ],
    },
    Check {
        name: "last_byte",
        proves: text(
            "The last byte of the buffer can be reached by every way, and what would go beyond \
            it is cut off there.",
        ),
        failure:
            "The buffer ends too early, or not where INFO says. Check the comparisons of offsets \
            with the size in the driver first.",
        steps: &[
            Maps,
            Put(First, Last, LAST_STORED),
            Get(Second, Last, LAST_STORED),
            Put(File, Last, LAST_STORED),
            Get(File, AcrossEnd, LAST_STORED),
            Put(File, AcrossEnd, LAST_WRITTEN),
            Get(File, AcrossEnd, LAST_WRITTEN),
        ],
    },
    Check {
        name: "past_end",
        proves: text(
            "Nothing past the end can be reached: mmap() and FRAME answer EINVAL, write() \
            ENOSPC, read() nothing, and a touch SIGBUS.",
        ),
        failure:
            "Memory behind the buffer can be reached. Check first how the driver compares offsets \
            with the size, and whether that can overflow.",
        // That a SIGBUS would be caught is shown first.
        steps: &[
            Sigbus,
            NoPfnPastEnd,
            Get(File, PastEnd, ZERO),
            Put(File, PastEnd, ZERO),
            NoMapPastEnd,
        ],
    },
    Check {
        name: "translate_known",
        proves: text(
            "TRANSLATE tells the truth of memory of which the truth is known: of the program's \
            own.",
        ),
        failure:
            "TRANSLATE does not report what the CPU says: the checks that use it mean nothing. \
            Check the self-test's use of `AT` and `PAR_EL1` first.",
        steps: &[KnownMemory],
    },
    Check {
        name: "attribute_user",
        proves: text(
            "User space's mappings have the memory type that the device's coherency demands, in \
            the first and the last page, for loads and for stores.",
        ),
        failure:
            "User space maps this buffer with another memory type than the device needs: one side \
            will read stale data. Check `dma-coherent` in the device tree and the driver's \
            `vm_page_prot` first.",
        steps: &[Maps, Attributes(First), Attributes(Second)],
    },
    Check {
        name: "attribute_kernel",
        proves: text("The kernel's own mapping has that memory type, too."),
        failure:
            "The kernel maps this buffer with another memory type than the device needs: one side \
            will read stale data. Check `dma-coherent` in the device tree first.",
        steps: &[Attributes(Kernel)],
    },
    Check {
        name: "read_only",
        proves: text("A mapping that was made with PROT_READ cannot be written to."),
        failure:
            "A program with a read-only mapping can change the buffer. Check first which page \
            protection the fault handler inserts: it is the VMA's `vm_page_prot`.",
        steps: &[ReadOnly],
    },
    Check {
        name: "walk_pfns",
        proves: text(
            "The CPU uses the PFN that pagemap says (FRAME on 32-bit ARM without LPAE), in every \
            page of both mappings, and in the kernel's mapping the one that FRAME says.",
        ),
        failure:
            "The CPU uses another page than pagemap or the driver says. Check first whether the \
            driver computes FRAME from the memory that it maps; else a TLB entry is stale.",
        // That pagemap and FRAME agree, `pagemap_kernel` looks at.
        steps: &[
            Maps,
            Pfns(Walk(Second), Walk(First)),
            Pfns(Walk(First), Pagemap(First)),
            Pfns(Walk(Second), Pagemap(Second)),
            Pfns(Walk(Kernel), Driver),
        ],
    },
    Check {
        name: "master_fill",
        proves: text(
            "Both mappings show data that a bus master chose and wrote, with no other call, and \
            no byte beside it has changed.",
        ),
        failure: "What the device writes does not reach the CPU, or goes elsewhere. Check \
            `dma-coherent` first, then `dma-ranges`, the IOMMU and the DMA mask.",
        steps: &[
            Able(MASTER_FILL),
            Maps,
            Writes,
            Put(First, All, FILLED),
            Filled,
            Get(First, All, FILLED),
            Get(Second, All, FILLED),
        ],
    },
    Check {
        name: "master_copy",
        proves: text("A bus master reads what the CPU stored, and writes the same elsewhere."),
        failure:
            "What the CPU stores does not reach the device, or goes elsewhere. If master_fill \
            passes, check first for a missing barrier before the device is started; else what \
            master_fill says.",
        steps: &[
            Able(MASTER_COPY),
            Maps,
            Writes,
            Put(First, All, COPIED),
            Copied,
            Get(First, All, COPIED),
            Get(Second, All, COPIED),
        ],
    },
    Check {
        name: "master_refuses",
        proves: text(
            "Requests for a bus master that make no sense are refused, and nothing is written \
            then.",
        ),
        failure:
            "A bus master can be made to write to memory that is not the buffer. Check the range \
            checks of FILL and COPY in the self-test first.",
        steps: &[
            Able(0),
            Maps,
            Put(First, All, REFUSED),
            Refused,
            Get(First, All, REFUSED),
        ],
    },
    Check {
        name: "master_polled",
        proves: text(
            "A task on another CPU that looks all the time sees each byte as it was or as the \
            bus master writes it, never anything else, and soon the latter.",
        ),
        failure:
            "What the device writes arrives late or in part. Check the memory type of the mapping \
            first (attribute_user), then the interconnect and bounce buffers.",
        steps: &[Able(MASTER_FILL), Maps, Polled],
    },
    Check {
        name: "sync_refuses",
        proves: text(
            "SYNC refuses ranges, flags and ends that make no sense and, of memory that is \
            coherent, everything.",
        ),
        failure: "A program's mistake in SYNC has no error, and it reads stale data. Check \
            `driver/sync.rs` first.",
        steps: &[SyncRefused],
    },
    Check {
        name: "litmus_kernel",
        proves: text(
            "What a task stores before a flag, the kernel finds there when it sees the flag, on \
            another CPU and by its own mapping; and the other way round.",
        ),
        failure:
            "Order between user space and the kernel is lost: a flag arrives before its data, or \
            never. Check first that both mappings have one memory type (attribute_user, \
            attribute_kernel).",
        steps: &[Maps, Messages(Partner::Kernel)],
    },
    Check {
        name: "litmus_user",
        proves: text(
            "What one task stores before a flag, another task on another CPU finds there when \
            it sees the flag, each by a mapping of its own.",
        ),
        failure:
            "Order between two CPUs is lost: a flag arrives before its data, or never. Check the \
            memory type and the shareability of the mappings first (attribute_user).",
        steps: &[Maps, Messages(Partner::Task)],
    },
    Check {
        name: "bits",
        proves: text(
            "Bits can be set and cleared, whatever is beside them; --long tries all bits.",
        ),
        failure:
            "Bits stick, or follow others. If alias_write, store_read and write_load pass, check \
            the memory and its data lines first; else check what these say.",
        steps: &[Maps, Bits],
    },
    Check {
        name: "munmap",
        proves: text(
            "After munmap() the addresses are gone, and nothing else is: another mapping, the \
            data, and that the device can be mapped again.",
        ),
        failure:
            "Unmapping leaves pages behind, or takes others along. Check the reference counts in \
            the driver's vm_operations_struct first.",
        steps: &[
            Maps,
            Map(Third),
            Put(Third, Ends, MUNMAP),
            Unmap(Third),
            Map(Third),
            Get(First, Ends, MUNMAP),
            Get(Third, Ends, MUNMAP),
        ],
    },
    Check {
        name: "revoked",
        proves: text(
            "When the device is unbound no process keeps a mapping; bound again, it has nothing \
            of what was stored.",
        ),
        failure:
            "A process keeps access to memory that the driver has freed, or the device does not \
            come back as new. Check first that unbinding calls unmap_mapping_range().",
        steps: &[
            Maps,
            Put(First, All, REVOKED),
            Revoked,
            Map(First),
            Get(First, All, ZERO),
        ],
    },
    Check {
        name: "kernel_log",
        proves: text(
            "The kernel has logged no warning, nor worse, since the program started or, of a \
            later device, since this check of the one before.",
        ),
        failure: "The kernel has logged a warning. Read its log (`dmesg`) first.",
        // Last, so that it has the effects of all others before it.
        steps: &[NoComplaint],
    },
];
