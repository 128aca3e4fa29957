# SPDX-License-Identifier: GPL-2.0-only
"""The unit tests of userspace/, which cargo runs on this machine."""

from __future__ import annotations

import re
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import SIZE
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


BOUNDS = {"faultline-verify": 64 * 1024, "faultline-init": 8 * 1024}


def program_headers(program: bytes) -> list[int]:
    """The types of an ELF file's program headers, of either class, little-endian."""
    assert program[:4] == b"\x7fELF"
    assert program[5] == 1, "not little-endian"
    # e_phoff, then e_phentsize and e_phnum.
    at, sizes = ("<Q", 0x36) if program[4] == 2 else ("<I", 0x2A)
    (offset,) = struct.unpack_from(at, program, 0x20 if program[4] == 2 else 0x1C)
    entry_size, count = struct.unpack_from("<HH", program, sizes)
    return [struct.unpack_from("<I", program, offset + number * entry_size)[0]
            for number in range(count)]


@pytest.mark.parametrize("name", BOUNDS)
def test_program_is_small_and_static(
    places: Places, name: str, record_property: Callable[[str, object], None]
) -> None:
    """For every board that was built: `make check` builds one, `make test` all of them."""
    load, interpreter = 1, 3
    for board in {places.board, *places.boards}:
        file = places.of_board(board).verify.with_name(name)
        if board != places.board and not file.exists():
            continue
        program = file.read_bytes()
        headers = program_headers(program)
        assert load in headers
        assert interpreter not in headers, f"{board}: {name} needs a loader"
        record_property(SIZE, (f"{board}: {name}", f"{len(program)} of {BOUNDS[name]} bytes"))
        assert len(program) <= BOUNDS[name], f"{board}: {name} has {len(program)} bytes"


def test_a_program_that_needs_a_loader_is_noticed() -> None:
    assert 3 in program_headers(Path(sys.executable).resolve().read_bytes())
