# SPDX-License-Identifier: GPL-2.0-only
"""Where a buffer's memory comes from: regions of reserved memory, narrow devices, and what is said where
a node asks for what cannot be."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import ktap
from conftest import Make
from guests import Boot, Run
from places import Places

pytestmark = pytest.mark.boot

MIB = 1024 * 1024
GIB = 1024 * MIB

REUSABLE = 'compatible = "shared-dma-pool"; reusable;'
NO_MAP = 'compatible = "shared-dma-pool"; no-map;'


def tree(directory: Path, regions: dict[str, tuple[int, int, str]], nodes: list[str]) -> str:
    """An overlay with regions, by label: address, size, properties; and with nodes of these properties;
    the option to boot with it."""
    reserved = "".join(
        f"{label}: {label}@{base:x} {{ reg = <{base >> 32:#x} {base & 0xffffffff:#x} 0 {size:#x}>; "
        f"{properties} }};\n"
        for label, (base, size, properties) in regions.items()
    )
    body = "".join(
        f'dma-buffer-{number} {{ compatible = "faultline,coherent-buffer"; {properties} }};\n'
        for number, properties in enumerate(nodes)
    )
    overlay = directory / "memory.dtso"
    overlay.write_text(f"""/dts-v1/;
/plugin/;
&{{/}} {{
    reserved-memory {{
        #address-cells = <2>;
        #size-cells = <2>;
        ranges;
        {reserved}
    }};
    {body}
}};
""")
    return f"--dtso={overlay}"


def pages(run: Run) -> list[int]:
    """The physical addresses that the verifier reads from the page tables, device by device."""
    return [int(address, 16) & ~0xFFF
            for address in re.findall(r"# pagemap_kernel: .*offset 0x\w+: (0x\w+),", run.console)]


def verdict(run: Run) -> tuple[int, str]:
    """The status, and what the runner says of it. That dtc misses cells which an overlay inherits does
    not count."""
    said = [line for line in run.message.splitlines() if not line.startswith("run: dtc: ")]
    return run.status, "\n".join(said)


def complaints(run: Run, node: str) -> list[str]:
    """What the driver says of a node that it refuses."""
    said = re.findall(rf"\] faultline {node}: (.*)$", run.console, re.MULTILINE)
    return [line for line in said if not line.startswith(("assigned ", "probe with driver"))]


POOLS = {
    "reusable, coherent": (REUSABLE, "dma-coherent;", "coherent"),
    "reusable, non-coherent": (REUSABLE, "dma-noncoherent;", "non-coherent"),
    # The kernel maps such a pool write-combining whatever the device sees.
    "no-map, coherent": (NO_MAP, "dma-coherent;", "non-coherent"),
    "no-map, non-coherent": (NO_MAP, "dma-noncoherent;", "non-coherent"),
}


@pytest.mark.parametrize("case", POOLS)
def test_memory_is_of_the_region(boot: Boot, places: Places, tmp_path: Path, case: str) -> None:
    """Its pages are, user space and the kernel see one memory type, and unbinding gives all back."""
    properties, coherency, seen = POOLS[case]
    base, size = 0x6000_0000, 4 * MIB
    run = boot(tree(
        tmp_path, {"pool": (base, size, properties)},
        [f"memory-region = <&pool>; size = <{2 * MIB:#x}>; {coherency}"]))
    assert verdict(run) == (0, ""), run
    assert [what[1:] for what in run.devices().values()] == [(2 * MIB, seen)], run
    report = ktap.parse(run.console, places.kernel_source)
    passed = {path[-1] for path in report.ok}
    assert {"pagemap_kernel", "attribute_user", "attribute_kernel", "walk_pfns"} <= passed, run
    found = pages(run)
    assert found and all(base <= page < base + size for page in found), run


def mutant(make: Make, places: Places, name: str) -> Path:
    built = make("-s", "module", f"MUTANT={name}")
    assert built.returncode == 0, built.stdout
    return places.build / f"driver-{name}/faultline.ko"


def test_wrong_memory_type_is_caught(boot: Boot, places: Places, make: Make, tmp_path: Path) -> None:
    """Of a region that the kernel has uncached, for a device that sees the caches."""
    run = boot(
        tree(tmp_path, {"pool": (0x6000_0000, 2 * MIB, NO_MAP)}, ["memory-region = <&pool>; dma-coherent;"]),
        module=mutant(make, places, "pool-cached"))
    assert run.status == 1, run
    assert "attribute_kernel" in ktap.parse(run.console, places.kernel_source).failed_checks(), run


def test_memory_of_elsewhere_is_seen(boot: Boot, places: Places, make: Make, tmp_path: Path) -> None:
    """The test above of where the memory is can fail."""
    base, size = 0x6000_0000, 2 * MIB
    run = boot(tree(tmp_path, {"pool": (base, size, NO_MAP)}, ["memory-region = <&pool>;"]),
               module=mutant(make, places, "region-ignored"))
    found = pages(run)
    assert found and not any(base <= page < base + size for page in found), run


def test_wide_device_is_seen(boot: Boot, places: Places, make: Make, tmp_path: Path) -> None:
    """The test below of how far the device reaches can fail."""
    run = boot(tree(tmp_path, {}, ["dma-mask-bits = <32>; dma-coherent;"]), "--mem=8G",
               module=mutant(make, places, "mask-ignored"))
    address = re.search(r"^# /dev/\w+: .* DMA address (0x\w+)$", run.console, re.MULTILINE)
    assert address and int(address[1], 16) >= 4 * GIB, run


def test_two_buffers_share_a_region(boot: Boot, tmp_path: Path) -> None:
    """Of odd lengths; there is room for both, and not for a third."""
    node = "memory-region = <&pool>; size = <0x3000>; dma-noncoherent;"
    run = boot(tree(tmp_path, {"pool": (0x6000_0000, 0x8000, NO_MAP)}, [node] * 3))
    assert len(run.devices()) == 2, run
    refused = [node for node in ("dma-buffer-0", "dma-buffer-1", "dma-buffer-2")
               if node not in run.devices()]
    assert complaints(run, refused[0]) == [
        "memory-region: pool@60000000 (0x8000 bytes at 0x60000000): has no 12288 contiguous bytes free"
    ], run


def test_narrow_devices(boot: Boot, tmp_path: Path) -> None:
    """On 8 GiB: a device with 32 bits gets memory below 4 GiB, and is refused a region above."""
    run = boot(tree(
        tmp_path, {"pool": (8 * GIB, 2 * MIB, NO_MAP)},
        ["dma-mask-bits = <32>; dma-coherent;",
         "dma-mask-bits = <32>; size = <0x5000>; dma-noncoherent;",
         "memory-region = <&pool>; dma-mask-bits = <32>;",
         "dma-coherent;"]), "--mem=8G")
    # The kernel's own log says of the refused node that its region is out of reach.
    dma = {device: int(address, 16) for device, address in re.findall(
        r"^# (/dev/\w+): .* DMA address (0x\w+)$", run.console, re.MULTILINE)}
    devices = {node: path for node, (path, _, _) in run.devices().items()}
    assert set(devices) == {"dma-buffer-0", "dma-buffer-1", "dma-buffer-3"}, run
    assert dma[devices["dma-buffer-0"]] + 0x1000 <= 4 * GIB, run
    assert dma[devices["dma-buffer-1"]] + 0x5000 <= 4 * GIB, run
    # Without the property the memory is above: the test can tell.
    assert dma[devices["dma-buffer-3"]] >= 4 * GIB, run
    assert any("the device does not reach it" in line for line in complaints(run, "dma-buffer-2")), run


REFUSED = {
    "two regions": ("memory-region = <&one &two>;", "memory-region: 2 regions, want 1"),
    "no region": ("memory-region;", "memory-region: 0 regions, want 1"),
    "neither reusable nor no-map": (
        "memory-region = <&plain>;",
        "memory-region: plain@62000000: want compatible shared-dma-pool, and either reusable or no-map"),
    "no pool": (
        "memory-region = <&carved>;",
        "memory-region: carved@62400000: want compatible shared-dma-pool, and either reusable or no-map"),
    "disabled": ("memory-region = <&off>;", "memory-region: off@62800000: the region is disabled"),
    "part of a page": (
        "memory-region = <&odd>;",
        "memory-region: odd@62c00800: does not begin and end where pages do"),
    "not reserved": (
        "memory-region = <&taken>;",
        "memory-region: taken@40200000: the kernel has not reserved the region: see its messages early at boot"),
    "too small, no-map": (
        f"memory-region = <&two>; size = <{16 * MIB:#x}>;",
        "memory-region: two@61000000 (0x200000 bytes at 0x61000000): has no 16777216 contiguous bytes free"),
    "too small, reusable": (
        f"memory-region = <&one>; size = <{2 * MIB + 4096:#x}>;",
        "memory-region: one@60000000 (0x200000 bytes at 0x60000000): has no 2101248 contiguous bytes free"),
    "no bits": ("dma-mask-bits = <0>;", "dma-mask-bits: 0, want 1 to 64"),
    "65 bits": ("dma-mask-bits = <65>;", "dma-mask-bits: 65, want 1 to 64"),
    "two cells of bits": ("dma-mask-bits = <0 32>;", "dma-mask-bits: 2 cells, want 1"),
    "bits without a value": ("dma-mask-bits;", "dma-mask-bits: 0 cells, want 1"),
    "too few bits": ("dma-mask-bits = <20>;", "dma-mask-bits: this machine has no memory that 20 bits reach"),
    "what belongs to the bus": (
        "dma-ranges;", "dma-ranges: is not honoured here: it belongs to the bus above the node"),
    "u-dma-buf's mask": ("dma-mask = <32>;", "dma-mask: is not honoured here: write dma-mask-bits"),
    "u-dma-buf's synchronisation": (
        "sync-mode = <1>;",
        "sync-mode: is not honoured here: coherent memory needs no synchronisation; for cached memory write "
        "faultline,cached, and call SYNC"),
}


@pytest.fixture(scope="module")
def refusals(places: Places, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A node for each case, in one guest."""
    work = tmp_path_factory.mktemp("refused")
    regions = {
        "one": (0x6000_0000, 2 * MIB, REUSABLE),
        "two": (0x6100_0000, 2 * MIB, NO_MAP),
        "plain": (0x6200_0000, 2 * MIB, 'compatible = "shared-dma-pool";'),
        "carved": (0x6240_0000, 2 * MIB, "no-map;"),
        "off": (0x6280_0000, 2 * MIB, f'{NO_MAP} status = "disabled";'),
        "odd": (0x62C0_0800, 2 * MIB, NO_MAP),
        # The kernel itself is there.
        "taken": (0x4020_0000, 2 * MIB, NO_MAP),
    }
    return Boot(places, work)(tree(work, regions, [node for node, _ in REFUSED.values()]))


