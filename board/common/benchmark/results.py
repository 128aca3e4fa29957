# SPDX-License-Identifier: GPL-2.0-only
"""What `make bench` writes beside the tables: sizes, a graph, and all numbers as JSON."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmark import plot
from benchmark.guest import APPEND, INSTRUCTION_CLOCK, Peer
from benchmark.report import Device
from benchmark.table import size_name
from project import MODULE
from runner.arguments import guest_of, parser
from runner.board import Board
from runner.initramfs import initramfs
from runner.outcome import SetupError


def section_sizes(tool: str, module: Path) -> dict[str, int]:
    """Code and constants, data, zeroed data of a module, as llvm-size counts them."""
    try:
        done = subprocess.run([tool, module], capture_output=True, text=True)
    except FileNotFoundError:
        raise SetupError(f"{tool} is not installed") from None
    if done.returncode:
        raise SetupError(" ".join(done.stderr.split()))
    return dict(zip(("text", "data", "bss"), map(int, done.stdout.splitlines()[1].split())))


def sizes(args: argparse.Namespace, peer: Peer | None, work: Path) -> dict[str, int]:
    """What things weigh, in bytes."""
    plain = guest_of(parser().parse_args([
        f"--board={args.board}", f"--kernel={args.kernel}", f"--module={args.module}",
        f"--init={args.init}",
    ]))
    (work / "plain").mkdir()
    found = {
        f"{MODULE}.ko text": section_sizes(args.size_tool, args.module)["text"],
        args.init.name: args.init.stat().st_size,
        args.kernel.name: args.kernel.stat().st_size,
        "initramfs": initramfs(plain, work / "plain").stat().st_size,
    }
    if peer:
        found[f"{peer.module.name} text"] = section_sizes(args.size_tool, peer.module)["text"]
    return found


def graph(devices: Sequence[Device]) -> str:
    """The cost of mapping a buffer and writing to each page of it, over its size."""
    labels = list(dict.fromkeys(device.label for device in devices))
    shown = [device for device in devices if device.coherent is not False]
    lines = [
        plot.Line(label, [(device.size, device.microseconds("mmap", "first_write"))
                          for device in shown if device.label == label])
        for label in labels
    ]
    return plot.log_log(
        "mmap() and the first write to each page, coherent device",
        "size of the buffer",
        "time in µs, an instruction a nanosecond",
        [line for line in lines if line.points],
        x_name=size_name,
    )


def machine_readable(
    args: argparse.Namespace, peer: Peer | None, devices: Sequence[Device], clock: int,
    weights: dict[str, int],
) -> str:
    # The kernel's banner, as it stands in an image that is not compressed.
    version = re.search(rb"Linux version ([\w.+-]+) ", args.kernel.read_bytes())
    board = Board.load(args.board)
    return json.dumps({
        "board": args.board,
        "machine": board.machine,
        "cpu": args.cpu or board.cpu,
        "linux": version[1].decode() if version else None,
        "clock": f"CLOCK_MONOTONIC under {INSTRUCTION_CLOCK}",
        "clock_overhead_ns": clock,
        "samples": args.repeat,
        "append": f"{APPEND} {args.append}".strip(),
        "peer": peer and {"module": peer.name, "parameters": peer.parameters},
        "sizes": weights,
        "measurements": [asdict(seen) for device in devices for seen in device.seen.values()],
    }, indent=2) + "\n"
