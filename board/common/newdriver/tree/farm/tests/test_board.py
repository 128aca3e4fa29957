# SPDX-License-Identifier: GPL-2.0-only
"""A board that labgrid reaches: it boots, and the verdict is a pass. `make test LG_ENV=FILE` runs only this
file; test_farm.py runs it with a board emulated by QEMU."""

from __future__ import annotations

from pathlib import Path

import pytest
from labgrid.strategy import Strategy

import ktap
from conftest import Places
from desk import Desk
from project import MODULE

pytestmark = pytest.mark.kernel


def test_verdict(strategy: Strategy, places: Places, tmp_path: Path) -> None:
    status, console, message = Desk(strategy, tmp_path).boot()
    assert (status, message) == (0, ""), f"{message or status}\n{console}"
    report = ktap.parse(ktap.of_programs(console), places.kernel_source)
    assert (report.errors, report.not_ok) == (0, set()), console
    assert (f"/dev/{MODULE}0",) in report.ok, console
