# SPDX-License-Identifier: GPL-2.0-only
"""What flash.py writes, and what it refuses to write to, on loop devices."""

from __future__ import annotations

import contextlib
import os
import pty
import random
import re
import shutil
import stat
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import Make
from guests import PATIENCE
from places import COMMON, PYTHON
from project import PROJECT

pytestmark = pytest.mark.unit

FLASH = COMMON / "flash.py"
MIB = 1 << 20
# More than one step of writing, and not a whole number of them.
IMAGE = random.Random(5).randbytes(9 * MIB + 512)


def need(program: str) -> None:
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")


def call(*command: str | Path, lacking: str = "") -> str:
    """What a command says. The test is skipped if the command is not installed, or if it fails and
    says `lacking`, a regular expression: what this machine does not have. Any other failure is one
    of the test."""
    need(str(command[0]))
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    said = f"{' '.join(map(str, command))}: {done.stderr.strip()}"
    if done.returncode and lacking and re.search(lacking, done.stderr):
        pytest.skip(said)
    assert done.returncode == 0, said
    return done.stdout.strip()


def test_a_failed_command_is_no_reason_to_skip() -> None:
    with pytest.raises(AssertionError, match="no such thing"):
        call("ls", "/no such thing", lacking="Operation not permitted")
    with pytest.raises(pytest.skip.Exception, match="No such file"):
        call("ls", "/no such thing", lacking="No such file or directory")
    with pytest.raises(pytest.skip.Exception, match="no-such-program is not installed"):
        call("no-such-program")


# Containers have no loop devices, or may not use them.
NO_LOOP = "cannot find an unused loop device|Operation not permitted|Permission denied"
NO_MOUNT = "permission denied|Operation not permitted"
# A kernel without the device mapper, or a container.
NO_MAPPER = "Failure to communicate with kernel device-mapper driver"


class Loop:
    """A loop device over a file whose bytes all are 0xa5."""

    def __init__(self, work: Path, size: int, *options: str) -> None:
        if os.geteuid() != 0:
            pytest.skip("loop devices need root")
        self.file = work / "card"
        self.file.write_bytes(b"\xa5" * size)
        self.image = work / "image"
        self.image.write_bytes(IMAGE)
        self.node = call("losetup", "--find", "--show", *options, self.file, lacking=NO_LOOP)

    def content(self) -> bytes:
        # The card's own: other file systems of a busy machine take their time.
        with open(self.node, "rb") as device:
            os.fsync(device.fileno())
        return self.file.read_bytes()

    def untouched(self) -> bool:
        return set(self.content()) == {0xA5}

    def command(self, *options: str) -> list[str]:
        return [*PYTHON, str(FLASH), *self.arguments(*options)]

    def arguments(self, *options: str) -> list[str]:
        return [f"--device={self.node}", f"--image={self.image}", *options]

    def flash(self, *options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command("--force-loop", *options), text=True, timeout=PATIENCE,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def refuses(self, complaint: str, *options: str) -> None:
        done = self.flash("--yes", *options)
        assert done.returncode == 1 and complaint in done.stdout, done.stdout


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Callable[..., Loop]]:
    made = []

    def make_one(size: int = 16 * MIB, *options: str) -> Loop:
        made.append(Loop(tmp_path, size, *options))
        return made[-1]

    yield make_one
    for each in made:
        subprocess.run(["losetup", "--detach", each.node], check=True)


def test_card_is_written(loop: Callable[..., Loop], make: Make) -> None:
    card = loop()
    done = make("flash", f"DEV={card.node}", f"IMAGE_FILE={card.image}", "YES=1", "FORCE_LOOP=1")
    assert done.returncode == 0, done.stdout
    assert f"flash: {card.node}: loop device of {card.file}, 16.8 MB" in done.stdout
    assert "writing 100 %" in done.stdout and "reading back 100 %" in done.stdout
    assert f"{card.node} holds {card.image}" in done.stdout
    content = card.content()
    assert content[: len(IMAGE)] == IMAGE
    assert set(content[len(IMAGE) :]) == {0xA5}, "more was written than the image has"


def test_card_with_large_blocks(loop: Callable[..., Loop]) -> None:
    """The image's last block is padded with zeros."""
    card = loop(16 * MIB, "--sector-size=4096")
    assert card.flash("--yes").returncode == 0
    content = card.content()
    assert content[: len(IMAGE) + 4096 - 512] == IMAGE + bytes(4096 - 512)
    assert set(content[len(IMAGE) + 4096 - 512 :]) == {0xA5}


