# SPDX-License-Identifier: GPL-2.0-only
"""Cached buffers: `faultline,cached`, the ioctl SYNC, and pages that can be pinned.

QEMU has no caches. With `swiotlb=force` the kernel gives every device a bounce buffer and copies where a
driver synchronises: what is not synchronised, or not the right way, is stale."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

import ktap
from conftest import Make
from guests import Boot, Run
from places import TOP, Places, environment
from test_debian import needs
from test_memory import NO_MAP, REUSABLE, complaints, mutant, tree, verdict

pytestmark = pytest.mark.boot

MIB = 1024 * 1024
GIB = 1024 * MIB

DTSO = f"--dtso={TOP / 'dts/qemu-virt-cached.dtso'}"
BOUNCE = "--append=swiotlb=force"
NODES = {
    "dma-buffer-0": ("/dev/faultline0", 0x4000, "cached"),
    "9020000.dma-buffer": ("/dev/faultline1", 0x10000, "cached"),
    "dma-buffer-1": ("/dev/faultline2", 0x5000, "cached"),
}
WITH_MASTER, PINNED_NODE = NODES["9020000.dma-buffer"][0], "9020000.dma-buffer"


def check(run: Run, places: Places) -> None:
    """Every buffer passes all checks, except those that only a device with a bus master has, and the one
    that looks while the device writes."""
    assert verdict(run) == (0, ""), run
    assert run.devices() == NODES
    report = ktap.parse(ktap.of_programs(run.console), places.kernel_source)
    masters = {"master_fill", "master_copy", "master_refuses", "master_polled"}
    skipped = {(path, name) for path, _, _ in NODES.values() for name in masters if path != WITH_MASTER}
    assert (report.errors, report.not_ok) == (0, set()), run
    assert report.skipped == skipped | {(WITH_MASTER, "master_polled")}, run
    for path, _, _ in NODES.values():
        for name in ("attribute_user", "attribute_kernel"):
            seen = re.findall(rf"# {name}: type of .*: (.*), want (.*)$", run.console, re.MULTILINE)
            assert set(seen) == {("Normal write-back", "Normal write-back")}, run
        assert (path, "sync_refuses") in report.ok, run


def test_without_bounce_buffers(boot: Boot, places: Places) -> None:
    check(boot(DTSO), places)


def test_with_bounce_buffers(boot: Boot, places: Places) -> None:
    check(boot(DTSO, BOUNCE), places)


def test_debug_kernel(debug_boot: Boot, places: Places) -> None:
    """DMA-API debugging, lockdep, KASAN have nothing to say."""
    check(debug_boot(DTSO, BOUNCE), places.debug)


# With a bounce buffer, what each of them breaks.
DATA = {"master_fill", "master_copy"}
MUTANTS = {
    "sync-silent": DATA,
    "sync-wrong-range": DATA,
    "sync-wrong-direction": DATA,
    "sync-misplaced": DATA,
    "sync-end-alone": {"sync_refuses"},
}


@pytest.mark.parametrize("name", MUTANTS)
def test_wrong_synchronisation_is_caught(boot: Boot, places: Places, make: Make, name: str) -> None:
    run = boot(DTSO, BOUNCE, module=mutant(make, places, name))
    assert (run.status, run.message) == (1, "run: the guest's exit status is 1"), run
    report = ktap.parse(run.console, places.kernel_source)
    failed = {path[-1] for path in report.not_ok if path[0] == WITH_MASTER and len(path) > 1}
    assert failed == MUTANTS[name], run


def test_long_buffer(boot: Boot, tmp_path: Path) -> None:
    """Longer than the page allocator's longest run of pages."""
    run = boot(tree(tmp_path, {}, [f"faultline,cached; dma-noncoherent; size = <{6 * MIB:#x}>;"]))
    assert verdict(run) == (0, ""), run
    assert run.devices() == {"dma-buffer-0": ("/dev/faultline0", 6 * MIB, "cached")}


def test_narrow_device(boot: Boot, tmp_path: Path) -> None:
    """On 8 GiB a device with 32 bits gets pages that it reaches: no bounce buffer is needed."""
    run = boot(tree(tmp_path, {}, [
        "faultline,cached; dma-mask-bits = <32>; dma-noncoherent;",
        "faultline,cached; dma-noncoherent;"]), "--mem=8G")
    assert verdict(run) == (0, ""), run
    dma = re.findall(r"^# (/dev/\w+): .* DMA address (0x\w+)$", run.console, re.MULTILINE)
    pages = re.findall(r"# pagemap_kernel: .*: (0x\w+), want", run.console)
    devices = {node: path for node, (path, _, _) in run.devices().items()}
    addresses = {path: (int(address, 16), int(page, 16)) for (path, address), page in zip(dma, pages)}
    # Of one page: the device has the pages themselves.
    for address, page in addresses.values():
        assert address == page, run
    assert addresses[devices["dma-buffer-0"]][0] < 4 * GIB, run
    # Without the property they are above: the test can tell.
    assert addresses[devices["dma-buffer-1"]][0] >= 4 * GIB, run


def test_shifted_bus(boot: Boot, tmp_path: Path) -> None:
    """A DMA address that is no physical one."""
    source = (TOP / "dts/qemu-virt-dma-ranges.dtso").read_text()
    overlay = tmp_path / "shifted.dtso"
    overlay.write_text(source.replace("size =", "faultline,cached; size ="))
    run = boot(f"--dtso={overlay}")
    assert verdict(run) == (0, ""), run
    assert {seen for _, _, seen in run.devices().values()} == {"cached"}, run


