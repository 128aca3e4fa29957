# SPDX-License-Identifier: GPL-2.0-only
"""Runs a command of the room on a terminal, and answers its questions."""

from __future__ import annotations

import fcntl
import os
import re
import select
import signal
import struct
import sys
import termios
import time
import tty
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, TextIO

# <asm-generic/ioctls.h>
TIOCGPTN = 0x80045430
TIOCSPTLCK = 0x40045431

# A command has failed if a process of its has been stopped for so long: it waits for ever.
STOPPED_SECONDS = 30
# How often a line that a program rewrites is shown.
REWRITTEN_SECONDS = 30
ESCAPES = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|[@-Z\\-_])")


@dataclass(frozen=True)
class Done:
    status: int  # as a shell has it: 128 and the signal's number, if one ended the command
    wall: float
    cpu: float
    lines: list[str]
    gave_up: str  # why the command was ended before its time; "" if it was not


@dataclass(frozen=True)
class Answer:
    """What to type when the unfinished line matches."""

    prompt: re.Pattern[str]
    text: str
    shown: str


def answers(password: str) -> list[Answer]:
    return [
        Answer(re.compile(r"\[Y/n\] ?$"), "y\n", ""),  # the terminal shows it
        Answer(re.compile(r"^\[sudo\] .*: ?$"), password + "\n", "(the password)"),
    ]


class Transcript:
    """Shows each line with the time since the start, on standard output and in a log."""

    def __init__(self, log: TextIO) -> None:
        self.log = log
        self.start = time.monotonic()

    def line(self, text: str) -> None:
        stamped = f"[{time.monotonic() - self.start:7.1f}] {text}"
        for file in (sys.stdout, self.log):
            print(stamped, file=file, flush=True)


class Lines:
    """Splits a terminal's output into lines."""

    def __init__(self, transcript: Transcript) -> None:
        self.transcript = transcript
        self.whole: list[str] = []
        self.unfinished = b""
        self.shown_at = time.monotonic()

    def feed(self, data: bytes) -> None:
        *whole, self.unfinished = (self.unfinished + data).split(b"\n")
        for line in whole:
            self.show(line)
        # A progress indicator writes over its own line.
        if b"\r" in self.unfinished.rstrip(b"\r"):
            before, _, after = self.unfinished.rstrip(b"\r").rpartition(b"\r")
            if time.monotonic() - self.shown_at > REWRITTEN_SECONDS:
                self.show(before)
            self.unfinished = after

    def show(self, line: bytes) -> None:
        text = self.text(line)
        self.shown_at = time.monotonic()
        self.whole.append(text)
        self.transcript.line(text)

    def end(self) -> None:
        if self.unfinished:
            self.show(self.unfinished)
            self.unfinished = b""

    @staticmethod
    def text(line: bytes) -> str:
        # A guest's console ends a line with CR LF, to which the terminal adds another CR.
        line = ESCAPES.sub(b"", line).rstrip(b"\r").rpartition(b"\r")[2]
        return line.decode(errors="replace").rstrip()

    @property
    def prompt(self) -> str:
        return ESCAPES.sub(b"", self.unfinished).rpartition(b"\r")[2].decode(errors="replace")


