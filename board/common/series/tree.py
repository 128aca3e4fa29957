# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's files as a patch leaves them, and the patches that git makes of that."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from series import imports
from series.manifest import HELPERS, MOVED, Copy, Helpers, Patch, Rust, Series
from series.source import Source, Unfit


class Failed(Exception):
    """No series; the message says why."""


def git(folder: Path, *arguments: str, stdin: str | None = None, **environment: str) -> str:
    """git, which sees no other repository than the one in this folder."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")
           or name.endswith(("_NAME", "_EMAIL"))}
    env |= {"GIT_CEILING_DIRECTORIES": str(folder.parent)} | environment
    done = subprocess.run(["git", *arguments], cwd=folder, env=env, text=True, input=stdin or "",
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        raise Failed(f"git {arguments[0]}: {done.stdout.strip()}")
    return done.stdout


def need_identity(folder: Path) -> None:
    """Who makes the patches signs them off: git must know the name."""
    try:
        git(folder, "-c", "user.useConfigOnly=true", "var", "GIT_COMMITTER_IDENT")
    except Failed:
        raise Failed(
            "git does not know who signs the patches off: run\n"
            "    git config --global user.name 'Your Name'\n"
            "    git config --global user.email you@example.org") from None


def message_of(patch: str) -> tuple[str, str]:
    """The commit's message, and the changes of files that the kernel has."""
    message, _, diff = patch.partition("\n---\n")
    return re.sub(r"\A# SPDX-License-Identifier: .*\n", "", message).strip() + "\n", diff


class Maker:
    """Makes the files of patches. `top` is the driver's project."""

    def __init__(self, top: Path, kernel: Path, rustfmt: Path) -> None:
        self.top = top
        self.kernel = kernel
        self.rustfmt = rustfmt
        self.texts = top / "docs/upstream"
        self.driver = top / "driver"

    def touched(self, patch: Patch) -> Iterator[str]:
        """The files of the kernel that a patch changes or adds."""
        yield from re.findall(r"^\+\+\+ b/(\S+)$", (self.texts / patch.text).read_text(), re.MULTILINE)
        for part in patch.parts:
            yield {Rust: "rust/kernel/", Helpers: "rust/helpers/", Copy: ""}[type(part)] + part.target

    def rust(self, part: Rust) -> str:
        source = Source.of(self.driver / part.source, self.top)
        part.change(source)
        for old, new in HELPERS.items():
            source.code(rf"\bffi::{old}\b", f"bindings::{new}")
        source.code(r"\bffi::vma_desc_set_mixedmap\b", "bindings::vma_desc_set_mixedmap")
        source.code(r"\bkernel::(?!ffi::faultline)", "crate::")
        for old, new in MOVED.items():
            source.text = source.text.replace(f"]({old}::", f"]({new}::")
        source.text = source.text.replace("::NewVma", "::VmaDesc")
        source.text = imports.rewrite(source.text, MOVED)
        if left := re.search(r"faultline|FAULTLINE|super::ffi|\bffi::faultline|docs/", source.text):
            line = source.text[:left.start()].count("\n") + 1
            raise Unfit(f"{part.source}: {left[0]!r} is left in line {line} of {part.target}: "
                        "adapt board/common/series/manifest.py")
        source.wrap()
        formatted = subprocess.run(
            [self.rustfmt, "--edition=2021", f"--config-path={self.driver / 'rustfmt.toml'}"],
            input=source.text, text=True, capture_output=True)
        if formatted.returncode:
            raise Failed(f"{part.target}: {formatted.stderr.strip()}")
        return formatted.stdout

    def helpers(self, part: Helpers) -> str:
        source = Source.of(self.driver / "helpers.c", self.top)
        functions = ""
        for name in part.functions:
            match = re.search(rf"^[a-z].*\b{name}\(.*\)\n\{{\n(?:.*\n)*?\}}\n", source.text, re.MULTILINE)
            if not match:
                raise source.unfit(f"function {name}()")
            functions += "\n__rust_helper " + match[0].replace(name, f"rust_helper_{HELPERS[name]}")
        return functions

    def apply(self, tree: Path, patch: Patch) -> str:
        """Changes a tree, which has what `touched` says; the commit's message."""
        message, diff = message_of((self.texts / patch.text).read_text())
        if diff:
            try:
                git(tree, "apply", "--whitespace=error", "-", stdin=diff)
            except Failed as failed:
                raise Failed(f"docs/upstream/{patch.text} does not apply to {self.kernel}: {failed}") from None
        for part in patch.parts:
            if isinstance(part, Rust):
                self.add(tree / "rust/kernel" / part.target, self.rust(part))
            elif isinstance(part, Helpers):
                with (tree / "rust/helpers" / part.target).open("a") as file:
                    file.write(self.helpers(part))
            else:
                self.add(tree / part.target, (self.texts / part.source).read_text())
        return message

    @staticmethod
    def add(file: Path, text: str) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    @contextmanager
    def base(self, series: Series) -> Iterator[Path]:
        """A repository with those files of the kernel that a series touches."""
        with tempfile.TemporaryDirectory(prefix="series-") as name:
            tree = Path(name)
            need_identity(tree)
            git(tree, "init", "--quiet", "--initial-branch=series")
            for file in {file for patch in series.patches for file in self.touched(patch)}:
                if (self.kernel / file).exists():
                    (tree / file).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(self.kernel / file, tree / file)
            git(tree, "add", "--all")
            git(tree, "commit", "--quiet", "--message=base")
            git(tree, "tag", "base")
            yield tree

    def make(self, series: Series, output: Path) -> list[Path]:
        """Writes the patches of a series to a folder, which has nothing else afterwards."""
        with self.base(series) as tree:
            for patch in series.patches:
                message = self.apply(tree, patch)
                git(tree, "add", "--all")
                git(tree, "commit", "--quiet", "--signoff", "--no-verify", "--file=-", stdin=message)
            cover = []
            if series.cover:
                text = message_of((self.texts / series.cover).read_text())[0]
                git(tree, "config", "branch.series.description", text)
                cover = ["--cover-letter", "--cover-from-description=subject"]
            made = tree / "patches"
            git(tree, "format-patch", "--quiet", "--no-signature", f"--output-directory={made}", *cover, "base")
            shutil.rmtree(output, ignore_errors=True)
            output.mkdir(parents=True)
            return [Path(shutil.copy(file, output)) for file in sorted(made.iterdir())]
