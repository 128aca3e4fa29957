# SPDX-License-Identifier: GPL-2.0-only
"""dma-bufs: the ioctl EXPORT, DMA_BUF_IOCTL_SYNC, fences, and importers, which may hold on while the device is
unbound.

The cases are those of faultline-stress (userspace/stress/src/cases/dma_buf*.rs). One importer is the self-test's
bus master, whose DMA is real. Another one is the kernel's own: V4L2's test driver vivid, which the debug kernel
has."""

from __future__ import annotations

from pathlib import Path

import pytest

import ktap
from conftest import Make
from guests import Boot, Run
from places import TOP, Places
from test_memory import NO_MAP, REUSABLE, mutant, tree, verdict

pytestmark = pytest.mark.boot

MIB = 1024 * 1024

CACHED, STRESS = (f"--dtso={TOP / 'dts' / name}.dtso" for name in ("qemu-virt-cached", "qemu-virt-stress"))
# For the kernel's command line.
BOUNCE = "swiotlb=force"
# What the importer has: the kernel's address of the memory alone; or a mapping for its device, too.
IMPORTERS = {"address": [], "device": ["vivid.allocators=1"]}
# A kernel with DMA-API debugging warns of coherent memory that is never freed.
NOT_WARNED = "dma_debug=off"

BY_MASTER = ["dma_buf_master", "dma_buf_master_refuses", "dma_buf_master_against_unbind"]
# With a bus master where there is one.
WITHOUT_IMPORTER = ["dma_buf", "dma_buf_named", "dma_buf_refuses", "dma_buf_unbound", "dma_buf_against_unbind",
                    "dma_buf_synchronised", *BY_MASTER]
IMPORTED, HELD, AGAINST_UNBIND = "dma_buf_imported", "dma_buf_held", "dma_buf_imported_against_unbind"
FENCED, NEVER_SIGNALLED = "dma_buf_fenced", "dma_buf_never_signalled"
# The devices of the stress buffers that have room for a picture. The importer does not see the CPU's caches, so
# that the coherent device's buffer, the second one, is not mapped for it.
LARGE = {"address": {"1", "2", "3"}, "device": {"1", "3"}}
REFUSED = "# SKIP the importer was refused: it does not see the CPU's caches, and the device does"
NOT_FREED = "dma-buf: an importer still uses the buffer at DMA address"


def stress(places: Places, *cases: str, append: list[str] | None = None, cycles: int = 3) -> list[str]:
    chosen = " ".join(f"--case {case}" for case in cases)
    return [f"--overlay={places.stress.parents[1]}", "--smp=4",
            f"--append={' '.join(['loglevel=5', *(append or [])])}",
            f"--run=/bin/faultline-stress --seed 1 --part cases --cycles {cycles} {chosen}"]


def outcomes(run: Run, places: Places) -> tuple[set[tuple[str, str]], set[tuple[str, str]], set[tuple[str, str]]]:
    """The cases that passed, failed and were skipped: the number of the device, and the case."""
    report = ktap.parse(run.console, places.kernel_source)
    assert report.errors == 0, run

    def of(paths: set[tuple[str, ...]]) -> set[tuple[str, str]]:
        return {(path[0].removeprefix("cases /dev/faultline"), path[1]) for path in paths if len(path) > 1}

    return of(report.ok), of(report.not_ok), of(report.skipped)


def test_cached_buffers(boot: Boot, places: Places) -> None:
    """With a bounce buffer, so that what is not synchronised is stale."""
    run = boot(CACHED, *stress(places, *WITHOUT_IMPORTER, append=[BOUNCE]))
    ok, not_ok, _ = outcomes(run, places)
    assert verdict(run) == (0, "") and not not_ok, run
    assert ("1", "dma_buf_synchronised") in ok, run
    assert run.console.count("# dma_buf_master: COPY_IMPORTED by such a master: EIO, want EIO") == 3, run


