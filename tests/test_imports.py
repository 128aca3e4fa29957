# SPDX-License-Identifier: GPL-2.0-only
"""Imports between the modules of userspace/core, what its checks refer to, and the list of stress cases."""

from __future__ import annotations

import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from places import TOP

pytestmark = pytest.mark.lint

CORE = TOP / "userspace/core/src"


def without_tests(source: str) -> str:
    """Tests may look at whatever they test with; comments import nothing."""
    source = re.sub(r"^\s*//.*$", "", source, flags=re.MULTILINE)
    return re.split(r"^#\[cfg\(test\)\]", source, flags=re.MULTILINE)[0]


def module_of(path: Path, root: Path) -> str:
    return "::".join(path.relative_to(root).with_suffix("").parts)


def imports(root: Path) -> dict[str, set[str]]:
    """The modules of a crate, and which others each of them names by `crate::` or `super::`."""
    files = [path for path in root.rglob("*.rs")
             if path.stem not in ("lib", "tests", "fake")
             and not {"tests", "fake"} & set(path.relative_to(root).parts)]
    modules = {module_of(path, root): path for path in files}
    found: dict[str, set[str]] = {}
    for name, path in modules.items():
        above = name.rpartition("::")[0]
        named = {match[1] for match in
                 re.finditer(r"\bcrate::(\w+(?:::\w+)*)", without_tests(path.read_text()))}
        named |= {f"{above}::{match[1]}".removeprefix("::") for match in
                  re.finditer(r"\bsuper::(\w+(?:::\w+)*)", without_tests(path.read_text()))}
        found[name] = set()
        for target in named:
            # The longest part of the path that is a module: what follows is a name in it.
            while target and target not in modules:
                target = target.rpartition("::")[0]
            if target and target != name:
                found[name].add(target)
    return found


def circle(graph: dict[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_circle_of_imports() -> None:
    graph = imports(CORE)
    assert "finding" in graph["checks::mapping"], graph
    assert circle(graph) == []


def test_a_circle_is_seen(tmp_path: Path) -> None:
    (tmp_path / "a.rs").write_text("use crate::b::B;\n")
    (tmp_path / "b.rs").write_text("use crate::c::{self, C};\n")
    (tmp_path / "c.rs").write_text("fn f() { crate::a::f() }\n#[cfg(test)]\nuse crate::b;\n")
    assert set(circle(imports(tmp_path))) == {"a", "b", "c"}


def test_the_documentation_has_what_a_failure_refers_to() -> None:
    names = re.findall(r'^        name: "(\w+)",$', (CORE / "checks/catalogue.rs").read_text(),
                       re.MULTILINE)
    assert len(names) == len(set(names)) == 25
    anchors = re.findall(r'<a id="(\w+)"></a>', (TOP / "docs/verdicts.md").read_text())
    assert sorted(anchors) == sorted([*names, "open"])


def test_stress_cases_are_those_of_the_documentation() -> None:
    """faultline-stress: each row of the table is a file, which has these cases and no others."""
    rows = re.findall(r"^\| [^|]+ \| `(\w+\.rs)` \| (.*) \|$", (TOP / "docs/stress.md").read_text(), re.MULTILINE)
    documented = {file: set(re.findall(r"`([a-z]\w+)`", cases)) - {"userfaultfd"} for file, cases in rows}
    listed = {}
    for path in (TOP / "userspace/stress/src/cases").glob("*.rs"):
        cases = re.findall(r'^ +name: "(\w+)",\n +proves: text\(', path.read_text(), re.MULTILINE)
        assert len(cases) == len(set(cases)), path
        if cases:
            listed[path.name] = set(cases)
    assert documented == listed
    source = (TOP / "userspace/stress/src/cases.rs").read_text()
    assert set(re.findall(r"^    (\w+)::CASES,$", source, re.MULTILINE)) == {Path(file).stem for file in listed}
