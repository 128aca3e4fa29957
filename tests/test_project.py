# SPDX-License-Identifier: GPL-2.0-only
"""The project's name: what is compiled in agrees with board/common/project.env."""

from __future__ import annotations

import re

import pytest

from places import DRIVER, TOP, USERSPACE
from project import (COMPATIBLE, EXIT_STATUS, GUEST_MODULE, GUEST_RUN, KCONFIG, MODULE, NONCE_ITEM,
                     NONCE_PARAMETER, PROJECT)

pytestmark = pytest.mark.unit

RUST = sorted([*DRIVER.rglob("*.rs"), *USERSPACE.glob("*/src/**/*.rs")])
BUILDROOT = [TOP / "buildroot/external.desc"]
OVERLAYS = sorted((TOP / "dts").glob("*.dtso"))

# What is looked for, where, and the only thing that may be found.
AGREED = {
    "module": ([DRIVER / "faultline_main.rs"], r'^    name: "([^"]+)",$', MODULE),
    "devices of the driver": (RUST, r'fmt!\("(\w+)\{\}"', MODULE),
    "devices of user space": (RUST, r"/dev/([a-z]+)[%*]", MODULE),
    "bus driver": (RUST, r'"/sys/bus/platform/drivers/(\w+)/', MODULE),
    "compatible of the driver": (
        [DRIVER / "platform.rs"], r'DeviceId::new\(c"([^"]+)"\)', COMPATIBLE),
    "compatible of the overlays": (OVERLAYS, r'compatible = (?:"[^"]+", )?"([\w-]+,coherent-buffer)"',
                                   COMPATIBLE),
    "nonce, in the device": (RUST, r'b"(opt/[^"]+)"', NONCE_ITEM),
    "nonce, on the command line": (RUST, r'b"(\w+\.nonce)="', NONCE_PARAMETER),
    "module in the guest": (RUST, r'"/(lib/modules/\w+\.ko)"', GUEST_MODULE),
    "program to run in the guest": (RUST, r'"/(etc/\w+/run)"', GUEST_RUN),
    "verdict": (RUST, r'"(\w+: exit status )', EXIT_STATUS),
    "Kconfig": ([DRIVER / "Kconfig"], r"^config (\w+?)(?:_SELFTEST)?$", KCONFIG),
    "Kbuild": ([DRIVER / "Kbuild"], r"CONFIG_(\w+?)(?:_SELFTEST)?\b", KCONFIG),
    "object": ([DRIVER / "Kbuild"], r"^obj-\S+ \+= (\w+)\.o$", MODULE),
    "Buildroot": (BUILDROOT, r"^name: (\w+)$", KCONFIG),
    "programs": (sorted(USERSPACE.glob("*/Cargo.toml")), r'^name = "(\w+)-\w+"$', PROJECT),
}


@pytest.mark.parametrize("what", AGREED)
def test_name_agrees(what: str) -> None:
    files, pattern, expected = AGREED[what]
    found = {name for path in files for name in re.findall(pattern, path.read_text(), re.MULTILINE)}
    assert found == {expected}
