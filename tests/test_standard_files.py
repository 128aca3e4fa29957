# SPDX-License-Identifier: GPL-2.0-only
"""Programs that are started without standard files: nothing that they say is written to a device."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from guests import Boot, shell
from places import Places

pytestmark = pytest.mark.boot

# What would be the next file, if it were not opened before: with all three of them closed the device is
# among the first three files of each program.
CLOSED = {
    "verify": "faultline-verify --json /dev/faultline0",
    "bench": "faultline-bench --repeat 1 /dev/faultline0",
    "stress": "faultline-stress --part cases --cycles 1 --case growth",
}
# A line of any of the reports.
SAID = r"^(not )?ok |^# |faultline-"


@pytest.mark.parametrize("command", CLOSED.values(), ids=CLOSED.keys())
def test_report_is_not_written_to_the_device(
    boot: Boot, places: Places, tmp_path: Path, command: str,
) -> None:
    options = shell(tmp_path, f"""\
PATH=/bin
{command} 0<&- >&- 2>&-
echo "status $?"
for device in /dev/faultline*; do grep -aE '{SAID}' $device && echo "written to $device"; done
echo end
""")
    for program in (places.stress, places.build / "faultline-bench"):
        shutil.copy(program, tmp_path / "root/bin")
    run = boot(*options, "--append=quiet")
    assert re.search(r"^end\r?$", run.console, re.MULTILINE), run
    assert "written to" not in run.console, run
    # What could not be written is no success.
    assert re.search(r"^status 1\r?$", run.console, re.MULTILINE), run
