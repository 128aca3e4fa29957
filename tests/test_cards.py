# SPDX-License-Identifier: GPL-2.0-only
"""What flash.py refuses to write to, on machines that are made up in a folder."""

from __future__ import annotations

import argparse
import errno
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

import flash
from card import checks
from card.devices import Disk, Host, Refused
from conftest import Make

pytestmark = pytest.mark.unit

USB = "pci0000:00/0000:00:14.0/usb1/1-2/1-2:1.0/host4/target4:0:0/4:0:0:0"
SATA = "pci0000:00/0000:00:17.0/ata1/host0/target0:0:0/0:0:0:0"
SLOT = "platform/fe340000.mmc/mmc_host/mmc0/mmc0:aaaa"
VIRTUAL = "virtual"
GIB = 1 << 30
CONTENT = "precious"


class Machine:
    """sysfs, procfs and /dev as they look with these block devices, and flash.py's view of them. A
    device is a file with the content CONTENT."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.numbers: dict[str, str] = {}
        self.write("proc/self/mountinfo", "21 1 0:20 / /proc rw - proc proc rw\n")
        self.write("proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n")
        self.host = Host(root, self.stat)

    def stat(self, file: str | int) -> SimpleNamespace:
        path = file
        if isinstance(file, int):
            path = f"/{Path(f'/proc/self/fd/{file}').readlink().relative_to(self.root)}"
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
        self.write(f"dev/{name}", CONTENT)
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


def find(machine: Machine, node: str = "/dev/sdb", force_loop: bool = False) -> Disk:
    return checks.find(machine.host, node, force_loop)


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
    with pytest.raises(Refused) as refused:
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
    with pytest.raises(Refused) as refused:
        find(machine, node)
    assert complaint in str(refused.value)


@pytest.mark.parametrize(
    ("node", "what"),
    [("/dev/null", "a character device"), (__file__, "a file"), ("/dev", "a directory")])
def test_no_block_device_is_refused(machine: Machine, node: str, what: str) -> None:
    with pytest.raises(Refused, match=f"^{node} is {what}, not a block device$"):
        checks.find(Host(machine.root), node, False)


def arguments(*words: str) -> argparse.Namespace:
    return flash.parser().parse_args(words)


def test_small_card_is_refused(machine: Machine, tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(bytes(1024))
    (folder(machine, "sdb") / "size").write_text("1\n")
    with pytest.raises(Refused, match="too small: 512 bytes, and the image has 1024$"):
        flash.work(arguments("--device=/dev/sdb", f"--image={image}"), machine.host)


def test_without_a_terminal_there_is_no_asking(
    machine: Machine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What would be overwritten is shown all the same."""
    image = tmp_path / "image"
    image.write_bytes(bytes(1024))
    machine.write("run/udev/data/b8:17", "E:ID_FS_LABEL=boot\nE:ID_FS_TYPE=vfat\n")
    with pytest.raises(Refused, match="no terminal to ask on, and not YES=1"):
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
    (machine.root / "dev/sdb").unlink()  # root may write to any file that is there
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Refused, match="needs root, and sudo is not installed. As root, run: /"):
        flash.work(asked, machine.host)

    def execute(program: str, command: list[str]) -> None:
        raise SystemExit([program, *command])

    (tmp_path / "sudo").write_text("#!/bin/sh\n")
    (tmp_path / "sudo").chmod(0o755)
    monkeypatch.setattr(os, "execvp", execute)  # the test goes on
    with pytest.raises(SystemExit) as executed:
        flash.work(asked, machine.host)
    command = executed.value.code
    assert command[:2] == ["sudo", "sudo"] and "--device=/dev/sdb" in command
    assert f"--image={image}" in command and "--yes" in command and "--sequence=7" in command
    assert f"needs root: sudo --non-interactive {sys.executable}" in capsys.readouterr().err


@pytest.mark.parametrize("when", ["before root has it", "while the user is asked"])
def test_another_card_in_the_same_reader_is_refused(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str,
) -> None:
    image = tmp_path / "image"
    image.write_bytes(bytes(1024))
    asked = arguments("--device=/dev/sdb", f"--image={image}", "--sequence=7", "--yes")
    change = (folder(machine, "sdb") / "diskseq").write_text
    if when == "before root has it":
        change("8\n")
    else:
        monkeypatch.setattr(flash, "show", lambda *_: change("8\n"))
    with pytest.raises(Refused, match="has become another device meanwhile"):
        flash.work(asked, machine.host)
    assert (machine.root / "dev/sdb").read_text() == CONTENT


def test_board_without_a_card(make: Make) -> None:
    done = make("flash", "BOARD=qemu-virt-arm64", "DEV=/dev/null")
    assert done.returncode != 0
    assert "a machine of QEMU's own, and boots from no SD card" in done.stdout


def test_board_without_an_image(tmp_path: Path) -> None:
    (tmp_path / "board/pi").mkdir(parents=True)
    (tmp_path / "board/pi/board.env").write_text("MACHINE=raspi4b\n")
    with pytest.raises(Refused, match="no image .*img: `make image BOARD=pi` makes it$"):
        checks.find_image("pi", "", tmp_path)
    with pytest.raises(Refused, match="there is no image /no/such$"):
        checks.find_image("pi", "/no/such")
    (tmp_path / "empty").touch()
    with pytest.raises(Refused, match="empty is empty"):
        checks.find_image("pi", str(tmp_path / "empty"))
