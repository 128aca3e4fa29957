# SPDX-License-Identifier: GPL-2.0-only
"""Buffers behind an IOMMU: their DMA addresses are not physical ones, and their pages need not follow each
other.

QEMU's virt machine has an SMMUv3, for PCI devices. No bus master of it is behind that IOMMU, so that these
tests are about the CPUs' mappings alone: what the device would find at the DMA addresses is not shown."""

from __future__ import annotations

import re
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

import ktap
from conftest import Make
from guests import Boot, Run
from places import Places
from test_memory import NO_MAP, complaints, pages, tree, verdict

pytestmark = pytest.mark.boot

# The number of CPUs decides about the phandle.
SMMU = ["--qemu-args=-machine iommu=smmuv3", "--smp=2"]
# More than one piece of any size that the page allocator has.
LARGE = 0x41_0000


@pytest.fixture
def iommu(places: Places, tmp_path: Path) -> str:
    """The phandle of QEMU's IOMMU, in cells of the device tree."""
    dumped = tmp_path / "smmu.dtb"
    for command in (
        [places.qemu, "-machine", f"virt,iommu=smmuv3,dumpdtb={dumped}", "-cpu", "cortex-a72",
         "-smp", "2", "-nic", "none"],
        ["fdtget", "-t", "u", dumped, "/smmuv3@9050000", "phandle"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def nodes(iommu: str, *properties: str) -> list[str]:
    """Each has a stream of its own, which no PCI device has."""
    return [f"{each} iommus = <{iommu} {0xf000 + number:#x}>;" for number, each in enumerate(properties)]


def addresses(run: Run) -> dict[str, int]:
    """The DMA address of each buffer, as the report's last table has it."""
    return {path: int(address, 16)
            for path, address in re.findall(r"^# (/dev/\S+) \| \d+ \| (0x\w+) \|", run.console, re.MULTILINE)}


def test_scattered_pages(debug_boot: Boot, places: Places, tmp_path: Path, iommu: str) -> None:
    """The right pages are mapped, with the right memory type; and the debug kernel has nothing to say."""
    run = debug_boot(*SMMU, tree(tmp_path, {}, nodes(
        iommu, f"size = <{LARGE:#x}>; dma-noncoherent;", f"size = <{LARGE:#x}>; dma-coherent;",
        "size = <0x10000>; faultline,cached; dma-noncoherent;")))
    assert verdict(run) == (0, ""), run
    report = ktap.parse(run.console, places.kernel_source)
    assert (report.errors, report.not_ok) == (0, set()), run
    for check in ("pagemap_kernel", "walk_pfns", "attribute_user", "attribute_kernel", "revoked"):
        assert {path[0] for path in report.ok if path[-1] == check} == set(addresses(run)), run
    # The DMA addresses are the IOMMU's own, from the top of the first four gigabytes downwards.
    physical = set(pages(run))
    assert all(address not in physical and address > 0x8000_0000 for address in addresses(run).values()), run
    assert any(after != before + 0x1000 for before, after in pairwise(sorted(physical))), run


def test_wrong_pages_are_caught(
    debug_boot: Boot, places: Places, make: Make, tmp_path: Path, iommu: str
) -> None:
    built = make("-s", "module", "MUTANT=taken-for-contiguous", "DEBUG=1")
    assert built.returncode == 0, built.stdout
    run = debug_boot(
        *SMMU, tree(tmp_path, {}, nodes(iommu, f"size = <{LARGE:#x}>; dma-noncoherent;")),
        module=places.debug.kernel_build / "driver-taken-for-contiguous/faultline.ko")
    assert run.status == 1, run
    # Unless the kernel sees it first: what is mapped there may be anything.
    if "run: the kernel reported" not in run.message:
        failed = ktap.parse(run.console, places.kernel_source).failed_checks()
        assert {"pagemap_kernel", "store_read", "write_load"} <= failed, run


def test_pool_is_refused(debug_boot: Boot, tmp_path: Path, iommu: str) -> None:
    """A pool's DMA addresses do not pass through an IOMMU."""
    run = debug_boot(*SMMU, tree(tmp_path, {"pool": (0x6000_0000, 0x20_0000, NO_MAP)},
                                nodes(iommu, "memory-region = <&pool>;")))
    assert run.status != 0, run
    assert any("a no-map region cannot be used behind an IOMMU" in line
               for line in complaints(run, "dma-buffer-0")), run
