# SPDX-License-Identifier: GPL-2.0-only
"""The first process of a clean room's namespaces: mounts, prepares, runs the commands.

`clean-room` starts it with a JSON file that has the fields of Plan. When this process ends, the
kernel ends every process of the room and removes the mounts.
"""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import signal
import socket
import stat
import subprocess
import textwrap
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from project import PROJECT, VERIFY

from . import terminal
from .cases import CASES, NEWCOMER, PASSWORD, PRELUDE, Case

LOCK_SECONDS = 60
PREPARE_SECONDS = 1800  # for each script, of which the longest install a few packages
LOOP_DEVICES = 32
BUNDLE = f"srv/{PROJECT}.bundle"
CHANGES = "srv/changes.tar"
DISK_GROUP = 6  # on every Debian
# mknod: name, major, minor
NODES = [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9),
         ("tty", 5, 0)]


@dataclass(frozen=True)
class Plan:
    room: str  # the directory: root/ is in it
    release: str
    user: str  # root or sudo
    cases: list[str]
    mirror: str
    security: str
    proxies: dict[str, str]
    commands: list[str]  # arguments of make
    ci: bool
    timeout: float
    log: str
    shell: bool
    prepared: bool  # the room has been used before
    deleted: list[str]  # files of the checkout that are to be deleted there


@dataclass(frozen=True)
class Result:
    command: str
    status: int
    wall: float
    cpu: float
    said: str  # the line with the verdict, or why it was given up
    left: list[str]  # processes that were still there


class Failed(Exception):
    pass


def main(file: str, lock: int) -> int:
    plan = Plan(**json.loads(Path(file).read_text()))
    # The lock says that the room is in use, as long as this process has it.
    os.set_inheritable(lock, False)
    # The first process of a PID namespace gets only those signals that it asks for.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    os.umask(0o022)
    with open(plan.log, "a", encoding="utf-8") as log:
        room = Room(plan, terminal.Transcript(log))
        try:
            return room.run()
        except Failed as error:
            room.transcript.line(f"clean-room: error: {error}")
            return 3
        except KeyboardInterrupt:
            room.transcript.line("clean-room: interrupted")
            return 130


