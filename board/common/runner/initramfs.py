# SPDX-License-Identifier: GPL-2.0-only
"""The guest's root: the module, an init program, and the overlays, as one initramfs."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from project import GUEST_INPUT, GUEST_MODULE, GUEST_RUN
from runner.machine import Guest
from runner.outcome import SetupError, Signalled, TimeLimit, say

# The most that standard input may have for the guest, which holds it in memory.
MAX_INPUT = 16 << 20


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
    say("standard input is not a terminal: the guest starts when all of it is read")
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
    assert guest.init and guest.module
    for name in ("dev", "proc", "sys", "tmp"):
        (tree / name).mkdir()
    programs: dict[str, Path | bytes] = {"init": guest.init}
    if guest.run and guest.runner:
        programs = {"init": guest.runner, f"bin/{guest.init.name}": guest.init}
    stage(tree, programs, mode=0o755)
    stage(tree, {GUEST_MODULE: guest.module})
    for path in [tree, *tree.rglob("*")]:
        os.utime(path, (0, 0))  # the same archive from the same files


def archive(tree: Path, names: Sequence[Path], output: Path) -> None:
    """Append a tree to the initramfs, with root as the owner."""
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
            stage(run, {GUEST_INPUT: standard_input(guest.timeout)})
            words = ["/bin/sh", "-c", f'exec "$@" </{GUEST_INPUT}', "sh", *words]
        stage(run, {GUEST_RUN: "".join(f"{word}\0" for word in words).encode()})

    output = work / "initramfs.cpio"
    output.unlink(missing_ok=True)
    seen: dict[Path, bool] = {}
    for tree in (base, *guest.overlays, run):
        added = entries(tree)
        for name in added.keys() & seen.keys():
            # The kernel would quietly drop one of the two.
            if added[name] != seen[name]:
                raise SetupError(f"overlay {tree}: '{name}' is a directory here or in an earlier tree, "
                                 "but not in both")
        if tree in guest.overlays and Path("init") in added:
            say(f"overlay {tree} replaces /init")
        archive(tree, list(added), output)
        seen |= added
    return output
