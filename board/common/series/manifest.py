# SPDX-License-Identifier: GPL-2.0-only
"""Which patches there are, and what of the driver's sources each takes, changed how.

A patch begins with a file of docs/upstream/: its message, and what it changes in files that the kernel
has. What it adds is taken from driver/, so that there is no second copy of any code. The changes below
are those that a place in the kernel crate asks for: names, paths, visibility, examples that run; and they
leave out what the series does not have (docs/upstream/README.md says why).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from series.source import Source

# Where the driver's modules come to be, and in what names the kernel has their C functions.
MOVED = {
    "super::srcu": "crate::sync::srcu::fast",
    "super::revocable": "crate::revocable::sleepable",
    "super::new_vma": "crate::mm::virt::desc",
    "super::vm_fault": "crate::mm::virt::fault",
}
HELPERS = {
    "faultline_srcu_init": "init_srcu_struct_fast",
    "faultline_srcu_read_lock": "srcu_read_lock_fast",
    "faultline_srcu_read_unlock": "srcu_read_unlock_fast",
    "faultline_desc_is_shared": "vma_desc_is_shared",
    "faultline_desc_forbid_exec": "vma_desc_forbid_exec",
}


@dataclass(frozen=True)
class Rust:
    """A file of driver/ext/, which becomes a file of rust/kernel/."""

    source: str
    target: str
    change: Callable[[Source], None]


@dataclass(frozen=True)
class Helpers:
    """Functions of driver/helpers.c, which are added to a file of rust/helpers/."""

    target: str
    functions: tuple[str, ...]


@dataclass(frozen=True)
class Copy:
    """A file of docs/upstream/, which is taken as it is."""

    source: str
    target: str


@dataclass(frozen=True)
class Patch:
    text: str  # of docs/upstream/
    parts: tuple[Rust | Helpers | Copy, ...] = ()


@dataclass(frozen=True)
class Series:
    patches: tuple[Patch, ...]
    cover: str | None = None  # of docs/upstream/
    # Also for the kernel that make upstream-check builds.
    is_checked: bool = field(default=False)


def srcu(source: Source) -> None:
    source.sub(r"^(//! .*)`kernel::sync::Srcu`", r"\1[`Srcu`](super::Srcu)")
    source.replace("`kernel::sync::Srcu`", "`Srcu`")
    source.sub(r"\bpub\(super\)", "pub")
    source.give_examples("pub struct FastSrcu {", """
```
use kernel::sync::srcu::fast::FastSrcu;

let srcu = KBox::pin_init(FastSrcu::new(), GFP_KERNEL)?;

let guard = srcu.read_lock();
// This may sleep, and synchronize_expedited() waits for it.
drop(guard);
srcu.synchronize_expedited();
# Ok::<(), Error>(())
```
""")


def revocable(source: Source) -> None:
    source.replace("`kernel::revocable::Revocable`", "[`Revocable`](super::Revocable)")
    source.replace("srcu::Guard<", "fast::Guard<")
    source.sub(r"\bpub\(crate\)", "pub")
    source.sub(r"^/// ```ignore$", "/// ```\n/// use kernel::revocable::sleepable::SleepableRevocable;\n///")
    source.sub(r"^(/// assert!\(answer\.try_access\(\)\.is_none\(\)\);)$", r"\1\n/// # Ok::<(), Error>(())")


def new_vma(source: Source) -> None:
    source.use("kernel::types::ForeignOwnable")
    # Pages that the kernel counts are inserted by vmf_insert_page() there.
    source.swap("impl<T: VmOperations> NewVma<'_, T> {", """\
