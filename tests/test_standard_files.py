# SPDX-License-Identifier: GPL-2.0-only
"""Programs that are started without standard files: no file that they open themselves takes that place, so that
nothing that they say can be written to it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from guests import Boot, shell
from places import Places

pytestmark = pytest.mark.boot

# Each runs until it is looked at.
LONG = {
    "verify": "faultline-verify --long /dev/faultline1",
    "bench": f"faultline-bench --repeat 64 {'/dev/faultline1 ' * 200}",
    "stress": "faultline-stress --part fuzz --ops 100000000",
}
CLOSED = "0<&- >&- 2>&-"


@pytest.mark.parametrize("command", LONG.values(), ids=LONG.keys())
def test_a_missing_standard_file_is_dev_null(boot: Boot, places: Places, tmp_path: Path, command: str) -> None:
    options = shell(tmp_path, f"""\
PATH=/bin
{command} {CLOSED} &
sleep 1
for number in 0 1 2; do echo "file $number: $(readlink /proc/$!/fd/$number)"; done
kill -9 $!
faultline-verify /dev/faultline0 {CLOSED}
echo "status $?"
""")
    for program in (places.stress, places.build / "faultline-bench"):
        shutil.copy(program, tmp_path / "root/bin")
    run = boot(*options, "--append=quiet")
    found = re.findall(r"^file (\d): (.*?)\r?$", run.console, re.MULTILINE)
    assert found == [(number, "/dev/null") for number in "012"], run
    # What could not be written is no success.
    assert re.search(r"^status 1\r?$", run.console, re.MULTILINE), run
