# SPDX-License-Identifier: GPL-2.0-only
"""The command line, and the guest that it asks for."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from project import MODULE
from runner.board import Board
from runner.machine import GDB_PORT, Guest
from runner.outcome import SetupError
from runner.values import directory, file, memory, positive, words


class Parser(argparse.ArgumentParser):
    """A wrong argument is a set-up error like any other."""

    def error(self, message: str) -> NoReturn:
        raise SetupError(message)


def parser(description: str = "") -> Parser:
    p = Parser(
        description=description,
        epilog="A value that begins with a dash is given as --option=value.",
        allow_abbrev=False,
    )
    p.add_argument("--board", required=True, metavar="NAME", help="a folder of board/")
    p.add_argument("--kernel", required=True, type=file, metavar="IMAGE")
    p.add_argument("--module", type=file, metavar="KO", help=f"{MODULE}.ko")
    p.add_argument("--init", type=file, metavar="PROG",
                   help="becomes /init, or with --run /bin/PROG")
    p.add_argument("--runner", type=file, metavar="PROG", help="becomes /init with --run")
    p.add_argument("--disk", type=file, metavar="FILE",
                   help="root disk, instead of an initramfs; nothing is written to it")
    p.add_argument("--initramfs", type=file, metavar="FILE",
                   help="boot this root, which has an init of its own, instead of --module and --init")
    p.add_argument("--script", type=Path, metavar="FILE",
                   help="write a script that starts the guest to FILE, instead of starting it")
    p.add_argument("--dtb", type=file, metavar="FILE", help="instead of the board's own tree and overlay")
    p.add_argument("--overlay", action="append", default=[], type=directory, metavar="DIR",
                   help="lay DIR's files over the initramfs; may be given again")
    p.add_argument("--run", default=[], type=words, metavar="'PROG ARG…'",
                   help="run this program in the guest, instead of the verification")
    p.add_argument("--dtso", type=file, metavar="FILE", help="instead of the board's own overlay")
    p.add_argument("--validate", type=Path, metavar="PROG",
                   help="warn of what this dt-validate, or the one in PATH, finds in the device tree")
    p.add_argument("--smp", type=positive, metavar="N", help="CPUs")
    p.add_argument("--mem", type=memory, metavar="SIZE", help="RAM, such as 512M")
    p.add_argument("--cpu", metavar="NAME", help="a CPU model of QEMU's")
    p.add_argument("--qemu", metavar="PROG", help="instead of the board's QEMU in PATH")
    p.add_argument("--append", default="", metavar="STR", help="add to the kernel command line")
    p.add_argument("--qemu-args", default=[], type=words, metavar="STR", help="add to QEMU's command line")
    p.add_argument("--timeout", type=positive, metavar="SEC",
                   help="end a guest that takes longer (default: the board's limit; none for "
                        "--interactive and --gdb)")
    p.add_argument("--interactive", action="store_true",
                   help="use the terminal as the console; if standard input is not a terminal, the "
                        "program of --run reads it")
    p.add_argument("--gdb", action="store_true", help=f"wait for a debugger on port {GDB_PORT}")
    p.add_argument("--work", type=directory, metavar="DIR", help="keep intermediate files here")
    p.add_argument("--log", type=Path, metavar="FILE", help="keep the console's output here")
    return p


def guest_of(args: argparse.Namespace) -> Guest:
    if args.run and not args.runner:
        raise SetupError("--run needs --runner, the init program that runs it")
    if [bool(args.disk), bool(args.initramfs), bool(args.module and args.init)].count(True) != 1:
        raise SetupError("give either --disk, or --initramfs, or both --module and --init")
    board = Board.load(args.board)
    if args.disk and not board.layout:
        raise SetupError(f"--disk: there are no images of the board {args.board}")
    asked = {key: getattr(args, key) for key in ("qemu", "cpu", "smp", "mem") if getattr(args, key)}
    takes_input = args.interactive and not sys.stdin.isatty()
    if takes_input and not args.run:
        raise SetupError("--interactive needs --run if standard input is not a terminal: nothing would read it")
    interactive = args.interactive and not takes_input
    attended = interactive or args.gdb
    return Guest(
        board=replace(board, **asked),
        kernel=args.kernel,
        module=args.module,
        init=args.init,
        disk=args.disk,
        initramfs=args.initramfs,
        dtb=args.dtb,
        runner=args.runner,
        overlays=args.overlay,
        run=args.run,
        dtso=args.dtso or (None if args.dtb else board.dtso),
        validate=args.validate,
        append=args.append,
        qemu_args=args.qemu_args,
        timeout=args.timeout or (None if attended else board.timeout),
        interactive=interactive,
        gdb=args.gdb,
        takes_input=takes_input,
    )
