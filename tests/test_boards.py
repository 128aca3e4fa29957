# SPDX-License-Identifier: GPL-2.0-only
"""Boots every board, with its own kernel, device tree and programs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

import ktap
from conftest import Make
from guests import Boot
from places import TOP, Places

pytestmark = pytest.mark.board

# The checks that take a bus master.
MASTER = frozenset(f"master_{check}" for check in ("fill", "copy", "refuses", "polled"))


@dataclass(frozen=True)
class Buffer:
    """A node of the board's device tree: its kind of memory, and what its bus master cannot do."""

    coherency: str
    master: str
    skipped: frozenset[str]


VIRT = {
    "dma-buffer-0": Buffer("coherent", "-", MASTER),
    "9020000.dma-buffer": Buffer("non-coherent", "fw_cfg", frozenset()),
}
MAILBOX = Buffer("non-coherent", "mailbox", frozenset({"master_copy"}))
# An engine has no data of its own.
CHANNEL = Buffer("non-coherent", "dmaengine", frozenset({"master_fill", "master_polled"}))
SNOOPING = Buffer("coherent", "dmaengine", CHANNEL.skipped)
# Without LPAE pagemap shows no mapping of the driver.
WITHOUT_LPAE = Buffer("non-coherent", "dmaengine", CHANNEL.skipped | {"pagemap_same", "pagemap_kernel"})
BOARDS = {
    "qemu-virt-arm64": VIRT,
    "qemu-virt-arm": VIRT,
    "raspberrypi3-64": {"3f00b880.dma-buffer": MAILBOX, "soc:dma-buffer-1": CHANNEL},
    "raspberrypi4-64": {"fe00b880.dma-buffer": MAILBOX, "soc:dma-buffer-1": CHANNEL},
    "zynqmp": {"dma-buffer-0": CHANNEL, "dma-buffer-1": SNOOPING},
    "zynq-7000": {"dma-buffer-0": WITHOUT_LPAE, "dma-buffer-1": WITHOUT_LPAE},
    "zedboard": {"dma-buffer-0": WITHOUT_LPAE, "dma-buffer-1": WITHOUT_LPAE},
}


def test_every_board_is_here() -> None:
    assert set(BOARDS) == {path.parent.name for path in TOP.glob("board/*/board.env")}


def test_the_arm64_boards_share_a_kernel(places: Places) -> None:
    """It is built once, with the device trees of all of them."""
    kernels = {name: places.of_board(name).kernel.resolve() for name in places.boards}
    arm64 = {kernel for kernel in kernels.values() if kernel.parent.parent.name == "arm64"}
    if not arm64:
        pytest.skip("none of them is among the BOARDS of this run")
    assert len(arm64) == 1, kernels


@pytest.fixture(params=BOARDS)
def board(request: pytest.FixtureRequest, places: Places) -> Places:
    if request.param not in places.boards:
        pytest.skip(f"{request.param} is not among the BOARDS of this run")
    return places.of_board(request.param)


