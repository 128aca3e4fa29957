# SPDX-License-Identifier: GPL-2.0-only
"""The unit tests of userspace/, which cargo runs on this machine."""

from __future__ import annotations

import re
import subprocess

import pytest

from places import SETUP, TOP, Places

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


def test_program_is_small_and_static(places: Places) -> None:
    program = places.verify.read_bytes()
    assert program[:4] == b"\x7fELF"
    # It was 16 KiB before it asked the CPU, a bus master and other tasks: the checks have doubled.
    assert len(program) <= 64 * 1024
    # A program that needs a loader names it: PT_INTERP.
    assert b"/lib/ld-" not in program