def test_bus_master(boot: Boot, places: Places) -> None:
    """It has what it imports, of its own device and of others, if it sees the memory as their devices do."""
    run = boot(STRESS, *stress(places, *BY_MASTER))
    assert verdict(run) == (0, ""), run
    ok, _, skipped = outcomes(run, places)
    assert ok | skipped == {(device, case) for device in "01234" for case in BY_MASTER}, run
    assert skipped == {(device, "dma_buf_master_against_unbind") for device in "02"}, run
    # The master of the last device does not see the caches.
    assert run.console.count("# dma_buf_master: COPY_IMPORTED by such a master: EIO, want EIO") == 2, run


def test_bounce_buffers_of_importers_are_caught(boot: Boot, places: Places, make: Make) -> None:
    run = boot(CACHED, *stress(places, "dma_buf_master", append=[BOUNCE]),
               module=mutant(make, places, "imported-bounced"))
    _, not_ok, _ = outcomes(run, places)
    assert run.status == 1 and not_ok == {(device, "dma_buf_master") for device in "12"}, run


def test_silent_synchronisation_is_caught(boot: Boot, places: Places, make: Make) -> None:
    run = boot(CACHED, *stress(places, *WITHOUT_IMPORTER, append=[BOUNCE]),
               module=mutant(make, places, "export-sync-silent"))
    _, not_ok, _ = outcomes(run, places)
    assert run.status == 1 and not_ok == {("1", "dma_buf_synchronised")}, run


def test_reserved_memory(boot: Boot, places: Places, tmp_path: Path) -> None:
    """A reusable region is exported. What is in a no-map region has no pages for others."""
    regions = {"one": (0x5000_0000, 4 * MIB, REUSABLE), "two": (0x5100_0000, 2 * MIB, NO_MAP)}
    nodes = ["size = <0x10000>; memory-region = <&two>;", "size = <0x10000>; memory-region = <&one>;"]
    run = boot(tree(tmp_path, regions, nodes), *stress(places, "dma_buf"))
    assert verdict(run) == (0, ""), run
    ok, _, skipped = outcomes(run, places)
    # The last node is the first device.
    assert (ok, skipped) == ({("0", "dma_buf")}, {("1", "dma_buf")}), run
    assert "# SKIP the buffer cannot be exported: EOPNOTSUPP" in run.console, run


@pytest.mark.parametrize("importer", IMPORTERS)
@pytest.mark.parametrize("dtso", [STRESS, CACHED], ids=["coherent", "cached"])
def test_importer(debug_boot: Boot, places: Places, dtso: str, importer: str) -> None:
    """What it writes is in the buffer, and an unbinding waits until it lets go. The debug kernel has nothing
    to say."""
    run = debug_boot(dtso, *stress(places, *WITHOUT_IMPORTER, IMPORTED, AGAINST_UNBIND, append=IMPORTERS[importer]))
    ok, not_ok, _ = outcomes(run, places)
    assert verdict(run) == (0, "") and not not_ok, run
    large = LARGE[importer] if dtso == STRESS else {"1"}
    assert {device for device, case in ok if case == IMPORTED} == large, run
    assert {device for device, case in ok if case == AGAINST_UNBIND} == large, run
    assert (REFUSED in run.console) == (dtso == STRESS and importer == "device"), run
    assert NOT_FREED not in run.console, run


@pytest.mark.parametrize("importer", IMPORTERS)
def test_importer_that_holds_on_to_coherent_memory(debug_boot: Boot, places: Places, importer: str) -> None:
    """The unbinding goes on without it, the memory is never freed, and nobody else gets it."""
    run = debug_boot(STRESS, *stress(places, HELD, NEVER_SIGNALLED, append=[NOT_WARNED, *IMPORTERS[importer]]))
    ok, not_ok, _ = outcomes(run, places)
    assert verdict(run) == (0, "") and not not_ok, run
    assert {device for device, case in ok if case == HELD} == LARGE[importer], run
    # So it is with a fence that nobody signals.
    assert {device for device, case in ok if case == NEVER_SIGNALLED} == set("01234"), run
    assert run.console.count(NOT_FREED) == len(LARGE[importer]) + 5, run


