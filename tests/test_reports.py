# SPDX-License-Identifier: GPL-2.0-only
"""Reports from real boards (docs/reports/): each can be read, and the table of boards says what they do."""

from __future__ import annotations

import json
import re

import pytest

from guests import Boot
from places import TOP
from project import PROJECT
from reports import Report, Unreadable, parse

REPORTS = sorted((TOP / "docs/reports").glob("*.jsonl"))
BOARDS = {path.parent.name for path in TOP.glob("board/*/board.env")}

BOARD = {"report": 1, "board": "raspberrypi4-64", "hardware": "Raspberry Pi 4 Model B, 4 GB", "kernel": "7.3.4",
         "driver": "0123abc", "by": "A. Tester", "date": "2026-12-01"}
CHECK = {"device": "/dev/faultline0", "check": "zeroed", "result": "PASS", "seen": "0x0, want 0x0"}
SKIP = {"device": "/dev/faultline0", "check": "master_fill", "result": "SKIP", "seen": "no bus master"}
DEVICE = {"device": "/dev/faultline0", "bytes": 4096, "dma_address": "0x0", "user": "-", "kernel": "-",
          "master": "dmaengine", "pass": 1, "fail": 0, "skip": 1, "result": "PASS"}
VERDICT = {"devices": 1, "quick": False, "pass": 1, "fail": 0, "skip": 1, "result": "PASS"}
WHOLE = (BOARD, CHECK, SKIP, DEVICE, VERDICT)


def text(*objects: dict[str, object]) -> str:
    lines = ["# SPDX-License-Identifier: GPL-2.0-only", *map(json.dumps, objects)]
    return "".join(f"{line}\n" for line in lines)


@pytest.mark.unit
def test_whole_report() -> None:
    report = parse(text(*WHOLE))
    assert (report.board, report.by, str(report.date)) == ("raspberrypi4-64", "A. Tester", "2026-12-01")
    assert (report.result, report.masters) == ("PASS", {"dmaengine"})


@pytest.mark.unit
@pytest.mark.parametrize(("said", "objects"), [
    ("empty", []),
    ("nothing but a description", [BOARD]),
    ("line 2: no board, by, ", [CHECK, SKIP, DEVICE, VERDICT]),
    ("line 2: report 2: 1 is known", [BOARD | {"report": 2}, *WHOLE[1:]]),
    ("line 2: date is '1 December'", [BOARD | {"date": "1 December"}, *WHOLE[1:]]),
    ("line 2: date: ", [BOARD | {"date": "2026-13-01"}, *WHOLE[1:]]),
    ("line 2: by is ''", [BOARD | {"by": ""}, *WHOLE[1:]]),
    ("line 3: result is 'OK'", [BOARD, CHECK | {"result": "OK"}, *WHOLE[2:]]),
    ("line 4: says {'pass': 1}, but", [BOARD, SKIP, DEVICE, VERDICT]),
    ("line 5: says PASS, but the checks before it are FAIL",
     [BOARD, CHECK, SKIP | {"result": "FAIL"}, DEVICE | {"skip": 0, "fail": 1}, VERDICT]),
    ("line 5: no devices", WHOLE[:4]),
    ("line 6: says 2 devices, there are 1", [*WHOLE[:4], VERDICT | {"devices": 2}]),
    ("line 6: --quick looks at a part", [*WHOLE[:4], VERDICT | {"quick": True}]),
    ("line 6: says {'pass': 9}, but", [*WHOLE[:4], VERDICT | {"pass": 9}]),
])
def test_report_that_is_none(said: str, objects: list[dict[str, object]]) -> None:
    with pytest.raises(Unreadable) as error:
        parse(text(*objects))
    assert str(error.value).startswith(said)


@pytest.mark.unit
@pytest.mark.parametrize(("line", "said"), [("[1]", "line 3: not an object"), ("{", "line 3: Expecting")])
def test_line_that_is_no_object(line: str, said: str) -> None:
    with pytest.raises(Unreadable, match=f"^{said}"):
        parse(text(BOARD) + line + "\n")


@pytest.mark.boot
def test_program_writes_a_report(boot: Boot) -> None:
    run = boot("--append=quiet", f"--run=/bin/{PROJECT}-verify --json")
    lines = [line for line in run.console.splitlines() if line.startswith("{")]
    report = parse("\n".join([json.dumps(BOARD), *lines]))
    assert (report.result, report.masters) == ("PASS", {"fw_cfg"}), run


@pytest.mark.unit
def test_reports_can_be_read() -> None:
    for path in REPORTS:
        report = parse(path.read_text())
        assert path.name.startswith(f"{report.date}-{report.board}"), path


def hardware(page: str) -> dict[str, str]:
    """The last column of the page's table of what has been tried, by board."""
    section = page.partition("## What has been tried")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([\w-]+)` \|(.*)\|$", section, re.MULTILINE)
    return {board: cells.rpartition("|")[2].strip() for board, cells in rows}


def said_of(reports: list[Report], board: str) -> str:
    of_board = sorted((report for report in reports if report.board == board), key=lambda each: each.date)
    return f"{of_board[-1].date}, {of_board[-1].by}: {of_board[-1].result}" if of_board else "never"


@pytest.mark.unit
def test_table_says_which_boards_were_booted() -> None:
    """No more than there are reports of."""
    reports = [parse(path.read_text()) for path in REPORTS]
    table = hardware((TOP / "docs/boards.md").read_text())
    assert table == {board: said_of(reports, board) for board in BOARDS}


@pytest.mark.unit
def test_both_tables_of_boards_agree() -> None:
    rows = [re.findall(r"^\| `[\w-]+` \|(?:[^|\n]*\|){6}$", (TOP / page).read_text(), re.MULTILINE)
            for page in ("README.md", "docs/boards.md")]
    assert len(rows[0]) == len(BOARDS)
    assert rows[0] == rows[1]


@pytest.mark.unit
def test_row_of_a_board_that_was_booted() -> None:
    page = "## What has been tried\n\n| `raspberrypi4-64` | yes | 2026-12-01, A. Tester: PASS |\n"
    assert hardware(page) == {"raspberrypi4-64": said_of([parse(text(*WHOLE))], "raspberrypi4-64")}