def test_who_may_write_need_not_be_root(loop: Callable[..., Loop]) -> None:
    """The file's mode is enough, as for a group of the device's."""
    need("setpriv")
    card = loop()
    command = ["setpriv", "--bounding-set=-sys_admin", *card.command("--force-loop", "--yes")]
    done = subprocess.run(command, text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    assert card.content().startswith(IMAGE)


def test_loop_device_by_mistake(loop: Callable[..., Loop], make: Make) -> None:
    card = loop()
    done = make("flash", f"DEV={card.node}", f"IMAGE_FILE={card.image}", "YES=1")
    assert done.returncode != 0 and "FORCE_LOOP=1 if that is meant" in done.stdout
    assert card.untouched()


def test_small_card(loop: Callable[..., Loop]) -> None:
    card = loop(9 * MIB)
    card.refuses(f"is too small: {9 * MIB} bytes, and the image has {len(IMAGE)}")
    assert card.untouched()


def test_locked_card(loop: Callable[..., Loop]) -> None:
    card = loop(16 * MIB, "--read-only")
    card.refuses("is read-only")


def test_partition(loop: Callable[..., Loop], tmp_path: Path) -> None:
    """The device is not to be one, and none of it is to be mounted."""
    card = loop()
    entry = struct.pack("<B3sB3sII", 0, bytes(3), 0x83, bytes(3), 2048, 16384)
    with open(card.node, "r+b") as device:
        device.write(bytes(446) + entry + bytes(48) + b"\x55\xaa")
    call("partx", "--add", card.node)
    part = f"{card.node}p1"
    was_made = make_node(part)
    try:
        call("mkfs.ext4", "-q", part)
        before = card.content()
        card.refuses(f"{part} is a partition: the image has a partition table of its own; the whole "
                     f"disk is {card.node}", f"--device={part}")
        with mounted(part, tmp_path / "mount point"):
            card.refuses(f"{part} is mounted on {tmp_path}/mount point")
        # The superblock alone has another time in it.
        assert card.content()[: 1 * MIB] == before[: 1 * MIB]
    finally:
        subprocess.run(["partx", "--delete", card.node], check=True)
        if was_made:
            Path(part).unlink()


def make_node(part: str) -> bool:
    """Makes a partition's node where nothing does: /dev may be a plain directory (a chroot, a container).
    Returns whether it did."""
    if Path(part).exists():
        return False
    major, minor = Path(f"/sys/class/block/{Path(part).name}/dev").read_text().split(":")
    with contextlib.suppress(FileExistsError):  # udev was faster
        os.mknod(part, stat.S_IFBLK | 0o600, os.makedev(int(major), int(minor)))
        return True
    return False


@contextlib.contextmanager
def mounted(node: str, point: Path) -> Iterator[None]:
    point.mkdir()
    call("mount", node, point, lacking=NO_MOUNT)
    try:
        yield
    finally:
        subprocess.run(["umount", point], check=True)


def test_mounted_card(loop: Callable[..., Loop], tmp_path: Path) -> None:
    card = loop()
    call("mkfs.ext4", "-q", card.node)
    with mounted(card.node, tmp_path / "mnt"):
        card.refuses(f"{card.node} is mounted on {tmp_path}/mnt")


def test_card_that_is_held(loop: Callable[..., Loop]) -> None:
    """By a way that leaves no trace in sysfs: opening it tells."""
    card = loop()
    holder = os.open(card.node, os.O_RDONLY | os.O_EXCL)
    try:
        card.refuses("Device or resource busy (something else has it open for itself)")
    finally:
        os.close(holder)
    assert card.untouched()


def test_card_below_the_device_mapper(loop: Callable[..., Loop]) -> None:
    card = loop()
    name = f"{PROJECT}-test-{os.getpid()}"
    call("dmsetup", "create", name, "--table", f"0 2048 linear {card.node} 0", lacking=NO_MAPPER)
    try:
        card.refuses(f"(device mapper: {name})")
    finally:
        call("dmsetup", "remove", name)
    assert card.untouched()


@pytest.mark.parametrize("typed", ["name", "other"])
def test_question(loop: Callable[..., Loop], typed: str) -> None:
    card = loop()
    name = card.node.removeprefix("/dev/")
    ours, terminal = pty.openpty()
    with subprocess.Popen(
        card.command("--force-loop"), stdin=terminal, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    ) as process:
        os.write(ours, f"{name if typed == 'name' else 'yes'}\n".encode())
        said, _ = process.communicate(timeout=PATIENCE)
    os.close(ours)
    os.close(terminal)
    assert f"type '{name}' to overwrite all of it" in said
    if typed == "name":
        assert process.returncode == 0 and card.content().startswith(IMAGE), said
    else:
        assert process.returncode == 1 and "nothing was written" in said, said
        assert card.untouched()


# flash.py with another put(), which has the original one, and counts.
WITH_PUT = """
import os, signal, sys
sys.path.insert(0, {folder!r})
import flash
from card import writing
whole, calls = writing.put, []
def put(target, buffer, count, offset):
    calls.append(offset)
    {body}
writing.put = put
sys.exit(flash.main())
"""


def with_put(card: Loop, body: str) -> subprocess.CompletedProcess[str]:
    script = WITH_PUT.format(folder=str(FLASH.parent), body=body)
    command = [*PYTHON, "-c", script, *card.arguments("--force-loop", "--yes")]
    return subprocess.run(command, text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def test_card_that_lies(loop: Callable[..., Loop]) -> None:
    """It takes everything, and keeps all of it except one byte."""
    card = loop()
    at = 4 * MIB + 1234
    done = with_put(card, f"whole(target, buffer, count, offset); "
                          f"offset == {4 * MIB} and os.pwrite("
                          f"os.open({str(card.file)!r}, os.O_WRONLY), b'?', {at})")
    assert done.returncode == 1, done.stdout
    assert f"does not hold what was written, from byte {at} on" in done.stdout


def test_interrupted(loop: Callable[..., Loop]) -> None:
    """Ctrl-C in the middle: the status says so, and nothing on the card looks like a card's
    beginning."""
    card = loop()
    done = with_put(card, "whole(target, buffer, count, offset); "
                          "len(calls) == 2 and os.kill(os.getpid(), signal.SIGINT)")
    assert done.returncode == 130, done.stdout
    assert "SIGINT" in done.stdout and "do not use it" in done.stdout
    assert card.content().startswith(bytes(4 * MIB) + IMAGE[4 * MIB : 8 * MIB])


def test_card_that_is_pulled_out(loop: Callable[..., Loop]) -> None:
    done = with_put(loop(), "len(calls) == 2 and os.pwrite(-1, b'', 0)")
    assert done.returncode == 1, done.stdout
    assert "error: device: Bad file descriptor" in done.stdout
    assert "do not use it" in done.stdout
