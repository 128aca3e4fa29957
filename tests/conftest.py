# SPDX-License-Identifier: GPL-2.0-only
"""What all tests share: where the built things are, and how to boot a guest."""

from __future__ import annotations

import os
import re
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from guests import DEBUG_PATIENCE, PATIENCE, Boot
from places import SETUP, TOP, Places, source_files


# A board that labgrid reaches: where no LG_ENV says how, there is none.
collect_ignore = [] if "LG_ENV" in os.environ else ["test_board.py"]


def pytest_configure() -> None:
    try:
        Places.from_environment()
    except KeyError as missing:
        pytest.exit(f"{missing.args[0]} is not set: run the tests by `make test`", returncode=4)


# `make check` leaves out what needs a kernel: whatever boots, and what says so by this marker.
BOOTS = {"boot", "board", "soak"}
BOOTING_FIXTURES = {"boot", "debug_boot"}


def pytest_itemcollected(item: pytest.Item) -> None:
    marks = {mark.name for mark in item.iter_markers()}
    if marks & BOOTS or BOOTING_FIXTURES & set(getattr(item, "fixturenames", ())):
        item.add_marker("kernel")


# Which checks caught which of the drivers that are broken on purpose.
MutantTable = dict[str, set[str]]
MUTANT_TABLE = pytest.StashKey[MutantTable]()


@pytest.fixture(scope="session")
def mutant_table(pytestconfig: pytest.Config) -> MutantTable:
    return pytestconfig.stash.setdefault(MUTANT_TABLE, {})


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if table := config.stash.get(MUTANT_TABLE, None):
        terminalreporter.section("broken drivers, and the checks that caught them")
        width = max(map(len, table))
        for name, checks in table.items():
            terminalreporter.line(f"{name:{width}}  {', '.join(sorted(checks))}")


@pytest.fixture(scope="session")
def places() -> Places:
    return Places.from_environment()


@pytest.fixture
def boot(places: Places, tmp_path: Path) -> Boot:
    return Boot(places, tmp_path)


@pytest.fixture
def debug_boot(places: Places, tmp_path: Path) -> Boot:
    """Boots the kernel that watches itself, which takes its time; skips where there is none."""
    places.need_debug_kernel()
    return Boot(places.debug, tmp_path, DEBUG_PATIENCE)


@pytest.fixture(scope="session")
def sources() -> list[Path]:
    """Every file of the project."""
    files = source_files(TOP)
    assert TOP / "Makefile" in files
    return files


@pytest.fixture(scope="session")
def guest_test(places: Places, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An overlay that has tests/guest as /bin/faultline-guest-test; the option to boot with it."""
    built = subprocess.run(
        [SETUP, "cross", "build", "--locked", "--release",
         f"--manifest-path={TOP / 'tests/guest/Cargo.toml'}"],
        cwd=TOP, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )
    assert built.returncode == 0, built.stdout
    name = "faultline-guest-test"
    overlay = tmp_path_factory.mktemp("overlay")
    (overlay / "bin").mkdir()
    shutil.copy(places.cross_output / name, overlay / "bin" / name)
    return f"--overlay={overlay}"


@pytest.fixture(scope="session")
def make() -> Make:
    return Make()


class Make:
    """Calls make as a user does, from the top of the project; the output comes as a whole."""

    # Of the variables that the make that runs these tests exports, those that hold for every other
    # one as well. An environment variable counts as an argument does.
    KEPT = {"KERNEL_SRC", "BUSYBOX"}

    def __init__(self) -> None:
        ours = set(re.findall(r"^## ([A-Z_]+)=", (TOP / "Makefile").read_text(), re.MULTILINE))
        dropped = ours - self.KEPT | {"MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES"}
        self.environment = {name: value for name, value in os.environ.items() if name not in dropped}

    def __call__(
        self, *arguments: str, top: Path = TOP, stdin: IO[bytes] | str = "", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        given = {"input": stdin} if isinstance(stdin, str) else {"stdin": stdin}
        return subprocess.run(
            ["make", *arguments], cwd=top, env=self.environment | environment, text=True, **given,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE,
        )

    @contextmanager
    def at_terminal(self, *arguments: str) -> Iterator[Terminal]:
        """The same by a user at a terminal."""
        ours, its = os.openpty()
        # No output is translated: a guest has done so already.
        process = subprocess.Popen(
            ["setsid", "--ctty", "make", *arguments], cwd=TOP, env=self.environment,
            stdin=its, stdout=its, stderr=its,
        )
        os.close(its)
        try:
            yield Terminal(ours, process)
        finally:
            os.close(ours)  # as when its window is closed: that ends whoever is still there
            process.wait(PATIENCE)


class Terminal:
    """A terminal with a process that has it."""

    def __init__(self, descriptor: int, process: subprocess.Popen[bytes]) -> None:
        self.descriptor = descriptor
        self.process = process
        self.said = ""

    def read(self, deadline: float) -> bool:
        """More of what is said; whether there was any."""
        left = max(0, deadline - time.monotonic())
        if not select.select([self.descriptor], [], [], left)[0]:
            raise TimeoutError(self.said)
        try:
            data = os.read(self.descriptor, 65536)
        except OSError:  # EIO: nobody has the terminal any more
            return False
        self.said += data.decode(errors="replace").replace("\r", "")
        return True

    def expect(self, pattern: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not re.search(pattern, self.said, re.MULTILINE):
            assert self.read(deadline), self.said

    def type(self, text: str) -> None:
        os.write(self.descriptor, text.encode())

    def end(self) -> int:
        """Wait for the end of all that have the terminal; the exit status of the first."""
        deadline = time.monotonic() + PATIENCE
        while self.read(deadline):
            pass
        return self.process.wait(PATIENCE)
