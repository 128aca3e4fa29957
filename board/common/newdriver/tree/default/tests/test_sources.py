# SPDX-License-Identifier: GPL-2.0-only
"""How the sources look: format, lints, where `unsafe` may be; unit tests; the binding."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import COMMON, TOP, Places, call

DRIVER, USERSPACE, BINDINGS = TOP / "driver", TOP / "userspace", TOP / "dts/bindings"
SETUP = COMMON / "setup"


@pytest.mark.parametrize("folder", [DRIVER, USERSPACE], ids=["driver", "userspace"])
def test_format(folder: Path, places: Places) -> None:
    files = sorted(folder.rglob("*.rs"))
    assert files
    rustfmt = Path(places.tools["RUST_BIN"]) / "rustfmt"
    call(rustfmt, "--check", "--edition=2021", f"--config-path={folder / 'rustfmt.toml'}", *files)


def code(path: Path) -> str:
    """A file without comments that take whole lines."""
    return re.sub(r"^\s*//.*$", "", path.read_text(), flags=re.MULTILINE)


@pytest.mark.parametrize(("folder", "room"), [(DRIVER, "ext"), (USERSPACE, "sys")], ids=["driver", "userspace"])
def test_unsafe_is_in_one_folder(folder: Path, room: str) -> None:
    found = [path for path in sorted(folder.rglob("*.rs"))
             if re.search(r"\bunsafe\s*(?:\{|fn|impl|extern)|\bbindings\s*::", code(path))]
    assert found
    assert [path for path in found if room not in path.relative_to(folder).parts] == []


@pytest.mark.parametrize("where", [("cargo", "--all-targets"), ("cross", "--workspace")], ids=["host", "guest"])
def test_clippy(where: tuple[str, str]) -> None:
    command, scope = where
    call(SETUP, command, "clippy", "--locked", scope, "--", "--deny=warnings")


def test_unit_tests() -> None:
    assert "test result: ok." in call(SETUP, "cargo", "test", "--locked")


@pytest.mark.kernel
def test_clippy_of_the_driver(places: Places) -> None:
    """The kernel's own lints. Clippy reports only what it compiles: nothing may be up to date."""
    output = places.build / "driver-clippy"
    shutil.rmtree(output, ignore_errors=True)
    said = call(SETUP, "module", output, "CLIPPY=1")
    assert "CLIPPY [M]" in said
    assert not re.search(r"^(?:warning|error)\b", said, re.MULTILINE), said


def tool(name: str, *arguments: str | Path) -> str:
    """A program of dtschema, which is next to the Python that runs this, or of dtc."""
    beside = Path(sys.executable).parent / name
    return call(beside if beside.exists() else name, *arguments)


def compiled(source: Path, output: Path) -> Path:
    # That is for the nodes that dt-extract-example puts around the examples.
    assert tool("dtc", "-@", "-Wno-avoid_unnecessary_addr_size", "-Wno-interrupt_provider", "-o", output, source) == ""
    return output


SCHEMAS = sorted(BINDINGS.glob("*.yaml"))
OVERLAYS = sorted((TOP / "dts").rglob("*.dtso"))
# Messages about other nodes than the driver's are not asked for.
LIMIT = f"--limit={SCHEMAS[0].name.partition(',')[0]},"


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda path: path.stem)
def test_schema_and_its_examples(schema: Path, tmp_path: Path) -> None:
    assert tool("dt-doc-validate", schema) == ""
    (tmp_path / "examples.dts").write_text(tool("dt-extract-example", schema))
    tree = compiled(tmp_path / "examples.dts", tmp_path / "examples.dtb")
    assert tool("dt-validate", LIMIT, f"--schema={BINDINGS}", tree) == ""


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda path: path.name)
def test_overlay(overlay: Path, tmp_path: Path, places: Places) -> None:
    """It fits the tree of QEMU's machine, and the schema."""
    base, merged = tmp_path / "base.dtb", tmp_path / "merged.dtb"
    qemu = places.tools["QEMU_BIN"]
    subprocess.run([qemu, "-machine", f"virt,dumpdtb={base}", "-nic", "none"], check=True, capture_output=True)
    tool("fdtoverlay", "-i", base, "-o", merged, compiled(overlay, tmp_path / "overlay.dtbo"))
    assert SCHEMAS[0].stem.encode() in merged.read_bytes()
    assert tool("dt-validate", LIMIT, f"--schema={BINDINGS}", merged) == ""


def test_pages_that_are_named_are_there() -> None:
    names = {match for path in TOP.rglob("*") if path.suffix in {".rs", ".c", ".h", ".sh", ".py", ".md", ".env"}
             and not {"build", "target"} & set(path.relative_to(TOP).parts)
             for match in re.findall(r"(?<![\w/.-])docs/[\w/-]+\.md", path.read_text())}
    assert [name for name in sorted(names) if not (TOP / name).is_file()] == []
