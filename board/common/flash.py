#!/usr/bin/env -S python3 -EsB
# SPDX-License-Identifier: GPL-2.0-only
"""Write a board's image to an SD card, and refuse every other device.

The program asks the kernel what the device is before it opens it, and names the reason if it
refuses: a wrong device is somebody's disk. Then it asks the user, writes the image past the page
cache, and reads it back. The exit status is:

    0    the card holds the image
    1    refused, not confirmed, or an error; the message names it
    128+ a signal ended it (130 for Ctrl-C); do not use the card
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import signal
import sys
from pathlib import Path
from typing import NoReturn

from card.checks import find, find_image
from card.devices import Disk, Host, Refused, size_of
from card.writing import flash

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Signalled(Exception):
    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def say(message: str) -> None:
    print(f"flash: {message}", file=sys.stderr, flush=True)


def show(disk: Disk, image: Path) -> None:
    say(f"{disk.node}: {disk.title}, {size_of(disk.size)}")
    for part in disk.partitions():
        say(f"    {part.node}: {size_of(part.size)} {part.label()}".rstrip())
    if not disk.partitions():
        say(f"    no partition {disk.label()}".rstrip())
    say(f"to be overwritten by {image}, {size_of(image.stat().st_size)}")


def confirm(disk: Disk) -> None:
    if not sys.stdin.isatty():
        raise Refused("not confirmed: there is no terminal to ask on, and not YES=1")
    say(f"type '{disk.name}' to overwrite all of it:")
    if sys.stdin.readline().strip() != disk.name:
        raise Refused("not confirmed: nothing was written")


def with_sudo(disk: Disk, sequence: str, image: Path, options: list[str]) -> NoReturn:
    """Run this program again as root, and say so. It repeats all checks. The user has confirmed the
    card that `sequence` stands for; a card inserted later is refused."""
    again = [sys.executable, "-EsB", str(Path(__file__).resolve()), f"--device={disk.node}",
             f"--image={image.resolve()}", f"--sequence={sequence}", "--yes", *options]
    if not shutil.which("sudo"):
        raise Refused(f"writing to {disk.node} needs root, and sudo is not installed. As root, run: "
                      f"{shlex.join(again)}")
    command = ["sudo", *([] if sys.stdin.isatty() else ["--non-interactive"]), *again]
    say(f"writing to {disk.node} needs root: {shlex.join(command)}")
    os.execvp("sudo", command)


def on_signal(number: int, _frame: object) -> NoReturn:
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise Signalled(number)


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0], allow_abbrev=False)
    p.add_argument("--board", default="", metavar="NAME", help="whose image to write")
    p.add_argument("--image", default="", metavar="FILE", help="instead of the board's own")
    p.add_argument("--device", default="", metavar="/dev/…", help="the card")
    p.add_argument("--sequence", metavar="N", help="the diskseq that sysfs must have for it")
    p.add_argument("--yes", action="store_true", help="do not ask")
    p.add_argument("--force-loop", action="store_true", help="allow a loop device")
    return p


def work(args: argparse.Namespace, host: Host = Host()) -> None:
    image = find_image(args.board, args.image)
    disk = find(host, args.device, args.force_loop)
    sequence = disk.sequence if args.sequence is None else args.sequence
    if disk.sequence != sequence:
        raise Refused(f"{disk.node} has become another device meanwhile")
    if disk.size < image.stat().st_size:
        raise Refused(f"{disk.node} ({disk.title}) is too small: {disk.size} bytes, and the image "
                      f"has {image.stat().st_size}")
    show(disk, image)
    if not args.yes:
        confirm(disk)
    if not os.access(disk.path, os.R_OK | os.W_OK) and os.geteuid() != 0:
        with_sudo(disk, sequence, image, ["--force-loop"] if args.force_loop else [])
    try:
        flash(disk, sequence, image)
    except (Signalled, OSError) as ended:
        if getattr(ended, "filename", None) is None:  # it is the image that cannot be opened
            say(f"{disk.node} was not completely written and read back: do not use it")
        raise
    say(f"{disk.node} holds {image}, as reading it back has shown")


def main() -> int:
    for number in SIGNALS:
        signal.signal(number, on_signal)
    try:
        work(parser().parse_args())
    except Refused as refused:
        say(f"error: {refused}")
        return 1
    except OSError as error:
        say(f"error: {error.filename or 'device'}: {error.strerror}")
        return 1
    except Signalled as signalled:
        say(f"{signalled} ended it")
        return 128 + signalled.number
    return 0


if __name__ == "__main__":
    sys.exit(main())
