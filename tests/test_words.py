# SPDX-License-Identifier: GPL-2.0-only
"""What people read: no word of words.txt in any file, and no link that leads nowhere."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import words
from places import TOP

pytestmark = pytest.mark.lint

# The list itself and its tests name the words; the rest is not written here.
NOT_OURS = {TOP / "tests/words.txt", TOP / "tests/test_words.py", TOP / "tests/requirements.txt"}


def test_no_word_of_the_list_is_used(sources: list[Path]) -> None:
    listed = words.entries(words.LIST.read_text())
    read = [path for path in sources if path not in NOT_OURS and path.suffix != ".lock"
            and TOP / "LICENSES" not in path.parents]
    assert {path.relative_to(TOP).parts[0] for path in read} >= {"docs", "driver", "tests", "userspace"}
    hits = [
        f"{path.relative_to(TOP)}:{line}: '{found}': say {instead}"
        for path in read
        for line, found, instead in words.find(
            words.prose(path.read_text(errors="replace"), path.suffix), listed)
    ]
    assert not hits, "words.txt lists these words:\n" + "\n".join(hits)


@pytest.mark.parametrize(("text", "hits"), [
    ("plain text", []),
    ("the area", [(1, "area")]),
    ("The areas of a VMA", [(1, "areas")]),
    ("Area and area", [(1, "Area"), (1, "area")]),
    ("struct vm_area_struct, `area_size`, area-wise, AREA", []),
    ("one\ntwo\na frame", [(3, "frame")]),
    ("a stack frame, FAULTLINE_IOC_FRAME, struct Frame2", []),
    ("a 2 MiB block and a block device", [(1, "2 MiB block")]),
    ("that takes 2 MiB\n    /// blocks", [(1, "2 MiB /// blocks")]),
    ("# as they stand for want\n# of a bus master", [(1, "for want # of")]),
    ("for want\n\nof", []),
    ("it is none; there is none", [(1, "is none")]),
    ("Whoever reads", [(1, "Whoever")]),
    ("filled in by hand, a page table is filled", [(1, "filled in")]),
])
def test_words_are_found(text: str, hits: list[tuple[int, str]]) -> None:
    listed = words.entries(words.LIST.read_text())
    found = sorted(words.find(text, listed))
    assert [(line, what) for line, what, _ in found] == hits
    assert all(instead for _, _, instead in found)


@pytest.mark.parametrize(("text", "kept"), [
    ("plain, `code`, plain", "plain, ``````, plain"),
    ("`two\nlines`", "`two\nlines`"),
])
def test_code_in_prose_is_left_out(text: str, kept: str) -> None:
    assert words.prose(text, ".md") == kept


def test_rust_is_read_for_comments_and_strings() -> None:
    source = 'fn area() {\n    // An area, `area`.\n    say("area");\n}\n'
    listed = words.entries(words.LIST.read_text())
    assert [line for line, *_ in words.find(words.prose(source, ".rs"), listed)] == [2, 3]


def test_patches_are_read_for_what_they_say() -> None:
    patch = "# The area.\n--- a/x.rs\n+++ b/x.rs\n@@ -1 +1 @@\n-fn area() {}\n+// An area.\n"
    listed = words.entries(words.LIST.read_text())
    assert [line for line, *_ in words.find(words.prose(patch, ".patch"), listed)] == [1, 6]


def test_every_entry_of_the_list_can_be_found() -> None:
    """An expression that matches nothing would go unnoticed."""
    listed = words.entries(words.LIST.read_text())
    for entry in listed:
        # The words without the marks of an expression: each group's and each choice's first.
        plain = re.sub(r"\(\?<!.*?\)", "", entry.words)
        plain = re.sub(r"\(\?:([^|)]*)[^)]*\)\??", r"\1", plain).partition("|")[0].replace("s?", "s")
        for text in (plain, plain[0].upper() + plain[1:]):
            assert any(instead == entry.instead for *_, instead in words.find(f"x {text} x", listed)), text


@pytest.mark.parametrize("line", ["area", "area ->", "-> VMA", "area->VMA"])
def test_a_line_of_the_list_that_is_not_an_entry(line: str) -> None:
    with pytest.raises(ValueError, match="line 2: "):
        words.entries(f"# comment\n{line}\n")


LINK = re.compile(r"\[[^]\[]*\]\(([^()\s]+)\)")


def without_code(text: str) -> str:
    """A page without its blocks and spans of code, its lines kept."""
    text = re.sub(r"^( *)```.*?^ *```$", lambda match: "\n" * match[0].count("\n"), text, flags=re.M | re.S)
    return re.sub(r"`[^`\n]*`", "``", text)


def anchors(text: str) -> set[str]:
    """Names of a page's headings, as GitHub makes them, and of its anchors in HTML."""
    text = re.sub(r"^( *)```.*?^ *```$", "", text, flags=re.M | re.S)
    found = set(re.findall(r'<a (?:id|name)="([^"]+)">', text))
    for heading in re.findall(r"^#+ (.+?) *$", text, re.MULTILINE):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        name = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        number = 0
        while (unique := f"{name}-{number}" if number else name) in found:
            number += 1
        found.add(unique)
    return found


