# SPDX-License-Identifier: GPL-2.0-only
"""What ../flash.py is made of.

devices   block devices, as the kernel describes them
checks    what speaks against writing to one; which image to write
writing   the write, and the read-back
"""
