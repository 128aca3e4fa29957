# SPDX-License-Identifier: GPL-2.0-only
"""Imports between the modules of each crate, what the checks refer to, and the list of stress cases."""

from __future__ import annotations

import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from places import TOP

pytestmark = pytest.mark.lint

CORE = TOP / "userspace/core/src"
# Crates, by where their sources are.
CRATES = ["driver", *(f"userspace/{name}/src" for name in ("core", "sys", "verify", "init", "stress", "bench"))]
# One import of some of them, to show that they are read.
IMPORTS = {
    "driver": ("ext::vm_fault", "ext::run"),
    "userspace/core/src": ("checks::mapping", "finding"),
    "userspace/stress/src": ("fuzz::process", "fuzz::record"),
}


def without_tests(source: str) -> str:
    """Tests may look at whatever they test with; comments import nothing."""
    source = re.sub(r"^\s*//.*$", "", source, flags=re.MULTILINE)
    return re.split(r"^#\[cfg\(test\)\]", source, flags=re.MULTILINE)[0]


def module_of(path: Path, root: Path) -> str:
    return "::".join(path.relative_to(root).with_suffix("").parts)


def expanded(tree: str) -> list[str]:
    """The paths of a `use` tree: `a::{b, c::{self, d}}` has a::b, a::c and a::c::d."""
    head, brace, rest = tree.partition("{")
    if not brace:
        return [tree.split(" as ")[0].strip().removesuffix("::self")]
    depth, item, items = 0, "", []
    for letter in rest.rpartition("}")[0]:
        depth += (letter == "{") - (letter == "}")
        if letter == "," and depth == 0:
            items.append(item)
            item = ""
        else:
            item += letter
    return [path for part in [*items, item] if part.strip()
            for path in expanded(head.strip() + part.strip())]


def paths_of(source: str) -> list[str]:
    """The paths that a file names: those of its `use` declarations, and others that begin with `crate` or `super`."""
    use = re.compile(r"^[ \t]*(?:pub(?:\([^)]*\))? )?use ([^;]+);", re.MULTILINE)
    trees = [re.sub(r"\s+", " ", tree) for tree in use.findall(source)]
    return [path for tree in trees for path in expanded(tree)] + re.findall(
        r"\b(?:crate|super)::\w+(?:::\w+)*", use.sub("", source))


def imports(root: Path) -> dict[str, set[str]]:
    """The modules of a crate, a file each, and which others each of them names.

    A module that names its own children is no import: its file is what puts them together.
    """
    files = [path for path in root.rglob("*.rs")
             if path.stem not in ("lib", "tests") and "tests" not in path.relative_to(root).parts]
    modules = {module_of(path, root): path for path in files}
    found: dict[str, set[str]] = {}
    for name, path in modules.items():
        found[name] = set()
        for target in paths_of(without_tests(re.sub(r"//.*$", "", path.read_text(), flags=re.MULTILINE))):
            place = name
            if target.startswith("crate::"):
                place, target = "", target.removeprefix("crate::")
            while target.startswith("super::"):
                place, target = place.rpartition("::")[0], target.removeprefix("super::")
            target = f"{place}::{target}".removeprefix("::")
            # The longest part of the path that is a module: what follows is a name in it.
            while target and target not in modules:
                target = target.rpartition("::")[0]
            if target and target != name and not target.startswith(f"{name}::"):
                found[name].add(target)
    return found


def circle(graph: dict[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


@pytest.mark.parametrize("crate", CRATES)
def test_no_circle_of_imports(crate: str) -> None:
    graph = imports(TOP / crate)
    named = IMPORTS.get(crate)
    assert not named or named[1] in graph[named[0]], graph
    assert circle(graph) == []


@pytest.mark.parametrize("imported", [
    "use crate::b::B;", "use super::b;", "use super::{\n    z,\n    b::{\n        B,\n    }, //\n};",
    "fn f() { crate::b::f() }", "pub(crate) use crate::{b::{self, B as C}, d};",
])
def test_a_circle_is_seen(tmp_path: Path, imported: str) -> None:
    (tmp_path / "a.rs").write_text(f"{imported}\n")
    (tmp_path / "b.rs").write_text("use crate::c::{self, C};\n// crate::a\n")
    (tmp_path / "c.rs").write_text("use super::d::e::E;\n#[cfg(test)]\nuse crate::b;\n")
    (tmp_path / "d").mkdir()
    (tmp_path / "d.rs").write_text("mod e;\nuse e::E;\n")
    (tmp_path / "d/e.rs").write_text("use super::F;\n")
    assert circle(imports(tmp_path)) == []
    (tmp_path / "d/e.rs").write_text("use super::super::a::A;\n")
    assert set(circle(imports(tmp_path))) == {"a", "b", "c", "d::e"}


def test_the_documentation_has_what_a_failure_refers_to() -> None:
    names = re.findall(r'^        name: "(\w+)",$', (CORE / "checks/catalogue.rs").read_text(),
                       re.MULTILINE)
    assert len(names) == len(set(names)) == 25
    anchors = re.findall(r'<a id="(\w+)"></a>', (TOP / "docs/verdicts.md").read_text())
    assert sorted(anchors) == sorted([*names, "open"])


def test_stress_cases_say_what_they_prove_in_whole_sentences() -> None:
    """Each by itself: a failed case quotes its sentence alone."""
    said = [re.sub(r"\\\n\s*", "", text) for path in (TOP / "userspace/stress/src/cases").glob("*.rs")
            for text in re.findall(r'^ +proves:\s+"((?:[^"\\]|\\.|\\\n)*)",$', path.read_text(), re.MULTILINE)]
    assert len(said) > 55
    assert [text for text in said if not text.endswith(".") or re.match("The same|Who |E[A-Z]+ ", text)] == []


def test_stress_cases_are_those_of_the_documentation() -> None:
    """faultline-stress: each row of the table is a file, which has these cases and no others."""
    rows = re.findall(r"^\| [^|]+ \| `(\w+\.rs)` \| (.*) \|$", (TOP / "docs/stress.md").read_text(), re.MULTILINE)
    documented = {file: set(re.findall(r"`([a-z]\w+)`", cases)) - {"userfaultfd"} for file, cases in rows}
    listed = {}
    for path in (TOP / "userspace/stress/src/cases").glob("*.rs"):
        cases = re.findall(r'^ +name: "(\w+)",\n +proves:', path.read_text(), re.MULTILINE)
        assert len(cases) == len(set(cases)), path
        if cases:
            listed[path.name] = set(cases)
    assert documented == listed
    source = (TOP / "userspace/stress/src/cases.rs").read_text()
    assert set(re.findall(r"\b(\w+)::(?:CASES|MACHINE)\b", source)) == {Path(file).stem for file in listed}
