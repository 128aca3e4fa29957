# SPDX-License-Identifier: GPL-2.0-only
"""`make new-driver`: what it refuses; that a new driver builds, boots and tests itself; and the walk of
docs/your-driver.md, diff by diff."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from conftest import Make
from guests import DEBUG_PATIENCE, PATIENCE, Boot
from newdriver.lock import lock
from newdriver.manifest import BadManifest, Manifest, Wire, without_missing
from newdriver.names import MODULE_NAME_LEN, BadName, Name, checked, kernel_modules, rename
from places import SETUP, TOP, Places

# A short name, and one of twenty letters with every part.
SHORT, LONG = Name("acme-ring"), Name("northwind-flowmeters")
DOC = TOP / "docs/your-driver.md"
ARM = "qemu-virt-arm"
EVERY_ROOM = "all"
# Rooms that the driver's own code is different with.
FEATURES = ["cached", "dma-buf", "prefault", "sysfs", "label", "memory-region", "dma-mask",
            "run-time", "self-test"]
# Rooms of what is beside the driver, and words that no driver without the room has.
BESIDE = {
    "buildroot": ("buildroot", "br2_", "run-image"),
    "farm": ("labgrid/", "lg_env", "make farm", "desk.py"),
}


@dataclass(frozen=True)
class Driver:
    """A new driver's tree, and a cache that it shares with this project's."""

    name: Name
    tree: Path
    environment: dict[str, str]

    def make(self, *arguments: str) -> str:
        """Calls make there, which must succeed; what it says."""
        done = subprocess.run(
            ["make", *arguments], cwd=self.tree, env=self.environment, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=3 * PATIENCE)
        assert done.returncode == 0, done.stdout
        return done.stdout

    @property
    def module(self) -> Path:
        return self.tree / f"build/qemu-virt-arm64/driver/{self.name.snake}.ko"

    @property
    def verify(self) -> Path:
        return self.tree / f"build/qemu-virt-arm64/{self.name.kebab}-verify"


def new_driver(make: Make, cache: Path, **variables: str | Path) -> subprocess.CompletedProcess[str]:
    given = {name: str(value) for name, value in variables.items()}
    return subprocess.run(
        [SETUP, "new-driver"], cwd=TOP, env=make.environment | {"XDG_CACHE_HOME": str(cache)} | given, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of caches in which this project's is the real one, so that the user's has no link more."""
    from project import PROJECT

    folder = tmp_path_factory.mktemp("cache")
    there = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / PROJECT
    (folder / PROJECT).symlink_to(there.resolve())
    return folder


@pytest.fixture(scope="module")
def drivers(make: Make, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Name], Driver]:
    """New drivers, each made once."""
    made: dict[Name, Driver] = {}

    def driver(name: Name) -> Driver:
        if name not in made:
            tree = tmp_path_factory.mktemp("drivers") / name.kebab
            rooms = EVERY_ROOM if name is LONG else ""
            done = new_driver(make, cache, NAME=name.kebab, DIR=tree, WITH=rooms)
            assert done.returncode == 0, done.stdout
            environment = make.environment | {"XDG_CACHE_HOME": str(cache)}
            made[name] = Driver(name, tree, environment)
        return made[name]

    return driver


BAD_NAMES = {
    "": "give NAME=vendor-device",
    "Acme-Ring": "it has upper case; use small letters: acme-ring",
    "acme_ring": "it has an underscore; use dashes: acme-ring",
    "acme,ring": "use small letters, digits and dashes",
    "acme ring": "use small letters, digits and dashes",
    "../ring": "use small letters, digits and dashes",
    "crate": "this is a keyword of Rust",
    "type": "this is a keyword of Rust",
    "ring": "it has no vendor: give vendor-device, such as acme-ring",
    "-ring": "it has no vendor: give vendor-device, such as acme-ring",
    "acme-": "it has no vendor",
    "acme--ring": "each dash stands between two parts",
    "9acme-ring": "it begins with a letter",
    "acme-ring-": "each dash stands between two parts",
    f"acme-{'x' * 51}": "it has 56 letters; the kernel's modules have at most 55",
    "acme-faultline": "this is the name of the project",
    "virtio-net": "Linux has a module virtio_net",
}


@pytest.mark.unit
@pytest.mark.parametrize("name", BAD_NAMES)
def test_bad_name(name: str) -> None:
    with pytest.raises(BadName, match=re.escape(BAD_NAMES[name])) as error:
        checked(name, ["virtio-net"])
    assert "\n" not in str(error.value)


