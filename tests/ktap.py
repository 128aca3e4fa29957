# SPDX-License-Identifier: GPL-2.0-only
"""Reads KTAP with the kernel's own parser, tools/testing/kunit."""

from __future__ import annotations

import re
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Report:
    """The results, and the number of errors that the parser found: counts, numbers, plans."""

    ok: set[tuple[str, ...]]
    not_ok: set[tuple[str, ...]]
    skipped: set[tuple[str, ...]]
    errors: int
    # Of those that were skipped the ones that a machine without time could not tell, which are not
    # among `skipped`: whether there are any depends on what else the host has to do.
    undecided: set[tuple[str, ...]]

    def failed_checks(self) -> set[str]:
        """The names of the checks, the innermost results, that are `not ok` on some device."""
        return {path[-1] for path in self.not_ok if len(path) > 1}


def parse(console: str, kernel_source: Path) -> Report:
    tools = str(kernel_source / "tools/testing/kunit")
    if tools not in sys.path:
        sys.path.insert(0, tools)
    import kunit_parser  # type: ignore[import-not-found]
    import kunit_printer  # type: ignore[import-not-found]

    lines = of_programs(console).splitlines()
    root = kunit_parser.parse_run_tests(lines, kunit_printer.null_printer)
    status = kunit_parser.TestStatus
    found: dict[object, set[tuple[str, ...]]] = {}

    def walk(test: object, above: tuple[str, ...]) -> None:
        for subtest in test.subtests:  # type: ignore[attr-defined]
            path = (*above, subtest.name)
            found.setdefault(subtest.status, set()).add(path)
            walk(subtest, path)

    walk(root, ())
    known = (status.SUCCESS, status.FAILURE, status.SKIPPED)
    ok, not_ok, skipped = (found.pop(each, set()) for each in known)
    undecided = could_not_tell(lines)
    # A test that crashed, or is missing, has a status of its own.
    errors = root.counts.errors + sum(map(len, found.values()))
    return Report(ok, not_ok, skipped - undecided, errors, undecided)


def could_not_tell(lines: list[str]) -> set[tuple[str, ...]]:
    """The results that could not tell; each is also a warning of the test."""
    found, above = set(), ""
    for line in lines:
        if subtest := re.fullmatch(r" *# Subtest: (\S+)", line):
            above = subtest[1]
        elif result := re.fullmatch(r" *ok \d+ (\S+) # SKIP could not tell: .*", line):
            found.add((above, result[1]))
            warnings.warn(f"{above}: {line.strip()}", stacklevel=3)
    return found


# How a line of the kernel's log begins.
STAMP = re.compile(r"\[ *\d+\.\d{6}\] ")


def of_programs(console: str) -> str:
    """The console without the kernel's log, which has reports of its own. The kernel does not wait
    for a program that has written half a line, so that its record may interrupt the line."""
    return re.sub(rf"{STAMP.pattern}.*(?:\n|$)", "", console)


def of_kernel(console: str) -> list[str]:
    """The reports in the kernel's log, from each KTAP header to the next."""
    lines = [STAMP.sub("", line) for line in console.splitlines() if STAMP.match(line)]
    log = "\n".join(lines)
    return [f"KTAP version 1\n{report}" for report in log.split("\nKTAP version 1\n")[1:]]
