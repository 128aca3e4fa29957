# SPDX-License-Identifier: GPL-2.0-only
"""Buffers that are made at run time, by directories of configfs: what they are, what is refused, what the
log says, the life of the module; and drivers that are broken on purpose.

What needs a mapping or a race is a case of faultline-stress (userspace/stress/src/cases/run_time.rs)."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

import ktap
from conftest import Make
from guests import Boot, Run, shell
from places import SETUP, TOP, Places
from test_memory import mutant, tree, verdict

pytestmark = pytest.mark.boot

CASES = ["run_time", "run_time_refuses", "run_time_at_once", "run_time_without_memory"]

# Each attempt is one line: what was to be done, and what was wrong with it.
PRELUDE = """
mount -t configfs none /sys/kernel/config
cd /sys/kernel/config/faultline
try() { echo "try $*: $("$@" 2>&1 | sed 's/.*: //')"; }
put() { echo "put $1=$2: $( (echo "$2" >"$1") 2>&1 | sed 's/.*: //')"; }
get() { echo "get $1=$(cat "$1" 2>&1 | sed 's/.*: //')"; }
labels() { echo "labels $1: $(cat /sys/class/misc/faultline*/label 2>/dev/null | sort | tr '\\n' ' ')"; }
"""


def script(directory: Path, body: str) -> list[str]:
    return shell(directory, PRELUDE + body)


def said(run: Run) -> list[str]:
    """The lines of the functions above."""
    return re.findall(r"^(?:try|put|get|labels) .*?(?= ?$)", run.console, re.MULTILINE)


def no_nodes(directory: Path) -> str:
    """A device tree without a buffer."""
    return tree(directory, {}, [])


KINDS = {
    "non-coherent": ("", "Normal non-cacheable", "Normal non-cacheable"),
    "coherent": ("put one/coherent 1", "Normal write-back", "Normal write-back"),
    "cached": ("put one/cached 1", "Normal write-back", "Normal write-back"),
    "64 bits": ("put one/dma_mask_bits 64", "Normal non-cacheable", "Normal non-cacheable"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_verified(boot: Boot, places: Places, tmp_path: Path, kind: str) -> None:
    """A buffer is as good as one of a node, says the verifier."""
    setting, user, kernel = KINDS[kind]
    run = boot(no_nodes(tmp_path), *script(tmp_path, f"""
mkdir one
put one/size 4194304
{setting}
put one/enable 1
exec /bin/faultline-verify
"""))
    assert verdict(run) == (0, ""), run
    report = ktap.parse(ktap.of_programs(run.console), places.kernel_source)
    assert (report.errors, report.not_ok) == (0, set()), run
    assert ("/dev/faultline0", "attribute_user") in report.ok, run
    row = re.search(r"^# /dev/faultline0 \| 4194304 \| 0x[0-9a-f]+ \| ([^|]+) \| ([^|]+) \|", run.console,
                    re.MULTILINE)
    assert row and (row[1], row[2]) == (user, kernel), run


def test_attributes(boot: Boot, tmp_path: Path) -> None:
    """What is asked for and what is refused, by the answers of the calls."""
    long, longest = 64 * "a", 63 * "a"
    run = boot(no_nodes(tmp_path), *script(tmp_path, f"""
