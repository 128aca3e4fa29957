# SPDX-License-Identifier: GPL-2.0-only
"""The header for programs in C, and the programs in docs/examples."""

from __future__ import annotations

import fcntl
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from guests import Boot
from places import SETUP, TOP, Places, environment, program

INCLUDE = TOP / "userspace/include"
HEADER = INCLUDE / "faultline.h"
EXAMPLES = TOP / "docs/examples"


def setup(*arguments: str | Path) -> str:
    done = subprocess.run(
        [SETUP, *arguments], cwd=TOP, text=True, stdin=subprocess.DEVNULL, capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.unit
def test_header_is_what_cbindgen_makes(tmp_path: Path) -> None:
    """`make header` makes it again."""
    setup("header", tmp_path / HEADER.name)
    assert (tmp_path / HEADER.name).read_text() == HEADER.read_text()


@pytest.mark.unit
def test_header_keeps_to_its_names() -> None:
    """A program includes it beside other headers."""
    text = re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.DOTALL)
    names = re.findall(r"^#define (\w+)", text, re.MULTILINE)
    assert len(names) > 3 and all(name.startswith("FAULTLINE_") for name in names), names
    structures = re.findall(r"^struct (\w+) \{", text, re.MULTILINE)
    assert len(structures) > 1 and all(name.startswith("faultline_") for name in structures), structures
    assert not re.search(r"\b(?:enum|typedef|union)\b", text)


Compile = Callable[[Path, Path], None]


@pytest.fixture
def compiler(places: Places) -> Compile:
    """Compiles a static program for the guest: with Debian's musl, and with Rust's compiler-builtins for
    what the compiler takes for granted."""
    llvm = environment(places.build / "tools.env")["LLVM"]
    libc = Path(setup("libc")) / "usr"
    triple = "aarch64-linux-musl"
    setup("sysroot")
    sysroot = environment(places.build / "tools.env")["RUST_TARGET_SYSROOT"]
    builtins = sorted(Path(sysroot).rglob("libcompiler_builtins-*.rlib"))
    assert len(builtins) == 1

    def compile_program(source: Path, target: Path) -> None:
        objects = target.with_suffix(".o")
        commands = [
            [f"clang{llvm}", f"--target={triple}", "-std=c11", "-O2", "-Wall", "-Wextra", "-Werror",
             "-nostdinc", "-isystem", libc / "include" / triple, "-I", INCLUDE, "-c", source,
             "-o", objects],
            [f"ld.lld{llvm}", "-static", "-o", target, libc / "lib" / triple / "crt1.o", objects,
             libc / "lib" / triple / "libc.a", builtins[0]],
        ]
        for command in commands:
            done = subprocess.run(command, text=True, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            assert done.returncode == 0, done.stdout

    return compile_program


NUMBERS = """
#include <stddef.h>
#include <sys/ioctl.h>
#include "faultline.h"
_Static_assert(FAULTLINE_IOC_INFO == _IOR('|', 0x80, struct faultline_info), "INFO");
_Static_assert(FAULTLINE_IOC_PREFAULT == _IOW('|', 0x88, struct faultline_prefault), "PREFAULT");
_Static_assert(offsetof(struct faultline_info, dma_address) == 16, "dma_address");
int main(void) { return 0; }
"""


@pytest.mark.unit
def test_numbers_are_those_of_c(compiler: Compile, tmp_path: Path) -> None:
    source = tmp_path / "numbers.c"
    source.write_text(NUMBERS)
    compiler(source, tmp_path / "numbers")
    source.write_text(NUMBERS.replace("0x88", "0x89"))
    with pytest.raises(AssertionError, match="PREFAULT"):
        compiler(source, tmp_path / "numbers")


@pytest.mark.boot
@pytest.mark.parametrize(("device", "said"), [
    ("/dev/faultline0", "16384 bytes, coherent"),
    ("/dev/faultline1", "65536 bytes, not coherent"),
], ids=["coherent", "non-coherent"])
def test_example_in_c(
    boot: Boot, compiler: Compile, tmp_path: Path, device: str, said: str
) -> None:
    target = tmp_path / "root/bin/buffer"
    target.parent.mkdir(parents=True)
    compiler(EXAMPLES / "buffer.c", target)
    target.with_suffix(".o").unlink()
    run = boot(f"--overlay={tmp_path / 'root'}", f"--run=/bin/buffer {device}")
    assert run.status == 0, run
    assert f"{device}: {said}" in run.console, run
    assert re.search(r"^the device finds it at 0x[0-9a-f]+$", run.console, re.MULTILINE), run
    assert "word 0 is 0x600df00d" in run.console, run


@pytest.mark.boot
def test_example_in_c_without_a_device(boot: Boot, compiler: Compile, tmp_path: Path) -> None:
    target = tmp_path / "root/bin/buffer"
    target.parent.mkdir(parents=True)
    compiler(EXAMPLES / "buffer.c", target)
    run = boot(f"--overlay={tmp_path / 'root'}", "--run=/bin/buffer /dev/faultline9")
    assert run.status == 1, run
    assert "/dev/faultline9: No such file or directory" in run.console, run


@pytest.mark.unit
def test_example_in_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a file in place of the device. There is no Python in the guest: the driver's side of each
    call, msync() too, is tested in faultline-stress."""
    example = program(EXAMPLES / "buffer.py")
    text = HEADER.read_text()
    for name in ("FAULTLINE_IOC_INFO", "FAULTLINE_FLAG_COHERENT"):
        defined = re.search(rf"^#define {name} (.*)$", text, re.MULTILINE)
        assert defined and eval(defined[1].removesuffix("U")) == getattr(example, name)

    def ioctl(fd: int, request: int, argument: bytes) -> bytes:
        assert (request, argument) == (0x80187C80, bytes(24))
        fields = ((1).to_bytes(4, sys.byteorder), bytes(4), (8192).to_bytes(8, sys.byteorder),
                  (0x79C00000).to_bytes(8, sys.byteorder))
        return b"".join(fields)

    device = tmp_path / "device"
    device.write_bytes(bytes(8192))
    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    assert example.main(str(device)) == 0
    assert capsys.readouterr().out == (
        f"{device}: 8192 bytes, coherent\n"
        "the device finds it at 0x79c00000\n"
        "word 0 is 0x600df00d\n")
    assert device.read_bytes()[:4] == (0x600DF00D).to_bytes(4, sys.byteorder)