@pytest.mark.parametrize("case", REFUSED)
def test_refused(refusals: Run, case: str) -> None:
    """The property is named, and the kernel has nothing to warn of."""
    assert complaints(refusals, f"dma-buffer-{list(REFUSED).index(case)}") == [REFUSED[case][1]], refusals
    assert refusals.devices() == {}
    assert verdict(refusals) == (4, "run: the guest's exit status is 4"), refusals


def test_memory_that_there_is_not(boot: Boot, tmp_path: Path) -> None:
    """It says how much CMA there is, and what to do."""
    run = boot(tree(tmp_path, {}, [f"size = <{256 * MIB:#x}>;"]))
    said = complaints(run, "dma-buffer-0")
    match = re.fullmatch(
        rf"size: cannot allocate {256 * MIB} bytes of DMA memory: of CMA's (\d+) bytes (\d+) are free, "
        r"not all contiguous; see cma= of the kernel's command line and the property memory-region",
        "\n".join(said))
    assert match, run
    assert 0 < int(match[2]) <= int(match[1]) == 96 * MIB, run


def test_region_that_there_is_not(boot: Boot, tmp_path: Path) -> None:
    """A phandle that no node has: nothing is bound, and nothing else suffers."""
    run = boot(tree(tmp_path, {}, ["memory-region = <0x7ffffff>;", "dma-coherent;"]))
    assert set(run.devices()) == {"dma-buffer-1"}, run
    assert complaints(run, "dma-buffer-0") == ["memory-region: names no node that there is"], run
