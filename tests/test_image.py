# SPDX-License-Identifier: GPL-2.0-only
"""Images: tests that build no image. test_buildroot.py is about the tree that they are made of."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import libfdt
import pytest

from conftest import Make
from guests import PATIENCE
from places import PYTHON, RUNNER, SETUP, TOP, Places
from project import KCONFIG, MODULE, PROJECT
from runner.initramfs import tool
from test_buildroot import BOARDS, TREE, VERSIONS, defconfig, settings

pytestmark = pytest.mark.image

CHECK_CONFIG = TOP / "board/common/check-config"
VERIFY = TREE / "package/faultline-verify/faultline-verify.mk"
DEFAULT_BOARD = "qemu-virt-arm64"


def test_version_and_board_come_from_their_files(tmp_path: Path) -> None:
    """A new release of the kernel, or a renamed board, is a change in one place."""
    for name in ("board", "buildroot"):
        shutil.copytree(TOP / name, tmp_path / name)
    versions = tmp_path / "board/common/versions.env"
    release = VERSIONS["KERNEL_RELEASE"]
    versions.write_text(versions.read_text().replace(f"KERNEL_RELEASE={release}", "KERNEL_RELEASE=7.3.99"))
    (tmp_path / "board/raspberrypi4-64").rename(tmp_path / "board/desk-pi")
    (tmp_path / "new").mkdir()
    subprocess.run([tmp_path / "board/common/setup", "defconfigs", tmp_path / "new"], check=True)
    expected = defconfig("raspberrypi4-64").read_text()
    expected = expected.replace("raspberrypi4-64", "desk-pi").replace(release, "7.3.99")
    assert (tmp_path / f"new/{MODULE}_desk_pi_defconfig").read_text() == expected


def test_licences_of_the_crates(places: Places) -> None:
    """The program has them in it: the package has to name a licence of each."""
    named = re.search(r"_LICENSE = (.*)", VERIFY.read_text())
    licences = set(re.sub(r" \(.*?\)", "", named[1] if named else "").split(", "))
    # Not offline: cargo fetches what it has not yet, for builds do not take all of these crates.
    done = subprocess.run(
        [SETUP, "cargo", "metadata", "--locked", "--format-version=1",
         f"--filter-platform={places.target}"],
        cwd=TOP, capture_output=True, text=True, stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    crates = {crate["name"]: crate["license"] for crate in json.loads(done.stdout)["packages"]
              if crate["source"]}
    assert "rustix" in crates
    # `Apache-2.0 OR MIT` lets us choose.
    assert [name for name, said in crates.items() if not licences & set(re.split(r" OR |/", said))] == []


@pytest.mark.parametrize(("fragment", "config", "dropped"), [
    ("CONFIG_RUST=y", "CONFIG_RUST=y", None),
    ("CONFIG_RUST=y", "# CONFIG_RUST is not set", "CONFIG_RUST=y"),
    ("CONFIG_RUST=y", "CONFIG_RUSTY=y", "CONFIG_RUST=y"),
    ("CONFIG_NR_CPUS=8", "CONFIG_NR_CPUS=64", "CONFIG_NR_CPUS=8"),
    ("# CONFIG_NET is not set", "CONFIG_NET=y", "# CONFIG_NET is not set"),
    ("# a comment", "CONFIG_NET=y", None),
])
def test_a_dropped_line_is_named(
    tmp_path: Path, fragment: str, config: str, dropped: str | None
) -> None:
    (tmp_path / "fragment").write_text(f"{fragment}\n")
    (tmp_path / "config").write_text(f"CONFIG_OF=y\n{config}\n")
    done = subprocess.run([CHECK_CONFIG, tmp_path / "fragment", tmp_path / "config"],
                          capture_output=True, text=True)
    assert (done.returncode != 0) == (dropped is not None)
    assert f"\n    {dropped}\n" in done.stderr if dropped else not done.stderr


@pytest.mark.kernel
@pytest.mark.parametrize("name", [board for board in BOARDS if "CARD_CONSOLE" in BOARDS[board]])
def test_card_has_no_supply_that_waits(name: str, places: Places, tmp_path: Path) -> None:
    """The card's kernel has a driver for supplies. If the line of one is at a device that is
    switched off, it waits for that; and of those that wait the kernel warns, ten seconds after a
    module is loaded, when the verification may look."""
    if name not in (*places.boards, places.board):
        pytest.skip(f"{name} is not among the BOARDS of this run")
    env = BOARDS[name]
    base = places.of_board(name).kernel.parent / "dts" / env["DTB"]
    blobs = []
    for source in filter(None, (env["DTSO"], env.get("CARD_DTSO"))):
        blobs.append(tmp_path / Path(source).with_suffix(".dtbo").name)
        tool("dtc", "-@", "-O", "dtb", "-o", str(blobs[-1]), str(TOP / source))
    tool("fdtoverlay", "-i", str(base), "-o", str(tmp_path / "card.dtb"), *map(str, blobs))
    tree = libfdt.FdtRo((tmp_path / "card.dtb").read_bytes())

    def value(node: int, *names: str) -> bytes:
        found = (tree.getprop(node, key, libfdt.QUIET_NOTFOUND) for key in names)
        return next((bytes(data) for data in found if not isinstance(data, int)), b"")

    def is_off(node: int) -> bool:
        above = tree.parent_offset(node, libfdt.QUIET_NOTFOUND)
        return value(node, "status") == b"disabled\0" or above >= 0 and is_off(above)

    nodes, node = [], tree.first_subnode(0, libfdt.QUIET_NOTFOUND)
    while node >= 0:
        nodes.append(node)
        node = tree.next_subnode(node, libfdt.QUIET_NOTFOUND)
    waiting = [
        tree.get_name(node) for node in nodes
        if value(node, "compatible").startswith(b"regulator-") and not is_off(node)
        and (line := value(node, "gpio", "gpios"))
        and is_off(tree.node_offset_by_phandle(int.from_bytes(line[:4], "big")))
    ]
    assert nodes and waiting == []


# A Buildroot that notes what it is asked for, and fails at the goals that the file `fails` names.
BUILDROOT = r"""
export BR2_VERSION := 2099.02
note = echo $@ >>$(O)/asked; ! grep -qx $@ $(O)/fails
show-info:
	@echo '{"linux": {"build_dir": "a"}, "busybox": {"build_dir": "b"}, "rootfs": {}}'