REFUSED = {
    "reusable region": ("faultline,cached; memory-region = <&one>;",
                        "memory-region: is not honoured here: faultline,cached takes pages of the kernel's own"),
    "no-map region": ("faultline,cached; memory-region = <&two>;",
                      "memory-region: is not honoured here: faultline,cached takes pages of the kernel's own"),
    "with a value": ("faultline,cached = <1>;", "faultline,cached: 4 bytes, want no value"),
    "too long for a bounce buffer": (
        f"faultline,cached; dma-noncoherent; size = <{MIB:#x}>;",
        f"faultline,cached: the DMA layer cannot map {MIB} bytes for the device: what it does not reach goes "
        "through bounce buffers of 256 KiB at most"),
    "more than there is": (
        f"faultline,cached; size = <{448 * MIB:#x}>;",
        f"size: cannot allocate {448 * MIB} contiguous bytes of cached memory: make the buffer smaller, or "
        "bind the driver earlier"),
    "u-dma-buf's synchronisation": (
        "faultline,cached; sync-mode = <1>;",
        "sync-mode: is not honoured here: coherent memory needs no synchronisation; for cached memory write "
        "faultline,cached, and call SYNC"),
}


def test_refused(boot: Boot, tmp_path: Path) -> None:
    """The property is named; the kernel has nothing to warn of, and nothing is kept."""
    regions = {"one": (0x5000_0000, 4 * MIB, REUSABLE), "two": (0x5100_0000, 2 * MIB, NO_MAP)}
    run = boot(tree(tmp_path, regions, [node for node, _ in REFUSED.values()]), BOUNCE, "--mem=512M")
    for number, (_, want) in enumerate(REFUSED.values()):
        assert complaints(run, f"dma-buffer-{number}") == [want], run
    assert run.devices() == {}
    assert verdict(run) == (4, "run: the guest's exit status is 4"), run


def guest(*words: str) -> str:
    return f"--run=/bin/faultline-guest-test {' '.join(words)}"


def test_unbinding_while_pages_are_pinned(debug_boot: Boot, guest_test: str) -> None:
    """They keep what the CPU stored, nobody else gets them, and they are freed at last."""
    run = debug_boot(guest_test, DTSO, BOUNCE, guest("pinned", WITH_MASTER, PINNED_NODE))
    assert (run.status, run.message) == (0, ""), run


def test_pages_that_are_overwritten_are_seen(boot: Boot, guest_test: str, places: Places, make: Make) -> None:
    """By what the device has written, when the DMA mapping ends."""
    run = boot(guest_test, DTSO, BOUNCE, guest("pinned", WITH_MASTER, PINNED_NODE),
               module=mutant(make, places, "pinned-overwritten"))
    assert run.status == 1, run
    assert "unexpected: a pinned page: it has changed" in run.console, run


def test_pages_that_are_freed_are_seen(debug_boot: Boot, guest_test: str, places: Places, make: Make) -> None:
    """By the debug kernel, when the pipe is read."""
    built = make("-s", "module", "MUTANT=pinned-freed", "DEBUG=1")
    assert built.returncode == 0, built.stdout
    run = debug_boot(guest_test, DTSO, BOUNCE, guest("pinned", WITH_MASTER, PINNED_NODE),
                     module=places.debug.kernel_build / "driver-pinned-freed/faultline.ko")
    assert run.status == 1 and run.message.startswith("run: the kernel reported"), run


@pytest.fixture(scope="module")
def with_ram_disk(make: Make, guest_test: str, tmp_path_factory: pytest.TempPathFactory, places: Places) -> Path:
    """An overlay for a guest with Debian's kernel, which has io_uring and a block layer, with the kernel's
    own RAM disk, compiled from its sources: Debian's package has it as a module of its own."""
    needs(make, "debian")
    done = make("-s", "module", "KERNEL=debian")
    assert done.returncode == 0, done.stdout
    env = environment(places.build.parent / f"{places.board}-debian/kernel.env")
    work = tmp_path_factory.mktemp("ram-disk")
    shutil.copy(places.kernel_source / "drivers/block/brd.c", work)
    (work / "Kbuild").write_text("obj-m := brd.o\n")
    built = subprocess.run(
        ["bash", "-euc", ". board/common/versions.env; . board/common/debian.sh; DEBIAN_TOOLS=$1; debian_kbuild M=$0 modules",
         work, Path(env["KERNEL_DIR"]).parent], cwd=TOP, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={"PATH": "/usr/bin:/bin", "HOME": str(work), "KERNEL": "debian", "KERNEL_DIR": env["KERNEL_DIR"],
             "KERNEL_OUT": env["KERNEL_OUT"]})
    assert built.returncode == 0, built.stdout
    overlay = shutil.copytree(guest_test.removeprefix("--overlay="), work / "overlay")
    (overlay / "lib/modules").mkdir(parents=True)
    shutil.copy(work / "brd.ko", overlay / "lib/modules")
    return overlay


@pytest.mark.parametrize("words", ["direct /dev/faultline1 /dev/ram0", "ring /dev/faultline1 /dev/ram0",
                                   "ring /dev/faultline2 /tmp/file"])
def test_file_from_the_mapping(make: Make, with_ram_disk: Path, words: str) -> None:
    """O_DIRECT and io_uring's fixed buffers, on a block device, and on a file of tmpfs."""
    done = make("run", "KERNEL=debian", f"DTS={DTSO.removeprefix('--dtso=')}", f"OVERLAY={with_ram_disk}",
                f"RUN=/bin/faultline-guest-test {words}")
    assert done.returncode == 0, done.stdout
    assert "exit status 0" in done.stdout, done.stdout
