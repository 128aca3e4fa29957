# SPDX-License-Identifier: GPL-2.0-only
"""Drivers that are broken on purpose: each is caught, at the named checks and at no other."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import ktap
from conftest import SUMMARY, Make
from guests import DEBUG_PATIENCE, Boot, Run
from places import SETUP, TOP, Places

pytestmark = pytest.mark.boot

PATCHES = TOP / "tests/mutants"
# In the summary: which checks caught which mutant.
CAUGHT = "broken drivers, and the checks that caught them"

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


# Those that the verifier catches.
VERIFIED: Mapping[str, Mutant] = {
    "wrong-page": Mutant(FRAMES, FRAMES | MASTER),
    "same-frame": Mutant(SAME_FRAME, SAME_FRAME | MASTER | {"master_refuses"}),
    # PMDs are mapped only of a buffer of some megabytes.
    "wrong-block": both(*FRAMES, dtso="qemu-virt-dma-ranges"),
    "cacheable": Mutant(non_coherent={"attribute_user"}),
    "device-memory": Mutant(non_coherent={"attribute_user"}),
    # Where the device's addresses are not physical ones.
    "dma-address": both("store_read", "write_load", "walk_pfns", "litmus_kernel", "bits", "revoked",
                        dtso="qemu-virt-dma-ranges"),
    "private-copy": Mutant(COPY, COPY | MASTER),
    "bounce": both("store_read", "write_load", "bits"),
    "short-read": both("zeroed", "store_read", "bits"),
    "short-write": both("write_load", "bits"),
    # A new binding has a new buffer.
    "not-zeroed": both("zeroed", "revoked"),
    "always-pristine": both("zeroed"),
    "no-revoke": both("revoked"),
    "revoke-misses-one": both("revoked"),
    # On a coherent device it tells no lie: all that a process has is of the same type.
    "attribute-lies": Mutant(non_coherent={"translate_known"}),
    "master-silent": Mutant(non_coherent=MASTER),
    "master-overrun": Mutant(non_coherent={"master_fill", "master_copy"}),
}

@dataclass(frozen=True)
class Stressed:
    """The cases of faultline-stress of which each must fail or, where they race for one window, one of them; others may. `make test` takes the samples
    alone. Where the kernel complains, which ends the guest, there may be no case to look at."""

    cases: set[str]
    is_sample: bool = False
    dtso: str = "qemu-virt-dma-ranges"
    cycles: int = 1
    complains: bool = False
    # Whether the named cases are enough, and no other has to come before them.
    is_alone: bool = True
    # Whether the cases race with the driver for one window: one of them has to fail, whichever it is.
    is_race: bool = False

    def catch(self, failed: set[str]) -> bool:
        return bool(self.cases & failed) if self.is_race else self.cases <= failed


def stressed(*cases: str, **others: Any) -> Stressed:
    return Stressed(set(cases), **others)


# Those that only the stress program catches, by the guard that is missing.
STRESSED: Mapping[str, Stressed] = {
    "private-mapping": stressed("private_mapping"),
    "executable": stressed("executable"),
    "no-bounds": stressed("out_of_range"),
    "growing": stressed("growth", "vma_flags"),
    "dumped": stressed("vma_flags"),
    "pages-lent": stressed(complains=True),
    "no-access": stressed("debugger"),
    "debugger-writes": stressed("read_only_by_debugger"),
    "before-start": stressed("split"),
    "past-end": stressed("split", is_sample=True),
    "no-pmd-bounds": stressed("split"),
    "no-wait": stressed("unbind_against_mmap", "unbind_against_touch", "unbind_against_fork", cycles=100,
                        is_race=True),
    "never-freed": stressed("unbind_cycles", cycles=25, is_alone=False),
    "own-address-space": stressed("unbind_in_use"),
    "write-past-end": stressed("ends"),
    "any-ioctl": stressed("ioctls"),
    "numbers-lost": stressed("unbind_cycles", cycles=30),
    "frame-for-all": stressed("physical_addresses"),
    "translate-for-all": stressed("rights"),
    "translate-bits": stressed("translate_refuses"),
    "read-only-writes": stressed("rights", dtso="qemu-virt-stress"),
    "copy-any-length": stressed("masters", dtso="qemu-virt-stress"),
    "litmus-overlap": stressed("litmus_refuses"),
    "litmus-anywhere": stressed("litmus_keeps_off"),
    "litmus-many": stressed("litmus_ends"),
    "litmus-deaf": stressed("litmus_ends"),
    "fault-out-of-memory": stressed("advice_beside_faults", cycles=20),
    "poll-not-woken": stressed("poll_hears_unbinding"),
    "poll-silent": stressed("poll_hears_unbinding", is_sample=True),
    "no-fsync": stressed("flushing_and_appending", is_sample=True),
    "append-ignored": stressed("flushing_and_appending", "vectors"),
    "readv-from-start": stressed("vectors"),
    "few-lost": stressed("absent_memory"),
    "open-flags-ignored": stressed("open_flags"),
    "prefault-nothing": stressed("prefault"),
    "prefault-any-mapping": stressed("prefault_refuses"),
    "export-not-revoked": stressed("dma_buf_unbound", is_sample=True),
    "export-read-only": stressed("dma_buf_refuses"),
    "imported-wrong-page": stressed("dma_buf_master", dtso="qemu-virt-stress"),
    "imported-any-coherency": stressed("dma_buf_master", dtso="qemu-virt-stress"),
    "attributes-for-all": stressed("attributes"),
    "eager": stressed("relocation", "vma_flags", "debugger"),
}

# Those that are wrong only on another machine, which they take this one for.
PRETENDING = {"memory-encrypted", "pfnmap", "channel-of-its-own"}

# Those that only another device tree shows: tests/test_memory.py boots it.
OF_MEMORY = {"pool-cached", "region-ignored", "mask-ignored"}
# Those that only another board shows: tests/test_boards.py.
OF_BOARDS = {"channel-kept", "mixedmap"}
# The same of tests/test_names.py.
OF_NAMES = {"labels-shared"}

# Those of cached buffers: tests/test_cached.py.
OF_CACHED = {"sync-silent", "sync-wrong-range", "sync-wrong-direction", "sync-misplaced", "sync-end-alone",
             "pinned-freed", "pinned-overwritten"}

# Those of dma-bufs that only an importer or a bounce buffer shows: tests/test_export.py.
OF_EXPORT = {"export-sync-silent", "fence-not-waited", "imported-after-end", "imported-bounced", "imported-freed"}

# Those that only an IOMMU shows: tests/test_iommu.py.
OF_IOMMU = {"taken-for-contiguous"}

# Those of buffers that are made at run time: tests/test_configfs.py.
OF_CONFIGFS = {"run-time-kept", "run-time-probe-ignored", "run-time-changed", "run-time-coherency-ignored"}

# Those that are right, but slower, which is what the benchmark shows; or right but in a race.
MODES = {"batches", "page-by-page"}

# One that is right, and always copies in a way that is rarely taken otherwise.
RIGHT = {"not-brought-in"}


def patches() -> list[str]:
    return sorted(path.stem for path in PATCHES.glob("*.patch"))


def test_every_mutant_is_here() -> None:
    assert patches() == sorted(VERIFIED.keys() | STRESSED.keys() | PRETENDING | OF_MEMORY | OF_BOARDS
                               | OF_NAMES | OF_CACHED | OF_EXPORT | OF_IOMMU | OF_CONFIGFS | MODES | RIGHT)


@pytest.mark.parametrize("name", patches())
def test_patch_says_what_it_is(name: str) -> None:
    licence, meaning, *rest = (PATCHES / f"{name}.patch").read_text().splitlines()
    assert licence == "# SPDX-License-Identifier: GPL-2.0"
    assert meaning.startswith("# ") and len(meaning) > 20


def build(make: Make, places: Places, name: str) -> Path:
    built = make("-s", "module", f"MUTANT={name}")
    assert built.returncode == 0, built.stdout
    return places.build / f"driver-{name}/faultline.ko"


def test_patch_that_does_not_apply_is_named(places: Places, tmp_path: Path) -> None:
    patch = tmp_path / "old.patch"
    patch.write_text("--- a/driver/uapi.rs\n+++ b/driver/uapi.rs\n@@ -1 +1 @@\n-what was\n+what is\n")
    built = subprocess.run(
        [SETUP, "mutant", tmp_path / "out", patch], cwd=TOP, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )
    assert built.returncode != 0
    assert f"{patch} does not apply to driver/ as it is now" in built.stdout


@pytest.mark.parametrize("name", VERIFIED)
def test_mutant_is_caught(
    places: Places, make: Make, record_property: Callable[[str, object], None], name: str,
    tmp_path: Path,
) -> None:
    mutant = VERIFIED[name]
    boot = Boot(places, tmp_path)
    run = boot(f"--dtso={TOP / 'dts' / mutant.dtso}.dtso", module=build(make, places, name))
    assert (run.status, run.message) == (1, "run: the guest's exit status is 1"), run

    failed = failed_checks(run, places.kernel_source)
    assert failed == {"coherent": mutant.coherent, "non-coherent": mutant.non_coherent}, run
    record_property(SUMMARY, (CAUGHT, name, ", ".join(sorted(mutant.coherent | mutant.non_coherent))))


def test_mutant_is_caught_as_a_foreign_device(boot: Boot, places: Places, make: Make) -> None:
    """A mapping that is cached where the kernel's is not, by what was told of the kernel's."""
    run = boot(
        "--append=quiet",
        "--run=/bin/faultline-verify --foreign /dev/faultline1 --size 65536"
        " --kernel-attr non-cacheable",
        module=build(make, places, "cacheable"))
    assert run.status == 1, run
    report = ktap.parse(run.console, places.kernel_source)
    assert (report.errors, report.failed_checks()) == (0, {"attribute_user"}), run
    assert "type of the first mapping at offset 0x0: Normal write-back, " \
           "want Normal non-cacheable" in run.console, run


ALL = "TEST_ALL_MUTANTS" in os.environ


@pytest.mark.parametrize("name", [name for name in STRESSED if ALL or STRESSED[name].is_sample])
def test_mutant_is_caught_by_stress(
    places: Places, make: Make, record_property: Callable[[str, object], None], name: str,
    tmp_path: Path,
) -> None:
    mutant = STRESSED[name]
    boot = Boot(places, tmp_path, DEBUG_PATIENCE)
    run = boot(
        f"--overlay={places.stress.parents[1]}", f"--dtso={TOP / 'dts' / mutant.dtso}.dtso", "--smp=4",
        "--append=loglevel=5",
        f"--run=/bin/faultline-stress --seed 1 --part cases --cycles {mutant.cycles}"
        + "".join(f" --case {case}" for case in sorted(mutant.cases) if mutant.is_alone),
        module=build(make, places, name))
    assert run.status == 1, run
    if mutant.complains:
        assert run.message.startswith("run: the kernel reported"), run
        record_property(SUMMARY, (CAUGHT, name, "the kernel's own checks"))
        return
    report = ktap.parse(run.console, places.kernel_source)
    failed = report.failed_checks()
    assert mutant.catch(failed), run
    record_property(SUMMARY, (CAUGHT, name, ", ".join(sorted(mutant.cases & failed))))


@pytest.mark.parametrize("name", sorted(RIGHT))
def test_right_in_another_way(places: Places, make: Make, name: str, tmp_path: Path) -> None:
    """What is copied by way of kernel memory, a few bytes at a time, is as right as what is not."""
    boot = Boot(places, tmp_path, DEBUG_PATIENCE)
    run = boot(
        f"--overlay={places.stress.parents[1]}", f"--dtso={TOP / 'dts/qemu-virt-stress.dtso'}", "--smp=4",
        "--append=loglevel=5", "--run=/bin/faultline-stress --seed 1 --part cases",
        module=build(make, places, name))
    assert run.status == 0, run
    assert "faultline-stress: PASS" in run.console, run


def test_no_probe_where_memory_is_encrypted(boot: Boot, places: Places, make: Make) -> None:
    """There user space would map another alias than the one that the device sees."""
    run = boot(module=build(make, places, "memory-encrypted"))
    assert run.status == 4, run
    assert "this kernel encrypts memory: user space cannot share what the device sees" in run.console


def test_cpu_without_special_entries(places: Places, make: Make, tmp_path: Path) -> None:
    """VM_PFNMAP in place of VM_MIXEDMAP: all that is lost is what pagemap shows."""
    boot = Boot(places, tmp_path)
    run = boot(module=build(make, places, "pfnmap"))
    lost = {"pagemap_same", "pagemap_kernel", "walk_pfns"}
    assert failed_checks(run, places.kernel_source) == {"coherent": lost, "non-coherent": lost}, run


def failed_checks(run: Run, kernel_source: Path) -> dict[str, set[str]]:
    """The checks that are `not ok`, by what the driver says of the device."""
    report = ktap.parse(run.console, kernel_source)
    assert report.errors == 0, run
    return {
        coherency: {path[1] for path in report.not_ok if path[0] == device and len(path) > 1}
        for device, _, coherency in run.devices().values()
    }
