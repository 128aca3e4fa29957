# SPDX-License-Identifier: GPL-2.0-only
"""The device tree: the binding is valid, the project's nodes conform to it, and it refuses wrong
nodes."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from places import BINDINGS, TOP, Places, environment

pytestmark = pytest.mark.binding

SCHEMA = BINDINGS / "faultline,coherent-buffer.yaml"
SCHEMAS = {SCHEMA: 3, BINDINGS / "faultline,selftest-buffer.yaml": 2}


def tool(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """dtschema's programs are next to the Python that runs this; dtc is the machine's."""
    beside = Path(sys.executable).parent / name
    return subprocess.run(
        [beside if beside.exists() else name, *arguments], capture_output=True, text=True
    )


def validate(tree: Path) -> str:
    """The messages of dt-validate about a tree, with this project's bindings only. Its status is
    always 0."""
    done = tool("dt-validate", "--limit=faultline,", f"--schema={BINDINGS}", tree)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def compile_tree(source: str, directory: Path, *flags: str) -> Path:
    (directory / "tree.dts").write_text(source)
    done = tool("dtc", "-@", *flags, "-o", directory / "tree.dtb", directory / "tree.dts")
    assert (done.returncode, done.stderr) == (0, "")
    return directory / "tree.dtb"


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda path: path.stem)
def test_schema(schema: Path) -> None:
    done = tool("dt-doc-validate", schema)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_schema_that_is_wrong(tmp_path: Path) -> None:
    """The check of the schema can fail."""
    text = SCHEMA.read_text()
    assert "minimum" in text
    wrong = tmp_path / SCHEMA.name
    wrong.write_text(text.replace("minimum", "minimun"))
    done = tool("dt-doc-validate", wrong)
    assert done.returncode != 0
    assert "minimun" in done.stdout + done.stderr


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda path: path.stem)
def test_examples(schema: Path, tmp_path: Path) -> None:
    examples = tool("dt-extract-example", schema).stdout
    assert examples.count("faultline,coherent-buffer") == SCHEMAS[schema]
    # The nodes that dt-extract-example puts around them have cells that they do not use.
    tree = compile_tree(examples, tmp_path, "-Wno-avoid_unnecessary_addr_size")
    assert validate(tree) == ""


# Boards with a device tree of the kernel's.
WITH_A_TREE = sorted(path.parent.name for path in TOP.glob("board/*/board.env")
                     if "DTB" in environment(path))
OVERLAYS = sorted((TOP / "dts").glob("*.dtso"))


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda path: path.name)
def test_overlay_has_no_warnings(overlay: Path, tmp_path: Path) -> None:
    done = tool("dtc", "-@", "-o", tmp_path / "overlay.dtbo", overlay)
    assert (done.returncode, done.stderr) == (0, "")


def test_tree_that_is_booted(default_tree: Path) -> None:
    """QEMU's own tree with the overlay applied, as run.py makes it."""
    assert default_tree.read_bytes().count(b"faultline,coherent-buffer\0") == 2
    assert validate(default_tree) == ""


@pytest.mark.kernel
@pytest.mark.parametrize("name", WITH_A_TREE)
def test_tree_of_another_board(name: str, places: Places, tmp_path: Path) -> None:
    """The kernel's tree of the board with the overlays applied."""
    if name not in places.boards:
        pytest.skip(f"{name} is not among the BOARDS of this run")
    board = places.of_board(name)
    values = environment(TOP / "board" / name / "board.env")
    base = board.kernel.parent / "dts" / values["DTB"]
    blobs: list[Path] = []
    for overlay in filter(None, (values["DTSO"], values.get("QEMU_DTSO"))):
        blobs.append(tmp_path / f"{len(blobs)}.dtbo")
        assert tool("dtc", "-@", "-o", blobs[-1], TOP / overlay).returncode == 0
    merged = tmp_path / "board.dtb"
    done = tool("fdtoverlay", "-i", base, "-o", merged, *blobs)
    assert (done.returncode, done.stderr) == (0, "")
    assert merged.read_bytes().count(b"faultline,coherent-buffer\0") == 2
    assert validate(merged) == ""


FW_CFG = 'compatible = "faultline,fw-cfg-buffer", "faultline,coherent-buffer";'
MAILBOX = FW_CFG.replace("fw-cfg", "bcm2835-mbox")
CHANNEL = FW_CFG.replace("fw-cfg", "dma-channel")
DMAS = f'{CHANNEL} dmas = <&engine>; dma-names = "memcpy";'
REG = "reg = <0 0x9020000 0 0x18>;"

