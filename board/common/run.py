#!/usr/bin/env -S python3 -Es
# SPDX-License-Identifier: GPL-2.0-only
"""Boot one guest and answer with its verdict.

The guest is a kernel, a device tree and an initramfs made of the module, an init program and
whatever is laid over them; or a kernel, a device tree and a disk, which leave a login when they have
given their verdict: then that is the end. Its console goes to standard output as it comes.

With --interactive the terminal is the console. Where standard input is no terminal, the program
of --run reads it in place of the console: all of it is put into the guest, so that nothing is lost,
and its end is the end of the program's input.

The exit status is:

    N    that of the guest's own last line, `faultline: exit status N`
    1    the kernel reported a fault, whatever the guest said, or the guest said nothing
    124  the time limit ended the guest
    125  the guest could not be started: a wrong argument, a missing file, QEMU's own error
    128+ a signal ended the run (130 for Ctrl-C)

Unless that is a plain pass, the last line on standard error says what happened.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import secrets
import select
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, NoReturn

TOP = Path(__file__).resolve().parents[2]
BOARDS = TOP / "board"

STATUS_FAULT = 1
STATUS_TIMEOUT = 124
STATUS_SETUP = 125

# After a panic: time for the rest of the report to arrive, should the guest not reset by itself.
PANIC_GRACE = 2.0
# After the verdict of a guest that stays: time for a fault that follows on it.
STAY_GRACE = 3.0
# After SIGTERM: time for QEMU to leave by itself. A hung one ignores the signal.
TERM_GRACE = 2.0

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

# How a disk is attached: for `LAYOUT` of board.env.
DISKS = {
    "virt": ("-device", "virtio-blk-device,drive=disk", "-drive", "if=none,id=disk"),
    "raspberrypi": ("-drive", "if=sd"),
}

# The most that standard input may have for the guest, which holds it in memory.
MAX_INPUT = 16 << 20
INPUT = "etc/faultline/input"

# What init prints before it powers off. The last such line counts: whatever else runs in the
# guest can print one before.
VERDICT = re.compile(r"faultline: exit status (\d{1,3})")


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
class Board:
    """What is particular to a board's emulated machine: `board/NAME/board.env`."""

    qemu: str
    machine: str
    cpu: str | None
    smp: int
    mem: str
    devices: Sequence[str]
    nonce: str | None
    console: str
    serial: int
    dtb: str | None
    dtso: Path | None
    qemu_dtso: Path | None
    append: str
    power_off_is_late: bool
    layout: str
    root: str
    timeout: int

    @classmethod
    def load(cls, name: str) -> Board:
        path = BOARDS / name / "board.env"
        if not path.is_file():
            known = ", ".join(sorted(p.parent.name for p in BOARDS.glob("*/board.env")))
            raise SetupError(f"no board '{name}': there is {known or 'none'}")
        lines = (line.strip() for line in path.read_text().splitlines())
        env = dict(line.split("=", 1) for line in lines if "=" in line and line[0] != "#")
        try:
            return cls(
                qemu=env["QEMU"],
                machine=env["MACHINE"],
                cpu=env.get("CPU"),
                smp=positive(env["SMP"]),
                mem=memory(env["MEM"]),
                devices=env.get("DEVICES", "").split(),
                nonce=env.get("NONCE"),
                console=env["CONSOLE"],
                serial=int(env.get("SERIAL", "0")),
                dtb=env.get("DTB"),
                dtso=TOP / env["DTSO"] if env.get("DTSO") else None,
                qemu_dtso=TOP / env["QEMU_DTSO"] if env.get("QEMU_DTSO") else None,
                append=env.get("APPEND", ""),
                power_off_is_late=env.get("POWER_OFF") == "late",
                layout=env["LAYOUT"],
                root=env["ROOT"],
                timeout=positive(env["TIMEOUT"]),
            )
        except KeyError as missing:
            raise SetupError(f"{path}: no value for {missing.args[0]}") from None
        except argparse.ArgumentTypeError as error:
            raise SetupError(f"{path}: {error}") from None


