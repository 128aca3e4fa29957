# SPDX-License-Identifier: GPL-2.0-only
"""board/common/flash.py: what it refuses, on machines made up in a folder and on loop devices; what
it writes, on loop devices."""

from __future__ import annotations

import contextlib
import errno
import os
import pty
import random
import shutil
import stat
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from conftest import Make
from guests import PATIENCE
from places import TOP, program

pytestmark = pytest.mark.unit

FLASH = TOP / "board/common/flash.py"
MIB = 1 << 20
# More than one step of writing, and not a whole number of them.
IMAGE = random.Random(5).randbytes(9 * MIB + 512)

flash = program(FLASH)


# --------------------------------------------------------------------- machines that are made up

USB = "pci0000:00/0000:00:14.0/usb1/1-2/1-2:1.0/host4/target4:0:0/4:0:0:0"
SATA = "pci0000:00/0000:00:17.0/ata1/host0/target0:0:0/0:0:0:0"
SLOT = "platform/fe340000.mmc/mmc_host/mmc0/mmc0:aaaa"
VIRTUAL = "virtual"
GIB = 1 << 30


class Machine:
    """sysfs and procfs as they look with these block devices, and flash.py's view of them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.numbers: dict[str, str] = {}
        self.write("proc/self/mountinfo", "21 1 0:20 / /proc rw - proc proc rw\n")
        self.write("proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n")
        self.host = flash.Host(root, self.stat)

    def stat(self, path: str) -> SimpleNamespace:
        if path not in self.numbers:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        number = os.makedev(*map(int, self.numbers[path].split(":")))
        return SimpleNamespace(st_mode=stat.S_IFBLK | 0o660, st_rdev=number)

    def write(self, name: str, content: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)

    def link(self, name: str, to: Path) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(to)

    def disk(self, name: str, number: str, bus: str, size: int = 32 * GIB, **files: str) -> Path:
        folder = f"sys/devices/{bus}/block/{name}"
        known = {"dev": number, "size": str(size // 512), "removable": "0", "ro": "0",
                 "diskseq": "7"}
        for file, content in {**known, **files}.items():
            self.write(f"{folder}/{file.replace('__', '/')}", f"{content}\n")
        self.link(f"sys/block/{name}", self.root / folder)
        self.known(name, number, self.root / folder)
        return self.root / folder

    def partition(self, disk: Path, name: str, number: str) -> Path:
        folder = disk / name
        for file, content in {"dev": number, "size": "1000", "partition": "1"}.items():
            self.write(str(folder / file), f"{content}\n")
        self.known(name, number, folder)
        return folder

    def known(self, name: str, number: str, folder: Path) -> None:
        self.link(f"sys/dev/block/{number}", folder)
        self.numbers[f"/dev/{name}"] = number

    def holds(self, holder: Path, below: Path) -> None:
        self.link(str(below / "holders" / holder.name), holder)

    def mount(self, number: str, point: str, source: str) -> None:
        with (self.root / "proc/self/mountinfo").open("a") as file:
            file.write(f"30 1 {number} / {point} rw,relatime shared:1 - ext4 {source} rw\n")

    def swap(self, source: str) -> None:
        with (self.root / "proc/swaps").open("a") as file:
            file.write(f"{source} partition 1 0 -2\n")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A disk on SATA with the system, a reader on USB with a card of two partitions."""
    machine = Machine(tmp_path)
    system = machine.disk("sda", "8:0", SATA, 500 * GIB, device__model="Disk")
    machine.partition(system, "sda1", "8:1")
    machine.mount("8:1", "/", "/dev/sda1")
    card = machine.disk("sdb", "8:16", USB, removable="1", device__vendor="Generic ",
                        device__model="SD Reader")
    machine.partition(card, "sdb1", "8:17")
    machine.partition(card, "sdb2", "8:18")
    return machine


def folder(machine: Machine, name: str) -> Path:
    return (machine.root / "sys/dev/block" / machine.numbers[f"/dev/{name}"]).resolve()


def find(machine: Machine, node: str = "/dev/sdb", force_loop: bool = False):
    return flash.find(machine.host, node, force_loop)


def test_card_in_a_reader_is_accepted(machine: Machine) -> None:
    disk = find(machine)
    assert (disk.node, disk.title, disk.size) == ("/dev/sdb", "Generic SD Reader", 32 * GIB)
    assert [part.node for part in disk.partitions()] == ["/dev/sdb1", "/dev/sdb2"]