def open_terminal(devices: Path) -> tuple[int, int]:
    """Opens a terminal of the room, whose path is valid in the room; returns both ends."""
    master = os.open(devices / "pts/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    fcntl.ioctl(master, TIOCSPTLCK, struct.pack("i", 0))
    number = struct.unpack("i", fcntl.ioctl(master, TIOCGPTN, struct.pack("i", 0)))[0]
    slave = os.open(devices / f"pts/{number}", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    return master, slave


def start(devices: Path, become: Callable[[], None], with_terminal: bool) -> tuple[int, int]:
    """Forks a process that calls `become`, which executes a program; returns its PID and its
    output."""
    if with_terminal:
        ours, theirs = open_terminal(devices)
        stdin = theirs
    else:
        ours, theirs = os.pipe()
        stdin = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            if with_terminal:
                fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)
            os.dup2(stdin, 0)
            os.dup2(theirs, 1)
            os.dup2(theirs, 2)
            become()
        except BaseException as error:  # the parent's code must not go on here
            os.write(2, f"clean-room: error: {error}\n".encode())
        finally:
            os._exit(126)
    os.close(theirs)
    if not with_terminal:
        os.close(stdin)
    return pid, ours


def stopped() -> dict[int, str]:
    """The processes that are stopped (state T), with their names."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # PID (NAME) STATE …, where NAME may have anything in it
            name, _, rest = stat.read_text().partition(" (")[2].rpartition(") ")
        except OSError:
            continue
        if rest.startswith("T"):
            found[int(stat.parent.name)] = name
    return found


class Watch:
    """Detects a command that will never end."""

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self.start = self.looked_at = time.monotonic()
        self.since: dict[int, float] = {}

    def verdict(self) -> str:
        now = time.monotonic()
        if now - self.start > self.timeout:
            return f"not at its end after {self.timeout:g} s"
        if now - self.looked_at < 1:
            return ""
        self.looked_at = now
        names = stopped()
        self.since = {pid: self.since.get(pid, now) for pid in names}
        for pid, since in self.since.items():
            if now - since > STOPPED_SECONDS:
                return f"process {pid} ({names[pid]}) is stopped (state T) since {STOPPED_SECONDS} s"
        return ""


def end_all() -> None:
    """Ends every process of the room. The caller is the first process of its PID namespace."""
    assert os.getpid() == 1
    try:
        os.kill(-1, signal.SIGKILL)
    except ProcessLookupError:
        pass


def run(devices: Path, become: Callable[[], None], *, with_terminal: bool, timeout: float,
        typed: list[Answer], transcript: Transcript) -> Done:
    """Runs one command to its end, and answers its questions if it has a terminal."""
    before = os.times()
    pid, output = start(devices, become, with_terminal)
    watch, lines = Watch(timeout), Lines(transcript)
    status: int | None = None
    gave_up = ""
    while True:
        readable, _, _ = select.select([output], [], [], 0.2)
        data = b""
        if readable:
            try:
                data = os.read(output, 65536)
            except OSError:  # EIO: nobody has the terminal open any more
                pass
            if not data:
                time.sleep(0.2)
            lines.feed(data)
            for answer in typed if with_terminal else []:
                if answer.prompt.search(lines.prompt):
                    lines.feed(f" <- {answer.shown}".encode())
                    os.write(output, answer.text.encode())
        status = reap(pid, status)
        if status is not None and not data:
            break
        if status is None and not gave_up and (gave_up := watch.verdict()):
            end_all()
    lines.end()
    after = os.times()
    wall = time.monotonic() - watch.start
    cpu = sum(after[2:4]) - sum(before[2:4])
    os.close(output)
    return Done(124 if gave_up else status, wall, cpu, lines.whole, gave_up)


def reap(pid: int, status: int | None) -> int | None:
    """Waits for every process that has ended, orphans included. Returns the status of `pid`, once
    known."""
    while True:
        try:
            ended, how = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return status
        if ended == 0:
            return status
        if ended == pid:
            code = os.waitstatus_to_exitcode(how)
            status = code if code >= 0 else 128 - code


def interact(devices: Path, become: Callable[[], None]) -> int:
    """Connects this terminal with one of the room until its shell ends; returns the shell's
    status."""
    pid, output = start(devices, become, with_terminal=True)
    fcntl.ioctl(output, termios.TIOCSWINSZ, fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8)))
    saved = termios.tcgetattr(0)
    tty.setraw(0, termios.TCSADRAIN)  # what has been typed ahead is for the shell
    status: int | None = None
    try:
        while status is None:
            readable, _, _ = select.select([0, output], [], [], 0.2)
            try:
                if 0 in readable:
                    os.write(output, os.read(0, 65536))
                if output in readable:
                    os.write(1, os.read(output, 65536))
            except OSError:  # EIO
                time.sleep(0.05)
            status = reap(pid, status)
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, saved)
    os.close(output)
    return status
