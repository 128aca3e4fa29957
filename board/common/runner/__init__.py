# SPDX-License-Identifier: GPL-2.0-only
"""What ../run.py is made of.

outcome     how a run ends: exit statuses, errors, messages
values      the values of options, checked
arguments   the command line
board       what board.env says of a board's emulated machine
machine     QEMU's command line for a guest
starter     Linux where QEMU's own loader cannot start it
initramfs   the guest's root
devicetree  the guest's device tree
verdict     what a console says of the guest, and of the kernel
qemu        QEMU as a process: its start, its console, its end
"""
