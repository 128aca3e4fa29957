# SPDX-License-Identifier: GPL-2.0-only
"""A farm on this machine: labgrid's coordinator and exporter, and boards emulated by QEMU."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from conftest import TOP, Places

pytestmark = pytest.mark.kernel

FILES = TOP / "tests/labgrid"
TEST_BOARD = [sys.executable, "-Bm", "pytest", "-p", "no:cacheprovider", "--rootdir=.", "--confcutdir=.",
              "test_board.py"]
# In seconds. Nothing takes that long, however busy the machine is.
LIMIT = 1800


@pytest.mark.parametrize(("guest", "status", "said"), [
    ("", 0, " 1 passed"),
    ("--append=rdinit=/missing", 1, "the kernel reported: Kernel panic"),
], ids=["passes", "panics"])
def test_board_of_a_farm(guest: str, status: int, said: str, places: Places) -> None:
    if why_not := places.tools["QEMU_WHY_NOT"]:
        pytest.skip(why_not)
    done = subprocess.run(
        [sys.executable, "-B", FILES / "farm.py", f"--guest={guest}", "--", *TEST_BOARD], cwd=TOP / "tests", text=True,
        env=os.environ | {"LG_ENV": str(FILES / "place.yaml")}, timeout=LIMIT,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == status, done.stdout
    assert said in done.stdout
