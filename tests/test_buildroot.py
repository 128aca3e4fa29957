# SPDX-License-Identifier: GPL-2.0-only
"""The external tree for Buildroot: its configurations, its packages, its init script. Tests of Buildroot's
own tools are skipped unless `make test BUILDROOT=DIR` gives a source tree."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from project import EXIT_STATUS, KCONFIG, MODULE, PROJECT, TOP, VERIFY, environment
from runner.machine import DISKS

pytestmark = pytest.mark.image

SETUP = TOP / "board/common/setup"
TREE = TOP / "buildroot"
DRIVER_RECIPE = TREE / "package/faultline-driver/faultline-driver.mk"
VERIFY_RECIPE = TREE / "package/faultline-verify/faultline-verify.mk"
INIT_SCRIPT = VERIFY_RECIPE.with_name(f"S90{VERIFY}")
RECIPES = {path.stem: path.read_text() for path in sorted(TREE.glob("package/*/*.mk"))}
LINUX_EXTENSION = TREE / f"linux/linux-ext-{MODULE}.mk"
# What a line of a makefile sets.
SET = re.compile(r"^(?:define )?(\w+)(?: [:+]?=|(?<!endef)(?<!endif)(?<!else)$)", re.MULTILINE)

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


def options() -> set[str]:
    """The options of this tree, found as Buildroot finds them: from Config.in on."""
    main = (TREE / "Config.in").read_text()
    sourced = re.findall(rf'^source "\$BR2_EXTERNAL_{KCONFIG}_PATH/(.*)"$', main, re.MULTILINE)
    assert sorted(sourced) == sorted(str(path.relative_to(TREE)) for path in TREE.glob("package/*/Config.in"))
    texts = [main, *((TREE / file).read_text() for file in sourced)]
    return {name for text in texts for name in re.findall(r"^config (\w+)$", text, re.MULTILINE)}


def is_ours(name: str) -> bool:
    return name.removeprefix("BR2_PACKAGE_").startswith(f"{KCONFIG}_")


@pytest.mark.parametrize("board", BOARDS)
def test_this_tree_is_in_the_image(board: str) -> None:
    """Kconfig drops a line with an option that there is not."""
    made = dict(settings(defconfig(board)))
    assert {name for name in made if is_ours(name)} <= options()
    for package in TREE.glob("package/*/Config.in"):
        name = package.parent.name.replace("-", "_").upper()
        assert made.get(f"BR2_PACKAGE_{name}") == "y", package
    assert made[f"{KCONFIG}_RUST_TARGET"] == f'"{BOARDS[board]["RUST_TARGET"]}"'
    prefix = f'"$(BR2_EXTERNAL_{KCONFIG}_PATH)/'
    assert (TREE / made["BR2_GLOBAL_PATCH_DIR"].removeprefix(prefix).strip('"') / "linux/linux.hash").is_file()


def test_buildroot_finds_the_parts() -> None:
    lines = (TREE / "external.desc").read_text().splitlines()
    assert f"name: {KCONFIG}" in lines
    assert any(line.startswith("desc: ") for line in lines)
    assert f"$(BR2_EXTERNAL_{KCONFIG}_PATH)/package/*/*.mk" in (TREE / "external.mk").read_text()
    assert LINUX_EXTENSION.is_file()
    folders = {path.name for path in TREE.glob("package/*")}
    assert {f"{PROJECT}-driver", VERIFY} <= folders == RECIPES.keys()
    for name, text in RECIPES.items():
        assert re.search(r"^\$\(eval \$\((?:host-)?generic-package\)\)$", text, re.MULTILINE), name
    assert "$(eval $(kernel-module))" in RECIPES[f"{PROJECT}-driver"]


def test_recipes_name_what_there_is() -> None:
    """make takes a variable that nobody has set for nothing. Those of a package that Buildroot reads begin with
    the package's name."""
    text = "\n".join([(TREE / "external.mk").read_text(), LINUX_EXTENSION.read_text(), *RECIPES.values()])
    there = {*options(), *SET.findall(text), f"BR2_EXTERNAL_{KCONFIG}_PATH"}
    there |= {f"{name.replace('-', '_').upper()}_{of_buildroot}" for name in RECIPES
              for of_buildroot in ("PKGDIR", "REDIST_SOURCES_DIR")}
    used = re.findall(rf"\$\((\w*{KCONFIG}_\w+)\)", text)
    assert {*used} - there == set()
    # Buildroot itself looks at the options of packages, and Kconfig at the one that stands for no other of a choice.
    by_others = {f"BR2_PACKAGE_{name.replace('-', '_').upper()}" for name in RECIPES} | {f"{KCONFIG}_PINNED_RUST"}
    assert options() - by_others <= {*used}
    for part in (TREE / "external.mk", LINUX_EXTENSION):
        assert f"ifeq ($(BR2_PACKAGE_{KCONFIG}_DRIVER),y)" in part.read_text()
    for name, recipe in RECIPES.items():
        own = tuple(f"{prefix}{name.replace('-', '_').upper()}_" for prefix in ("", "HOST_"))
        assert [each for each in SET.findall(recipe) if not each.startswith(own)] == []
        folder = TREE / "package" / name
        files = re.findall(r"\$\(\w+_PKGDIR\)/([\w.-]+)", recipe)
        assert [file for file in files if not (folder / file).is_file()] == []
        licences = re.findall(r"LICENSES/[\w.-]+\.txt", recipe)
        assert [file for file in licences if not (TOP / file).is_file()] == []
    paths = re.findall(rf"\$\({KCONFIG}_TOP\)/([\w./-]+)", text)
    assert paths and [path for path in paths if not (TOP / path).exists()] == []