GOOD = {
    "no size": "",
    "one cell": "size = <0x1000>;",
    "part of a page": "size = <16000000>;",
    "two cells": "size = /bits/ 64 <0x10000000000>;",
    "coherent": "dma-coherent;",
    "a region": "memory-region = <&engine>;",
    "a narrow device": "dma-mask-bits = <32>;",
    "a narrow bus master in a region": f"{FW_CFG} {REG} dma-mask-bits = <32>; memory-region = <&engine>;",
    "non-coherent": "dma-noncoherent;",
    "a label": 'label = "camera_0.left-a";',
    "a bus master": f"{FW_CFG} {REG}",
    "the mailbox": f"{MAILBOX} {REG}",
    "cached": "faultline,cached; dma-noncoherent; dma-mask-bits = <32>;",
    "a cached buffer of a bus master": f"{FW_CFG} {REG} faultline,cached;",
    "a cached buffer of a channel": f"{DMAS} faultline,cached;",
    "a channel": DMAS,
}

BAD = {
    "zero": ("size = <0>;", "size: 0 is less than the minimum"),
    "zero in two cells": ("size = <0 0>;", "size: 0 is less than the minimum"),
    "three cells": ("size = <0 0 4096>;", "size: 'oneOf' conditional failed"),
    "no cell": ("size;", "size: 'oneOf' conditional failed"),
    "both kinds": ("dma-coherent; dma-noncoherent;", "should not be valid under"),
    "a bus master without registers": (FW_CFG, "'reg' is a required property"),
    "registers of no bus master": (REG, "'reg' does not match"),
    "a channel of no bus master": (DMAS.removeprefix(CHANNEL), "'dma-names', 'dmas' do not match"),
    "registers of a channel": (f"{DMAS} {REG}", "False schema does not allow [[0, 151126016, 0, 24]]"),
    "a bus master without a buffer": (
        f'compatible = "faultline,fw-cfg-buffer"; {REG}', "compatible: 'oneOf' conditional failed"),
    "a channel of another name": (
        DMAS.replace("memcpy", "tx"), "dma-names:0: 'memcpy' was expected"),
    "a channel without a name": (f"{CHANNEL} dmas = <&engine>;", "'dma-names' is a required property"),
    "a bus master with a channel": (
        f"{FW_CFG} {REG} {DMAS.removeprefix(CHANNEL)}", "False schema does not allow"),
    "two regions": ("memory-region = <&engine>, <&engine>;", "memory-region: [[1], [1]] is too long"),
    "no bits": ("dma-mask-bits = <0>;", "dma-mask-bits:0: 0 is less than the minimum"),
    "too many bits": ("dma-mask-bits = <65>;", "dma-mask-bits:0: 65 is greater than the maximum"),
    "a region of a channel": (f"{DMAS} memory-region = <&engine>;", "False schema does not allow"),
    "a narrow channel": (f"{DMAS} dma-mask-bits = <32>;", "False schema does not allow"),
    "cached, with a value": ("faultline,cached = <1>;", "is not of type 'boolean'"),
    "cached, in a region": ("faultline,cached; memory-region = <&engine>;", "should not be valid under"),
    "a cached buffer of the mailbox": (f"{MAILBOX} {REG} faultline,cached;", "False schema does not allow"),
    "u-dma-buf's mask": ("dma-mask = <32>;", "'dma-mask' does not match"),
    "an empty label": ('label = "";', "label:0: '' does not match"),
    "a label with a slash": ('label = "a/b";', "label:0: 'a/b' does not match"),
    "a label that is hidden": ('label = ".a";', "label:0: '.a' does not match"),
    "a label that is long": (f'label = "{64 * "a"}";', "does not match"),
    "bits in two cells": ("dma-mask-bits = <0 32>;", "dma-mask-bits: [0, 32] is too long"),
    "a property of no meaning": ("sise = <4096>;", "'sise' does not match"),
}


@pytest.fixture(scope="module")
def complaints(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """The messages about each node. All nodes are in one tree, because dt-validate is slow to
    start."""
    nodes = GOOD | {case: properties for case, (properties, _) in BAD.items()}
    names = {case: f"dma-buffer-{number}" for number, case in enumerate(nodes)}
    plain = 'compatible = "faultline,coherent-buffer";'
    source = "".join(
        f"{names[case]} {{ {'' if 'compatible' in properties else plain} {properties} }};\n"
        for case, properties in nodes.items()
    )
    engine = "engine: dma-controller { #dma-cells = <0>; };"
    root = 'compatible = "test"; model = "test"; #address-cells = <2>; #size-cells = <2>;'
    tree = compile_tree(
        f"/dts-v1/;\n/ {{ {root}\n{engine}\n{source} }};\n", tmp_path_factory.mktemp("dts"),
        "-Wno-unit_address_vs_reg",
    )
    # A complaint is a line that names the node, and lines with a tab that say more.
    said = re.split(r"\n(?!\t)", validate(tree))

    return lambda case: "\n".join(text for text in said if f": {names[case]} (" in text)


@pytest.mark.parametrize("case", GOOD)
def test_good_node(case: str, complaints: Callable[[str], str]) -> None:
    assert complaints(case) == ""


@pytest.mark.parametrize("case", BAD)
def test_bad_node(case: str, complaints: Callable[[str], str]) -> None:
    assert BAD[case][1] in complaints(case)
