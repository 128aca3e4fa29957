# SPDX-License-Identifier: GPL-2.0-only
"""Boots: the verdict on machines that are right, and on machines that are wrong."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

import ktap
from conftest import Make, SharedBoot
from guests import Boot, Run
from places import Places

pytestmark = pytest.mark.boot

KIB = 1024
MIB = 1024 * KIB

# What dts/qemu-virt.dtso asks for.
NODES = {
    "dma-buffer-0": ("/dev/faultline0", 16 * KIB, "coherent"),
    "9020000.dma-buffer": ("/dev/faultline1", 64 * KIB, "non-coherent"),
}

CHECKS = 25
# The coherent device has no bus master.
WITHOUT_MASTER = {
    ("/dev/faultline0", f"master_{check}") for check in ("fill", "copy", "refuses", "polled")
}


def tree(directory: Path, *nodes: str) -> str:
    """Writes an overlay with one buffer node for each list of properties; returns the option to
    boot with it."""
    body = "".join(
        f'dma-buffer-{number} {{ compatible = "faultline,coherent-buffer"; {properties} }};\n'
        for number, properties in enumerate(nodes))
    # An overlay that adds nothing has nothing to apply: a property keeps it from being empty.
    overlay = directory / "test.dtso"
    overlay.write_text(f"/dts-v1/;\n/plugin/;\n&{{/}} {{ faultline-test; {body} }};\n")
    return f"--dtso={overlay}"


def console_line(run: Run, pattern: str) -> bool:
    """Whether the console has such a line, of the kernel or of a program. A record of the kernel's
    log may interrupt a program's line."""
    return any(re.search(pattern, text, re.MULTILINE)
               for text in (run.console, ktap.of_programs(run.console)))


def test_default_machine(default_run: Run, places: Places) -> None:
    run = default_run
    assert run.status == 0, run
    assert run.message == ""
    assert run.devices() == NODES

    report = ktap.parse(run.console, places.kernel_source)
    assert (report.errors, report.not_ok, report.skipped) == (0, set(), WITHOUT_MASTER), run
    for device, _, _ in NODES.values():
        results = report.ok | report.skipped | report.undecided
        assert len([path for path in results if path[:-1] == (device,)]) == CHECKS
    assert console_line(run, rf"^faultline-verify: PASS: 2 devices, {2 * CHECKS} checks: "), run
    # What the program says of each device is what the driver says of it.
    for device, size, coherency in NODES.values():
        assert console_line(run, rf"^# {device}: {size} bytes, {coherency}, DMA address 0x"), run


@pytest.mark.parametrize("cpus", [1, 4])
def test_cpus(shared_boot: SharedBoot, cpus: int) -> None:
    run, _ = shared_boot(f"{cpus}-cpus", f"--smp={cpus}")
    assert run.status == 0, run
    assert f"SMP: Total of {cpus} processors activated" in run.console, run
    assert run.devices() == NODES


def test_size_is_optional_and_may_take_two_cells(boot: Boot, tmp_path: Path) -> None:
    run = boot(tree(tmp_path, "dma-coherent;", f"dma-noncoherent; size = <0 {4 * MIB}>;"))
    assert run.status == 0, run
    assert {node: what[1:] for node, what in run.devices().items()} == {
        "dma-buffer-0": (4 * KIB, "coherent"),
        "dma-buffer-1": (4 * MIB, "non-coherent"),
    }


