# SPDX-License-Identifier: GPL-2.0-only
"""`make bench`: a short run, whose numbers of faults are facts. Times are not: they may change."""

from __future__ import annotations

import json
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from guests import PATIENCE, Boot
from places import PYTHON, TOP, Places

BENCH = TOP / "board/common/bench.py"
PAGE = 4096

# Coherent buffers of one page, of 64 KiB and of two PMDs, and a non-coherent one of two PMDs.
OVERLAY = """\
// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/dts-v1/;
/plugin/;
&{/} {
	a { compatible = "faultline,coherent-buffer"; size = <0x400000>; dma-noncoherent; };
	b { compatible = "faultline,coherent-buffer"; size = <0x400000>; dma-coherent; };
	c { compatible = "faultline,coherent-buffer"; size = <0x10000>; dma-coherent; };
	d { compatible = "faultline,coherent-buffer"; size = <0x1000>; dma-coherent; };
};
"""

# The modules that the driver's own is compared with.
MODES = ("batches", "page-by-page", "eager")


def measure(places: Places, work: Path, *options: str) -> subprocess.CompletedProcess[str]:
    (work / "bench.dtso").write_text(OVERLAY)
    return subprocess.run(
        [*PYTHON, BENCH, f"--board={places.board}", f"--kernel={places.kernel}",
         f"--module={places.production}", f"--init={places.verify}",
         f"--runner={places.init}",
         *(f"--mode={name}={places.build / f'driver-{name}/faultline.ko'}" for name in MODES),
         f"--program={places.build / 'faultline-bench'}", f"--output={work / 'out'}",
         f"--dtso={work / 'bench.dtso'}", "--repeat=2", "--size-tool=size", *options],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE,
    )


@pytest.fixture(scope="module")
def places_of_module() -> Places:
    return Places.from_environment()


@pytest.fixture(scope="module")
def run(
    places_of_module: Places, tmp_path_factory: pytest.TempPathFactory
) -> tuple[subprocess.CompletedProcess[str], Path]:
    """A run with our own driver for a peer: all of it is measured a fifth time."""
    work = tmp_path_factory.mktemp("bench")
    peer = work / "peer.ko"
    peer.write_bytes((places_of_module.build / "driver-page-by-page/faultline.ko").read_bytes())
    done = measure(places_of_module, work, f"--peer-ko={peer}",
                   f"--peer-dev=/dev/faultline0 /dev/faultline3={PAGE}")
    assert done.returncode == 0, done.stderr
    return done, work / "out"


Run = tuple[subprocess.CompletedProcess[str], Path]
Key = tuple[str, int, bool, str]


def results(output: Path) -> dict[Key, dict[str, Any]]:
    found = json.loads((output / "bench.json").read_text())["measurements"]
    return {(m["label"], m["size"], m["coherent"], m["operation"]): m for m in found}


def faults(run: Run, label: str, size: int, operation: str) -> set[int]:
    """How many there were, on coherent devices and on others."""
    found = [m["faults"] for key, m in results(run[1]).items()
             if (key[0], key[1], key[3]) == (label, size, operation)]
    assert found
    return set(found)


@pytest.mark.boot
@pytest.mark.parametrize("access", ["first_read", "first_write"])
@pytest.mark.parametrize(("label", "size", "expected"), [
    ("default", PAGE, 1),
    ("default", 16 * PAGE, 1),
    ("default", 1024 * PAGE, 2),  # a fault for each PMD of 2 MiB
    ("batches", PAGE, 1),
    ("batches", 16 * PAGE, 1),
    ("batches", 1024 * PAGE, 2),  # a fault for each page table
    ("page-by-page", PAGE, 1),
    ("page-by-page", 1024 * PAGE, 1024),
])
def test_faults(run: Run, access: str, label: str, size: int, expected: int) -> None:
    """No page takes a second fault, though the CPU leaves it to the kernel to mark it dirty."""
    assert faults(run, label, size, access) == {expected}


@pytest.mark.boot
def test_eager_mapping_has_no_fault_on_reading(run: Run) -> None:
    """What is called the floor is mapped by mmap(); the test knows the modes apart by this."""
    assert faults(run, "eager", 1024 * PAGE, "first_read") == {0}
    # It costs a fault to make a clean page dirty: what the other modes avoid.
    assert faults(run, "eager", 1024 * PAGE, "first_write") == {1024}


