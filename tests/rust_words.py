# SPDX-License-Identifier: GPL-2.0-only
"""Finds words in Rust code: not in comments, strings or character literals."""

from __future__ import annotations

import re
from collections.abc import Iterator

# What can hide a word, and `/*`, whose end is found by counting: Rust's comments nest.
TOKEN = re.compile(
    r"""
      //[^\n]*
    | (?P<block>/\*)
    | \b(?:r|br|cr)(?P<hashes>\#*)"(?:.|\n)*?"(?P=hashes)       # a raw string
    | "(?:[^"\\]|\\(?:.|\n))*"                                # a string of another kind
    | '(?:[^'\\\n]|\\(?:x[0-9a-fA-F]{2}|u\{[0-9a-fA-F_]+\}|.))'  # a character, no lifetime
    """,
    re.VERBOSE,
)
COMMENT_EDGE = re.compile(r"/\*|\*/")


def code(source: str) -> str:
    """The source with everything that is not code blanked; the lines stay."""
    kept, position = [], 0
    while match := TOKEN.search(source, position):
        end = comment_end(source, match.end()) if match["block"] else match.end()
        hidden = re.sub(r"[^\n]", " ", source[match.start() : end])
        kept += [source[position : match.start()], hidden]
        position = end
    return "".join([*kept, source[position:]])


def comment_end(source: str, position: int) -> int:
    """Where the block comment ends whose `/*` ends at this position."""
    depth = 1
    while depth:
        edge = COMMENT_EDGE.search(source, position)
        if not edge:
            return len(source)
        depth += 1 if edge[0] == "/*" else -1
        position = edge.end()
    return position


def find(source: str, pattern: str) -> Iterator[int]:
    """The numbers of the lines whose code has the pattern."""
    text = code(source)
    for match in re.finditer(pattern, text):
        yield text.count("\n", 0, match.start()) + 1
