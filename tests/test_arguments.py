# SPDX-License-Identifier: GPL-2.0-only
"""board/common/run.py: what it refuses before a guest starts, in one line that names it."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from guests import PATIENCE, Boot
from places import Places

pytestmark = pytest.mark.unit


WRONG = {
    "--smp=many": "'many' is not a number above zero",
    "--smp=0": "'0' is not a number above zero",
    "--mem=lots": "'lots' is not an amount of memory",
    "--timeout=-1": "'-1' is not a number above zero",
    "--cpu=z80": "unable to find CPU model 'z80'",
    "--board=none": "no board 'none': there is ",
    "--overlay=/no/such": "no directory '/no/such'",
    "--kernel=/no/such": "no file '/no/such'",
    "--dtso=/no/such": "no file '/no/such'",
    "--qemu-args=-device nonsense": "'nonsense' is not a valid device model name",
    "--qemu-args='": "No closing quotation",
    "--run='": "No closing quotation",
    "--mistyped": "unrecognized arguments: --mistyped",
}


@pytest.fixture
def unbooted(places: Places, tmp_path: Path) -> Boot:
    """A guest that is refused before it starts: any file does for a kernel and for a module."""
    stand_in = tmp_path / "stand-in"
    stand_in.touch()
    return Boot(replace(places, kernel=stand_in, module=stand_in), tmp_path)


@pytest.mark.parametrize(("option", "complaint"), WRONG.items())
def test_wrong_argument(unbooted: Boot, option: str, complaint: str) -> None:
    """One line that names it, and no guest."""
    run = unbooted(option)
    assert run.status == 125, run
    assert complaint in run.message
    assert run.message.startswith("run: ") and "\n" not in run.message
    assert run.console == ""


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("/ { broken", "syntax error"),
        ("&nothing { x; };", "FDT_ERR_"),  # which one depends on libfdt's version
    ],
    ids=["syntax", "target"],
)
def test_wrong_overlay(unbooted: Boot, tmp_path: Path, body: str, complaint: str) -> None:
    overlay = tmp_path / "wrong.dtso"
    overlay.write_text(f"/dts-v1/;\n/plugin/;\n{body}\n")
    run = unbooted(f"--dtso={overlay}")
    assert (run.status, run.console) == (125, ""), run
    assert complaint in run.message


def test_program_without_a_runner(unbooted: Boot) -> None:
    command = [word for word in unbooted.command("--run=/bin/x") if "--runner=" not in word]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE)
    assert (done.returncode, done.stdout) == (125, b"")
    assert b"--run needs --runner" in done.stderr


def test_overlay_that_hides_a_directory(unbooted: Boot, tmp_path: Path) -> None:
    """The kernel would drop it without a word."""
    overlay = tmp_path / "overlay"
    (overlay / "usr/lib").mkdir(parents=True)
    (overlay / "lib").symlink_to("usr/lib")
    run = unbooted(f"--overlay={overlay}")
    assert run.status == 125, run
    assert "'lib'" in run.message


def test_input_that_does_not_end(unbooted: Boot) -> None:
    reader, writer = os.pipe()
    with open(reader, "rb") as given, open(writer, "wb"):
        done = subprocess.run(
            unbooted.command("--interactive", "--run=/bin/cat", "--timeout=1"),
            stdin=given, capture_output=True, timeout=PATIENCE,
        )
    assert (done.returncode, done.stdout) == (124, b"")
    assert b"run: standard input has not ended within the time limit of 1 s" in done.stderr


def test_input_that_is_too_large(unbooted: Boot) -> None:
    with open("/dev/zero", "rb") as zeros:
        done = subprocess.run(
            unbooted.command("--interactive", "--run=/bin/cat"),
            stdin=zeros, capture_output=True, timeout=PATIENCE,
        )
    assert (done.returncode, done.stdout) == (125, b"")
    assert b"run: standard input has more than 16 MiB" in done.stderr


def test_input_that_nothing_reads(unbooted: Boot) -> None:
    run = unbooted("--interactive")
    assert (run.status, run.console) == (125, ""), run
    assert "--interactive needs --run" in run.message


def test_python_of_the_user_has_no_say(unbooted: Boot, tmp_path: Path) -> None:
    """Modules of the user's, in the way of Python's own; and a directory of his packages."""
    for name in ("argparse", "subprocess", "shlex", "tempfile"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('poisoned')")
    poison = {"PYTHONPATH": str(tmp_path), "PYTHONHOME": "/no/such", "PYTHONOPTIMIZE": "2",
              "PYTHONWARNINGS": "error", "PYTHONINSPECT": "1"}
    done = subprocess.run(
        unbooted.command("--smp=many"), env=os.environ | poison, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=PATIENCE,
    )
    assert done.returncode == 125, done.stderr
    assert done.stderr == "run: argument --smp: 'many' is not a number above zero\n"
