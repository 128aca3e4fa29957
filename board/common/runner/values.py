# SPDX-License-Identifier: GPL-2.0-only
"""The values of options, and of board.env, checked."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path


def positive(text: str) -> int:
    if not re.fullmatch(r"[0-9]+", text) or int(text) == 0:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number above zero")
    return int(text)


def slot(text: str | None) -> int | None:
    if text is not None and not re.fullmatch(r"[0-9]+", text):
        raise argparse.ArgumentTypeError(f"'{text}' is not the number of a slot")
    return None if text is None else int(text)


def one_of(text: str | None, *known: str) -> str | None:
    if text is not None and text not in known:
        raise argparse.ArgumentTypeError(f"'{text}' is not known: there is {', '.join(known)}")
    return text


def memory(text: str) -> str:
    if not re.fullmatch(r"[1-9][0-9]*[KMGTkmgt]?", text):
        raise argparse.ArgumentTypeError(f"'{text}' is not an amount of memory such as 512M or 2G")
    return text


def words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{text}': {error}") from None


def file(text: str) -> Path:
    if not Path(text).is_file():
        raise argparse.ArgumentTypeError(f"no file '{text}'")
    return Path(text)


def directory(text: str) -> Path:
    if not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"no directory '{text}'")
    return Path(text)