def links(page: Path) -> Iterator[tuple[str, Path, str]]:
    """Each link of a page to a file of the project: as written, the file, and the anchor or ""."""
    for link in LINK.findall(without_code(page.read_text())):
        if not re.match(r"[a-z]+:", link):
            file, _, anchor = link.partition("#")
            yield link, Path(os.path.normpath(page.parent / file)) if file else page, anchor


def dead_links(page: Path) -> list[str]:
    return [
        f"{page.name}: {link}" for link, file, anchor in links(page)
        if not file.exists() or (anchor and anchor not in anchors(file.read_text()))
    ]


@pytest.fixture
def pages(sources: list[Path]) -> list[Path]:
    found = [path for path in sources if path.suffix == ".md"]
    assert TOP / "README.md" in found
    return found


def test_links_lead_somewhere(pages: list[Path]) -> None:
    assert [dead for page in pages for dead in dead_links(page)] == []


def test_pages_are_linked(pages: list[Path]) -> None:
    """From README.md, or from a page that is."""
    reached, new = {TOP / "README.md"}, {TOP / "README.md"}
    while new:
        new = {file for page in new for _, file, _ in links(page) if file.suffix == ".md"} - reached
        reached |= new
    assert sorted(set(pages) - reached) == []


# In code and messages: a page of docs/, perhaps with an anchor.
MENTION = re.compile(r"(?<![\w/.-])docs/[\w/-]+\.md(?:#[\w-]+)?")


def test_pages_that_code_names_are_there(sources: list[Path]) -> None:
    dead = [
        f"{path.relative_to(TOP)}: {mention}"
        for path in sources if path.suffix not in {".md", ".lock"} and path not in NOT_OURS
        for mention in MENTION.findall(path.read_text(errors="replace"))
        for file, _, anchor in [mention.partition("#")]
        if not (TOP / file).exists() or (anchor and anchor not in anchors((TOP / file).read_text()))
    ]
    assert dead == []


@pytest.mark.parametrize(("text", "dead"), [
    ("[x](other.md)", []),
    ("[x](other.md#two-words)", []),
    ("[x](#one)", []),
    ("[x](#c-code)", []),
    ("[x](https://example.org/none)", []),
    ("`[x](none.md)`\n```\n[x](none.md)\n```", []),
    ("[x](none.md)", ["page.md: none.md"]),
    ("[x](other.md#none)", ["page.md: other.md#none"]),
    ("[x](#none)", ["page.md: #none"]),
    ("[x](#not-a-heading)", ["page.md: #not-a-heading"]),
])
def test_dead_links_are_found(tmp_path: Path, text: str, dead: list[str]) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# One\n```\n# not a heading\n```\n## `C` code\n{text}\n")
    (tmp_path / "other.md").write_text("# Other\n## Two *words*\n")
    assert dead_links(page) == dead
