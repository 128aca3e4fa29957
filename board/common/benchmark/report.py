# SPDX-License-Identifier: GPL-2.0-only
"""What the guest has measured, from its console."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from project import MODULE
from runner.outcome import SetupError
from runner.verdict import KERNEL_LINE

OPERATIONS = ("mmap", "first_read", "first_write", "next_write", "munmap", "read", "write",
              "read_new")


@dataclass(frozen=True)
class Measurement:
    """A line of the guest's report: what was seen of one operation on one device."""

    label: str
    device: str
    size: int
    coherent: bool | None
    operation: str
    bytes: int
    min_ns: int
    median_ns: int
    faults: int


@dataclass(frozen=True)
class Device:
    """What was measured of one device in one mode, by operation."""

    label: str
    device: str
    size: int
    coherent: bool | None
    seen: dict[str, Measurement]

    def microseconds(self, *operations: str) -> float:
        # The least: what it costs when no timer interrupt comes.
        return sum(self.seen[operation].min_ns for operation in operations) / 1000

    def time(self, operation: str) -> str:
        return f"{self.microseconds(operation):.1f}"

    def faults(self, operation: str) -> str:
        return str(self.seen[operation].faults)


def console(log: Path) -> list[str]:
    return log.read_text(errors="replace").replace("\r", "").splitlines()


def refuse_complaints(lines: Iterable[str]) -> None:
    """Our driver has nothing to complain about, or a buffer that was asked for is not there."""
    for line in lines:
        message = KERNEL_LINE.search(line)
        if message and re.match(rf"{MODULE} \S+: ", message[1]):
            raise SetupError(f"the driver complains: {message[1]}")


def read_report(lines: Iterable[str]) -> tuple[list[Device], int]:
    """What was measured, and what reading the clock costs in nanoseconds.

    Whatever is in the report must make sense and be complete: a line that was lost must not pass
    for one that was never measured.
    """
    devices: dict[tuple[str, str], Device] = {}
    clock = 0
    for line in lines:
        if not line.startswith("{"):
            continue
        try:
            found: dict[str, Any] = json.loads(line)
            if found["operation"] == "clock":
                clock = max(clock, found["min_ns"])
                continue
            seen = Measurement(**found)
        except (ValueError, KeyError, TypeError):
            raise SetupError(f"the guest's report has a line that cannot be read: {line}") from None
        subject = (seen.label, seen.device, seen.size, seen.coherent)
        device = devices.setdefault(subject[:2], Device(*subject, seen={}))
        device.seen[seen.operation] = seen
    for device in devices.values():
        if missing := [name for name in OPERATIONS if name not in device.seen]:
            raise SetupError(f"the guest's report lacks {', '.join(missing)} of {device.device}")
    if not devices:
        raise SetupError("the guest measured no device")
    return list(devices.values()), clock