@pytest.mark.unit
@pytest.mark.parametrize("name", ["a-b", "acme-ring", "acme-ring-2", LONG.kebab, f"acme-{'x' * 50}"])
def test_good_name(name: str) -> None:
    assert checked(name, ["virtio-net", "acme"]).kebab == name
    assert len(name) < MODULE_NAME_LEN


@pytest.mark.kernel
def test_the_longest_name_is_that_of_the_kernel(places: Places) -> None:
    header = (places.kernel_source / "include/linux/moduleparam.h").read_text()
    lines = re.findall("^#define __MODULE_NAME_LEN .*", header, re.MULTILINE)
    assert lines == ["#define __MODULE_NAME_LEN (64 - sizeof(unsigned long))"]


@pytest.mark.kernel
def test_modules_of_the_kernel_are_known(places: Places) -> None:
    found = kernel_modules(places.kernel_source)
    assert {"virtio_net", "snd-hda-intel", "rtc-pl031", "rust_misc_device"} <= found
    assert SHORT.snake not in found


@pytest.mark.unit
@pytest.mark.parametrize(("text", "renamed"), [
    ('compatible = "faultline,coherent-buffer";', 'compatible = "acme,ring";'),
    ('"faultline,fw-cfg-buffer"', '"acme,fw-cfg-buffer"'),
    ("use faultline_core::text; FAULTLINE_IOC_INFO", "use acme_ring_core::text; ACME_RING_IOC_INFO"),
    ("faultline-verify", "acme-ring-verify"),
    ("PROJECT=faultline\nMODULE=faultline\nKCONFIG=FAULTLINE", "PROJECT=acme-ring\nMODULE=acme_ring\nKCONFIG=ACME_RING"),
    ("obj-m += faultline.o\nfaultline-y := faultline_main.o", "obj-m += acme_ring.o\nacme_ring-y := acme_ring_main.o"),
    ("/etc/faultline/run /dev/faultline0", "/etc/acme-ring/run /dev/acme_ring0"),
    ("faultline: exit status 0", "acme-ring: exit status 0"),
    ("faultline: loading out-of-tree module", "acme_ring: loading out-of-tree module"),
    ('macro_rules! project {\n    () => {\n        "faultline"', 'macro_rules! project {\n    () => {\n        "acme-ring"'),
    ('macro_rules! module {\n    () => {\n        "faultline"', 'macro_rules! module {\n    () => {\n        "acme_ring"'),
    ("Faultline is", "Acme Ring is"),
    ('BR2_TARGET_GENERIC_HOSTNAME="faultline"', 'BR2_TARGET_GENERIC_HOSTNAME="acme-ring"'),
    ("linux-ext-faultline.mk faultline-driver.mk", "linux-ext-acme_ring.mk acme-ring-driver.mk"),
    ("$(FAULTLINE_DRIVER_PKGDIR)/70-faultline.rules", "$(ACME_RING_DRIVER_PKGDIR)/70-acme_ring.rules"),
    ("opt/org.faultline/nonce faultline.nonce=", "opt/org.acme-ring/nonce acme_ring.nonce="),
])
def test_the_name_in_each_form(text: str, renamed: str) -> None:
    assert rename(text, SHORT) == renamed


@pytest.mark.unit
def test_lock_file() -> None:
    def package(name: str, *dependencies: str, source: str = "") -> str:
        needed = "".join(f' "{each}",\n' for each in dependencies)
        return f'[[package]]\nname = "{name}"\nversion = "1"\n{source}dependencies = [\n{needed}]\n'

    outside = package("m", source='source = "x"\n')
    text = "\n".join(["version = 4\n", package("z", "y", "m"), outside, package("y"), package("b")])
    assert lock(text, {"z", "b"}) == "\n".join(["version = 4\n", package("b"), outside, package("z", "m", "y")])


@pytest.mark.unit
def test_a_wire_that_fits_nothing_is_named() -> None:
    wire = Wire("file", "gone\n", None, "", False, frozenset(), frozenset())
    with pytest.raises(BadManifest, match="file has 'gone' and what follows 0 times"):
        Manifest.apply(wire, {"file": "there\n"})
    assert Manifest.apply(wire, {"file": "a\ngone\nb\n"}) == "a\nb\n"
    through = Wire("file", "gone\n", "end\n", "new\n", False, frozenset(), frozenset())
    assert Manifest.apply(through, {"file": "a\ngone\nb\nend\nc\n"}) == "a\nnew\nc\n"
    every = Wire("file", " | gone", None, "", True, frozenset(), frozenset())
    assert Manifest.apply(every, {"file": "a | gone)\nb | gone | c)\n"}) == "a)\nb | c)\n"
    with pytest.raises(BadManifest, match="0 times"):
        Manifest.apply(every, {"file": "there\n"})