def test_link_to_a_card_is_accepted(machine: Machine) -> None:
    machine.numbers["/dev/disk/by-id/usb-Generic"] = "8:16"
    assert find(machine, "/dev/disk/by-id/usb-Generic").node == "/dev/sdb"


def test_card_in_a_slot_is_accepted(machine: Machine) -> None:
    machine.disk("mmcblk0", "179:0", SLOT, device__type="SD", device__name="SC32G")
    assert find(machine, "/dev/mmcblk0").title == "SC32G"


def luks_in_lvm(machine: Machine) -> None:
    """A file system two floors above the partition."""
    volume = machine.disk("dm-0", "253:0", VIRTUAL, dm__name="vg-root")
    crypt = machine.disk("dm-1", "253:1", VIRTUAL, dm__name="luks")
    machine.holds(volume, folder(machine, "sdb2"))
    machine.holds(crypt, volume)
    machine.mount("253:1", "/home", "/dev/mapper/luks")


def raid(machine: Machine) -> None:
    machine.holds(machine.disk("md0", "9:0", VIRTUAL), folder(machine, "sdb1"))


def loop_on_it(machine: Machine) -> None:
    machine.disk("loop0", "7:0", VIRTUAL, loop__backing_file="/dev/sdb2")


# What is done to the machine with the card, and what is said of /dev/sdb then.
IN_USE: dict[str, tuple[Callable[[Machine], object], str]] = {
    "mounted": (
        lambda m: m.mount("8:17", r"/media/my\040card", "/dev/sdb1"),
        "/dev/sdb1 is mounted on /media/my card: umount it first"),
    "mounted as a whole": (
        lambda m: m.mount("8:16", "/mnt", "/dev/sdb"), "/dev/sdb is mounted on /mnt"),
    "btrfs": (lambda m: m.mount("0:42", "/mnt", "/dev/sdb2"), "/dev/sdb2 is mounted on /mnt"),
    "system on USB": (
        lambda m: (m.mount("8:18", "/media/x", "/dev/sdb2"), m.mount("8:17", "/boot", "/dev/sdb1")),
        "/dev/sdb is the disk of this system: /dev/sdb1 is /boot"),
    "system in LUKS in LVM": (
        luks_in_lvm, "/dev/sdb is the disk of this system: /dev/dm-1 is /home"),
    "swap": (lambda m: m.swap("/dev/sdb2"), "/dev/sdb2 is swap space in use: swapoff first"),
    "RAID": (raid, "/dev/sdb is in use by /dev/md0"),
    "loop device": (loop_on_it, "/dev/sdb is in use by /dev/loop0 (loop device of /dev/sdb2)"),
    "locked": (
        lambda m: (folder(m, "sdb") / "ro").write_text("1\n"),
        "/dev/sdb (Generic SD Reader) is read-only"),
    "reader without a card": (
        lambda m: (folder(m, "sdb") / "size").write_text("0\n"),
        "/dev/sdb (Generic SD Reader) is empty: there is no card in it"),
}


@pytest.mark.parametrize(("happens", "complaint"), IN_USE.values(), ids=IN_USE.keys())
def test_card_is_refused(
    machine: Machine, happens: Callable[[Machine], object], complaint: str
) -> None:
    happens(machine)
    with pytest.raises(flash.Refused) as refused:
        find(machine)
    assert complaint in str(refused.value)


