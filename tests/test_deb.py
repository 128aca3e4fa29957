# SPDX-License-Identifier: GPL-2.0-only
"""Packages for Debian (make deb, board/common/deb.sh): what is in them, and what the script for DKMS
refuses. `make deb-test` also installs them in a Debian 13 root that is booted with Debian's kernel."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from guests import MARGIN
from places import PYTHON, RUNNER, TOP, Places
from project import MODULE, PROJECT

FILES = TOP / "board/common/deb"
RELEASE = "7.3.4+deb13-arm64"
PACKAGES = {f"{PROJECT}-tools": "arm64", f"{PROJECT}-dkms": "all", f"{PROJECT}-modules-{RELEASE}": "arm64"}

# Set-up's functions with a program and a module that the test makes up.
FUNCTIONS = """
set -euo pipefail
shopt -s inherit_errexit
die() { echo "error: $1" >&2; exit 1; }
say() { :; }
KERNEL=debian
. board/common/project.env
. board/common/versions.env
. board/common/debian.sh
. board/common/deb.sh
DEBIAN_TOOLS=$1
make_debs "$1/program" "$1/module" "$2"
"""


def call(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=TOP, text=True, stdin=subprocess.DEVNULL,
                          env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def made(work: Path, output: str = "deb", **environment: str) -> dict[str, Path]:
    """The packages, by name."""
    (work / "bin").mkdir(exist_ok=True)
    for name in ("program", "module", "bin/aarch64-linux-gnu-strip"):
        (work / name).write_text("#!/bin/sh\n")
        (work / name).chmod(0o755)
    done = call("bash", "-c", FUNCTIONS, "-", work, work / output, **environment)
    assert (done.returncode, done.stdout) == (0, "")
    return {path.name.partition("_")[0]: path for path in (work / output).iterdir()}


def fields(deb: Path) -> dict[str, str]:
    said = subprocess.run(["dpkg-deb", "--field", deb], text=True, stdout=subprocess.PIPE, check=True)
    return dict(line.split(": ", 1) for line in said.stdout.splitlines() if line[0] != " ")


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    if not shutil.which("dpkg-deb"):
        pytest.skip("dpkg-deb is not installed")
    return made(tmp_path_factory.mktemp("packages"))


@pytest.fixture(scope="module")
def unpacked(packages: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    there = {name: tmp_path_factory.mktemp("unpacked") for name in packages}
    for name, deb in packages.items():
        subprocess.run(["dpkg-deb", "--raw-extract", deb, there[name]], check=True)
    return there


@pytest.mark.unit
def test_packages_and_their_architectures(packages: dict[str, Path]) -> None:
    assert {name: fields(deb)["Architecture"] for name, deb in packages.items()} == PACKAGES
    versions = {fields(deb)["Version"] for deb in packages.values()}
    workspace = (TOP / "userspace/Cargo.toml").read_text()
    assert versions == {re.search(r'^version = "(.*)"$', workspace, re.MULTILINE)[1]}


@pytest.mark.unit
def test_module_is_for_one_version_of_one_kernel(packages: dict[str, Path]) -> None:
    module = fields(packages[f"{PROJECT}-modules-{RELEASE}"])
    assert f"linux-binary-{RELEASE} (= 7.3.4-1~bpo13+1)" in module["Depends"]


@pytest.mark.unit
def test_nothing_is_left_to_be_filled_in(unpacked: dict[str, Path]) -> None:
    for root in unpacked.values():
        for path in filter(Path.is_file, root.rglob("*")):
            text = path.read_bytes()
            if path.suffix == ".gz":
                text = subprocess.run(["zcat", path], stdout=subprocess.PIPE, check=True).stdout
            assert not re.search(rb"@[A-Z_]+@", text), path


@pytest.mark.unit
def test_scripts_of_the_packages_are_shell(unpacked: dict[str, Path]) -> None:
    scripts = [root / "DEBIAN" / name for root in unpacked.values() for name in ("postinst", "prerm", "postrm")]
    there = [path for path in scripts if path.exists()]
    assert len(there) >= 5
    for path in there:
        assert path.stat().st_mode & 0o777 == 0o755
        assert (call("sh", "-n", path).returncode, path) == (0, path)


@pytest.mark.unit
def test_sources_for_dkms_are_all_of_the_driver(unpacked: dict[str, Path]) -> None:
    (sources,) = (unpacked[f"{PROJECT}-dkms"] / "usr/src").iterdir()
    driver = TOP / "driver"
    wanted = {path.relative_to(driver) for path in driver.rglob("*")
              if path.suffix in {".rs", ".c", ".h"} or path.name in {"Kbuild", "Kconfig"}}
    there = sources / "driver"
    assert {path.relative_to(there) for path in there.rglob("*") if path.is_file()} == wanted
    assert {path.name for path in sources.iterdir()} == {"build", "crates.sh", "dkms.conf", "driver"}


@pytest.mark.unit
def test_same_inputs_make_the_same_bytes(packages: dict[str, Path], tmp_path: Path) -> None:
    again = made(tmp_path, TZ="Asia/Tokyo")
    assert {name: hashlib.sha256(deb.read_bytes()).hexdigest() for name, deb in again.items()} == {
        name: hashlib.sha256(deb.read_bytes()).hexdigest() for name, deb in packages.items()
    }


@pytest.mark.unit
def test_man_page_has_every_option() -> None:
    page = (TOP / f"docs/{PROJECT}-verify.1").read_text().replace("\\-", "-")
    sources = (TOP / "userspace/core/src/args.rs", TOP / "userspace/core/src/args/verify.rs")
    options = {name for path in sources for name in re.findall(r'name: "(--[\w-]+)"', path.read_text())}
    assert options >= {"--json", "--help"}
    entries = set(re.findall(r"^\.(?:B|BI) (--[\w-]+)", page, re.MULTILINE))
    assert options - entries == set()
    assert entries - options == set()


# What the script of the package for DKMS needs, made up: a kernel's headers, its compilers.
COMPILERS = {
    "aarch64-linux-gnu-gcc-14": "aarch64-linux-gnu-gcc-14 (Debian 14.2.0-19) 14.2.0",
    "rustc": "rustc 1.85.1 (4eb161250 2025-03-15)",
    "bindgen": "bindgen 0.71.1",
    "pahole": "v1.30",
}
CONFIG = f"""\
CONFIG_RUST=y
CONFIG_CC_VERSION_TEXT="{COMPILERS["aarch64-linux-gnu-gcc-14"]}"
CONFIG_RUSTC_VERSION_TEXT="{COMPILERS["rustc"]}"
CONFIG_BINDGEN_VERSION_TEXT="{COMPILERS["bindgen"]}"
CONFIG_PAHOLE_VERSION=130
"""


class Machine:
    """A machine for which the driver can be built, until the test takes something away."""

    def __init__(self, work: Path, sources: Path) -> None:
        self.build = sources / "build"
        self.programs, self.headers = work / "bin", work / "headers"
        self.archive, self.library = work / "linux-source.tar.xz", work / "lib/rustlib/src/rust/library"
        for directory in (self.programs, self.headers, self.library):
            directory.mkdir(parents=True)
        (self.headers / ".config").write_text(CONFIG)
        self.archive.touch()
        for name, version in COMPILERS.items():
            program = self.programs / name
            program.write_text(f'#!/bin/sh\ncase $* in *sysroot*) echo {work} ;; *) echo "{version}" ;; esac\n')
            program.chmod(0o755)

    def why_not(self, release: str = RELEASE) -> list[str]:
        done = call("bash", self.build, "why-not", release, self.headers,
                    LINUX_SOURCE=str(self.archive), PATH=f"{self.programs}:/usr/bin:/bin")
        assert done.returncode == 0, done.stdout
        return done.stdout.splitlines()


@pytest.fixture
def machine(unpacked: dict[str, Path], tmp_path: Path) -> Machine:
    (sources,) = (unpacked[f"{PROJECT}-dkms"] / "usr/src").iterdir()
    return Machine(tmp_path, sources)


@pytest.mark.unit
def test_dkms_builds_where_nothing_is_missing(machine: Machine) -> None:
    assert machine.why_not() == []


@pytest.mark.unit
@pytest.mark.parametrize("release", ["6.12.9+deb13-arm64", "7.30.1-arm64", "7x3.1"])
def test_dkms_names_another_series(machine: Machine, release: str) -> None:
    assert machine.why_not(release) == ["the driver is for Linux 7.3"]
    conf = (machine.build.parent / "dkms.conf").read_text()
    pattern = re.search(r'^BUILD_EXCLUSIVE_KERNEL="(.*)"$', conf, re.MULTILINE)[1]
    assert not re.search(pattern, release) and re.search(pattern, RELEASE)


@pytest.mark.unit
def test_dkms_names_what_is_missing(machine: Machine) -> None:
    (machine.programs / "pahole").unlink()
    machine.archive.unlink()
    machine.library.rmdir()
    said = machine.why_not()
    assert "CONFIG_PAHOLE_VERSION: the kernel was built with '130', this is 'not installed'" in said[0]
    assert said[1:] == ["its sources are not installed (linux-source-7.3)",
                        "Rust's own sources are not installed (rust-src)"]


@pytest.mark.unit
def test_dkms_needs_no_sources_where_the_headers_have_the_crates(machine: Machine) -> None:
    machine.archive.unlink()
    (machine.headers / "rust").mkdir()
    (machine.headers / "rust/libkernel.rmeta").touch()
    assert machine.why_not() == []


@pytest.mark.unit
@pytest.mark.parametrize(("config", "said"), [
    (None, f"its headers are not installed (linux-headers-{RELEASE})"),
    ("# CONFIG_RUST is not set\n", "it was built without Rust (CONFIG_RUST is not set)"),
    ("CONFIG_RUSTIC=y\n", "it was built without Rust (CONFIG_RUST is not set)"),
])
def test_dkms_names_a_kernel_that_cannot_have_it(machine: Machine, config: str | None, said: str) -> None:
    there = machine.headers / ".config"
    if config is None:
        there.unlink()
    else:
        there.write_text(config)
    assert machine.why_not() == [said]
    done = call("bash", machine.build, "make", RELEASE, machine.headers,
                PATH=f"{machine.programs}:/usr/bin:/bin")
    assert done.returncode == 1 and said in done.stdout


# --- make deb-test

NEEDED = "run `make deb-test`, which makes the packages"


@pytest.fixture(scope="module")
def built() -> list[Path]:
    if "TEST_DEB" not in os.environ:
        pytest.skip(NEEDED)
    debs = sorted(Path(os.environ["TEST_DEB"]).glob("*.deb"))
    assert len(debs) == len(PACKAGES)
    return debs


@pytest.mark.deb
def test_lintian_has_nothing_to_say(built: list[Path]) -> None:
    if not shutil.which("lintian"):
        pytest.skip("lintian is not installed")
    done = call("lintian", "--fail-on=error,warning,info", "--display-info", "--allow-root", *built)
    assert (done.returncode, done.stdout) == (0, "")


class Guest:
    """What the guest has told, by topic (tests/guest/debian-packages.sh)."""

    def __init__(self, console: str) -> None:
        self.console = console

    def __getitem__(self, topic: str) -> list[str]:
        return re.findall(rf"^(?:.*\] )?{topic}\| (.*)$", self.console, re.MULTILINE)


@pytest.fixture(scope="module")
def guest(built: list[Path], places: Places, tmp_path_factory: pytest.TempPathFactory) -> Guest:
    work = tmp_path_factory.mktemp("debian")
    kernel = TOP / f"build/{places.board}-{os.environ['TEST_DEB_KERNEL']}/linux/arch/arm64/boot/Image"
    done = subprocess.run([TOP / "tests/debian-root"], text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode:
        pytest.skip(f"there is no Debian root: {done.stderr.splitlines()[-1]}")
    tree = work / "tree"
    (tree / "debs").mkdir(parents=True)
    for deb in built:
        if "-dkms_" not in deb.name:  # which would compile for an hour in QEMU
            shutil.copy(deb, tree / "debs")
    shutil.copy(TOP / "tests/guest/debian-packages.sh", tree / "debian-packages.sh")
    units = tree / "etc/systemd/system"
    (units / "multi-user.target.wants").mkdir(parents=True)
    (units / "debian-packages.service").write_text(
        "[Unit]\nAfter=systemd-udev-trigger.service dbus.service\n"
        "[Service]\nType=oneshot\nExecStart=/debian-packages.sh service\n")
    (units / "multi-user.target.wants/debian-packages.service").symlink_to("../debian-packages.service")
    # A prompt for a login would come in the middle of what the guest tells.
    (units / "serial-getty@ttyAMA0.service").symlink_to("/dev/null")
    # A later archive adds to an earlier one.
    initramfs = work / "root.cpio"
    shutil.copy(done.stdout.strip(), initramfs)
    names = "\n".join(str(path.relative_to(tree)) for path in sorted(tree.rglob("*")))
    packed = subprocess.run(["cpio", "--create", "--format=newc", "--owner=0:0", "--quiet"], cwd=tree,
                            input=names.encode(), stdout=subprocess.PIPE, check=True)
    with initramfs.open("ab") as archive:
        archive.write(packed.stdout)
    limit = 3600
    run = subprocess.run(
        [*PYTHON, RUNNER, f"--board={places.board}", f"--qemu={places.qemu}", f"--kernel={kernel}",
         f"--initramfs={initramfs}", "--mem=2G", f"--work={work}", f"--timeout={limit}",
         "--append=rdinit=/debian-packages.sh systemd.show_status=0"],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=limit + MARGIN,
    )
    console = run.stdout.decode(errors="replace").replace("\r", "")
    assert (run.returncode, run.stderr.decode()) == (0, ""), console
    return Guest(console)


@pytest.mark.deb
def test_packages_are_installed_on_debian(guest: Guest) -> None:
    assert guest["kernel"] == [RELEASE, "exit 0"], guest.console
    assert guest["install"][-1] == "exit 0", guest.console
    assert f".TH {PROJECT.upper()}-VERIFY 1" in "\n".join(guest["page"])


@pytest.mark.deb
def test_module_is_loaded_by_the_device_tree(guest: Guest) -> None:
    """Nothing but the node's modalias asks for it."""
    assert guest["settle"] == ["exit 0"], guest.console
    assert guest["loaded"] == ["1", "exit 0"], guest.console
    assert len(guest["modalias"]) == 3 and all("faultline,coherent-buffer" in line for line in guest["modalias"][:2])


