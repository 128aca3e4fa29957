# SPDX-License-Identifier: GPL-2.0-only
"""Writing an image to a card, and reading it back."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

from card.devices import Disk, Refused

# As much as is written and compared at a time. A partition table is in the first of these.
CHUNK = 4 << 20

# linux/fs.h
BLKSSZGET = 0x1268
BLKFLSBUF = 0x1261
BLKRRPART = 0x125F


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
            descriptor = os.open(disk.path, flags | os.O_DIRECT)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            descriptor = os.open(disk.path, flags)
    except OSError as error:
        busy = " (something else has it open for itself)" if error.errno == errno.EBUSY else ""
        raise Refused(f"{disk.node}: {error.strerror}{busy}") from None
    try:
        # What comes later under this name is not what is open now.
        if disk.host.number(descriptor) != disk.read("dev") or disk.sequence != sequence:
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