@pytest.mark.unit
def test_lines_that_name_a_missing_file_go() -> None:
    root = "mod gone;\n#[cfg(test)]\nmod tests;\npub(crate) mod there;\n#[path = \"../x.rs\"]\nmod x;\n"
    assert without_missing("driver/a_main.rs", root, {"driver/there.rs"}) == root[root.index("pub"):]
    assert without_missing("driver/ext/a.rs", "mod b;\nmod c;\n", {"driver/ext/a/b.rs"}) == "mod b;\n"
    includes = '#include <linux/of.h>\n#include "a.h"\n#include "b.h"\n'
    assert without_missing("driver/x.h", includes, {"driver/b.h"}) == '#include <linux/of.h>\n#include "b.h"\n'
    objects = "a-y := a_main.o b.o c.o\na-y += d.o\n"
    there = {"driver/a_main.rs", "driver/b.c"}
    assert without_missing("driver/Kbuild", objects, there) == "a-y := a_main.o b.o\n"


@pytest.mark.unit
@pytest.mark.parametrize("room", ["", *FEATURES, *BESIDE])
def test_a_driver_has_the_files_of_its_rooms_alone(room: str) -> None:
    manifest = Manifest.load()
    rooms = manifest.with_needed(frozenset({"default", room} - {""}))
    files = manifest.files(rooms).keys()
    own = {file for each in rooms - {"default"} for file in manifest.rooms[each].files()}
    others = {file for other in [*FEATURES, *BESIDE] for file in manifest.rooms[other].files()} - own
    assert own <= files and not others & files


@pytest.mark.unit
@pytest.mark.parametrize("room", BESIDE)
@pytest.mark.parametrize("others", ["none", "all the others"])
def test_nothing_of_a_room_without_it(room: str, others: str) -> None:
    manifest = Manifest.load()
    there = set(manifest.optional) - {room} if others != "none" else set()
    # The list of what may be in the cache, which drivers share.
    texts = {file: text.replace(" buildroot-* |", "") if file == "board/common/cache.sh" else text
             for file, text in manifest.files(manifest.with_needed(frozenset({"default", *there}))).items()}
    found = [(file, word) for file, text in texts.items() for word in BESIDE[room] if word in f"{file} {text}".lower()]
    assert found == []


@pytest.mark.unit
@pytest.mark.parametrize("rooms", ["boards", "buildroot", "boards buildroot"])
def test_files_of_two_rooms(rooms: str) -> None:
    """A configuration of a board for Buildroot is there with both."""
    names = Manifest.load().files(frozenset({"default", *rooms.split()})).keys()
    both = {f"board/{ARM}/buildroot.fragment", f"buildroot/configs/faultline_{ARM.replace('-', '_')}_defconfig"}
    assert both & names == (both if " " in rooms else set())


@pytest.mark.unit
def test_numbers_of_calls_differ() -> None:
    """Those of the rooms, of the self-test, and of what only a new driver has."""
    files = [TOP / "driver/uapi.rs", TOP / "driver/selftest/uapi.rs",
             *(TOP / "board/common/newdriver/tree").rglob("uapi.rs")]
    numbers = [number for file in files for number in re.findall(r"const NR_\w+: u32 = (0x\w+);", file.read_text())]
    assert len(files) > 2 and len(numbers) > 10 and len(set(numbers)) == len(numbers), sorted(numbers)


@pytest.fixture(scope="module")
def trees() -> dict[str, dict[str, str]]:
    """The texts of a driver without rooms, of one with each room, and of one with all, before they are renamed."""
    manifest = Manifest.load()
    asked = {"no room": [], EVERY_ROOM: manifest.optional} | {room: [room] for room in manifest.optional}
    return {name: manifest.files(manifest.with_needed(frozenset({"default", *rooms}))) for name, rooms in asked.items()}


