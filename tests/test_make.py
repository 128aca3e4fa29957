# SPDX-License-Identifier: GPL-2.0-only
"""The front door: what make answers to a user, above all to one who has made a mistake."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conftest import Make
from guests import PATIENCE
from places import TOP, Places

pytestmark = pytest.mark.frontdoor

TARGETS = {"help", "run", "shell", "debug", "bench", "stress", "soak", "check", "test", "mutants",
           "farm", "lint", "unit",
           "new-driver", "deb", "deb-test", "header", "module", "verify", "image", "run-image", "flash", "defconfigs", "upstream",
           "upstream-check", "kernel", "setup", "doctor", "rust-analyzer", "clean-room", "clean", "distclean"}
VARIABLES = {"BOARD", "OVERLAY", "RUN", "SMP", "MEM", "CPU", "QEMU_ARGS", "APPEND", "DTS",
             "TIMEOUT", "TESTS", "BUSYBOX", "KERNEL", "KERNEL_SRC", "SELFTEST", "MUTANT", "PEER_KO",
             "PEER_DEV", "PEER_PARAMS",
             "DEBUG", "SEED", "OPS", "PROCS", "CYCLES", "BOARDS", "BOOTS", "LG_ENV", "DEV", "IMAGE_FILE",
             "YES", "FORCE_LOOP", "BUILDROOT", "BUILDROOT_CONFIG", "BUILDROOT_RUST",
             "ROOM", "NAME", "DIR", "WITH", "CASE"}
# The environment of many machines has these for something else.
NOT_FROM_THE_ENVIRONMENT = {"NAME", "DIR", "WITH"}


@pytest.mark.parametrize("arguments", [(), ("help",)], ids=["make", "make help"])
def test_help_lists_everything(make: Make, arguments: tuple[str, ...]) -> None:
    done = make(*arguments)
    assert done.returncode == 0, done.stdout
    assert set(re.findall(r"^make ([\w-]+) +\w", done.stdout, re.MULTILINE)) == TARGETS
    assert set(re.findall(r"^ +([A-Z_]+)=", done.stdout, re.MULTILINE)) == VARIABLES


def test_every_target_has_help() -> None:
    """A target that make knows, and a user could mean, has its line."""
    makefile = (TOP / "Makefile").read_text()
    assert set(re.findall(r"^([a-z][a-z-]*):(?!=)", makefile, re.MULTILINE)) == TARGETS


MISTAKES = {
    "target": (("rum",), "rum"),
    "variable": (("run", "SPM=4"), "SPM"),
    "variable in lower case": (("run", "smp=4"), "smp"),
    "board": (("run", "BOARD=qemu-vert"), "qemu-vert"),
    "boards": (("test", "BOARDS=qemu-virt-arm pi"), "BOARDS=pi"),
    "boots": (("soak", "BOOTS=all"), "BOOTS=all"),
    "mutant": (("module", "MUTANT=wrong-pag"), "wrong-pag"),
    "mutant without the self-test": (("run", "MUTANT=cacheable", "SELFTEST=0"), "SELFTEST=0 MUTANT=cacheable"),
    "kernel's sources": (("module", "KERNEL_SRC=/no/such"), "/no/such"),
    "debug": (("run", "DEBUG=2"), "DEBUG=2"),
    "self-test": (("module", "SELFTEST=yes"), "SELFTEST=yes"),
    "debug of both": (("test", "DEBUG=1"), "both kernels"),
    "kernel": (("run", "KERNEL=fedora"), "KERNEL=fedora: there is debian debian-16k debian-rt"),
    "two kernels": (("run", "KERNEL=debian debian-rt"), "KERNEL=debian debian-rt: there is"),
    "kernel of another board": (("run", "KERNEL=debian", "BOARD=raspberrypi4-64"), "KERNEL= is for qemu-virt-arm64"),
    "kernel and its sources": (("run", "KERNEL=debian", "KERNEL_SRC=docs"), "give one of the two"),
    "debug kernel of a distribution": (("run", "KERNEL=debian", "DEBUG=1"), "give one of the two"),
    "tests of a distribution's kernel": (("test", "KERNEL=debian"), "make test does not take KERNEL="),
    "patched kernel of another board": (("upstream-check", "BOARD=raspberrypi4-64"), "make upstream-check builds"),
    "seed": (("stress", "SEED=lucky"), "lucky"),
    "operations": (("stress", "OPS=0"), "OPS=0"),
    "cycles": (("stress", "CYCLES=some"), "CYCLES=some"),
    "processes": (("stress", "PROCS=65"), "PROCS=65"),
    "number": (("run", "SMP=many"), "many"),
    "memory": (("run", "MEM=lots"), "lots"),
    "CPU": (("run", "CPU=z80"), "z80"),
    "overlay": (("run", "OVERLAY=/no/such"), "/no/such"),
    "device tree": (("run", "DTS=/no/such.dtso"), "/no/such.dtso"),
    "board on the desk": (("test", "LG_ENV=/no/such.yaml"), "/no/such.yaml"),
    "answer": (("flash", "YES=yes"), "YES=yes"),
    "card": (("flash", "DEV=/no/such", "IMAGE_FILE=Makefile"), "/no/such: No such file"),
    "Buildroot": (("image", "BUILDROOT=/no/such"), "/no/such"),
    "no Buildroot": (("image", "BUILDROOT=docs"), "no source tree of Buildroot"),
    "Buildroot's configuration": (("image", "BUILDROOT_CONFIG=/no/such"), "/no/such"),
    "Rust of the image": (("image", "BUILDROOT_RUST=mine"), "BUILDROOT_RUST=mine: it is host or buildroot"),
    "no Rust of the image": (("image", "BUILDROOT_RUST="), "BUILDROOT_RUST=: it is host or buildroot"),
    "peer": (("bench", "PEER_KO=/no/such.ko"), "/no/such.ko"),
    "peer's devices": (("bench", "PEER_DEV=/dev/x"), "give both"),
    "time limit": (("run", "TIMEOUT=soon"), "soon"),
}


# What only QEMU or the kernel's build can refuse.
LATE = {"CPU", "peer", "peer's devices"}
CASES = [
    pytest.param(*mistake, id=name, marks=[pytest.mark.kernel] if name in LATE else [])
    for name, mistake in MISTAKES.items()
]


@pytest.mark.parametrize(("arguments", "named"), CASES)
def test_mistake_is_named(make: Make, arguments: tuple[str, ...], named: str) -> None:
    done = make(*arguments)
    assert done.returncode != 0, done.stdout
    assert named in done.stdout
    assert "Linux version" not in done.stdout, "a guest was booted all the same"


ARGUMENTS_ALONE = {"DEV", "IMAGE_FILE", "YES", "FORCE_LOOP"}
# Shows what a variable comes to, as recipes see it.
SHOW = ("--silent", "--eval=show: ; @printf '[%s]\\n' \"$$SHOWN\"",
        "--eval=export SHOWN = $(value $(WHICH))", "show")


def show(make: Make, name: str, *arguments: str, **environment: str) -> tuple[str, str]:
    """The value of a variable, and what make said before."""
    done = make(*SHOW, f"--eval=WHICH := {name}", *arguments, **environment)
    assert done.returncode == 0, done.stdout
    said, _, value = done.stdout.rpartition("[")
    return value.removesuffix("]\n"), said


# What is valid where not every text is; for the others what neither make nor a shell may look into.
VALID = {"BOARD": "raspberrypi4-64", "BOARDS": "raspberrypi4-64", "DEBUG": "1", "YES": "1",
         "FORCE_LOOP": "1", "KERNEL": "debian-16k", "BUILDROOT_RUST": "buildroot", "SELFTEST": "0", "MUTANT": "cacheable"}
ANY = "a  b$$ $(shell echo c) `echo d` 'e' #f"


@pytest.mark.parametrize("name", sorted(VARIABLES - NOT_FROM_THE_ENVIRONMENT))
def test_variable_of_the_environment_counts(make: Make, name: str) -> None:
    given = VALID.get(name, ANY)
    default, silence = show(make, name)
    assert given != default and silence == ""
    value, said = show(make, name, **{name: given})
    assert value == given
    assert f"faultline: {name}={given} (from the environment)\n" in said


@pytest.mark.parametrize("name", sorted(NOT_FROM_THE_ENVIRONMENT))
def test_variable_of_the_environment_that_is_not_for_us(make: Make, name: str) -> None:
    assert show(make, name, **{name: "elsewhere"}) == ("", "")


@pytest.mark.parametrize("name", sorted(VARIABLES))
def test_argument_outweighs_the_environment(make: Make, name: str) -> None:
    given = VALID.get(name, "argument")
    value, said = show(make, name, f"{name}={given}", **{name: "environment"})
    assert (value, said) == (given, "")


def test_empty_variable_of_the_environment_is_not_set(make: Make) -> None:
    for name in VARIABLES:
        assert show(make, name, **{name: ""}) == show(make, name), name


def test_board_of_the_environment(make: Make) -> None:
    """What was ignored without a word."""
    done = make("--just-print", "run", BOARD="raspberrypi4-64")
    assert "--board raspberrypi4-64" in done.stdout
    wrong = make("run", BOARD="raspberry")
    assert wrong.returncode != 0 and "BOARD=raspberry: there is" in wrong.stdout


@pytest.mark.parametrize("name", sorted(ARGUMENTS_ALONE))
def test_card_is_named_by_the_call(make: Make, name: str) -> None:
    """`YES=1` of another program's, or a `DEV` forgotten an hour ago, must not overwrite anything."""
    done = make("flash", **{name: "1"})
    assert done.returncode != 0
    assert f"{name} is set in the environment: make flash takes it as an argument alone" in done.stdout


