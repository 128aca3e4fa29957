# SPDX-License-Identifier: GPL-2.0-only
"""What a driver may be called, and what becomes of this project's own name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import project

# __MODULE_NAME_LEN of include/linux/moduleparam.h on 64 bits, with the zero at the end.
MODULE_NAME_LEN = 64 - 8

# The Rust Reference, "Keywords": strict, reserved and weak ones.
RUST_KEYWORDS = frozenset("""
    abstract as async await become box break const continue crate do dyn else enum extern false final fn for
    gen if impl in let loop macro match mod move mut override priv pub raw ref return safe self static struct
    super trait true try type typeof union unsafe unsized use virtual where while yield
""".split())


class BadName(Exception):
    """The message is one line for the user."""


@dataclass(frozen=True)
class Name:
    """`acme-ring`, in each form that is needed."""

    kebab: str

    @property
    def snake(self) -> str:
        """Of the module, and in Rust and C."""
        return self.kebab.replace("-", "_")

    @property
    def upper(self) -> str:
        """Of Kconfig, and of constants."""
        return self.snake.upper()

    @property
    def title(self) -> str:
        """At the beginning of a sentence."""
        return self.kebab.replace("-", " ").title()

    @property
    def vendor(self) -> str:
        return self.kebab.partition("-")[0]

    @property
    def compatible(self) -> str:
        """In the device tree."""
        return self.kebab.replace("-", ",", 1)


def checked(text: str, modules: Iterable[str]) -> Name:
    """The name of a driver. `modules` are the names of modules that there are."""
    def bad(what: str) -> BadName:
        return BadName(f"NAME={text}: {what}")

    if not text:
        raise BadName("give NAME=vendor-device, such as NAME=acme-ring")
    if text in RUST_KEYWORDS:
        raise bad("this is a keyword of Rust; give vendor-device, such as acme-ring")
    if re.search("[A-Z]", text):
        raise bad(f"it has upper case; use small letters: {text.lower()}")
    if "_" in text:
        raise bad(f"it has an underscore; use dashes: {text.replace('_', '-')}")
    if not re.fullmatch(r"[a-z0-9-]+", text):
        raise bad("use small letters, digits and dashes, such as acme-ring")
    if "-" not in text.strip("-"):
        raise bad(f"it has no vendor: give vendor-device, such as acme-{text.strip('-') or 'ring'}")
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)+", text):
        raise bad("it begins with a letter, and each dash stands between two parts, as in acme-ring")
    if (length := len(text)) >= MODULE_NAME_LEN:
        raise bad(f"it has {length} letters; the kernel's modules have at most {MODULE_NAME_LEN - 1}")
    name = Name(text)
    if project.MODULE in name.snake:
        raise bad(f"this is the name of the project that the driver is made from; take {project.MODULE} out of it")
    if name.snake in {module.replace("-", "_") for module in modules}:
        raise bad(f"Linux has a module {name.snake}")
    return name


def kernel_modules(source: Path) -> set[str]:
    """The modules of a tree of Linux, from its makefiles: `obj-$(CONFIG_…) += NAME.o`."""
    found: set[str] = set()
    for folder in ("arch", "block", "crypto", "drivers", "fs", "kernel", "lib", "mm", "net", "samples",
                   "security", "sound", "virt"):
        for makefile in (source / folder).rglob("Makefile"):
            text = makefile.read_text(errors="replace").replace("\\\n", " ")
            for line in re.findall(r"^obj-\$\(CONFIG_\w+\)\s*[:+]?=(.*)$", text, re.MULTILINE):
                found.update(re.findall(r"([\w-]+)\.o\b", line))
    return found


def renaming(name: Name) -> list[tuple[str, str]]:
    """Regular expressions of this project's name, and what stands there instead. The first that matches
    counts."""
    old = project.PROJECT
    assert old == project.MODULE and old.upper() == project.KCONFIG
    return [
        (re.escape(project.COMPATIBLE), name.compatible),
        (rf"{old}(?=,)", name.vendor),
        (rf"{old}(?=-(?:y|\$\(CONFIG_))", name.snake),  # the objects of a module, in Kbuild
        # Where the project is meant: its packages and programs, its folder in the guest, its messages.
        (rf"{old}(?=-[a-z])", name.kebab),
        (rf"(?<=org\.){old}", name.kebab),
        (rf"(?<=\betc/){old}\b", name.kebab),
        (rf"(?<=\.cache/){old}\b", name.kebab),
        (rf"(?<=^PROJECT=){old}$", name.kebab),
        (rf'(?<=_HOSTNAME="){old}', name.kebab),
        (rf'(?<=macro_rules! project {{\n    \(\) => {{\n        "){old}', name.kebab),
        (rf"{old}(?=: (?:exit status|the device tree|\{{))", name.kebab),
        # Where the module is meant, and in Rust and C.
        (old, name.snake),
        (old.capitalize(), name.title),
        (old.upper(), name.upper),
    ]


def rename(text: str, name: Name) -> str:
    rules = renaming(name)
    pattern = re.compile("|".join(f"({old})" for old, _ in rules), re.MULTILINE)
    return pattern.sub(lambda match: rules[(match.lastindex or 1) - 1][1], text)
