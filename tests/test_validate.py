# SPDX-License-Identifier: GPL-2.0-only
"""What `make run DTS=` says of the tree that is about to boot: run.py's --validate."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from conftest import Make
from guests import Boot, Run
from places import Places

pytestmark = pytest.mark.boot

PROGRAM = Path(sys.executable).parent / "dt-validate"
NODE = 'dma-buffer-0 {{ compatible = "faultline,coherent-buffer"; size = <0x1000>; {} }};'


def started(boot: Boot, directory: Path, properties: str, program: Path = PROGRAM) -> Run:
    """A guest that the tree is made for; what it does then is not looked at."""
    overlay = directory / "test.dtso"
    overlay.write_text(f"/dts-v1/;\n/plugin/;\n&{{/}} {{ {NODE.format(properties)} }};\n")
    return boot(f"--dtso={overlay}", f"--validate={program}")


def test_misspelt_property(boot: Boot, tmp_path: Path) -> None:
    """The driver does not know it; the schema does, and the guest boots all the same."""
    run = started(boot, tmp_path, "sise = <4096>;")
    assert run.status == 0, run
    first, *_ = run.message.splitlines()
    assert first.startswith("run: dt-validate: dma-buffer-0 (faultline,coherent-buffer): "), run
    assert "'sise'" in first, run


def test_good_tree(boot: Boot, tmp_path: Path) -> None:
    run = started(boot, tmp_path, "dma-noncoherent;")
    assert (run.status, run.message) == (0, ""), run


def test_program_that_is_not_installed(
    boot: Boot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", os.pathsep.join(
        part for part in os.environ["PATH"].split(os.pathsep)
        if not (Path(part) / PROGRAM.name).exists()))
    run = started(boot, tmp_path, "sise = <4096>;", tmp_path / PROGRAM.name)
    assert run.status == 0, run
    assert run.message == ("run: dt-validate is not installed: the device tree is not checked against "
                           "dts/bindings. `make setup` installs it")


@pytest.mark.parametrize("target", ["run", "shell", "stress"])
def test_make_asks_for_it(make: Make, places: Places, target: str) -> None:
    """`make run DTS=` gives the program that set-up installs."""
    done = make("--dry-run", target)
    assert done.returncode == 0, done.stdout
    assert (f"${{DTS:+--validate build/{places.board}/venv/bin/dt-validate}}" in done.stdout), done.stdout
