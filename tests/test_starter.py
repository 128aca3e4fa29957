# SPDX-License-Identifier: GPL-2.0-only
"""runner/starter.py: what starts Linux on a machine where QEMU itself cannot."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from places import COMMON, Places, environment
from runner import starter
from runner.outcome import SetupError


def test_instructions_are_those_of_their_comments(places: Places, tmp_path: Path) -> None:
    """The assembler makes the same of them."""
    tools = environment(places.build / "tools.env")
    version = tools["LLVM"].removeprefix("1")
    source = re.findall(r"^    0x[0-9A-F]{8},  # (.*)$", (COMMON / "runner/starter.py").read_text(), re.MULTILINE)
    assert len(source) == len(starter.INSTRUCTIONS) - 2
    text = "\n".join([".arm", *source, f"dtb: .word {starter.DTB}", f"kernel: .word {starter.KERNEL}", ""])
    binary = tmp_path / "code.bin"
    for command in (
        [f"clang{version}", "--target=arm-none-eabi", "-march=armv7-a", "-c", "-x", "assembler", "-",
         "-o", tmp_path / "code.o"],
        [f"llvm-objcopy{version}", "-O", "binary", "-j", ".text", tmp_path / "code.o", binary],
    ):
        done = subprocess.run(command, input=text, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
    code = binary.read_bytes()
    words = [int.from_bytes(code[at:at + 4], "little") for at in range(0, len(code), 4)]
    assert [hex(word) for word in words] == [hex(word) for word in starter.INSTRUCTIONS]


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    kernel, initramfs = tmp_path / "kernel", tmp_path / "initramfs"
    kernel.write_bytes(bytes(4096))
    initramfs.write_bytes(bytes(4096))
    assert "bootargs = [61 22 00]; linux,initrd-start" in starter.chosen("66", kernel, initramfs, 'a"')
    with pytest.raises(SetupError, match="do not fit in 64M of memory"):
        starter.chosen("64M", kernel, initramfs, "")
    with kernel.open("wb") as file:
        file.truncate(starter.DTB - starter.KERNEL + 1)
    with pytest.raises(SetupError, match="do not fit in 1G of memory"):
        starter.chosen("1G", kernel, None, "")