OTHERS: dict[str, tuple[str, Callable[[Machine], object], str]] = {
    "nothing": ("", lambda m: None, "no device given: DEV=/dev/…; there is /dev/sdb (Generic SD "
                                    "Reader, 34.4 GB)"),
    "not there": ("/dev/sdz", lambda m: None, "/dev/sdz: No such file or directory; there is /dev"),
    "partition": ("/dev/sdb2", lambda m: None, "the whole disk is /dev/sdb"),
    "the system's disk": ("/dev/sda", lambda m: None, "the disk of this system: /dev/sda1 is /"),
    "disk on SATA": (
        "/dev/sdc",
        lambda m: m.disk("sdc", "8:32", SATA.replace("ata1", "ata2"), device__model="X"),
        "/dev/sdc (X) is not removable, and no SD card in a slot"),
    "disk on USB": (
        "/dev/sdc",
        lambda m: m.disk("sdc", "8:32", USB.replace("usb1", "usb2"), device__model="X"),
        "/dev/sdc (X) is not removable"),
    "eMMC": (
        "/dev/mmcblk1",
        lambda m: m.disk("mmcblk1", "179:8", SLOT.replace("mmc0", "mmc1"), device__type="MMC"),
        "/dev/mmcblk1 (no model known) is not removable"),
    # Without a disc it has a size all the same.
    "optical drive": (
        "/dev/sr0", lambda m: m.disk("sr0", "11:0", SATA, GIB, removable="1", device__model="DVD"),
        "/dev/sr0 (DVD) is an optical drive, not a card"),
    "no card but an optical drive": (
        "", lambda m: (m.disk("sr0", "11:0", SATA, GIB, removable="1"),
                       (folder(m, "sdb") / "size").write_text("0\n")),
        "there is no card in this computer"),
    "device mapper": (
        "/dev/dm-0", lambda m: m.disk("dm-0", "253:0", VIRTUAL, dm__name="vg-root"),
        "/dev/dm-0 (device mapper: vg-root) is not removable"),
    "loop device": (
        "/dev/loop0", lambda m: m.disk("loop0", "7:0", VIRTUAL, loop__backing_file="/a"),
        "/dev/loop0 is a loop device, not a card: FORCE_LOOP=1"),
    "no sysfs": (
        "/dev/sdq", lambda m: m.numbers.update({"/dev/sdq": "65:0"}),
        "the kernel knows no block device 65:0"),
}


@pytest.mark.parametrize(("node", "happens", "complaint"), OTHERS.values(), ids=OTHERS.keys())
def test_other_device_is_refused(
    machine: Machine, node: str, happens: Callable[[Machine], object], complaint: str
) -> None:
    happens(machine)
    with pytest.raises(flash.Refused) as refused:
        find(machine, node)
    assert complaint in str(refused.value)


@pytest.mark.parametrize(
    ("node", "what"),
    [("/dev/null", "a character device"), (str(FLASH), "a file"), ("/dev", "a directory")])
def test_no_block_device_is_refused(machine: Machine, node: str, what: str) -> None:
    with pytest.raises(flash.Refused, match=f"^{node} is {what}, not a block device$"):
        flash.find(flash.Host(machine.root), node, False)


def arguments(*words: str):
    return flash.parser().parse_args(words)


