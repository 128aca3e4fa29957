#!/usr/bin/env -S python3 -EsB
# SPDX-License-Identifier: GPL-2.0-only
"""Boot one guest in QEMU; the exit status is its verdict.

The guest is a kernel, a device tree and an initramfs with the module, an init program and overlays;
or a kernel, a device tree, and an initramfs that is given or a disk. A guest with a disk stays at its
login prompt: the run ends with its verdict. The console goes to standard output as it comes.

With --interactive the terminal is the console. If standard input is not a terminal, the program of
--run reads it instead of the console: all of it is copied into the guest, so that nothing is lost,
and the program sees its end.

The exit status is:

    N    the guest's own, from its last line `PROJECT: exit status N`
    1    the kernel reported a fault, whatever the guest said, or the guest gave no verdict
    124  the time limit ended the guest
    125  the guest could not be started: a wrong argument, a missing file, QEMU's own error
    128+ a signal ended the run (130 for Ctrl-C)

Unless that is a plain pass, the last line on standard error says what happened.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from project import MODULE
from runner.arguments import guest_of, parser
from runner.devicetree import device_tree
from runner.initramfs import initramfs
from runner.machine import GDB_PORT, Guest
from runner.outcome import (STATUS_SETUP, STATUS_TIMEOUT, Outcome, SetupError, Signalled, TimeLimit,
                            say)
from runner.qemu import SIGNALS, emulator, on_signal, watch
from runner.verdict import Console, judge


def introduce(guest: Guest) -> None:
    """What a user at work has to know before the first line of the console."""
    if guest.interactive:
        say("Ctrl-A X leaves QEMU, Ctrl-A H shows its other keys")
    if guest.gdb:
        say("the guest waits for a debugger")
        print(attach(guest), file=sys.stderr, flush=True)


def attach(guest: Guest) -> str:
    """How to debug the kernel and the module, with the paths of this very guest."""
    near = (parent / "vmlinux" for parent in guest.kernel.resolve().parents)
    vmlinux = next((path for path in near if path.is_file()), "vmlinux")
    text = f"""\
In another terminal:
  gdb-multiarch {vmlinux} -ex 'target remote localhost:{GDB_PORT}' -ex continue"""
    if guest.module is None:
        return text
    module = guest.module.resolve()
    return f"""\
{text}
When the module is loaded, stop the guest there (Ctrl-C). The guest shows the module's ADDRESS in
/sys/module/{MODULE}/sections/.text:
  (gdb) add-symbol-file {module} ADDRESS
or, if the kernel has CONFIG_GDB_SCRIPTS:
  (gdb) lx-symbols {module.parent}"""


def command(guest: Guest, work: Path) -> list[str]:
    """Make the files that the guest boots from; return the command that starts it."""
    root = guest.initramfs or (None if guest.disk else initramfs(guest, work))
    return guest.boot(root, device_tree(guest, work, root))


SCRIPT = """\
#!/bin/sh
# Starts this image in QEMU; root logs in without a password. Ctrl-A X leaves QEMU. Further options of
# QEMU may follow, such as -snapshot, which leaves the image unchanged.
cd "$(dirname "$0")" || exit
exec {} "$@"
"""


def write_script(script: Path, guest: Guest, work: Path) -> Outcome:
    script.write_text(SCRIPT.format(shlex.join(command(replace(guest, interactive=True), work))))
    script.chmod(0o755)
    return Outcome(0)


def run(guest: Guest, work: Path, log: Path) -> Outcome:
    starting = command(guest, work) + (["-snapshot"] if guest.disk else [])
    introduce(guest)
    stdin = None if guest.interactive else subprocess.DEVNULL
    with log.open("wb") as file:
        console = Console(file, power_off_is_late=guest.board.power_off_is_late)
        with emulator(starting, stdin) as qemu:
            terminal = sys.stdin.fileno() if guest.interactive else None
            ended_by = watch(qemu, console, guest.timeout, bool(guest.disk), terminal)
            qemu_status = qemu.returncode
        console.close()
    return judge(console, qemu_status or 0, ended_by, guest)


def main() -> int:
    os.umask(0o022)  # modes in the initramfs do not depend on the caller's
    if sys.stdin is None:  # closed: nothing else may be opened in its place
        sys.stdin = open(os.devnull)
    for number in SIGNALS:
        signal.signal(number, on_signal)
    try:
        args = parser((__doc__ or "").partition("\n")[0]).parse_args()
        with contextlib.ExitStack() as stack:
            work = args.work or Path(stack.enter_context(tempfile.TemporaryDirectory()))
            if args.script:
                outcome = write_script(args.script, guest_of(args), work)
            else:
                outcome = run(guest_of(args), work, args.log or work / "console.log")
    except SetupError as error:
        outcome = Outcome(STATUS_SETUP, str(error))
    except TimeLimit as error:
        outcome = Outcome(STATUS_TIMEOUT, str(error))
    except OSError as error:
        outcome = Outcome(STATUS_SETUP, f"{error.filename or 'output'}: {error.strerror}")
    except Signalled as signalled:
        outcome = Outcome(128 + signalled.number, f"{signalled} ended the run")
    if outcome.message:
        say(outcome.message)
    return outcome.status


if __name__ == "__main__":
    sys.exit(main())
