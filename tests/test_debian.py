# SPDX-License-Identifier: GPL-2.0-only
"""Debian's own kernel (KERNEL=debian…, board/common/debian.sh): the driver passes on each flavour, and
what would not fit the kernel is refused."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from conftest import Make
from places import TOP

FLAVOURS = {"debian": "7.3.4+deb13-arm64", "debian-16k": "7.3.4+deb13-arm64-16k",
            "debian-rt": "7.3.4+deb13-rt-arm64"}
# What set-up says where nobody can help, and no other fault.
UNREACHABLE = "Debian's packages are not available"

# Set-up's functions with compilers and a kernel that the test makes up.
FUNCTIONS = """
set -euo pipefail
die() { echo "error: $1" >&2; exit 1; }
KERNEL=debian
. board/common/versions.env
. board/common/crates.sh
. board/common/debian.sh
DEBIAN_TOOLS=$PWD_OF_TEST
cd "$PWD_OF_TEST"
"""


def call(work: Path, script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", f"{FUNCTIONS}\n{script}"], cwd=TOP, text=True, stdin=subprocess.DEVNULL,
        env={"PATH": "/usr/bin:/bin", "PWD_OF_TEST": str(work)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )


COMPILERS = {
    "aarch64-linux-gnu-gcc-14": "aarch64-linux-gnu-gcc-14 (Debian 14.2.0-19) 14.2.0",
    "rustc": "rustc 1.85.1 (4eb161250 2025-03-15) (built from a source tarball)",
    "bindgen": "bindgen 0.71.1",
    "pahole": "v1.30",
}
CONFIG = f"""\
CONFIG_CC_VERSION_TEXT="{COMPILERS["aarch64-linux-gnu-gcc-14"]}"
CONFIG_RUSTC_VERSION_TEXT="{COMPILERS["rustc"]}"
CONFIG_BINDGEN_VERSION_TEXT="{COMPILERS["bindgen"]}"
CONFIG_PAHOLE_VERSION=130
"""


@pytest.fixture
def compilers(tmp_path: Path) -> Path:
    (tmp_path / "bin").mkdir()
    for name, version in COMPILERS.items():
        program = tmp_path / "bin" / name
        program.write_text(f"#!/bin/sh\necho '{version}'\n")
        program.chmod(0o755)
    return tmp_path


@pytest.mark.unit
def test_compilers_of_the_kernel_will_do(compilers: Path) -> None:
    (compilers / "config").write_text(CONFIG)
    done = call(compilers, "debian_check_compilers config")
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.unit
@pytest.mark.parametrize(("ours", "theirs"), [
    ("1.85.1", "1.96.1"), ("0.71.1", "0.72.1"), ("14.2.0-19", "14.2.0-20"), ("=130", "=131"),
])
def test_other_compilers_are_refused(compilers: Path, ours: str, theirs: str) -> None:
    changed = CONFIG.replace(ours, theirs)
    (compilers / "config").write_text(changed)
    done = call(compilers, "debian_check_compilers config")
    assert done.returncode == 1
    (line,) = set(changed.splitlines()) - set(CONFIG.splitlines())
    name, _, value = line.partition("=")
    assert f"{name}: the kernel was built with '{value.strip(chr(34))}', this is" in done.stdout


@pytest.mark.unit
def test_crates_that_the_kernel_does_not_have_are_refused(tmp_path: Path) -> None:
    (tmp_path / "rust").mkdir()
    (tmp_path / "rust/exports_core_generated.h").write_text(
        "EXPORT_SYMBOL_RUST_GPL(_RNvCs2_4core3one);\nEXPORT_SYMBOL_RUST_GPL(_RNvCs2_4core3two);\n")
    row = "0x00000000\t{}\tvmlinux\tEXPORT_SYMBOL_GPL\t\n"
    symvers = tmp_path / "Module.symvers"
    symvers.write_text(row.format("_RNvCs2_4core3one") + row.format("_RNvCs2_4core3two"))
    assert call(tmp_path, "debian_check_exports .").returncode == 0
    symvers.write_text(row.format("_RNvCs2_4core3one") + row.format("_RNvCs3_4core3two"))
    done = call(tmp_path, "debian_check_exports .")
    assert done.returncode == 1
    assert "lacks 1 of their symbols, such as _RNvCs2_4core3two" in done.stdout


def cached(flavour: str) -> bool:
    done = subprocess.run(
        ["bash", "-c", '. board/common/cache.sh; compgen -G "$CACHE/linux-$1-*/.entry/complete"', "-",
         flavour], cwd=TOP, stdout=subprocess.PIPE, check=False)
    return any(re.search(rf"/linux-{flavour}-[0-9a-f]{{12}}/", line)
               for line in done.stdout.decode().splitlines())


def needs(make: Make, flavour: str) -> None:
    """Skips where the kernel cannot be had. One of them is made for the tests; the others take more
    than a minute each, and are for who has asked for them."""
    if flavour != "debian" and not cached(flavour):
        pytest.skip(f"`make kernel KERNEL={flavour}` has not been run on this machine")
    done = make("kernel", f"KERNEL={flavour}")
    if UNREACHABLE in done.stdout:
        pytest.skip(done.stdout[done.stdout.index(UNREACHABLE):].splitlines()[0])
    assert done.returncode == 0, done.stdout


@pytest.mark.kernel
def test_large_buffers_begin_where_a_pmd_can_map_them(make: Make, tmp_path: Path) -> None:
    """That kernel aligns large buffers to 1 MiB only, and a PMD maps 2 MiB: without the driver's own search the
    place of the second one and of the third would depend on the sizes of those before."""
    needs(make, "debian")
    overlay = tmp_path / "large.dtso"
    nodes = "\n".join(
        f"dma-buffer-{n} {{ compatible = \"faultline,coherent-buffer\"; size = <{size:#x}>; {kind}; }};"
        for n, (size, kind) in enumerate([(0x300000, "dma-coherent"), (0x500000, "dma-noncoherent"),
                                          (0x300000, "dma-noncoherent")]))
    overlay.write_text(f"/dts-v1/;\n/plugin/;\n&{{/}} {{\n{nodes}\n}};\n")
    done = make("run", "KERNEL=debian", f"DTS={overlay}")
    assert done.returncode == 0, done.stdout
    addresses = [int(address, 16) for address in
                 re.findall(r"^# /dev/\w+ \| \d+ \| (0x[0-9a-f]+) \|", done.stdout, re.MULTILINE)]
    assert len(addresses) == 3 and [address % 0x200000 for address in addresses] == [0, 0, 0], done.stdout


@pytest.mark.kernel
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_driver_passes_on_the_distribution_s_kernel(make: Make, flavour: str) -> None:
    needs(make, flavour)
    done = make("run", f"KERNEL={flavour}")
    assert done.returncode == 0, done.stdout
    assert f"Linux version {FLAVOURS[flavour]} " in done.stdout
    # The checks that need no bus master are skipped on the coherent device, and no others.
    counts = re.findall(r"Totals: pass:(\d+) fail:(\d+) .* skip:(\d+)", done.stdout)
    assert len(counts) == 1 and counts[0][1] == "0" and int(counts[0][0]) > 40, done.stdout
    assert re.search(r"fw_cfg \| \d+ \| 0 \| 0$", done.stdout, re.MULTILINE), done.stdout
