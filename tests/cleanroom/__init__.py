# SPDX-License-Identifier: GPL-2.0-only
"""A clean room: a bare Debian machine in which the README's commands run (docs/testing.md)."""
