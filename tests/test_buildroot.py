# SPDX-License-Identifier: GPL-2.0-only
"""The external tree for Buildroot: its configurations, its packages, its init script. Tests of Buildroot's
own tools are skipped unless `make test BUILDROOT=DIR` gives a source tree."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from project import MODULE, TOP, environment
from runner.machine import DISKS

pytestmark = pytest.mark.image

SETUP = TOP / "board/common/setup"
TREE = TOP / "buildroot"
INIT_SCRIPT = TREE / "package/faultline-verify/S90faultline-verify"

VERSIONS = environment(TOP / "board/common/versions.env")
BOARDS = {path.parent.name: environment(path) for path in TOP.glob("board/*/board.env")}


def defconfig(board: str) -> Path:
    return TREE / f"configs/{MODULE}_{board.replace('-', '_')}_defconfig"


def settings(config: Path) -> list[tuple[str, str]]:
    """Each setting of a Kconfig file, in order; one that is off as ``n``."""
    line = re.compile(r"^(?:(\w+)=(.*)|# (\w+) is not set)$", re.MULTILINE)
    return [(name or off, value if name else "n")
            for name, value, off in line.findall(config.read_text())]


def test_defconfigs_are_written_from_their_fragments(tmp_path: Path) -> None:
    subprocess.run([SETUP, "defconfigs", tmp_path], check=True)
    written = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert set(written) == {defconfig(board).name for board in BOARDS}
    there = {path.name: path.read_text() for path in TREE.glob("configs/*_defconfig")}
    assert there == written, "run make defconfigs"


@pytest.mark.parametrize("board", BOARDS)
def test_each_setting_is_made_once(board: str) -> None:
    count = Counter(name for name, _ in settings(defconfig(board)))
    assert [name for name, times in count.items() if times > 1] == []


@pytest.mark.parametrize("board", BOARDS)
def test_kernel_is_the_one_of_make_run(board: str) -> None:
    """Its release, and the board's own of its fragments before those that are the image's alone."""
    made = dict(settings(defconfig(board)))
    assert made["BR2_LINUX_KERNEL_CUSTOM_VERSION_VALUE"] == f'"{VERSIONS["KERNEL_RELEASE"]}"'
    files = made["BR2_LINUX_KERNEL_CONFIG_FRAGMENT_FILES"].strip('"').split()
    names = [Path(file).stem for file in files]
    ours, layout = BOARDS[board]["IMAGE_FRAGMENTS"].split(), BOARDS[board]["LAYOUT"]
    assert names == [*ours, "image", f"image-{layout}"]
    assert set(ours) <= set(BOARDS[board]["FRAGMENTS"].split())
    for name in names:
        assert (TOP / f"board/common/linux/{name}.fragment").is_file()
    assert layout in DISKS


def test_downloads_have_hashes() -> None:
    for board in BOARDS:
        assert ("BR2_DOWNLOAD_FORCE_CHECK_HASHES", "y") in settings(defconfig(board))
    assert re.fullmatch(r"[0-9a-f]{64}", VERSIONS["BUILDROOT_SHA256"])
    for recipe in TREE.glob("package/*/*.mk"):
        if "_SITE_METHOD = local" in recipe.read_text():
            continue
        hashes = recipe.with_suffix(".hash").read_text().splitlines()
        lines = [line for line in hashes if not line.startswith("#")]
        assert all(re.fullmatch(r"sha256  [0-9a-f]{64}  \S+", line) for line in lines), recipe
        assert any(f"  {recipe.stem}-" in line for line in lines), f"{recipe}: none of its source"


@pytest.mark.parametrize("status", [0, 3])
def test_init_script_ends_with_the_verdict(tmp_path: Path, status: int) -> None:
    verify, log = tmp_path / "faultline-verify", tmp_path / "log"
    verify.write_text(f"#!/bin/sh\necho TAP\necho trouble >&2\nexit {status}\n")
    verify.chmod(0o755)
    text = INIT_SCRIPT.read_text()
    for there, here in {"/usr/bin/$DAEMON": verify, "/var/log/$DAEMON.log": log}.items():
        assert there in text
        text = text.replace(there, str(here))
    done = subprocess.run(["sh", "-s", "start"], input=text, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["TAP", "trouble", f"faultline: exit status {status}"]
    assert log.read_text() == done.stdout


# -------------------------------------------------------------------------------- with Buildroot


@pytest.fixture(scope="session")
def buildroot() -> Path:
    if not (there := os.environ.get("BUILDROOT")):
        pytest.skip("no Buildroot: make test BUILDROOT=DIR")
    return (TOP / there).resolve()


def make_buildroot(buildroot: Path, output: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["make", "-s", "--no-print-directory", "-C", buildroot, f"O={output}",
         f"BR2_EXTERNAL={TREE}", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={name: os.environ[name] for name in ("PATH", "HOME")},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def configure(buildroot: Path, output: Path, board: str, rust: str) -> Path:
    """The configuration that `make image` gives to Buildroot; with its own Rust, that is the plain
    defconfig as far as Buildroot's users are concerned."""
    config = output / "defconfig"
    rust_bin = environment(Path(os.environ["TEST_BUILD"]) / "tools.env")["RUST_BIN"]
    lines = "" if rust == "buildroot" else \
        f'FAULTLINE_HOST_RUST=y\nFAULTLINE_HOST_RUSTC="{rust_bin}/rustc"\n'
    config.write_text(defconfig(board).read_text() + lines)
    make_buildroot(buildroot, output, f"BR2_DEFCONFIG={config}", "defconfig")
    return config


