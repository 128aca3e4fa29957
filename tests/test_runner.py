# SPDX-License-Identifier: GPL-2.0-only
"""board/common/run.py: that QEMU ends when it should, and how a run ends."""

from __future__ import annotations

import fcntl
import os
import re
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from guests import PATIENCE, Boot

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
