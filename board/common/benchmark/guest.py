# SPDX-License-Identifier: GPL-2.0-only
"""The guest that measures: the steps it takes, the files it has, and its boot."""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from project import BENCH, MODULE, TOP
from runner.initramfs import stage

RUN = TOP / "board/common/run.py"

# What the driver is called in the table, and the mode that is the lower bound. Every mode but the
# driver's own is a module of its own, a mutant of the same name: unbinding misses the mappings of FLOOR.
DEFAULT = "default"
FLOOR = "eager"

# Time is counted in instructions, one a nanosecond; a sleeping guest's clock goes on at once.
INSTRUCTION_CLOCK = "-icount shift=0,sleep=off"
# Room for two buffers of 64 MiB; addresses that are the same in each run; and of the kernel's own
# messages only warnings, which would otherwise come in the middle of a line of the report.
APPEND = "cma=256M norandmaps loglevel=5"

MODULES = "lib/modules"
PROGRAM = f"bin/{BENCH}"


@dataclass(frozen=True)
class Peer:
    """Another driver's module, to be measured beside ours."""

    module: Path
    devices: Sequence[str]  # PATH, or PATH=BYTES
    parameters: str

    @property
    def name(self) -> str:
        return self.module.stem


def script(modes: Iterable[str], peer: Peer | None) -> list[str]:
    """The steps that the benchmark's program is to take. Init has loaded the module already."""
    steps: list[str] = []
    for label in modes:
        load = ["--load", f"/{module_path(label)}", ""]
        steps += ["--unload", MODULE, *load, "--label", label, "--all"]
    if peer:
        load = ["--load", f"/{MODULES}/{peer.module.name}", peer.parameters]
        steps += ["--unload", MODULE, *load, "--label", peer.name]
        for device in peer.devices:
            path, _, size = device.partition("=")
            steps += ["--size", size or "0", path]
    return steps


def module_path(label: str) -> str:
    """Where the guest has the module of one of the driver's modes."""
    return f"{MODULES}/{MODULE if label == DEFAULT else f'{MODULE}-{label}'}.ko"


def overlay(root: Path, program: Path, modes: Mapping[str, Path], peer: Peer | None) -> Path:
    """What the guest has beside the usual, which has the driver's own module."""
    stage(root, {PROGRAM: program}, mode=0o755)
    stage(root, {module_path(label): module for label, module in modes.items()})
    if peer:
        stage(root, {f"{MODULES}/{peer.module.name}": peer.module})
    return root


def boot(args: argparse.Namespace, peer: Peer | None, work: Path, log: Path) -> int:
    """Boot the guest by run.py, its console into the log alone; return run.py's status."""
    words = [f"/{PROGRAM}", "--repeat", str(args.repeat), *script([DEFAULT, *args.mode], peer)]
    given = {"cpu": args.cpu, "mem": args.mem}
    command = [
        *(sys.executable, str(RUN), f"--board={args.board}", f"--kernel={args.kernel}"),
        *(f"--module={args.module}", f"--init={args.init}", f"--runner={args.runner}"),
        f"--dtso={args.dtso}",
        f"--overlay={overlay(work / 'overlay', args.program, args.mode, peer)}",
        f"--run={shlex.join(words)}",
        *("--smp=1", f"--append={APPEND} {args.append}", f"--qemu-args={INSTRUCTION_CLOCK}"),
        *(f"--{name}={value}" for name, value in given.items() if value),
        *(f"--timeout={args.timeout}", f"--work={work}", f"--log={log}"),
    ]
    return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL).returncode
