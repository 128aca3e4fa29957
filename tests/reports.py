# SPDX-License-Identifier: GPL-2.0-only
"""Reads reports from real boards: docs/reports/README.md has the format."""

from __future__ import annotations

import datetime
import json
import re
from collections import Counter
from dataclasses import dataclass

RESULTS = {"PASS", "FAIL", "SKIP"}
# The description of the board: keys, and what their values look like.
DESCRIPTION = {
    "board": r"[a-z0-9][a-z0-9-]*", "hardware": r"\S.*", "kernel": r"\d+\.\d+\S*",
    "driver": r"[0-9a-f]{7,40}", "by": r"\S.*", "date": r"\d{4}-\d{2}-\d{2}",
}
DEVICE = {"device", "bytes", "dma_address", "user", "kernel", "master", "pass", "fail", "skip", "result"}
ALL = {"devices", "quick", "pass", "fail", "skip", "result"}


class Unreadable(Exception):
    """A report that is not one; the text names the line."""


@dataclass(frozen=True)
class Report:
    board: str
    by: str
    date: datetime.date
    result: str  # the verdict
    masters: frozenset[str]


def objects(text: str) -> list[tuple[int, dict[str, object]]]:
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("#"):
            continue
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            raise Unreadable(f"line {number}: {error.msg}") from None
        if not isinstance(value, dict):
            raise Unreadable(f"line {number}: not an object")
        found.append((number, value))
    return found


def expect(number: int, value: dict[str, object], keys: set[str]) -> None:
    if missing := keys - value.keys():
        raise Unreadable(f"line {number}: no {', '.join(sorted(missing))}")


def counts(number: int, value: dict[str, object], seen: Counter[str]) -> None:
    wanted = {key: seen[key.upper()] for key in ("pass", "fail", "skip")}
    if said := {key: value[key] for key, count in wanted.items() if value[key] != count}:
        raise Unreadable(f"line {number}: says {said}, but the checks before it are {wanted}")
    result = "FAIL" if seen["FAIL"] else "PASS" if seen["PASS"] else "SKIP"
    if value["result"] != result:
        raise Unreadable(f"line {number}: says {value['result']}, but the checks before it are {result}")


def describe(number: int, value: dict[str, object]) -> tuple[str, str, datetime.date]:
    expect(number, value, {"report", *DESCRIPTION})
    if value["report"] != 1:
        raise Unreadable(f"line {number}: report {value['report']!r}: 1 is known")
    for key, pattern in DESCRIPTION.items():
        if not isinstance(value[key], str) or not re.fullmatch(pattern, str(value[key])):
            raise Unreadable(f"line {number}: {key} is {value[key]!r}")
    try:
        date = datetime.date.fromisoformat(str(value["date"]))
    except ValueError as error:
        raise Unreadable(f"line {number}: date: {error}") from None
    return str(value["board"]), str(value["by"]), date


def parse(text: str) -> Report:
    """The report, if it is whole: a description, checks, devices, and a verdict whose sums are theirs."""
    lines = objects(text)
    if len(lines) < 2:
        raise Unreadable("nothing but a description" if lines else "empty")
    board, by, date = describe(*lines[0])
    whole: Counter[str] = Counter()
    of_device: dict[object, Counter[str]] = {}
    masters, devices = set(), 0
    for number, value in lines[1:-1]:
        expect(number, value, {"device", "result"})
        seen = of_device.setdefault(value["device"], Counter())
        if "check" in value:
            if value["result"] not in RESULTS:
                raise Unreadable(f"line {number}: result is {value['result']!r}")
            seen[str(value["result"])] += 1
            whole[str(value["result"])] += 1
        else:
            expect(number, value, DEVICE)
            counts(number, value, seen)
            devices += 1
            masters.add(str(value["master"]))
    number, value = lines[-1]
    expect(number, value, ALL)
    counts(number, value, whole)
    if value["quick"] is not False:
        raise Unreadable(f"line {number}: --quick looks at a part of each buffer only")
    if value["devices"] != len(of_device) or devices > len(of_device):
        raise Unreadable(f"line {number}: says {value['devices']} devices, there are {len(of_device)}")
    return Report(board, by, date, str(value["result"]), frozenset(masters - {"-"}))
