# SPDX-License-Identifier: GPL-2.0-only
"""labgrid: test_board.py with a board of its QEMU driver, and with boards behind a coordinator and
an exporter on this machine; the environment files for boards that do not exist here."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import types
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

import ktap
from guests import Run
from places import TOP, Places, program

# Not `labgrid` itself: a folder of that name is here.
pytest.importorskip("labgrid.target", reason="labgrid is not installed (tests/requirements.txt)")
yaml = pytest.importorskip("yaml")  # which labgrid needs

pytestmark = pytest.mark.boot

TESTS = TOP / "tests"
FILES = TESTS / "labgrid"
TEST_BOARD = [sys.executable, "-m", "pytest", "test_board.py"]
# In seconds. A board's boot, and whatever takes several of them: nothing takes that long, however busy
# the machine is.
BOOT_LIMIT = 600
LIMIT = 3 * BOOT_LIMIT


def call(*command: str | Path, env_file: Path | None = None, **environment: str) -> Run:
    given = {"LG_ENV": str(env_file)} if env_file else {}
    done = subprocess.run(
        command, cwd=TESTS, env={**os.environ, **given, **environment}, text=True, timeout=LIMIT,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )
    return Run(done.returncode, done.stdout, "")


def test_qemu_driver() -> None:
    run = call(*TEST_BOARD, env_file=FILES / "qemu.yaml")
    assert run.status == 0, run
    assert " 1 passed" in run.console


def emulated(directory: Path, options: str = "", limit: int = BOOT_LIMIT) -> Path:
    """qemu.yaml with other options for the guest, and another time limit."""
    content = yaml.safe_load((FILES / "qemu.yaml").read_text())
    content["imports"] = [str(FILES / name) for name in content["imports"]]
    drivers = content["targets"]["main"]["drivers"]
    drivers["GuestDriver"]["options"] = options
    drivers["BoardStrategy"]["limit"] = limit
    file = directory / "qemu.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    return file


FAILURES = {
    "panic": ({"options": "--append=rdinit=/missing"}, "the kernel reported: Kernel panic"),
    # labgrid lets a guest run that was started with -S; this one waits for a root to come.
    "time limit": ({"options": "--append='rdinit=/missing rootdelay=1000'", "limit": 2},
                   "the time limit of 2 s ended"),
    # Without the kernel's word on that, which could come in the middle of the line with the status.
    "verdict": ({"options": "--append='loglevel=3 module_blacklist=faultline'"},
                "the guest's exit status is"),
    "set-up": ({"options": "--cpu=z80"}, "unable to find CPU model 'z80'"),
}


@pytest.mark.parametrize(("what", "message"), FAILURES.values(), ids=FAILURES.keys())
def test_qemu_driver_failure(short: Path, what: dict, message: str) -> None:
    """The failure is the one that run.py reports for such a guest, and QEMU has ended."""
    run = call(*TEST_BOARD, env_file=emulated(short, **what), TMPDIR=str(short))
    assert run.status == 1, run
    assert message in run.console, run
    assert not processes(short)


def test_directory_that_is_too_long_for_a_socket(short: Path) -> None:
    long = short / ("directory" * 12)
    long.mkdir()
    run = call(*TEST_BOARD, env_file=emulated(short), TMPDIR=str(long))
    assert run.status == 1, run
    assert "set TMPDIR to a shorter one" in run.console, run


@pytest.fixture
def short() -> Iterator[Path]:
    """A directory for sockets, whose paths are short: tmp_path has the names of the user and of the test."""
    with tempfile.TemporaryDirectory(prefix="farm-", dir="/tmp") as directory:
        yield Path(directory)


def processes(work: Path) -> list[str]:
    """The processes with this directory on their command line."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue  # it has ended
        if f"{work}/" in line:
            found.append(line)
    return found


def farm(*arguments: str) -> list[str]:
    return [sys.executable, str(FILES / "farm.py"), *arguments]


def test_farm(places: Places, short: Path) -> None:
    """Two boards at the same time, each with its own session of pytest."""
    script = (
        'first=$1; second=$2; shift 2\n'
        'LG_PLACE=$first "$@" & job=$!\n'
        'LG_PLACE=$second "$@" && wait $job\n'
    )
    names = [f"{places.board}-{number}" for number in range(2)]
    run = call(*farm("--boards=2", "--", "sh", "-c", script, "sh", *names, *TEST_BOARD),
               env_file=FILES / "place.yaml", TMPDIR=str(short))
    assert run.status == 0, run
    assert run.console.count(" 1 passed") == 2, run
    assert not processes(short)


