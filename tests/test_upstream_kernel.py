# SPDX-License-Identifier: GPL-2.0-only
"""The kernel that `make upstream-check` has built with the patches of `make upstream`."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from guests import DEBUG_PATIENCE, Boot, Run
from places import TOP, Places, environment
from series.manifest import SERIES, Rust
from series.tree import Maker

pytestmark = pytest.mark.boot

HERE = Path(os.environ["TEST_UPSTREAM"])
WARNING = re.compile(r"^(?:warning|error)\b.*|.*: (?:warning|error): .*", re.MULTILINE)
PARTS = [part for patch in SERIES["vm-fault"].patches for part in patch.parts if isinstance(part, Rust)]


def log(places: Places, name: str) -> str:
    return (places.kernel_build / "log" / f"{name}.log").read_text()


def test_clippy_has_no_warning(places: Places) -> None:
    said = log(places, "upstream-kernel")
    assert WARNING.findall(said) == [], said
    assert re.search(r"^  CLIPPY L rust/kernel\.o$", said, re.MULTILINE), said


def test_rustdoc_has_no_warning(places: Places) -> None:
    said = log(places, "upstream-rustdoc")
    assert WARNING.findall(said) == [], said
    documentation = HERE / "kernel/Documentation/output/rust/rustdoc/kernel"
    assert "SleepableRevocable" in (
        documentation / "revocable/sleepable/struct.SleepableRevocable.html").read_text()


@pytest.fixture(scope="module")
def run(places: Places, guest_test: str, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A guest that loads the sample, and uses it."""
    image = environment(TOP / "board" / places.board / "board.env")["IMAGE"]
    arch = environment(TOP / "board" / places.board / "board.env")["ARCH"]
    return Boot(places, tmp_path_factory.mktemp("upstream"), DEBUG_PATIENCE)(
        guest_test, "--run=/bin/faultline-guest-test vm-fault",
        kernel=HERE / "kernel/arch" / arch / "boot" / image,
        module=HERE / "kernel/samples/rust/rust_vm_fault.ko")


def test_examples_pass_as_kunit_tests(places: Places, run: Run) -> None:
    """Each file of the series that has examples, and nothing else is worse for it."""
    maker = Maker(TOP, Path("/no/such"), places.rust_bin / "rustfmt")
    files = [part.target for part in PARTS if "/// ```\n" in maker.rust(part)]
    assert len(files) > 2
    for file in files:
        name = "rust_doctest_kernel_" + re.sub(r"\W", "_", file)
        passed = re.findall(rf"\b(not ok|ok) \d+ {name}_\d+", run.console)
        assert passed and set(passed) == {"ok"}, (name, str(run))
    assert re.search(r"# rust_doctests_kernel: pass:\d+ fail:0 ", run.console), run


def test_sample_maps_pages_by_faults(run: Run) -> None:
    assert (run.status, run.message) == (0, ""), run
    touched = re.findall(r"rust_vm_fault: page (\d) is touched", run.console)
    assert touched == [*"00112233", "0", "0"], run
    assert "rust_vm_fault: the buffer is revoked" in run.console, run
