# SPDX-License-Identifier: GPL-2.0-only
"""How the sources are laid out: how long a file may be."""

from __future__ import annotations

from pathlib import Path

import pytest

from places import TOP

pytestmark = pytest.mark.lint

MAX_LINES = 500
# Programs write these.
GENERATED = {"Cargo.lock", "requirements.txt"}
# Texts of others, which are not ours to split.
LICENCES = TOP / "LICENSES"


def too_long(files: list[Path]) -> list[str]:
    lengths = {path: len(path.read_text(errors="replace").splitlines()) for path in files}
    return [f"{path}: {lines} lines" for path, lines in lengths.items() if lines > MAX_LINES]


def test_no_source_file_is_long(sources: list[Path]) -> None:
    """Of whatever language; a longer file has more than one subject."""
    ours = [path for path in sources if path.name not in GENERATED and LICENCES not in path.parents]
    assert {path.suffix for path in ours} >= {".rs", ".py", ".sh", ".c", ".md", ".yaml", ".patch"}
    assert too_long(ours) == []


def test_a_long_file_is_named(tmp_path: Path) -> None:
    longest, longer = tmp_path / "longest.rs", tmp_path / "longer.rs"
    longest.write_text("\n" * MAX_LINES)
    longer.write_text("\n" * MAX_LINES + "the last line has no end")
    assert too_long([longest, longer]) == [f"{longer}: {MAX_LINES + 1} lines"]