clean:
	@$(note)
	rm -rf $(O)/images
defconfig:
	@$(note)
	cp $(BR2_DEFCONFIG) $(O)/.config
%-rebuild:
	@$(note)
all:
	@$(note)
	mkdir -p $(O)/images && touch $(O)/images/Image
"""
# What Buildroot needs on the machine.
BUILDROOT_PROGRAMS = ("which", "g++", "make", "patch", "gzip", "bzip2", "tar", "wget", "cpio", "unzip",
                      "rsync", "file", "bc", "cmp", "find", "perl")


def pretend(folder: Path, *names: str) -> None:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_text("#!/bin/true\n")
        (folder / name).chmod(0o755)


class Image:
    """A copy of set-up with that Buildroot, two kernels' sources, and tools of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        for name in ("board", "buildroot"):
            shutil.copytree(TOP / name, home / name)
        for name in ("linux", "other"):
            (home / name).mkdir()
            (home / name / "Makefile").write_text("VERSION = 7\nPATCHLEVEL = 3\nSUBLEVEL = 99\n")
        (home / "br/package").mkdir(parents=True)
        (home / "br/Config.in").touch()
        (home / "br/Makefile").write_text(BUILDROOT)
        pretend(home / "bin", *(name for name in BUILDROOT_PROGRAMS if not shutil.which(name)), "perl")
        self.output = home / f"build/{DEFAULT_BOARD}/buildroot"
        self.output.mkdir(parents=True)
        self.output.with_name("tools.env").write_text(
            "RUST_BIN=/rust/bin\nRUST_SRC=/rust/src\nBINDGEN=/bindgen\nLIBCLANG_PATH=/llvm\nLLVM=-19\n"
            "RUST_VERSION=1.95.0\nBINDGEN_FOUND=0.72.1\nLLVM_VERSION=19.1.7\nQEMU_WHY_NOT=none\n")

    def make(self, kernel: str = "linux", fails: str = "", rust: str = "host") -> list[str]:
        """Runs `setup image`; what Buildroot was asked for."""
        (self.output / "asked").write_text("")
        (self.output / "fails").write_text(f"{fails}\n")
        done = subprocess.run(
            [self.home / "board/common/setup", "image"], text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={"PATH": f"{self.home}/bin:{os.environ['PATH']}", "HOME": str(self.home),
                 "XDG_CACHE_HOME": str(self.home), "BOARD": DEFAULT_BOARD,
                 "BUILDROOT": str(self.home / "br"), "BUILDROOT_RUST": rust,
                 "KERNEL_SRC": str(self.home / kernel)},
        )
        assert (done.returncode != 0) == bool(fails), done.stdout
        return (self.output / "asked").read_text().split()

    @property
    def config(self) -> dict[str, str]:
        """What Buildroot was configured with."""
        return dict(settings(self.output / ".config"))


