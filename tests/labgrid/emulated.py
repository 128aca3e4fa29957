# SPDX-License-Identifier: GPL-2.0-only
"""labgrid's QEMU with the guest that `make run` boots; `make test` says in the environment which."""

from __future__ import annotations

import os
import shlex
import tempfile
from pathlib import Path

import attr
from labgrid.driver import ExecutionError, QEMUDriver
from labgrid.factory import target_factory

from guests import Boot
from places import Places
from runner.arguments import guest_of, parser
from runner.devicetree import device_tree
from runner.initramfs import initramfs

# Longer than QEMU takes to start on a busy machine; one that fails does not connect at all.
START_LIMIT = 300

# The longest path of a socket in bytes, unix(7), and what QEMUDriver adds to the directory for temporary files.
SOCKET_PATH = 107
SOCKET_NAME = "/labgrid-qemu-tmp-12345678/serialrw"


@target_factory.reg_driver
@attr.s(eq=False)
class GuestDriver(QEMUDriver):
    """What QEMUDriver would have to be told twice is in board.env, and read by run.py.

    options: for run.py, such as `--append=WORD`.
    """

    qemu_bin = attr.ib(default="", init=False)
    machine = attr.ib(default="", init=False)
    cpu = attr.ib(default="", init=False)
    memory = attr.ib(default="", init=False)
    options = attr.ib(default="", validator=attr.validators.instance_of(str))

    def get_qemu_base_args(self) -> list[str]:
        work = Path(self._tempdir)
        options = Boot(Places.from_environment(), work).options(*shlex.split(self.options))
        guest = guest_of(parser().parse_args(options))
        root = initramfs(guest, work)
        loaded = guest.loaded(root, device_tree(guest, work, root))
        # However the tests end, QEMU does with them. The board's console may not be its first port.
        return ["setpriv", "--pdeathsig=KILL", *loaded, "-monitor", "none",
                *("-serial", "null") * guest.board.serial]

    def on_activate(self) -> None:
        directory = tempfile.gettempdir()
        if len(os.fsencode(directory + SOCKET_NAME)) > SOCKET_PATH:
            raise ExecutionError(f"{directory} is too long a path for the sockets of QEMU's console: "
                                 "set TMPDIR to a shorter one")
        super().on_activate()
        # Where QEMUDriver waits for QEMU to connect its console.
        self._socket.settimeout(START_LIMIT)

    def off(self) -> None:
        """Pulls the plug: a guest that has switched itself off is as welcome as one that hangs."""
        if self.status:
            self._child.kill()
            self._child.communicate()
            self._child = None
            self.status = 0