@dataclass(frozen=True)
class Guest:
    """One guest to boot: the board's machine and what the command line asks of it."""

    board: Board
    kernel: Path
    module: Path | None
    init: Path | None
    disk: Path | None
    dtb: Path | None
    runner: Path | None
    overlays: Sequence[Path]
    run: Sequence[str]
    dtso: Path | None
    append: str
    qemu_args: Sequence[str]
    timeout: int | None
    interactive: bool
    gdb: bool
    takes_input: bool  # standard input is no terminal, but the program of --run reads it
    # Told to the guest on two ways that have nothing in common, if the machine has the second: on
    # the command line, which is in the device tree, and by a device that writes it to memory (fw_cfg;
    # the firmware of a Raspberry Pi, which knows the command line). If they agree, that did.
    nonce: str = field(default_factory=lambda: secrets.token_hex(16))

    def machine(self, **properties: str) -> list[str]:
        """QEMU with every option that shapes the machine, and with it the device tree.

        The tree is dumped and the guest is booted with these very options; they cannot differ.
        """
        given = "".join(f",{key}={value.replace(',', ',,')}" for key, value in properties.items())
        board = self.board
        return [
            board.qemu,
            *("-machine", board.machine + given),
            *(("-cpu", board.cpu) if board.cpu else ()),
            *("-smp", str(board.smp)),
            *("-m", board.mem),
            *(word for device in board.devices for word in ("-device", device)),
            *(("-fw_cfg", f"name={board.nonce},string={self.nonce}") if board.nonce else ()),
            *("-nic", "none"),
            *("-display", "none"),
            "-no-reboot",
            *self.qemu_args,
        ]

    def loaded(self, initramfs: Path, dtb: Path) -> list[str]:
        """The machine with software in it, and no console yet."""
        return [
            *self.machine(),
            *("-kernel", str(self.kernel)),
            *(("-initrd", str(initramfs)) if initramfs else self.disk_options()),
            *("-dtb", str(dtb)),
            *("-append", self.command_line()),
        ]

    def boot(self, initramfs: Path | None, dtb: Path) -> list[str]:
        """The same with its console on standard input and output."""
        monitor = ["-mon", "chardev=console"] if self.interactive else ["-monitor", "none"]
        mux = "on" if self.interactive else "off"
        return [
            *self.loaded(initramfs, dtb),
            *("-chardev", f"stdio,id=console,mux={mux},signal=off"),
            *("-serial", "null") * self.board.serial,
            *("-serial", "chardev:console"),
            *monitor,
            *(["-gdb", "tcp:localhost:1234", "-S"] if self.gdb else []),
        ]

    def disk_options(self) -> list[str]:
        *options, drive = DISKS[self.board.layout]
        return [*options, f"{drive},format=raw,file={self.disk}"]

    def command_line(self) -> str:
        """The kernel's: a panic resets at once, which ends QEMU by `-no-reboot`."""
        words = [f"console={self.board.console}", "printk.time=1", "panic=-1"]
        words += [f"faultline.nonce={self.nonce}", *self.board.append.split()]
        if self.disk:
            words += [f"root={self.board.root}", "rootwait"]
        if self.gdb:
            words.append("nokaslr")  # or gdb's symbols lie elsewhere than the kernel
        return " ".join([*words, *self.append.split()])


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


@dataclass(frozen=True)
class Outcome:
    """How a run ended: the exit status, and one line unless it is a plain pass."""

    status: int
    message: str | None = None


# ------------------------------------------------------------------------------------- arguments


def positive(text: str) -> int:
    if not re.fullmatch(r"[0-9]+", text) or int(text) == 0:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number above zero")
    return int(text)


def memory(text: str) -> str:
    if not re.fullmatch(r"[1-9][0-9]*[KMGTkmgt]?", text):
        raise argparse.ArgumentTypeError(f"'{text}' is not an amount of memory such as 512M or 2G")
    return text


def words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{text}': {error}") from None


def file(text: str) -> Path:
    if not Path(text).is_file():
        raise argparse.ArgumentTypeError(f"no file '{text}'")
    return Path(text)


def directory(text: str) -> Path:
    if not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"no directory '{text}'")
    return Path(text)


class Parser(argparse.ArgumentParser):
    """A wrong argument is a set-up error like any other."""

    def error(self, message: str) -> NoReturn:
        raise SetupError(message)


