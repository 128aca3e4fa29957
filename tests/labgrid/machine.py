# SPDX-License-Identifier: GPL-2.0-only
"""A board emulated by QEMU as it would be in a farm: behind a serial server and a power switch.

Both run whether the board is on or off. The serial server uses plain TCP (labgrid's
NetworkSerialPort, protocol raw), the switch HTTP (its NetworkPowerPort, model rest). The switch
starts board/common/run.py.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
import tty
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import IO

LOOPBACK = "127.0.0.1"
# For run.py to end QEMU, which may have to be killed.
OFF_LIMIT = 120
# A listener that does not listen would stop the board's console for all.
LISTENER_LIMIT = 5


class Machine:
    def __init__(self, command: Sequence[str], log: IO[bytes]) -> None:
        self.command = command
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None
        self.keyboard: IO[bytes] | None = None
        self.listeners: set[socket.socket] = set()
        self.lock = threading.Lock()
        self.serial = socket.create_server((LOOPBACK, 0))
        self.switch = HTTPServer((LOOPBACK, 0), handler(self))

    @property
    def serial_port(self) -> int:
        return self.serial.getsockname()[1]

    @property
    def switch_port(self) -> int:
        return self.switch.server_address[1]

    @contextlib.contextmanager
    def plugged_in(self) -> Iterator[Machine]:
        threads = [threading.Thread(target=each, daemon=True) for each in (self.accept, self.serve)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self.switch.shutdown()  # from here on nothing can switch the board on again
            threads[-1].join()
            self.switch.server_close()
            self.serial.close()

    # ------------------------------------------------------------------------------------- power

    def serve(self) -> None:
        """Runs the switch, and switches off at the end, so that the guest ends too."""
        self.switch.serve_forever()
        self.off()

    def is_on(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def on(self) -> None:
        if self.is_on():
            return
        # If we are killed, run.py is, and QEMU with it. The kernel goes by the thread that has
        # started it: the switch's, which lives until all is off.
        # A console is a terminal: from anything else run.py would read a program's input, to its end.
        keyboard, terminal = os.openpty()
        tty.setraw(terminal)
        if self.keyboard:
            self.keyboard.close()
        self.keyboard = open(keyboard, "wb", buffering=0)
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig=KILL", *self.command, "--interactive"],
            stdin=terminal, stdout=subprocess.PIPE, stderr=self.log,
        )
        os.close(terminal)
        threading.Thread(target=self.speak, args=(self.process,), daemon=True).start()

    def off(self) -> None:
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(OFF_LIMIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    # ------------------------------------------------------------------------------------ serial

    def accept(self) -> None:
        with contextlib.suppress(OSError):  # closed at the end
            while True:
                listener, _ = self.serial.accept()
                listener.settimeout(LISTENER_LIMIT)
                with self.lock:
                    self.listeners.add(listener)
                threading.Thread(target=self.listen, args=(listener,), daemon=True).start()

    def speak(self, process: subprocess.Popen[bytes]) -> None:
        """Sends the board's output to all clients."""
        assert process.stdout
        while data := process.stdout.read1():
            with self.lock:
                listeners = list(self.listeners)
            for listener in listeners:
                try:
                    listener.sendall(data)
                except OSError:
                    self.drop(listener)

    def listen(self, listener: socket.socket) -> None:
        """Sends a client's input to the board, if it is on."""
        with contextlib.suppress(OSError):
            while True:
                try:
                    if not (data := listener.recv(4096)):
                        break
                except TimeoutError:
                    continue
                if self.is_on() and self.keyboard:
                    with contextlib.suppress(OSError, ValueError):  # it goes off at this moment
                        self.keyboard.write(data)
        self.drop(listener)

    def drop(self, listener: socket.socket) -> None:
        with self.lock:
            self.listeners.discard(listener)
        listener.close()


def handler(machine: Machine) -> type[BaseHTTPRequestHandler]:
    class Switch(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(200)

        def do_PUT(self) -> None:
            value = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            action = {b"1": machine.on, b"0": machine.off}.get(value)
            if action:
                action()
            self.answer(200 if action else 400)

        def answer(self, status: int) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b"1" if machine.is_on() else b"0")

        def log_message(self, *_: object) -> None:
            pass  # run.py's own words are log enough

    return Switch
