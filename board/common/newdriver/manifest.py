# SPDX-License-Identifier: GPL-2.0-only
"""Which files a new driver has (rooms.toml), and the few lines that differ (wires/)."""

from __future__ import annotations

import re
import tomllib
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
    files: list[str]  # patterns
    left_out: list[str]


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
        rooms = {name: Room(room["what"], room["files"], room.get("except", [])) for name, room in table.items()}
        known = rooms.keys()
        for wire in wires:
            if unknown := (wire.given | wire.lacking) - known:
                raise BadManifest(f"wires/: a wire of {wire.file} names no room: {', '.join(sorted(unknown))}")
        return cls(rooms, wires)

    @property
    def optional(self) -> list[str]:
        """The rooms that WITH= may name."""
        return [name for name in self.rooms if name != "default"]

    def files(self, rooms: frozenset[str]) -> dict[str, str]:
        """The texts of the new tree by their paths there, with this project's name in both."""
        found: dict[str, Path] = {}
        for room in rooms:
            of_room: dict[str, Path] = {}
            for pattern in self.rooms[room].files:
                paths = [path for path in TOP.glob(pattern) if path.is_file()]
                if not paths:
                    raise BadManifest(f"rooms.toml: room {room}: no file {pattern}")
                of_room |= {str(path.relative_to(TOP)): path for path in paths}
            for name in self.rooms[room].left_out:
                if not of_room.pop(name, None):
                    raise BadManifest(f"rooms.toml: room {room}: leaves out {name}, which it does not have")
            found |= of_room
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
        return texts

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


def ignored(name: str) -> bool:
    """What programs write beside the sources."""
    return bool(re.search(r"(?:^|/)(?:__pycache__|target)/|/rust-project\.json$", name))
