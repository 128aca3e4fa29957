# SPDX-License-Identifier: GPL-2.0-only
"""What ../new_driver.py is made of.

names     what a driver may be called, and what becomes of this project's own name
manifest  which files a new driver has (rooms.toml), and the few lines that differ (wires/)
lock      Cargo.lock of its workspace
tree/     the files that only a new driver has, in their places in its tree
"""
