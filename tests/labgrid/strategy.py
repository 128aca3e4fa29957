# SPDX-License-Identifier: GPL-2.0-only
"""How a board gets from whatever it is doing to a fresh boot, by whatever switches it has."""

from __future__ import annotations

from pathlib import Path

import attr
from labgrid.factory import target_factory
from labgrid.strategy import Strategy, StrategyError


@target_factory.reg_driver
@attr.s(eq=False)
class BoardStrategy(Strategy):
    """Power and console every board has. What brings new software to it, it may have: a
    multiplexer that hands its SD card to us, or a TFTP server that it boots from.

    limit: seconds from power to verdict.
    card: the image (of `images:`) to write to the SD card before the first boot.
    files: the images to put on the TFTP server before the first boot.
    """

    bindings = {
        "power": "PowerProtocol",
        "console": "ConsoleProtocol",
        "mux": {"USBSDMuxDriver", "USBSDWireDriver", None},
        "storage": {"USBStorageDriver", None},
        "tftp": {"TFTPProviderDriver", None},
    }

    limit = attr.ib(default=60, validator=attr.validators.instance_of(int))
    card = attr.ib(default=None)
    files = attr.ib(factory=list)
    provided = attr.ib(default=False, init=False)

    def transition(self, status: str) -> None:
        states = {"off": self._off, "started": self._started}
        if status not in states:
            raise StrategyError(f"no state '{status}': there are {', '.join(states)}")
        states[status]()

    def _off(self) -> None:
        self.target.activate(self.power)
        self.power.off()
        # An emulated board is its own console: each boot makes a new one.
        self.target.deactivate(self.console)
        self.target.deactivate(self.power)

    def _started(self) -> None:
        self._off()
        if not self.provided:
            self._provide()
            self.provided = True
        # First the ears, then the power: nothing of what the board says is missed.
        self.target.activate(self.console)
        self.target.activate(self.power)
        self.power.on()

    def _provide(self) -> None:
        images = {key: self.target.env.config.get_image_path(key)
                  for key in [*([self.card] if self.card else []), *self.files]}
        for key, path in images.items():
            if not Path(path).is_file():
                raise StrategyError(f"image '{key}': there is no {path}")
        if self.card and not (self.mux and self.storage):
            raise StrategyError("card: it takes a multiplexer's driver, and USBStorageDriver")
        if self.mux:
            self.target.activate(self.mux)
        if self.card:
            self.mux.set_mode("host")
            self.target.activate(self.storage)
            self.storage.write_image(images[self.card])
            self.target.deactivate(self.storage)
        if self.mux:
            # Wherever the session before has left it.
            self.mux.set_mode("dut")
        if self.files:
            if not self.tftp:
                raise StrategyError("files: they take TFTPProviderDriver")
            self.target.activate(self.tftp)
            for key in self.files:
                self.tftp.stage(images[key])
