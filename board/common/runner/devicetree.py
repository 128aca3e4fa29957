# SPDX-License-Identifier: GPL-2.0-only
"""The guest's device tree."""

from __future__ import annotations

from pathlib import Path

from runner import starter
from runner.initramfs import tool
from runner.machine import Guest
from runner.outcome import warn
from runner.schema import warn_of_schemas


def device_tree(guest: Guest, work: Path, initramfs: Path | None) -> Path:
    """The tree to boot with, checked if that is asked for."""
    tree = assembled(guest, work, initramfs)
    if guest.validate:
        warn_of_schemas(guest.validate, tree)
    return tree


def assembled(guest: Guest, work: Path, initramfs: Path | None) -> Path:
    """The board's tree, or that of the very machine that will be booted, with overlays applied."""
    base, merged = work / "machine.dtb", work / "guest.dtb"
    if guest.dtb:
        base = guest.dtb
    elif guest.board.dtb:
        # Beside the image, in the kernel's output.
        base = guest.kernel.resolve().parent / "dts" / guest.board.dtb
    else:
        tool(*guest.machine(dumpdtb=str(base)))
    sources = [source for source in (guest.dtso, guest.board.qemu_dtso) if source]
    if guest.has_starter:
        sources.append(work / "chosen.dtso")
        chosen = starter.chosen(guest.board.mem, guest.kernel, initramfs, guest.command_line())
        sources[-1].write_text(chosen)
    overlays = []
    for number, source in enumerate(sources):
        overlay = work / f"overlay{number}.dtbo"
        warn("dtc", tool("dtc", "-@", "-I", "dts", "-O", "dtb", f"-o{overlay}", str(source)))
        overlays.append(str(overlay))
    if not overlays:
        return base
    warn("fdtoverlay", tool("fdtoverlay", f"-i{base}", f"-o{merged}", *overlays))
    return merged
