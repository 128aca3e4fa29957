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

# Where the programs have the name; what they make of it is one entry each of FORMS.
NAME = USERSPACE / "core/src/name.rs"
FORMS = {
    "MODULE_FILE": f"/{GUEST_MODULE}",
    "RUN_FILE": f"/{GUEST_RUN}",
    "NONCE": f"{NONCE_PARAMETER}=",
    "COMPATIBLE": COMPATIBLE,
    "DEVICE": f"/dev/{MODULE}",
    "UNBIND": f"/sys/bus/platform/drivers/{MODULE}/unbind",
    "BIND": f"/sys/bus/platform/drivers/{MODULE}/bind",
    "CLASS_DEVICE": f"/sys/class/misc/{MODULE}",
}

# What is looked for, where, and the only thing that may be found.
AGREED = {
    "module": ([DRIVER / "faultline_main.rs"], r'^    name: "([^"]+)",$', MODULE),
    "devices of the driver": (RUST, r'fmt!\("(\w+)\{\}"', MODULE),
    "project of user space": ([NAME], r'macro_rules! project \{\n.*\n +"(\w+)"', PROJECT),
    "module of user space": ([NAME], r'macro_rules! module \{\n.*\n +"(\w+)"', MODULE),
    "Kconfig of user space": ([NAME], r'"CONFIG_(\w+)_SELFTEST"', KCONFIG),
    "compatible of the driver": (
        [DRIVER / "platform.rs"], r'DeviceId::new\(c"([^"]+)"\)', COMPATIBLE),
    "compatible of the overlays": (OVERLAYS, r'compatible = (?:"[^"]+", )?"([\w-]+,coherent-buffer)"',
                                   COMPATIBLE),
    "nonce, in the device": (RUST, r'b"(opt/[^"]+)"', NONCE_ITEM),
    "Kconfig": ([DRIVER / "Kconfig"], r"^config (\w+?)(?:_SELFTEST|_RUNTIME)?$", KCONFIG),
    "Kbuild": ([DRIVER / "Kbuild"], r"CONFIG_(?!CONFIGFS)(\w+?)(?:_SELFTEST|_RUNTIME)?\b", KCONFIG),
    "object": ([DRIVER / "Kbuild"], r"^obj-\S+ \+= (\w+)\.o$", MODULE),
    "Buildroot": (BUILDROOT, r"^name: (\w+)$", KCONFIG),
    "programs": (sorted(USERSPACE.glob("*/Cargo.toml")), r'^name = "(\w+)-\w+"$', PROJECT),
}


@pytest.mark.parametrize("what", AGREED)
def test_name_agrees(what: str) -> None:
    files, pattern, expected = AGREED[what]
    found = {name for path in files for name in re.findall(pattern, path.read_text(), re.MULTILINE)}
    assert found == {expected}


def parts_of(source: str, constant: str) -> str:
    """The string that a constant of name.rs is put together of."""
    found = re.search(rf"pub const {constant}: &\w+ = (?:concat|path)!\((.*)\);", source)
    assert found, f"no {constant}"
    names = {"project!()": PROJECT, "module!()": MODULE}
    return "".join(names.get(part, part.strip('"')) for part in found[1].split(", "))


@pytest.mark.parametrize("constant", FORMS)
def test_form_of_the_name_agrees(constant: str) -> None:
    assert parts_of(NAME.read_text(), constant) == FORMS[constant]


def test_last_line_of_a_machine_agrees() -> None:
    source = (USERSPACE / "sys/src/init.rs").read_text()
    assert '"{PROJECT}: exit status {}"' in source
    assert EXIT_STATUS == f"{PROJECT}: exit status "


def strings(source: str) -> list[str]:
    """The strings of a Rust file, without those of comments and of its tests."""
    source = re.split(r"^#\[cfg\(test\)\]\nmod tests \{", source, flags=re.MULTILINE)[0]
    literals = r'"(?:[^"\\]|\\.)*"'
    return [match[0] for match in re.finditer(rf"//[^\n]*|'\"'|{literals}", source, re.DOTALL)
            if match[0].startswith('"')]


def test_strings_of_a_rust_file() -> None:
    source = 'a("x", b"y \\" z"); // "w"\n/// "v"\nc(\'"\', "u\\\n t");\n#[cfg(test)]\nmod tests {\n"s"'
    assert strings(source) == ['"x"', '"y \\" z"', '"u\\\n t"']


def test_programs_have_the_name_in_one_file() -> None:
    """A program that is renamed is renamed there."""
    ours = [path for path in sorted(USERSPACE.glob("*/src/**/*.rs"))
            if path != NAME and not {"tests", "fake", "tests.rs", "fake.rs"} & set(path.parts)]
    assert len(ours) > 60
    found = [f"{path.relative_to(TOP)}: {text}" for path in ours for text in strings(path.read_text())
             if PROJECT in text or MODULE in text or f"CONFIG_{KCONFIG}" in text]
    assert found == []