@pytest.mark.parametrize("coherency", ["dma-coherent", "dma-noncoherent"])
def test_bus_that_shifts_addresses(boot: Boot, tmp_path: Path, coherency: str) -> None:
    """PFNs are those of the CPU's addresses. The device's addresses differ from them, by
    `dma-ranges`."""
    shift = 0x4000_0000
    overlay = tmp_path / "shifted.dtso"
    overlay.write_text(f"""/dts-v1/;
/plugin/;
&{{/}} {{
    #address-cells = <2>;
    #size-cells = <2>;
    dma-bus@b000000 {{
        compatible = "simple-bus";
        reg = <0 0xb000000 0 0x1000>;
        #address-cells = <2>;
        #size-cells = <2>;
        ranges;
        dma-ranges = <0 0 0 {shift:#x} 1 0>;

        dma-buffer@b000000 {{
            compatible = "faultline,coherent-buffer";
            reg = <0 0xb000000 0 0x1000>;
            size = <0x5000>;
            {coherency};
        }};
    }};
}};
""")
    run = boot(f"--dtso={overlay}")
    assert (run.status, run.message) == (0, ""), run
    dma = re.search(r", DMA address (0x\w+)$", run.console, re.MULTILINE)
    physical = re.search(r"# pagemap_kernel: .*offset (0x\w+): (0x\w+),", run.console)
    assert dma and physical, run
    assert int(dma[1], 16) + shift + int(physical[1], 16) == int(physical[2], 16), run


def test_no_node(boot: Boot, tmp_path: Path) -> None:
    run = boot(tree(tmp_path))
    assert run.status == 4, run
    assert run.message == "run: the guest's exit status is 4"
    assert run.devices() == {}
    assert console_line(run, r"^faultline-verify: SKIP: no /dev/faultline\* device$"), run


BAD_SIZES = {
    "zero": ("size = <0>;", "size: 0 is not a size: give a number of bytes"),
    "both coherencies": (
        "dma-coherent; dma-noncoherent;",
        "dma-coherent, dma-noncoherent: the node has both, want one or none"),
    "larger than memory": (
        "size = <0x100 0>;",
        r"size: 1099511627776 bytes are more than this machine's memory \(\d{9,10} bytes\)"),
    "less than memory, but more than can be allocated": (
        f"size = <{800 * MIB:#x}>;", rf"size: cannot allocate {800 * MIB} bytes of DMA memory: of CMA.s .*"),
    "three cells": ("size = <0 0 4096>;", r"size: 3 cells, want 1 or 2"),
    "no cell": ("size;", r"size: 0 cells, want 1 or 2"),
}


@pytest.mark.parametrize("case", BAD_SIZES)
def test_bad_size(shared_boot: SharedBoot, case: str) -> None:
    """The message names the property, the probe fails with an errno, and nothing else fails."""
    # A node for each case, in one guest.
    nodes = [size for size, _ in BAD_SIZES.values()]
    run, _ = shared_boot("bad-sizes", tree=lambda work: tree(work, *nodes))
    node = f"dma-buffer-{list(BAD_SIZES).index(case)}"
    _, complaint = BAD_SIZES[case]
    assert run.devices() == {}
    assert console_line(run, rf"\] faultline {node}: {complaint}$"), run
    assert console_line(run, rf"\] faultline {node}: probe with driver faultline failed with "
                             r"error -(12|22)$"), run
    # There is no device to verify; nor has the runner seen the kernel warn.
    assert run.status == 4, run
    assert run.message == "run: the guest's exit status is 4"


@pytest.mark.parametrize(("size", "whole"), [(1, 4096), (5000, 8192), (16_000_000, 16_003_072)])
def test_size_is_rounded_up(boot: Boot, tmp_path: Path, size: int, whole: int) -> None:
    """To whole pages of this kernel; the log has both sizes."""
    run = boot(tree(tmp_path, f"size = <{size}>;"))
    assert run.status == 0, run
    assert [what[1] for what in run.devices().values()] == [whole], run
    assert (f"faultline dma-buffer-0: size: {size} is rounded up to {whole}, whole pages"
            in run.console), run


def test_bad_node_and_a_good_one(boot: Boot, places: Places, tmp_path: Path) -> None:
    """The good node keeps its device and its number. Of its checks only `kernel_log` fails."""
    run = boot(tree(tmp_path, "size = <0x2000>;", "size = <0>;"))
    assert [what[:2] for what in run.devices().values()] == [("/dev/faultline0", 8 * KIB)]
    assert run.status == 1, run
    report = ktap.parse(run.console, places.kernel_source)
    device = "/dev/faultline0"
    assert report.not_ok == {(device,), (device, "kernel_log")}, run