def parser() -> Parser:
    p = Parser(
        description=(__doc__ or "").partition("\n")[0],
        epilog="A value that begins with a dash is given as --option=value.",
        allow_abbrev=False,
    )
    p.add_argument("--board", required=True, metavar="NAME", help="a folder of board/")
    p.add_argument("--kernel", required=True, type=file, metavar="IMAGE")
    p.add_argument("--module", type=file, metavar="KO", help="faultline.ko")
    p.add_argument("--init", type=file, metavar="PROG",
                   help="becomes /init; with --run /bin/PROG")
    p.add_argument("--runner", type=file, metavar="PROG", help="becomes /init with --run")
    p.add_argument("--disk", type=file, metavar="FILE",
                   help="in place of an initramfs; nothing is written to it")
    p.add_argument("--script", type=Path, metavar="FILE",
                   help="write what starts the guest into FILE, and do not start it")
    p.add_argument("--dtb", type=file, metavar="FILE", help="instead of the board's own tree and overlay")
    p.add_argument("--overlay", action="append", default=[], type=directory, metavar="DIR",
                   help="lay DIR's files over the initramfs; may be given again")
    p.add_argument("--run", default=[], type=words, metavar="'PROG ARG…'",
                   help="have the runner run this in place of the verification")
    p.add_argument("--dtso", type=file, metavar="FILE", help="instead of the board's own overlay")
    p.add_argument("--smp", type=positive, metavar="N", help="CPUs")
    p.add_argument("--mem", type=memory, metavar="SIZE", help="RAM, such as 512M")
    p.add_argument("--cpu", metavar="NAME", help="a CPU model of QEMU's")
    p.add_argument("--qemu", metavar="PROG", help="instead of the board's QEMU in PATH")
    p.add_argument("--append", default="", metavar="STR", help="add to the kernel command line")
    p.add_argument("--qemu-args", default=[], type=words, metavar="STR", help="add to QEMU's")
    p.add_argument("--timeout", type=positive, metavar="SEC",
                   help="end the guest then (default: the board's; none with a user at work)")
    p.add_argument("--interactive", action="store_true", help="the terminal is the console; without one --run reads standard input")
    p.add_argument("--gdb", action="store_true", help="wait for a debugger on port 1234")
    p.add_argument("--work", type=directory, metavar="DIR", help="keep what is made on the way")
    p.add_argument("--log", type=Path, metavar="FILE", help="keep what the console said")
    return p


def guest(args: argparse.Namespace) -> Guest:
    if args.run and not args.runner:
        raise SetupError("--run without --runner: who is to run it?")
    if bool(args.disk) == bool(args.module and args.init):
        raise SetupError("the guest has either --disk, or --module and --init")
    board = Board.load(args.board)
    asked = {key: getattr(args, key) for key in ("qemu", "cpu", "smp", "mem") if getattr(args, key)}
    takes_input = args.interactive and not sys.stdin.isatty()
    if takes_input and not args.run:
        raise SetupError("--interactive without --run, and no terminal: nothing reads the input")
    interactive = args.interactive and not takes_input
    attended = interactive or args.gdb
    return Guest(
        board=replace(board, **asked),
        kernel=args.kernel,
        module=args.module,
        init=args.init,
        disk=args.disk,
        dtb=args.dtb,
        runner=args.runner,
        overlays=args.overlay,
        run=args.run,
        dtso=args.dtso or (None if args.dtb else board.dtso),
        append=args.append,
        qemu_args=args.qemu_args,
        timeout=args.timeout or (None if attended else board.timeout),
        interactive=interactive,
        gdb=args.gdb,
        takes_input=takes_input,
    )


# ------------------------------------------------------------------------ initramfs, device tree


def tool(*command: str, cwd: Path | None = None, stdin: bytes | None = None) -> str:
    """Run a tool to its end and return what it warned of; if it fails, so does this, in one line."""
    try:
        done = subprocess.run(command, cwd=cwd, input=stdin, capture_output=True)
    except FileNotFoundError:
        raise SetupError(f"{command[0]} is not installed: `make doctor` lists what is") from None
    said = done.stderr.decode(errors="replace").strip()
    if done.returncode:
        raise SetupError(" ".join(said.split()) or f"{command[0]} failed with status {done.returncode}")
    return said


def entries(tree: Path) -> dict[Path, bool]:
    """Everything in a directory, parents first: its relative path, and whether it is one too."""
    return {
        path.relative_to(tree): path.is_dir() and not path.is_symlink()
        for path in sorted(tree.rglob("*"))
    }


def stage(tree: Path, files: dict[str, Path | bytes], mode: int = 0o644) -> None:
    """Put files into a tree, made if need be."""
    for name, content in files.items():
        target = tree / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.read_bytes())
        target.chmod(mode)


def standard_input(limit: int | None) -> bytes:
    """All of standard input. The time limit of the guest holds for this, too."""
    say("standard input is no terminal: the guest gets what it has, when it has ended")
    try:
        signal.setitimer(signal.ITIMER_REAL, limit or 0)
        given = sys.stdin.buffer.read(MAX_INPUT + 1)
    except Signalled as signalled:
        if signalled.number != signal.SIGALRM:
            raise
        raise TimeLimit(f"standard input has not ended within the time limit of {limit} s") from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    if len(given) > MAX_INPUT:
        raise SetupError(f"standard input has more than {MAX_INPUT >> 20} MiB: use --overlay for data")
    return given


def stage_base(tree: Path, guest: Guest) -> None:
    """What every guest has: an init, the module, and the mount points."""
    for name in ("dev", "proc", "sys", "tmp"):
        (tree / name).mkdir()
    programs = {"init": guest.init}
    if guest.run and guest.runner:
        programs = {"init": guest.runner, f"bin/{guest.init.name}": guest.init}
    stage(tree, programs, mode=0o755)
    stage(tree, {"lib/modules/faultline.ko": guest.module})
    for path in [tree, *tree.rglob("*")]:
        os.utime(path, (0, 0))  # the same archive from the same files


