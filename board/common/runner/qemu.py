# SPDX-License-Identifier: GPL-2.0-only
"""QEMU as a process: it starts, its console is followed, and it ends when this does."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator, Sequence
from typing import NoReturn

from runner.outcome import Signalled
from runner.verdict import Console

# After a panic: time for the rest of the report to arrive, should the guest not reset by itself.
PANIC_GRACE = 2.0
# After the verdict of a guest that stays: time for a fault that follows on it.
STAY_GRACE = 3.0
# After SIGTERM: time for QEMU to leave by itself. A hung one ignores the signal.
TERM_GRACE = 2.0


def on_signal(number: int, _frame: object) -> NoReturn:
    raise Signalled(number)


SIGNALS = (signal.SIGALRM, signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def emulator(command: Sequence[str], stdin: int | None) -> Iterator[subprocess.Popen[bytes]]:
    """QEMU, gone when this is left in whatever way; if by SIGKILL, the kernel ends it."""
    with terminal_restored():
        qemu = subprocess.Popen(
            ["setpriv", "--pdeathsig=KILL", *command],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # Ctrl-C is for us to handle, but a terminal is read by the foreground group alone.
            start_new_session=stdin is not None,
        )
        try:
            yield qemu
        finally:
            for number in SIGNALS:
                signal.signal(number, signal.SIG_IGN)
            end(qemu)


def end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(TERM_GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextlib.contextmanager
def terminal_restored() -> Iterator[None]:
    """Give the terminal back as it was: a killed QEMU does not."""
    if not sys.stdin.isatty():
        yield
        return
    descriptor = sys.stdin.fileno()
    attributes, blocking = termios.tcgetattr(descriptor), os.get_blocking(descriptor)
    try:
        yield
    finally:
        with contextlib.suppress(OSError, termios.error):  # it may be gone
            os.set_blocking(descriptor, blocking)
            termios.tcsetattr(descriptor, termios.TCSADRAIN, attributes)


def watch(
    qemu: subprocess.Popen[bytes], console: Console, timeout: int | None, stays: bool,
    terminal: int | None = None,
) -> int | None:
    """Follow the console until QEMU ends, or a guest that stays has said its verdict and nothing
    more for a while, or a signal ends the wait; return that signal. A terminal that is gone counts
    as SIGHUP: without a shell in it nobody else may say so.

    The time limit is a signal, too, so that it also holds while the reader of our own output
    makes us wait.
    """
    assert qemu.stdout is not None
    if timeout:
        signal.setitimer(signal.ITIMER_REAL, timeout)
    panicked = over = False
    ready = select.poll()
    ready.register(qemu.stdout, select.POLLIN)
    if terminal is not None:
        ready.register(terminal, 0)  # nothing but POLLHUP
    try:
        while True:
            if terminal in (descriptor for descriptor, _ in ready.poll()):
                return signal.SIGHUP
            if not (data := os.read(qemu.stdout.fileno(), 65536)):
                break
            console.feed(data)
            if console.panicked and not panicked:
                panicked = True
                signal.setitimer(signal.ITIMER_REAL, PANIC_GRACE)
            elif stays and console.verdict is not None and not over:
                over = True
                signal.setitimer(signal.ITIMER_REAL, STAY_GRACE)
        qemu.wait()
    except Signalled as signalled:
        if signalled.number == signal.SIGALRM and over:
            return None
        return signalled.number
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return None
