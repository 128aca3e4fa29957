# SPDX-License-Identifier: GPL-2.0-only
"""A board that labgrid reaches, on this desk or in a farm: it boots, and the verdict is a pass.

`make test LG_ENV=FILE` runs only this file. Without LG_ENV it is left out; test_farm.py runs it
with boards emulated by QEMU.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import ktap
from desk import Desk
from places import Places

pytestmark = pytest.mark.boot


def test_verdict(strategy, places: Places, tmp_path: Path) -> None:
    run = Desk(strategy, tmp_path).boot()
    assert (run.status, run.message) == (0, ""), run
    # One report on each device that the driver has bound, complete, and nothing in it failed.
    report = ktap.parse(ktap.of_programs(run.console), places.kernel_source)
    bound = {path for path, _, _ in run.devices().values()}
    assert bound, run
    assert (report.errors, report.not_ok) == (0, set()), run
    assert {path[0] for path in report.ok if len(path) == 1} == bound, run
    counts = re.search(r"^faultline-verify: PASS: (\d+) devices?, (\d+) checks: ", run.console,
                       re.MULTILINE)
    checks = {path for path in report.ok | report.skipped if len(path) > 1}
    assert counts and counts.groups() == (str(len(bound)), str(len(checks))), run
