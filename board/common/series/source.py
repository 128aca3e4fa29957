# SPDX-License-Identifier: GPL-2.0-only
"""A source file of the driver on its way into the kernel's tree.

The sources are formatted, so that an item ends where a line has its closing brace at the item's own
indentation. Each change names what it changes, and it is an error if that is not there: the sources
go on to change, and no change may stop having an effect without notice.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path


class Unfit(Exception):
    """The driver's sources do not have what a change is about."""


@dataclass
class Source:
    """The text of a file, and what to call the file in an error."""

    name: str
    text: str

    @classmethod
    def of(cls, path: Path, top: Path) -> Source:
        return cls(str(path.relative_to(top)), path.read_text())

    def unfit(self, what: str) -> Unfit:
        return Unfit(f"{self.name} has no {what}: adapt board/common/series/manifest.py")

    def replace(self, old: str, new: str) -> None:
        """Replaces a text wherever it occurs."""
        if old not in self.text:
            raise self.unfit(f"text {old!r}")
        self.text = self.text.replace(old, new)

    def sub(self, pattern: str, new: str) -> None:
        """Replaces what a regular expression matches."""
        self.text, count = re.subn(pattern, new, self.text, flags=re.MULTILINE)
        if not count:
            raise self.unfit(f"match of {pattern!r}")

    def item(self, header: str) -> tuple[int, int]:
        """The lines of the item whose first line begins with this, indented as it is: from its comments
        and attributes to its end."""
        lines = self.text.split("\n")
        found = [number for number, line in enumerate(lines) if line.startswith(header)]
        if len(found) != 1:
            raise self.unfit(f"single item {header.strip()!r}")
        indent = " " * (len(header) - len(header.lstrip()))
        begin = end = found[0]
        while begin and re.match(rf"{indent}(//|#\[)", lines[begin - 1]):
            begin -= 1
        if not lines[end].endswith((";", "}", ",")):
            while lines[end] not in (f"{indent}}}", f"{indent}}},", f"{indent}}};"):
                end += 1
                if end == len(lines):
                    raise self.unfit(f"end of {header.strip()!r}")
        return begin, end + 1

    def swap(self, header: str, new: str) -> None:
        """Puts a text in the place of an item; for no text, the item goes with the empty line after it,
        or before it if it is the last."""
        begin, end = self.item(header)
        lines = self.text.split("\n")
        if not new:
            if lines[end] == "":
                end += 1
            elif lines[begin - 1] == "":
                begin -= 1
        lines[begin:end] = new.rstrip("\n").split("\n") if new else []
        self.text = "\n".join(lines)

    def cut(self, *headers: str) -> None:
        for header in headers:
            self.swap(header, "")

    def cut_sections(self, *titles: str) -> None:
        """Cuts sections of the file's own documentation."""
        for title in titles:
            self.sub(rf"^//! # {re.escape(title)}\n(?:(?!//! # |//! C header)//!.*\n)*", "")

    def give_examples(self, header: str, examples: str) -> None:
        """Gives an item these examples, in the place of those that it has."""
        begin, end = self.item(header)
        lines = self.text.split("\n")
        documented = begin
        while lines[documented].lstrip().startswith("///"):
            documented += 1
        comment = "\n".join(lines[begin:documented])
        comment = re.sub(r"\n *///\n */// # Examples\n(?: *///.*\n?)*", "", comment + "\n").rstrip("\n")
        new = [f"/// {line}".rstrip() for line in ("", "# Examples", "", *examples.strip("\n").split("\n"))]
        lines[begin:documented] = [*comment.split("\n"), *new]
        self.text = "\n".join(lines)

    def use(self, path: str) -> None:
        """Imports one name more."""
        self.sub(r"\A((?:(?!use ).*\n)*)use ", rf"\1use {path};\nuse ")

    def wrap(self, width: int = 100) -> None:
        """Wraps the paragraphs of comments that have become too wide."""
        wrapped: list[str] = []
        paragraph: list[str] = []
        start = re.compile(r"( *//[/!]? )(- )?(?=[^\s#])")
        is_code = False

        def end() -> None:
            if any(len(line) > width for line in paragraph):
                prefix = start.match(paragraph[0])
                assert prefix
                mark = prefix[1]
                text = " ".join(line[len(mark):].strip() for line in paragraph)
                paragraph[:] = textwrap.wrap(
                    text, width, initial_indent=mark, subsequent_indent=mark + " " * len(prefix[2] or ""),
                    break_long_words=False, break_on_hyphens=False)
            wrapped.extend(paragraph)
            paragraph.clear()

        for line in self.text.split("\n"):
            match = start.match(line)
            is_fence = line.lstrip(" /!").startswith("```")
            is_code ^= is_fence
            begun = start.match(paragraph[0]) if paragraph else None
            goes_on = begun and line.startswith(begun[1] + " " * len(begun[2] or "")) and not (match and match[2])
            if is_code or is_fence or not (match or goes_on):
                end()
                wrapped.append(line)
            else:
                if not goes_on:
                    end()
                paragraph.append(line)
        end()
        self.text = "\n".join(wrapped)

    def code(self, pattern: str, new: str) -> None:
        """As sub(), in lines that are no comments, and without an error."""
        self.text = "\n".join(
            line if line.lstrip().startswith("//") else re.sub(pattern, new, line)
            for line in self.text.split("\n"))
