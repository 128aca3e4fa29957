# SPDX-License-Identifier: GPL-2.0-only
"""The `use` declarations of a Rust file: those that are needed, in the kernel's style."""

from __future__ import annotations

import re
from collections.abc import Iterator

USE = re.compile(r"^use ([^;]+);\n", re.MULTILINE)

Tree = dict[str, "Tree"]


def paths(tree: str) -> Iterator[str]:
    """The single paths of a tree: a::{b, c::{self, D}} is a::b, a::c::self and a::c::D."""
    prefix, brace, rest = tree.partition("{")
    if not brace:
        yield tree
        return
    depth, begin = 0, 0
    inner = rest.rpartition("}")[0] + ","
    for position, character in enumerate(inner):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if character == "," and depth == 0:
            if part := inner[begin:position]:
                yield from (prefix + path for path in paths(part))
            begin = position + 1


def imported(text: str) -> list[str]:
    """All paths that a file imports."""
    found = []
    for match in USE.finditer(text):
        bare = re.sub(r"//.*", "", match[1])
        # Blanks mean something in `a as b` alone.
        bare = re.sub(r"\s+", " ", bare)
        found += paths(re.sub(r" ?([{},]) ?", r"\1", bare))
    return found


def name_of(path: str) -> str:
    """What a path is called in the file."""
    path = path.removesuffix("::self")
    return re.split(r"::| as ", path)[-1]


def is_needed(path: str, body: str) -> bool:
    name = name_of(path)
    return name in {"*", "_"} or re.search(rf"\b{re.escape(name)}\b", body) is not None


def order(name: str) -> tuple[bool, int, str]:
    """rustfmt's: modules, types, constants."""
    return name != "self", 2 if name.isupper() else not name[0].islower(), name


def rendered(name: str, tree: Tree, indent: str) -> str:
    """A tree on lines of its own, each ending as the kernel wants it, so that rustfmt keeps them."""
    if not tree:
        return name
    children = sorted(tree.items(), key=lambda child: order(child[0]))
    if len(children) == 1:
        child = rendered(*children[0], indent)
        return f"{name}::{child}" if child != "self" else name
    inner = indent + "    "
    lines = [f"{inner}{rendered(child, below, inner)}," for child, below in children]
    return "\n".join([f"{name}::{{", *lines, f"{indent}}}"]).replace(",\n" + indent + "}", ", //\n" + indent + "}")


def rewrite(text: str, moved: dict[str, str]) -> str:
    """The file with its imports where `moved` says that they are now, and without those that it does not
    need any more. Those of the kernel crate come first, as in its own files."""
    wanted = imported(text)
    first = USE.search(text)
    assert first
    body = USE.sub("", text[first.start():])
    code = "\n".join(line for line in body.split("\n") if not line.lstrip().startswith("//"))
    roots: Tree = {}
    for path in wanted:
        for old, new in moved.items():
            path = re.sub(rf"^{re.escape(old)}(?=::|$)", new, path)
        if is_needed(path, code):
            tree = roots
            for part in path.split("::"):
                tree = tree.setdefault(part, {})
    first_crate = sorted(roots, key=lambda root: (root != "crate", root))
    uses = [f"use {rendered(root, roots[root], '')};" for root in first_crate]
    return text[:first.start()] + "\n".join(uses) + "\n" + body
