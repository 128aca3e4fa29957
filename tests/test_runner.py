# SPDX-License-Identifier: GPL-2.0-only
"""board/common/run.py: what it takes for a fault, and that QEMU ends when it should."""

from __future__ import annotations

import fcntl
import io
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from guests import PATIENCE, Boot
from places import RUNNER, Places, program


@pytest.fixture(scope="module")
def runner() -> ModuleType:
    return program(RUNNER)


def scan(runner: ModuleType, text: str):
    console = runner.Console(io.BytesIO())
    for line in text.encode().split(b"\n"):
        console.read(line)
    return console


def test_what_counts_after_power_off(runner: ModuleType) -> None:
    """Where the power goes at once there is nothing after it that could be said for nothing."""
    text = "[    9.000000] reboot: Power down\n[    9.100000] WARNING: kernel/exit.c:912 at do_exit"
    assert scan(runner, text).fault
    late = runner.Console(io.BytesIO(), power_off_is_late=True)
    for line in text.encode().split(b"\n"):
        late.read(line)
    assert late.fault is None


# A guest that stays: what it says, how long we wait for more and for the verdict, what comes of it.
# What is to happen in time has PATIENCE, which no machine takes.
STAYING = {
    "verdict": ("echo 'faultline: exit status 0'; exec sleep inf", 0.5, PATIENCE, (0, None)),
    "fault after it": (
        "echo 'faultline: exit status 0'; sleep 0.2; echo '[    9.000000] kernel BUG at mm/x.c:1!'",
        PATIENCE, PATIENCE, (1, "the kernel reported: kernel BUG at mm/x.c:1!")),
    "none": ("exec sleep inf", PATIENCE, 1, (124, "the time limit of 1 s ended the guest")),
}


@pytest.mark.unit
@pytest.mark.parametrize(
    ("said", "grace", "limit", "outcome"), STAYING.values(), ids=STAYING.keys())
def test_guest_that_stays(
    runner: ModuleType, monkeypatch: pytest.MonkeyPatch, said: str, grace: float, limit: int,
    outcome: tuple,
) -> None:
    monkeypatch.setattr(runner, "STAY_GRACE", grace)
    before = signal.signal(signal.SIGALRM, runner.on_signal)
    console = runner.Console(io.BytesIO())
    guest = subprocess.Popen(["sh", "-c", said], stdout=subprocess.PIPE)
    try:
        ended_by = runner.watch(guest, console, timeout=limit, stays=True)
    finally:
        guest.kill()
        guest.communicate()
        signal.signal(signal.SIGALRM, before)
    ended = runner.judge_console(console, ended_by, limit)
    assert (ended.status, ended.message) == outcome


# As kernels print them; the numbers and names are made up.
FAULTS = [
    "[    0.750000] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000300",
    "[    1.000000] Internal error: Oops: 0000000096000006 [#1]  SMP",
    "[   12.345678] Unable to handle kernel NULL pointer dereference at virtual address 00000010",
    "[    1.000000] kernel BUG at mm/memory.c:2345!",
    "[    1.000000] BUG: KASAN: slab-use-after-free in faultline_read+0x10/0x20",
    "[    1.000000] BUG: sleeping function called from invalid context at kernel/locking/mutex.c:1",
    "[   30.000000] watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [init:1]",
    "[    1.000000] WARNING: mm/memory.c:2345 at insert_pfn+0x10/0x20, CPU#0: init/1",
    "[    1.000000] WARNING: possible circular locking dependency detected",
    "[    1.000000] INFO: trying to register non-static key.",
    "[    1.000000] Call trace:",
    "[    1.000000] rust_kernel: panicked at drivers/x.rs:1:2:",
    "[    1.000000] UBSAN: array-index-out-of-bounds in mm/x.c:1:2",
    "[  121.000000] INFO: task init:1 blocked for more than 120 seconds.",
    "[   21.000000] rcu: INFO: rcu_preempt self-detected stall on CPU",
    "[   21.000000] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
    "[    1.000000] DMA-API: faultline dma-buffer-0: device driver frees DMA memory with different "
    "size",
    "[12345.678901][    T1] WARNING: kernel/x.c:1 at f+0x0/0x10, CPU#1: init/1",
    # A program had begun a line.
    "ok 1 zer[    1.000000] WARNING: mm/memory.c:2345 at insert_pfn+0x10/0x20, CPU#0: init/1",
]

