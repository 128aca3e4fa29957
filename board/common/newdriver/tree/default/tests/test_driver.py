# SPDX-License-Identifier: GPL-2.0-only
"""The driver in a guest: every check passes, and each mutant fails at its check."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from conftest import COMMON, TOP, Places, call
from project import MODULE

pytestmark = pytest.mark.kernel

CHECKS = re.findall(r'^        name: "(\w+)",$', (TOP / "userspace/verify/src/checks.rs").read_text(), re.MULTILINE)
# Each driver that is broken on purpose, and the checks that must notice.
MUTANTS = {
    "event-lost": {"alarm"},
    "alarm-races": {"alarm_waits"},
}


def test_driver(places: Places) -> None:
    status, console, report = places.boot(places.module)
    assert status == 0, console
    assert report.errors == 0, console
    assert report.ok == {(f"/dev/{MODULE}0",), *((f"/dev/{MODULE}0", name) for name in CHECKS)}, console


def test_every_mutant_is_known() -> None:
    assert {path.stem for path in (TOP / "tests/mutants").glob("*.patch")} == MUTANTS.keys()


@pytest.mark.parametrize("mutant", MUTANTS)
def test_mutant_is_noticed(mutant: str, places: Places) -> None:
    output = places.build / f"driver-{mutant}"
    call(COMMON / "setup", "mutant", output, Path("tests/mutants") / f"{mutant}.patch")
    status, console, report = places.boot(output / places.module.name)
    assert status == 1, console
    assert report.failed_checks() == MUTANTS[mutant], console