@pytest.mark.deb
def test_devices_belong_to_the_group(guest: Guest) -> None:
    assert guest["devices"] == [f"/dev/{MODULE}{n} root:{PROJECT} 660" for n in (0, 1)] + ["exit 0"], guest.console


@pytest.mark.deb
def test_devices_have_names_by_their_nodes(guest: Guest) -> None:
    """As far as the rules for udev give them any."""
    rules = (TOP / f"buildroot/package/{PROJECT}-driver/70-{PROJECT}.rules").read_text()
    names = {"9020000.dma-buffer": 1, "dma-buffer-0": 0} if "by-name" in rules else {}
    wanted = [f"/dev/{PROJECT}/by-name/{name} -> ../../{MODULE}{n}" for name, n in names.items()]
    assert guest["names"][:-1] == wanted, guest.console


@pytest.mark.deb
def test_only_users_of_the_group_can_verify(guest: Guest) -> None:
    assert guest["stranger"][-1] != "exit 0" and "EACCES" in "\n".join(guest["stranger"]), guest.console
    for user in ("user", "root"):
        assert guest[user][-1] == "exit 0", guest.console
        assert any(line.startswith(f"{PROJECT}-verify: PASS: 2 devices") for line in guest[user]), guest.console


@pytest.mark.deb
def test_removal_leaves_nothing(guest: Guest) -> None:
    assert guest["remove"][-1] == "exit 0", guest.console
    assert guest["files"][:-1] == [], guest.console
    assert guest["gone"][:-1] == [], guest.console
    assert guest["purge"][-1] == "exit 0", guest.console
    assert [line for line in guest["packages"] if line.startswith(("ii", "rc"))] == [], guest.console
