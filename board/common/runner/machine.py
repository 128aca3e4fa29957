# SPDX-License-Identifier: GPL-2.0-only
"""One guest to boot, and QEMU's command line for it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from project import NONCE_ITEM, NONCE_PARAMETER
from runner import starter
from runner.board import Board

# How a disk is attached: for `LAYOUT` of board.env.
DISKS = {
    "virt": ("-device", "virtio-blk-device,drive=disk", "-drive", "if=none,id=disk"),
    "raspberrypi": ("-drive", "if=sd"),
    "zynq": ("-drive", "if=sd"),
}

# Where --gdb has QEMU wait for a debugger.
GDB_PORT = 1234


@dataclass(frozen=True)
class Guest:
    """The board's machine and what the command line asks of it."""

    board: Board
    kernel: Path
    module: Path | None
    init: Path | None
    disk: Path | None
    initramfs: Path | None
    dtb: Path | None
    runner: Path | None
    overlays: Sequence[Path]
    run: Sequence[str]
    dtso: Path | None
    validate: Path | None  # dt-validate, if the tree is to be checked
    append: str
    qemu_args: Sequence[str]
    timeout: int | None
    interactive: bool
    gdb: bool
    takes_input: bool  # standard input is no terminal, but the program of --run reads it
    # The guest gets the nonce in two independent ways, if the machine has the second: on the command
    # line, which is in the device tree, and from a device that writes it to memory (fw_cfg; the
    # firmware of a Raspberry Pi, which knows the command line). If the two agree, the device wrote it.
    nonce: str = field(default_factory=lambda: secrets.token_hex(16))

    def machine(self, **properties: str) -> list[str]:
        """QEMU with every option that shapes the machine, and with it the device tree.

        The tree is dumped and the guest is booted with these very options; they cannot differ.
        """
        given = "".join(f",{key}={value.replace(',', ',,')}" for key, value in properties.items())
        board = self.board
        item = ("-fw_cfg", f"name={NONCE_ITEM},string={self.nonce}")
        return [
            board.qemu,
            *("-machine", board.machine + given),
            *(("-cpu", board.cpu) if board.cpu else ()),
            *("-smp", str(board.smp)),
            *("-m", board.mem),
            *(word for device in board.devices for word in ("-device", device)),
            *(item if board.has_nonce_item else ()),
            *("-nic", "none"),
            *("-display", "none"),
            "-no-reboot",
            *self.qemu_args,
        ]

    @property
    def has_starter(self) -> bool:
        """Whether Linux is started by code of our own."""
        return self.board.starter is not None and self.board.smp > 1

    def loaded(self, initramfs: Path | None, dtb: Path) -> list[str]:
        """The machine with software in it, and no console yet."""
        if self.has_starter:
            return [
                *self.machine(),
                *starter.options(self.board.smp, self.kernel, initramfs, dtb),
                *(() if initramfs else self.disk_options()),
            ]
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
            *(["-gdb", f"tcp:localhost:{GDB_PORT}", "-S"] if self.gdb else []),
        ]

    def disk_options(self) -> list[str]:
        *options, drive = DISKS[self.board.layout]
        # On a machine with several controllers for cards.
        slot = f",index={self.board.card_slot}" if self.board.card_slot is not None else ""
        return [*options, f"{drive}{slot},format=raw,file={self.disk}"]

    def command_line(self) -> str:
        """The kernel's: a panic resets at once, which ends QEMU by `-no-reboot`."""
        words = [f"console={self.board.console}", "printk.time=1", "panic=-1"]
        words += [f"{NONCE_PARAMETER}={self.nonce}", *self.board.append.split()]
        if self.disk:
            words += [f"root={self.board.root}", "rootwait"]
        if self.gdb:
            words.append("nokaslr")  # or gdb's symbols lie elsewhere than the kernel
        return " ".join([*words, *self.append.split()])