def test_farm_board_that_panics(short: Path) -> None:
    run = call(*farm("--guest=--append=rdinit=/missing", "--", *TEST_BOARD),
               env_file=FILES / "place.yaml", TMPDIR=str(short))
    assert run.status == 1, run
    assert "the kernel reported: Kernel panic" in run.console, run


class Farm:
    """A running farm. Its board stays on until it is switched off."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self.process = subprocess.Popen(
            farm("--guest=--qemu-args=-S"), cwd=TESTS, env={**os.environ, "TMPDIR": str(work)},
            text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        assert self.process.stdout
        said = ""
        while (line := self.process.stdout.readline()) and "Ctrl-C" not in line:
            said += line
        self.services = [int(number) for number in re.findall(r": process (\d+)$", said, re.M)]
        # As it is shown to the user.
        export = re.search(r"^  export (.*) PATH=(\S+):\$PATH$", said, re.MULTILINE)
        assert export and len(self.services) == 2, said
        self.environment = dict(word.split("=") for word in export[1].split())
        self.client_program = Path(export[2]) / "labgrid-client"

    def client(self, *arguments: str, user: str = "alice") -> Run:
        return call(self.client_program, *arguments, **self.environment, LG_USERNAME=user)

    def awaits(self, emulated: bool) -> bool:
        """Waits until a QEMU with a guest runs, or until none does. QEMU starts a little after the
        power is on."""
        deadline = time.monotonic() + LIMIT
        while time.monotonic() < deadline:
            found = [line for line in processes(self.work) if re.match(r"\S*qemu-system", line)]
            if len(found) == emulated:
                return True
            time.sleep(0.1)
        return False

    def alive(self) -> bool:
        return bool(processes(self.work)) or any(
            "labgrid" in Path(f"/proc/{number}/cmdline").read_text()
            for number in self.services if Path(f"/proc/{number}").exists())


@pytest.fixture
def open_farm(short: Path) -> Iterator[Farm]:
    farm = Farm(short)
    yield farm
    farm.process.kill()
    farm.process.communicate()


def test_farm_by_hand(open_farm: Farm) -> None:
    """The commands that the farm prints work; a board has one user at a time; Ctrl-C ends
    everything."""
    client = open_farm.client
    def refused(complaint: str, *arguments: str, user: str = "alice") -> None:
        run = client(*arguments, user=user)
        assert run.status == 1 and complaint in run.console, run

    def done(*arguments: str) -> str:
        run = client(*arguments)
        assert run.status == 0, run
        return run.console.rstrip()

    refused("not acquired", "power", "on")
    done("acquire")
    refused("already acquired by", "acquire", user="bob")
    for action, state in (("on", "on"), ("cycle", "on"), ("off", "off")):
        done("power", action)
        assert done("power", "get").endswith(f" is {state}")
        assert open_farm.awaits(emulated=state == "on"), processes(open_farm.work)
    done("power", "on")
    done("release")

    open_farm.process.send_signal(signal.SIGINT)
    assert open_farm.process.wait(LIMIT) == 128 + signal.SIGINT
    assert not open_farm.alive()


def test_farm_that_is_killed(open_farm: Farm) -> None:
    """It cannot clean up, but no process remains."""
    assert open_farm.client("acquire").status == 0
    assert open_farm.client("power", "on").status == 0
    assert open_farm.alive()
    open_farm.process.kill()
    deadline = time.monotonic() + LIMIT
    while open_farm.alive() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not open_farm.alive(), processes(open_farm.work)


def test_machine_is_switched_off_before_it_is_deleted(tmp_path: Path) -> None:
    """What its power switch has started gets the time to end by itself; run.py needs it to end
    QEMU."""
    machine = program(FILES / "machine.py")
    guest = ["sh", "-c", "trap 'exit 7' TERM; echo up; while :; do sleep 0.1; done"]
    with (tmp_path / "log").open("wb") as log, machine.Machine(guest, log).plugged_in() as board:
        with socket.create_connection((machine.LOOPBACK, board.serial_port), timeout=LIMIT) as port:
            while not board.listeners:
                time.sleep(0.05)
            url = f"http://{machine.LOOPBACK}:{board.switch_port}/"
            on = urllib.request.Request(url, data=b"1", method="PUT")
            direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            assert direct.open(on, timeout=LIMIT).read() == b"1"
            assert port.recv(16)
    assert board.process.returncode == 7


@pytest.fixture(scope="module")
def desk_strategy():
    """The strategy of raspberrypi4-64.yaml. Without the board, none of its drivers can be
    activated."""
    from labgrid import Environment

    target = Environment(str(FILES / "raspberrypi4-64.yaml")).get_target()
    return target.get_driver("Strategy", activate=False)


def test_environment_of_a_desk(desk_strategy) -> None:
    """labgrid finds every resource and driver that the file names."""
    bound = {name: type(getattr(desk_strategy, name)).__name__ for name in desk_strategy.bindings}
    assert bound == {
        "power": "NetworkPowerDriver", "console": "SerialDriver", "mux": "USBSDMuxDriver",
        "storage": "USBStorageDriver", "tftp": "NoneType",
    }


def test_card_is_written_before_the_first_boot(
    desk_strategy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Once, with the board off and the card connected to this computer; the message names an image
    that does not exist."""
    from labgrid.strategy import StrategyError

    image = tmp_path / "sdcard.img"
    config = desk_strategy.target.env.config
    monkeypatch.setitem(config.data["images"], "card", str(image))
    done = []
    note = {
        "power": {"on": "on", "off": "off"},
        "mux": {"set_mode": "mux"},
        "storage": {"write_image": "write"},
        "console": {},
        "target": {"activate": None, "deactivate": None, "env": None},
    }
    for name, calls in note.items():
        stand_in = types.SimpleNamespace(**{
            call: lambda *args, word=word: word and done.append((word, *args))
            for call, word in calls.items()
        })
        monkeypatch.setattr(desk_strategy, name, stand_in)
    desk_strategy.target.env = types.SimpleNamespace(config=config)

    with pytest.raises(StrategyError, match="there is no .*sdcard.img"):
        desk_strategy.transition("started")
    assert done == [("off",)]
    image.touch()
    done.clear()
    desk_strategy.transition("started")
    desk_strategy.transition("started")
    assert done == [("off",), ("mux", "host"), ("write", str(image)), ("mux", "dut"), ("on",),
                    ("off",), ("on",)]

    done.clear()
    monkeypatch.setattr(desk_strategy, "card", None)
    monkeypatch.setattr(desk_strategy, "provided", False)
    desk_strategy.transition("started")
    assert done == [("off",), ("mux", "dut"), ("on",)], "a card that is there is the board's"


