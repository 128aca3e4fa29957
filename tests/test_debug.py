# SPDX-License-Identifier: GPL-2.0-only
"""Boots of the debug kernel: every fault that it reports fails the run (run.py)."""

from __future__ import annotations

from pathlib import Path

import pytest

import ktap
from conftest import Make
from guests import Boot
from places import Places
from test_boot import CHECKS, NODES, WITHOUT_MASTER, tree
from test_mutants import FRAMES, MASTER

pytestmark = pytest.mark.boot


def test_default_machine(debug_boot: Boot, places: Places) -> None:
    """The verdict is the same, and the driver's own unit tests have run and passed."""
    run = debug_boot()
    assert (run.status, run.message) == (0, ""), run
    assert run.devices() == NODES
    report = ktap.parse(ktap.of_programs(run.console), places.kernel_source)
    assert (report.errors, report.not_ok, report.skipped) == (0, set(), WITHOUT_MASTER), run
    for device, _, _ in NODES.values():
        results = report.ok | report.skipped | report.undecided
        assert len([path for path in results if path[:-1] == (device,)]) == CHECKS

    passed = set()
    for text in ktap.of_kernel(run.console):
        report = ktap.parse(text, places.kernel_source)
        assert (report.errors, report.not_ok) == (0, set()), run
        passed |= report.ok
    suites = {path[0] for path in passed if len(path) > 1}
    assert {"faultline_length", "faultline_prefault", "faultline_translate"} <= suites, run


def test_kernel_has_the_debugging_options(places: Places) -> None:
    """Without them this file would prove nothing."""
    places.need_debug_kernel()
    config = (places.debug.kernel_build / "linux/.config").read_text().splitlines()
    for name in ("KASAN", "PROVE_LOCKING", "DEBUG_ATOMIC_SLEEP", "DMA_API_DEBUG", "DEBUG_KMEMLEAK",
                 "PAGE_TABLE_CHECK_ENFORCED", "DEBUG_VM", "KUNIT", "FAILSLAB", "UBSAN"):
        assert f"CONFIG_{name}=y" in config


def test_four_cpus(debug_boot: Boot) -> None:
    run = debug_boot("--smp=4")
    assert (run.status, run.message) == (0, ""), run


def test_no_node(debug_boot: Boot, tmp_path: Path) -> None:
    run = debug_boot(tree(tmp_path))
    assert (run.status, run.message) == (4, "run: the guest's exit status is 4"), run


def test_bad_size(debug_boot: Boot, tmp_path: Path) -> None:
    """A probe that fails after it has begun leaks nothing."""
    run = debug_boot(tree(tmp_path, "size = <0x32000000>;"))
    assert (run.status, run.message) == (4, "run: the guest's exit status is 4"), run
    assert "size: cannot allocate" in run.console


def test_wrong_page_is_caught(debug_boot: Boot, places: Places, make: Make) -> None:
    built = make("-s", "module", "MUTANT=wrong-page", "DEBUG=1")
    assert built.returncode == 0, built.stdout
    module = places.debug.kernel_build / "driver-wrong-page/faultline.ko"
    run = debug_boot(module=module)
    assert (run.status, run.message) == (1, "run: the guest's exit status is 1"), run
    report = ktap.parse(ktap.of_programs(run.console), places.kernel_source)
    assert report.failed_checks() == FRAMES | MASTER


def test_unbind_while_mapped(debug_boot: Boot, guest_test: str) -> None:
    run = debug_boot(guest_test, "--run=/bin/faultline-guest-test unbind")
    assert (run.status, run.message) == (0, ""), run


def test_unload_and_load_again(debug_boot: Boot, guest_test: str) -> None:
    run = debug_boot(guest_test, "--run=/bin/faultline-guest-test unload")
    assert (run.status, run.message) == (0, ""), run
