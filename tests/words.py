# SPDX-License-Identifier: GPL-2.0-only
"""Words that this project does not use: the list in words.txt, and the search for them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import rust_words

LIST = Path(__file__).with_name("words.txt")

# Between two words: blanks, or the end of a line with what begins the next line of a comment.
GAP = r"(?:[ \t]+|[ \t]*\n[ \t]*(?:(?:///|//!|//|\#|\*|>)[ \t]*)?)"


@dataclass(frozen=True)
class Entry:
    words: str  # as in the list
    instead: str

    @property
    def pattern(self) -> re.Pattern[str]:
        # The small letters that begin an alternative stand for capital ones, too.
        either = re.sub(r"(?:^|\||^\(\?<![^)]*\)|^\(\?:)[a-z]",
                        lambda match: f"{match[0][:-1]}[{match[0][-1]}{match[0][-1].upper()}]", self.words)
        return re.compile(rf"(?<![\w-])(?:{either.replace(' ', GAP)})(?![\w-])")


def entries(text: str) -> list[Entry]:
    """The list's entries. A line that is not one is an error."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        words, arrow, instead = (part.strip() for part in line.partition(" -> "))
        if not (words and arrow and instead):
            raise ValueError(f"line {number}: {line!r} is not WORDS -> INSTEAD")
        found.append(Entry(words, instead))
    return found


def prose(text: str, kind: str) -> str:
    """What people read, the rest blanked: in Rust and in patches of it comments and strings, in
    everything no `code`. The kind is the suffix of the file's name."""
    if kind in {".rs", ".patch"}:
        # The first lines of a patch say what it does.
        if kind == ".patch":
            text = re.sub(r"^#", "//", text, flags=re.MULTILINE)
        code = rust_words.code(text)
        text = "".join("\n" if here == "\n" else " " if here == there else here
                       for here, there in zip(text, code, strict=True))
    return re.sub(r"`[^`\n]*`", lambda match: "`" * len(match[0]), text)


def find(text: str, listed: list[Entry]) -> Iterator[tuple[int, str, str]]:
    """Each hit: the line's number, the words as they stand there, and what to say instead."""
    for entry in listed:
        for match in entry.pattern.finditer(text):
            yield text.count("\n", 0, match.start()) + 1, " ".join(match[0].split()), entry.instead
