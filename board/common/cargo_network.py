# SPDX-License-Identifier: GPL-2.0-only
"""What the user's cargo configuration says about the network, as a configuration file of our own.

cargo_network.py CARGO_HOME DIR: the files are those that cargo would read in DIR.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

TABLES = ("source", "registries", "registry", "http", "net", "credential-alias")
PATHS = {"directory", "local-registry", "cainfo"}

Table = dict[str, Any]


def merge(into: Table, table: Table) -> None:
    for key, value in table.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = value


def absolute(table: Table, base: Path) -> None:
    """Paths are relative to the directory that has the directory of the file."""
    for key, value in table.items():
        if isinstance(value, dict):
            absolute(value, base)
        elif key in PATHS and isinstance(value, str):
            table[key] = str(base / value)


def toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(k)} = {toml(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def main(cargo_home: str, directory: str) -> None:
    here = Path(directory)
    folders = [Path(cargo_home), *(parent / ".cargo" for parent in reversed([here, *here.parents]))]
    merged: Table = {}
    for folder in folders:
        # As cargo has it, the name without an extension wins.
        found = [folder / name for name in ("config", "config.toml") if (folder / name).is_file()]
        if not found:
            continue
        try:
            config = tomllib.loads(found[0].read_text())
        except (OSError, ValueError) as error:
            sys.exit(f"{found[0]}: {error}")
        network = {name: config[name] for name in TABLES if name in config}
        absolute(network, folder.parent)
        merge(merged, network)
    print("# Written by set-up: what the user's configuration of cargo says about the network.")
    for name, table in merged.items():
        print(f"\n[{name}]")
        for key, value in table.items():
            print(f"{key if re.fullmatch(r'[A-Za-z0-9_-]+', key) else json.dumps(key)} = {toml(value)}")


main(*sys.argv[1:])