def test_environment_does_not_replace_what_is_not_for_the_user(make: Make) -> None:
    refused = make("--environment-overrides", "help")
    assert refused.returncode != 0 and "make -e" in refused.stdout
    plain = make("--just-print", "kernel", "run")
    leaks = {"ARCH": "mips", "CROSS_COMPILE": "x-", "OUT": "/no/such", "IMAGE": "/no/such", "SETUP": "false",
             "KERNEL_ENV": "/no/such", "TOOLS": "/no/such", "DEFAULT_BOARD": "x", "SHELL": "/bin/false"}
    assert make("--just-print", "kernel", "run", **leaks).stdout == plain.stdout


def test_shell_of_the_user_has_no_say(make: Make, tmp_path: Path) -> None:
    """Startup files, functions and options of the user's shells; options for GNU's tools."""
    (tmp_path / "poison").write_text("echo poisoned; exit 9\n")
    poison = {"BASH_ENV": str(tmp_path / "poison"), "ENV": str(tmp_path / "poison"), "CDPATH": "/usr:/",
              "SHELLOPTS": "noexec", "BASH_FUNC_sed%%": "() { echo poisoned; exit 9; }", "POSIXLY_CORRECT": "1",
              "BASH_FUNC_board/common/setup%%": "() { echo poisoned; }", "GREP_OPTIONS": "--count",
              "PYTHONHOME": "/no/such", "PYTHONPATH": str(tmp_path), "QEMU_AUDIO_DRV": "none",
              "LANGUAGE": "de"}
    done = make("build/qemu-virt-arm64/tools.env", **poison)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout
    # make itself speaks the language of its user.
    told, untold = (make("run", "SMP=many", **given).stdout for given in (poison, {}))
    assert told.splitlines()[0] == untold.splitlines()[0]


