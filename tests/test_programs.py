# SPDX-License-Identifier: GPL-2.0-only
"""The programs of the guest as files, for every target: how large they are, and that they are static."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import _libfdt
import pytest

import elf
from conftest import SUMMARY, Make
from places import TOP, Places, environment
from project import INIT, VERIFY

pytestmark = pytest.mark.unit

# The most that a program of the guest may have, in bytes.
LIMITS = {VERIFY: 64 << 10, INIT: 8 << 10}


@pytest.fixture(scope="session")
def boards_by_target(places: Places) -> dict[str, Places]:
    """One board for each target that this run has, the default one's first."""
    boards = [places, *(places.of_board(name) for name in places.boards)]
    return {board.target: board for board in reversed(boards)}


def targets() -> list[str]:
    """All that a board has."""
    return sorted({environment(path)["RUST_TARGET"] for path in TOP.glob("board/*/board.env")})


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("target", targets())
def test_program_is_small_and_static(
    boards_by_target: dict[str, Places], make: Make, target: str, name: str,
    record_property: Callable[[str, object], None],
) -> None:
    if target not in boards_by_target:
        pytest.skip(f"no board with the target {target} is among the BOARDS of this run")
    board = boards_by_target[target]
    built = make("verify", f"BOARD={board.board}")
    assert built.returncode == 0, built.stdout
    program = (board.build / name).read_bytes()
    record_property(SUMMARY, ("sizes of programs", f"{name}, {target}", f"{len(program)} bytes"))
    assert len(program) <= LIMITS[name]
    assert elf.is_static(program)


def test_a_program_with_a_loader_is_not_static() -> None:
    """And neither is a shared library."""
    python = Path(sys.executable).resolve().read_bytes()
    assert elf.PT_INTERP in elf.segment_types(python) and not elf.is_static(python)
    library = Path(_libfdt.__file__).read_bytes()
    assert elf.PT_INTERP not in elf.segment_types(library) and not elf.is_static(library)
    with pytest.raises(ValueError):
        elf.segment_types(b"#!/bin/sh\n" + bytes(64))
