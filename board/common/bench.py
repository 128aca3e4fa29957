#!/usr/bin/env -S python3 -EsB
# SPDX-License-Identifier: GPL-2.0-only
"""Measure the driver in one boot: its modes, and another driver beside them.

The guest has one CPU and a clock that counts instructions (QEMU's -icount), so that two runs
agree. In it userspace/bench loads the module once for each mode, then the other driver's module,
and measures every device. What it reports becomes a table, and in the output directory:

    bench.json   every number
    bench.svg    what it costs to map a buffer and write to it, over its size
    console.log  what the guest said

docs/benchmarks.md says what the numbers mean. The exit status is that of run.py.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmark.guest import FLOOR, Peer, boot
from benchmark.report import console, read_report, refuse_complaints
from benchmark.results import graph, machine_readable, sizes
from benchmark.table import ratios, times
from project import BENCH, INIT, MODULE, PROJECT, TOP, VERIFY
from runner.arguments import Parser
from runner.outcome import STATUS_SETUP, SetupError
from runner.values import file, memory, positive, words


def repeats(text: str) -> int:
    number = positive(text)
    if number > 64:
        raise argparse.ArgumentTypeError(f"'{text}': 64 samples at most")
    return number


class Mode(argparse.Action):
    """NAME=KO, once for each mode."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any,
        option: str | None = None,
    ) -> None:
        name, _, module = str(values).partition("=")
        if not name or not module:
            raise argparse.ArgumentError(self, f"'{values}': want NAME=KO")
        try:
            found = file(module)
        except argparse.ArgumentTypeError as error:
            raise argparse.ArgumentError(self, str(error)) from None
        setattr(namespace, self.dest, {**getattr(namespace, self.dest), name: found})


def parser() -> Parser:
    p = Parser(
        description=(__doc__ or "").partition("\n")[0],
        epilog="A value that begins with a dash is given as --option=value.",
        allow_abbrev=False,
    )
    p.add_argument("--board", required=True, metavar="NAME", help="a folder of board/")
    p.add_argument("--kernel", required=True, type=file, metavar="IMAGE")
    p.add_argument("--module", required=True, type=file, metavar="KO",
                   help=f"{MODULE}.ko")
    p.add_argument("--mode", action=Mode, default={}, metavar="NAME=KO",
                   help=f"{MODULE}.ko built with MUTANT=NAME, to be measured beside it; "
                        f"{FLOOR} must be one")
    p.add_argument("--init", required=True, type=file, metavar="PROG", help=VERIFY)
    p.add_argument("--runner", required=True, type=file, metavar="PROG", help=INIT)
    p.add_argument("--program", required=True, type=file, metavar="PROG", help=BENCH)
    p.add_argument("--output", required=True, type=Path, metavar="DIR", help="made if need be")
    p.add_argument("--dtso", type=file, default=TOP / "dts/bench.dtso", metavar="FILE",
                   help="the buffers, instead of four sizes of each kind")
    p.add_argument("--peer-ko", type=file, metavar="KO", help="another driver's module")
    p.add_argument("--peer-dev", type=words, default=[], metavar="'DEV[=BYTES]…'",
                   help="its device nodes; without a size, where lseek() says they end")
    p.add_argument("--peer-params", default="", metavar="STR", help="its module parameters")
    p.add_argument("--repeat", type=repeats, default=9, metavar="N", help="samples (9)")
    p.add_argument("--size-tool", default="llvm-size", metavar="PROG", help="llvm-size")
    p.add_argument("--mem", type=memory, metavar="SIZE", help="RAM, such as 2G")
    p.add_argument("--cpu", metavar="NAME", help="a CPU model of QEMU's")
    p.add_argument("--append", default="", metavar="STR", help="add to the kernel command line")
    p.add_argument("--timeout", type=positive, default=300, metavar="SEC",
                   help="end the guest then (300)")
    return p


def peer_of(args: argparse.Namespace) -> Peer | None:
    if bool(args.peer_ko) != bool(args.peer_dev):
        raise SetupError("a peer is a module and its devices: give both, or neither")
    if not args.peer_ko:
        if args.peer_params:
            raise SetupError("parameters for a peer, but no peer")
        return None
    for device in args.peer_dev:
        if not re.fullmatch(r"/dev/[^=]+(=[1-9][0-9]*)?", device):
            raise SetupError(f"'{device}' is not /dev/NAME or /dev/NAME=BYTES")
    return Peer(args.peer_ko, args.peer_dev, args.peer_params)


def bench(args: argparse.Namespace) -> int:
    peer = peer_of(args)
    args.output.mkdir(parents=True, exist_ok=True)
    log = args.output / "console.log"
    say("one boot for everything: half a minute, or a few on a slow machine")
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        weights = sizes(args, peer, work)
        status = boot(args, peer, work, log)
    lines = console(log) if log.is_file() else []
    if status:
        for line in lines:
            if line.startswith(PROJECT):
                say(line)
        say(f"the guest's console is in {log}")
        return status

    refuse_complaints(lines)
    devices, clock = read_report(lines)
    results = args.output / "bench.json"
    results.write_text(machine_readable(args, peer, devices, clock, weights))
    (args.output / "bench.svg").write_text(graph(devices))

    print(f"""\
Microseconds of the guest's clock, which counts an instruction for a nanosecond: the least of
{args.repeat} samples, {clock / 1000:g} of each for reading the clock. read and write: the first load from, or store
to, each page of a new mapping; again: the same stores once more. Copies are of 1 MiB, or of the
buffer if it is smaller; new: into memory that nobody has touched.
""")
    print(times(devices))
    for label in [FLOOR, *([peer.name] if peer else [])]:
        print(f"\nHow many times that of {label}:\n\n{ratios(devices, label)}")
    print()
    for name, weight in weights.items():
        print(f"{name:<20}{weight:>10} bytes")
    print(f"\n{results}, bench.svg beside it")
    return 0


def say(message: str) -> None:
    print(f"bench: {message}", file=sys.stderr, flush=True)


def main() -> int:
    try:
        return bench(parser().parse_args())
    except SetupError as error:
        say(str(error))
    except OSError as error:
        say(f"{error.filename or 'output'}: {error.strerror}")
    except KeyboardInterrupt:
        return 130
    return STATUS_SETUP


if __name__ == "__main__":
    sys.exit(main())
