# SPDX-License-Identifier: GPL-2.0-only
"""What `pip config list` says about the network, as NUL-terminated NAME=value for the environment."""

import ast
import sys

NETWORK = {
    "index-url", "extra-index-url", "find-links", "no-index", "proxy", "cert", "client-cert",
    "trusted-host", "timeout", "retries", "keyring-provider",
}

for line in sys.stdin:
    key, _, value = line.rstrip("\n").partition("=")
    section, _, name = key.rpartition(".")
    if section in ("global", "install") and name in NETWORK:
        words = ast.literal_eval(value).split("\n")
        print(f"PIP_{name.upper().replace('-', '_')}={' '.join(words).strip()}", end="\0")
