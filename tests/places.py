# SPDX-License-Identifier: GPL-2.0-only
"""Where things are. `make test` says it in the environment."""

from __future__ import annotations

import fnmatch
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import pytest

TOP = Path(__file__).resolve().parents[1]
COMMON = TOP / "board/common"
# How make runs the programs of board/common/.
PYTHON = (str(COMMON / "python"), "-EsB")
RUNNER = COMMON / "run.py"
BINDINGS = TOP / "dts/bindings"
DRIVER = TOP / "driver"
USERSPACE = TOP / "userspace"
SETUP = COMMON / "setup"

# What those programs are made of, tests import: project, runner, benchmark, card,
# series.
sys.path.insert(1, str(COMMON))


@dataclass(frozen=True)
class Places:
    board: str
    kernel: Path  # the image
    module: Path
    verify: Path  # the static program
    init: Path  # the one that runs another
    stress: Path  # the one that stresses the driver
    boards: tuple[str, ...]  # those to boot beside this one
    build: Path  # outputs for the board
    kernel_build: Path  # those that depend on the kernel
    debug_build: Path | None  # the same for the other kernel; None: it is not to be used

    @classmethod
    def from_environment(cls) -> Places:
        return cls(
            board=os.environ["TEST_BOARD"],
            kernel=Path(os.environ["TEST_KERNEL"]),
            module=Path(os.environ["TEST_MODULE"]),
            verify=Path(os.environ["TEST_VERIFY"]),
            init=Path(os.environ["TEST_INIT"]),
            stress=Path(os.environ["TEST_STRESS"]),
            boards=tuple(os.environ["TEST_BOARDS"].split()),
            build=Path(os.environ["TEST_BUILD"]),
            kernel_build=Path(os.environ["TEST_KERNEL_BUILD"]),
            debug_build=Path(debug) if (debug := os.environ["TEST_DEBUG_BUILD"]) else None,
        )

    @property
    def production(self) -> Path:
        """The driver alone, without its self-test."""
        return self.kernel_build / "driver" / self.module.name

    @property
    def debug(self) -> Places:
        """The same with the debug kernel."""
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
        there, of_kernel = self.build.parent / name, self.kernel_build.parent / name
        return replace(
            self,
            board=name,
            kernel=of_kernel / "linux/arch" / env["ARCH"] / "boot" / env["IMAGE"],
            module=of_kernel / self.module.parent.name / self.module.name,
            verify=there / self.verify.name,
            init=there / self.init.name,
            build=there,
            kernel_build=of_kernel,
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
        """Skips the test, with the reason, if the debug kernel was not built."""
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
    """A program that is no part of a package, as a module: what is in it, without running it."""
    name = f"program_{file.stem}"
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


def source_files(top: Path) -> list[Path]:
    """Every file of a source tree: those that git tracks, and the new ones it does not ignore. Where
    git is not installed, or does not know the tree or distrusts its owner: those that are there and
    that .gitignore does not name."""
    # A file that was deleted, or replaced by a link, is not there to be read.
    names = listed_by_git(top) or found_in(top)
    return sorted(top / name for name in names if (top / name).is_file() and not (top / name).is_symlink())


def listed_by_git(top: Path) -> list[str] | None:
    # A hook of git has these set, and for another repository perhaps.
    elsewhere = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"}
    env = {name: value for name, value in os.environ.items() if name not in elsewhere}

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(["git", *arguments], cwd=top, env=env, capture_output=True, text=True)
        except FileNotFoundError:
            return None
        return done.stdout if done.returncode == 0 else None

    # The tree may lie in somebody else's repository, which ignores it or has it as one new folder.
    root = git("rev-parse", "--show-toplevel")
    if root is None or Path(root.rstrip("\n")).resolve() != top.resolve():
        return None
    listed = git("ls-files", "-z", "--cached", "--others", "--exclude-standard")
    return [name for name in (listed or "").split("\0") if name]


def found_in(top: Path) -> list[str]:
    """What .gitignore says is of the plain kind alone: NAME, /PATH, and either with a slash at its
    end for directories."""
    lines = [line for line in (top / ".gitignore").read_text().splitlines()
             if line and not line.startswith("#")]
    assert not any("!" in line or "/" in line.strip("/") and line[0] != "/" for line in lines), lines

    def ignored(name: str, is_folder: bool) -> bool:
        return any(
            fnmatch.fnmatchcase(name if line[0] == "/" else name.rpartition("/")[2], line.rstrip("/"))
            for line in lines if is_folder or not line.endswith("/")
        )

    found = []
    for folder, folders, files in os.walk(top):
        here = "/" + os.path.relpath(folder, top) if Path(folder) != top else ""
        folders[:] = [name for name in folders if name != ".git" and not ignored(f"{here}/{name}", True)]
        found += [f"{here}/{name}"[1:] for name in files
                  if name != ".git" and not ignored(f"{here}/{name}", False)]
    return found
