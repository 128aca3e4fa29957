# SPDX-License-Identifier: GPL-2.0-only
"""What a clean room takes from this machine: its way to the network, and nothing else.

The project names no addresses: the mirrors are those of this machine's apt, and the certificates
and proxies those that its administrator has set up.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

KEYRINGS = Path("/usr/share/keyrings")
CERTIFICATES = Path("/usr/local/share/ca-certificates")
PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy")
# apt's settings that are about the way to the mirrors.
APT_SETTINGS = ("Acquire::http::", "Acquire::https::", "Acquire::Check-Valid-Until",
                "Acquire::Check-Date", "Acquire::Retries", "Acquire::ForceIPv4")


class Unsuitable(Exception):
    """This machine cannot make a room; the text says what is missing."""


@dataclass(frozen=True)
class Mirrors:
    debian: str
    security: str


def mirrors() -> Mirrors:
    """The mirrors of Debian that this machine's apt uses."""
    # $(REPO_URI) and the others are apt's own variables.
    asked = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(LABEL) $(REPO_URI)", "Created-By: Packages"],
        text=True, capture_output=True, check=False, env={**os.environ, "LC_ALL": "C"},
    )
    found: dict[str, str] = {}
    for line in asked.stdout.splitlines():
        label, _, address = line.rpartition(" ")
        found.setdefault(label, address)
    if "Debian" not in found:
        raise Unsuitable("apt's sources name no mirror of Debian (run apt-get update once?):"
                         " give --mirror and --security-mirror")
    security = found.get("Debian-Security", found["Debian"].rstrip("/") + "-security/")
    return Mirrors(found["Debian"], security)


def keyring() -> Path:
    for name in ("debian-archive-keyring.gpg", "debian-archive-keyring.pgp"):
        if (file := KEYRINGS / name).exists():
            return file
    raise Unsuitable(f"{KEYRINGS}/debian-archive-keyring.gpg is missing: install the package"
                     " debian-archive-keyring")


def proxies() -> dict[str, str]:
    names = [*PROXIES, *(name.upper() for name in PROXIES)]
    return {name: os.environ[name] for name in names if name in os.environ}


def apt_settings() -> str:
    """Lines of apt.conf: this machine's settings for reaching the mirrors."""
    dumped = subprocess.run(["apt-config", "dump"], text=True, capture_output=True, check=True)
    return "".join(line + "\n" for line in dumped.stdout.splitlines()
                   if line.startswith(APT_SETTINGS) and not line.endswith(' "";'))


def files() -> dict[str, bytes]:
    """Files of the room, by their path below its root."""
    copied = [Path("/etc/resolv.conf"), Path("/etc/pip.conf")]
    if CERTIFICATES.is_dir():
        copied += sorted(CERTIFICATES.rglob("*.crt"))
    found = {str(path).lstrip("/"): path.read_bytes() for path in copied if path.exists()}
    found["etc/apt/apt.conf.d/90clean-room"] = apt_settings().encode()
    return found


def describe() -> str:
    """This machine's processors, for a table of times."""
    model = "unknown CPU"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = " ".join(line.partition(":")[2].split())
            break
    return f"{len(os.sched_getaffinity(0))} × {model}"
