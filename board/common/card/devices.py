# SPDX-License-Identifier: GPL-2.0-only
"""Block devices, as the kernel describes them in sysfs and procfs."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

# What sysfs counts in, whatever the device does.
SECTOR = 512


class Refused(Exception):
    """The card is not written; the message is one line for the user."""


def size_of(count: int) -> str:
    """A number of bytes as it is printed on a card."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            break
        count, unit = count / 1000, "TB"
    return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"


@dataclass(frozen=True)
class Host:
    """What the kernel says of block devices, in sysfs and procfs below `root`. Devices are opened
    below `root`, too: a test with a root of its own cannot reach a device of the machine."""

    root: Path = Path("/")
    stat: Callable[[str | int], os.stat_result] = os.stat

    def number(self, file: str | int) -> str | None:
        """The number of a block device, given as a path or an open file, as the kernel writes it:
        MAJOR:MINOR. None if it is no block device."""
        try:
            found = self.stat(file)
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

    @property
    def path(self) -> Path:
        return self.host.root / "dev" / self.name

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