INNOCENT = [
    "# kernel_log: no WARNING seen, no BUG: either",
    "WARNING: a program says so",
    "Kernel panic - not syncing: says a program",
    "BUG: [1] Call trace:",
    "[    1.000000] faultline: loading out-of-tree module taints kernel.",
    "[    1.000000] faultline dma-buffer-0: size: 0 is not a size",
    "[    1.000000] DMA-API: preallocated 65536 debug entries",
    "[    1.000000] DMA-API: debugging enabled by kernel config",
    "[    1.000000] DMA: preallocated 128 KiB GFP_KERNEL pool for atomic allocations",
    "[    1.000000] x: tells of a WARNING: or of a BUG: in passing",
    "[    1.000000] rcu: Hierarchical RCU implementation.",
]


@pytest.mark.unit
@pytest.mark.parametrize("line", FAULTS)
def test_kernel_fault_is_seen(runner: ModuleType, line: str) -> None:
    console = scan(runner, f"faultline: exit status 0\n{line}\r\nCall trace:\n")
    assert console.fault and line.endswith(console.fault)
    assert console.panicked == ("panic - " in line)


@pytest.mark.unit
@pytest.mark.parametrize("line", INNOCENT)
def test_other_text_is_no_fault(runner: ModuleType, line: str) -> None:
    assert scan(runner, line).fault is None


@pytest.mark.unit
def test_first_fault_is_named(runner: ModuleType) -> None:
    console = scan(runner, "\n".join(FAULTS[::-1]))
    assert console.fault == FAULTS[-1].partition("] ")[2]


@pytest.mark.unit
@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("faultline: exit status 0\r\n[    1.0] reboot: Power down\r\n", 0),
        ("faultline: exit status 0\nfaultline: exit status 3\n", 3),
        ("a faultline: exit status 0\nfaultline: exit status 0!\nfaultline: exit status\n", None),
        ("", None),
        ("faultline: exit sta[    1.260066] faultline: a record\r\ntus 3\r\n", 3),
        ("faultline: exit status 3[    1.260066] faultline: a record\r\n\r\n", 3),
        ("faultline: [    1.2600661] \nexit status 3", None),
        ("a program's [    1.260066] record\nfaultline: exit status 3\n", 3),
    ],
)
def test_verdict(runner: ModuleType, text: str, verdict: int | None) -> None:
    assert scan(runner, text).verdict == verdict


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


@pytest.mark.unit
@pytest.mark.parametrize(("option", "complaint"), WRONG.items())
def test_wrong_argument(unbooted: Boot, option: str, complaint: str) -> None:
    """One line that names it, and no guest."""
    run = unbooted(option)
    assert run.status == 125, run
    assert complaint in run.message
    assert run.message.startswith("run: ") and "\n" not in run.message
    assert run.console == ""


@pytest.mark.unit
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


# As users write it: dtc warns, because it does not see how many cells the machine's root has.
RESERVED = """\
/dts-v1/;
/plugin/;

&{/} {
	reserved-memory {
		#address-cells = <2>;
		#size-cells = <2>;
		ranges;

		pool: pool@70000000 {
			compatible = "shared-dma-pool";
			reg = <0x0 0x70000000 0x0 0x100000>;
			no-map;
		};
	};

	dma-buffer-0 {
		compatible = "faultline,coherent-buffer";
		memory-region = <&pool>;
		size = <0x4000>;
	};
};
"""


@pytest.mark.boot
def test_overlay_that_dtc_warns_of(boot: Boot, tmp_path: Path) -> None:
    """Warnings are shown, and the guest is run all the same."""
    overlay = tmp_path / "reserved.dtso"
    overlay.write_text(RESERVED)
    run = boot(f"--dtso={overlay}")
    assert run.status == 0, run
    warnings = run.message.splitlines()
    assert warnings and all(line.startswith("run: dtc: ") for line in warnings), run
    assert "Warning (" in run.message
    assert set(run.devices()) == {"dma-buffer-0"}, run
    assert re.search(r"pool@70000000|0x0*70000000", run.console), run


@pytest.mark.unit
def test_program_without_a_runner(unbooted: Boot) -> None:
    command = [word for word in unbooted.command("--run=/bin/x") if "--runner=" not in word]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE)
    assert (done.returncode, done.stdout) == (125, b"")
    assert b"--run without --runner" in done.stderr


@pytest.mark.unit
def test_overlay_that_hides_a_directory(unbooted: Boot, tmp_path: Path) -> None:
    """The kernel would drop it without a word."""
    overlay = tmp_path / "overlay"
    (overlay / "usr/lib").mkdir(parents=True)
    (overlay / "lib").symlink_to("usr/lib")
    run = unbooted(f"--overlay={overlay}")
    assert run.status == 125, run
    assert "'lib'" in run.message


