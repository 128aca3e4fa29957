# SPDX-License-Identifier: GPL-2.0-only
"""Boots a board that labgrid reaches, and judges its console as run.py does that of its guests."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pexpect
from labgrid.protocol import ConsoleProtocol
from labgrid.strategy import Strategy

from guests import Run
from runner.verdict import Console, judge_console

# After the verdict, or a panic: time for what the kernel has to say on its way out. A board does
# not end as QEMU does.
GRACE = 3.0


class Desk:
    def __init__(self, strategy: Strategy, work: Path) -> None:
        self.strategy = strategy
        self.log = work / "console.log"

    def boot(self) -> Run:
        limit = self.strategy.limit
        with self.log.open("wb") as log:
            console = Console(log)
            try:
                self.strategy.transition("started")
                ended_by = follow(self.strategy.console, console, limit)
            finally:
                self.strategy.transition("off")
            console.close()
        outcome = judge_console(console, ended_by, limit)
        said = self.log.read_text(errors="replace").replace("\r", "")
        return Run(outcome.status, said, outcome.message or "")


def follow(port: ConsoleProtocol, console: Console, limit: int) -> int | None:
    """Listen until the board has said all, or the console ends, or the time does: SIGALRM then, as
    in run.py."""
    deadline = time.monotonic() + limit
    ending = False
    while (left := deadline - time.monotonic()) > 0:
        try:
            data = port.read(size=4096, timeout=min(left, 0.2))
        except pexpect.TIMEOUT:
            continue
        except OSError:  # the serial server is gone
            return None
        if not data:
            return None
        console.feed(data)
        if not ending and (console.panicked or console.verdict is not None):
            ending = True
            deadline = min(deadline, time.monotonic() + GRACE)
    return None if ending else signal.SIGALRM
