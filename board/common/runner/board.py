# SPDX-License-Identifier: GPL-2.0-only
"""What is particular to a board's emulated machine: `board/NAME/board.env`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from project import TOP, environment
from runner.outcome import SetupError
from runner.values import memory, one_of, positive, slot

BOARDS = TOP / "board"


@dataclass(frozen=True)
class Board:
    qemu: str
    machine: str
    cpu: str | None
    smp: int
    mem: str
    devices: Sequence[str]
    has_nonce_item: bool
    console: str
    serial: int
    dtb: str | None
    dtso: Path | None
    qemu_dtso: Path | None
    append: str
    power_off_is_late: bool
    layout: str
    root: str
    card_slot: int | None
    starter: str | None
    timeout: int

    @classmethod
    def load(cls, name: str) -> Board:
        path = BOARDS / name / "board.env"
        if not path.is_file():
            known = ", ".join(sorted(p.parent.name for p in BOARDS.glob("*/board.env")))
            raise SetupError(f"no board '{name}': there is {known or 'none'}")
        env = environment(path)
        try:
            return cls(
                qemu=env["QEMU"],
                machine=env["MACHINE"],
                cpu=env.get("CPU"),
                smp=positive(env["SMP"]),
                mem=memory(env["MEM"]),
                devices=env.get("DEVICES", "").split(),
                has_nonce_item=env.get("NONCE") == "fw_cfg",
                console=env["CONSOLE"],
                serial=int(env.get("SERIAL", "0")),
                dtb=env.get("DTB"),
                dtso=TOP / env["DTSO"] if env.get("DTSO") else None,
                qemu_dtso=TOP / env["QEMU_DTSO"] if env.get("QEMU_DTSO") else None,
                append=env.get("APPEND", ""),
                power_off_is_late=env.get("POWER_OFF") == "late",
                layout=env.get("LAYOUT", ""),
                root=env.get("ROOT", ""),
                card_slot=slot(env.get("CARD_SLOT")),
                starter=one_of(env.get("STARTER"), "zynq"),
                timeout=positive(env["TIMEOUT"]),
            )
        except KeyError as missing:
            raise SetupError(f"{path}: no value for {missing.args[0]}") from None
        except argparse.ArgumentTypeError as error:
            raise SetupError(f"{path}: {error}") from None
