#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Write a board's image to an SD card, and nothing else to anything else.

What the device is, is asked of the kernel before anything is opened, and whatever speaks against
it is said: a wrong device is somebody's disk. Then the user is asked, the image written past the
page cache, and read back. The exit status is:

    0    the card holds the image
    1    refused, not confirmed, or an error; the message names it
    128+ a signal ended it (130 for Ctrl-C); the card is not to be used
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import fcntl
import mmap
import os
import re
import shlex
import shutil
import signal
import stat
import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

TOP = Path(__file__).resolve().parents[2]

# As much as is written and compared at a time. A partition table is in the first of these.
CHUNK = 4 << 20
# What sysfs counts in, whatever the device does.
SECTOR = 512

# linux/fs.h
BLKSSZGET = 0x1268
BLKFLSBUF = 0x1261
BLKRRPART = 0x125F

# Where a system is mounted that would not survive.
SYSTEM = ("/", "/usr", "/var", "/home", "/boot", "/boot/efi", "/boot/firmware")

# Drives that say they are removable and hold no card, by the major number (linux/major.h).
NO_READERS = {"2": "a floppy drive", "11": "an optical drive"}

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Refused(Exception):
    """The card is not written; the message is one line for the user."""


class Signalled(Exception):
    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def size_of(count: int) -> str:
    """A number of bytes as it is printed on a card."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            break
        count, unit = count / 1000, "TB"
    return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"


# ------------------------------------------------------------------------ what the kernel says


@dataclass(frozen=True)
class Host:
    """What the kernel says of block devices, in sysfs and procfs below `root`."""

    root: Path = Path("/")
    stat: Callable[[str], os.stat_result] = os.stat

    def number(self, path: str) -> str | None:
        """A block device's number as the kernel writes it, MAJOR:MINOR; None if it is none."""
        try:
            found = self.stat(path)
        except OSError:
            return None
        if not stat.S_ISBLK(found.st_mode):
            return None
        return f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}"

    def disk(self, number: str) -> Disk:
        folder = (self.root / "sys/dev/block" / number).resolve()
        if not folder.is_dir():
            raise Refused(f"the kernel knows no block device {number}: is sysfs mounted?")
        return Disk(self, folder)

    def disks(self) -> list[Disk]:
        return [Disk(self, path.resolve()) for path in sorted((self.root / "sys/block").glob("*"))]

    def mounts(self) -> Iterator[tuple[str, str]]:
        """Number and mount point of every mounted block device. Some file systems, such as btrfs,
        have numbers of their own: then the source names the device."""
        for line in self.lines("proc/self/mountinfo"):
            before, _, after = line.partition(" - ")
            words = before.split()
            source = unescape(after.split()[1])
            yield words[2], unescape(words[4])
            if (number := self.number(source)) and number != words[2]:
                yield number, unescape(words[4])

    def swaps(self) -> set[str]:
        return {number for line in self.lines("proc/swaps")[1:]
                if (number := self.number(unescape(line.split()[0])))}

    def lines(self, name: str) -> list[str]:
        return (self.root / name).read_text().splitlines()


def unescape(text: str) -> str:
    """Spaces and the like are octal numbers in procfs."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


@dataclass(frozen=True)
class Disk:
    """A block device in sysfs: a disk, or a partition."""

    host: Host
    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name.replace("!", "/")

    @property
    def node(self) -> str:
        return f"/dev/{self.name}"

    def read(self, name: str) -> str:
        try:
            return (self.folder / name).read_text().strip()
        except OSError:
            return ""

    @property
    def size(self) -> int:
        return int(self.read("size") or 0) * SECTOR

    @property
    def sequence(self) -> str:
        """A number that no other disk has had under this name, nor another card in this reader.
        Kernels before 5.15 have none."""
        return self.read("diskseq")

    @property
    def parent(self) -> Disk | None:
        """The disk that this is a partition of."""
        return Disk(self.host, self.folder.parent) if self.read("partition") else None

    def partitions(self) -> list[Disk]:
        return [Disk(self.host, path.parent) for path in sorted(self.folder.glob("*/partition"))]

    def above(self) -> Iterator[Disk]:
        """Itself and whatever is made of it: partitions, and what holds those, such as LVM, LUKS,
        RAID, loop devices."""
        yield self
        holders = [Disk(self.host, path.resolve()) for path in sorted(self.folder.glob("holders/*"))]
        loops = [loop for loop in self.host.disks() if loop.read("loop/backing_file") == self.node]
        for each in [*self.partitions(), *holders, *loops]:
            yield from each.above()

    @property
    def title(self) -> str:
        """What its maker calls it, or what it is made of."""
        if backing := self.read("loop/backing_file"):
            return f"loop device of {backing}"
        if mapped := self.read("dm/name"):
            return f"device mapper: {mapped}"
        words = [self.read(f"device/{name}") for name in ("vendor", "model", "name")]
        return " ".join(word for word in words if word) or "no model known"

    def label(self) -> str:
        """What udev has found on it, if there is udev."""
        with contextlib.suppress(OSError):
            data = (self.host.root / f"run/udev/data/b{self.read('dev')}").read_text()
            found = dict(re.findall(r"^E:(ID_FS_TYPE|ID_FS_LABEL)=(.*)$", data, re.MULTILINE))
            return " ".join(found[key] for key in sorted(found, reverse=True))
        return ""

    # Where sysfs hangs it tells how it is plugged in.
    @property
    def is_loop(self) -> bool:
        return self.read("dev").startswith("7:")  # one without a file has nothing else to tell it

    @property
    def is_card(self) -> bool:
        """In a slot. A soldered chip (eMMC) speaks the same language, and is somebody's disk."""
        return "/mmc_host/" in str(self.folder) and self.read("device/type") == "SD"