def test_master_of_a_coherent_device(boot: Boot, places: Places, tmp_path: Path) -> None:
    """In the board's own tree the device with the bus master is non-coherent."""
    overlay = tmp_path / "test.dtso"
    overlay.write_text(
        "/dts-v1/;\n/plugin/;\n"
        '&{/fw-cfg@9020000} { status = "disabled"; };\n'
        f"&{{/}} {{ {CELLS} dma-buffer@9020000 {{ {FW_CFG} reg = <0 0x9020000 0 0x18>; "
        "dma-coherent; };\n};\n")
    run = boot(f"--dtso={overlay}")
    assert (run.status, run.message) == (0, ""), run
    report = ktap.parse(run.console, places.kernel_source)
    assert (report.errors, report.not_ok, report.skipped) == (0, set(), set()), run
    # Of one page: the smallest buffer there is.
    assert list(run.devices().values()) == [("/dev/faultline0", 4 * KIB, "coherent")]


def test_one_cpu_skips_what_needs_two(shared_boot: SharedBoot, places: Places) -> None:
    """Checks that need two CPUs are skipped, with the reason."""
    run, _ = shared_boot("1-cpus", "--smp=1")
    assert run.status == 0, run
    report = ktap.parse(run.console, places.kernel_source)
    two = {"litmus_kernel", "litmus_user", "master_polled"}
    assert {check for device, check in report.skipped if device == "/dev/faultline1"} == two, run
    assert console_line(run, r"^  ok \d+ litmus_user # SKIP this takes two CPUs, and there is one$"), run


class Stutter:
    """QEMU on an overloaded host: after a console line that matches a pattern, it stops for longer
    than the kernel waits for a message, runs for a moment, stops again, and so on."""

    STOPPED, RUNNING = 3.5, 0.05
    STOPS = 2

    def __init__(self, boot: Boot, begins: str) -> None:
        self.boot = boot
        self.begins = re.compile(begins.encode(), re.MULTILINE)
        self.stops = 0

    def __call__(self, *options: str, **instead: Path) -> Run:
        with self.boot.start(*options, stdout=subprocess.PIPE, **instead) as runner:
            console = b""
            while chunk := runner.stdout.read1():
                console += chunk
                if not self.stops and self.begins.search(console):
                    self.stutter()
            _, said = runner.communicate()
        text = console.decode(errors="replace").replace("\r", "")
        return Run(runner.returncode, text, said.decode(errors="replace").strip())

    def stutter(self) -> None:
        for _ in range(self.STOPS):
            for emulator in self.boot.emulators():
                os.kill(emulator, signal.SIGSTOP)
                self.stops += 1
                time.sleep(self.STOPPED)
                os.kill(emulator, signal.SIGCONT)
                time.sleep(self.RUNNING)


# The console line after which QEMU stops: each side waits then, the kernel, or a task.
STUTTERS = {
    "messages with the kernel": r"^  ok 19 sync_refuses",
    "messages between tasks": r"^  ok 20 litmus_kernel",
    "a bus master, and a task that looks": r"^  ok 17 master_refuses",
    "an unbinding": r"^  ok 23 munmap",
}


@pytest.mark.parametrize("begins", STUTTERS.values(), ids=STUTTERS.keys())
@pytest.mark.filterwarnings("ignore:.*could not tell")
def test_machine_without_time_is_no_failure(boot: Boot, places: Places, begins: str) -> None:
    """A check that the emulator got no time for cannot tell; nothing is `not ok`."""
    stutter = Stutter(boot, begins)
    run = stutter("--append=quiet")
    assert stutter.stops == Stutter.STOPS, "it came to an end before"
    assert (run.status, run.message) == (0, ""), run
    report = ktap.parse(run.console, places.kernel_source)
    assert (report.errors, report.not_ok) == (0, set()), run
    verdict = run.console.partition("\nfaultline-verify: ")[2].partition("could not tell")[2]
    for device, check in report.undecided:
        assert f", {device}: {check}" in verdict, run


