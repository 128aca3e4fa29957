# SPDX-License-Identifier: GPL-2.0-only
"""The tables of `make bench`: times and faults, and ratios of times."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from benchmark.report import Device


def size_name(size: float) -> str:
    for factor, unit in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= factor:
            return f"{size / factor:g} {unit}"
    return f"{size:g} B"


# Columns of the table: heading, and what stands below it.
TIMES: dict[str, Callable[[Device], str]] = {
    "mmap": lambda device: device.time("mmap"),
    "read": lambda device: device.time("first_read"),
    "faults": lambda device: device.faults("first_read"),
    "write": lambda device: device.time("first_write"),
    "faults ": lambda device: device.faults("first_write"),
    "again": lambda device: device.time("next_write"),
    "munmap": lambda device: device.time("munmap"),
    "read()": lambda device: device.time("read"),
    "write()": lambda device: device.time("write"),
    "new read()": lambda device: device.time("read_new"),
}

# Columns of ratios: heading, and the operations whose times are added up and compared.
RATIOS = {
    "map+read": ("mmap", "first_read"),
    "map+write": ("mmap", "first_write"),
    "munmap": ("munmap",),
    "read()": ("read",),
    "write()": ("write",),
    "new read()": ("read_new",),
}


def groups(devices: Sequence[Device]) -> Iterator[tuple[str, list[Device]]]:
    """Devices that are comparable: of one size and one coherency, in a fixed order.

    A driver that does not tell its coherency stands beside both.
    """
    for size in sorted({device.size for device in devices}):
        same = [device for device in devices if device.size == size]
        kinds = {device.coherent for device in same} - {None}
        for coherent in sorted(kinds, reverse=True) or [None]:
            kind = {True: ", coherent", False: ", non-coherent", None: ""}[coherent]
            members = [device for device in same if device.coherent in (coherent, None)]
            yield size_name(size) + kind, members


def ratio(ours: Device, other: Device | None, operations: Sequence[str]) -> str:
    """How many times the other's time ours is."""
    theirs = other.microseconds(*operations) if other else 0
    return f"{ours.microseconds(*operations) / theirs:.4g}" if theirs else "-"


def aligned(headings: Sequence[str], body: Sequence[Sequence[str] | str]) -> str:
    """Rows of cells in columns, the first to the left; a string is a line of its own."""
    rows = [headings, *(row for row in body if not isinstance(row, str))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(headings))]

    def line(row: Sequence[str]) -> str:
        first, *rest = zip(row, widths)
        return "  ".join([f"  {first[0]:<{first[1]}}", *(f"{cell:>{w}}" for cell, w in rest)])

    return "\n".join([line(headings), *(row if isinstance(row, str) else line(row) for row in body)])


def times(devices: Sequence[Device]) -> str:
    """The times, with the faults beside what has any."""
    body: list[Sequence[str] | str] = []
    for name, members in groups(devices):
        body += [name, *([device.label, *(show(device) for show in TIMES.values())]
                         for device in members)]
    return aligned(["", *TIMES], body)


def ratios(devices: Sequence[Device], label: str) -> str:
    """The times as multiples of those of one mode or driver, where it has a buffer of the size."""
    body: list[Sequence[str] | str] = []
    for name, members in groups(devices):
        base = next((device for device in members if device.label == label), None)
        if base:
            body += [name, *([device.label, *(ratio(device, base, of) for of in RATIOS.values())]
                             for device in members if device is not base)]
    return aligned(["", *RATIOS], body)
