#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Measure the driver in one boot: its modes, and another driver beside them.

The guest has one CPU and a clock that counts instructions (QEMU's -icount), so that two runs
agree. In it faultline-bench loads the module once for each mode, then the other driver's module,
and measures every device. What it reports becomes a table, and in the output directory:

    bench.json   every number
    bench.svg    what it costs to map a buffer and write to it, over its size
    console.log  what the guest said

docs/benchmarks.md says what the numbers mean. The exit status is that of run.py.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import plot
import run
from run import SetupError

# What the driver is called in the table, and the mode that is the floor. Every mode but the driver's
# own is a module of its own, a mutant of the same name: the floor's mappings, unbinding can miss.
DEFAULT = "default"
FLOOR = "eager"

OPERATIONS = ("mmap", "first_read", "first_write", "next_write", "munmap", "read", "write",
              "read_new")

# Time is counted in instructions, one a nanosecond; a sleeping guest's clock goes on at once.
INSTRUCTION_CLOCK = "-icount shift=0,sleep=off"
# Room for two buffers of 64 MiB; addresses that are the same in each run; and of the kernel's own
# messages only warnings, which would otherwise come in the middle of a line of the report.
APPEND = "cma=256M norandmaps loglevel=5"

MODULES = "lib/modules"
PROGRAM = "bin/faultline-bench"


@dataclass(frozen=True)
class Peer:
    """Another driver's module, to be measured beside ours."""

    module: Path
    devices: Sequence[str]  # PATH, or PATH=BYTES
    parameters: str

    @property
    def name(self) -> str:
        return self.module.stem


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


# ------------------------------------------------------------------------------------- the guest


def script(modes: Iterable[str], peer: Peer | None) -> list[str]:
    """The steps that faultline-bench is to take. Init has loaded the module already."""
    steps: list[str] = []
    for label in modes:
        load = ["--load", f"/{module_path(label)}", ""]
        steps += ["--unload", "faultline", *load, "--label", label, "--all"]
    if peer:
        load = ["--load", f"/{MODULES}/{peer.module.name}", peer.parameters]
        steps += ["--unload", "faultline", *load, "--label", peer.name]
        for device in peer.devices:
            path, _, size = device.partition("=")
            steps += ["--size", size or "0", path]
    return steps


def module_path(label: str) -> str:
    """Where the guest has the module of a mode of ours."""
    return f"{MODULES}/{'faultline' if label == DEFAULT else f'faultline-{label}'}.ko"


def overlay(root: Path, program: Path, modes: Mapping[str, Path], peer: Peer | None) -> Path:
    """What the guest has beside the usual, which has the driver's own module."""
    run.stage(root, {PROGRAM: program}, mode=0o755)
    run.stage(root, {module_path(label): module for label, module in modes.items()})
    if peer:
        run.stage(root, {f"{MODULES}/{peer.module.name}": peer.module})
    return root


def boot(args: argparse.Namespace, peer: Peer | None, work: Path, log: Path) -> int:
    """Boot the guest by run.py, its console into the log alone; return run.py's status."""
    words = [f"/{PROGRAM}", "--repeat", str(args.repeat), *script([DEFAULT, *args.mode], peer)]
    given = {"cpu": args.cpu, "mem": args.mem}
    command = [
        *(sys.executable, run.__file__, f"--board={args.board}", f"--kernel={args.kernel}"),
        *(f"--module={args.module}", f"--init={args.init}", f"--runner={args.runner}"),
        f"--dtso={args.dtso}",
        f"--overlay={overlay(work / 'overlay', args.program, args.mode, peer)}",
        f"--run={shlex.join(words)}",
        *("--smp=1", f"--append={APPEND} {args.append}", f"--qemu-args={INSTRUCTION_CLOCK}"),
        *(f"--{name}={value}" for name, value in given.items() if value),
        *(f"--timeout={args.timeout}", f"--work={work}", f"--log={log}"),
    ]
    return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL).returncode


def console(log: Path) -> list[str]:
    return log.read_text(errors="replace").replace("\r", "").splitlines()


def refuse_complaints(lines: Iterable[str]) -> None:
    """Our driver has nothing to complain about, or a buffer that was asked for is not there."""
    for line in lines:
        message = run.KERNEL_LINE.search(line)
        if message and re.match(r"faultline \S+: ", message[1]):
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


# ------------------------------------------------------------------------------------ the table


def size_name(size: float) -> str:
    for factor, unit in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= factor:
            return f"{size / factor:g} {unit}"
    return f"{size:g} B"


# Columns of the table: heading, and what stands below it.
TIMES: dict[str, Callable[[Device], str]] = {
    "mmap": lambda device: device.time("mmap"),
    "read": lambda device: device.time("first_read"),
    "faults": lambda device: device.faults("first_read"),
    "write": lambda device: device.time("first_write"),
    "faults ": lambda device: device.faults("first_write"),
    "again": lambda device: device.time("next_write"),
    "munmap": lambda device: device.time("munmap"),
    "read()": lambda device: device.time("read"),
    "write()": lambda device: device.time("write"),
    "new read()": lambda device: device.time("read_new"),
}

# Columns of ratios: heading, and the operations whose times are added up and compared.
RATIOS = {
    "map+read": ("mmap", "first_read"),
    "map+write": ("mmap", "first_write"),
    "munmap": ("munmap",),
    "read()": ("read",),
    "write()": ("write",),
    "new read()": ("read_new",),
}