@pytest.fixture
def image(tmp_path: Path) -> Image:
    return Image(tmp_path)


def test_image_is_rebuilt_when_its_inputs_change(image: Image) -> None:
    """Another configuration, other kernel sources, another Rust. A step that failed runs again; a
    build that was stopped continues; of a complete one our own packages are made again."""
    again = [f"{PROJECT}-driver-rebuild", f"{PROJECT}-verify-rebuild", "all"]
    assert image.make(fails="all") == ["defconfig", "all"]
    assert image.make() == ["all"]
    assert image.make() == again
    assert image.make(kernel="other") == ["clean", "defconfig", "all"]
    assert image.make(kernel="other") == again
    assert image.make(fails="defconfig") == ["clean", "defconfig"]
    assert image.make(fails="all") == ["clean", "defconfig", "all"]
    assert image.make(rust="buildroot", fails="all") == ["clean", "defconfig", "all"]
    assert image.make(rust="buildroot") == ["all"]


def test_image_is_built_with_the_rust_of_make_run(image: Image) -> None:
    """Unless Buildroot's own is asked for."""
    image.make(rust="")
    assert image.config[f"{KCONFIG}_HOST_RUST"] == "y"
    assert image.config[f"{KCONFIG}_HOST_RUSTC"] == '"/rust/bin/rustc"'
    assert image.config[f"{KCONFIG}_HOST_LLD"] == '"ld.lld-19"'
    image.make(rust="buildroot")
    assert not [name for name in image.config if "HOST_RUST" in name]