@pytest.mark.unit
def test_input_that_does_not_end(unbooted: Boot) -> None:
    reader, writer = os.pipe()
    with open(reader, "rb") as given, open(writer, "wb"):
        done = subprocess.run(
            unbooted.command("--interactive", "--run=/bin/cat", "--timeout=1"),
            stdin=given, capture_output=True, timeout=PATIENCE,
        )
    assert (done.returncode, done.stdout) == (124, b"")
    assert b"run: standard input has not ended within the time limit of 1 s" in done.stderr


@pytest.mark.unit
def test_input_that_is_too_large(unbooted: Boot) -> None:
    with open("/dev/zero", "rb") as zeros:
        done = subprocess.run(
            unbooted.command("--interactive", "--run=/bin/cat"),
            stdin=zeros, capture_output=True, timeout=PATIENCE,
        )
    assert (done.returncode, done.stdout) == (125, b"")
    assert b"run: standard input has more than 16 MiB" in done.stderr


@pytest.mark.unit
def test_input_that_nothing_reads(unbooted: Boot) -> None:
    run = unbooted("--interactive")
    assert (run.status, run.console) == (125, ""), run
    assert "--interactive without --run" in run.message


@pytest.mark.unit
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


# These guests never run an instruction: QEMU starts them stopped.
HUNG = "--qemu-args=-S"


@pytest.fixture
def hung(boot: Boot) -> Iterator[subprocess.Popen[bytes]]:
    process = boot.start(HUNG)
    assert len(boot.emulators()) == 1, "QEMU does not run"
    yield process
    if process.poll() is None:
        process.kill()
    process.communicate()


def gone(boot: Boot) -> bool:
    """Whether QEMU is gone; a SIGKILL takes the kernel a moment."""
    deadline = time.monotonic() + PATIENCE
    while boot.emulators() and time.monotonic() < deadline:
        time.sleep(0.05)
    return not boot.emulators()


@pytest.mark.boot
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_ends_qemu(
    boot: Boot, hung: subprocess.Popen[bytes], number: signal.Signals
) -> None:
    hung.send_signal(number)
    _, stderr = hung.communicate(timeout=PATIENCE)
    assert hung.returncode == 128 + number
    assert stderr.decode() == f"run: {number.name} ended the run\n"
    assert gone(boot)


@pytest.mark.boot
def test_qemu_does_not_outlive_a_killed_runner(boot: Boot, hung: subprocess.Popen[bytes]) -> None:
    hung.kill()
    hung.wait(PATIENCE)
    assert gone(boot)


@pytest.mark.boot
def test_time_limit(boot: Boot) -> None:
    run = boot(HUNG, "--timeout=1")
    assert run.status == 124
    assert run.message == "run: the time limit of 1 s ended the guest"
    assert gone(boot)


def let_time_run_out(runner: subprocess.Popen[bytes]) -> None:
    """The runner's timer, which test_time_limit waits for, ends: a guest has come far enough however
    long that took."""
    runner.send_signal(signal.SIGALRM)


@pytest.mark.boot
def test_guest_that_hangs(boot: Boot, guest_test: str) -> None:
    with boot.start(guest_test, "--run=/bin/faultline-guest-test hang",
                    stdout=subprocess.PIPE) as runner:
        console = b""
        while chunk := runner.stdout.read1():
            if b"/dev/faultline0: " in console + chunk and b"/dev/faultline0: " not in console:
                let_time_run_out(runner)
            console += chunk
        message = runner.stderr.read().decode()
    assert b"/dev/faultline0: " in console, "it came as far as the module"
    assert runner.returncode == 124, message
    assert message == f"run: the time limit of {PATIENCE} s ended the guest\n"
    assert gone(boot)


