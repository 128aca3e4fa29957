# SPDX-License-Identifier: GPL-2.0-only
"""The command `clean-room`: its options, the room's directory, the table at the end."""

from __future__ import annotations

import argparse
import fcntl
import io
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import textwrap
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from . import inside, machine
from .cases import CASES, NEWCOMER, RELEASES, USERS, why_not
from .inside import Plan, Result

TOP = Path(__file__).resolve().parents[2]
PROGRAM = TOP / "tests/clean-room"
BASE = Path(__file__).with_name("base")
NEEDED = {"debootstrap": "debootstrap", "unshare": "util-linux", "setpriv": "util-linux",
          "chroot": "coreutils", "git": "git"}
# A command after this is killed where its parent ends, however that ends.
ENDS_WITH_US = ("setpriv", "--pdeathsig", "KILL")
TIMEOUT = 4 * 3600

DESCRIPTION = """\
Makes a bare root of a Debian release, copies the last commit into it, and runs `make COMMAND` there
for each COMMAND, as a newcomer does: with empty caches, at a terminal, answering yes. The status is
0 if every command's is. Without root, it asks for it with sudo.
"""


class Wrong(Exception):
    """A mistake that the caller has to correct."""


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="clean-room", description=DESCRIPTION, allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commands", nargs="*", metavar="COMMAND",
                        help="arguments of one make, such as run, test or 'test BOARDS='")
    parser.add_argument("--release", choices=RELEASES, default="bookworm", help="of Debian (bookworm)")
    parser.add_argument("--user", choices=USERS, default="sudo",
                        help="root, or an ordinary user with sudo (sudo)")
    parser.add_argument("--case", choices=CASES, action="append", default=[], metavar="NAME",
                        help="what was on the machine before; may be given more than once")
    parser.add_argument("--list-cases", action="store_true", help="say what the cases are, and end")
    parser.add_argument("--dry-run", action="store_true",
                        help="say what would be done, and end; needs no root")
    parser.add_argument("--worktree", action="store_true",
                        help="with the changes that are not committed")
    parser.add_argument("--ci", action="store_true", help="with CI=true, and no terminal")
    parser.add_argument("--timeout", type=seconds, default=TIMEOUT, metavar="SECONDS",
                        help=f"end a command that takes longer ({TIMEOUT})")
    parser.add_argument("--shell", action="store_true", help="give a shell in the room at the end")
    parser.add_argument("--keep", action="store_true", help="do not delete the room at the end")
    parser.add_argument("--enter", type=Path, metavar="ROOM",
                        help="use a kept room again, with all that is in it")
    parser.add_argument("--dir", type=Path, help="where rooms are made (the cache; about 8 GB each)")
    parser.add_argument("--log", type=Path, help="where all output is kept (build/clean-room/…)")
    parser.add_argument("--mirror", help="of Debian, instead of that of this machine's apt")
    parser.add_argument("--security-mirror", help="of Debian's security updates, likewise")
    return parser


def seconds(text: str) -> float:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds above 0")
    return int(text)


