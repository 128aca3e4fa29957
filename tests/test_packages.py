# SPDX-License-Identifier: GPL-2.0-only
"""What set-up decides to install, on machines that do not exist (board/common/packages.sh).

apt itself decides: it gets a made-up list of installed packages, and Debian's own lists of
available ones. Nothing is installed, and nothing is booted.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from places import COMMON, TOP, environment

pytestmark = pytest.mark.unit

PRELUDE = """
set -euo pipefail
shopt -s inherit_errexit
TOP=$PWD BUILD=build/none BOARD=none QEMU=qemu-system-aarch64 QEMU_MIN=${QEMU_MIN:-} RUST_SYSROOT=
say() { echo "$1: $2" >&2; }
die() { echo "error: $1" >&2; exit 1; }
cleanup() { :; }
for file in environment.sh versions.env cache.sh apt.sh debs.sh packages.sh toolchain.sh; do
    . "board/common/$file"
done
clean_environment
"""
# The lists that were fetched once stand for the mirror.
OFFLINE = 'fetch_lists() { cp -r "$LISTS" "$1/state/"; }\n'

# Beside apt and dpkg, what the scripts themselves use; none of the programs that they look for.
TOOLS = """apt-cache apt-config apt-get awk bash cat chmod cp cut date dirname dpkg dpkg-deb find
    getent grep head id ldd ln ls mkdir mktemp mv paste readlink realpath rm sed sha256sum sort tail
    tr uname wc which env sh dpkg-query sleep kill""".split()
SUITES = ("bookworm", "trixie")
# What a machine has at least: something of each kind that others depend on.
BASE = ("apt", "base-files", "bash", "coreutils", "dpkg", "libc-bin", "login", "make", "perl-base",
        "util-linux")
# What set-up may ask apt about.
VERSIONS = environment(COMMON / "versions.env")
ASKED = (
    "bc", "bindgen", "bison", "ca-certificates", "cpio", "curl", "device-tree-compiler", "flex", "gcc",
    "libc6-dev", "patch", "perl", "python3", "python3-libfdt", "python3-venv", "qemu-system-arm",
    "qemu-utils", "shellcheck", "xz-utils", "zlib1g",
    "cargo", "cargo-web", "rust-clippy", "rust-src", "rust-web-clippy", "rust-web-src", "rustc",
    "rustc-web", "rustfmt", "rustfmt-web", "rustup",
    *(f"{name}-{version}" for version in VERSIONS["LLVM_PREFERRED"].split()
      for name in ("clang", "lld", "llvm", "libclang1")),
)
THIN = Path(__file__).with_name("thin_lists.py")


def shell(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", PRELUDE + script], cwd=TOP, text=True, stdin=subprocess.DEVNULL,
        capture_output=True, env=environment,
    )


class Release:
    """Debian's package lists of one release, in an apt root where nothing is installed."""

    def __init__(self, suite: str, root: Path) -> None:
        self.suite = suite
        self.root = root
        self.sources = (root / "sources.list").read_text().splitlines()

    def ask(self, *command: str) -> str:
        program, *rest = command
        done = subprocess.run(
            [program, "-c", self.root / "apt.conf", *rest], text=True, capture_output=True,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def status(self, packages: tuple[str, ...], states: dict[str, str]) -> str:
        """dpkg's status file of a machine with these packages and all that they depend on."""
        simulated = self.ask("apt-get", "-s", "-y", "--no-install-recommends", "install", *BASE, *packages)
        chosen = re.findall(r"^Inst (\S+) \((\S+)", simulated, re.MULTILINE)
        assert chosen
        shown = self.ask("apt-cache", "show", *(f"{name}={version}" for name, version in chosen))
        stanzas = []
        for stanza in shown.strip().split("\n\n"):
            name = stanza.removeprefix("Package: ").partition("\n")[0]
            state = states.get(name, "install ok installed")
            # Depends names alternatives and versions; nothing of it may be half of one.
            stanzas.append(f"{stanza}\nStatus: {state}\n")
        return "\n".join(stanzas)


@pytest.fixture(scope="session")
def releases() -> dict[str, Release]:
    """Fetched once from the machine's own mirror, into the cache, and reduced to what the tests ask."""
    script = """
        debian_mirror || { echo "$DEB_WHY_NOT"; exit 3; }
        fetch() {
            apt_root "$ENTRY" "$(dpkg --print-architecture)" /dev/null
            for suite in "$CODENAME" "$CODENAME-updates" "$CODENAME-backports"; do
                echo "deb [signed-by=$DEBIAN_KEYRING] $DEBIAN_MIRROR $suite main"
            done >"$ENTRY/sources.list"
            fetch_lists "$ENTRY"
            compgen -G "$ENTRY/state/lists/*_Packages*" >/dev/null || { tail -n 1 "$ENTRY/log"; exit 3; }
            "$INTERPRETER" -I "$THIN" "$ENTRY/state/lists" $ASKED
            # The rest is apt's own cache, which it writes when it is asked.
            ENTRY_PATHS=(state sources.list apt.conf)
        }
        for CODENAME in bookworm trixie; do
            entry "packages-$CODENAME-$(key "$(declare -f apt_root fetch)" "$(<"$THIN")" "$ASKED")" "Debian's lists of $CODENAME" fetch
            echo "$ENTRY"
        done
    """
    if not shutil.which("apt-get"):
        pytest.skip("there is no apt-get here to ask about other machines")
    given = {"INTERPRETER": sys.executable, "THIN": str(THIN), "ASKED": " ".join((*BASE, *ASKED))}
    done = shell(script, **os.environ | given)
    if done.returncode == 3:
        pytest.skip(f"no lists of Debian's packages: {done.stdout.strip()}")
    assert done.returncode == 0, done.stderr
    roots = [Path(line) for line in done.stdout.split()]
    return {suite: Release(suite, root) for suite, root in zip(SUITES, roots, strict=True)}


@dataclass(frozen=True)
class Machine:
    suite: str
    packages: tuple[str, ...] = ()  # installed
    states: dict[str, str] = field(default_factory=dict)  # of packages that are not just installed
    qemu_min: str = ""
    locale: str = "C"
    lists: bool = True  # whether apt-get update was ever called
    expected: tuple[str, ...] = ()  # each matches a line of the plan
    unexpected: tuple[str, ...] = ()  # none matches one


RUST_WEB = "rustc-web cargo-web rust-web-src rustfmt-web rust-web-clippy"
MACHINES = {
    "Debian 12": Machine(
        "bookworm",
        expected=(rf"install .*qemu-system-arm clang-19 .*{RUST_WEB}",),
        unexpected=("unpack", "lack"),
    ),
    "Debian 13": Machine(
        "trixie", expected=("install .*qemu-system-arm clang-19 .*rustc",), unexpected=("unpack", "lack"),
    ),
    "Debian 12, for a board that needs a newer QEMU": Machine(
        "bookworm", qemu_min="9.0",
        expected=(f"install .*clang-19 .*{RUST_WEB}",
                  r"unpack qemu from bookworm-backports: .*qemu-system-arm=1:10\."),
        unexpected=("install .*qemu-system-arm", "lack"),
    ),
    "backports' qemu-utils": Machine(
        "bookworm", ("qemu-utils/bookworm-backports",),
        expected=(f"install .*clang-19 .*{RUST_WEB}",
                  r"unpack qemu from bookworm-backports: .*libslirp0=.*qemu-system-arm=1:10\."),
        unexpected=("install .*qemu-system-arm", "lack"),
    ),
    "Debian's rustc 1.63": Machine(
        "bookworm", ("rustc", "cargo"),
        expected=("install .*qemu-system-arm clang-19", "unpack rust from bookworm: .*rustc-web="),
        unexpected=("install .*rustc-web", "lack"),
    ),
    "rustc 1.63, in German": Machine(
        "bookworm", ("rustc",), locale="de_DE.UTF-8",
        expected=("install .*qemu-system-arm clang-19", "unpack rust from bookworm: .*rustc-web="),
        unexpected=("clang-17", "lack"),
    ),
    "rustup's package": Machine(
        "trixie", ("rustup",),
        expected=("install .*qemu-system-arm clang-19", "unpack rust from trixie: .*rustc(-web)?="),
        unexpected=("install .*rustc", "lack"),
    ),
    "a package on hold": Machine(
        "bookworm", ("qemu-utils",), {"qemu-utils": "hold ok installed"},
        expected=(f"install .*qemu-system-arm clang-19 .*{RUST_WEB}",), unexpected=("unpack", "lack"),
    ),
    "backports' qemu-utils, on hold": Machine(
        "bookworm", ("qemu-utils/bookworm-backports",), {"qemu-utils": "hold ok installed"},
        expected=(f"install .*clang-19 .*{RUST_WEB}", "unpack qemu from bookworm-backports:"),
        unexpected=("install .*qemu-system-arm", "lack"),
    ),
    "a half-configured package": Machine(
        "bookworm", ("rustc",), {"libstd-rust-dev": "install ok half-configured"},
        expected=("install .*qemu-system-arm clang-19", "unpack rust from bookworm: .*rustc-web="),
        unexpected=("lack",),
    ),
    "a package that dpkg wants to be installed again": Machine(
        "bookworm", ("zlib1g",), {"zlib1g": "install reinstreq half-installed"},
        # apt has its archive, and does so with the rest.
        expected=("install .*qemu-system-arm .*rustc-web",), unexpected=("unpack", "lack"),
    ),
    "apt-get update was never called": Machine(
        "bookworm", lists=False, expected=("(unpack|lack) rust",), unexpected=("install",),
    ),
}

# apt in German, as far as set-up reads it. The true translations are not installed everywhere.
GERMAN = """#!/bin/sh
[ "$LC_ALL" = C ] && [ -z "$LANGUAGE" ] && exec {program} "$@"
{program} "$@" | sed 's/Candidate:/Installationskandidat:/; s/^The following packages/Die folgenden Pakete/'
"""


class Made:
    """A made-up machine in a directory: its programs, its apt configuration, its empty cache."""

    def __init__(self, machine: Machine, release: Release, directory: Path) -> None:
        self.bin = directory / "bin"
        self.bin.mkdir()
        for name in TOOLS:
            if where := shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin"):
                (self.bin / name).symlink_to(where)
        if machine.locale != "C":
            for name in ("apt-cache", "apt-get"):
                where = (self.bin / name).readlink()
                (self.bin / name).unlink()
                (self.bin / name).write_text(GERMAN.format(program=where))
                (self.bin / name).chmod(0o755)
        (directory / "status").write_text(release.status(machine.packages, machine.states))
        (directory / "cache/faultline").mkdir(parents=True)
        (directory / "os-release").write_text(f"ID=debian\nVERSION_CODENAME={release.suite}\n")
        (directory / "etc").mkdir()
        (directory / "apt-cache/archives/partial").mkdir(parents=True)
        sources = [line for line in release.sources if "-backports" not in line]
        (directory / "etc/sources.list").write_text("\n".join(sources) + "\n")
        lists = release.root / "state/lists"
        if not machine.lists:
            lists = directory / "lists"
            (lists / "partial").mkdir(parents=True)
        (directory / "apt.conf").write_text(
            f'Dir::Etc "{directory}/etc";\nDir::State::status "{directory}/status";\n'
            f'Dir::State::lists "{lists}";\nDir::Cache "{directory}/apt-cache";\n'
            f'APT::Sandbox::User "";\n'
        )
        self.environment = {
            "PATH": str(self.bin), "HOME": str(directory), "APT_CONFIG": str(directory / "apt.conf"),
            "XDG_CACHE_HOME": str(directory / "cache"), "OS_RELEASE": str(directory / "os-release"),
            "LISTS": str(release.root / "state/lists"), "LC_ALL": machine.locale, "LANGUAGE": "de",
            "QEMU_MIN": machine.qemu_min,
        }

    def plan(self) -> list[str]:
        done = shell(OFFLINE + "print_plan test", **self.environment)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()


@pytest.mark.parametrize("name", MACHINES)
def test_plan(name: str, releases: dict[str, Release], tmp_path: Path) -> None:
    machine = MACHINES[name]
    plan = Made(machine, releases[machine.suite], tmp_path).plan()
    text = "\n".join(plan)
    for pattern in machine.expected:
        assert any(re.match(pattern, line) for line in plan), f"no line like {pattern!r}:\n{text}"
    for pattern in machine.unexpected:
        assert not any(re.match(pattern, line) for line in plan), f"a line like {pattern!r}:\n{text}"
    # A shared C library beside the machine's own cannot work.
    assert not re.search(r"\blibc6=", text), text


def test_reason_names_the_package_in_the_way(releases: dict[str, Release], tmp_path: Path) -> None:
    made = Made(MACHINES["backports' qemu-utils"], releases["bookworm"], tmp_path)
    done = shell('plan test; echo "${REFUSED[qemu]}"', **made.environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "apt cannot install qemu-system-arm: it would remove qemu-utils\n"


def test_without_apt(tmp_path: Path) -> None:
    """On another distribution, the message lists missing programs, not Debian packages."""
    for name in TOOLS:
        if not name.startswith(("apt", "dpkg")) and (where := shutil.which(name)):
            (tmp_path / name).symlink_to(where)
    done = shell("ensure_packages run", PATH=str(tmp_path), HOME=str(tmp_path), OS_RELEASE="/none")
    assert done.returncode == 1
    assert "flex: flex\n" in done.stderr and "there is no apt-get here" in done.stderr
    assert "rust: rustc and cargo" in done.stderr and "ca-certificates" not in done.stderr


APT_UPDATE = """\
Hit:1 https://deb.example/debian bookworm InRelease
Err:2 https://third.example/deb stable InRelease
W: Failed to fetch https://third.example/deb/dists/stable/InRelease  Could not resolve 'third.example'
E: The repository 'https://unsigned.example/apt ./ Release' is not signed.
"""


def test_failed_sources_are_named(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(APT_UPDATE)
    done = shell(f"failed_sources <{log}", **os.environ)
    assert done.stdout == "https://third.example/deb https://unsigned.example/apt\n", done.stderr


def stub(directory: Path, name: str, text: str) -> None:
    (directory / name).write_text(f"#!/bin/bash\n{text}\n")
    (directory / name).chmod(0o755)


def test_third_party_source_is_no_error(tmp_path: Path) -> None:
    stub(tmp_path, "apt-get", f"cat <<'END'\n{APT_UPDATE}END\nexit 100")
    done = shell(
        'SUDO=() LOGS=$HOME; show_progress() { :; }; stop_watcher() { :; }; update_lists; echo "on"',
        **os.environ | {"HOME": str(tmp_path), "PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )
    assert (done.returncode, done.stdout) == (0, "on\n"), done.stderr
    assert "going on without" in done.stderr and "https://third.example/deb" in done.stderr


def test_root_runs_in_the_foreground(tmp_path: Path) -> None:
    """sudo can ask on the terminal only in the foreground process group."""
    stub(tmp_path, "sudo", 'ps -o pgid= -p $$ >"$HOME/group"; exec "$@"')
    stub(tmp_path, "apt-get", 'echo "$@" >"$HOME/arguments"; umask >"$HOME/umask"')
    done = shell(
        'umask 077; SUDO=(sudo) LOGS=$HOME; show_progress() { :; }; stop_watcher() { :; }; ps -o pgid= -p $$\n'
        "as_root log apt-get install make",
        **os.environ | {"HOME": str(tmp_path), "PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "group").read_text() == done.stdout
    assert "DPkg::Lock::Timeout=" in (tmp_path / "arguments").read_text()
    assert (tmp_path / "umask").read_text() == "0022\n"


def test_a_newer_python_than_the_first_one_is_found(tmp_path: Path) -> None:
    """A machine's own python3 may be older than one that was installed beside it."""
    stub(tmp_path, "python3", "exit 1")
    for tool in ("bash", "dirname", "sh"):
        (tmp_path / tool).symlink_to(shutil.which(tool) or "")
    alone = subprocess.run([COMMON / "python", "-V"], env={"PATH": str(tmp_path)}, text=True,
                           capture_output=True)
    assert alone.returncode == 1 and f"Python {VERSIONS['PYTHON_MIN']} or later is needed" in alone.stderr
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    (tmp_path / name).symlink_to(sys.executable)
    found = subprocess.run([COMMON / "python", "-I", "-c", "import sys; print(sys.version_info[:2])"],
                           env={"PATH": str(tmp_path)}, text=True, capture_output=True)
    assert found.stdout == f"{sys.version_info[:2]}\n", found.stderr