def archive(tree: Path, names: Sequence[Path], output: Path) -> None:
    """Append a tree to the initramfs, as root's."""
    listing = "".join(f"{name}\0" for name in names).encode()
    packed = output.with_suffix(".part")
    tool(
        *("cpio", "--create", "--null", "--format=newc", "--owner=0:0", "--reproducible"),
        *("--quiet", f"--file={packed.resolve()}"),
        cwd=tree,
        stdin=listing,
    )
    with packed.open("rb") as source, output.open("ab") as target:
        shutil.copyfileobj(source, target)
    packed.unlink()


def initramfs(guest: Guest, work: Path) -> Path:
    """An archive for each tree, one after the other: the kernel lets the later ones win.

    So the overlays go in just as they are, symbolic links and modes included.
    """
    base, run = work / "base", work / "run"
    for tree in (base, run):
        shutil.rmtree(tree, ignore_errors=True)  # of an earlier guest, in a folder that is kept
        tree.mkdir()
    stage_base(base, guest)
    if guest.run:
        words = list(guest.run)
        if guest.takes_input:
            stage(run, {INPUT: standard_input(guest.timeout)})
            words = ["/bin/sh", "-c", f'exec "$@" </{INPUT}', "sh", *words]
        stage(run, {"etc/faultline/run": "".join(f"{word}\0" for word in words).encode()})

    output = work / "initramfs.cpio"
    output.unlink(missing_ok=True)
    seen: dict[Path, bool] = {}
    for tree in (base, *guest.overlays, run):
        added = entries(tree)
        for name in added.keys() & seen.keys():
            # The kernel would quietly drop one of the two.
            if added[name] != seen[name]:
                raise SetupError(f"overlay {tree}: '{name}' is a directory here or below, not both")
        if tree in guest.overlays and Path("init") in added:
            say(f"overlay {tree} replaces /init")
        archive(tree, list(added), output)
        seen |= added
    return output


def device_tree(guest: Guest, work: Path) -> Path:
    """The board's tree, or that of the very machine that will be booted, with overlays applied."""
    base, merged = work / "machine.dtb", work / "guest.dtb"
    if guest.dtb:
        base = guest.dtb
    elif guest.board.dtb:
        # Beside the image, in the kernel's output.
        base = guest.kernel.resolve().parent / "dts" / guest.board.dtb
    else:
        tool(*guest.machine(dumpdtb=str(base)))
    overlays = []
    for number, source in enumerate(filter(None, (guest.dtso, guest.board.qemu_dtso))):
        overlay = work / f"overlay{number}.dtbo"
        warn("dtc", tool("dtc", "-@", "-I", "dts", "-O", "dtb", f"-o{overlay}", str(source)))
        overlays.append(str(overlay))
    if not overlays:
        return base
    warn("fdtoverlay", tool("fdtoverlay", f"-i{base}", f"-o{merged}", *overlays))
    return merged


# ---------------------------------------------------------------------------------------- the run


def say(message: str) -> None:
    print(f"run: {message}", file=sys.stderr, flush=True)


def warn(tool: str, said: str) -> None:
    """Pass on the warnings of a tool that has done its work all the same."""
    for line in said.splitlines():
        say(f"{tool}: {line}")


def write_all(descriptor: int, data: bytes) -> None:
    """Write to what may be non-blocking: QEMU makes the terminal so, which we share with it."""
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:
            select.select([], [descriptor], [])


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
    module = guest.module.resolve()
    return f"""\
In another terminal:
  gdb-multiarch {vmlinux} -ex 'target remote localhost:1234' -ex continue
When the module is loaded (Ctrl-C there stops the guest), with the address that the guest shows in
/sys/module/faultline/sections/.text:
  (gdb) add-symbol-file {module} ADDRESS
or, if the kernel has CONFIG_GDB_SCRIPTS:
  (gdb) lx-symbols {module.parent}"""


def command(guest: Guest, work: Path) -> list[str]:
    """Make what the guest consists of; return what starts it."""
    return guest.boot(None if guest.disk else initramfs(guest, work), device_tree(guest, work))


SCRIPT = """\
#!/bin/sh
# Starts this image in QEMU; root logs in without a password. Ctrl-A X leaves QEMU. Further options
# for it may follow, such as -snapshot, which leaves the image as it is.
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
        args = parser().parse_args()
        with contextlib.ExitStack() as stack:
            work = args.work or Path(stack.enter_context(tempfile.TemporaryDirectory()))
            if args.script:
                outcome = write_script(args.script, guest(args), work)
            else:
                outcome = run(guest(args), work, args.log or work / "console.log")
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