impl<P: ForeignOwnable> NewVma<'_, P> {
    /// Makes what the file owns serve the VMA's faults, by the operations of `T`.
    ///
    /// The VMA cannot be expanded by `mremap()`, and is not merged with others.
    pub fn install<T: VmOperations<Data = P>>(self) -> Installed {
        // SAFETY: By the type invariants the description is valid, and `data` is a foreign `P`: what the
        // operations of `T` want in the VMA's. The VMA keeps the file, and with it what the file owns.
        unsafe {
            ffi::vma_desc_set_mixedmap(self.desc);
            (*self.desc).private_data = self.data;
            (*self.desc).vm_ops = &VmOperationsVTable::<T>::VTABLE;
        }

        Installed(())
    }
}""")
    # The file owns whatever pointer its driver has chosen.
    source.replace("a reference to a `T`", "a `P`")
    source.replace("Arc<T>", "P")
    source.code(r"\bT\b(?!: VmOperations|>::VTABLE|: VmOperations<)", "P")
    source.code(r"<P: VmOperations<", "<T: VmOperations<")
    source.replace("`kernel::mm::virt::VmaNew`", "[`VmaNew`](super::VmaNew)")
    source.replace("NewVma", "VmaDesc")
    source.replace("pub(super) desc:", "desc:")
    source.sub(r"\bpub\((?:crate|super)\)", "pub")


INSERT_PAGE = """\
    /// Maps `page` at the address that was touched. The mapping has a reference to the page.
    ///
    /// If another CPU was faster, what it has mapped stays.
    pub fn insert_page(&self, page: &Page) -> Outcome {
        let Some(vma) = self.vma().as_mixedmap_vma() else {
            return Outcome::SIGBUS;
        };
        // SAFETY: The VMA is locked for reading and is `VM_MIXEDMAP`. By the invariants of `Page` the page
        // is valid.
        Outcome(unsafe {
            bindings::vmf_insert_page(vma.as_ptr(), self.raw().address, page.as_ptr())
        })
    }"""


def vm_fault(source: Source) -> None:
    source.use("kernel::page::Page")
    source.cut_sections("The kernel's conditions", "What runs beside a fault")
    source.replace("[insert](Fault::insert) PFNs", "[insert](Fault::insert_page) a page")
    source.swap("    pub(crate) fn insert(&self, first: usize, run: Run<'_>) -> Outcome {", INSERT_PAGE)
    source.replace("[`Fault::insert`]", "[`Fault::insert_page`]")
    # PMDs, PFNs and what follows from them; and pages that a handler returns, which insert_page() is for.
    source.replace("pub(crate) mod page;\n\n", "")
    source.cut(
        "    fn huge_fault(",
        "    fn access(",
        "pub(crate) enum Transfer<'a> {",
        "    fn is_of(&self",
        "pub(crate) fn ptes_per_table()",
        "pub(crate) struct PmdFault<'a> {",
        "impl PmdFault<'_> {",
        "    pub(crate) const FALLBACK: Self",
        '    unsafe extern "C" fn open(',
        '    unsafe extern "C" fn huge_fault(',
        '    unsafe extern "C" fn access(',
        "        open: Some(Self::open)",
        "        huge_fault: if T::HAS_HUGE_FAULT {",
        "        access: if T::HAS_ACCESS {",
    )
    source.sub(r"^        match T::fault\(data, &fault\) \{\n(?:            .*\n)*        \}$",
               "        T::fault(data, &fault).0")
    # What serves a VMA is what its file owns, by whatever pointer.
    source.replace("pub(crate) trait VmOperations: Send + Sync + Sized + 'static {", """\
pub trait VmOperations: Sized {
    /// The private data of the VMA's file.
    type Data: ForeignOwnable + Send + Sync;
""")
    source.replace("this: ArcBorrow<'_, Self>", "data: <Self::Data as ForeignOwnable>::Borrowed<'_>")
    source.replace("ArcBorrow<'_, T>", "<T::Data as ForeignOwnable>::Borrowed<'_>")
    source.replace("Arc::<T>::borrow(", "<T::Data as ForeignOwnable>::borrow(")
    source.sub(r"the pointer to a `T` that the VMA's file owns a\n/// reference to, as a foreign `Arc<T>`,",
               "the foreign `T::Data` that the VMA's file\n/// owns,")
    source.replace("the pointer is that of the `Arc<T>` which its file", "the pointer is that of the `T::Data` which its file")
    source.replace("NewVma", "VmaDesc")
    source.sub(r"\bpub\(crate\)", "pub")
    source.give_examples("pub trait VmOperations: Sized {", """
A handler that maps the pages of a buffer, and refuses what lies beyond:

```
use kernel::{
    mm::virt::fault::{
        Fault,
        Outcome,
        VmOperations, //
    },
    page::Page,
    sync::{
        Arc,
        ArcBorrow, //
    }, //
};

struct MyBuffer {
    pages: KVec<Page>,
}

#[vtable]
impl VmOperations for MyBuffer {
    type Data = Arc<Self>;

    fn fault(buffer: ArcBorrow<'_, Self>, fault: &Fault<'_>) -> Outcome {
        match buffer.pages.get(fault.pgoff()) {
            Some(page) => fault.insert_page(page),
            None => Outcome::SIGBUS,
        }
    }
}
```
""")


SERIES = {
    "vm-fault": Series(
        cover="series/cover-letter.txt",
        is_checked=True,
        patches=(
            Patch("series/1-srcu-fast.patch", (
                Rust("ext/srcu.rs", "sync/srcu/fast.rs", srcu),
                Helpers("srcu.c", ("faultline_srcu_init", "faultline_srcu_read_lock",
                                   "faultline_srcu_read_unlock")),
            )),
            Patch("series/2-sleepable-revocable.patch", (
                Rust("ext/revocable.rs", "revocable/sleepable.rs", revocable),
            )),
            Patch("series/3-vm-fault.patch", (
                Rust("ext/new_vma.rs", "mm/virt/desc.rs", new_vma),
                Rust("ext/vm_fault.rs", "mm/virt/fault.rs", vm_fault),
                Helpers("mm.c", ("faultline_desc_is_shared", "faultline_desc_forbid_exec")),
            )),
            Patch("series/4-mmap-prepare.patch"),
            Patch("series/5-sample.patch", (
                Copy("series/rust_vm_fault.rs", "samples/rust/rust_vm_fault.rs"),
            )),
        ),
    ),
    "copy-huge-pmd": Series((Patch("copy-huge-pmd.patch"),)),
    "release-region": Series((Patch("release-region.patch"),)),
    "wipe-on-fork": Series((Patch("wipe-on-fork.patch"),)),
}