@pytest.mark.boot
def test_time_limit_holds_when_nobody_reads(boot: Boot) -> None:
    """The pipe is full, so the runner cannot go on; the limit ends that, too."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    with open(reader, "rb"), open(writer, "wb") as console:
        runner = boot.start(stdout=console.fileno())
        while select.select([], [console], [], 0)[1]:
            assert runner.poll() is None, "it ended before the pipe was full"
            time.sleep(0.05)
        let_time_run_out(runner)
        assert runner.wait(PATIENCE) == 124
        assert gone(boot)
    runner.communicate()


@pytest.mark.boot
def test_kernel_fault_outweighs_the_verdict(boot: Boot, guest_test: str) -> None:
    run = boot(guest_test, "--run=/bin/faultline-guest-test log 'WARNING: made up'")
    assert "faultline: exit status 0\n" in run.console, run
    assert run.status == 1
    assert run.message == "run: the kernel reported: WARNING: made up"


@pytest.mark.boot
def test_words_of_a_program_are_no_kernel_fault(boot: Boot, guest_test: str) -> None:
    run = boot(guest_test, "--run=/bin/faultline-guest-test say 'WARNING: BUG: Kernel panic - not'")
    assert "\nWARNING: BUG: Kernel panic - not\n" in run.console
    assert (run.status, run.message) == (0, "")


@pytest.mark.boot
@pytest.mark.parametrize("status", [1, 77, 255])
def test_exit_status(boot: Boot, guest_test: str, status: int) -> None:
    run = boot(guest_test, f"--run=/bin/faultline-guest-test exit {status}")
    assert run.status == status, run
    assert run.message == f"run: the guest's exit status is {status}"


@pytest.mark.boot
def test_overlays_win_and_keep_links(boot: Boot, guest_test: str, tmp_path: Path) -> None:
    """The last one has the last word, over /init too, and the runner says so."""
    first, second = tmp_path / "first", tmp_path / "second"
    (first / "bin").mkdir(parents=True)
    (first / "bin/alias").symlink_to("nowhere")
    (second / "bin").mkdir(parents=True)
    (second / "bin/alias").symlink_to("faultline-guest-test")
    (second / "etc").mkdir()
    shutil.copy(boot.places.init, second / "init")

    run = boot(guest_test, f"--overlay={first}", f"--overlay={second}", "--run=/bin/alias exit 9")
    assert run.status == 9, run
    assert f"run: overlay {second} replaces /init\n" in run.message


@pytest.mark.boot
def test_reader_that_goes_away(boot: Boot) -> None:
    done = subprocess.run(
        ["bash", "-c", '"$0" "$@" | head -n 1; exit ${PIPESTATUS[0]}', *boot.command()],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE,
    )
    assert done.returncode == 125
    assert b"Broken pipe" in done.stderr
    assert gone(boot)


@pytest.mark.boot
def test_console_is_passed_on_and_kept(boot: Boot, tmp_path: Path) -> None:
    log = tmp_path / "log"
    done = subprocess.run(
        boot.command("--run=/bin/faultline-verify --version", f"--log={log}"),
        stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE,
    )
    assert done.returncode == 0
    assert b"Linux version" in done.stdout
    assert log.read_bytes() == done.stdout


@pytest.mark.boot
def test_machine_of_the_tree_is_the_machine_that_boots(boot: Boot, tmp_path: Path) -> None:
    """What --qemu-args adds to the machine is in the tree."""
    version = "--run=/bin/faultline-verify --version"
    run = boot("--qemu-args=-machine virtualization=on", "--smp=3", version)
    assert run.status == 0, run
    assert "CPU: All CPU(s) started at EL2" in run.console
    assert b"smc\0" in (tmp_path / "guest.dtb").read_bytes()
    assert "SMP: Total of 3 processors activated" in run.console


GDB = ("localhost", 1234)
# Of arm64, as QEMU numbers registers; and where it begins: at the start of the memory of virt.
PC = 32
FIRST_INSTRUCTION = 0x4000_0000


def packet(body: bytes) -> bytes:
    """As gdb's remote protocol has it."""
    return b"$%s#%02x" % (body, sum(body) % 256)


def debugger(process: subprocess.Popen[bytes]) -> socket.socket:
    """The connection to a QEMU that is about to listen."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return socket.create_connection(GDB, timeout=PATIENCE)
        except ConnectionRefusedError:
            assert process.poll() is None and time.monotonic() < deadline, "nobody listens"
            time.sleep(0.05)


@pytest.mark.boot
def test_guest_waits_for_a_debugger(boot: Boot) -> None:
    """What `make debug` starts: it says how to attach, and nothing runs before the debugger has it."""
    with socket.socket() as probe:
        if probe.connect_ex(GDB) == 0:
            pytest.skip("somebody else's debugger listens at port 1234")
    with boot.start("--gdb", stdout=subprocess.PIPE) as process:
        try:
            with debugger(process) as gdb:
                gdb.sendall(packet(b"g"))
                answer = b""
                while not (registers := re.search(rb"\$([0-9a-f]+)#..", answer)):
                    answer += gdb.recv(4096)
                counter = bytes.fromhex(registers[1].decode())[8 * PC:][:8]
                assert int.from_bytes(counter, "little") == FIRST_INSTRUCTION, "it did not wait"
                gdb.sendall(b"+" + packet(b"c"))
                console, said = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    assert process.returncode == 0, said
    assert b"faultline: exit status 0" in console
    vmlinux = re.search(r"^  gdb-multiarch (\S+) -ex 'target remote localhost:1234'",
                        said.decode(), re.MULTILINE)
    assert vmlinux and Path(vmlinux[1]).is_file(), said