class Room:
    def __init__(self, plan: Plan, transcript: terminal.Transcript) -> None:
        self.plan = plan
        self.transcript = transcript
        self.root = Path(plan.room) / "root"
        self.cases: list[Case] = [CASES[name] for name in plan.cases]
        self.login = "root" if plan.user == "root" else NEWCOMER
        self.tree = f"{home(self.login)}/{PROJECT}"
        self.lock_holder = 0

    def run(self) -> int:
        socket.sethostname("clean-room")
        self.mount()
        if not self.plan.prepared:
            self.prepare()
        results = []
        for command in self.plan.commands:
            self.hold_locks()
            results.append(self.make(command))
        (Path(self.plan.room) / "results.json").write_text(json.dumps([asdict(r) for r in results]))
        if self.plan.shell:
            self.transcript.line(f"a shell in the room, in {self.tree}; `exit` ends it")
            terminal.interact(self.root / "dev", lambda: self.become("exec bash --login"))
        return 1 if any(result.status for result in results) else 0

    # What the kernel gives a machine.

    def mount(self) -> None:
        root = self.root
        for arguments in (
            ["--bind", root, root],
            ["-t", "proc", "-o", "nosuid,nodev,noexec", "proc", root / "proc"],
            ["-t", "sysfs", "-o", "ro,nosuid,nodev,noexec", "sysfs", root / "sys"],
            ["-t", "tmpfs", "-o", "mode=755,nosuid", "tmpfs", root / "dev"],
            ["-t", "tmpfs", "-o", "mode=755,nosuid,nodev", "tmpfs", root / "run"],
        ):
            mount(*arguments)
        dev = root / "dev"
        for name in ("pts", "shm"):
            (dev / name).mkdir()
        mount("-t", "devpts", "-o", "newinstance,ptmxmode=666,mode=620,gid=5", "devpts", dev / "pts")
        mount("-t", "tmpfs", "-o", "mode=1777,nosuid,nodev", "tmpfs", dev / "shm")
        for name, major, minor in NODES:
            node(dev / name, stat.S_IFCHR | 0o666, major, minor)
        self.loop_devices(dev)
        for name, target in (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"),
                             ("stderr", "fd/2"), ("ptmx", "pts/ptmx")):
            (dev / name).symlink_to(target)
        (root / "run/lock").mkdir(mode=0o1777)
        (root / "run/lock").chmod(0o1777)
        # This process looks for stopped ones, of which the room's /proc knows.
        mount("-t", "proc", "proc", "/proc")

    @staticmethod
    def loop_devices(dev: Path) -> None:
        """If this machine has loop devices, the room has them, because users and tests expect
        them."""
        control = Path("/dev/loop-control")
        if not control.exists():
            return
        node(dev / control.name, stat.S_IFCHR | 0o660, 10, 237)
        partitions = Path("/sys/module/loop/parameters/max_part")
        if partitions.exists() and int(partitions.read_text()):
            return
        for number in range(LOOP_DEVICES):
            node(dev / f"loop{number}", stat.S_IFBLK | 0o660, 7, number)
            os.chown(dev / f"loop{number}", 0, DISK_GROUP)

    # What the machine's administrator has done.

    def prepare(self) -> None:
        plan = self.plan
        lines = sources(plan.release, plan.mirror, plan.security)
        (self.root / "etc/apt/sources.list").write_text("\n".join(lines) + "\n")
        (self.root / "etc/hostname").write_text("clean-room\n")
        (self.root / "etc/hosts").write_text("127.0.0.1 localhost clean-room\n::1 localhost\n")
        if self.login != "root":
            self.script("the user", f"""
                useradd --create-home --shell /bin/bash {NEWCOMER}
                echo {NEWCOMER}:{PASSWORD} | chpasswd
                echo '{NEWCOMER} ALL=(ALL:ALL) NOPASSWD: ALL' >/etc/sudoers.d/{NEWCOMER}
            """, as_root=True)
        for name, case in zip(plan.cases, self.cases):
            self.transcript.line(f"case {name}: {case.why}")
            self.script(f"case {name}", case.as_root, as_root=True)
            self.script(f"case {name}", case.as_user)
            self.script(f"case {name}", f"cat >>~/.profile <<'END'\n{dedent(case.profile)}\nEND"
                        if case.profile else "")
        self.checkout()

    def checkout(self) -> None:
        self.script("git clone", f"git clone --quiet /{BUNDLE} {shlex.quote(self.tree)}", login_shell=True)
        if (self.root / CHANGES).exists():
            self.script("uncommitted changes", f"tar --extract --file /{CHANGES}", cwd=self.tree)
        if self.plan.deleted:
            self.script("uncommitted changes", "rm -- " + shlex.join(self.plan.deleted), cwd=self.tree)
        for name, case in zip(self.plan.cases, self.cases):
            self.script(f"case {name}", case.in_tree, cwd=self.tree)
            self.script(f"case {name}", case.tree_as_root, cwd=self.tree, as_root=True)

    def script(self, what: str, text: str, *, as_root: bool = False, cwd: str = "",
               login_shell: bool = False) -> None:
        """Has bash run a script in the room; shows its output only if it fails."""
        if not text:
            return
        login = "root" if as_root else self.login
        extra = {"RELEASE": self.plan.release, "MIRROR": self.plan.mirror}
        try:
            done = subprocess.run(
                self.enter(login, [*["--login"] * login_shell, "-c", PRELUDE + dedent(text)],
                           cwd=cwd, extra=extra),
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                check=False, timeout=PREPARE_SECONDS,
            )
        except subprocess.TimeoutExpired:
            raise Failed(f"{what}: not at its end after {PREPARE_SECONDS} s") from None
        if done.returncode:
            for line in done.stdout.decode(errors="replace").splitlines()[-20:]:
                self.transcript.line(f"    {line}")
            raise Failed(f"{what}: the room could not be prepared (status {done.returncode})")

    def enter(self, login: str, bash: list[str], *, cwd: str = "",
              extra: dict[str, str] | None = None) -> list[str]:
        """The command that runs bash in the room, with the environment of a login."""
        administrator = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        environment = {
            "HOME": home(login), "USER": login, "LOGNAME": login, "SHELL": "/bin/bash", "TERM": "xterm",
            "LANG": "C.UTF-8", **self.plan.proxies, **(extra or {}),
            "PATH": administrator if login == "root" else "/usr/local/bin:/usr/bin:/bin",
        }
        return ["chroot", f"--userspec={login}:{login}", str(self.root),
                "/usr/bin/env", "--ignore-environment", f"--chdir={cwd or home(login)}",
                *(f"{name}={value}" for name, value in environment.items()), "/bin/bash", *bash]

    # What the newcomer does.

    def become(self, command: str) -> None:
        """Turns this process into a login shell of the room that runs the command."""
        extra = {"CI": "true"} if self.plan.ci else {}
        argv = self.enter(self.login, ["--login", "-c", command], cwd=self.tree, extra=extra)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.execvp(argv[0], argv)

    def make(self, command: str) -> Result:
        words = shlex.join(["make", *shlex.split(command)])
        self.transcript.line(f"$ {words}")
        done = terminal.run(
            self.root / "dev", lambda: self.become(f"exec {words}"), with_terminal=not self.plan.ci,
            timeout=self.plan.timeout, typed=terminal.answers(PASSWORD), transcript=self.transcript,
        )
        left = processes(but=self.lock_holder)
        terminal.end_all()
        said = done.gave_up or verdict(done.lines)
        self.transcript.line(
            f"status {done.status}, {done.wall:.1f} s, CPU time {done.cpu:.1f} s"
            + (f": {done.gave_up}" if done.gave_up else "")
            + (f"; still running: {', '.join(left)}" if left and not done.gave_up else ""))
        return Result(words, done.status, done.wall, done.cpu, said, left)

    def hold_locks(self) -> None:
        """Locks files as another program on the machine would, in a process of its own."""
        names = [name for case in self.cases for name in case.locks]
        if not names:
            return
        holding, held = os.pipe()
        self.lock_holder = os.fork()
        if self.lock_holder == 0:
            files = [(self.root / name).open("w") for name in names]
            for file in files:
                fcntl.lockf(file, fcntl.LOCK_EX)
            os.write(held, b"!")
            time.sleep(LOCK_SECONDS)
            os._exit(0)
        os.close(held)
        if not os.read(holding, 1):
            raise Failed(f"{', '.join(names)} could not be locked")
        os.close(holding)


