# SPDX-License-Identifier: GPL-2.0-only
"""runner/verdict.py: what a console says, and what a run comes to; and when a guest with a login ends."""

from __future__ import annotations

import io
import signal
import subprocess

import pytest

from guests import PATIENCE
from project import EXIT_STATUS, MODULE
from runner import qemu
from runner.verdict import Console, judge_console

pytestmark = pytest.mark.unit


def scan(text: str, late: bool = False) -> Console:
    console = Console(io.BytesIO(), power_off_is_late=late)
    for line in text.encode().split(b"\n"):
        console.read(line)
    return console


def test_what_counts_after_power_off() -> None:
    """Where the power goes at once there is nothing after it that could be said for nothing."""
    text = "[    9.000000] reboot: Power down\n[    9.100000] WARNING: kernel/exit.c:912 at do_exit"
    assert scan(text).fault
    assert scan(text, late=True).fault is None


# As kernels print them; the numbers and names are made up.
FAULTS = [
    "[    0.750000] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000300",
    "[    1.000000] Internal error: Oops: 0000000096000006 [#1]  SMP",
    "[   12.345678] Unable to handle kernel NULL pointer dereference at virtual address 00000010",
    "[    1.000000] kernel BUG at mm/memory.c:2345!",
    "[    1.000000] BUG: KASAN: slab-use-after-free in vm_read+0x10/0x20",
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
    f"[    1.000000] DMA-API: {MODULE} dma-buffer-0: device driver frees DMA memory with different "
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
    f"[    1.000000] {MODULE}: loading out-of-tree module taints kernel.",
    f"[    1.000000] {MODULE} dma-buffer-0: size: 0 is not a size",
    "[    1.000000] DMA-API: preallocated 65536 debug entries",
    "[    1.000000] DMA-API: debugging enabled by kernel config",
    "[    1.000000] DMA: preallocated 128 KiB GFP_KERNEL pool for atomic allocations",
    "[    1.000000] x: tells of a WARNING: or of a BUG: in passing",
    "[    1.000000] rcu: Hierarchical RCU implementation.",
]


@pytest.mark.parametrize("line", FAULTS)
def test_kernel_fault_is_seen(line: str) -> None:
    console = scan(f"{EXIT_STATUS}0\n{line}\r\nCall trace:\n")
    assert console.fault and line.endswith(console.fault)
    assert console.panicked == ("panic - " in line)


@pytest.mark.parametrize("line", INNOCENT)
def test_other_text_is_no_fault(line: str) -> None:
    assert scan(line).fault is None


def test_first_fault_is_named() -> None:
    console = scan("\n".join(FAULTS[::-1]))
    assert console.fault == FAULTS[-1].partition("] ")[2]


RECORD = f"[    1.260066] {MODULE}: a record"


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        (f"{EXIT_STATUS}0\r\n[    1.0] reboot: Power down\r\n", 0),
        (f"{EXIT_STATUS}0\n{EXIT_STATUS}3\n", 3),
        (f"a {EXIT_STATUS}0\n{EXIT_STATUS}0!\n{EXIT_STATUS}\n", None),
        ("", None),
        (f"{EXIT_STATUS[:-4]}{RECORD}\r\n{EXIT_STATUS[-4:]}3\r\n", 3),
        (f"{EXIT_STATUS}3{RECORD}\r\n\r\n", 3),
        (f"{EXIT_STATUS[:-12]}[    1.2600661] \n{EXIT_STATUS[-12:]}3", None),
        (f"a program's {RECORD}\n{EXIT_STATUS}3\n", 3),
    ],
)
def test_verdict(text: str, verdict: int | None) -> None:
    assert scan(text).verdict == verdict


# A guest that stays: what it says, how long we wait for more and for the verdict, what comes of it.
# What is to happen in time has PATIENCE, which no machine takes.
STAYING = {
    "verdict": (f"echo '{EXIT_STATUS}0'; exec sleep inf", 0.5, PATIENCE, (0, None)),
    "fault after it": (
        f"echo '{EXIT_STATUS}0'; sleep 0.2; echo '[    9.000000] kernel BUG at mm/x.c:1!'",
        PATIENCE, PATIENCE, (1, "the kernel reported: kernel BUG at mm/x.c:1!")),
    "none": ("exec sleep inf", PATIENCE, 1, (124, "the time limit of 1 s ended the guest")),
}


@pytest.mark.parametrize(
    ("said", "grace", "limit", "outcome"), STAYING.values(), ids=STAYING.keys())
def test_guest_that_stays(
    monkeypatch: pytest.MonkeyPatch, said: str, grace: float, limit: int,
    outcome: tuple[int, str | None],
) -> None:
    monkeypatch.setattr(qemu, "STAY_GRACE", grace)
    before = signal.signal(signal.SIGALRM, qemu.on_signal)
    console = Console(io.BytesIO())
    guest = subprocess.Popen(["sh", "-c", said], stdout=subprocess.PIPE)
    try:
        ended_by = qemu.watch(guest, console, timeout=limit, stays=True)
    finally:
        guest.kill()
        guest.communicate()
        signal.signal(signal.SIGALRM, before)
    ended = judge_console(console, ended_by, limit)
    assert (ended.status, ended.message) == outcome