@pytest.mark.parametrize("importer", IMPORTERS)
def test_importer_that_holds_on_to_cached_memory(debug_boot: Boot, places: Places, importer: str) -> None:
    """Its pages live on until it lets go, and DMA-API debugging has nothing to say."""
    run = debug_boot(CACHED, *stress(places, HELD, NEVER_SIGNALLED, append=IMPORTERS[importer]))
    ok, not_ok, _ = outcomes(run, places)
    assert verdict(run) == (0, "") and not not_ok, run
    assert {device for device, case in ok if case == HELD} == {"1"}, run
    # The pages of a dma-buf with a fence that nobody signals are lost.
    assert {device for device, case in ok if case == NEVER_SIGNALLED} == set("012"), run
    assert run.console.count(NOT_FREED) == 3, run


def test_memory_that_is_freed_under_an_importer_is_seen(
        debug_boot: Boot, places: Places, make: Make, tmp_path: Path) -> None:
    """The importer goes on to write pictures, to where the next buffer is. Of uncached memory the kernel's address
    goes, too, and the importer would end there."""
    run = debug_boot(tree(tmp_path, {}, [f"size = <{4 * MIB:#x}>; dma-coherent;"]),
                     *stress(places, HELD, append=[NOT_WARNED]), module=debug_mutant(make, places, "imported-freed"))
    _, not_ok, _ = outcomes(run, places)
    assert run.status == 1 and not_ok == {("0", HELD)}, run


def test_fence(debug_boot: Boot, places: Places) -> None:
    """With a bounce buffer, so that what is synchronised too early is stale."""
    run = debug_boot(CACHED, *stress(places, FENCED, append=[BOUNCE]))
    ok, not_ok, _ = outcomes(run, places)
    assert verdict(run) == (0, "") and (ok, not_ok) == ({("1", FENCED)}, set()), run


def test_synchronising_before_a_fence_is_caught(debug_boot: Boot, places: Places, make: Make) -> None:
    run = debug_boot(CACHED, *stress(places, FENCED, append=[BOUNCE]),
                     module=debug_mutant(make, places, "fence-not-waited"))
    _, not_ok, _ = outcomes(run, places)
    assert run.status == 1 and not_ok == {("1", FENCED)}, run


def test_address_of_memory_that_goes_is_caught(debug_boot: Boot, places: Places, make: Make) -> None:
    run = debug_boot(STRESS, *stress(places, AGAINST_UNBIND, cycles=25),
                     module=debug_mutant(make, places, "imported-after-end"))
    assert run.status == 1 and "run: the kernel reported" in run.message, run
    assert "dma_buf_vmap" in run.console, run


def debug_mutant(make: Make, places: Places, name: str) -> Path:
    built = make("-s", "module", f"MUTANT={name}", "DEBUG=1")
    assert built.returncode == 0, built.stdout
    return places.debug.kernel_build / f"driver-{name}/faultline.ko"


# What takes a call of this driver; pagemap, which passes a heap's mapping over; read() and write().
NOT_OF_A_HEAP = {"zeroed", "pagemap_same", "pagemap_kernel", "attribute_kernel", "walk_pfns", "litmus_kernel", "revoked",
                 "store_read", "write_load", "last_byte", "master_fill", "master_copy", "master_refuses", "master_polled",
                 "sync_refuses"}


@pytest.mark.parametrize(("attribute", "failed"), [("write-back", set()), ("non-cacheable", {"attribute_user"})])
def test_buffer_of_a_heap(debug_boot: Boot, places: Places, attribute: str, failed: set[str]) -> None:
    """faultline-verify judges a DMA-BUF heap as another driver's device: both tasks have the same buffer."""
    run = debug_boot("--append=quiet", "--run=/bin/faultline-verify --foreign --size 262144 "
                     f"--kernel-attr {attribute} /dev/dma_heap/system")
    report = ktap.parse(run.console, places.kernel_source)
    assert (run.status, report.errors, report.failed_checks()) == (1 if failed else 0, 0, failed), run
    assert {path[-1] for path in report.skipped} == NOT_OF_A_HEAP, run
    assert {"alias_write", "litmus_user", "past_end"} <= {path[-1] for path in report.ok}, run
