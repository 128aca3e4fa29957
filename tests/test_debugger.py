# SPDX-License-Identifier: GPL-2.0-only
"""What `make debug` starts: a guest that waits for a debugger."""

from __future__ import annotations

import re
import socket
import subprocess
import time
from pathlib import Path

import pytest

from guests import PATIENCE, Boot
from project import EXIT_STATUS
from runner.machine import GDB_PORT

GDB = ("localhost", GDB_PORT)
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
            pytest.skip(f"something else listens on port {GDB_PORT}")
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
    assert f"{EXIT_STATUS}0".encode() in console
    vmlinux = re.search(rf"^  gdb-multiarch (\S+) -ex 'target remote localhost:{GDB_PORT}'",
                        said.decode(), re.MULTILINE)
    assert vmlinux and Path(vmlinux[1]).is_file(), said