def main(arguments: Sequence[str]) -> int:
    if arguments and arguments[0] == "--inside":
        return inside.main(arguments[1], lock=int(arguments[2]))
    options = parser().parse_args(arguments)
    # In the order of the table, where what hinders the preparation comes last.
    options.case = [name for name in CASES if name in options.case]
    if options.list_cases:
        list_cases()
        return 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        check(options)
        if options.dry_run:
            describe(options)
            return 0
        check_tools()
        if os.geteuid() != 0:
            become_root(arguments)
        return make_room(options)
    except (Wrong, machine.Unsuitable) as error:
        print(f"clean-room: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("clean-room: interrupted", file=sys.stderr)
        return 130


def list_cases() -> None:
    for name, case in CASES.items():
        limits = [" or ".join(some) for some, every in
                  ((case.releases, RELEASES), (case.users, USERS)) if some != every]
        print(name + (f" ({', '.join(limits)})" if limits else ""))
        print(textwrap.fill(case.why, 90, initial_indent="    ", subsequent_indent="    "))


def describe(options: argparse.Namespace) -> None:
    """Prints what a room would consist of, so that it can be made by hand where there is no
    root."""
    debian, security, keyring = mirrors(options)
    print(f"base: debootstrap {options.release} from {debian}, signed by {keyring}")
    print(f"sources of apt: {', '.join(inside.sources(options.release, debian, security))}")
    print("taken from this machine: " + ", ".join(f"/{name}" for name in machine.files()))
    print("environment: " + (", ".join(machine.proxies()) or "nothing of this machine's"))
    print(f"user: {'root' if options.user == 'root' else f'{NEWCOMER}, with sudo'}")
    for name in options.case:
        case = CASES[name]
        print(f"case {name}: {case.why}")
        for who, script in (("root", case.as_root), ("the user", case.as_user),
                            ("the user, in the checkout", case.in_tree),
                            ("root, in the checkout", case.tree_as_root),
                            ("lines of ~/.profile", case.profile)):
            if script:
                print(f"  {who}:\n{textwrap.indent(inside.dedent(script).rstrip(), '    ')}")
        for lock in case.locks:
            print(f"  locked for {inside.LOCK_SECONDS} s: /{lock}")
    for command in options.commands:
        print(f"run: make {command}" + (" (CI=true, no terminal)" if options.ci else ""))


def check(options: argparse.Namespace) -> None:
    """Checks everything that can be known before anything is made."""
    if not options.commands and not options.shell:
        raise Wrong("no COMMAND, and no --shell: there is nothing to do")
    for command in options.commands:
        try:
            words = shlex.split(command)
        except ValueError as error:
            raise Wrong(f"COMMAND {command!r}: {error}") from None
        if not words:
            raise Wrong("an empty COMMAND")
    if options.shell and not sys.stdin.isatty():
        raise Wrong("--shell needs a terminal")
    if options.enter:
        if not (options.enter / "plan.json").exists():
            raise Wrong(f"--enter {options.enter}: this is not a room that was kept")
        if options.case or options.worktree or options.dir:
            raise Wrong("--enter uses a room as it is: --case, --worktree and --dir are for a new one")
    for name in options.case:
        if reason := why_not(name, options.release, options.user):
            raise Wrong(reason)
    if options.dir and not options.dir.is_dir():
        raise Wrong(f"--dir {options.dir}: no such directory")
    if not options.enter and not options.worktree and (changed := git("status", "--porcelain")):
        raise Wrong("there are changes that are not committed, and the room gets the last commit:"
                    f" commit them, or give --worktree\n{changed.decode(errors='replace').rstrip()}")


def check_tools() -> None:
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    if missing := {package for name, package in NEEDED.items() if not shutil.which(name, path=path)}:
        raise Wrong(f"install {' '.join(sorted(missing))} first")


def cache() -> Path:
    """The cache. board/common/cache.sh decides where it is."""
    script = TOP / "board/common/cache.sh"
    return Path(subprocess.check_output(["bash", "-pc", '. "$0" && printf %s "$CACHE"', script], text=True))


def become_root(arguments: Sequence[str]) -> None:
    """Runs this command again with sudo. The files that the room is made from keep their owner."""
    if not shutil.which("sudo"):
        raise Wrong("a room takes root (chroot, mount, mknod), and there is no sudo here")
    (cache() / "rooms").mkdir(parents=True, exist_ok=True)  # root's could not be written to later
    kept = {"XDG_CACHE_HOME": str(cache().parent), **machine.proxies()}
    argv = ["sudo", "env", *(f"{name}={value}" for name, value in kept.items()),
            *ENDS_WITH_US, sys.executable, str(PROGRAM), *arguments]
    print("clean-room: a room takes root (chroot, mount, mknod): asking sudo", file=sys.stderr)
    os.execvp(argv[0], argv)


def git(*arguments: str) -> bytes:
    """git in this checkout, as its owner, because git refuses the repositories of other users."""
    owner = TOP.stat()
    other = owner.st_uid != os.geteuid() and os.geteuid() == 0
    identity = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if other else {}
    try:
        done = subprocess.run(["git", *arguments], cwd=TOP, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, check=True, **identity)
    except subprocess.CalledProcessError as error:
        raise Wrong(f"git {arguments[0]} failed in {TOP}: "
                    f"{error.stderr.decode(errors='replace').strip()}") from None
    return done.stdout


def make_room(options: argparse.Namespace) -> int:
    os.environ["PATH"] = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    os.umask(0o022)
    if options.enter:
        room = options.enter.resolve()
        old = Plan(**json.loads((room / "plan.json").read_text()))
        log = log_file(options.log, old.release, old.user, old.cases)
        plan = Plan(**{**asdict(old), **wanted(options, log), "prepared": True})
        with used(room, keep=True) as lock:
            return run(room, lock, plan)
    log = log_file(options.log, options.release, options.user, options.case)
    where = options.dir or cache() / "rooms"
    where.mkdir(parents=True, exist_ok=True)
    sweep(where)
    room = Path(tempfile.mkdtemp(prefix=f"{options.release}-{options.user}-", dir=where.resolve()))
    with used(room, keep=options.keep) as lock:
        return run(room, lock, furnish(room, options, log))


def wanted(options: argparse.Namespace, log: Path) -> dict[str, object]:
    return {"commands": options.commands, "ci": options.ci, "timeout": options.timeout,
            "log": str(log), "shell": options.shell, "proxies": machine.proxies()}


def mirrors(options: argparse.Namespace) -> tuple[str, str, Path]:
    """The mirrors of Debian and of its security updates, and the keyring that signs both."""
    given = machine.Mirrors(options.mirror, options.security_mirror)
    found = given if given.debian and given.security else machine.mirrors()
    debian, security = given.debian or found.debian, given.security or found.security
    return debian.rstrip("/"), security.rstrip("/"), machine.keyring()


def furnish(room: Path, options: argparse.Namespace, log: Path) -> Plan:
    """Unpacks the base, and copies this machine's network settings and the sources into the
    room."""
    room.chmod(0o755)  # others than root must pass
    debian, security, keyring = mirrors(options)
    made = subprocess.run([*ENDS_WITH_US, BASE, options.release, debian, keyring],
                          stdout=subprocess.PIPE, text=True, check=False)
    if made.returncode:
        raise Wrong(f"there is no base of {options.release}, see above")
    archive = Path(made.stdout.strip())
    give_to_user(archive.parent)
    give_to_user(archive.parent.with_name(archive.parent.name + ".lock"))
    root = room / "root"
    root.mkdir()
    subprocess.run([*ENDS_WITH_US, "tar", "--extract", "--file", archive, "--directory", root,
                    "--numeric-owner", "--preserve-permissions", "--xattrs", "--xattrs-include=*"],
                   check=True)
    for name, contents in machine.files().items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).unlink(missing_ok=True)  # it may be a link to elsewhere
        (root / name).write_bytes(contents)
    branch = git("branch", "--show-current").decode().split()
    (root / inside.BUNDLE).write_bytes(git("bundle", "create", "--quiet", "-", "HEAD", *branch))
    return Plan(room=str(room), release=options.release, user=options.user, cases=options.case,
                mirror=debian, security=security, prepared=False,
                deleted=changes(root / inside.CHANGES) if options.worktree else [],
                **wanted(options, log))  # type: ignore[arg-type]


