# SPDX-License-Identifier: GPL-2.0-only
"""Drivers that are broken on purpose: each is caught, at the named checks and at no other."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import ktap
from conftest import CAUGHT, Make
from guests import Boot, Run
from places import DRIVER, TOP, Places

pytestmark = pytest.mark.boot

FRAMES = {"pagemap_kernel", "store_read", "write_load", "litmus_kernel"}
MASTER = {"master_fill", "master_copy", "master_polled"}
COPY = {"alias_write", "store_read", "last_byte", "litmus_kernel", "litmus_user", "bits",
        "munmap", "revoked"}
SAME_FRAME = FRAMES | {"alias_write", "litmus_user", "bits"}


@dataclass(frozen=True)
class Mutant:
    """The checks that must fail, of each kind of device: in the board's own tree the coherent one
    has no bus master, and the other one has."""

    coherent: set[str] = field(default_factory=set)
    non_coherent: set[str] = field(default_factory=set)
    dtso: str = "qemu-virt"


def both(*checks: str, dtso: str = "qemu-virt") -> Mutant:
    return Mutant(set(checks), set(checks), dtso)


MUTANTS: Mapping[str, Mutant] = {
    "wrong-page": Mutant(FRAMES, FRAMES | MASTER),
    "same-frame": Mutant(SAME_FRAME, SAME_FRAME | MASTER | {"master_refuses"}),
    # Blocks of the page table are only of a buffer of some megabytes.
    "wrong-block": both(*FRAMES, dtso="qemu-virt-dma-ranges"),
    "cacheable": Mutant(non_coherent={"attribute_user"}),
    "device-memory": Mutant(non_coherent={"attribute_user"}),
    # Where the device's addresses are not physical ones.
    "dma-address": both("store_read", "write_load", "walk_frames", "litmus_kernel", "bits", "revoked",
                        dtso="qemu-virt-dma-ranges"),
    "private-copy": Mutant(COPY, COPY | MASTER),
    "bounce": both("store_read", "write_load", "bits"),
    "short-read": both("zeroed", "store_read", "bits"),
    "short-write": both("write_load", "bits"),
    # A new binding has a new buffer.
    "not-zeroed": both("zeroed", "revoked"),
    "no-revoke": both("revoked"),
    "revoke-misses-one": both("revoked"),
    # On a coherent device it tells no lie: all that a process has is of the same type.
    "attribute-lies": Mutant(non_coherent={"translate_known"}),
    "master-silent": Mutant(non_coherent=MASTER),
    "master-overrun": Mutant(non_coherent={"master_fill", "master_copy"}),
}

# It is right but in a race, and only if it is asked to be wrong: tests/test_stress.py.
NOT_FOR_VERIFY = {"eager"}


def listed() -> list[str]:
    source = (DRIVER / "mutant.rs").read_text()
    return re.findall(r'^    [A-Z_]+ = "(.+)";$', source, re.MULTILINE)


def test_every_mutant_is_here() -> None:
    assert sorted(listed()) == sorted(MUTANTS.keys() | NOT_FOR_VERIFY)


@pytest.mark.parametrize("name", MUTANTS)
def test_mutant_is_caught(
    places: Places, make: Make, record_property: Callable[[str, object], None], name: str,
    tmp_path: Path,
) -> None:
    mutant = MUTANTS[name]
    boot = Boot(places, tmp_path)
    built = make("-s", "module", f"MUTANT={name}")
    assert built.returncode == 0, built.stdout
    run = boot(f"--dtso={TOP / 'dts' / mutant.dtso}.dtso",
               module=places.build / f"driver-{name}/faultline.ko")
    assert f"mutant {name}: for tests only" in run.console, run
    assert (run.status, run.message) == (1, "run: the guest's exit status is 1"), run

    failed = failed_checks(run, places.kernel_source)
    assert failed == {"coherent": mutant.coherent, "non-coherent": mutant.non_coherent}, run
    record_property(CAUGHT, (name, sorted(mutant.coherent | mutant.non_coherent)))


def test_mutant_is_caught_as_a_foreign_device(boot: Boot, places: Places, make: Make) -> None:
    """A mapping that is cached where the kernel's is not, by what was told of the kernel's."""
    built = make("-s", "module", "MUTANT=cacheable")
    assert built.returncode == 0, built.stdout
    run = boot(
        "--append=quiet",
        "--run=/bin/faultline-verify --foreign /dev/faultline1 --size 65536"
        " --kernel-attr non-cacheable",
        module=places.build / "driver-cacheable/faultline.ko")
    assert run.status == 1, run
    report = ktap.parse(run.console, places.kernel_source)
    assert (report.errors, report.failed_checks()) == (0, {"attribute_user"}), run
    assert "type of the first mapping at offset 0x0: Normal write-back, " \
           "want Normal non-cacheable" in run.console, run


def failed_checks(run: Run, kernel_source: Path) -> dict[str, set[str]]:
    """The checks that are `not ok`, by what the driver says of the device."""
    report = ktap.parse(run.console, kernel_source)
    assert report.errors == 0, run
    return {
        coherency: {path[1] for path in report.not_ok if path[0] == device and len(path) > 1}
        for device, _, coherency in run.devices().values()
    }
