# SPDX-License-Identifier: GPL-2.0-only
"""Boots with faultline-stress: misuse and races, allocations that fail, random operations."""

from __future__ import annotations

from pathlib import Path

import pytest

import ktap
from conftest import Make
from guests import DEBUG_PATIENCE, Boot
from places import TOP, Places

pytestmark = pytest.mark.boot

DEVICES = [f"/dev/faultline{number}" for number in range(5)]
PROCESSES = 4

# Of one page there is no middle, small buffers have no PMD and not the page table and a page that the
# cases beside faults take, and none of them would be missed.
SMALL = (DEVICES[0], DEVICES[1], DEVICES[4])
TOO_SMALL = {
    *((f"cases {device}", f"{what}_beside_faults")
      for device in SMALL for what in ("advice", "fork", "protection", "move")),
    *((f"cases {device}", case) for device in (DEVICES[0], DEVICES[4])
      for case in ("dma_buf_imported", "dma_buf_imported_against_unbind")),
    ("cases /dev/faultline0", "split"),
    ("cases /dev/faultline0", "nothing_leaks"),
    ("cases /dev/faultline1", "nothing_leaks"),
    ("cases /dev/faultline0", "pmds_against_ptes"),
    ("cases /dev/faultline1", "pmds_against_ptes"),
    ("cases /dev/faultline4", "nothing_leaks"),
    ("cases /dev/faultline4", "pmds_against_ptes"),
}
# The last device alone is a bus master.
NO_MASTER = {(f"cases {device}", case) for device in DEVICES[:-1]
             for case in ("unbind_against_masters", "dma_buf_synchronised", "dma_buf_fenced")}
# It does not see the caches, and is refused.
REFUSED = {(f"cases {device}", "dma_buf_master_against_unbind") for device in (DEVICES[0], DEVICES[2])}
# DMA-API debugging would report the memory that is not freed.
HELD = {(f"cases {device}", case) for device in DEVICES for case in ("dma_buf_held", "dma_buf_never_signalled")}
# What only the debug kernel has: userfaultfd, core dumps, kmemleak, allocations that fail, an importer, fences.
DEBUG_ONLY = {"stalled_read", "stalled_write", "core_dump", "no_memory_is_forgotten", "run_time_without_memory",
              "dma_buf_imported", "dma_buf_imported_against_unbind", "dma_buf_held", "dma_buf_fenced",
              "dma_buf_never_signalled"}


def options(places: Places, *arguments: str, dtso: str = "qemu-virt-stress") -> list[str]:
    return [
        f"--overlay={places.stress.parents[1]}",
        f"--dtso={TOP / 'dts' / dtso}.dtso",
        "--smp=4",
        # What the kernel has to say otherwise could come in the middle of a line of the report.
        "--append=loglevel=5",
        f"--run=/bin/faultline-stress {' '.join(arguments)}",
    ]


def groups(*parts: str) -> set[tuple[str, ...]]:
    return {(f"{part} {device}",) for part in parts for device in DEVICES}


@pytest.mark.parametrize("debug", [False, True], ids=["default", "debug"])
def test_stress(places: Places, tmp_path: Path, debug: bool) -> None:
    """A short run with a fixed seed, so that the operations are the same each time."""
    if debug:
        places.need_debug_kernel()
    # Three minutes with the debug kernel, on two CPUs that have nothing else to do.
    boot = Boot(places.debug if debug else places, tmp_path, 2 * DEBUG_PATIENCE)
    operations, cycles = (8000, 3) if debug else (40000, 6)
    run = boot(*options(places, "--seed 1", f"--ops {operations}", f"--procs {PROCESSES}",
                        f"--cycles {cycles}"))
    assert (run.status, run.message) == (0, ""), run
    report = ktap.parse(run.console, places.kernel_source)
    assert (report.errors, report.not_ok) == (0, set()), run

    results = report.ok | report.skipped
    fuzz = {("fuzz", f"process_{number}") for number in range(PROCESSES)}
    assert results >= groups("cases", "inject") | {("fuzz",), ("machine",)}
    assert report.ok >= fuzz | {("fuzz", "devices_afterwards")}
    for device in DEVICES:
        assert len([path for path in results if path[:-1] == (f"cases {device}",)]) > 20
        assert len([path for path in results if path[:-1] == (f"inject {device}",)]) > 8
    skipped = {path for path in report.skipped if len(path) > 1} - TOO_SMALL - NO_MASTER - REFUSED
    if debug:
        assert skipped == HELD, run
    else:
        # The default kernel may have more of it than it must.
        assert {path[-1] for path in skipped if not path[0].startswith("inject ")} <= DEBUG_ONLY


@pytest.mark.parametrize("debug", [False, True], ids=["default", "debug"])
def test_stress_of_cached_buffers(places: Places, tmp_path: Path, debug: bool) -> None:
    """Their pages are ordinary ones: they are mapped, lent and prefaulted in other ways."""
    if debug:
        places.need_debug_kernel()
    boot = Boot(places.debug if debug else places, tmp_path, 2 * DEBUG_PATIENCE)
    run = boot(*options(places, "--seed 1", "--part cases", "--cycles 2", dtso="qemu-virt-cached"))
    assert (run.status, run.message) == (0, ""), run
    report = ktap.parse(run.console, places.kernel_source)
    assert (report.errors, report.not_ok) == (0, set()), run
    looked_at = {"pages_are_not_lent", "prefault", "attributes", "vma_flags", "arguments"}
    for device in DEVICES[:3]:
        assert {(f"cases {device}", case) for case in looked_at} <= report.ok, run


def test_wrong_page_is_caught(boot: Boot, places: Places, make: Make) -> None:
    """The cases check what is mapped, and not only what calls return. `debugger` compares two ways
    that do not use the page table, so that it cannot find this fault."""
    built = make("-s", "module", "MUTANT=wrong-page")
    assert built.returncode == 0, built.stdout
    run = boot(*options(places, "--part cases", "--cycles 1"),
               module=places.build / "driver-wrong-page/faultline.ko")
    assert (run.status, run.message) == (1, "run: the guest's exit status is 1"), run
    report = ktap.parse(run.console, places.kernel_source)
    assert {"split", "advice"} <= report.failed_checks(), run
    assert "debugger" not in report.failed_checks(), run


def test_kernel_maps_nothing_into_the_holes_of_the_arena(boot: Boot, guest_test: str) -> None:
    """A mapping that is moved leaves a hole. The stack of a task was once put there, and unmapped when the
    mapping came back: `move_beside_faults` failed, depending on where the kernel had put the arena."""
    run = boot(guest_test, "--run=/bin/faultline-guest-test holes")
    assert (run.status, run.message) == (0, ""), run


def test_command_line(boot: Boot, places: Places) -> None:
    run = boot(*options(places, "--part cakes"))
    assert run.status == 2, run
    assert ("faultline-stress: The value of --part is 'cakes'; expected cases, inject or fuzz."
            in run.console)
