#!/usr/bin/env -S python3 -EsB
# SPDX-License-Identifier: GPL-2.0-only
"""Make a driver of its own out of this project, in a directory outside of it.

newdriver/rooms.toml and newdriver/wires/ say what the driver is made of. The directory must not be there:
it is made whole or not at all.
"""

from __future__ import annotations

import argparse
import os
import re
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

from newdriver.lock import lock
from newdriver.manifest import BadManifest, Manifest
from newdriver.names import BadName, Name, checked, kernel_modules, rename
from project import PROJECT, TOP

RUST_FOLDERS = {"driver": "driver/rustfmt.toml", "userspace": "userspace/rustfmt.toml"}


class Refused(Exception):
    """The message is one line for the user."""


def say(text: str) -> None:
    print(f"{PROJECT}: {text}", file=sys.stderr, flush=True)


def rooms_of(words: str, manifest: Manifest) -> frozenset[str]:
    asked = manifest.optional if words.split() == ["all"] else words.split()
    if unknown := [word for word in asked if word not in manifest.optional]:
        there = ", ".join(manifest.optional)
        raise Refused(f"WITH={words}: no such room: {' '.join(unknown)}; rooms are: {there}; or all")
    return manifest.with_needed(frozenset({"default", *asked}))


def free_target(directory: Path) -> Path:
    """The directory to make. Its own parents are there."""
    target = Path(os.path.abspath(directory))
    if os.path.lexists(target):
        raise Refused(f"DIR={directory}: is there already, and is not overwritten; give another DIR=")
    if not target.parent.is_dir():
        raise Refused(f"DIR={directory}: there is no directory {target.parent}")
    if TOP == target.resolve() or TOP in target.resolve().parents:
        raise Refused(f"DIR={directory}: is inside this project; a new driver has a tree of its own")
    if re.search(r"[\s:]", str(target)):
        raise Refused(f"DIR={directory}: a space or colon in {target}: the kernel's build cannot work there")
    return target


def mode_of(name: str, text: str) -> int:
    """A script can be executed."""
    source = TOP / name
    executable = source.stat().st_mode & stat.S_IXUSR if source.exists() else text.startswith("#!")
    return 0o755 if executable else 0o644


def write(tree: Path, texts: dict[str, str], name: Name) -> None:
    members = {rename(found, name) for file, text in texts.items() if file.endswith("Cargo.toml")
               for found in re.findall(r'^name = "([^"]+)"$', text, re.MULTILINE)}
    for file, text in sorted(texts.items()):
        path = tree / rename(file, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        renamed = rename(text, name)
        path.write_text(lock(renamed, members) if path.name == "Cargo.lock" else renamed)
        path.chmod(mode_of(file, text))


def format_rust(tree: Path, rustfmt: Path) -> None:
    """A longer or shorter name breaks lines elsewhere, and sorts imports otherwise."""
    for folder, config in RUST_FOLDERS.items():
        files = sorted(str(path) for path in (tree / folder).rglob("*.rs"))
        command = [str(rustfmt), "--edition=2021", f"--config-path={tree / config}", *files]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise Refused(f"{rustfmt} failed: {done.stderr.strip()}")


def share_cache(name: Name, cache: Path, cache_link: Path) -> None:
    """The driver's kernel is this project's: a link makes this project's cache that of the driver, too."""
    link = cache_link.parent / name.kebab
    if os.path.lexists(link) or not cache.is_dir():
        return
    link.symlink_to(cache)
    say(f"{link} is a link to {cache}: both use the kernel that is there; "
        f"'rm {link}' gives the driver a cache of its own")


def make(args: argparse.Namespace) -> None:
    sources = args.kernel_source
    has_sources = sources is not None and (sources / "drivers").is_dir()
    name = checked(args.name, kernel_modules(sources) if has_sources else ())
    manifest = Manifest.load()
    rooms = rooms_of(args.rooms, manifest)
    target = free_target(args.directory or TOP.parent / name.kebab)
    if not has_sources:
        say(f"Linux's sources are not in the cache yet: whether it has a module {name.snake} is not known")
    texts = manifest.files(rooms)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as work:
        tree = Path(work) / target.name
        tree.mkdir()
        write(tree, texts, name)
        format_rust(tree, args.rustfmt)
        # Fails if somebody has made it in the meantime.
        os.rename(tree, target)
    share_cache(name, args.cache, args.cache_link)
    print(f"{target} has a driver of its own: {len(texts)} files. Next:\n"
          f"  cd {target}\n  make run      # boots it in QEMU; README.md says what comes first, second, third")


def main() -> int:
    p = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0], allow_abbrev=False)
    p.add_argument("--name", required=True)
    p.add_argument("--directory", type=Path)
    p.add_argument("--rooms", default="", help="rooms in addition")
    p.add_argument("--rustfmt", type=Path, required=True)
    p.add_argument("--cache", type=Path, required=True)
    p.add_argument("--cache-link", type=Path, required=True)
    p.add_argument("--kernel-source", type=Path)
    try:
        make(p.parse_args())
    except (BadManifest, BadName, Refused, OSError) as error:
        say(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
