# SPDX-License-Identifier: GPL-2.0-only
"""tests/clean-room: its arguments and cases, what it takes from this machine, how it answers
questions.

Making a room takes minutes and root: docs/testing.md has the results of rooms.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from cleanroom import command, inside, machine, terminal
from cleanroom.cases import CASES, PRELUDE, RELEASES, USERS, why_not
from places import TOP
from project import PROJECT

pytestmark = pytest.mark.unit

PROGRAM = TOP / "tests/clean-room"


def clean_room(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROGRAM, *arguments], text=True, check=False, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, **environment})


MISTAKES = {
    "nothing to do": ((), "nothing to do"),
    "release": (("--release", "sid", "run"), "'sid'"),
    "user": (("--user", "nobody", "run"), "'nobody'"),
    "case": (("--case", "no-such", "run"), "'no-such'"),
    "case of another release": (("--case", "rustup-package", "run"), "trixie, not bookworm"),
    "case of another user": (("--user", "root", "--case", "sudo-password", "run"), "sudo, not root"),
    "option": (("--no-such", "run"), "--no-such"),
    "abbreviated option": (("--rel", "trixie", "run"), "--rel"),
    "time": (("--timeout", "0", "run"), "0 is not a number of seconds above 0"),
    "quotes": (("run '",), "No closing quotation"),
    "empty": (("",), "an empty COMMAND"),
    "directory": (("--worktree", "--dir", "/no/such", "run"), "/no/such: no such directory"),
    "no terminal": (("--shell",), "--shell needs a terminal"),
    "not a room": (("--enter", "/no/such", "run"), "/no/such: this is not a room that was kept"),
}


@pytest.mark.parametrize(("arguments", "named"), MISTAKES.values(), ids=MISTAKES.keys())
def test_mistakes(arguments: tuple[str, ...], named: str) -> None:
    """Each ends at once, with one message that names the mistake."""
    done = clean_room(*arguments)
    assert done.returncode == 2
    errors = [line for line in done.stdout.splitlines() if "error: " in line]
    assert len(errors) == 1 and named in errors[0], done.stdout


def test_entered_room_is_not_prepared_again(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text("{}")
    done = clean_room("--enter", str(tmp_path), "--case", "umask", "run")
    assert done.returncode == 2 and "--enter uses a room as it is" in done.stdout


def test_cases_are_listed() -> None:
    done = clean_room("--list-cases")
    assert done.returncode == 0
    names = [line.partition(" ")[0] for line in done.stdout.splitlines() if line[0] != " "]
    assert names == list(CASES)
    assert "rustup-package (trixie)" in done.stdout and "sudo-password (sudo)" in done.stdout


def test_dry_run(tmp_path: Path) -> None:
    """It prints what would be done, and does nothing."""
    done = clean_room("--dry-run", "--worktree", "--release", "trixie", "--case", "rustup-package",
                      "--case", "dpkg-lock", "--mirror", "http://a.example/debian",
                      "--security-mirror", "http://b.example/security/", "run", "test BOARDS=",
                      XDG_CACHE_HOME=str(tmp_path))
    if "install the package debian-archive-keyring" in done.stdout:
        pytest.skip("debian-archive-keyring is not installed")
    assert done.returncode == 0, done.stdout
    for line in ("debootstrap trixie from http://a.example/debian, signed by",
                 "deb http://b.example/security trixie-security main", "install rustup",
                 "locked for 60 s: /var/lib/dpkg/lock-frontend", "run: make run\n",
                 "run: make test BOARDS=\n"):
        assert line in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", CASES)
def test_cases_can_be_made(name: str) -> None:
    """Each has a description, at least one possible room, and scripts that bash can parse."""
    case = CASES[name]
    assert case.why.endswith(".")
    assert any(not why_not(name, release, user) for release in RELEASES for user in USERS)
    for script in (case.as_root, case.as_user, case.in_tree, case.tree_as_root, case.profile):
        text = PRELUDE + inside.dedent(script)
        done = subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), text


def test_order_of_cases() -> None:
    """A source that fails is added after everything is installed, and nothing is done twice."""
    done = clean_room("--dry-run", "--worktree", "--mirror", "http://a.example", "--security-mirror",
                      "http://b.example", "--case", "broken-source", "--case", "pytest-plugin",
                      "--case", "broken-source", "run")
    if done.returncode == 2:
        pytest.skip(done.stdout)
    named = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("case ")]
    assert named == ["pytest-plugin:", "broken-source:"]


def test_documented_cases() -> None:
    """docs/testing.md names every case."""
    text = (TOP / "docs/testing.md").read_text()
    assert [name for name in CASES if f"`{name}`" not in text] == []


def fake_apt(directory: Path, targets: str) -> dict[str, str]:
    """A machine whose apt has these sources."""
    apt = directory / "apt-get"
    apt.write_text(f"#!/bin/sh\ncat <<'END'\n{targets}END\n")
    apt.chmod(0o755)
    return {"PATH": f"{directory}:{os.environ['PATH']}"}


MACHINES = {
    "all three": ("Debian http://a.example/debian/\nDebian http://b.example/debian/\n"
                  "Debian-Security http://a.example/security/\n",
                  ("http://a.example/debian/", "http://a.example/security/")),
    "no security": ("Third Party http://c.example/\nDebian http://a.example/debian/\n",
                    ("http://a.example/debian/", "http://a.example/debian-security/")),
    "another distribution": ("Ubuntu http://u.example/ubuntu/\n", None),
    "never updated": ("", None),
}


@pytest.mark.parametrize(("targets", "expected"), MACHINES.values(), ids=MACHINES.keys())
def test_mirrors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, targets: str,
                 expected: tuple[str, str] | None) -> None:
    keyring = tmp_path / "debian-archive-keyring.pgp"
    keyring.touch()
    monkeypatch.setattr(machine, "KEYRINGS", tmp_path)
    for name, value in fake_apt(tmp_path, targets).items():
        monkeypatch.setenv(name, value)
    if expected is None:
        with pytest.raises(machine.Unsuitable, match="--mirror"):
            machine.mirrors()
    else:
        assert machine.mirrors() == machine.Mirrors(*expected)
        assert machine.keyring() == keyring
    keyring.unlink()
    with pytest.raises(machine.Unsuitable, match="install the package"):
        machine.keyring()


def test_only_network_settings_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """No cache, no toolchain and no setting of this machine's user gets into the room."""
    monkeypatch.setenv("CARGO_HOME", "/opt/cargo")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    assert machine.proxies()["HTTPS_PROXY"] == "http://proxy.example:3128"
    assert "CARGO_HOME" not in machine.proxies()
    certificates = "usr/local/share/ca-certificates/"
    others = {name for name in machine.files() if not name.startswith(certificates)}
    assert others <= {"etc/resolv.conf", "etc/pip.conf", "etc/apt/apt.conf.d/90clean-room"}


