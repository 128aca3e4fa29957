# SPDX-License-Identifier: GPL-2.0-only
"""What all tests share: where the built things are, and how to boot a guest."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path
from threading import Timer

import pytest

from guests import DEBUG_PATIENCE, PATIENCE, Boot
from places import SETUP, TOP, Places


# A board that labgrid reaches: where no LG_ENV says how, there is none.
collect_ignore = [] if "LG_ENV" in os.environ else ["test_board.py"]


def pytest_configure() -> None:
    try:
        Places.from_environment()
    except KeyError as missing:
        pytest.exit(f"{missing.args[0]} is not set: run the tests by `make test`", returncode=4)


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
    """Every file of the project: those that git tracks, and the new ones it does not ignore."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=TOP, capture_output=True, check=True, text=True,
    ).stdout
    files = [TOP / name for name in listed.split("\0") if name]
    assert files, "git lists no file"
    # A file that was deleted, or replaced by a link, is not there to be read.
    return [path for path in files if path.is_file() and not path.is_symlink()]


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

    def __init__(self) -> None:
        # None of the variables of the make that runs these tests.
        self.environment = {
            name: value for name, value in os.environ.items()
            if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES")
        }

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["make", *arguments], cwd=TOP, env=self.environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=PATIENCE,
        )

    def converse(self, target: str, prompt: str, answer: str) -> str:
        """Calls for a target that reads; answers once it has said `prompt`. All that it said."""
        with subprocess.Popen(
            ["make", target], cwd=TOP, env=self.environment, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        ) as process:
            limit = Timer(PATIENCE, os.killpg, (process.pid, signal.SIGTERM))
            limit.start()
            said = b""
            while chunk := process.stdout.read1():
                if prompt.encode() in said + chunk and prompt.encode() not in said:
                    process.stdin.write(answer.encode())
                    process.stdin.flush()
                said += chunk
            limit.cancel()
        return said.decode(errors="replace").replace("\r", "")