def is_copied(recipe: Path, path: str) -> bool:
    """Whether the first of rsync's rules that matches a file, and those for the folders that it is in, let it in."""
    rules = re.findall(r"--(include|exclude)=(\S+)", recipe.read_text())
    parts = path.split("/")
    for length in range(1, len(parts) + 1):
        name = "/" + "/".join(parts[:length])
        for kind, pattern in rules:
            if pattern.endswith("/***"):
                matches = f"{name}/".startswith(pattern.removesuffix("***"))
            else:
                matches = pattern == name or pattern == "*" or (pattern == "/*" and length == 1)
            if matches:
                if kind == "exclude":
                    return False
                break
    return True


def test_packages_have_their_sources() -> None:
    for path in (TOP / "driver").rglob("*.[rch]*"):
        assert is_copied(DRIVER_RECIPE, str(path.relative_to(TOP)))
    assert is_copied(DRIVER_RECIPE, "driver/Kbuild") and not is_copied(DRIVER_RECIPE, "build/x")
    assert f"CONFIG_{KCONFIG}=m" in DRIVER_RECIPE.read_text()
    numbers = (TOP / "userspace/uapi/src/lib.rs").read_text()
    shared = re.findall(r'^#\[path = "\.\./\.\./\.\./(.*)"\]$', numbers, re.MULTILINE)
    assert shared
    for path in [*shared, "userspace/Cargo.lock", "userspace/.cargo/config.toml", "userspace/verify/src/main.rs"]:
        assert is_copied(VERIFY_RECIPE, path), path
    assert not is_copied(VERIFY_RECIPE, "build/x")
    assert f"--package {VERIFY}\n" in VERIFY_RECIPE.read_text()
    assert f'name = "{VERIFY}"\n' in (TOP / "userspace/verify/Cargo.toml").read_text()


def test_the_names_of_devices() -> None:
    """mdev and udev know the driver's devices, and no others."""
    (mdev,) = re.findall(r"^\techo '(\S+) .*' >> \S+/etc/mdev\.conf$", DRIVER_RECIPE.read_text(), re.MULTILINE)
    rules = DRIVER_RECIPE.with_name(f"70-{MODULE}.rules").read_text()
    (udev,) = re.findall(r'^KERNEL!="(\S+)", GOTO=', rules, re.MULTILINE)
    for name, is_one in ((f"{MODULE}0", True), (f"{MODULE}12", True), (MODULE, False), (f"{MODULE}-x", False)):
        assert bool(re.fullmatch(mdev, name)) is is_one, name
        assert fnmatch.fnmatchcase(name, udev) is is_one, name


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
    verify, log = tmp_path / VERIFY, tmp_path / f"{VERIFY}.log"
    verify.write_text(f"#!/bin/sh\necho TAP\necho trouble >&2\nexit {status}\n")
    verify.chmod(0o755)
    text = INIT_SCRIPT.read_text()
    for there in ("/usr/bin/", "/var/log/"):
        assert text.count(there) == 1
        text = text.replace(there, f"{tmp_path}/")
    done = subprocess.run(["sh", "-s", "start"], input=text, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["TAP", "trouble", f"{EXIT_STATUS}{status}"]
    assert log.read_text() == done.stdout
    # Where the recipe puts both.
    for place in (f"/usr/bin/{VERIFY}", f"/etc/init.d/{INIT_SCRIPT.name}"):
        assert f"\t$(TARGET_DIR){place}\n" in VERIFY_RECIPE.read_text()


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
