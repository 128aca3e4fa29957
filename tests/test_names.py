# SPDX-License-Identifier: GPL-2.0-only
"""How programs find a buffer: labels in the device tree, attributes in sysfs, links that mdev makes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Make
from guests import Boot, Run, shell
from places import TOP, Places

pytestmark = pytest.mark.boot

PACKAGE = TOP / "buildroot/package/faultline-driver"
ATTRIBUTES = ("size", "coherent", "memory_type", "region", "label")

# A region that the kernel has uncached for every device, and one that is ordinary memory.
REGIONS = """
    reserved-memory {
        #address-cells = <2>;
        #size-cells = <2>;
        ranges;
        camera: camera@60000000 {
            reg = <0 0x60000000 0 0x200000>; compatible = "shared-dma-pool"; no-map;
        };
        pool: pool@61000000 {
            reg = <0 0x61000000 0 0x400000>; compatible = "shared-dma-pool"; reusable;
        };
    };
"""


def tree(directory: Path, *nodes: str) -> str:
    """An overlay with a node of each list of properties; the option to boot with it."""
    body = "".join(
        f'dma-buffer-{number} {{ compatible = "faultline,coherent-buffer"; {properties} }};\n'
        for number, properties in enumerate(nodes))
    overlay = directory / "names.dtso"
    overlay.write_text(f"/dts-v1/;\n/plugin/;\n&{{/}} {{ {REGIONS} {body} }};\n")
    return f"--dtso={overlay}"


def values(run: Run) -> dict[str, dict[str, str]]:
    """The lines `NODE ATTRIBUTE=VALUE` of a script's output, by node."""
    found: dict[str, dict[str, str]] = {}
    for node, name, value in re.findall(r"^([\w.-]+) (\w+)=(.*)$", run.console, re.MULTILINE):
        found.setdefault(node, {})[name] = value
    return found


SHOW = f"""
for device in /sys/class/misc/faultline*; do
    node=$(basename "$(readlink -f "$device/device")")
    for name in {' '.join(ATTRIBUTES)}; do
        echo "$node $name=$(cat "$device/$name")"
    done
done
"""


def test_attributes(boot: Boot, tmp_path: Path) -> None:
    """They agree with the device tree."""
    run = boot(
        tree(tmp_path,
             "size = <0x3000>; dma-coherent;",
             "size = <5000>; dma-noncoherent;",
             'memory-region = <&camera>; dma-coherent; label = "camera_0.left-a";',
             "memory-region = <&pool>; dma-noncoherent;"),
        *shell(tmp_path, SHOW))
    assert run.status == 0, run
    assert values(run) == {
        f"dma-buffer-{number}": dict(zip(ATTRIBUTES, row, strict=True))
        for number, row in enumerate([
            ("12288", "1", "cached", "", ""),
            ("8192", "0", "uncached", "", ""),
            ("4096", "1", "uncached", "camera@60000000", "camera_0.left-a"),
            ("4096", "0", "uncached", "pool@61000000", ""),
        ])
    }, run


