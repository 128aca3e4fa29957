#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""A whole board farm on this machine: labgrid's coordinator and exporter, and boards made of QEMU.

With a command, the boards are acquired for it, and its status is ours; without one, the farm is
there until Ctrl-C, and what to type is shown. Nothing is left behind, and no port is taken but free
ones of the loopback device. `make farm` calls it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

sys.path.append(str(Path(__file__).resolve().parents[1]))

from guests import Boot
from machine import LOOPBACK, Machine
from places import Places

# What labgrid's programs may take to be ready, and to end.
START_LIMIT = 300
END_LIMIT = 120
EXPORTER = "farm"


class FarmError(Exception):
    """The farm could not be built; the message is one line for the user."""


def say(text: str) -> None:
    print(f"farm: {text}", flush=True)


def labgrid(name: str) -> str:
    """A program of labgrid's, of the very environment that this runs in."""
    return str(Path(sys.executable).with_name(f"labgrid-{name}"))


@contextlib.contextmanager
def service(
    name: str, *arguments: str, log: Path, ready: str, environment: Mapping[str, str]
) -> Iterator[re.Match[str]]:
    """One of labgrid's, from when it says that it is ready until this is left."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig=KILL", labgrid(name), *arguments],
            env=environment, cwd=log.parent,  # where the coordinator writes down its places
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
        )
    try:
        said = await_line(log, ready, process)
        say(f"{name}: process {process.pid}")
        yield said
    finally:
        process.terminate()
        try:
            process.wait(END_LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def await_line(log: Path, pattern: str, process: subprocess.Popen[bytes]) -> re.Match[str]:
    deadline = time.monotonic() + START_LIMIT
    while True:
        ended = process.poll() is not None
        if match := re.search(pattern, log.read_text(errors="replace")):
            return match
        if ended or time.monotonic() > deadline:
            why = f"ended with status {process.returncode}" if ended else "is not ready in time"
            raise FarmError(f"{log.stem} {why}: {log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.05)


def client(environment: Mapping[str, str], *arguments: str) -> str:
    # An environment file, which may be for the command alone, would have it know no other place.
    environment = {name: value for name, value in environment.items() if name != "LG_ENV"}
    done = subprocess.run(
        [labgrid("client"), *arguments], env=environment, text=True, timeout=START_LIMIT,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )
    if done.returncode:
        raise FarmError(f"labgrid-client {shlex.join(arguments)}: {done.stdout.strip()}")
    return done.stdout


def exported(machines: Mapping[str, Machine]) -> str:
    """The exporter's file: each board's serial port and power."""
    return "".join(f"""\
{name}:
  NetworkSerialPort: {{host: {LOOPBACK}, port: {machine.serial_port}, protocol: raw}}
  NetworkPowerPort: {{model: rest, host: 'http://{LOOPBACK}:{machine.switch_port}/', index: 0}}
""" for name, machine in machines.items())


@contextlib.contextmanager
def farm(names: Sequence[str], guest: Sequence[str], work: Path) -> Iterator[dict[str, str]]:
    """The environment to reach it in, while this is not left."""
    with contextlib.ExitStack() as stack:
        machines = {}
        for name in names:
            (work / name).mkdir()
            command = Boot(Places.from_environment(), work / name).command(*guest)
            log = stack.enter_context((work / name / "run.log").open("wb"))
            machines[name] = stack.enter_context(Machine(command, log).plugged_in())
        resources = work / "exporter.yaml"
        resources.write_text(exported(machines))

        # Of the loopback device no proxy knows.
        direct = ",".join(filter(None, [os.environ.get("no_proxy"), LOOPBACK]))
        environment = {**os.environ, "no_proxy": direct, "NO_PROXY": direct}
        listening = stack.enter_context(service(
            "coordinator", f"--listen={LOOPBACK}:0", log=work / "coordinator.log",
            ready=rf"listening on ({LOOPBACK}:\d+)", environment=environment))
        environment |= {"LG_COORDINATOR": listening[1], "LG_PLACE": names[0]}
        stack.enter_context(service(
            "exporter", f"--name={EXPORTER}", f"--hostname={LOOPBACK}", str(resources),
            log=work / "exporter.log", ready="Exporter ready", environment=environment))
        await_resources(environment, 2 * len(names))
        for name in names:
            client(environment, "--place", name, "create")
            client(environment, "--place", name, "add-match", f"{EXPORTER}/{name}/*")
        yield environment


def await_resources(environment: Mapping[str, str], count: int) -> None:
    deadline = time.monotonic() + START_LIMIT
    while len(client(environment, "resources").split()) < count:
        if time.monotonic() > deadline:
            raise FarmError("the exporter's resources have not come to the coordinator")
        time.sleep(0.1)


def attend(environment: Mapping[str, str], names: Sequence[str]) -> NoReturn:
    venv = Path(sys.executable).parent
    print(f"""\
There is a farm now: {', '.join(names)}. In another terminal, in the project's folder:

  export LG_COORDINATOR={environment['LG_COORDINATOR']} LG_PLACE={names[0]} PATH={venv}:$PATH
  labgrid-client places                                  # who has what
  labgrid-client acquire
  labgrid-client power cycle
  make test BOARD={os.environ['TEST_BOARD']} LG_ENV=tests/labgrid/place.yaml
  labgrid-client release

Ctrl-C here ends it.""", flush=True)
    while True:
        signal.pause()


def run(environment: Mapping[str, str], names: Sequence[str], command: Sequence[str]) -> int:
    """The command, with every board acquired. If it is us who ends, it does."""
    for name in names:
        client(environment, "--place", name, "acquire")
    process = subprocess.Popen(["setpriv", "--pdeathsig=TERM", *command], env=environment)
    try:
        return process.wait()
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
        for name in names:
            client(environment, "--place", name, "release")


def on_signal(number: int, _frame: object) -> NoReturn:
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)  # the end is not to be disturbed
    sys.exit(128 + number)


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--boards", type=int, default=1, metavar="N", help="how many (1)")
    parser.add_argument("--guest", type=shlex.split, default=[], metavar="'OPTION…'",
                        help="for board/common/run.py, which is what power starts")
    parser.add_argument("command", nargs="*", metavar="COMMAND", help="run it with the boards")
    args = parser.parse_args()
    names = [f"{os.environ['TEST_BOARD']}-{number}" for number in range(args.boards)]
    for number in SIGNALS:
        signal.signal(number, on_signal)
    try:
        with tempfile.TemporaryDirectory(prefix="faultline-farm-") as work:
            with farm(names, args.guest, Path(work)) as environment:
                if args.command:
                    return run(environment, names, args.command)
                attend(environment, names)
    except FarmError as error:
        print(f"farm: {error}", file=sys.stderr)
        return 125
    except KeyError as missing:
        print(f"farm: {missing.args[0]} is not set: start it by `make farm`", file=sys.stderr)
        return 125


if __name__ == "__main__":
    sys.exit(main())
