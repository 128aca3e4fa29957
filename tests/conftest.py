# SPDX-License-Identifier: GPL-2.0-only
"""What all tests share: where the built things are, and how to boot a guest."""

from __future__ import annotations

import fcntl
import json
import os
import re
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO

import pytest
from xdist.scheduler import LoadScopeScheduling

from guests import DEBUG_PATIENCE, PATIENCE, Boot, Run
from places import SETUP, TOP, Places, source_files


# A board that labgrid reaches: where no LG_ENV says how, there is none.
collect_ignore = [] if "LG_ENV" in os.environ else ["test_board.py"]


def pytest_configure(config: pytest.Config) -> None:
    try:
        Places.from_environment()
    except KeyError as missing:
        pytest.exit(f"{missing.args[0]} is not set: run the tests by `make test`", returncode=4)
    config.pluginmanager.register(Summary(config))
    take_signals_by_default()


def take_signals_by_default() -> None:
    """`nohup make test` ignores SIGHUP, `make test &` in a script SIGINT, and what is started inherits that:
    a shell cannot trap them then. A handler is not inherited; this one goes on ignoring them here."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """`-n auto` of pytest.ini: a worker for each CPU, and one more for what waits without computing,
    as a guest that hangs until its time limit does. A board that labgrid reaches is one."""
    return 0 if "LG_ENV" in os.environ else len(os.sched_getaffinity(0)) + 1


# `make check` leaves out what needs a kernel: whatever boots, and what says so by this marker.
BOOTS = {"boot", "board", "soak"}
BOOTING_FIXTURES = {"boot", "debug_boot", "shared_boot"}


def pytest_itemcollected(item: pytest.Item) -> None:
    marks = {mark.name for mark in item.iter_markers()}
    if marks & BOOTS or BOOTING_FIXTURES & set(getattr(item, "fixturenames", ())):
        item.add_marker("kernel")


# What must not run beside itself, or shares a fixture that is expensive to make, runs on one worker,
# in the order of the file. The tests of other files run anywhere.
GROUPS = {
    "test_make.py": "make",  # writes in build/, as its user does
    "test_programs.py": "make",
    "test_debian.py": "make",
    "test_farm.py": "coordinator",  # of labgrid: its ports, and its boards take two CPUs
    "test_bench.py": "bench",  # one long boot, which most tests read
    "test_dts.py": "binding",  # one long call of dt-validate
    "test_flash.py": "loop devices",  # and the device mapper
}
# What takes longest begins first, so that no worker is left alone with it at the end.
LONGEST_FIRST = ("test_stress.py", "test_mutants.py", "test_soak.py", "test_debug.py",
                 "test_userspace.py", "test_farm.py", "test_bench.py", "test_make.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {name: number for number, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))


class Scheduler(LoadScopeScheduling):
    """pytest-xdist's own, in the order of the items; it takes groups from GROUPS, because the mark
    xdist_group has no effect with this pytest: it would change an item's identifier."""

    def _split_scope(self, nodeid: str) -> str:
        file, _, _ = nodeid.partition("::")
        return GROUPS.get(file, nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Scheduler:
    config.option.loadscopereorder = False
    return Scheduler(config, log)


# What tests have to show at the end: a property of a test's report with this name is a table's title,
# and a row's name and text. Only reports come back from the workers.
SUMMARY = "summary"
TABLES = pytest.StashKey[dict[str, dict[str, str]]]()


class Summary:
    def __init__(self, config: pytest.Config) -> None:
        self.config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call":
            return
        tables = self.config.stash.setdefault(TABLES, {})
        for title, row, text in (value for name, value in report.user_properties if name == SUMMARY):
            tables.setdefault(title, {})[row] = text


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    for title, rows in sorted(config.stash.get(TABLES, {}).items()):
        terminalreporter.section(title)
        width = max(map(len, rows))
        for name, text in sorted(rows.items()):
            terminalreporter.line(f"{name:{width}}  {text}")


@pytest.fixture(scope="session")
def places() -> Places:
    return Places.from_environment()


@pytest.fixture
def boot(places: Places, tmp_path: Path) -> Boot:
    return Boot(places, tmp_path)


@pytest.fixture
def debug_boot(places: Places, tmp_path: Path) -> Boot:
    """Boots the debug kernel, which takes its time; skips where there is none."""
    places.need_debug_kernel()
    return Boot(places.debug, tmp_path, DEBUG_PATIENCE)


@pytest.fixture(scope="session")
def sources() -> list[Path]:
    """Every file of the project."""
    files = source_files(TOP)
    assert TOP / "Makefile" in files
    return files


@contextmanager
def by_one_worker(tmp_path_factory: pytest.TempPathFactory, name: str) -> Iterator[Path]:
    """A folder that all pytest workers share. Only one worker at a time is in this block with the
    same name. The first one finds the folder empty."""
    common = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        common = common.parent  # a worker has a folder of its own there
    with (common / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        shared = common / name
        shared.mkdir(exist_ok=True)
        yield shared


@pytest.fixture(scope="session")
def guest_test(places: Places, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An overlay that has tests/guest as /bin/faultline-guest-test; the option to boot with it."""
    with by_one_worker(tmp_path_factory, "guest-test") as overlay:
        program = overlay / "bin/faultline-guest-test"
        if not program.exists():
            built = subprocess.run(
                [SETUP, "cross", "build", "--locked", "--release",
                 f"--manifest-path={TOP / 'tests/guest/Cargo.toml'}"],
                cwd=TOP, text=True, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )
            assert built.returncode == 0, built.stdout
            program.parent.mkdir()
            shutil.copy(places.cross_output / program.name, program)
    return f"--overlay={overlay}"


class SharedBoot:
    """Boots a guest once in a session, for all tests, on whatever worker, that read what it said."""

    def __init__(self, places: Places, tmp_path_factory: pytest.TempPathFactory) -> None:
        self.places = places
        self.tmp_path_factory = tmp_path_factory

    def __call__(
        self, name: str, *options: str, tree: Callable[[Path], str] | None = None
    ) -> tuple[Run, Path]:
        """Guests of one name have the same options. The folder is the one that the guest was
        booted in; `tree` makes an overlay there, and gives one more option."""
        with by_one_worker(self.tmp_path_factory, f"guest-{name}") as work:
            record = work / "run.json"
            if not record.exists():
                run = Boot(self.places, work)(*options, *([tree(work)] if tree else []))
                record.write_text(json.dumps({"options": options, "run": asdict(run)}))
        recorded = json.loads(record.read_text())
        assert recorded["options"] == [*options], f"two guests are called {name}"
        return Run(**recorded["run"]), work


@pytest.fixture(scope="session")
def shared_boot(places: Places, tmp_path_factory: pytest.TempPathFactory) -> SharedBoot:
    return SharedBoot(places, tmp_path_factory)


@pytest.fixture(scope="session")
def default_run(shared_boot: SharedBoot) -> Run:
    """The default guest, whose verdict is about the driver as it is."""
    run, _ = shared_boot("default")
    return run


@pytest.fixture(scope="session")
def default_tree(shared_boot: SharedBoot) -> Path:
    """The device tree that it was booted with."""
    _, work = shared_boot("default")
    return work / "guest.dtb"


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
            os.close(ours)  # as when its window is closed, which ends its processes
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
