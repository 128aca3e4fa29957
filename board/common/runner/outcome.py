# SPDX-License-Identifier: GPL-2.0-only
"""How a run ends: its exit status, and one line on standard error unless it is a plain pass."""

from __future__ import annotations

import signal
import sys
from dataclasses import dataclass

STATUS_FAULT = 1
STATUS_TIMEOUT = 124
STATUS_SETUP = 125


class SetupError(Exception):
    """The guest could not be started; the message is one line for the user."""


class TimeLimit(Exception):
    """The time limit ended the run before there was a guest; the message is for the user."""


class Signalled(Exception):
    """A signal asks for the end of the run."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


@dataclass(frozen=True)
class Outcome:
    """How a run ended: the exit status, and one line unless it is a plain pass."""

    status: int
    message: str | None = None


def say(message: str) -> None:
    print(f"run: {message}", file=sys.stderr, flush=True)


def warn(tool: str, said: str) -> None:
    """Pass on the warnings of a tool that succeeded."""
    for line in said.splitlines():
        say(f"{tool}: {line}")