def test_wrong_page_is_caught_on_a_machine_without_time(
    boot: Boot, places: Places, make: Make
) -> None:
    """A message that never arrives is a failure on an overloaded host, too."""
    built = make("-s", "module", "MUTANT=wrong-page")
    assert built.returncode == 0, built.stdout
    stutter = Stutter(boot, r"^  not ok 18 master_polled|^  ok 18 master_polled")
    run = stutter("--append=quiet", module=places.build / "driver-wrong-page/faultline.ko")
    assert stutter.stops == Stutter.STOPS, "it came to an end before"
    report = ktap.parse(run.console, places.kernel_source)
    assert {path for path in report.not_ok if path[-1] == "litmus_kernel"} == {
        (device, "litmus_kernel") for device, _, _ in NODES.values()}, run


# What takes the self-test, of a driver that has none.
SELFTEST_ALONE = {
    "pagemap_kernel", "translate_known", "attribute_user", "attribute_kernel", "walk_pfns",
    "litmus_kernel", "master_fill", "master_copy", "master_refuses", "master_polled",
}


def test_driver_without_its_self_test(boot: Boot, places: Places) -> None:
    """Its checks pass, and the checks that need the self-test are skipped with that reason."""
    run = boot(module=places.production)
    assert run.status == 0, run
    report = ktap.parse(run.console, places.kernel_source)
    assert report.errors == 0 and report.not_ok == set(), run
    skipped = {path for path in report.skipped if len(path) > 1}
    assert skipped == {(path, check) for path, *_ in NODES.values() for check in SELFTEST_ALONE}, run
    reason = r"# SKIP the driver was built without its self-test \(CONFIG_FAULTLINE_SELFTEST\)$"
    assert len(re.findall(reason, run.console, re.MULTILINE)) == len(skipped), run
    # Nothing is wrong: the driver says nothing.
    assert not re.search(r"\] faultline ", run.console), run


def test_driver_has_no_parameters(places: Places) -> None:
    """A module lists its parameters in its .modinfo, a string `parmtype=NAME:TYPE` for each."""
    for module in (places.production, places.module):
        strings = module.read_bytes().split(b"\0")
        assert b"license=GPL v2" in strings, "its .modinfo was not found"
        assert not [each for each in strings if each.startswith(b"parmtype=")], module


def test_panic(boot: Boot) -> None:
    """Without an init the kernel panics, and the guest ends at once."""
    run = boot("--append=rdinit=/missing")
    assert run.status == 1
    assert run.message.startswith("run: the kernel reported: Kernel panic - not syncing: "), run


def test_panic_that_does_not_reset(boot: Boot) -> None:
    """The runner ends such a guest after the report, and does not wait for the time limit."""
    # A limit that this test would not live to see.
    run = boot("--append=rdinit=/missing panic=0", "--timeout=86400")
    assert run.status == 1
    assert run.message.startswith("run: the kernel reported: Kernel panic - not syncing: "), run
    assert "end Kernel panic" in run.console


RUNS = {
    "status 0": ("/bin/faultline-verify --version", 0, r"^faultline-verify \d+\.\d+\.\d+$"),
    "status 2": ("/bin/faultline-verify --nonsense", 2, r": There is no option '--nonsense'"),
    "a value is missing": (
        "/bin/faultline-verify --foreign /dev/zero --size", 2, r": --size takes BYTES, but nothing follows"),
    "half a page": (
        "/bin/faultline-verify --foreign /dev/zero --size 2048", 2, r": --size must be a multiple of"),
    "a size alone": ("/bin/faultline-verify --size 4096", 2, r": --foreign and --size must be given"),
    "no such type": (
        "/bin/faultline-verify --kernel-attr cached", 2, r"--kernel-attr is 'cached'; expected"),
    "no such device": ("/bin/faultline-verify /dev/null", 1, r"/dev/null"),
    "init by hand": ("/init", 2, r"^faultline-init: the kernel starts it"),
    "not there": ("/bin/missing", 127, r"/bin/missing.*ENOENT"),
    "not a program": ("/lib/modules/faultline.ko", 126, r"/lib/modules/faultline\.ko.*EACCES"),
}