def test_small_card_is_refused(machine: Machine, tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(bytes(1024))
    (folder(machine, "sdb") / "size").write_text("1\n")
    with pytest.raises(flash.Refused, match="too small: 512 bytes, and the image has 1024$"):
        flash.work(arguments("--device=/dev/sdb", f"--image={image}"), machine.host)


def test_without_a_terminal_there_is_no_asking(
    machine: Machine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What would be overwritten is shown all the same."""
    image = tmp_path / "image"
    image.write_bytes(bytes(1024))
    machine.write("run/udev/data/b8:17", "E:ID_FS_LABEL=boot\nE:ID_FS_TYPE=vfat\n")
    with pytest.raises(flash.Refused, match="no terminal to ask on, and not YES=1"):
        flash.work(arguments("--device=/dev/sdb", f"--image={image}"), machine.host)
    assert capsys.readouterr().err.splitlines() == [
        "flash: /dev/sdb: Generic SD Reader, 34.4 GB",
        "flash:     /dev/sdb1: 512.0 kB vfat boot",
        "flash:     /dev/sdb2: 512.0 kB",
        f"flash: to be overwritten by {image}, 1.0 kB",
    ]


def test_root_is_asked_for_aloud(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    image = tmp_path / "an image"
    image.write_bytes(bytes(1024))
    asked = arguments("--device=/dev/sdb", f"--image={image}", "--yes")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(flash.Refused, match="takes root, and there is no sudo here"):
        flash.work(asked, machine.host)

    def execute(program: str, command: list[str]) -> None:
        raise SystemExit([program, *command])

    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/sudo")
    monkeypatch.setattr(os, "execvp", execute)
    with pytest.raises(SystemExit) as executed:
        flash.work(asked, machine.host)
    command = executed.value.code
    assert command[:2] == ["sudo", "sudo"] and "--device=/dev/sdb" in command
    assert f"--image={image}" in command and "--yes" in command and "--sequence=7" in command
    assert f"takes root: sudo --non-interactive {sys.executable}" in capsys.readouterr().err


@pytest.mark.parametrize("when", ["before root has it", "while the user is asked"])
def test_another_card_in_the_same_reader_is_refused(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str,
) -> None:
    image, card = tmp_path / "image", tmp_path / "card"
    image.write_bytes(bytes(1024))
    card.write_bytes(b"precious")
    asked = arguments("--device=/dev/sdb", f"--image={image}", "--sequence=7", "--yes")
    change = (folder(machine, "sdb") / "diskseq").write_text
    if when == "before root has it":
        change("8\n")
    else:
        monkeypatch.setattr(flash, "show", lambda *_: change("8\n"))
    descriptor, real = os.open(card, os.O_RDWR), os.fstat
    block = SimpleNamespace(st_rdev=os.makedev(8, 16))
    with monkeypatch.context() as patched, pytest.raises(
        flash.Refused, match="has become another device meanwhile"
    ):
        patched.setattr(os, "access", lambda *_: True)
        patched.setattr(os, "open", lambda *_: descriptor)
        patched.setattr(os, "fstat", lambda each: block if each == descriptor else real(each))
        flash.work(asked, machine.host)
    assert card.read_bytes() == b"precious"


def test_board_without_a_card(make: Make) -> None:
    done = make("flash", "BOARD=qemu-virt-arm64", "DEV=/dev/null")
    assert done.returncode != 0
    assert "a machine of QEMU's own, and boots from no SD card" in done.stdout


def test_board_without_an_image(tmp_path: Path) -> None:
    (tmp_path / "board/pi").mkdir(parents=True)
    (tmp_path / "board/pi/board.env").write_text("MACHINE=raspi4b\n")
    with pytest.raises(flash.Refused, match="no image .*img: `make image BOARD=pi` makes it$"):
        flash.find_image("pi", "", tmp_path)
    with pytest.raises(flash.Refused, match="there is no image /no/such$"):
        flash.find_image("pi", "/no/such")
    (tmp_path / "empty").touch()
    with pytest.raises(flash.Refused, match="empty is empty"):
        flash.find_image("pi", str(tmp_path / "empty"))


# ---------------------------------------------------------------------------------- loop devices


def need(program: str) -> None:
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")


def call(*command: str | Path) -> str:
    need(str(command[0]))
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"{' '.join(map(str, command))}: {done.stderr.strip()}")
    return done.stdout.strip()


class Loop:
    """A loop device over a file whose bytes all are 0xa5."""

    def __init__(self, work: Path, size: int, *options: str) -> None:
        if os.geteuid() != 0:
            pytest.skip("loop devices take root")
        self.file = work / "card"
        self.file.write_bytes(b"\xa5" * size)
        self.image = work / "image"
        self.image.write_bytes(IMAGE)
        self.node = call("losetup", "--find", "--show", *options, self.file)

    def content(self) -> bytes:
        # The card's own: other file systems of a busy machine take their time.
        with open(self.node, "rb") as device:
            os.fsync(device.fileno())
        return self.file.read_bytes()

    def untouched(self) -> bool:
        return set(self.content()) == {0xA5}

    def command(self, *options: str) -> list[str]:
        return [sys.executable, str(FLASH), f"--device={self.node}", f"--image={self.image}",
                *options]

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
    """The image's last block is filled up with zeros."""
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
    try:
        part = f"{card.node}p1"
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


@contextlib.contextmanager
def mounted(node: str, point: Path) -> Iterator[None]:
    point.mkdir()
    call("mount", node, point)
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
    name = f"faultline-test-{os.getpid()}"
    call("dmsetup", "create", name, "--table", f"0 2048 linear {card.node} 0")
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
whole, calls = flash.put, []
def put(target, buffer, count, offset):
    calls.append(offset)
    {body}
flash.put = put
sys.exit(flash.main())
"""


def with_put(card: Loop, body: str) -> subprocess.CompletedProcess[str]:
    script = WITH_PUT.format(folder=str(FLASH.parent), body=body)
    command = [sys.executable, "-B", "-c", script, *card.command("--force-loop", "--yes")[2:]]
    return subprocess.run(command, text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def test_card_that_lies(loop: Callable[..., Loop]) -> None:
    """It takes everything, and keeps it but for one byte."""
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
    assert "SIGINT" in done.stdout and "not to be used" in done.stdout
    assert card.content().startswith(bytes(4 * MIB) + IMAGE[4 * MIB : 8 * MIB])


def test_card_that_is_pulled_out(loop: Callable[..., Loop]) -> None:
    done = with_put(loop(), "len(calls) == 2 and os.pwrite(-1, b'', 0)")
    assert done.returncode == 1, done.stdout
    assert "error: device: Bad file descriptor" in done.stdout
    assert "not to be used" in done.stdout