def test_parallel_and_pedantic_make(make: Make) -> None:
    """Options that users have in MAKEFLAGS."""
    done = make("build/qemu-virt-arm64/tools.env", MAKEFLAGS="-j8 --warn-undefined-variables")
    assert (done.returncode, done.stdout) == (0, ""), done.stdout


@pytest.mark.kernel
def test_verdict_is_the_status_of_make(make: Make) -> None:
    version = "RUN=/bin/faultline-verify --version"
    good = make("-j8", "run", version, "SMP=1", "APPEND=faultline.test=1 quiet")
    assert good.returncode == 0, good.stdout
    assert re.search(r"^faultline-verify \d", good.stdout, re.MULTILINE), good.stdout
    bad = make("run", "RUN=/bin/faultline-verify --nonsense")
    assert bad.returncode != 0
    assert "run: the guest's exit status is 2" in bad.stdout


@pytest.mark.kernel
def test_paths_with_spaces(make: Make, tmp_path: Path) -> None:
    overlay = tmp_path / "an overlay's $files"
    (overlay / "etc").mkdir(parents=True)
    (overlay / "etc/a 'file'").write_text("its contents\n")
    dts = tmp_path / "a tree's $source.dtso"
    shutil.copy(TOP / "dts/qemu-virt.dtso", dts)
    done = make("shell", f"OVERLAY={overlay}", f"DTS={dts}", stdin="cat \"/etc/a 'file'\"\n")
    assert done.returncode == 0, done.stdout
    assert "\nits contents\n" in done.stdout.replace("\r", "")