try mkdir .hidden
try mkdir 'two words'
try mkdir {long}
try mkdir {longest}
try mkdir camera.0
get camera.0/size
get camera.0/dma_mask_bits
get camera.0/cached
get camera.0/coherent
get camera.0/enable
get camera.0/device
put camera.0/size 0
put camera.0/size 5000
get camera.0/size
put camera.0/size 0x4000
get camera.0/size
put camera.0/enable 1
put camera.0/enable 1
get camera.0/enable
get camera.0/device
put camera.0/size 4096
get camera.0/size
labels enabled
get /sys/class/misc/faultline0/size
get /sys/class/misc/faultline0/coherent
put {longest}/enable 1
labels both
put camera.0/enable 0
get camera.0/device
labels one
try rmdir {longest}
labels none
try rmdir camera.0
"""))
    assert run.status == 0, run
    assert said(run) == [
        "try mkdir .hidden: Invalid argument",
        "try mkdir two words: Invalid argument",
        f"try mkdir {long}: Invalid argument",
        f"try mkdir {longest}:",
        "try mkdir camera.0:",
        "get camera.0/size=4096",
        "get camera.0/dma_mask_bits=32",
        "get camera.0/cached=0",
        "get camera.0/coherent=0",
        "get camera.0/enable=0",
        "get camera.0/device=",
        "put camera.0/size=0: Invalid argument",
        "put camera.0/size=5000:",
        "get camera.0/size=5000",
        "put camera.0/size=0x4000:",
        "get camera.0/size=16384",
        "put camera.0/enable=1:",
        "put camera.0/enable=1:",
        "get camera.0/enable=1",
        "get camera.0/device=faultline.0.auto",
        "put camera.0/size=4096: Device or resource busy",
        "get camera.0/size=16384",
        "labels enabled: camera.0",
        "get /sys/class/misc/faultline0/size=16384",
        "get /sys/class/misc/faultline0/coherent=0",
        f"put {longest}/enable=1:",
        f"labels both: {longest} camera.0",
        "put camera.0/enable=0:",
        "get camera.0/device=",
        f"labels one: {longest}",
        f"try rmdir {longest}:",
        "labels none:",
        "try rmdir camera.0:",
    ], run


def test_failing_probe(boot: Boot, tmp_path: Path) -> None:
    """`enable` returns the probe's own error, and the log says why. There is no other buffer of its label."""
    run = boot(tree(tmp_path, {}, ['label = "taken";']), *script(tmp_path, f"""
mkdir large taken narrow
put large/size {256 << 20}
put large/enable 1
put large/enable 1
get large/enable
put large/size 65536
put large/enable 1
put taken/enable 1
put narrow/dma_mask_bits 1
put narrow/enable 1
labels all
"""))
    assert run.status == 0, run
    assert said(run) == [
        f"put large/size={256 << 20}:",
        "put large/enable=1: Cannot allocate memory",
        "put large/enable=1: Cannot allocate memory",
        "get large/enable=0",
        "put large/size=65536:",
        "put large/enable=1:",
        "put taken/enable=1: File exists",
        "put narrow/dma_mask_bits=1:",
        "put narrow/enable=1: Input/output error",
        "labels all: large taken",
    ], run
    for name, error, reason in [
        ("large", -12, "size: cannot allocate 268435456 bytes of DMA memory"),
        ("taken", -17, "label: taken: another buffer has it, too"),
        ("narrow", -5, "dma-mask-bits: this machine has no memory that 1 bits reach"),
    ]:
        failed = re.findall(rf"platform (\S+): {name}: enable: the probe failed: error {error}$", run.console, re.M)
        assert failed and all(f"faultline {device}: {reason}" in run.console for device in failed), (name, run)


def test_driver_core(boot: Boot, tmp_path: Path) -> None:
    """Unbinding and binding by sysfs, and an open file that outlives each."""
    run = boot(no_nodes(tmp_path), *script(tmp_path, """
mkdir one
put one/enable 1
exec 3<>/dev/faultline0
bus=/sys/bus/platform/drivers/faultline
put $bus/bind $(cat one/device)
put $bus/unbind $(cat one/device)
try cat <&3
labels unbound
get one/enable
put one/enable 1
put one/size 8192
put $bus/bind $(cat one/device)
labels bound
put $bus/unbind $(cat one/device)
put one/enable 0
get one/enable
put one/enable 1
labels again
get one/device
exec 4<>/dev/faultline0
rmdir one
try cat <&4
labels none
put $bus/bind faultline.0.auto
"""))
    assert run.status == 0, run
    assert [re.sub(r"/sys/.*/faultline/", "", line) for line in said(run)] == [
        "put one/enable=1:",
        "put bind=faultline.0.auto: Device or resource busy",
        "put unbind=faultline.0.auto:",
        "try cat: No such device",
        "labels unbound:",
        "get one/enable=1",
        "put one/enable=1:",
        "put one/size=8192: Device or resource busy",
        "put bind=faultline.0.auto:",
        "labels bound: one",
        "put unbind=faultline.0.auto:",
        "put one/enable=0:",
        "get one/enable=0",
        "put one/enable=1:",
        "labels again: one",
        "get one/device=faultline.0.auto",
        "try cat: No such device",
        "labels none:",
        "put bind=faultline.0.auto: No such device",
    ], run


MODULE_SCRIPT = """
mkdir one
put one/enable 1
cd /
try rmmod faultline
exec 3<>/sys/kernel/config/faultline/one/size
rmdir /sys/kernel/config/faultline/one
try rmmod faultline
try ls /sys/kernel/config
# The file of an attribute that there is no longer, nor the module that had it.
try cat <&3
exec 3<&-
try insmod /lib/modules/faultline.ko
mkdir /sys/kernel/config/faultline/two
put /sys/kernel/config/faultline/two/enable 1
labels two
"""


@pytest.mark.parametrize("debug", [False, True], ids=["default", "debug"])
def test_module(places: Places, tmp_path: Path, debug: bool) -> None:
    """It stays while there is a directory, and goes when there is none."""
    if debug:
        places.need_debug_kernel()
    boot = Boot(places.debug if debug else places, tmp_path, 1800)
    run = boot(no_nodes(tmp_path), *script(tmp_path, MODULE_SCRIPT))
    assert verdict(run) == (0, ""), run
    assert said(run) == [
        "put one/enable=1:",
        "try rmmod faultline: Resource temporarily unavailable",
        "try rmmod faultline:",
        "try ls /sys/kernel/config:",
        "try cat: No such file or directory",
        "try insmod /lib/modules/faultline.ko:",
        "put /sys/kernel/config/faultline/two/enable=1:",
        "labels two: two",
    ], run