def in_image_shell(script: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A script that calls functions of image.sh."""
    prologue = "set -euo pipefail; shopt -s inherit_errexit; . board/common/project.env; . board/common/image.sh\n"
    prologue += "say() { echo \"$2\"; }; die() { echo \"$1\" >&2; exit 1; }\n"
    return subprocess.run(["bash", "-c", prologue + script], cwd=TOP, text=True, capture_output=True,
                          stdin=subprocess.DEVNULL, env={**os.environ, **variables})


@pytest.mark.parametrize(("log", "said"), [
    ("", "2 of 45 packages, starting, 0 lines"),
    ("mkdir -p host\n", "2 of 45 packages, starting, 1 lines"),
    (">>> host-skeleton  Extracting\n", "2 of 45 packages, host-skeleton: Extracting, 0 lines"),
    (">>> busybox 1.38.0 Building\n>>> linux 7.3.4 Building\n  CC a.o\n  LD a\n",
     "2 of 45 packages, linux: Building, 2 lines"),
    (">>> toolchain-external-bootlin 2025.08-1 Installing to staging directory\n",
     "2 of 45 packages, toolchain-external-bootlin: Inst, 0 lines"),
    (">>> linux 7.3.4 Building\n  CC a.o\n>>>   Finalizing target directory\n",
     "2 of 45 packages, Finalizing target directory, 0 lines"),
])
def test_progress_says_how_far_buildroot_is(tmp_path: Path, log: str, said: str) -> None:
    """Packages count when they are installed, whichever run of make image did that."""
    (tmp_path / "log").write_text(log)
    for name, stamp in (("host-skeleton", "installed"), ("busybox-1.38.0", "installed"),
                        ("linux-7.3.4", "configured")):
        (tmp_path / "build" / name).mkdir(parents=True)
        (tmp_path / "build" / name / f".stamp_{stamp}").touch()
    done = in_image_shell("total=45 output=$WORK; image_progress $WORK/log", WORK=str(tmp_path))
    assert (done.stdout, done.stderr) == (f"{said}\n", "")


@pytest.mark.parametrize(("board", "rust", "rebuilt", "measured", "said"), [
    ("qemu-virt-arm", "host", 0, "", "was not timed"),
    ("qemu-virt-arm64", "host", 0, "841", "took 15 minutes on this machine"),
    ("qemu-virt-arm64", "host", 2, "841", "about 1 minute"),
    ("qemu-virt-arm64", "buildroot", 0, "", "nobody has built an image this way"),
])
def test_duration_is_said_before_the_build(
    tmp_path: Path, board: str, rust: str, rebuilt: int, measured: str, said: str
) -> None:
    output = tmp_path / "build/buildroot"
    output.mkdir(parents=True)
    (output / "first-build-seconds").write_text(measured)
    done = in_image_shell(f"image_announce 45 31 {rebuilt}", TOP=str(tmp_path), BUILD="build",
                          BR_VERSION="2026.08", BOARD=board, BUILDROOT_RUST=rust, LOGS="/log")
    assert (done.returncode, done.stderr) == (0, "")
    first, *lasts = done.stdout.splitlines()
    assert first == f"Buildroot 2026.08 for {board}: 31 of 45 packages are built already"
    assert said in " ".join(lasts)
    assert lasts[0].startswith("The build that was stopped goes on. ") == (not rebuilt)
    assert lasts[-1].startswith("Ctrl-C stops the build")


def test_a_program_that_buildroot_lacks_is_named(tmp_path: Path) -> None:
    """Before anything is downloaded, and with the package that has it."""
    pretend(tmp_path, *BUILDROOT_PROGRAMS)
    check = "PATH=$WORK; check_buildroot_programs"
    assert in_image_shell(check, WORK=str(tmp_path)).returncode == 0
    for name in ("rsync", "cmp"):
        (tmp_path / name).unlink()
    done = in_image_shell(check, WORK=str(tmp_path))
    assert done.returncode == 1
    assert "sudo apt-get install --no-install-recommends rsync diffutils\n" in done.stderr


# ------------------------------------------------------------------------ an image, as it is booted


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    disk = tmp_path / "disk.img"
    disk.write_bytes(bytes(1 << 20))
    return disk


def boot(places: Places, disk: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PYTHON, RUNNER, f"--board={places.board}", f"--kernel={places.kernel}", f"--disk={disk}",
         f"--work={disk.parent}", *arguments],
        capture_output=True, text=True, stdin=subprocess.DEVNULL,
    )


@pytest.mark.kernel
@pytest.mark.parametrize(("said", "status"), [
    ("faultline: exit status 0", 0),
    ("faultline: exit status 3", 3),
    ("[    1.000000] Kernel panic - not syncing\nfaultline: exit status 0", 1),
    ("faultline: nothing", 124),
])
def test_a_guest_that_stays_ends_with_its_verdict(
    places: Places, disk: Path, said: str, status: int
) -> None:
    """It has a login to offer, and does not end by itself."""
    qemu = disk.with_name("qemu")
    qemu.write_text(f"#!/bin/sh\necho '{said}'\nexec sleep 1000\n")
    qemu.chmod(0o755)
    limit = 1 if status == 124 else PATIENCE
    done = boot(places, disk, f"--qemu={qemu}", f"--dtb={disk}", f"--timeout={limit}")
    assert done.returncode == status, done.stderr


@pytest.mark.kernel
def test_start_script(places: Places, disk: Path) -> None:
    """It starts what `make run-image` starts, and takes options of the user's."""
    script = disk.with_name("start-qemu.sh")
    done = boot(places, disk, f"--script={script}")
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    env = BOARDS[places.board]
    last = script.read_text().splitlines()[-1]
    assert last.startswith(f"exec {env['QEMU']} ") and last.endswith(' "$@"')
    assert f"root={env['ROOT']} " in last and f"file={disk}" in last
    assert os.access(script, os.X_OK)
    subprocess.run(["sh", "-n", script], check=True)


@pytest.mark.kernel
def test_a_guest_has_a_disk_or_an_initramfs(places: Places, disk: Path) -> None:
    done = boot(places, disk, f"--module={places.module}", f"--init={places.verify}")
    assert done.returncode == 125
    assert "either --disk, or --initramfs, or both --module and --init" in done.stderr


@pytest.mark.parametrize("board", BOARDS)
def test_image_gives_its_verdict(make: Make, board: str) -> None:
    """Whatever image there is, it is the one that is booted."""
    if not (TOP / "build" / board / "image").exists():
        pytest.skip(f"no image: make image BOARD={board}")
    done = make("run-image", f"BOARD={board}", f"TIMEOUT={PATIENCE - 10}")
    assert done.returncode == 0, done.stdout
    assert re.search(r"^faultline-verify: PASS: [1-9]\d* devices?, ", done.stdout, re.MULTILINE)
