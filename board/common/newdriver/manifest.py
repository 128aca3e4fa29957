# SPDX-License-Identifier: GPL-2.0-only
"""Which files a new driver has (rooms.toml), and the few lines that differ (wires/)."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from project import TOP

HERE = Path(__file__).resolve().parent
ROOMS = HERE / "rooms.toml"
WIRES = HERE / "wires"
TREE = HERE / "tree"


class BadManifest(Exception):
    """The sources have changed, and what is said of them here has not. The message is one line."""


@dataclass(frozen=True)
class Wire:
    """Lines of a file that are cut, and lines that are put in their place."""

    file: str
    cut: str
    through: str | None  # cut all from `cut` through this, or "" for the end of the file
    put: str
    every: bool  # wherever it stands, not once
    given: frozenset[str]  # rooms that must be there
    lacking: frozenset[str]  # rooms that must not

    def applies(self, rooms: frozenset[str]) -> bool:
        return self.given <= rooms and not self.lacking & rooms


@dataclass(frozen=True)
class Room:
    what: str
    patterns: list[str]
    left_out: list[str]
    moved: dict[str, str]  # files that have another place in a new driver
    needs: frozenset[str]  # rooms that come along
    beside: dict[str, list[str]]  # what it has only together with another room: patterns by that room's name

    def matches(self, patterns: list[str]) -> dict[str, Path]:
        found: dict[str, Path] = {}
        for pattern in patterns:
            paths = [path for path in TOP.glob(pattern) if path.is_file()]
            if not paths:
                raise BadManifest(f"rooms.toml: no file {pattern}, which is part of '{self.what}'")
            found |= {str(path.relative_to(TOP)): path for path in paths}
        return found

    def files(self, rooms: frozenset[str] = frozenset()) -> dict[str, Path]:
        """Its files, in a driver that has these other rooms."""
        found = self.matches(self.patterns)
        for name in self.left_out:
            if not found.pop(name, None):
                raise BadManifest(f"rooms.toml: '{self.what}' leaves out {name}, which it does not have")
        for room in sorted(rooms & self.beside.keys()):
            found |= self.matches(self.beside[room])
        return found | {new: TOP / old for old, new in self.moved.items()}


@dataclass(frozen=True)
class Manifest:
    rooms: dict[str, Room]
    wires: list[Wire]

    @classmethod
    def load(cls) -> Manifest:
        entries = []
        for file in sorted(WIRES.glob("*.toml")):
            table = tomllib.loads(file.read_text())
            for entry in (entries_here := table.pop("wire")):
                if unknown := entry.keys() - {"file", "cut", "through", "put", "every", "with", "without"}:
                    raise BadManifest(f"wires/{file.name}: unknown: {', '.join(sorted(unknown))}")
            if table:
                raise BadManifest(f"wires/{file.name}: unknown: {', '.join(sorted(table))}")
            entries += entries_here
        wires = [
            Wire(
                file=entry["file"], cut=entry["cut"], through=entry.get("through"), put=entry.get("put", ""),
                every=entry.get("every", False),
                given=frozenset(entry.get("with", [])), lacking=frozenset(entry.get("without", [])),
            )
            for entry in entries
        ]
        table = tomllib.loads(ROOMS.read_text())["room"]
        rooms = {name: Room(room["what"], room["files"], room.get("except", []), room.get("moved", {}),
                            frozenset(room.get("needs", [])), room.get("beside", {})) for name, room in table.items()}
        known = rooms.keys()
        for name, room in rooms.items():
            if unknown := (room.needs | room.beside.keys()) - known:
                raise BadManifest(f"rooms.toml: '{name}' names no room: {', '.join(sorted(unknown))}")
        for wire in wires:
            if unknown := (wire.given | wire.lacking) - known:
                raise BadManifest(f"wires/: a wire of {wire.file} names no room: {', '.join(sorted(unknown))}")
        return cls(rooms, wires)

    @property
    def optional(self) -> list[str]:
        """The rooms that WITH= may name."""
        return [name for name in self.rooms if name != "default"]

    def with_needed(self, rooms: frozenset[str]) -> frozenset[str]:
        """These rooms and those that come along."""
        return rooms.union(*(self.rooms[room].needs for room in rooms))

    def files(self, rooms: frozenset[str]) -> dict[str, str]:
        """The texts of the new tree by their paths there, with this project's name in both."""
        of_others = {name for room in self.optional for name in self.rooms[room].files()}
        found = {name: path for name, path in self.rooms["default"].files().items() if name not in of_others}
        for room in rooms - {"default"}:
            found |= self.rooms[room].files(rooms)
        for room in rooms:
            # Files that only a new driver has, in their places in its tree.
            own = TREE / room
            for path in own.rglob("*"):
                if path.is_file():
                    found[str(PurePosixPath(path.relative_to(own)))] = path
        texts = {name: path.read_text() for name, path in found.items() if not ignored(name)}
        for wire in self.wires:
            if wire.applies(rooms):
                texts[wire.file] = self.apply(wire, texts)
        return {name: without_missing(name, text, texts) for name, text in texts.items()}

    @staticmethod
    def apply(wire: Wire, texts: dict[str, str]) -> str:
        if wire.file not in texts:
            raise BadManifest(f"wires/: a wire of {wire.file}, which is not among the files")
        text = texts[wire.file]
        first = wire.cut.strip().splitlines()[0]
        times = text.count(wire.cut)
        if wire.every and times:
            return text.replace(wire.cut, wire.put)
        if times != 1:
            raise BadManifest(f"wires/: {wire.file} has '{first}' and what follows {times} times, want 1")
        before, _, after = text.partition(wire.cut)
        if wire.through == "":
            after = ""
        elif wire.through is not None:
            _, found, after = after.partition(wire.through)
            if not found:
                raise BadManifest(f"wires/: {wire.file} has no '{wire.through.strip()}' after '{first}'")
        return before + wire.put + after


