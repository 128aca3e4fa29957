# SPDX-License-Identifier: GPL-2.0-only
"""What the kernel and the loader read of a program: ELF's program headers."""

from __future__ import annotations

import struct

PT_DYNAMIC = 2
PT_INTERP = 3

# Of the ELF header: e_phoff, e_phentsize, e_phnum, by class (e_ident[EI_CLASS]) and for little-endian.
CLASS, DATA = 4, 5
LAYOUTS = {1: (("<I", 28), ("<HH", 42)), 2: (("<Q", 32), ("<HH", 54))}


def segment_types(program: bytes) -> list[int]:
    """p_type of each program header, in order."""
    if program[:4] != b"\x7fELF" or program[CLASS] not in LAYOUTS or program[DATA] != 1:
        raise ValueError("not a little-endian ELF file")
    where, how_many = LAYOUTS[program[CLASS]]
    (offset,) = struct.unpack_from(where[0], program, where[1])
    size, count = struct.unpack_from(how_many[0], program, how_many[1])
    return [struct.unpack_from("<I", program, offset + size * number)[0] for number in range(count)]


def is_static(program: bytes) -> bool:
    """Whether it runs without a loader and without shared libraries."""
    return not {PT_INTERP, PT_DYNAMIC} & set(segment_types(program))
