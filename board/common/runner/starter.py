# SPDX-License-Identifier: GPL-2.0-only
"""Linux on a Zynq-7000 with two CPUs, which QEMU's own loader cannot start: it would put code for the
second CPU where its code for the first one is. `STARTER=zynq` in board.env.

A few instructions in on-chip memory do it. The first CPU goes to the kernel as a boot loader would. The
second one waits until the kernel has put the address of its entry at 8 (zynq_cpun_start() in
arch/arm/mach-zynq/platsmp.c), and then begins at 0, as after the reset that the kernel believes to give it.
"""

from __future__ import annotations

import re
from pathlib import Path

from runner.outcome import SetupError

CODE = 0xFFFC_0000
KERNEL, DTB, INITRD = 0x0200_0000, 0x0400_0000, 0x0410_0000

INSTRUCTIONS = [
    0xEE100FB0,  # mrc p15, 0, r0, c0, c0, 5   @ MPIDR: which CPU is this?
    0xE2100003,  # ands r0, r0, #3
    0x1A000003,  # bne second
    0xE3A00000,  # mov r0, #0
    0xE3E01000,  # mvn r1, #0                  @ no number of a machine: there is a device tree
    0xE59F2014,  # ldr r2, dtb
    0xE59FF014,  # ldr pc, kernel
    0xE3A01000,  # second: mov r1, #0
    0xE5912008,  # wait: ldr r2, [r1, #8]
    0xE3520000,  # cmp r2, #0
    0x0AFFFFFC,  # beq wait
    0xE1A0F001,  # mov pc, r1
    DTB,
    KERNEL,
]


def options(cpus: int, kernel: Path, initramfs: Path | None, dtb: Path) -> list[str]:
    """QEMU's: what is where in memory, and where the CPUs begin."""
    words = [f"addr={CODE + 4 * index:#x},data={word:#x},data-len=4" for index, word in enumerate(INSTRUCTIONS)]
    begins = [f"addr={CODE:#x},cpu-num={cpu}" for cpu in range(cpus)]
    files = [(kernel, KERNEL), (dtb, DTB), *([(initramfs, INITRD)] if initramfs else [])]
    loaded = [f"file={str(path).replace(',', ',,')},addr={place:#x},force-raw=on" for path, place in files]
    return [option for what in (*words, *begins, *loaded) for option in ("-device", f"loader,{what}")]


def chosen(amount: str, kernel: Path, initramfs: Path | None, command_line: str) -> str:
    """An overlay with what QEMU's own loader would put into the device tree: the command line, and where
    the initramfs is."""
    end = INITRD + (initramfs.stat().st_size if initramfs else 0)
    if kernel.stat().st_size > DTB - KERNEL or end > memory(amount):
        raise SetupError(f"the kernel and the initramfs do not fit in {amount} of memory")
    initrd = f"linux,initrd-start = <{INITRD:#x}>; linux,initrd-end = <{end:#x}>;" if initramfs else ""
    # As bytes: a command line may have quotes.
    line = command_line.encode().hex(" ")
    return f"/dts-v1/; /plugin/; &{{/chosen}} {{ bootargs = [{line} 00]; {initrd} }};\n"


def memory(amount: str) -> int:
    """How many bytes such an amount is: a number without a unit is of MiB, for QEMU."""
    number, unit = re.fullmatch(r"(\d+)([KMGT]?)", amount.upper()).groups()  # type: ignore[union-attr]
    return int(number) << {"K": 10, "": 20, "M": 20, "G": 30, "T": 40}[unit]
