# SPDX-License-Identifier: GPL-2.0-only
"""What the tests share: where things are, and how to boot a guest."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import ktap

TOP = Path(__file__).resolve().parents[1]
COMMON = TOP / "board/common"
sys.path.insert(1, str(COMMON))


def pytest_configure(config: pytest.Config) -> None:
    if "TEST_BUILD" not in os.environ:
        pytest.exit("TEST_BUILD is not set: run the tests by `make test`", returncode=4)
    config.addinivalue_line("markers", "kernel: needs a kernel; make check leaves it out")


def call(*command: str | Path) -> str:
    """Runs a program, which must succeed; its output."""
    done = subprocess.run(command, cwd=TOP, text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    return done.stdout


class Places:
    """Where make has put things."""

    build = Path(os.environ.get("TEST_BUILD", ""))
    kernel = Path(os.environ.get("TEST_KERNEL", ""))
    module = Path(os.environ.get("TEST_MODULE", ""))

    @property
    def tools(self) -> dict[str, str]:
        lines = re.findall(r"^(\w+)=(.*)$", (self.build / "tools.env").read_text(), re.MULTILINE)
        return {key: " ".join(shlex.split(value)) for key, value in lines}

    def command(self, module: Path, *arguments: str) -> list[str]:
        """What boots the verifier with a module."""
        from project import INIT, VERIFY

        return [str(word) for word in (
            COMMON / "python", "-EsB", COMMON / "run.py", "--qemu", self.tools["QEMU_BIN"],
            "--board", os.environ["BOARD"], "--kernel", self.kernel, "--module", module,
            "--init", self.build / VERIFY, "--runner", self.build / INIT, "--timeout=600", *arguments)]

    def boot(self, module: Path, *arguments: str) -> tuple[int, str, ktap.Report]:
        """Boots it: the exit status, the console, its report."""
        if why_not := self.tools["QEMU_WHY_NOT"]:
            pytest.skip(why_not)
        done = subprocess.run(self.command(module, *arguments), text=True, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        source = (self.build / "linux/source").resolve()
        return done.returncode, done.stdout, ktap.parse(done.stdout, source)


@pytest.fixture(scope="session")
def places() -> Places:
    return Places()
