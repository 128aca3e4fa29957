#!/usr/bin/env -S python3 -EsB
# SPDX-License-Identifier: GPL-2.0-only
"""Write what of the driver could be part of the kernel as series of patches against it.

The files of the patches are made from driver/, so that one source serves both. The exit status is 0,
or 1 with a message that says what is in the way.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from series.manifest import SERIES
from series.source import Unfit
from series.tree import Failed, Maker

TOP = Path(__file__).resolve().parents[2]


def main() -> int:
    p = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0], allow_abbrev=False)
    p.add_argument("--kernel", type=Path, required=True, metavar="DIR", help="the kernel's sources")
    p.add_argument("--rustfmt", type=Path, required=True, metavar="FILE")
    p.add_argument("--output", type=Path, required=True, metavar="DIR", help="gets a folder for each series")
    given = p.parse_args()

    if not shutil.which("git"):
        print("upstream: error: git is not installed, which writes the patches", file=sys.stderr)
        return 1
    maker = Maker(TOP, given.kernel, given.rustfmt)
    try:
        for name, series in SERIES.items():
            for patch in maker.make(series, given.output / name):
                print(f"  PATCH     {patch}", file=sys.stderr)
    except (Failed, Unfit) as error:
        print(f"upstream: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
