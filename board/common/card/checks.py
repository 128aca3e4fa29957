# SPDX-License-Identifier: GPL-2.0-only
"""What speaks against writing to a device, and which image to write."""

from __future__ import annotations

import re
import stat
from pathlib import Path

from card.devices import Disk, Host, Refused, size_of
from project import TOP

# Where a system is mounted that would not survive.
SYSTEM = ("/", "/usr", "/var", "/home", "/boot", "/boot/efi", "/boot/firmware")

# Drives that say they are removable and hold no card, by the major number (linux/major.h).
NO_READERS = {"2": "a floppy drive", "11": "an optical drive"}


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
