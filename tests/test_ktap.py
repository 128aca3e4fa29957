# SPDX-License-Identifier: GPL-2.0-only
"""tests/ktap.py: records of the kernel's log do not break the programs' reports."""

from __future__ import annotations

import pytest

import ktap
from places import Places

# The parser is the kernel's, out of its sources.
pytestmark = [pytest.mark.unit, pytest.mark.kernel]

REPORT = "KTAP version 1\n1..2\nok 1 one\nok 2 two # SKIP why\nfaultline: exit status 0\n"
RECORD = "[    1.260066] faultline dma-buffer-0: not ok 7 a word\n"


@pytest.mark.parametrize("at", range(len(REPORT) + 1))
def test_record_of_the_kernel_breaks_no_report(places: Places, at: int) -> None:
    console = REPORT[:at] + RECORD + REPORT[at:]
    assert ktap.of_programs(console) == REPORT
    report = ktap.parse(console, places.kernel_source)
    assert (report.ok, report.skipped) == ({("one",)}, {("two",)})
    assert (report.not_ok, report.errors) == (set(), 0)


STARVED = """\
KTAP version 1
1..1
  KTAP version 1
  # Subtest: /dev/faultline0
  1..3
  ok 1 zeroed
  ok 2 master_fill # SKIP the device has no bus master
  ok 3 litmus_user # SKIP could not tell: each time a round of messages took longer than seconds
ok 1 /dev/faultline0
"""


def test_undecided_check_is_a_warning(places: Places) -> None:
    with pytest.warns(UserWarning, match="/dev/faultline0: .* litmus_user .*could not tell"):
        report = ktap.parse(STARVED, places.kernel_source)
    assert report.undecided == {("/dev/faultline0", "litmus_user")}
    assert report.skipped == {("/dev/faultline0", "master_fill")}
    assert (report.not_ok, report.errors) == (set(), 0)