def groups(devices: Sequence[Device]) -> Iterator[tuple[str, list[Device]]]:
    """Devices that are comparable: of one size and one coherency, in a fixed order.

    A driver that does not tell its coherency stands beside both.
    """
    for size in sorted({device.size for device in devices}):
        same = [device for device in devices if device.size == size]
        kinds = {device.coherent for device in same} - {None}
        for coherent in sorted(kinds, reverse=True) or [None]:
            kind = {True: ", coherent", False: ", non-coherent", None: ""}[coherent]
            members = [device for device in same if device.coherent in (coherent, None)]
            yield size_name(size) + kind, members


def ratio(ours: Device, other: Device | None, operations: Sequence[str]) -> str:
    """How many times the other's time ours is."""
    theirs = other.microseconds(*operations) if other else 0
    return f"{ours.microseconds(*operations) / theirs:.4g}" if theirs else "-"


def aligned(headings: Sequence[str], body: Sequence[Sequence[str] | str]) -> str:
    """Rows of cells in columns, the first to the left; a string is a line of its own."""
    rows = [headings, *(row for row in body if not isinstance(row, str))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(headings))]

    def line(row: Sequence[str]) -> str:
        first, *rest = zip(row, widths)
        return "  ".join([f"  {first[0]:<{first[1]}}", *(f"{cell:>{w}}" for cell, w in rest)])

    return "\n".join([line(headings), *(row if isinstance(row, str) else line(row) for row in body)])


def times(devices: Sequence[Device]) -> str:
    """The times, with the faults beside what has any."""
    body: list[Sequence[str] | str] = []
    for name, members in groups(devices):
        body += [name, *([device.label, *(show(device) for show in TIMES.values())]
                         for device in members)]
    return aligned(["", *TIMES], body)


def ratios(devices: Sequence[Device], label: str) -> str:
    """The times as multiples of those of one mode or driver, where it has a buffer of the size."""
    body: list[Sequence[str] | str] = []
    for name, members in groups(devices):
        base = next((device for device in members if device.label == label), None)
        if base:
            body += [name, *([device.label, *(ratio(device, base, of) for of in RATIOS.values())]
                             for device in members if device is not base)]
    return aligned(["", *RATIOS], body)


# ------------------------------------------------------------------------------ sizes, and output


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
    plain = run.guest(run.parser().parse_args([
        f"--board={args.board}", f"--kernel={args.kernel}", f"--module={args.module}",
        f"--init={args.init}",
    ]))
    (work / "plain").mkdir()
    found = {
        "faultline.ko text": section_sizes(args.size_tool, args.module)["text"],
        args.init.name: args.init.stat().st_size,
        args.kernel.name: args.kernel.stat().st_size,
        "initramfs": run.initramfs(plain, work / "plain").stat().st_size,
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
    board = run.Board.load(args.board)
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


# ------------------------------------------------------------------------------------- arguments


def repeats(text: str) -> int:
    number = run.positive(text)
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
            found = run.file(module)
        except argparse.ArgumentTypeError as error:
            raise argparse.ArgumentError(self, str(error)) from None
        setattr(namespace, self.dest, {**getattr(namespace, self.dest), name: found})


def parser() -> run.Parser:
    p = run.Parser(
        description=(__doc__ or "").partition("\n")[0],
        epilog="A value that begins with a dash is given as --option=value.",
        allow_abbrev=False,
    )
    p.add_argument("--board", required=True, metavar="NAME", help="a folder of board/")
    p.add_argument("--kernel", required=True, type=run.file, metavar="IMAGE")
    p.add_argument("--module", required=True, type=run.file, metavar="KO", help="faultline.ko")
    p.add_argument("--mode", action=Mode, default={}, metavar="NAME=KO",
                   help=f"faultline.ko, built with MUTANT=NAME, to be measured beside it; "
                        f"{FLOOR} must be one")
    p.add_argument("--init", required=True, type=run.file, metavar="PROG", help="faultline-verify")
    p.add_argument("--runner", required=True, type=run.file, metavar="PROG", help="faultline-init")
    p.add_argument("--program", required=True, type=run.file, metavar="PROG",
                   help="faultline-bench")
    p.add_argument("--output", required=True, type=Path, metavar="DIR", help="made if need be")
    p.add_argument("--dtso", type=run.file, default=run.TOP / "dts/bench.dtso", metavar="FILE",
                   help="the buffers, instead of four sizes of each kind")
    p.add_argument("--peer-ko", type=run.file, metavar="KO", help="another driver's module")
    p.add_argument("--peer-dev", type=run.words, default=[], metavar="'DEV[=BYTES]…'",
                   help="its device nodes; without a size, where lseek() says they end")
    p.add_argument("--peer-params", default="", metavar="STR", help="its module parameters")
    p.add_argument("--repeat", type=repeats, default=9, metavar="N", help="samples (9)")
    p.add_argument("--size-tool", default="llvm-size", metavar="PROG", help="llvm-size")
    p.add_argument("--mem", type=run.memory, metavar="SIZE", help="RAM, such as 2G")
    p.add_argument("--cpu", metavar="NAME", help="a CPU model of QEMU's")
    p.add_argument("--append", default="", metavar="STR", help="add to the kernel command line")
    p.add_argument("--timeout", type=run.positive, default=300, metavar="SEC",
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
            if line.startswith("faultline"):
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
    return run.STATUS_SETUP


if __name__ == "__main__":
    sys.exit(main())
