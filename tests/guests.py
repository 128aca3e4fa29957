# SPDX-License-Identifier: GPL-2.0-only
"""Boots guests by board/common/run.py, the only way to do so, and reads what they said."""

from __future__ import annotations

import os
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from places import PYTHON, RUNNER, SETUP, TOP, Places
from project import MODULE

# The time limit of a guest, in seconds, and of whatever else a test waits for: nothing takes that
# long on a machine that is busy with other work as well. A test that is to see the limit itself
# gives a short one to a guest that hangs for certain.
PATIENCE = 600
# The same for the debug kernel, which checks everything.
DEBUG_PATIENCE = 1800
# Should the runner's own limit fail, the test does not hang.
MARGIN = 120


@dataclass(frozen=True)
class Run:
    """A guest that has been: its exit status, its console, and the runner's last words."""

    status: int
    console: str
    message: str

    def __str__(self) -> str:
        return f"status {self.status}: {self.message or 'no message'}\n{self.console}"

    def devices(self) -> dict[str, tuple[str, int, str]]:
        """What the driver's log says it has bound: node → (character device, bytes, coherency)."""
        pattern = rf"\] {MODULE} (\S+): (/dev/\w+): (\d+) bytes, ([\w-]+)"
        bound = re.findall(pattern, self.console)
        return {node: (path, int(size), coherency) for node, path, size, coherency in bound}


class Boot:
    """Boots the default guest, with the options of the call."""

    def __init__(self, places: Places, work: Path, patience: int = PATIENCE) -> None:
        self.places = places
        self.work = work
        self.patience = patience

    def options(self, *options: str, **instead: Path) -> list[str]:
        """The runner's options."""
        here = self.places
        given = {
            "kernel": here.kernel, "module": here.module, "init": here.verify, "runner": here.init,
        } | instead
        return [
            f"--board={here.board}",
            f"--qemu={here.qemu}",
            f"--work={self.work}",
            f"--timeout={self.patience}",
            *(f"--{name}={path}" for name, path in given.items()),
            *options,
        ]

    def command(self, *options: str, **instead: Path) -> list[str]:
        return [*PYTHON, str(RUNNER), *self.options(*options, **instead)]

    def __call__(self, *options: str, **instead: Path) -> Run:
        done = subprocess.run(
            self.command(*options, **instead),
            stdin=subprocess.DEVNULL, capture_output=True, timeout=self.patience + MARGIN,
        )
        return Run(
            done.returncode,
            done.stdout.decode(errors="replace").replace("\r", ""),
            done.stderr.decode(errors="replace").strip(),
        )

    def start(
        self, *options: str, stdout: int = subprocess.DEVNULL, **instead: Path
    ) -> subprocess.Popen[bytes]:
        """Boot without waiting for the end; the guest's QEMU is there when this returns."""
        runner = subprocess.Popen(
            self.command(*options, **instead),
            stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE,
        )
        deadline = time.monotonic() + PATIENCE
        while not self.emulators() and runner.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        return runner

    def emulators(self) -> list[int]:
        """The processes of this guest's QEMU: the working directory on their command line is
        this test's own. QEMU that only dumps the machine's tree does not count."""
        initrd = os.fsencode(self.work / "initramfs.cpio")
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                argv = (process / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue  # it has ended
            if b"qemu-system" in argv[0] and initrd in argv:
                found.append(int(process.name))
        return found


def shell(directory: Path, script: str) -> list[str]:
    """The options to run a script in the guest instead of the verification."""
    root = directory / "root"
    made = subprocess.run(
        [SETUP, "busybox", root], cwd=TOP, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )
    assert made.returncode == 0, made.stdout
    (root / "bin/script").write_text(script)
    return [f"--overlay={root}", "--run=/bin/sh /bin/script"]