# Becomes root by a sudo that passes on nothing of the environment, and runs a program that shows
# what it gets.
BECOME_ROOT = """
    import sys
    sys.path[1:1] = sys.argv[1:3]
    from cleanroom import command
    command.PROGRAM = sys.argv[3]
    try:
        command.become_root(["--user", "sudo", "run"])
    except command.Wrong as wrong:
        sys.exit(str(wrong))
"""
SHOW = """
    import json, os, sys
    print(json.dumps([sys.argv[1:], dict(os.environ)]))
"""


def become_root(work: Path, path: str, **environment: str) -> subprocess.CompletedProcess[str]:
    (work / "show.py").write_text(textwrap.dedent(SHOW))
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(BECOME_ROOT), TOP / "tests", TOP / "board/common",
         work / "show.py"],
        text=True, check=False, stdin=subprocess.DEVNULL, capture_output=True,
        env={"PATH": path, "HOME": str(work), **environment})


def test_sudo_gets_the_environment(tmp_path: Path) -> None:
    """sudo itself does not pass on where the cache is, and the proxies."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "sudo").write_text('#!/bin/sh\nexec env --ignore-environment PATH="$PATH" "$@"\n')
    (programs / "sudo").chmod(0o755)
    done = become_root(tmp_path, f"{programs}:{os.environ['PATH']}", CARGO_HOME="/opt/cargo",
                       XDG_CACHE_HOME=str(tmp_path / "cache"), http_proxy="http://proxy.example:3128")
    assert done.returncode == 0, done.stderr
    arguments, environment = json.loads(done.stdout)
    assert arguments == ["--user", "sudo", "run"]
    assert environment["XDG_CACHE_HOME"] == str(tmp_path / "cache")
    assert environment["http_proxy"] == "http://proxy.example:3128"
    assert "CARGO_HOME" not in environment
    assert (tmp_path / "cache" / PROJECT).is_dir(), "made by root, it would be of no use later"


def test_without_sudo_nobody_becomes_root(tmp_path: Path) -> None:
    for name in ("bash", "setpriv", "env"):
        (tmp_path / name).symlink_to(shutil.which(name) or "/no/such")
    done = become_root(tmp_path, str(tmp_path))
    assert done.returncode == 1 and "there is no sudo here" in done.stderr


def test_relative_cache_does_not_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Set-up ignores such an XDG_CACHE_HOME, and rooms are in set-up's cache."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "somewhere")
    assert command.cache() == tmp_path / ".cache" / PROJECT


class Base:
    """cleanroom/base with a debootstrap that makes one file, or fails."""

    def __init__(self, directory: Path) -> None:
        self.cache = directory / "cache"
        self.bin = directory / "bin"
        self.bin.mkdir()
        self.program("unshare", 'while [[ $1 == --* ]]; do shift; done; exec "$@"')
        self.program("debootstrap", 'for last; do root=${before:-}; before=$last; done; '
                                    'mkdir -p "$root"; echo "I: $*"; echo bare >"$root/file"')

    def program(self, name: str, script: str) -> None:
        (self.bin / name).write_text(f"#!/bin/bash\n{script}\n")
        (self.bin / name).chmod(0o755)

    def make(self) -> tuple[int, str, str]:
        done = subprocess.run(
            [command.BASE, "trixie", "http://a.example/debian", "/keyring"], text=True, check=False,
            capture_output=True, env={"PATH": f"{self.bin}:{os.environ['PATH']}", "HOME": "/nonexistent",
                                      "XDG_CACHE_HOME": str(self.cache)})
        return done.returncode, done.stdout.strip(), done.stderr


@pytest.fixture
def base(tmp_path: Path) -> Base:
    return Base(tmp_path)


def test_base_is_made_once(base: Base) -> None:
    status, archive, said = base.make()
    assert status == 0 and "debootstrap trixie from http://a.example/debian" in said
    listed = subprocess.run(["tar", "-tf", archive], text=True, capture_output=True, check=True)
    assert listed.stdout.split() == ["./", "./file"]
    assert base.make() == (0, archive, "")


def test_damaged_base_is_made_again(base: Base) -> None:
    _, archive, _ = base.make()
    contents = bytearray(Path(archive).read_bytes())
    contents[600] ^= 1
    Path(archive).write_bytes(contents)
    status, again, said = base.make()
    assert (status, again) == (0, archive)
    assert "base.tar have changed: making it again" in said
    assert base.make() == (0, archive, "")


def test_base_of_an_earlier_month_is_deleted_after_its_renewal(base: Base) -> None:
    real = shutil.which("date")
    _, archive, _ = base.make()
    os.utime(Path(archive).parent / ".entry/complete", (0, 0))
    base.program("date", f"""[[ $* != "-u +%Y-%m" ]] || {{ echo 2000-01; exit; }}; exec {real} "$@"; """)
    working = (base.bin / "debootstrap").read_text()
    base.program("debootstrap", "exit 1")
    assert base.make()[0] == 1
    assert Path(archive).is_file(), "the renewal failed: the old one stays"
    (base.bin / "debootstrap").write_text(working)
    status, renewed, said = base.make()
    assert status == 0 and renewed != archive and "debootstrap trixie" in said
    assert Path(renewed).is_file() and not Path(archive).parent.exists()
    assert base.make() == (0, renewed, "")


def test_base_that_cannot_be_made(base: Base) -> None:
    base.program("debootstrap", "echo 'E: no such suite'; exit 1")
    status, archive, said = base.make()
    assert (status, archive) == (1, "")
    assert "E: no such suite" in said and "could not make a root of trixie" in said
    assert base.make()[0] == 1, "it is not taken for a base later"


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit, used instead of this one."""
    top = tmp_path / "top"
    top.mkdir()
    monkeypatch.setattr(command, "TOP", top)
    for name in ("kept", "changed", "deleted", "staged"):
        (top / name).write_text(f"{name}\n")
    for arguments in (("init", "--quiet"), ("add", "."),
                      ("-c", "user.name=a", "-c", "user.email=a@example", "commit", "--quiet", "-m", "a")):
        command.git(*arguments)
    return top


