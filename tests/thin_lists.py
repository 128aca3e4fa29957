# SPDX-License-Identifier: GPL-2.0-only
"""Reduces apt's lists to the packages that a question can be about. apt reads whole lists for each
question, which takes a second or two for all of Debian.

    thin_lists.py DIRECTORY PACKAGE…

What is left are these packages, all that they may depend on, and whatever provides that, in every
suite and version.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

DEPENDS = re.compile(r"^(?:Pre-Depends|Depends): (.*)$", re.MULTILINE)
NAME = re.compile(r"^Package: (\S+)$", re.MULTILINE)
PROVIDES = re.compile(r"^Provides: (.*)$", re.MULTILINE)
APT_HELPER = "/usr/lib/apt/apt-helper"


def names(relations: Iterable[str]) -> set[str]:
    """The packages in relations such as `a (>= 1), b:any | c`."""
    return {re.split(r"[ (:\[]", word.strip())[0]
            for line in relations for word in re.split(r"[,|]", line)}


def closure(stanzas: Iterable[str], seeds: Iterable[str]) -> set[str]:
    needs, providers = defaultdict(set), defaultdict(set)
    for stanza in stanzas:
        name = NAME.findall(stanza)[0]
        needs[name] |= names(DEPENDS.findall(stanza))
        for virtual in names(PROVIDES.findall(stanza)):
            providers[virtual].add(name)
    kept: set[str] = set()
    waiting = set(seeds)
    while waiting:
        name = waiting.pop()
        if name not in kept:
            kept.add(name)
            waiting |= needs[name] | providers[name]
    return kept


def main(directory: Path, *seeds: str) -> None:
    lists = {}
    for path in sorted(directory.glob("*_Packages*")):
        said = subprocess.run([APT_HELPER, "cat-file", path], check=True, stdout=subprocess.PIPE)
        lists[path] = [stanza for stanza in said.stdout.decode().split("\n\n") if stanza.strip()]
    kept = closure((stanza for stanzas in lists.values() for stanza in stanzas), seeds)
    for path, stanzas in lists.items():
        left = [stanza for stanza in stanzas if NAME.findall(stanza)[0] in kept]
        path.unlink()
        whole = path.parent / (path.name.partition("_Packages")[0] + "_Packages")
        whole.write_text("".join(f"{stanza.strip()}\n\n" for stanza in left))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
