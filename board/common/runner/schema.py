# SPDX-License-Identifier: GPL-2.0-only
"""What the bindings' schemas say of the tree that is about to boot: warnings, not errors, because what a
property means is the driver's to say."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from project import COMPATIBLE, TOP
from runner.outcome import say, warn

BINDINGS = TOP / "dts/bindings"
VENDOR = COMPATIBLE.partition(",")[0]


def warn_of_schemas(program: Path, tree: Path) -> None:
    """Print what dt-validate finds in the project's own nodes. `program` is where the project installs
    it; that of the machine is as good."""
    found = shutil.which(program) or shutil.which(program.name)
    if found is None:
        say(f"{program.name} is not installed: the device tree is not checked against dts/bindings. "
            "`make setup` installs it")
        return
    done = subprocess.run(
        [found, f"--limit={VENDOR},", f"--schema={BINDINGS}", str(tree)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )
    if done.returncode:
        say(f"{program.name} failed with status {done.returncode}: the device tree is not checked")
    warn(program.name, (done.stdout + done.stderr).replace(f"{tree}: ", ""))
