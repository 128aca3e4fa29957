# SPDX-License-Identifier: GPL-2.0-only
"""The cases of a clean room: the state of the machine before the commands run.

bash runs the scripts in the room, with $RELEASE and $MIRROR set, and with the functions of PRELUDE.
"""

from __future__ import annotations

from dataclasses import dataclass, field

RELEASES = ("bookworm", "trixie")
USERS = ("root", "sudo")

# The one who runs the commands where that is not root.
NEWCOMER = "newcomer"
PASSWORD = "faultline"

PRELUDE = """
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
install() {
    apt-get --quiet=2 update
    apt-get --quiet=2 --yes --no-install-recommends -o Dpkg::Use-Pty=0 install "$@"
}
"""


@dataclass(frozen=True)
class Case:
    why: str  # one sentence: which machine this is
    as_root: str = ""  # a script that prepares the machine
    as_user: str = ""  # a script by the one who runs the commands, in their home directory
    in_tree: str = ""  # a script by the same, in the checkout
    tree_as_root: str = ""  # a script by root, in the checkout, after the other
    profile: str = ""  # lines of ~/.profile
    locks: tuple[str, ...] = ()  # files that another process has locked for the first minute
    releases: tuple[str, ...] = RELEASES
    users: tuple[str, ...] = field(default=USERS)


# Rooms are prepared in this order: a case that keeps apt from working comes after those that use it.
CASES: dict[str, Case] = {
    "plain": Case("A bare installation, with git, make and sudo."),
    "backports-qemu-utils": Case(
        "qemu-utils of the release's backports is installed, and the backports are no longer"
        " among apt's sources: the release's own QEMU cannot be installed beside it.",
        as_root="""
            list=/etc/apt/sources.list.d/backports.list
            echo "deb $MIRROR $RELEASE-backports main" >$list
            install "qemu-utils/$RELEASE-backports"
            rm $list
            apt-get --quiet=2 update
        """,
        releases=("bookworm",),
    ),
    "old-rust-german": Case(
        "The release's own rustc and cargo are installed, which are too old on Debian 12, and"
        " the language is German.",
        as_root="""
            install rustc cargo locales
            sed -i 's/^# *\\(de_DE.UTF-8 UTF-8\\)/\\1/' /etc/locale.gen
            locale-gen >/dev/null
        """,
        profile="export LANG=de_DE.UTF-8",
    ),
    "rustup-package": Case(
        "Debian's package rustup is installed, and no toolchain has been chosen with it.",
        as_root="install rustup",
        releases=("trixie",),
    ),
    "sudo-password": Case(
        "sudo asks for the password each time.",
        as_root="""
            printf '%s\\n' 'Defaults timestamp_timeout=0' 'newcomer ALL=(ALL:ALL) ALL' \\
                >/etc/sudoers.d/newcomer
        """,
        users=("sudo",),
    ),
    "cargo-config": Case(
        "~/.cargo/config.toml has linker flags for the guest's target, as cross-compiling for"
        " other boards needs them.",
        as_user="""
            mkdir -p ~/.cargo
            printf '%s\\n' '[target.aarch64-unknown-linux-gnu]' 'linker = "aarch64-linux-gnu-gcc"' \\
                'rustflags = ["-Clink-arg=-fuse-ld=mold"]' '[build]' 'target-dir = "/tmp/target"' \\
                >~/.cargo/config.toml
        """,
    ),
    "pytest-plugin": Case(
        "A pytest plugin that cannot be imported is in the user's own site-packages.",
        as_root="install python3",
        as_user="""
            site=$(python3 -m site --user-site)
            mkdir -p "$site/broken_plugin-1.0.dist-info"
            printf '%s\\n' 'Metadata-Version: 2.1' 'Name: broken-plugin' 'Version: 1.0' \\
                >"$site/broken_plugin-1.0.dist-info/METADATA"
            printf '%s\\n' '[pytest11]' 'broken = broken_plugin' \\
                >"$site/broken_plugin-1.0.dist-info/entry_points.txt"
            echo 'raise ImportError("a broken pytest plugin of the user")' >"$site/broken_plugin.py"
        """,
    ),
    "dpkg-lock": Case(
        "A new cloud machine: unattended-upgrades holds dpkg's lock for the first minute.",
        locks=("var/lib/dpkg/lock-frontend",),
    ),
    "lists-lock": Case(
        "A new cloud machine: another apt-get update holds the lock of the lists for the first"
        " minute.",
        locks=("var/lib/apt/lists/lock",),
    ),
    "broken-source": Case(
        "Among apt's sources there is one of a third party that does not answer.",
        as_root="""
            echo 'deb [trusted=yes] http://127.0.0.1:9/debian stable main' \\
                >/etc/apt/sources.list.d/third-party.list
        """,
    ),
    "no-git-dir": Case(
        "The sources are from an archive: there is no .git.",
        in_tree="rm -rf .git",
    ),
    "foreign-owner": Case(
        "root works in a checkout that belongs to somebody else: dubious ownership, says git.",
        tree_as_root="chown -R 12345:12345 .",
        users=("root",),
    ),
    "environment": Case(
        "The environment is that of somebody who cross-compiles for other targets.",
        as_user="""
            mkdir -p ~/python
            echo 'raise ImportError("a json.py of the user")' >~/python/json.py
            echo 'cd() { builtin cd "$@" && pwd; }' >~/functions
        """,
        profile="""
            export ARCH=x86 CROSS_COMPILE=arm-none-eabi- CC=arm-none-eabi-gcc CFLAGS=-mthumb
            export LLVM=/opt/llvm/bin/ KBUILD_OUTPUT=/nonexistent KCFLAGS=-Wno-such-warning
            export MAKEFLAGS=-j4 GNUMAKEFLAGS=--warn-undefined-variables
            export RUSTFLAGS=-Ctarget-cpu=cortex-m4 CARGO_BUILD_TARGET=thumbv7em-none-eabihf
            export CARGO_TARGET_DIR=/nonexistent RUSTC_WRAPPER=sccache RUSTUP_TOOLCHAIN=nightly
            export PYTHONPATH=~/python PYTEST_ADDOPTS=--no-such-option PIP_REQUIRE_VIRTUALENV=1
            export BASH_ENV=~/functions CDPATH=.:~ GREP_OPTIONS=--color=always
        """,
    ),
    "umask": Case(
        "Files are for their owner alone: umask 077.",
        profile="umask 077",
    ),
}


def why_not(name: str, release: str, user: str) -> str | None:
    """The reason why this case is impossible in a room of this release and user."""
    case = CASES[name]
    if release not in case.releases:
        return f"--case {name} is for --release {' or '.join(case.releases)}, not {release}"
    if user not in case.users:
        return f"--case {name} is for --user {' or '.join(case.users)}, not {user}"
    return None