RUST_WAYS = ("host", "buildroot")


@pytest.mark.parametrize("rust", RUST_WAYS)
@pytest.mark.parametrize("board", BOARDS)
def test_buildroot_takes_every_line(
    buildroot: Path, tmp_path: Path, board: str, rust: str
) -> None:
    """Kconfig drops what it does not know, and what depends on something else, without a word."""
    wanted = settings(configure(buildroot, tmp_path, board, rust))
    taken = dict(settings(tmp_path / ".config"))
    assert [line for line in wanted if taken.get(line[0], "n") != line[1]] == []


@pytest.mark.parametrize("rust", RUST_WAYS)
@pytest.mark.parametrize("board", BOARDS)
def test_show_info(buildroot: Path, tmp_path: Path, board: str, rust: str) -> None:
    configure(buildroot, tmp_path, board, rust)
    info = json.loads(make_buildroot(buildroot, tmp_path, "show-info"))
    for name in ("faultline-driver", "faultline-verify"):
        assert info[name]["licenses"].startswith("GPL-2.0"), name
        assert "linux" in info["faultline-driver"]["dependencies"]
    # What Rust for the kernel adds.
    compilers = {"host-rustc", "host-rust-bin", "host-rust-src", "host-rust-bindgen", "host-clang", "host-llvm"}
    if rust == "host":
        assert not compilers & set(info), "Buildroot builds or downloads a compiler of its own"
    else:
        assert compilers <= set(info)
        assert {"host-rustc", "host-rust-src", "host-rust-bindgen"} <= set(info["linux"]["dependencies"])
        versions = {info[name]["version"] for name in ("host-rust-bin", "host-rust-src")}
        assert len(versions) == 1, "the library's sources are not the compiler's"


def test_check_package(buildroot: Path) -> None:
    needs = subprocess.run(["python3", "-c", "import flake8, magic"], capture_output=True, text=True)
    if needs.returncode:
        pytest.skip(f"check-package: {needs.stderr.splitlines()[-1]} (python-magic, flake8)")
    files = sorted(path for path in TREE.rglob("*") if path.is_file())
    assert files
    done = subprocess.run([buildroot / "utils/check-package", "-b", *files],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