def changes(archive: Path) -> list[str]:
    """Archives the changes that are not committed, and returns the deleted files."""
    names = git("ls-files", "-z", "--modified", "--others", "--exclude-standard").decode()
    staged = git("diff", "--cached", "--name-only", "--no-renames", "-z").decode()
    changed = sorted({*names.split("\0"), *staged.split("\0")} - {""})
    there = [name for name in changed if os.path.lexists(TOP / name)]
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w") as tar:
        for name in there:
            tar.add(TOP / name, name, recursive=False)
    archive.write_bytes(memory.getvalue())
    committed = set(git("ls-tree", "-r", "-z", "--name-only", "HEAD").decode().split("\0"))
    return [name for name in changed if name not in there and name in committed]


def log_file(given: Path | None, release: str, user: str, cases: list[str]) -> Path:
    name = "-".join([release, user, *cases, time.strftime("%Y%m%d-%H%M%S")])
    log = (given or TOP / "build/clean-room" / f"{name}.log").resolve()
    made = [parent for parent in log.parents if not parent.exists()]
    log.parent.mkdir(parents=True, exist_ok=True)
    log.touch()
    for path in (*made, log):
        give_to_user(path)
    return log


def give_to_user(path: Path) -> None:
    """Gives what root has made outside the room to the user who called sudo."""
    if "SUDO_UID" in os.environ:
        for item in (path, *path.rglob("*")):
            os.lchown(item, int(os.environ["SUDO_UID"]), int(os.environ["SUDO_GID"]))