# ---------------------------------------------------------------------------------- refusals


def find(host: Host, path: str, force_loop: bool) -> Disk:
    """The disk that `path` names, if nothing speaks against it but its size."""
    if not path:
        raise Refused(f"no device given: DEV=/dev/…; {candidates(host)}")
    try:
        mode = host.stat(path).st_mode
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}; {candidates(host)}") from None
    number = host.number(path)
    if number is None:
        kinds = {stat.S_IFREG: "a file", stat.S_IFDIR: "a directory",
                 stat.S_IFCHR: "a character device"}
        raise Refused(f"{path} is {kinds.get(stat.S_IFMT(mode), 'something else')}, "
                      "not a block device")
    disk = host.disk(number)
    if reason := objection(disk, force_loop):
        raise Refused(reason)
    return disk


def objection(disk: Disk, force_loop: bool) -> str | None:
    """What speaks against writing to it, the worst first."""
    if parent := disk.parent:
        return (f"{disk.node} is a partition: the image has a partition table of its own; "
                f"the whole disk is {parent.node}")
    if reason := in_use(disk):
        return reason
    if drive := NO_READERS.get(disk.read("dev").partition(":")[0]):
        return f"{disk.node} ({disk.title}) is {drive}, not a card"
    if disk.is_loop:
        if not force_loop:
            return f"{disk.node} is a loop device, not a card: FORCE_LOOP=1 if that is meant"
    elif not (disk.is_card or disk.read("removable") == "1"):
        return f"{disk.node} ({disk.title}) is not removable, and no SD card in a slot"
    if disk.size == 0:
        return f"{disk.node} ({disk.title}) is empty: there is no card in it"
    if disk.read("ro") == "1":
        return f"{disk.node} ({disk.title}) is read-only: has the card a lock, and is it set?"
    return None


def in_use(disk: Disk) -> str | None:
    """Who would notice. What is mounted by way of LVM, LUKS or RAID counts, too."""
    host = disk.host
    mounts, swaps = list(host.mounts()), host.swaps()
    parts = [(part, part.read("dev")) for part in disk.above()]
    found = [(part, point) for part, number in parts for at, point in mounts if at == number]
    for part, point in sorted(found, key=lambda each: each[1]):
        if point in SYSTEM:
            return f"{disk.node} is the disk of this system: {part.node} is {point}"
    for part, point in found:
        return f"{part.node} is mounted on {point}: umount it first"
    for part, number in parts:
        if number in swaps:
            return f"{part.node} is swap space in use: swapoff first"
    inside = {disk.folder, *(part.folder for part in disk.partitions())}
    for part, _ in parts:
        if part.folder not in inside:
            return f"{disk.node} is in use by {part.node} ({part.title})"
    return None


def candidates(host: Host) -> str:
    fit = [f"{disk.node} ({disk.title}, {size_of(disk.size)})"
           for disk in host.disks() if objection(disk, force_loop=False) is None]
    return f"there is {', '.join(fit)}" if fit else "there is no card in this computer"


def find_image(board: str, given: str, top: Path = TOP) -> Path:
    """The image to write; a board that boots from no card has none."""
    if given:
        image = Path(given)
    else:
        env = (top / "board" / board / "board.env").read_text()
        if re.search(r"^MACHINE=virt\b", env, re.MULTILINE):
            raise Refused(f"board {board} is a machine of QEMU's own, and boots from no SD card")
        image = top / "build" / board / "image/sdcard.img"
    if not image.is_file():
        made = "" if given else f": `make image BOARD={board}` makes it"
        raise Refused(f"there is no image {image}{made}")
    if image.stat().st_size == 0:
        raise Refused(f"{image} is empty")
    return image


# ---------------------------------------------------------------------------------- the user


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
    """The same again as root, aloud. Whatever was checked is checked again there; what the user has
    said yes to is the card that was in then, and no later one."""
    node = disk.node
    command = ["sudo", *([] if sys.stdin.isatty() else ["--non-interactive"]), sys.executable,
               str(Path(__file__).resolve()), f"--device={node}", f"--image={image.resolve()}",
               f"--sequence={sequence}", "--yes", *options]
    if not shutil.which("sudo"):
        raise Refused(f"writing {node} takes root, and there is no sudo here. As root: "
                      f"{shlex.join(command[1:])}")
    say(f"writing {node} takes root: {shlex.join(command)}")
    os.execvp("sudo", command)


