# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's build (board/common/kernel.sh): an interrupted build continues."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from places import TOP

pytestmark = pytest.mark.unit

BOARD = "qemu-virt-arm64"
# A kernel of two files. The second one is not compiled before the file `go` is there.
KERNEL = r"""
VERSION = 7
PATCHLEVEL = 3
SUBLEVEL = 99
MADE := .config Module.symvers vmlinux arch/arm64/boot/Image include/h scripts/s rust/libkernel.rmeta \
	arch/arm64/include/h $(addprefix arch/arm64/boot/dts/,$(filter %.dtb,$(MAKECMDGOALS)))
.DELETE_ON_ERROR:
.PHONY: allnoconfig Image modules
allnoconfig:
	cp $(KCONFIG_ALLCONFIG) $(O)/.config
Image: $(O)/first.o $(O)/second.o
	cd $(O) && mkdir -p $(dir $(MADE)) && touch $(MADE)
modules: Image
%.dtb: Image
	@:
$(O)/first.o:
	echo first >>$(O)/../compiled
	touch $@
$(O)/second.o: $(O)/first.o
	echo second >>$(O)/../compiled
	touch $@
	while test ! -e $(O)/../go; do sleep 0.1; done
"""


class Build:
    """A copy of set-up, with a small kernel and tools of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        shutil.copytree(TOP / "board", home / "board")
        self.source = home / "linux"
        self.source.mkdir()
        (self.source / "Makefile").write_text(KERNEL.lstrip())
        (home / "bin").mkdir()
        (home / "bin/rustc").write_text("#!/bin/sh\necho rustc 1.99.0\n")
        (home / "bin/rustc").chmod(0o755)
        build = home / "build" / BOARD
        build.mkdir(parents=True)
        (build / "tools.env").write_text(
            f"RUST_BIN={home}/bin\nRUST_SRC={home}\nLLVM=1\nLLVM_VERSION=19\nLIBCLANG_PATH=\n"
            "BINDGEN=bindgen\nBINDGEN_FOUND=0.72.1\n"
        )

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self.home / "board/common/setup", "kernel"], text=True, stdin=subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"], "HOME": str(self.home), "BOARD": BOARD,
                 "XDG_CACHE_HOME": str(self.home), "KERNEL_SRC": str(self.source)},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )

    @property
    def compiled(self) -> list[str]:
        log = self.home / "faultline/compiled"
        return log.read_text().split() if log.exists() else []

    def interrupt(self, number: int) -> str:
        """Starts the build, and sends the signal during the compilation of the second file."""
        setup = self.start()
        while "second" not in self.compiled:
            assert setup.poll() is None, setup.communicate()[0]
            time.sleep(0.05)
        setup.send_signal(number)
        said, _ = setup.communicate()
        assert setup.returncode == 128 + number, said
        return said

    def finish(self) -> str:
        (self.home / "faultline/go").touch()
        setup = self.start()
        said, _ = setup.communicate()
        assert setup.returncode == 0, said
        return said


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Build]:
    build = Build(tmp_path)
    yield build
    # Should a test fail, nothing waits for ever.
    (build.home / "faultline/go").touch()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_build_continues(build: Build, number: int) -> None:
    build.interrupt(number)
    assert build.compiled == ["first", "second"]
    said = build.finish()
    assert "interrupted" in said and "making it again" not in said
    assert build.compiled == ["first", "second", "second"]
    assert build.finish() == "", "it is complete"


def test_killed_build_starts_again(build: Build) -> None:
    """Files may be empty, as after a power cut."""
    build.interrupt(signal.SIGINT)
    setup = build.start()
    while build.compiled.count("second") < 2:
        assert setup.poll() is None, setup.communicate()[0]
        time.sleep(0.05)
    # The kernel's make is in a process group of its own, which ends with its files.
    os.killpg(setup.pid, signal.SIGKILL)
    (build.home / "faultline/go").touch()
    setup.communicate()
    (build.home / "faultline/compiled").unlink()
    assert "half-made" in build.finish()
    assert build.compiled == ["first", "second"]
