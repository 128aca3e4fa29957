# SPDX-License-Identifier: GPL-2.0-only
"""The self-test in a guest: what it says of the driver's buffer, and of a driver that is broken on purpose."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import ktap
from conftest import COMMON, TOP, Places, call
from project import MODULE, PROJECT

pytestmark = pytest.mark.kernel

DEVICE = f"/dev/{MODULE}0"
CATALOGUE = (TOP / "userspace/core/src/checks/catalogue.rs").read_text()
CHECKS = re.findall(r'^        name: "(\w+)",$', CATALOGUE, re.MULTILINE)
# The mapping of a coherent buffer is made as if the device saw no caches.
BROKEN = ("driver/mapping.rs", "vma.install(buffer.memory().memory_type())",
          "vma.install(crate::ext::memory::MemoryType::DmaCoherent)")


def verified(places: Places, module: Path) -> tuple[int, str, ktap.Report]:
    return places.boot(module, f"--init={places.build}/{PROJECT}-selftest",
                       f"--dtso={TOP}/dts/selftest/qemu-virt.dtso")


def test_every_check_passes(places: Places) -> None:
    status, console, report = verified(places, places.build / "driver-selftest" / places.module.name)
    assert status == 0, console
    assert report.errors == 0, console
    skipped = {(DEVICE, "sync_refuses")} & report.skipped
    assert report.ok == {(DEVICE,), *((DEVICE, name) for name in CHECKS)} - skipped, console
    assert (DEVICE, "master_copy") in report.ok, console


def test_a_wrong_memory_type_is_noticed(places: Places, tmp_path: Path) -> None:
    file, right, wrong = BROKEN
    text = (TOP / file).read_text()
    assert text.count(right) == 1
    patch = tmp_path / "type.patch"
    number = text[: text.index(right)].count("\n") + 1
    line = text.splitlines()[number - 1]
    patch.write_text(f"--- a/{file}\n+++ b/{file}\n@@ -{number} +{number} @@\n-{line}\n+{line.replace(right, wrong)}\n")
    output = places.build / "driver-wrong-type"
    call(COMMON / "setup", "mutant", output, patch)
    status, console, report = verified(places, output / places.module.name)
    assert status == 1, console
    assert (DEVICE, "attribute_user") in report.not_ok, console
