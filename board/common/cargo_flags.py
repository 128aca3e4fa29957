# SPDX-License-Identifier: GPL-2.0-only
"""The rustflags of a cargo configuration file for one target, as CARGO_ENCODED_RUSTFLAGS has them."""

import sys
import tomllib
from pathlib import Path

file, target = sys.argv[1:]
flags: list[str] = []
for name, table in tomllib.loads(Path(file).read_text())["target"].items():
    is_arm = name == 'cfg(target_arch = "arm")' and target.startswith(("arm", "thumb"))
    if name == target or is_arm:
        flags += table["rustflags"]
if not flags:
    sys.exit(f"{file}: no rustflags for {target}")
print("\x1f".join(flags), end="")
