# SPDX-License-Identifier: GPL-2.0-only
"""What a console says of the guest and of its kernel, and what the run comes to."""

from __future__ import annotations

import os
import re
import select
import signal
import sys
from dataclasses import dataclass, field
from typing import BinaryIO

from project import EXIT_STATUS
from runner.machine import Guest
from runner.outcome import STATUS_FAULT, STATUS_SETUP, STATUS_TIMEOUT, Outcome

# How a line of the kernel's log begins: its time (`printk.time=1` is on the command line) and,
# with CONFIG_PRINTK_CALLER, its task or CPU. Only what follows such a prefix is searched for
# faults, so that a program may print these words as it likes. The prefix need not open the line:
# the kernel does not wait for a program that has written only half of one.
KERNEL_LINE = re.compile(r"\[ *\d+\.\d{6}\](?:\[ *[TC]\d+\])? (.*)")

# What the kernel says when it has found something wrong with itself, as it begins the message.
KERNEL_FAULTS = {
    "panic": r"Kernel panic - ",
    "oops": r"Internal error: |Unable to handle kernel |Oops",
    "SError or bad exception": r"SError Interrupt on |Bad mode in |Unexpected kernel ",
    "BUG(), soft lockup, KASAN, KFENCE, …": r"(?:watchdog: )?(?:kernel )?BUG(?:: | at )",
    "WARN(), most of lockdep": r"WARNING: ",
    "lockdep": r"INFO: (?:trying to register non-static key|possible .* detected)",
    "stack dump": r"Call [Tt]race:",
    "Rust panic": r"rust_kernel: panicked ",
    "sanitizers": r"UBSAN: |KASAN: |KCSAN: |KMSAN: ",
    "memory": r"kmemleak: \d+ new suspected |refcount_t: ",
    "hung task": r"INFO: task .* blocked ",
    "RCU stall": r"(?:rcu: )?INFO: \w+ .*(?:stalls?\b)",
    # kernel/dma/debug.c names the offending driver and device; its other messages are about
    # itself ("preallocated … entries", "debugging enabled …").
    "DMA API debugging": r"DMA-API: (?!preallocated|debugging|dma_debug|\d|enable|switching)",
}
KERNEL_FAULT = re.compile("|".join(f"(?:{pattern})" for pattern in KERNEL_FAULTS.values()))
# What the kernel says last, before it has the machine switched off. Where that takes a moment
# (POWER_OFF=late), as on a Raspberry Pi, whose watchdog does it, the kernel then complains that it
# goes on living.
POWER_DOWN = re.compile("reboot: Power down")
KERNEL_PANIC = re.compile(KERNEL_FAULTS["panic"])

# What init prints before it powers off. The last such line counts: other programs of the guest can
# print one before.
VERDICT = re.compile(rf"{re.escape(EXIT_STATUS)}(\d{{1,3}})")


def write_all(descriptor: int, data: bytes) -> None:
    """Write to a descriptor that may be non-blocking: QEMU makes the terminal so, which we share."""
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:
            select.select([], [descriptor], [])


@dataclass
class Console:
    """Passes the console through as it comes, keeps it in a file, and reads along."""

    log: BinaryIO
    fault: str | None = None
    panicked: bool = False
    verdict: int | None = None
    power_off_is_late: bool = False
    powered_down: bool = False
    partial: bytes = field(default=b"", repr=False)
    # What a program has written of a line that a record of the kernel's parts.
    begun: str = field(default="", repr=False)

    def feed(self, data: bytes) -> None:
        write_all(sys.stdout.fileno(), data)
        self.log.write(data)
        self.log.flush()
        *lines, self.partial = (self.partial + data).split(b"\n")
        for line in lines:
            self.read(line)

    def close(self) -> None:
        """A last line without an end counts too; the shell's prompt gets a line of its own, but
        not from a reader that has stopped reading: no time limit holds any more."""
        if self.begun and not self.partial:
            self.read(b"")
        if self.partial:
            self.read(self.partial)
            self.partial = b""
            if select.select([], [sys.stdout], [], 0)[1]:
                write_all(sys.stdout.fileno(), b"\n")

    def read(self, raw: bytes) -> None:
        line = raw.decode(errors="replace").rstrip("\r")
        if not (match := KERNEL_LINE.search(line)):
            self.read_program(line)
            return
        self.begun += line[: match.start()]
        if self.powered_down:
            return
        record = match[1].strip()
        if POWER_DOWN.fullmatch(record):
            self.powered_down = self.power_off_is_late
        elif KERNEL_FAULT.match(record):
            self.fault = self.fault or record
            self.panicked = self.panicked or bool(KERNEL_PANIC.match(record))

    def read_program(self, line: str) -> None:
        """A line of a program's, or the rest of one that was begun before a record of the kernel's."""
        whole, self.begun = self.begun + line, ""
        if match := VERDICT.fullmatch(whole.strip()) or VERDICT.fullmatch(line.strip()):
            self.verdict = int(match[1])


def judge(console: Console, qemu_status: int, ended_by: int | None, guest: Guest) -> Outcome:
    """What the run comes to: what its console does, unless QEMU has failed, or a user was at work."""
    if not console.fault and ended_by is None:
        if qemu_status:
            return Outcome(STATUS_SETUP, f"{guest.board.qemu} failed with status {qemu_status}")
        if console.verdict is None and guest.interactive:
            return Outcome(0)
    return judge_console(console, ended_by, guest.timeout)


def judge_console(console: Console, ended_by: int | None, limit: int | None) -> Outcome:
    """What a console says, whosever it is. A kernel fault outweighs all else: nothing after it can
    be trusted."""
    if console.fault:
        return Outcome(STATUS_FAULT, f"the kernel reported: {console.fault}")
    if ended_by == signal.SIGALRM:
        return Outcome(STATUS_TIMEOUT, f"the time limit of {limit} s ended the guest")
    if ended_by is not None:
        return Outcome(128 + ended_by, f"{signal.Signals(ended_by).name} ended the run")
    if console.verdict:
        return Outcome(console.verdict, f"the guest's exit status is {console.verdict}")
    if console.verdict is None:
        return Outcome(STATUS_FAULT, "the guest ended without a verdict")
    return Outcome(0)