def test_exporter_of_a_row_of_boards() -> None:
    """The exporter reads exporter.yaml, and labgrid knows all of its resources."""
    from labgrid.factory import target_factory
    from labgrid.remote.config import ResourceConfig

    data = ResourceConfig(str(FILES / "exporter.yaml")).data
    assert list(data) == [f"raspberrypi4-64-{number}" for number in range(1, 5)]
    for number, board in enumerate(data.values()):
        assert board.pop("location")
        assert set(board) == {"USBSerialPort", "NetworkPowerPort", "USBSDMuxDevice"}
        for name in board:
            assert target_factory.class_from_string(name)
        assert board["NetworkPowerPort"]["index"] == number


def test_lava_reads_the_report(default_run: Run, places: Places) -> None:
    """The job's patterns find each check and the end in a console as LAVA gets it."""
    job = yaml.safe_load((TESTS / "lava/raspberrypi4-64.yaml").read_text())
    (test,) = (action["test"] for action in job["actions"] if "test" in action)
    (monitor,) = test["monitors"]
    (prompt,) = (p for action in job["actions"] if "boot" in action
                 for p in action["boot"]["prompts"])
    run = default_run
    console = run.console.replace("\n", "\r\n")
    start = re.compile(monitor["start"]).search(console, re.compile(prompt).search(console).end())
    end = re.compile(monitor["end"]).search(console, start.end())
    results = re.finditer(monitor["pattern"], console[start.end() : end.start()])
    found = sorted((result["test_case_id"], monitor["fixupdict"][result["result"]])
                   for result in results)
    report = ktap.parse(run.console, places.kernel_source)
    made = sorted((path[-1], "pass") for path in report.ok if len(path) > 1)
    assert made and found == made, run