@pytest.mark.boot
def test_nothing_faults_twice(run: Run) -> None:
    again = [m["faults"] for key, m in results(run[1]).items() if key[3] == "next_write"]
    assert again and set(again) == {0}


@pytest.mark.boot
def test_report(run: Run) -> None:
    """Every mode, every device, every operation; with a time, and of the bytes that it says."""
    found = results(run[1])
    modes = {"default", "batches", "page-by-page", "eager"}
    assert {key[0] for key in found} == modes | {"peer"}
    assert {key[1] for key in found} == {PAGE, 16 * PAGE, 1024 * PAGE}
    assert len({key[3] for key in found}) == 8
    assert len(found) == (4 * 4 + 2) * 8
    for (_, size, _, operation), seen in found.items():
        assert 0 < seen["min_ns"] <= seen["median_ns"]
        copied = operation in ("read", "write", "read_new")
        assert seen["bytes"] == (min(size, 1 << 20) if copied else size)


@pytest.mark.boot
def test_table_and_plot(run: Run) -> None:
    done, output = run
    for name in ("4 MiB, coherent", "4 MiB, non-coherent", "64 KiB, coherent", "4 KiB, coherent"):
        assert f"\n{name}\n" in done.stdout
    assert "How many times that of eager:" in done.stdout
    assert "How many times that of peer:" in done.stdout
    assert "faultline.ko text" in done.stdout
    svg = ElementTree.parse(output / "bench.svg").getroot()
    names = {text.text for text in svg.iter("{http://www.w3.org/2000/svg}text")}
    assert {"default", "batches", "page-by-page", "eager", "peer", "4 KiB", "4 MiB"} <= names


MISTAKES = {
    "no such device": (("--peer-dev=/dev/none",), "/dev/none: open: ENOENT"),
    "no module": (("--peer-dev=/dev/x", f"--peer-ko={BENCH}"), f"bench: size: {BENCH}: "),
    "no node": (("--peer-dev=x",), "'x' is not /dev/NAME"),
    "no device at all": ((), "give both"),
}


@pytest.mark.boot
@pytest.mark.parametrize(("options", "words"), MISTAKES.values(), ids=MISTAKES.keys())
def test_mistake_is_named(
    places: Places, tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    done = measure(places, tmp_path, f"--peer-ko={places.module}", *options)
    assert done.returncode != 0
    assert words in done.stderr
    assert not (tmp_path / "out/bench.json").exists()


@pytest.mark.boot
def test_a_buffer_that_is_refused_is_no_result(places: Places, tmp_path: Path) -> None:
    """What could not be allocated must not be missing from the table without a word."""
    large = tmp_path / "large.dtso"
    large.write_text(OVERLAY.replace("0x10000", "0x4000000"))
    done = measure(places, tmp_path, f"--dtso={large}", "--append=cma=16M")
    assert done.returncode != 0
    assert "cannot allocate 67108864 bytes" in done.stderr
    assert done.stdout == ""


@pytest.mark.boot
def test_command_line_of_the_program(boot: Boot, places: Places, tmp_path: Path) -> None:
    overlay = tmp_path / "overlay"
    (overlay / "bin").mkdir(parents=True)
    (overlay / "bin/bench").write_bytes((places.build / "faultline-bench").read_bytes())
    (overlay / "bin/bench").chmod(0o755)

    def said(arguments: str) -> tuple[int, str]:
        done = boot(f"--overlay={overlay}", f"--run=/bin/bench {arguments}")
        return done.status, done.console

    status, console = said("--repeat 1 /dev/faultline0 --siez 4096")
    assert status == 2
    assert "There is no option '--siez'." in console
    assert '"operation"' not in console, "it began all the same"
    status, console = said("/dev/null")
    assert status == 1
    assert "faultline-bench: /dev/null: cannot map a size of 0" in console
    status, console = said(f"--size {1 << 40} /dev/faultline0")
    assert status == 1
    assert "faultline-bench: /dev/faultline0: mmap: EINVAL" in console
