# SPDX-License-Identifier: GPL-2.0-only
"""What ../bench.py is made of.

guest    the guest that measures: its steps, its files, its boot
report   what it has measured
table    the tables for a reader
results  sizes, the graph, the file of all numbers
plot     a plot as SVG
"""
