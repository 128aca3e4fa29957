# SPDX-License-Identifier: GPL-2.0-only
"""A farm on this machine: labgrid's coordinator and exporter, and boards emulated by QEMU; and what such boards do
not have: cards, and an exporter's file of their own."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from labgrid.factory import target_factory
from labgrid.remote.config import ResourceConfig
from labgrid.strategy import StrategyError

from conftest import TOP, Places

FILES = TOP / "tests/labgrid"
TEST_BOARD = [sys.executable, "-Bm", "pytest", "-p", "no:cacheprovider", "--rootdir=.", "--confcutdir=.",
              "test_board.py"]
# In seconds. Nothing takes that long, however busy the machine is.
LIMIT = 1800


@pytest.mark.kernel
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


class Part:
    """A driver of labgrid's that only takes note of what it is asked for."""

    def __init__(self, name: str, done: list[tuple]) -> None:
        self.name = name
        self.done = done

    def __getattr__(self, call: str) -> Callable[..., None]:
        return lambda *arguments: self.done.append((self.name, call, *arguments))


def test_steps_of_a_boot(tmp_path: Path) -> None:
    """The board is off while its card is written, once; the console listens before the power is on."""
    # Not as the tests of a board load it, which labgrid would take for a second driver of the name.
    source = (FILES / "strategy.py").read_text().replace("@target_factory.reg_driver\n", "")
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("steps", None))
    exec(compile(source, FILES / "strategy.py", "exec"), module.__dict__)
    image = tmp_path / "sdcard.img"
    done: list[tuple] = []
    strategy = module.BoardStrategy.__new__(module.BoardStrategy)
    vars(strategy).update({name: Part(name, done) for name in strategy.bindings})
    vars(strategy).update(card="card", files=["kernel"], provided=False, target=SimpleNamespace(
        activate=lambda part: done.append((part.name, "activate")),
        deactivate=lambda part: done.append((part.name, "deactivate")),
        env=SimpleNamespace(config=SimpleNamespace(get_image_path=lambda key: str(image)))))

    off = [("power", "activate"), ("power", "off"), ("console", "deactivate"), ("power", "deactivate")]
    card = [("mux", "activate"), ("mux", "set_mode", "host"), ("storage", "activate"),
            ("storage", "write_image", str(image)), ("storage", "deactivate"), ("mux", "set_mode", "dut"),
            ("tftp", "activate"), ("tftp", "stage", str(image))]
    on = [("console", "activate"), ("power", "activate"), ("power", "on")]
    with pytest.raises(StrategyError, match="there is no .*sdcard.img"):
        strategy.transition("started")
    assert done == off
    image.touch()
    done.clear()
    strategy.transition("started")
    assert done == [*off, *card, *on]
    done.clear()
    strategy.transition("started")
    strategy.transition("off")
    assert done == [*off, *on, *off], "the card has been written"
    with pytest.raises(StrategyError, match="no state 'begun'"):
        strategy.transition("begun")


def test_exporter_of_a_row_of_boards() -> None:
    """The exporter reads exporter.yaml, and labgrid knows all that it names."""
    boards = ResourceConfig(str(FILES / "exporter.yaml")).data
    assert len(boards) > 1
    power = [board["NetworkPowerPort"]["index"] for board in boards.values()]
    assert len({*power}) == len(power), "two boards at one switch"
    for board in boards.values():
        assert board.pop("location")
        assert any("SerialPort" in name for name in board)
        for name in board:
            assert target_factory.class_from_string(name)