@pytest.mark.parametrize(("argv", "status", "said"), RUNS.values(), ids=RUNS.keys())
def test_run(boot: Boot, argv: str, status: int, said: str) -> None:
    """RUN= replaces the verification; the program's exit status is the guest's."""
    run = boot(f"--run={argv}")
    assert run.status == status, run
    assert console_line(run, said), run
    assert "/dev/faultline0: " in run.console, "the module is loaded all the same"
    assert not console_line(run, r"^faultline-verify: PASS"), run


def test_json(boot: Boot, places: Places) -> None:
    """The JSON of a run has the same results as its report."""
    # What the driver says when it is loaded could come in the middle of a line.
    run = boot("--append=quiet", "--run=/bin/faultline-verify --json")
    assert run.status == 0, run
    objects = [json.loads(line) for line in run.console.splitlines() if line.startswith("{")]
    *others, total = objects
    checks = [each for each in others if "check" in each]
    devices = [each for each in others if "check" not in each]

    report = ktap.parse(run.console, places.kernel_source)
    assert (report.errors, report.not_ok) == (0, set()), run
    told: dict[str, set[tuple[str, ...]]] = {"PASS": set(), "SKIP": set()}
    for check in checks:
        told[check["result"]].add((check["device"], check["check"]))
    assert told["SKIP"] == report.skipped
    assert told["PASS"] | {(device,) for device, _, _ in NODES.values()} == report.ok
    for check in checks:
        name, seen = check["check"], check["seen"]
        shown = (f"  # {name}: {seen}" if check["result"] == "PASS" else f" {name} # SKIP {seen}")
        assert shown in run.console, run

    assert [each["device"] for each in devices] == [device for device, _, _ in NODES.values()]
    for each in devices:
        row = " | ".join(str(value) for key, value in each.items() if key != "result")
        assert console_line(run, rf"^# {re.escape(row)}$"), run
    counts = {key: sum(each[key] for each in devices) for key in ("pass", "fail", "skip")}
    assert total == {"devices": len(devices), "quick": False, **counts, "result": "PASS"}
    assert sum(counts.values()) == len(checks) == len(devices) * CHECKS


def test_json_of_a_quick_look(boot: Boot) -> None:
    """The last object alone says that only a part of each buffer was looked at."""
    run = boot("--append=quiet", "--run=/bin/faultline-verify --json --quick")
    assert run.status == 0, run
    total = [json.loads(line) for line in run.console.splitlines() if line.startswith("{")][-1]
    assert (total["quick"], total["result"]) == (True, "PASS")
    assert console_line(run, r"^faultline-verify: PASS: .* \(quick: "), run


# Of a device that is taken for another driver's: what only ours can be asked for.
OURS_ALONE = {"zeroed", "pagemap_kernel", "attribute_kernel", "litmus_kernel", "revoked",
              "master_fill", "master_copy", "master_refuses", "master_polled", "sync_refuses"}
FOREIGN = "--run=/bin/faultline-verify --foreign"


@pytest.mark.parametrize(("attribute", "failed", "skipped"), [
    ("--kernel-attr non-cacheable", set(), set()),
    ("--kernel-attr write-back", {"attribute_user"}, set()),
    ("--kernel-attr device", {"attribute_user"}, set()),
    # That both mappings are alike does not make them right.
    ("", set(), {"attribute_user"}),
])
def test_foreign(
    boot: Boot, places: Places, attribute: str, failed: set[str], skipped: set[str]
) -> None:
    device, size, _ = NODES["9020000.dma-buffer"]
    run = boot("--append=quiet", f"{FOREIGN} {device} --size {size} {attribute}")
    assert run.status == (1 if failed else 0), run
    report = ktap.parse(run.console, places.kernel_source)
    assert report.errors == 0, run
    assert report.failed_checks() == failed, run
    assert {path[-1] for path in report.skipped} == OURS_ALONE | skipped, run
    assert len(report.ok - {(device,)}) == CHECKS - len(OURS_ALONE | skipped | failed), run