def home(login: str) -> str:
    """The home directory of this user of the room."""
    return "/root" if login == "root" else f"/home/{login}"


def sources(release: str, mirror: str, security: str) -> list[str]:
    """Lines of sources.list like those of Debian's installer, with the component main only."""
    return [f"deb {mirror} {release} main", f"deb {mirror} {release}-updates main",
            f"deb {security} {release}-security main"]


def dedent(text: str) -> str:
    return textwrap.dedent(text.strip("\n"))


def mount(*arguments: str | Path) -> None:
    subprocess.run(["mount", *arguments], check=True)


def node(path: Path, mode: int, major: int, minor: int) -> None:
    os.mknod(path, mode, os.makedev(major, minor))
    path.chmod(stat.S_IMODE(mode))  # whatever the umask is


def processes(but: int) -> list[str]:
    """The names of all processes of the room, except this one and that one."""
    found = []
    for comm in Path("/proc").glob("[0-9]*/comm"):
        if int(comm.parent.name) not in (1, but):
            try:
                found.append(comm.read_text().strip())
            except OSError:
                pass
    return sorted(found)


def verdict(lines: list[str]) -> str:
    """The line that summarises the output: the verification's, pytest's, or the first error."""
    for line in reversed(lines):
        if line.startswith(f"{VERIFY}: ") or (
                line.startswith("=") and line.endswith("=")
                and any(word in line for word in (" passed", " failed", " error"))):
            return line.strip("= ")
    for number, line in enumerate(lines):
        if line.startswith((f"{PROJECT}: error: ", "E: ")):
            # What follows a colon is in the next lines.
            return " ".join([line, *map(str.strip, lines[number + 1 : number + 2])] if line.endswith(":")
                            else [line])
    return ""

