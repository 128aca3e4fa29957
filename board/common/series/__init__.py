# SPDX-License-Identifier: GPL-2.0-only
"""What upstream.py is made of: patches against the kernel, made from the driver's own sources."""