def sweep(where: Path) -> None:
    """Deletes the rooms of killed commands."""
    ours = tuple(f"{release}-{user}-" for release in RELEASES for user in USERS)
    for room in where.iterdir():
        # The user's directory may contain other files.
        if room.name.startswith(ours) and (room / "lock").exists() and not (room / "kept").exists() and not in_use(room):
            print(f"clean-room: deleting {room}, which was left behind", file=sys.stderr)
            delete(room)


def in_use(room: Path) -> bool:
    with (room / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@contextmanager
def used(room: Path, keep: bool) -> Iterator[int]:
    """Holds the room's lock, a descriptor; deletes the room at the end, when no process is in
    it."""
    with (room / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Wrong(f"{room} is in use") from None
        try:
            yield lock.fileno()
        finally:
            if keep:
                (room / "kept").touch()
                print(f"clean-room: kept: {room} (tests/clean-room --enter {room} --shell)",
                      file=sys.stderr)
            else:
                # A second Ctrl-C would leave half of it.
                for number in (signal.SIGINT, signal.SIGTERM):
                    signal.signal(number, signal.SIG_IGN)
                delete(room)


def delete(room: Path) -> None:
    """Deletes a room that is not in use. The lock goes last, because the next command finds the
    rest by it."""
    # Processes that have been killed may take a moment to go.
    for _ in range(50):
        shutil.rmtree(room / "root", ignore_errors=True)
        if not (room / "root").exists():
            break
        time.sleep(0.2)
    for name in ("plan.json", "results.json", "lock"):
        (room / name).unlink(missing_ok=True)
    room.rmdir()


def run(room: Path, lock: int, plan: Plan) -> int:
    """Runs the room's first process in its own namespaces, and shows the result."""
    (room / "plan.json").write_text(json.dumps(asdict(plan)))
    (room / "results.json").unlink(missing_ok=True)
    status = in_namespaces([sys.executable, PROGRAM, "--inside", room / "plan.json", str(lock)], lock)
    results = room / "results.json"
    if results.exists():
        size = subprocess.run(["du", "--summarize", "--block-size=MB", room], text=True,
                              stdout=subprocess.PIPE, check=False).stdout.split()[0]
        show(plan, [Result(**fields) for fields in json.loads(results.read_text())], size)
    return status


def in_namespaces(argv: list[str | Path], lock: int) -> int:
    """Runs this as the first process of a PID namespace, which ends with this process, however it
    ends."""
    child = subprocess.Popen(
        [*ENDS_WITH_US, "unshare", "--mount", "--uts", "--ipc", "--pid",
         "--fork", "--kill-child", *argv], pass_fds=[lock])
    try:
        return child.wait()
    finally:
        if child.poll() is None:
            try:
                child.wait(3)  # a terminal's Ctrl-C has reached the room, too
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def show(plan: Plan, results: list[Result], size: str) -> None:
    """Prints the rows for the table in docs/testing.md."""
    print(f"\nclean-room: {size} of disk; all output: {plan.log}")
    if not results:
        return
    print()
    print("| release | user | case | command | status | wall time | CPU time | what it said | machine |")
    print("|---|---|---|---|---|---|---|---|---|")
    for result in results:
        print("| " + " | ".join([
            plan.release, plan.user, ", ".join(plan.cases) or "plain", f"`{result.command}`",
            str(result.status), minutes(result.wall), minutes(result.cpu),
            result.said.replace("|", "\\|"), machine.describe()]) + " |", flush=True)


def minutes(time_taken: float) -> str:
    whole = round(time_taken)
    return f"{whole // 60} min {whole % 60:02} s" if whole >= 60 else f"{time_taken:.1f} s"
