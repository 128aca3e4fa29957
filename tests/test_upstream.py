# SPDX-License-Identifier: GPL-2.0-only
"""The patches for the kernel that are made from driver/: `make upstream`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import by_one_worker
from places import PYTHON, TOP, COMMON, Places
from series import imports
from series.manifest import HELPERS, SERIES, Helpers, Rust
from series.source import Source, Unfit
from series.tree import Failed, Maker, message_of

PROGRAM = COMMON / "upstream.py"
TEXTS = TOP / "docs/upstream"
IDENTITY = {"GIT_AUTHOR_NAME": "A Tester", "GIT_AUTHOR_EMAIL": "tester@example.org",
            "GIT_COMMITTER_NAME": "A Tester", "GIT_COMMITTER_EMAIL": "tester@example.org"}
PATCHES = [f"{name}/{number:04}" for name, series in SERIES.items()
           for number in range(1, len(series.patches) + 1)]

needs_git = pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")


def write(places: Places, output: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """What `make upstream` runs. No configuration of the user's tells who signs the patches off."""
    nobody = {"HOME": "/no/such", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    kept = {name: value for name, value in os.environ.items()
            if not name.startswith("GIT_") and name != "EMAIL"}
    return subprocess.run(
        [*PYTHON, PROGRAM, f"--kernel={places.kernel_source}", f"--output={output}",
         f"--rustfmt={places.rust_bin / 'rustfmt'}"],
        env=kept | nobody | environment, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


@pytest.fixture(scope="session")
def written(places: Places, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All series, as written once."""
    with by_one_worker(tmp_path_factory, "upstream") as shared:
        output = shared / "series"
        if not output.exists():
            done = write(places, output, **IDENTITY)
            assert done.returncode == 0, done.stdout
        return output


def patch_of(written: Path, name: str) -> Path:
    series, _, number = name.partition("/")
    (patch,) = (written / series).glob(f"{number}-*.patch")
    return patch


@needs_git
@pytest.mark.kernel
@pytest.mark.parametrize("name", PATCHES)
def test_patch_is_signed_and_says_what_it_does(written: Path, name: str) -> None:
    text = patch_of(written, name).read_text()
    assert "\nFrom: A Tester <tester@example.org>\n" in text
    assert "\nSigned-off-by: A Tester <tester@example.org>\n---\n" in text
    series, _, number = name.partition("/")
    message, _ = message_of((TEXTS / SERIES[series].patches[int(number) - 1].text).read_text())
    assert message in text.partition("\n\n")[2] or message.partition("\n\n")[2] in text
    assert not re.search("faultline", text.partition("\n---\n")[2], re.IGNORECASE)


@needs_git
@pytest.mark.kernel
def test_cover_letter_has_the_text(written: Path) -> None:
    text = patch_of(written, "vm-fault/0000").read_text()
    subject, _, body = message_of((TEXTS / "series/cover-letter.txt").read_text())[0].partition("\n\n")
    assert f"Subject: [PATCH 0/{len(SERIES['vm-fault'].patches)}] {subject}\n" in text
    assert body.strip() in text
    assert "***" not in text
    assert [path.name for path in sorted((written / "copy-huge-pmd").iterdir())] == [
        patch_of(written, "copy-huge-pmd/0001").name]


@needs_git
@pytest.mark.kernel
@pytest.mark.parametrize("series", SERIES)
def test_series_applies_to_the_kernel(places: Places, written: Path, tmp_path: Path, series: str) -> None:
    """One patch after another, to the files as the kernel's archive has them."""
    patches = [patch for patch in sorted((written / series).iterdir()) if "/0000-" not in str(patch)]
    changed = {file for patch in patches
               for file in re.findall(r"^--- a/(\S+)$", patch.read_text(), re.MULTILINE)}
    for file in changed:
        if (places.kernel_source / file).exists():
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(places.kernel_source / file, tmp_path / file)
    for patch in patches:
        done = subprocess.run(["git", "apply", "--whitespace=error-all", patch], cwd=tmp_path, text=True,
                              env=os.environ | {"GIT_CEILING_DIRECTORIES": str(tmp_path.parent)},
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert done.returncode == 0, done.stdout


# The files that are added are covered by patterns of MAINTAINERS; checkpatch does not look.
IGNORED = "FILE_PATH_CHANGES"


@needs_git
@pytest.mark.kernel
def test_checkpatch_finds_nothing(places: Places, written: Path) -> None:
    if not shutil.which("perl"):
        pytest.skip("perl is not installed")
    patches = [patch_of(written, name) for name in PATCHES]
    done = subprocess.run(
        ["perl", "scripts/checkpatch.pl", "--strict", f"--ignore={IGNORED}", *patches],
        cwd=places.kernel_source, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("total: 0 errors, 0 warnings, 0 checks") == len(patches), done.stdout


@needs_git
@pytest.mark.kernel
def test_new_files_have_a_maintainer(places: Places, written: Path) -> None:
    if not shutil.which("perl"):
        pytest.skip("perl is not installed")
    for name in PATCHES:
        patch = patch_of(written, name)
        if "\nnew file mode" in patch.read_text():
            done = subprocess.run(
                ["perl", "scripts/get_maintainer.pl", "--nogit", "--nogit-fallback", "--no-l", patch],
                cwd=places.kernel_source, text=True, capture_output=True)
            assert done.returncode == 0, done.stderr
            assert "(maintainer:RUST)" in done.stdout, done.stdout


@needs_git
@pytest.mark.kernel
def test_signer_must_be_known(places: Places, tmp_path: Path) -> None:
    done = write(places, tmp_path / "series")
    assert done.returncode == 1
    assert "git does not know who signs the patches off: run" in done.stdout
    assert "git config --global user.email" in done.stdout
    assert not (tmp_path / "series").exists()


@pytest.mark.kernel
def test_sample_is_formatted_as_the_kernel_is(places: Places) -> None:
    done = subprocess.run(
        [places.rust_bin / "rustfmt", "--check", "--edition=2021",
         f"--config-path={places.kernel_source / '.rustfmt.toml'}", TEXTS / "series/rust_vm_fault.rs"],
        text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout


@pytest.fixture
def maker(places: Places) -> Maker:
    return Maker(TOP, Path("/no/such"), places.rust_bin / "rustfmt")


PARTS = [part for series in SERIES.values() for patch in series.patches for part in patch.parts]


@pytest.mark.lint
@pytest.mark.parametrize("part", [part for part in PARTS if isinstance(part, Rust)],
                         ids=lambda part: part.source)
def test_a_file_of_the_driver_becomes_one_of_the_kernel(maker: Maker, part: Rust) -> None:
    """Needs no kernel: after an edit of driver/ext it shows at once which change has lost its object."""
    text = maker.rust(part)
    assert text.startswith("// SPDX-License-Identifier: GPL-2.0\n\n//! ")
    assert "ignore" not in re.findall("^/// ```(.*)$", text, re.MULTILINE)
    assert [line for line in text.split("\n") if len(line) > 100] == []
    # Nothing but the kernel crate and core, and nothing that is only visible in a module.
    assert {path.partition("::")[0] for path in imports.imported(text)} <= {"crate", "core"}
    assert not re.search(r"\bkernel::", re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE))


@pytest.mark.lint
@pytest.mark.parametrize("part", [part for part in PARTS if isinstance(part, Helpers)],
                         ids=lambda part: part.target)
def test_helpers_are_the_drivers(maker: Maker, part: Helpers) -> None:
    text = maker.helpers(part)
    declared = re.findall(r"^__rust_helper .*\brust_helper_(\w+)\(", text, re.MULTILINE)
    assert declared == [HELPERS[name] for name in part.functions]
    assert "faultline" not in text


SOURCE = """\
//! Module.
//!
//! # Kept
//!
//! One.
//!
//! # Cut
//!
//! Two.
//!
//! C header: x.h

use super::{
    a::{
        self,
        Unused, //
    },
    b::Used, //
};

/// First.
///
/// # Examples
///
/// ```ignore
/// old()
/// ```
#[attribute]
pub(crate) struct First {
    field: Used,
}

impl First {
    /// A method.
    fn short(&self) -> u32;

    // Comment.
    fn long(
        &self,
    ) -> a::B {
        if true {
        }
    }
}
"""


@pytest.fixture
def source() -> Source:
    return Source("x.rs", SOURCE)


@pytest.mark.lint
def test_items_are_cut_with_their_comments(source: Source) -> None:
    source.cut("    fn short(&self)", "    fn long(")
    assert "impl First {\n}\n" in source.text


@pytest.mark.lint
def test_items_are_replaced(source: Source) -> None:
    source.swap("    fn long(", "    fn new() {}")
    assert "    fn short(&self) -> u32;\n\n    fn new() {}\n}\n" in source.text


@pytest.mark.lint
def test_sections_are_cut(source: Source) -> None:
    source.cut_sections("Cut")
    assert source.text.startswith("//! Module.\n//!\n//! # Kept\n//!\n//! One.\n//!\n//! C header: x.h\n")


@pytest.mark.lint
def test_examples_are_replaced(source: Source) -> None:
    source.give_examples("pub(crate) struct First {", "\n```\nnew()\n```\n")
    assert ("/// First.\n///\n/// # Examples\n///\n/// ```\n/// new()\n/// ```\n#[attribute]\n"
            "pub(crate) struct First {") in source.text


CHANGES: list[tuple[str, Callable[[Source], None]]] = [
    ("text", lambda source: source.replace("none", "x")),
    ("match", lambda source: source.sub("none", "x")),
    ("single item", lambda source: source.cut("fn none(")),
    ("single item", lambda source: source.cut("    fn ")),
    ("match", lambda source: source.cut_sections("None")),
]


@pytest.mark.lint
@pytest.mark.parametrize(("what", "change"), CHANGES)
def test_a_change_without_effect_is_an_error(
    source: Source, what: str, change: Callable[[Source], None]
) -> None:
    with pytest.raises(Unfit, match=rf"^x\.rs has no {what} .*: adapt board/common/series/manifest\.py$"):
        change(source)


@pytest.mark.lint
def test_imports_are_those_that_are_used(source: Source) -> None:
    source.use("kernel::page::First")
    assert imports.imported(source.text) == ["kernel::page::First", "super::a::self", "super::a::Unused",
                                             "super::b::Used"]
    text = imports.rewrite(source.text, {"super::a": "crate::x::a", "super::b": "crate::b",
                                         "kernel": "crate"})
    assert """
use crate::{
    b::Used,
    page::First,
    x::a, //
};

/// First.""" in text


@pytest.mark.lint
@pytest.mark.parametrize(("text", "wrapped"), [
    ("/// short\n/// lines", "/// short\n/// lines"),
    ("/// aaaa bbbb cccc\n/// dddd\n///\n/// e", "/// aaaa bbbb\n/// cccc dddd\n///\n/// e"),
    ("    // - aa bb cc dd\n    //   ee\n    // - f", "    // - aa bb\n    //   cc dd\n    //   ee\n    // - f"),
    ("/// ```\n/// a long line of code\n/// ```", "/// ```\n/// a long line of code\n/// ```"),
    ("let a_long_line_of = code;", "let a_long_line_of = code;"),
])
def test_comments_are_wrapped(text: str, wrapped: str) -> None:
    source = Source("x.rs", text)
    source.wrap(14)
    assert source.text == wrapped


@pytest.mark.lint
def test_what_is_left_of_the_driver_is_an_error(maker: Maker, tmp_path: Path) -> None:
    (tmp_path / "ext").mkdir()
    (tmp_path / "ext/x.rs").write_text("//! X.\n\nuse kernel::prelude::*;\n\nfn f() { faultline_f() }\n")
    maker.driver = tmp_path
    maker.top = tmp_path
    with pytest.raises(Unfit, match="'faultline' is left in line 5 of x.rs"):
        maker.rust(Rust("ext/x.rs", "x.rs", lambda _: None))


@needs_git
@pytest.mark.unit
def test_a_text_that_does_not_apply_is_named(
    maker: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maker.kernel = tmp_path
    (tmp_path / "mm").mkdir()
    (tmp_path / "mm/huge_memory.c").write_text("another kernel\n")
    for name, value in IDENTITY.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(Failed, match=r"docs/upstream/copy-huge-pmd\.patch does not apply to"):
        maker.make(SERIES["copy-huge-pmd"], tmp_path / "series")
