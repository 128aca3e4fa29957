# SPDX-License-Identifier: GPL-2.0-only
"""The front door: what make answers to a user, above all to one who has made a mistake."""

from __future__ import annotations

import re

import pytest

from conftest import Make
from places import TOP, Places

pytestmark = pytest.mark.frontdoor

TARGETS = {"help", "run", "shell", "debug", "bench", "stress", "soak", "test", "mutants", "farm", "lint", "unit",
           "module", "verify", "image", "run-image", "flash", "defconfigs", "kernel", "setup", "doctor",
           "rust-analyzer", "clean", "distclean"}
VARIABLES = {"BOARD", "OVERLAY", "RUN", "SMP", "MEM", "CPU", "QEMU_ARGS", "APPEND", "DTS",
             "TIMEOUT", "KERNEL_SRC", "SELFTEST", "MUTANT", "PEER_KO", "PEER_DEV", "PEER_PARAMS",
             "DEBUG", "SEED", "OPS", "PROCS", "CYCLES", "BOARDS", "BOOTS", "LG_ENV", "DEV", "IMAGE_FILE",
             "YES", "FORCE_LOOP", "BUILDROOT", "BUILDROOT_CONFIG", "FAULTLINE_HOST_RUST"}


@pytest.mark.parametrize("arguments", [(), ("help",)], ids=["make", "make help"])
def test_help_lists_everything(make: Make, arguments: tuple[str, ...]) -> None:
    done = make(*arguments)
    assert done.returncode == 0, done.stdout
    assert set(re.findall(r"^make ([\w-]+) +\w", done.stdout, re.MULTILINE)) == TARGETS
    assert set(re.findall(r"^ +([A-Z_]+)=", done.stdout, re.MULTILINE)) >= VARIABLES


def test_every_target_has_help() -> None:
    """A target that make knows, and a user could mean, has its line."""
    makefile = (TOP / "Makefile").read_text()
    assert set(re.findall(r"^([a-z][a-z-]*):(?!=)", makefile, re.MULTILINE)) == TARGETS


MISTAKES = {
    "target": (("rum",), "rum"),
    "variable": (("run", "SPM=4"), "SPM"),
    "variable in lower case": (("run", "smp=4"), "smp"),
    "board": (("run", "BOARD=qemu-vert"), "qemu-vert"),
    "boards": (("test", "BOARDS=qemu-virt-arm pi"), "BOARDS=pi"),
    "boots": (("soak", "BOOTS=all"), "BOOTS=all"),
    "mutant": (("module", "MUTANT=wrong-pag"), "wrong-pag"),
    "kernel": (("module", "KERNEL_SRC=/no/such"), "/no/such"),
    "debug": (("run", "DEBUG=2"), "DEBUG=2"),
    "self-test": (("module", "SELFTEST=yes"), "SELFTEST=yes"),
    "debug of both": (("test", "DEBUG=1"), "both kernels"),
    "seed": (("stress", "SEED=lucky"), "lucky"),
    "operations": (("stress", "OPS=0"), "OPS=0"),
    "cycles": (("stress", "CYCLES=some"), "CYCLES=some"),
    "processes": (("stress", "PROCS=65"), "PROCS=65"),
    "number": (("run", "SMP=many"), "many"),
    "memory": (("run", "MEM=lots"), "lots"),
    "CPU": (("run", "CPU=z80"), "z80"),
    "overlay": (("run", "OVERLAY=/no/such"), "/no/such"),
    "device tree": (("run", "DTS=/no/such.dtso"), "/no/such.dtso"),
    "board on the desk": (("test", "LG_ENV=/no/such.yaml"), "/no/such.yaml"),
    "answer": (("flash", "YES=yes"), "YES=yes"),
    "card": (("flash", "DEV=/no/such", "IMAGE_FILE=Makefile"), "/no/such: No such file"),
    "Buildroot": (("image", "BUILDROOT=/no/such"), "/no/such"),
    "no Buildroot": (("image", "BUILDROOT=docs"), "no source tree of Buildroot"),
    "Buildroot's configuration": (("image", "BUILDROOT_CONFIG=/no/such"), "/no/such"),
    "host Rust": (("image", "FAULTLINE_HOST_RUST=1"), "FAULTLINE_HOST_RUST=1"),
    "peer": (("bench", "PEER_KO=/no/such.ko"), "/no/such.ko"),
    "peer's devices": (("bench", "PEER_DEV=/dev/x"), "give both"),
    "time limit": (("run", "TIMEOUT=soon"), "soon"),
}


@pytest.mark.parametrize(("arguments", "named"), MISTAKES.values(), ids=MISTAKES.keys())
def test_mistake_is_named(make: Make, arguments: tuple[str, ...], named: str) -> None:
    done = make(*arguments)
    assert done.returncode != 0, done.stdout
    assert named in done.stdout
    assert "Linux version" not in done.stdout, "a guest was booted all the same"


def test_verdict_is_the_status_of_make(make: Make) -> None:
    version = "RUN=/bin/faultline-verify --version"
    good = make("run", version, "SMP=1", "APPEND=faultline.test=1 quiet")
    assert good.returncode == 0, good.stdout
    assert re.search(r"^faultline-verify \d", good.stdout, re.MULTILINE), good.stdout
    bad = make("run", "RUN=/bin/faultline-verify --nonsense")
    assert bad.returncode != 0
    assert "run: the guest's exit status is 2" in bad.stdout


def test_shell_has_the_module_and_the_program(make: Make) -> None:
    """Commands come by standard input, as from a terminal; the shell's status is make's."""
    # As a person would: what is typed before the shell is there may be lost.
    said = make.converse("shell", "Ctrl-A X ends QEMU.\r\n",
                         "ls /dev/faultline0 && /bin/faultline-verify --version && exit 7\n")
    assert re.search(r"^faultline-verify \d", said, re.MULTILINE), said
    assert "run: the guest's exit status is 7" in said


def test_doctor(make: Make) -> None:
    """It runs, and names what this very run was built with."""
    done = make("doctor")
    assert done.returncode == 0, done.stdout
    for tool in ("rustc", "LLVM", "bindgen", "python3", "QEMU", "linux"):
        assert re.search(rf"^ *ok +{tool} +.*\d+\.\d+", done.stdout, re.MULTILINE), done.stdout


def test_nothing_is_made_twice(make: Make, places: Places) -> None:
    """With nothing changed, neither the module nor the program is written again."""
    made = [places.module, places.verify]
    assert make("-s", "module", "verify").returncode == 0
    before = [path.stat().st_mtime_ns for path in made]
    assert make("-s", "module", "verify").returncode == 0
    assert [path.stat().st_mtime_ns for path in made] == before