def test_foreign_that_is_too_small(boot: Boot, places: Places) -> None:
    """Accesses past the size that --size gives are checked as for the driver's own devices."""
    device, size, _ = NODES["9020000.dma-buffer"]
    run = boot("--append=quiet", f"{FOREIGN} {device} --size {size // 2}")
    assert run.status == 1, run
    assert ktap.parse(run.console, places.kernel_source).failed_checks() == {
        "last_byte", "past_end"}, run


def test_init_with_nothing_to_run(boot: Boot) -> None:
    # What the driver says when it is loaded could come in the middle of the line.
    run = boot("--append=quiet", init=boot.places.init)
    assert run.status == 1, run
    assert console_line(run, r"^faultline: /etc/faultline/run: ENOENT$"), run


def test_run_keeps_words_together(boot: Boot) -> None:
    run = boot("--append=quiet", "--run=/bin/faultline-verify '--no such option'")
    assert run.status == 2, run
    assert console_line(run, r"--no such option"), run


FW_CFG = 'compatible = "faultline,fw-cfg-buffer", "faultline,coherent-buffer"; '

# What dtc warns of where nothing needs it.
CELLS = "#address-cells = <2>; #size-cells = <2>;"

BAD_MASTERS = {
    "no registers": ("", "", r"reg: cannot map 24 bytes of fw_cfg's registers: .*"),
    "too few registers": (
        "@9020000", "reg = <0 0x9020000 0 0x10>;",
        r"reg: cannot map 24 bytes of fw_cfg's registers: .*"),
    # The machine's clock.
    "another device": (
        "@9010000", "reg = <0 0x9010000 0 0x18>;",
        r"reg: no fw_cfg there: its signature is \[.*\]"),
}


@pytest.mark.parametrize(
    ("address", "reg", "complaint"), BAD_MASTERS.values(), ids=BAD_MASTERS.keys())
def test_bad_master(
    boot: Boot, tmp_path: Path, address: str, reg: str, complaint: str
) -> None:
    """If the bus master is not what the tree says, the message names the reason, and nothing else
    fails."""
    overlay = tmp_path / "test.dtso"
    overlay.write_text(
        f"/dts-v1/;\n/plugin/;\n&{{/}} {{ {CELLS if reg else ''}\n"
        f"dma-buffer{address} {{ {FW_CFG} {reg} }};\n}};\n")
    run = boot(f"--dtso={overlay}")
    assert run.devices() == {}
    assert console_line(run, rf"\] faultline [0-9a-f.]*dma-buffer: {complaint}$"), run
    assert run.status == 4, run


def test_nonce(default_run: Run, shared_boot: SharedBoot) -> None:
    """Each guest gets a new number, the same from fw_cfg and from the command line."""
    nonces = []
    for run in (default_run, shared_boot("1-cpus", "--smp=1")[0]):
        (nonce,) = re.findall(r"faultline\.nonce=([0-9a-f]{32})$", run.console, re.MULTILINE)
        length = len(nonce)
        assert console_line(run, rf"bus master fw_cfg: fills {length} bytes, copies 16$"), run
        nonces.append(nonce)
    assert nonces[0] != nonces[1]


def test_unbind_while_mapped(boot: Boot, guest_test: str) -> None:
    """Mappings answer SIGBUS, open files ENODEV, and a new binding starts with a new buffer."""
    run = boot(guest_test, "--run=/bin/faultline-guest-test unbind")
    assert (run.status, run.message) == (0, ""), run


def test_unload_and_load_again(boot: Boot, guest_test: str) -> None:
    run = boot(guest_test, "--run=/bin/faultline-guest-test unload")
    assert (run.status, run.message) == (0, ""), run
    assert run.console.count("] faultline dma-buffer-0: /dev/faultline0: ") == 2