def options(*arguments: str):
    return command.parser().parse_args(arguments)


def test_changes_are_not_left_out_silently(checkout: Path) -> None:
    command.check(options("run"))
    (checkout / "new").touch()
    with pytest.raises(command.Wrong, match=r"not committed(?s:.*)\?\? new"):
        command.check(options("run"))
    command.check(options("--worktree", "run"))


def test_changes_are_taken_along(checkout: Path, tmp_path: Path) -> None:
    (checkout / "changed").write_text("otherwise\n")
    (checkout / "deleted").unlink()
    (checkout / "with space").touch()
    (checkout / "staged").write_text("in the index\n")
    (checkout / "added").write_text("in the index\n")
    command.git("add", "staged", "added")
    archive = tmp_path / "changes.tar"
    assert command.changes(archive) == ["deleted"]
    listed = subprocess.run(["tar", "-tf", archive], text=True, capture_output=True, check=True)
    assert set(listed.stdout.splitlines()) == {"changed", "with space", "staged", "added"}


def test_abandoned_rooms_are_deleted(tmp_path: Path) -> None:
    """Rooms of killed commands are deleted; rooms that are kept or in use, and other directories,
    are not."""
    abandoned, kept, in_use, unlocked = (
        tmp_path / f"trixie-sudo-{name}" for name in ("abandoned", "kept", "in-use", "unlocked"))
    others = tmp_path / "somebody-else-s"
    for room in (abandoned, kept, in_use, unlocked, others):
        (room / "root/etc").mkdir(parents=True)
        if room != unlocked:
            (room / "lock").touch()
            (room / "plan.json").touch()
    with command.used(kept, keep=True):
        pass
    with (in_use / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        command.sweep(tmp_path)
        with pytest.raises(command.Wrong, match="is in use"), command.used(in_use, keep=True):
            pass
    assert set(tmp_path.iterdir()) == {kept, in_use, unlocked, others}
    assert (others / "root/etc").is_dir()


VERDICTS = {
    "PASS": (["faultline: error: earlier", "faultline-verify: PASS: 2 devices", "bye"],
             "faultline-verify: PASS: 2 devices"),
    "pytest": (["==== 1 failed, 393 passed in 5.0s ===="], "1 failed, 393 passed in 5.0s"),
    "first error": (["E: Packages need to be removed", "faultline: error: 'apt-get' failed"],
                    "E: Packages need to be removed"),
    "error of two lines": (["faultline: error: missing:", "  qemu: none", "more"],
                           "faultline: error: missing: qemu: none"),
    "nothing": (["all is well"], ""),
}


@pytest.mark.parametrize(("lines", "expected"), VERDICTS.values(), ids=VERDICTS.keys())
def test_verdict(lines: list[str], expected: str) -> None:
    assert inside.verdict(lines) == expected


def test_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """The log has whole lines, without terminal sequences, and the last state of each line."""
    log = io.StringIO()
    lines = terminal.Lines(terminal.Transcript(log))
    lines.feed(b"one\r\r\ntw")
    lines.feed(b"o \x1b[31mred\x1b[0m\r\n  1 %\r  2 %\r\x1b[K")
    lines.feed(b"done\n\xff\nInstall? [Y/n] ")
    assert lines.whole == ["one", "two red", "done", "\N{REPLACEMENT CHARACTER}"]
    assert lines.prompt == "Install? [Y/n] "
    lines.end()
    assert log.getvalue() == capsys.readouterr().out
    assert log.getvalue().endswith("Install? [Y/n]\n")


# Runs a command on a terminal as a room does: the first process of a PID namespace.
IN_NAMESPACE = """
    import io, json, os, sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[1])
    from cleanroom import terminal
    terminal.STOPPED_SECONDS = 1
    done = terminal.run(
        Path("/dev"), lambda: os.execvp("bash", ["bash", "-c", sys.argv[2]]),
        with_terminal=sys.argv[3] == "terminal", timeout=float(sys.argv[4]),
        typed=terminal.answers("secret"), transcript=terminal.Transcript(io.StringIO()))
    print("result:" + json.dumps([done.status, done.gave_up, done.lines]))
"""


def run_in_namespace(script: str, *, terminal: bool = True, timeout: float = 60):
    unshare = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if os.geteuid() != 0:
        unshare.insert(1, "--map-root-user")
    if subprocess.run([*unshare, "true"], check=False, capture_output=True).returncode:
        pytest.skip("a PID namespace cannot be made here")
    done = subprocess.run(
        [*unshare, sys.executable, "-c", textwrap.dedent(IN_NAMESPACE), TOP / "tests", script,
         "terminal" if terminal else "none", str(timeout)],
        text=True, stdout=subprocess.PIPE, check=True, stdin=subprocess.DEVNULL)
    return json.loads(done.stdout.partition("result:")[2])


def test_questions_are_answered() -> None:
    script = """read -p 'Install them now? [Y/n] ' answer; echo "got $answer"
                read -s -p '[sudo] Passwort fuer newcomer: ' answer; echo; echo "got $answer"
                exit 7"""
    status, gave_up, lines = run_in_namespace(script)
    assert (status, gave_up) == (7, "")
    assert "got y" in lines and "got secret" in lines


def test_without_a_terminal_nothing_is_answered() -> None:
    script = "[[ -t 0 || -t 1 || -t 2 ]] && echo terminal; read answer || echo 'no answer'"
    assert run_in_namespace(script, terminal=False) == [0, "", ["no answer"]]


def test_signal_is_a_status() -> None:
    assert run_in_namespace("kill -SEGV $$") == [139, "", []]


def test_endless_command_is_ended() -> None:
    status, gave_up, lines = run_in_namespace("trap '' TERM HUP; echo begun; while :; do sleep 1; done",
                                              timeout=2)
    assert (status, lines) == (124, ["begun"])
    assert gave_up == "not at its end after 2 s"


def test_stopped_process_is_detected() -> None:
    """sudo stops like this if it asks for a password in a background process group."""
    status, gave_up, _ = run_in_namespace("set -m; (read -r answer </dev/tty) & sleep 1000")
    assert status == 124
    assert "is stopped (state T)" in gave_up and "bash" in gave_up


def test_background_process_does_not_delay_the_end() -> None:
    status, gave_up, lines = run_in_namespace("sleep 1000 & echo ended")
    assert (status, gave_up, lines) == (0, "", ["ended"])


def test_minutes() -> None:
    assert [command.minutes(t) for t in (0.04, 59.4, 60, 432.4)] == [
        "0.0 s", "59.4 s", "1 min 00 s", "7 min 12 s"]
