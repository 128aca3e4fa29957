# SPDX-License-Identifier: GPL-2.0-only
"""Where things are. `make test` says it in the environment."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import pytest

TOP = Path(__file__).resolve().parents[1]
RUNNER = TOP / "board/common/run.py"
BINDINGS = TOP / "dts/bindings"
DRIVER = TOP / "driver"
USERSPACE = TOP / "userspace"
SETUP = TOP / "board/common/setup"


@dataclass(frozen=True)
class Places:
    board: str
    kernel: Path  # the image
    module: Path
    verify: Path  # the static program
    init: Path  # the one that runs another
    stress: Path  # the one that ill-treats the driver
    boards: tuple[str, ...]  # those to boot beside this one
    build: Path  # outputs for the board
    kernel_build: Path  # those that depend on the kernel
    debug_build: Path | None  # the same for the other kernel; None: it is not to be used

    @classmethod
    def from_environment(cls) -> Places:
        return cls(
            board=os.environ["FAULTLINE_BOARD"],
            kernel=Path(os.environ["FAULTLINE_KERNEL"]),
            module=Path(os.environ["FAULTLINE_MODULE"]),
            verify=Path(os.environ["FAULTLINE_VERIFY"]),
            init=Path(os.environ["FAULTLINE_INIT"]),
            stress=Path(os.environ["FAULTLINE_STRESS"]),
            boards=tuple(os.environ["FAULTLINE_BOARDS"].split()),
            build=Path(os.environ["FAULTLINE_BUILD"]),
            kernel_build=Path(os.environ["FAULTLINE_BUILD"]),
            debug_build=Path(debug) if (debug := os.environ["FAULTLINE_DEBUG_BUILD"]) else None,
        )

    @property
    def production(self) -> Path:
        """The driver alone, without its self-test."""
        return self.kernel_build / "driver" / self.module.name

    @property
    def debug(self) -> Places:
        """The same with the kernel that watches itself."""
        there = self.debug_build
        assert there, "a test that uses it without need_debug_kernel()"
        return replace(
            self,
            kernel=there / self.kernel.relative_to(self.kernel_build),
            module=there / self.module.relative_to(self.kernel_build),
            kernel_build=there,
        )

    def of_board(self, name: str) -> Places:
        """The same for another board."""
        env = environment(TOP / "board" / name / "board.env")
        there = self.build.parent / name
        return replace(
            self,
            board=name,
            kernel=there / "linux/arch" / env["ARCH"] / "boot" / env["IMAGE"],
            module=there / self.module.parent.name / self.module.name,
            verify=there / self.verify.name,
            init=there / self.init.name,
            build=there,
            kernel_build=there,
            debug_build=None,
        )

    @property
    def qemu(self) -> str:
        """The QEMU that knows the board; where set-up has found none, this skips."""
        tools = environment(self.build / "tools.env")
        if why_not := tools["QEMU_WHY_NOT"]:
            pytest.skip(why_not)
        return tools["QEMU_BIN"]

    def need_debug_kernel(self) -> None:
        """Skip what takes it, aloud, where it was not built."""
        if self.debug_build is None:
            pytest.skip("DEBUG=0: not with the debug kernel")

    @property
    def kernel_source(self) -> Path:
        """The tree that the kernel was built from: Kbuild leaves a link in the output."""
        return self.kernel_build / "linux/source"

    @property
    def rust_bin(self) -> Path:
        """Where the rustc in use is, and rustfmt and the rest beside it."""
        return Path(environment(self.build / "tools.env")["RUST_BIN"])

    @property
    def target(self) -> str:
        """What programs for the guest are compiled for."""
        return environment(TOP / "board" / self.board / "board.env")["RUST_TARGET"]

    @property
    def cross_output(self) -> Path:
        """Where cargo puts programs for the guest."""
        return self.build / "userspace" / self.target / "release"


def program(file: Path) -> ModuleType:
    """A program of board/common/, as a module: what is in it, without running it."""
    name = f"faultline_{file.stem}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec and spec.loader
        module = sys.modules[name] = importlib.util.module_from_spec(spec)  # dataclasses look there
        spec.loader.exec_module(module)
    return sys.modules[name]


def environment(file: Path) -> dict[str, str]:
    """The values of a file of KEY=value lines, quoted for the shell."""
    assignments = re.findall(r"^(\w+)=(.*)$", file.read_text(), re.MULTILINE)
    return {key: " ".join(shlex.split(value)) for key, value in assignments}