def without_missing(name: str, text: str, names: Container[str]) -> str:
    """A text without the lines that name a file that is not there: `mod`, `#include "…"`, an object in Kbuild."""
    path = PurePosixPath(name)
    folder = path.parent

    def module(match: re.Match[str]) -> str:
        is_root = path.name in {"lib.rs", "main.rs"} or path.stem.endswith("_main")
        file = (folder if is_root else folder / path.stem) / match["module"]
        is_there = f"{file}.rs" in names or f"{file}/mod.rs" in names or "path = " in match[0]
        return match[0] if is_there else ""

    if path.suffix == ".rs":
        pattern = r"^(?: *#\[[^\n]*\]\n)* *(?:pub(?:\([^)]*\))? )?mod (?P<module>\w+);\n"
        # Blank lines around what has gone.
        text = re.sub(r"\n{3,}", "\n\n", re.sub(pattern, module, text, flags=re.MULTILINE))
    elif path.suffix in {".c", ".h"}:
        text = re.sub(r'^#include "(.*)"\n', lambda match: match[0] if str(folder / match[1]) in names else "", text,
                      flags=re.MULTILINE)
    elif path.name == "Kbuild":
        def objects(match: re.Match[str]) -> str:
            there = [file for file in match[2].split()
                     if any(str(folder / file.replace(".o", suffix)) in names for suffix in (".c", ".rs"))]
            return f"{match[1]} {' '.join(there)}\n" if there else ""

        text = re.sub(r"^(\w+-y \+?:?=)((?: [\w/]+\.o)+)\n", objects, text, flags=re.MULTILINE)
    return text


def ignored(name: str) -> bool:
    """What programs write beside the sources."""
    return bool(re.search(r"(?:^|/)(?:__pycache__|target)/|/rust-project\.json$", name))
