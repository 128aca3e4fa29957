# SPDX-License-Identifier: GPL-2.0-only
"""The project's name, from project.env, and what is named after it in a guest."""

from __future__ import annotations

from pathlib import Path

TOP = Path(__file__).resolve().parents[2]


def environment(file: Path) -> dict[str, str]:
    """The values of a file of KEY=value lines, which are not quoted."""
    lines = (line.strip() for line in file.read_text().splitlines())
    return dict(line.split("=", 1) for line in lines if "=" in line and line[0] != "#")


_NAMES = environment(TOP / "board/common/project.env")
PROJECT = _NAMES["PROJECT"]
MODULE = _NAMES["MODULE"]
KCONFIG = _NAMES["KCONFIG"]
COMPATIBLE = _NAMES["COMPATIBLE"]
NONCE_ITEM = _NAMES["NONCE_ITEM"]

# The programs of userspace/.
VERIFY, INIT, STRESS, BENCH = (f"{PROJECT}-{name}" for name in ("verify", "init", "stress", "bench"))
# Paths in a guest, without the slash at the beginning.
GUEST_MODULE = f"lib/modules/{MODULE}.ko"
GUEST_RUN = f"etc/{PROJECT}/run"
GUEST_INPUT = f"etc/{PROJECT}/input"
# A parameter of the kernel's command line.
NONCE_PARAMETER = f"{MODULE}.nonce"
# How the guest's last line begins.
EXIT_STATUS = f"{PROJECT}: exit status "
