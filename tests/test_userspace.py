# SPDX-License-Identifier: GPL-2.0-only
"""The unit tests of userspace/, which cargo runs on this machine."""

from __future__ import annotations

import re
import subprocess

import pytest

from places import SETUP, TOP

pytestmark = pytest.mark.unit


def test_cargo_test() -> None:
    """`core` against a fake device that can be made to lie, and the numbers of `uapi`."""
    done = subprocess.run(
        [SETUP, "cargo", "test", "--locked"], cwd=TOP, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )
    assert done.returncode == 0, done.stdout
    result = r"^test result: ok\. (\d+) passed; 0 failed; 0 ignored"
    results = re.findall(result, done.stdout, re.MULTILINE)
    assert len(results) >= 2, done.stdout
    assert sum(map(int, results)) > 0, done.stdout
    for crate in ("core", "uapi"):
        assert f"faultline_{crate}" in done.stdout, done.stdout