def test_module_without_it(boot: Boot, places: Places, make: Make, tmp_path: Path) -> None:
    """A module that is built without buffers at run time has no directory, and the others."""
    output = tmp_path / "module"
    built = subprocess.run(
        [SETUP, "module", output, "CONFIG_FAULTLINE_RUNTIME=", "CONFIG_FAULTLINE_SELFTEST=y"], cwd=TOP,
        env=make.environment, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT)
    assert built.returncode == 0, built.stdout
    assert "warning" not in built.stdout, built.stdout
    run = boot("--run=/bin/faultline-stress --part cases " + " ".join(f"--case {case}" for case in CASES),
               f"--overlay={places.stress.parents[1]}", module=output / "faultline.ko")
    assert verdict(run) == (0, ""), run
    assert len(run.devices()) == 2, run
    reason = "this driver makes no buffers at run time"
    assert len(re.findall(rf"# SKIP {reason}", run.console)) == len(CASES), run


def stress(places: Places, *options: str) -> list[str]:
    return [f"--overlay={places.stress.parents[1]}", "--smp=4", "--append=loglevel=5",
            f"--run=/bin/faultline-stress --seed 1 {' '.join(options)}"]


CHOSEN = ["--part cases", *(f"--case {case}" for case in CASES)]


@pytest.mark.parametrize("debug", [False, True], ids=["default", "debug"])
def test_cases(places: Places, tmp_path: Path, debug: bool) -> None:
    """Mappings, races, failing allocations."""
    if debug:
        places.need_debug_kernel()
    boot = Boot(places.debug if debug else places, tmp_path, 1800)
    run = boot(*stress(places, *CHOSEN, "--case no_memory_is_forgotten"))
    assert verdict(run) == (0, ""), run
    report = ktap.parse(run.console, places.kernel_source)
    assert (report.errors, report.not_ok) == (0, set()), run
    wanted = CASES + ["no_memory_is_forgotten"] if debug else CASES[:-1]
    assert {("machine", case) for case in wanted} <= report.ok, run


@pytest.mark.parametrize("debug", [False, True], ids=["default", "debug"])
def test_stress_of_the_buffers(places: Places, tmp_path: Path, debug: bool) -> None:
    """All cases, and on the debug kernel allocations that fail, on buffers that a node does not have."""
    if debug:
        places.need_debug_kernel()
    boot = Boot(places.debug if debug else places, tmp_path, 3600)
    run = boot(no_nodes(tmp_path), f"--overlay={places.stress.parents[1]}", "--smp=4", "--append=loglevel=5",
               *script(tmp_path, """
mkdir one two
put one/size 65536
put one/enable 1
put two/size 65536
put two/cached 1
put two/enable 1
/bin/faultline-stress --seed 1 --part cases --cycles 2 || exit
[ ! -e /proc/self/fail-nth ] || exec /bin/faultline-stress --seed 1 --part inject
"""))
    assert verdict(run) == (0, ""), run
    report = ktap.parse(ktap.of_programs(run.console), places.kernel_source)
    assert (report.errors, report.not_ok) == (0, set()), run
    for device in ("/dev/faultline0", "/dev/faultline1"):
        assert (f"cases {device}", "unbind_in_use") in report.ok, run
        # The report of the second program.
        assert not debug or re.search(rf"^ *ok \d+ inject {device}$", run.console, re.MULTILINE), run


BROKEN = {
    "run-time-kept": "run_time",
    "run-time-probe-ignored": "run_time_refuses",
    "run-time-changed": "run_time_refuses",
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_driver_is_caught(boot: Boot, places: Places, make: Make, name: str) -> None:
    run = boot(*stress(places, *CHOSEN), module=mutant(make, places, name))
    report = ktap.parse(run.console, places.kernel_source)
    assert run.status == 1 and BROKEN[name] in report.failed_checks(), run


def test_coherency_that_is_ignored_is_caught(
        boot: Boot, places: Places, make: Make, tmp_path: Path) -> None:
    """The test of the verdict above can fail."""
    run = boot(no_nodes(tmp_path), *script(tmp_path, """
mkdir one
put one/coherent 1
put one/enable 1
get /sys/class/misc/faultline0/coherent
"""), module=mutant(make, places, "run-time-coherency-ignored"))
    assert said(run)[-1] == "get /sys/class/misc/faultline0/coherent=0", run