@pytest.mark.unit
def test_no_function_of_set_up_is_missing(trees: dict[str, dict[str, str]]) -> None:
    """Bash says so only when it calls one."""
    define = re.compile(r"^(\w+)\(\) \{", re.MULTILINE)
    scripts = [*SETUP.parent.glob("*.sh"), SETUP]
    known = {name for path in scripts for name in define.findall(path.read_text())}
    assert "setup_kernel" in known
    # Words of other meanings: entries of the cache have names like these.
    known -= {"buildroot"}
    for tree, files in trees.items():
        texts = [text for file, text in files.items() if TOP / file in scripts]
        missing = known.difference(*(define.findall(text) for text in texts))
        lines = [line for text in texts for line in text.splitlines() if not line.lstrip().startswith("#")]
        assert missing & {word for line in lines for word in re.findall(r"\w+", line)} == set(), tree


@pytest.mark.unit
def test_pages_name_what_there_is(trees: dict[str, dict[str, str]]) -> None:
    """Links, targets of make, and paths."""
    found = set()
    for files in trees.values():
        folders = {str(folder) for file in files for folder in Path(file).parents}
        targets = set(re.findall(r"^([a-z-]+):", files["Makefile"], re.MULTILINE))
        for page, text in files.items():
            if not page.endswith(".md"):
                continue
            links = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
            paths = [os.path.normpath(Path(page).parent / link) for link in links]
            paths += re.findall(r"`((?:board|buildroot|docs|driver|dts|tests|userspace)/[\w./-]+?)/?`", text)
            found |= {(page, path) for path in paths
                      if path not in {*files, *folders} and not re.search(r"\b(?:BOARD|NAME)\b", path)}
            calls = re.findall(r"(?:^|`)make ([a-z][a-z-]*)", text, re.MULTILINE)
            found |= {(page, f"make {target}") for target in calls if target not in targets}
    assert found == set()


@pytest.mark.kernel
def test_doctor(drivers: Callable[[Name], Driver]) -> None:
    assert re.search(r"^  (?:ok|get) +cache ", drivers(SHORT).make("doctor"), re.MULTILINE)


@pytest.mark.kernel
@pytest.mark.parametrize("room", FEATURES)
def test_each_feature_by_itself(room: str, make: Make, cache: Path, tmp_path: Path) -> None:
    """The driver builds without a warning: what the feature needs is there, and of the others nothing is."""
    tree = tmp_path / SHORT.kebab
    done = new_driver(make, cache, NAME=SHORT.kebab, DIR=tree, WITH=room)
    assert done.returncode == 0, done.stdout
    target = f"build/qemu-virt-arm64/driver-selftest/{SHORT.snake}.ko" if room == "self-test" else "module"
    said = Driver(SHORT, tree, make.environment | {"XDG_CACHE_HOME": str(cache)}).make(target)
    assert "RUSTC [M]" in said
    assert not re.search(r"^(?:warning|error)\b", said, re.MULTILINE), said


@pytest.mark.kernel
def test_features_work(drivers: Callable[[Name], Driver], tmp_path: Path) -> None:
    """What the node of a driver with every room asks for is in sysfs. The checks pass with it, too."""
    driver = drivers(LONG)
    overlay = tmp_path / "overlay"
    subprocess.run([SETUP, "busybox", overlay], cwd=TOP, check=True)
    driver.make("verify")
    (overlay / "bin").mkdir(exist_ok=True)
    shutil.copy(driver.verify, overlay / "bin")
    node = tmp_path / "node.dtso"
    node.write_text((driver.tree / "dts/qemu-virt.dtso").read_text().replace(
        "size =", f'label = "flow";\n\tdma-mask-bits = <40>;\n\t{LONG.vendor},cached;\n\tsize ='))
    folder = f"/sys/class/misc/{LONG.snake}0"
    show = f"for each in size label coherent memory_type; do echo $each=$(cat {folder}/$each); done"
    said = driver.make("run", f"OVERLAY={overlay}", f"DTS={node}", f"TIMEOUT={PATIENCE}",
                       f"RUN=/bin/sh -c '{LONG.kebab}-verify && {show}'")
    assert f"{LONG.kebab}-verify: PASS" in said
    found = dict(re.findall(r"^(size|label|coherent|memory_type)=(.*?)\r?$", said, re.MULTILINE))
    assert found == {"size": "16384", "label": "flow", "coherent": "1", "memory_type": "cached"}, said


@pytest.mark.kernel
def test_selftest_of_a_cached_buffer(drivers: Callable[[Name], Driver], tmp_path: Path) -> None:
    """A new driver's own self-test calls SYNC around what the bus master accesses, behind a bounce buffer."""
    driver = drivers(LONG)
    node = tmp_path / "node.dtso"
    tree = (driver.tree / "dts/selftest/qemu-virt.dtso").read_text()
    node.write_text(tree.replace("size =", f"{LONG.vendor},cached;\n\t\tsize ="))
    said = driver.make("selftest", f"DTS={node}", "APPEND=swiotlb=force", f"TIMEOUT={PATIENCE}")
    assert f"{LONG.kebab}-selftest: PASS" in said
    for check in ("sync_refuses", "master_fill", "master_copy"):
        assert re.search(rf"^ *ok \d+ {check}$", said, re.MULTILINE), said


