# SPDX-License-Identifier: GPL-2.0-only
"""The cache (board/common/cache.sh): a damaged or incomplete entry is detected, reported and made
again."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from places import TOP

pytestmark = pytest.mark.unit

# An entry like the kernel's: a large file whose size is checked, a small one whose contents are.
SCRIPT = """
set -euo pipefail
die() { echo "error: $1" >&2; exit 1; }
say() { echo "$1: $2"; }
. board/common/cache.sh
trap entry_interrupted EXIT
fill() {
    echo made
    printf '%s' "$IMAGE" >"$ENTRY/Image"
    [[ -z ${FAIL:-} ]] || exit 3
    mkdir "$ENTRY/scripts"
    echo fixdep >"$ENTRY/scripts/fixdep"
    ENTRY_PATHS=(Image scripts) ENTRY_HASHED=(scripts/fixdep)
}
entry kernel-0123 "the kernel" fill
"""
DISTCLEAN = SCRIPT.partition("trap ")[0] + "distclean\n"


class Cache:
    def __init__(self, home: Path) -> None:
        self.home = home
        self.entry = home / "faultline/kernel-0123"

    def use(self, script: str = SCRIPT, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", script], cwd=TOP, text=True, stdin=subprocess.DEVNULL,
            env={"PATH": "/usr/bin:/bin", "XDG_CACHE_HOME": str(self.home), "IMAGE": "x" * 5000}
            | environment,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    cache = Cache(tmp_path)
    first = cache.use()
    assert (first.returncode, first.stdout) == (0, "made\n"), first.stdout
    return cache


def test_intact_entry_is_used_as_it_is(cache: Cache) -> None:
    again = cache.use()
    assert (again.returncode, again.stdout) == (0, "")


def truncate(entry: Path) -> None:
    with (entry / "Image").open("r+b") as image:
        image.truncate(4999)


def flip(entry: Path) -> None:
    (entry / "scripts/fixdep").write_text("fixdeq\n")


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated": (truncate, "Image"),
    "directory deleted": (lambda entry: shutil.rmtree(entry / "scripts"), "scripts/fixdep"),
    "deleted": (lambda entry: (entry / "Image").unlink(), "Image"),
    "contents changed": (flip, "scripts/fixdep"),
    "a file more": (lambda entry: (entry / "scripts/more").touch(), "scripts/more"),
    "manifest changed": (lambda entry: (entry / ".entry/sizes").write_text(""), "manifest"),
    "not complete": (lambda entry: (entry / ".entry/complete").unlink(), "half-made"),
}


@pytest.mark.parametrize(("damage", "named"), DAMAGE.values(), ids=DAMAGE.keys())
def test_damage_is_detected(cache: Cache, damage: Callable[[Path], object], named: str) -> None:
    damage(cache.entry)
    again = cache.use()
    assert again.returncode == 0
    said, _, rest = again.stdout.partition("\n")
    assert "the kernel in " in said and named in said and "making it again" in said
    assert rest == "made\n"
    assert cache.use().stdout == "", "it is whole again"
    assert (cache.entry / "Image").stat().st_size == 5000


def test_interrupted_making(tmp_path: Path) -> None:
    """The files of a maker that was interrupted, and that did not say it could go on from there, are
    not used."""
    cache = Cache(tmp_path)
    assert cache.use(FAIL="yes").returncode == 3
    assert (cache.entry / "Image").exists()
    again = cache.use()
    assert again.returncode == 0
    assert "half-made" in again.stdout and again.stdout.endswith("made\n")


def test_distclean(tmp_path: Path) -> None:
    """It deletes the project's own cache, unless a file there is not the project's. `make new-driver` makes a link
    to a cache that is another project's, too: nothing behind it is deleted."""
    cache = Cache(tmp_path)
    shared = tmp_path / "shared/linux-arm64-0123"
    shared.mkdir(parents=True)
    (shared / "Image").touch()
    cache.home.joinpath("faultline").symlink_to(shared.parent)
    done = cache.use(DISTCLEAN)
    assert done.returncode == 0 and f"is a link to {shared.parent}" in done.stdout, done.stdout
    assert (shared / "Image").exists() and cache.home.joinpath("faultline").is_symlink()

    cache.home.joinpath("faultline").unlink()
    shared.parent.rename(cache.home / "faultline")
    foreign = cache.home / "faultline/letter"
    foreign.touch()
    done = cache.use(DISTCLEAN)
    assert done.returncode == 1 and f"{foreign} is not this project's" in done.stdout, done.stdout
    assert (cache.home / "faultline/linux-arm64-0123/Image").exists()
    foreign.unlink()
    done = cache.use(DISTCLEAN)
    assert done.returncode == 0 and not (cache.home / "faultline").exists(), done.stdout
    assert "there is none in" in cache.use(DISTCLEAN).stdout