@pytest.mark.kernel
def test_shell_has_the_module_and_the_program(make: Make) -> None:
    """At a terminal; the shell's status is make's."""
    with make.at_terminal("shell") as terminal:
        terminal.expect("Ctrl-A X ends QEMU")
        terminal.expect(r"^\S+ # ")
        terminal.type("ls /dev/faultline0 && /bin/faultline-verify --version && exit 7\n")
        status = terminal.end()
    assert status != 0
    assert re.search(r"^faultline-verify \d", terminal.said, re.MULTILINE), terminal.said
    assert "run: the guest's exit status is 7" in terminal.said


@pytest.mark.kernel
@pytest.mark.parametrize(("given", "status"), [("exit 7", 7), ("false", 1), ("true", 0)])
def test_shell_without_a_terminal(make: Make, given: str, status: int) -> None:
    """All commands arrive as they are; their end, with a line's or without, is the end of the guest."""
    done = make("shell", stdin=f"ls /dev/faultline0\necho \"<'a' \tline's text>\"\n{given}")
    said = done.stdout.replace("\r", "")
    assert "\n/dev/faultline0\n" in said, said
    assert "\n<'a' \tline's text>\n" in said, said
    assert (done.returncode != 0) == (status != 0)
    assert f"\nfaultline: exit status {status}\n" in said
    assert "Ctrl-A" not in said, "nobody is there to press it"


@pytest.mark.kernel
def test_shell_without_a_terminal_takes_large_input(make: Make, tmp_path: Path) -> None:
    """More than any buffer of a terminal's or a pipe's has room for."""
    script = tmp_path / "script"
    script.write_text(f": {'x' * 70}\n" * 40_000 + "echo end of it\n")
    assert script.stat().st_size > 2 << 20
    with script.open("rb") as given:
        done = make("shell", stdin=given)
    assert done.returncode == 0, done.stdout
    assert "\nend of it\n" in done.stdout.replace("\r", "")