@pytest.mark.frontdoor
def test_make_passes_the_arguments_on(make: Make, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    (there / "file").touch()
    for arguments, message in [
        (["NAME=Acme-Ring"], "NAME=Acme-Ring: it has upper case"),
        (["NAME=acme-ring", f"DIR={there}"], f"DIR={there}: is there already, and is not overwritten"),
        (["NAME=acme-ring", f"DIR={tmp_path}/no/such"], f"there is no directory {tmp_path}/no"),
        (["NAME=acme-ring", "DIR=build/new"], "is inside this project"),
        (["NAME=acme-ring", f"DIR={tmp_path}/a b"], "a space or colon"),
        (["NAME=acme-ring", f"DIR={tmp_path}/new", "WITH=cellar"], "WITH=cellar: no such room: cellar; rooms are: "),
        (["NAME=virtio-net", f"DIR={tmp_path}/new"], "Linux has a module virtio_net"),
    ]:
        done = make("new-driver", *arguments)
        errors = [line for line in done.stdout.splitlines() if line.startswith("faultline: error: ")]
        assert done.returncode and len(errors) == 1 and message in errors[0], done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    assert [path.name for path in there.iterdir()] == ["file"]


@pytest.mark.kernel
@pytest.mark.parametrize("name", [SHORT, LONG], ids=lambda name: name.kebab)
def test_new_driver_tests_itself(name: Name, drivers: Callable[[Name], Driver]) -> None:
    """Its own tests are about format, lints, unit tests, the binding, a boot and a mutant. No kernel is
    built: the one of this project is in the cache."""
    driver = drivers(name)
    buildroot = os.environ.get("BUILDROOT") if name is LONG else None
    said = driver.make("test", *([f"BUILDROOT={(TOP / buildroot).resolve()}"] if buildroot else []))
    assert re.search(r"=+ \d+ passed(?:, \d+ skipped)? in ", said), said
    assert not re.search(r"\d+ failed", said), said
    # What Buildroot's own tools say of the external tree is skipped where they are not there.
    skipped = re.findall(r"^SKIPPED \[\d+\] ([\w.]+):\d+: (.*?):", said, re.MULTILINE)
    assert {*skipped} <= {("test_buildroot.py", "no Buildroot"), ("test_buildroot.py", "check-package")}, said
    assert not (name is SHORT and skipped), said
    assert " Linux 7" not in said, said


@pytest.mark.kernel
@pytest.mark.parametrize("name", [SHORT, LONG], ids=lambda name: name.kebab)
def test_nothing_has_the_name_of_this_project(name: Name, drivers: Callable[[Name], Driver]) -> None:
    """In a new tree, before anything is built."""
    tree = drivers(name).tree
    files = [path for path in tree.rglob("*") if "build" not in path.relative_to(tree).parts and path.is_file()]
    assert len(files) > 100
    assert [path for path in files if re.search("faultline", str(path.relative_to(tree)), re.IGNORECASE)] == []
    assert [path for path in files if b"faultline" in path.read_bytes().lower()] == []
    assert [path for path in files if path.suffix == ".pyc"] == []


@pytest.mark.kernel
def test_another_board(drivers: Callable[[Name], Driver], places: Places) -> None:
    """The room `boards`."""
    if (board := ARM) not in places.boards:
        pytest.skip(f"{board} is not among the BOARDS of this run")
    assert f"{LONG.kebab}-verify: PASS" in drivers(LONG).make("run", f"BOARD={board}", f"TIMEOUT={PATIENCE}")


@pytest.mark.kernel
def test_debug_kernel(drivers: Callable[[Name], Driver], places: Places) -> None:
    """The room `debug-kernel`: KASAN and lockdep find nothing in the driver either."""
    places.need_debug_kernel()
    said = drivers(LONG).make("run", "DEBUG=1", f"TIMEOUT={DEBUG_PATIENCE}")
    assert f"{LONG.kebab}-verify: PASS" in said
    assert "KernelAddressSanitizer initialized" in said


@pytest.mark.kernel
def test_modules_load_together(
    drivers: Callable[[Name], Driver], places: Places, boot: Boot, tmp_path: Path
) -> None:
    """Both new drivers and faultline in one kernel: each has its own names there. One device has the
    clock, which there is one of; each verifier passes."""
    overlay = tmp_path / "overlay"
    subprocess.run([SETUP, "busybox", overlay], cwd=TOP, check=True)
    (overlay / "lib/modules").mkdir(parents=True)
    for driver in (drivers(SHORT), drivers(LONG)):
        driver.make("module", "verify")
        shutil.copy(driver.module, overlay / "lib/modules")
        shutil.copy(driver.verify, overlay / "bin")
    both = tmp_path / "both.dtso"
    nodes = (drivers(SHORT).tree / "dts/qemu-virt.dtso").read_text()
    both.write_text((TOP / "dts/qemu-virt.dtso").read_text() + nodes.partition("/plugin/;")[2])
    script = " && ".join([
        f"insmod /lib/modules/{SHORT.snake}.ko", f"insmod /lib/modules/{LONG.snake}.ko",
        f"{SHORT.kebab}-verify", "faultline-verify", "cat /proc/modules",
    ])
    run = boot(f"--overlay={overlay}", f"--dtso={both}", f"--run=/bin/sh -c '{script}'")
    assert run.status == 0, run
    assert f"{SHORT.kebab}-verify: PASS" in run.console and "faultline-verify: PASS" in run.console, run
    assert set(re.findall(r"^(\w+) \d+ \d+ - Live", run.console, re.MULTILINE)) == {
        "faultline", SHORT.snake, LONG.snake}, run


@pytest.mark.kernel
def test_the_walk_of_the_documentation(drivers: Callable[[Name], Driver]) -> None:
    """Each diff is applied and booted, as it stands there; then what the text says of a broken driver."""
    diffs = diffs_of_the_documentation()
    walk = drivers(SHORT)
    hardware = walk.tree / "driver/hardware.rs"
    with ExitStack() as undo:  # In the tree of the other tests, where most is built already.
        for title, diff in diffs:
            apply(diff, walk.tree)
            undo.callback(apply, diff, walk.tree, "--reverse")
            said = walk.make("run", f"TIMEOUT={PATIENCE}")
            assert "acme-ring-verify: PASS" in said, f"{title}: {said}"
        assert "ok 10 count" in said
        assert re.search(r"=+ \d+ passed, \d+ deselected in ", walk.make("check"))

        right = hardware.read_text()
        undo.callback(hardware.write_text, right)
        hardware.write_text(re.sub(r"^.*write_reg\(LOAD.*\n", "", right, flags=re.MULTILINE))
        done = subprocess.run(
            ["make", "run", f"TIMEOUT={PATIENCE}"], cwd=walk.tree, env=walk.environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode and re.search(r"^ *not ok 10 count$", done.stdout, re.MULTILINE), done.stdout


def diffs_of_the_documentation() -> list[tuple[str, str]]:
    """The title of each step, and its diff."""
    text = DOC.read_text()
    made = re.search(r"^make new-driver NAME=(\S+)", text, re.MULTILINE)
    assert made and made[1] == SHORT.kebab
    sections = re.findall(r"^### (.+)\n((?:(?!##).*\n)*)", text, re.MULTILINE)
    diffs = [(title, diff) for title, body in sections for diff in re.findall(r"```diff\n(.*?)```", body, re.DOTALL)]
    assert [title for title, _ in diffs] == ["A register", "A property", "An ioctl", "A check"]
    return diffs


@pytest.mark.kernel
def test_the_walk_in_a_driver_with_every_room(make: Make, cache: Path, tmp_path: Path) -> None:
    """The lines around what the diffs change are the same there: `git apply` takes them, by an offset."""
    tree = tmp_path / SHORT.kebab
    done = new_driver(make, cache, NAME=SHORT.kebab, DIR=tree, WITH=EVERY_ROOM)
    assert done.returncode == 0, done.stdout
    for title, diff in diffs_of_the_documentation():
        applied = subprocess.run(["git", "apply"], cwd=tree, input=diff, text=True, stderr=subprocess.PIPE)
        assert applied.returncode == 0, f"{title}: {applied.stderr}"


def apply(diff: str, tree: Path, direction: str = "--forward") -> None:
    done = subprocess.run(
        ["patch", "--strip=1", "--fuzz=0", "--batch", "--no-backup-if-mismatch", direction], cwd=tree, input=diff,
        text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    # Its line numbers are those of the tree.
    assert "offset" not in done.stdout, done.stdout