def test_abi_document(places: Places, tmp_path: Path) -> None:
    """It has every attribute of the driver, and the kernel's own tool can read it."""
    driver = re.findall(r'Attribute::\w+\(c"(\w+)"', (TOP / "driver/attributes.rs").read_text())
    folder = tmp_path / "testing"
    folder.mkdir()
    (folder / "sysfs-faultline").write_bytes((TOP / "docs/sysfs-faultline").read_bytes())
    done = subprocess.run(
        [sys.executable, places.kernel_source / "tools/docs/get_abi.py", "--dir", tmp_path, "search",
         "faultline"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    found = re.findall(r"^\d+\. /sys/class/misc/faultlineN/(\w+)$", done.stdout, re.MULTILINE)
    assert sorted(found) == sorted(driver) == sorted([*ATTRIBUTES, "dma_address"])


FORBIDDEN = "label: want one string of 1 to 63 of a-z A-Z 0-9 . _ - with no dot at the beginning"
TWIN = "label: camera: another buffer has it, too"
LABELS = {
    "empty": ('label = "";', FORBIDDEN),
    "a slash": ('label = "a/b";', FORBIDDEN),
    "a space": ('label = "a b";', FORBIDDEN),
    "hidden": ('label = ".a";', FORBIDDEN),
    "the directory": ('label = "..";', FORBIDDEN),
    "too long": (f'label = "{64 * "a"}";', FORBIDDEN),
    "two strings": ('label = "a", "b";', FORBIDDEN),
    "a number": ("label = <1>;", FORBIDDEN),
    "a twin": ('label = "camera";', TWIN),
    "the other twin": ('label = "camera";', TWIN),
    # Nobody has it: a node that is disabled does not count.
    "the name of a node that is disabled": ('label = "off";', None),
    "disabled": ('label = "off"; status = "disabled";', None),
    "as long as can be": (f'label = "{63 * "a"}";', None),
}


def complaints(run: Run, node: str) -> list[str]:
    """What the driver says of a node that it refuses."""
    said = re.findall(rf"\] faultline {node}: (.*)$", run.console, re.MULTILINE)
    return [line for line in said if line.startswith("label: ")]


def test_labels(boot: Boot, tmp_path: Path) -> None:
    """A label that cannot be a file name, and one that two nodes have, is an error that names it."""
    run = boot(tree(tmp_path, *(node for node, _ in LABELS.values())), *shell(tmp_path, SHOW))
    assert run.status == 0, run
    for number, (case, (_, want)) in enumerate(LABELS.items()):
        assert complaints(run, f"dma-buffer-{number}") == ([want] if want else []), (case, run)
    bound = {node: said["label"] for node, said in values(run).items()}
    assert bound == {"dma-buffer-10": "off", "dma-buffer-12": 63 * "a"}, run


def test_twin_is_seen(boot: Boot, places: Places, make: Make, tmp_path: Path) -> None:
    """The test above can fail."""
    built = make("-s", "module", "MUTANT=labels-shared")
    assert built.returncode == 0, built.stdout
    twin = 'label = "camera";'
    run = boot(tree(tmp_path, twin, twin), *shell(tmp_path, SHOW),
               module=places.build / "driver-labels-shared/faultline.ko")
    assert {said["label"] for said in values(run).values()} == {"camera"}, run
    assert complaints(run, "dma-buffer-0") == []


LINKS = """
mkdir -p /etc /usr/libexec
echo 'root:x:0:0::/:/bin/sh' >/etc/passwd
echo 'faultline:x:100:' >/etc/group
{mdev}
list() {
    for link in /dev/faultline/by-*/*; do [ ! -L "$link" ] || echo "$1 $link=$(readlink "$link")"; done
}
mdev -s
list before
ls -ln /dev/faultline0 | tr -s ' ' | cut -d' ' -f1,3,4
for folder in /dev/faultline /dev/faultline/by-*; do echo "folder $(ls -ld "$folder" | cut -d' ' -f1)"; done
# As the kernel's events do, which nothing here listens to.
gone=$(basename "$(readlink /dev/faultline/by-name/dma-buffer-0)")
echo dma-buffer-0 >/sys/bus/platform/drivers/faultline/unbind
ACTION=remove MDEV=$gone /usr/libexec/faultline-links
list unbound
echo dma-buffer-0 >/sys/bus/platform/drivers/faultline/bind
mdev -s
list after
"""


def mdev_line() -> str:
    """What the package adds to mdev.conf."""
    match = re.search(r"echo '(.*)' >> \S+/etc/mdev\.conf", (PACKAGE / "faultline-driver.mk").read_text())
    assert match
    return match[1]


def links(run: Run, when: str) -> dict[str, str]:
    found = re.findall(rf"^{when} /dev/faultline/(\S+)=(\S+)$", run.console, re.MULTILINE)
    return dict(found)


def test_links_of_mdev(boot: Boot, tmp_path: Path) -> None:
    """By the line and the program of Buildroot's package, with busybox's own mdev."""
    options = shell(tmp_path, LINKS.replace("{mdev}", f"echo '{mdev_line()}' >/etc/mdev.conf"))
    program = tmp_path / "root/usr/libexec/faultline-links"
    program.parent.mkdir(parents=True)
    program.write_bytes((PACKAGE / program.name).read_bytes())
    program.chmod(0o755)
    run = boot(tree(tmp_path, "", 'label = "camera";'), *options)
    assert run.status == 0, run
    # fdtoverlay decides which node is bound first: the numbers follow that, the links do not.
    to = {node: f"../../{Path(path).name}" for node, (path, _, _) in run.devices().items()}
    first = {"by-name/dma-buffer-0": to["dma-buffer-0"]}
    second = {"by-name/dma-buffer-1": to["dma-buffer-1"], "by-label/camera": to["dma-buffer-1"]}
    assert links(run, "before") == first | second, run
    assert links(run, "unbound") == second, run
    assert links(run, "after") == first | second, run
    # mdev gives the group of the package, and its mode.
    assert re.search(r"^crw-rw---- 0 100$", run.console, re.MULTILINE), run
    # Only root can change the links.
    assert re.findall(r"^folder (\S+)$", run.console, re.MULTILINE) == 3 * ["drwxr-xr-x"], run


def test_rules_of_udev() -> None:
    """Each line has the form of a rule, and the attribute and the links are those of the driver."""
    rules = (PACKAGE / "70-faultline.rules").read_text()
    keys = r'(?:SUBSYSTEMS?|KERNEL|ATTR\{label\}|GROUP|MODE|SYMLINK|GOTO|LABEL)(?:==|!=|\+=|=)"[^"]+"'
    for line in rules.splitlines():
        assert re.fullmatch(rf"#.*||{keys}(?:, {keys})*", line), line
    assert 'SYMLINK+="faultline/by-name/$id"' in rules
    assert 'ATTR{label}=="?*", SYMLINK+="faultline/by-label/$attr{label}"' in rules