def test_verdict(
    board: Places, places: Places, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if board.board == places.board:
        run = request.getfixturevalue("default_run")
    else:
        run = Boot(board, tmp_path)()
    assert (run.status, run.message) == (0, ""), run

    expected = BOARDS[board.board]
    bound = run.devices()
    assert {node: what[2] for node, what in bound.items()} == {
        node: buffer.coherency for node, buffer in expected.items()
    }
    report = ktap.parse(run.console, board.kernel_source)
    assert (report.errors, report.not_ok) == (0, set()), run
    for node, buffer in expected.items():
        device = bound[node][0]
        skipped = {path[-1] for path in report.skipped if path[0] == device}
        assert skipped == buffer.skipped, f"{device}\n{run}"
        row = re.search(rf"^# {device} \|.*$", run.console, re.MULTILINE)
        assert row and f"| {buffer.master} |" in row[0], run


# The Pis, and their DMA engines.
ENGINES = {
    "raspberrypi3-64": "3f007000.dma-controller",
    "raspberrypi4-64": "fe007000.dma-controller",
}
pi = pytest.mark.parametrize("board", ENGINES, indirect=True)
zynqmp = pytest.mark.parametrize("board", ["zynqmp"], indirect=True)
zynq_7000 = pytest.mark.parametrize("board", ["zynq-7000"], indirect=True)
zynqs = pytest.mark.parametrize("board", ["zynq-7000", "zynqmp"], indirect=True)


@zynq_7000
def test_one_cpu_without_lpae(board: Places, tmp_path: Path) -> None:
    """The kernel makes itself one for such a machine: ordinary memory has another type and is not shared.
    The reason of the two checks that pagemap cannot make says that the CPU was asked."""
    run = Boot(board, tmp_path)("--smp=1")
    assert (run.status, run.message) == (0, ""), run
    report = ktap.parse(run.console, board.kernel_source)
    skipped = WITHOUT_LPAE.skipped | {"litmus_kernel", "litmus_user"}
    assert (report.errors, {path[-1] for path in report.skipped}) == (0, skipped), run
    said = re.findall(r"ok \d+ (\w+) # SKIP /proc/self/pagemap does not show this VMA .*; the CPU was asked "
                      r"instead \(TRANSLATE\), and its answers are right", run.console)
    assert said == ["pagemap_same", "pagemap_kernel"] * 2, run


@zynq_7000
@pytest.mark.parametrize("cpus", [1, 2])
def test_cached_buffers_without_lpae(board: Places, tmp_path: Path, cpus: int) -> None:
    """Their pages are ordinary ones, which pagemap shows there, too."""
    overlay = tmp_path / "cached.dtso"
    overlay.write_text(re.sub(r"size = <0x\w+>;", "size = <0x10000>; faultline,cached;",
                              (TOP / "dts/zynq.dtso").read_text()))
    run = Boot(board, tmp_path)(f"--dtso={overlay}", f"--smp={cpus}")
    assert (run.status, run.message) == (0, ""), run
    assert [what[1:] for what in run.devices().values()] == [(0x10000, "cached")] * 2, run
    report = ktap.parse(run.console, board.kernel_source)
    skipped = CHANNEL.skipped | ({"litmus_kernel", "litmus_user"} if cpus == 1 else set())
    assert (report.errors, {path[-1] for path in report.skipped}) == (0, skipped), run


# What only this board shows: the CPU's page table has another format, its VMAs are of another kind.
@zynq_7000
@pytest.mark.parametrize(("mutant", "caught"), [
    ("wrong-page", {"pagemap_kernel", "walk_pfns", "store_read", "write_load", "master_copy"}),
    ("same-frame", {"pagemap_kernel", "walk_pfns"}),
    ("cacheable", {"attribute_user"}),
    ("device-memory", {"attribute_user"}),
    ("no-revoke", {"revoked"}),
])
def test_mutants_without_lpae(
    board: Places, make: Make, tmp_path: Path, mutant: str, caught: set[str]
) -> None:
    built = make("-s", "module", f"MUTANT={mutant}", f"BOARD={board.board}")
    assert built.returncode == 0, built.stdout
    run = Boot(board, tmp_path)(module=board.kernel_build / f"driver-{mutant}/faultline.ko")
    assert run.status == 1, run
    failed = ktap.parse(run.console, board.kernel_source).failed_checks()
    assert caught <= failed, run


@zynq_7000
def test_kind_of_vma_without_lpae(board: Places, make: Make, tmp_path: Path) -> None:
    """In a VMA of the other kind the kernel drops references to pages that it never took."""
    built = make("-s", "module", "MUTANT=mixedmap", f"BOARD={board.board}")
    assert built.returncode == 0, built.stdout
    run = Boot(board, tmp_path)(module=board.kernel_build / "driver-mixedmap/faultline.ko")
    assert run.status != 0 and "BUG: Bad page map" in run.console, run


@zynqmp
def test_channel_goes_before_its_engine(board: Places, make: Make, tmp_path: Path) -> None:
    """The engine's driver ends at shutdown as at unbind, and the kernel warns if somebody still has a
    channel. test_verdict sees that nobody has; the mutant's buffers keep theirs."""
    built = make("-s", "module", "MUTANT=channel-kept", f"BOARD={board.board}")
    assert built.returncode == 0, built.stdout
    run = Boot(board, tmp_path)(module=board.kernel_build / "driver-channel-kept/faultline.ko")
    report = ktap.parse(run.console, board.kernel_source)
    assert (report.errors, report.not_ok) == (0, set()), run
    assert run.status != 0 and run.message.startswith("run: the kernel reported"), run
    assert "called while 1 clients hold a reference" in run.console, run


@zynqs
def test_no_device_waits_for_what_the_model_lacks(board: Places, tmp_path: Path) -> None:
    """The kernel warns of those that do, at a time that depends on how busy the host is: here, at once."""
    run = Boot(board, tmp_path)("--append=deferred_probe_timeout=1")
    assert (run.status, run.message) == (0, ""), run


@pi
@pytest.mark.parametrize(
    ("device", "status", "said"),
    [("faultline0", 1, "unexpected: open(): EPERM"), ("faultline1", 0, "")],
    ids=["mailbox", "dmaengine"],
)
def test_mailbox_buffer_needs_a_capability(
    board: Places, guest_test: str, tmp_path: Path, device: str, status: int, said: str
) -> None:
    """A process that can write to a buffer of the mailbox can send requests to the firmware."""
    run = Boot(board, tmp_path)(guest_test, f"--run=/bin/faultline-guest-test nobody /dev/{device}")
    assert (run.status, said in run.console) == (status, True), run


@pi
def test_unbinding_the_dma_engine_unbinds_the_buffer(board: Places, guest_test: str, tmp_path: Path) -> None:
    """Even if the kernel makes no device link from the device tree (fw_devlink=off)."""
    command = f"/bin/faultline-guest-test engine {ENGINES[board.board]}"
    run = Boot(board, tmp_path)(guest_test, "--append=fw_devlink=off", f"--run={command}")
    assert (run.status, run.message) == (0, ""), run


@pi
def test_channel_that_has_a_device_of_its_own(board: Places, make: Make, tmp_path: Path) -> None:
    """There is nothing to allocate memory for: the device has no driver. The mutant has the driver take
    the engine's channel for such a one."""
    built = make("-s", "module", "MUTANT=channel-of-its-own", f"BOARD={board.board}")
    assert built.returncode == 0, built.stdout
    module = board.kernel_build / "driver-channel-of-its-own/faultline.ko"
    run = Boot(board, tmp_path)(module=module)
    assert "dmas: the channel accesses memory by a device of its own, not by the engine's" in run.console, run
    assert set(run.devices()) == set(BOARDS[board.board]) - {"soc:dma-buffer-1"}, run


@pi
def test_cached_buffers(board: Places, tmp_path: Path) -> None:
    """The DMA engine finds what was synchronised, and nothing else. The firmware, which finds its orders in
    the buffer, cannot have one."""
    overlay = tmp_path / "cached.dtso"
    overlay.write_text(re.sub(r"size = <0x\w+>;", "size = <0x10000>; faultline,cached;",
                              (TOP / "dts/raspberrypi.dtso").read_text()))
    run = Boot(board, tmp_path)(f"--dtso={overlay}", "--append=swiotlb=force")
    assert ("faultline,cached: is not honoured here: the bus master finds its orders in the buffer"
            in run.console), run
    assert [what[1:] for what in run.devices().values()] == [(0x10000, "cached")], run
    report = ktap.parse(run.console, board.kernel_source)
    # The refusal is in the kernel's log.
    assert report.failed_checks() == {"kernel_log"}, run
    assert ("/dev/faultline0", "master_copy") in report.ok, run


@pi
def test_mailbox_that_does_not_exist(board: Places, tmp_path: Path) -> None:
    """Registers that are always zero look like a mailbox with endless mail."""
    overlay = tmp_path / "elsewhere.dtso"
    overlay.write_text((TOP / "dts/raspberrypi.dtso").read_text().replace("7e00b880", "7e203000"))
    run = Boot(board, tmp_path)(f"--dtso={overlay}")
    assert "mailbox: the firmware does not tell the command line: Error(110)" in run.console, run
    assert run.status == 1 and "/dev/faultline0: kernel_log" in run.console, run
