# SPDX-License-Identifier: GPL-2.0-only
"""Cargo.lock of a workspace with other packages: what cargo itself would write."""

from __future__ import annotations

import re

PACKAGE = re.compile(r'\[\[package\]\]\nname = "([^"]+)"\nversion = "([^"]+)"\n.*?(?=\n\[\[package\]\]|\Z)', re.DOTALL)


def lock(text: str, members: set[str]) -> str:
    """Without the packages of the workspace that are not among its members, and sorted again: names may
    have changed."""
    head = text[: text.index("[[package]]")]
    kept = {
        match.groups(): sort_dependencies(match[0].rstrip("\n"))
        for match in PACKAGE.finditer(text) if "\nsource = " in match[0] or match[1] in members
    }
    return head + "\n\n".join(kept[package] for package in sorted(kept)) + "\n"


def sort_dependencies(package: str) -> str:
    def ordered(match: re.Match[str]) -> str:
        return "dependencies = [\n" + "".join(sorted(match[1].splitlines(keepends=True))) + "]"

    return re.sub(r"dependencies = \[\n(.*?)\]", ordered, package, flags=re.DOTALL)