# ------------------------------------------------------------------------------------ writing


class Progress:
    """On a terminal one line that changes, else one for each tenth."""

    def __init__(self, what: str, total: int) -> None:
        self.what, self.total, self.shown = what, total, -1

    def at(self, done: int) -> None:
        percent = 100 * done // self.total
        terminal = sys.stderr.isatty()
        if percent == self.shown or not (terminal or percent // 10 > self.shown // 10):
            return
        self.shown = percent
        text = f"flash: {self.what} {percent:3} %"
        end = "\n" if percent == 100 or not terminal else ""
        print(f"\r{text}" if terminal else text, file=sys.stderr, end=end, flush=True)


@contextlib.contextmanager
def opened(disk: Disk, sequence: str) -> Iterator[int]:
    """The device for this process alone: the kernel refuses as long as somebody else has it, and
    nobody can mount it meanwhile. Past the page cache, if the device can."""
    flags = os.O_RDWR | os.O_EXCL | os.O_CLOEXEC
    try:
        try:
            descriptor = os.open(disk.node, flags | os.O_DIRECT)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            descriptor = os.open(disk.node, flags)
    except OSError as error:
        busy = " (something else has it open for itself)" if error.errno == errno.EBUSY else ""
        raise Refused(f"{disk.node}: {error.strerror}{busy}") from None
    try:
        found = os.fstat(descriptor)
        number = f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}"
        # What comes later under this name is not what is open now.
        if number != disk.read("dev") or disk.sequence != sequence:
            raise Refused(f"{disk.node} has become another device meanwhile")
        yield descriptor
    finally:
        os.close(descriptor)


def flash(disk: Disk, sequence: str, image: Path) -> None:
    with image.open("rb") as source, opened(disk, sequence) as target:
        block = struct.unpack("i", fcntl.ioctl(target, BLKSSZGET, struct.pack("i", 0)))[0]
        length = os.fstat(source.fileno()).st_size
        offsets = list(range(0, length, CHUNK))
        # Aligned to a page, as direct access wants it. What is missing of a last block is zeros.
        buffer, back = mmap.mmap(-1, CHUNK), mmap.mmap(-1, CHUNK)

        def load(offset: int) -> int:
            source.seek(offset)
            count = min(CHUNK, length - offset)
            if source.readinto(memoryview(buffer)[:count]) != count:
                raise Refused(f"{image} has become shorter meanwhile")
            padded = -(-count // block) * block
            buffer[count:padded] = bytes(padded - count)
            return padded

        # The partition table goes first, and comes last: a card that was left half-written is no
        # card that boots, and none that holds an old file system's beginning.
        first = load(0)
        buffer[:first] = bytes(first)
        put(target, buffer, first, 0)
        progress = Progress("writing", length)
        for offset in [*offsets[1:], 0]:
            put(target, buffer, load(offset), offset)
            progress.at(offset or length)
        os.fsync(target)

        # What is read now comes from the card. The first is sure to do it, and root's alone; the
        # second counts where the device knows no direct access.
        with contextlib.suppress(PermissionError):
            fcntl.ioctl(target, BLKFLSBUF)
        os.posix_fadvise(target, 0, 0, os.POSIX_FADV_DONTNEED)
        progress = Progress("reading back", length)
        for offset in offsets:
            count = load(offset)
            get(target, back, count, offset)
            if buffer[:count] != back[:count]:
                where = next(at for at in range(count) if buffer[at] != back[at])
                raise Refused(f"{disk.node} does not hold what was written, from byte "
                              f"{offset + where} on: the card is worn out, or counterfeit")
            progress.at(min(offset + CHUNK, length))
        with contextlib.suppress(OSError):  # it has the partitions of the old card otherwise
            fcntl.ioctl(target, BLKRRPART)


def put(target: int, buffer: mmap.mmap, count: int, offset: int) -> None:
    done = 0
    with memoryview(buffer) as view:
        while done < count:
            done += os.pwrite(target, view[done:count], offset + done)


def get(target: int, buffer: mmap.mmap, count: int, offset: int) -> None:
    done = 0
    with memoryview(buffer) as view:
        while done < count:
            if not (more := os.preadv(target, [view[done:count]], offset + done)):
                raise Refused(f"the device ends at byte {offset + done}: a counterfeit card?")
            done += more


# ------------------------------------------------------------------------------------- the run


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
    p.add_argument("--force-loop", action="store_true", help="a loop device will do")
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
    if not os.access(disk.node, os.R_OK | os.W_OK) and os.geteuid() != 0:
        with_sudo(disk, sequence, image, ["--force-loop"] if args.force_loop else [])
    try:
        flash(disk, sequence, image)
    except (Signalled, OSError) as ended:
        if getattr(ended, "filename", None) is None:  # it is the image that cannot be opened
            say(f"{disk.node} was not all written and read back, and is not to be used")
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