@pytest.mark.kernel
@pytest.mark.parametrize("redirection", ["</dev/null", "<&-"])
def test_shell_without_any_input(make: Make, redirection: str) -> None:
    done = subprocess.run(
        ["bash", "-c", f"exec make shell {redirection}"], cwd=TOP, env=make.environment,
        capture_output=True, text=True, timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "faultline: exit status 0" in done.stdout


@pytest.fixture
def own_overlay(guest_test: str, tmp_path: Path) -> str:
    """The overlay of the guest's test program, at a place by which this test's processes are known:
    other workers boot with the common one."""
    return str(shutil.copytree(guest_test.removeprefix("--overlay="), tmp_path / "overlay", symlinks=True))


@pytest.mark.kernel
def test_interrupt_ends_everything(make: Make, own_overlay: str) -> None:
    """Ctrl-C at the terminal of `make run`: make, the runner and QEMU are gone."""
    overlay = own_overlay
    with make.at_terminal("run", f"OVERLAY={overlay}", "RUN=/bin/faultline-guest-test hang") as terminal:
        terminal.expect(r"/dev/faultline0: ")
        session = set(processes(overlay))
        assert any(b"run.py" in process for process in session), session
        terminal.type("\x03")
        status = terminal.end()
    assert status != 0
    assert "run: SIGINT ended the run" in terminal.said
    assert left(overlay) == []


@pytest.mark.kernel
def test_terminal_that_is_closed_ends_everything(make: Make, own_overlay: str) -> None:
    """Without a shell in it that passes SIGHUP on, as `xterm -e make shell` has none."""
    overlay = own_overlay
    with make.at_terminal("shell", f"OVERLAY={overlay}") as terminal:
        terminal.expect("Ctrl-A X ends QEMU")
        assert processes(overlay)
    assert left(overlay) == []


def left(word: str) -> list[bytes]:
    """The processes of a run that is over; each has its time to end."""
    deadline = time.monotonic() + PATIENCE
    while (found := processes(word)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def processes(word: str) -> list[bytes]:
    """The command lines that have a word in them; and those of the processes that they have begun."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            argv = (process / "cmdline").read_bytes()
            parent = Path("/proc", (process / "stat").read_text().rpartition(")")[2].split()[1])
            if word.encode() in argv or word.encode() in (parent / "cmdline").read_bytes():
                found.append(argv)
        except OSError:
            continue  # it has ended
    return found


def test_tree_that_cannot_be_written(make: Make, tmp_path: Path) -> None:
    """A read-only checkout. Root drops the capability that overrides permissions."""
    tree = tmp_path / "tree"
    for name in ("Makefile", "board/common/project.env", "board/common/cache.sh",
                 "board/qemu-virt-arm64/board.env"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(TOP / name, tree / name)
    tree.chmod(0o555)
    done = subprocess.run(
        ["setpriv", *(["--bounding-set=-dac_override"] if os.geteuid() == 0 else []), "make", "run"],
        cwd=tree, env=make.environment, capture_output=True, text=True, timeout=PATIENCE,
    )
    tree.chmod(0o755)
    assert done.returncode != 0
    error, *rest = done.stderr.splitlines()
    assert error.startswith(f"faultline: error: {tree}/build/qemu-virt-arm64 cannot be written"), error
    assert all(line.startswith("make: ***") for line in rest), done.stderr


def test_pytest_of_the_user_has_no_say(make: Make, tmp_path: Path) -> None:
    """Plugins in the user's site-packages, and what the environment has for Python and pytest."""
    home, machine = tmp_path / "home", Path.home()
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = home / ".local/lib" / version / "site-packages"
    (site / "poison-1.dist-info").mkdir(parents=True)
    (site / "poison-1.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: poison\nVersion: 1\n")
    (site / "poison-1.dist-info/entry_points.txt").write_text("[pytest11]\npoison = poison\n")
    for name in ("poison", "libfdt", "usercustomize"):
        (site / f"{name}.py").write_text("raise SystemExit('poisoned')\n")
    done = make(
        "check", "TESTS=--collect-only --quiet test_cache.py", HOME=str(home),
        XDG_CACHE_HOME=os.environ.get("XDG_CACHE_HOME", str(machine / ".cache")),
        RUSTUP_HOME=os.environ.get("RUSTUP_HOME", str(machine / ".rustup")),
        CARGO_HOME=os.environ.get("CARGO_HOME", str(machine / ".cargo")),
        PYTHONPATH=str(site), PYTHONSTARTUP=str(site / "poison.py"), PYTHONOPTIMIZE="2",
        PYTEST_ADDOPTS="--no-such-option", PYTEST_PLUGINS="no_such_plugin",
    )
    assert done.returncode == 0, done.stdout
    assert "test_cache.py" in done.stdout and "poison" not in done.stdout, done.stdout


CARGO_CONFIG = """\
[build]
rustflags = ["-Cpoison"]
[source.crates-io]
replace-with = "mirror"
[target.aarch64-unknown-linux-gnu]
linker = "poison"
[source.mirror]
registry = "sparse+https://mirror.example/"
[http]
proxy = "proxy.example:1"
[alias]
build = "poison"
"""
PIP_CONFIG = "[global]\nindex-url = https://mirror.example/\nuser = poison\n[install]\nprefix = poison\n"


@pytest.mark.parametrize("status", [0, 2])
def test_continuous_integration_finds_no_warm_caches(tmp_path: Path, status: int) -> None:
    """`.ci/run` calls `make test`, here another make, which says what it was given."""
    home, programs, seen = (tmp_path / name for name in ("home", "bin", "seen"))
    for name, text in {".cargo/config.toml": CARGO_CONFIG, ".cargo/registry/poison": "", ".rustup/x": "",
                       ".config/pip/pip.conf": PIP_CONFIG, ".cache/pip/poison": "",
                       ".cache/faultline/cargo/registry/poison": ""}.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
    programs.mkdir()
    (programs / "make").write_text(
        f'#!/bin/sh\nenv >{seen}; ls -A "$HOME" >{seen}.home; find "$CARGO_HOME" -type f >{seen}.cargo\n'
        f'cat "$CARGO_HOME/config.toml" "$PIP_CONFIG_FILE" >{seen}.config; echo "make $*"; exit {status}\n'
    )
    (programs / "make").chmod(0o755)
    done = subprocess.run(
        [TOP / ".ci/run"], text=True, capture_output=True, timeout=PATIENCE,
        env={"PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(home), "TMPDIR": str(tmp_path)},
    )
    assert (done.returncode, done.stdout) == (status, "make test\n"), done.stderr
    env = dict(line.split("=", 1) for line in seen.read_text().splitlines())
    assert (env["CI"], env["RUSTUP_HOME"]) == ("true", str(home / ".rustup"))
    assert env["XDG_CACHE_HOME"] == str(home / ".cache"), "Faultline's own cache stays"
    assert not Path(env["OWN_CARGO_HOME"]).is_relative_to(home), "but not cargo's in it, which has no key"
    assert env["PIP_CACHE_DIR"] != str(home / ".cache/pip")
    assert Path(f"{seen}.home").read_text() == ""
    assert Path(f"{seen}.cargo").read_text() == f"{env['CARGO_HOME']}/config.toml\n"
    config = Path(f"{seen}.config").read_text()
    assert "poison" not in config and config.count("mirror.example") == 2 and "proxy.example" in config
    assert not Path(env["HOME"]).exists(), "it cleans up"


def test_doctor(make: Make) -> None:
    """It runs, and names what this very run was built with."""
    done = make("doctor")
    assert done.returncode == 0, done.stdout
    for tool in ("rustc", "LLVM", "bindgen", "python3", "QEMU", "linux"):
        assert re.search(rf"^ *ok +{tool} +.*\d+\.\d+", done.stdout, re.MULTILINE), done.stdout
    assert re.search(r"^ *(?:ok|get|none) +debian +.*KERNEL=debian", done.stdout, re.MULTILINE), done.stdout


@pytest.mark.kernel
def test_nothing_is_made_twice(make: Make, places: Places) -> None:
    """With nothing changed, neither the module nor the program is written again."""
    made = [places.module, places.verify]
    assert make("-s", "module", "verify").returncode == 0
    before = [path.stat().st_mtime_ns for path in made]
    assert make("-s", "module", "verify").returncode == 0
    assert [path.stat().st_mtime_ns for path in made] == before
