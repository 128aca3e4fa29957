# SPDX-License-Identifier: GPL-2.0-only
"""How the sources look: format, clippy, where `unsafe` may be, licences, what is tracked."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

import rust_words
from places import DRIVER, SETUP, TOP, USERSPACE, Places

pytestmark = pytest.mark.lint

GUEST = TOP / "tests/guest"


def call(*command: str | Path, cwd: Path = TOP) -> None:
    """Run a checker; what it says is the failure's text."""
    done = subprocess.run(
        command, cwd=cwd, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )
    assert done.returncode == 0, done.stdout


def test_driver_is_formatted(places: Places) -> None:
    """As the kernel's own `make rustfmtcheck`, which has no rule for modules out of tree."""
    files = sorted(DRIVER.rglob("*.rs"))
    assert files
    call(places.rust_bin / "rustfmt", "--check", "--edition=2021",
         f"--config-path={places.kernel_source / '.rustfmt.toml'}", *files)


@pytest.mark.parametrize("workspace", [USERSPACE, GUEST], ids=["userspace", "tests/guest"])
def test_userspace_is_formatted(places: Places, workspace: Path) -> None:
    files = sorted(path for path in workspace.rglob("*.rs") if "target" not in path.parts)
    assert files
    config = USERSPACE / "rustfmt.toml"
    call(places.rust_bin / "rustfmt", "--check", f"--config-path={config}", *files)


@pytest.mark.parametrize("selftest", [(), ("CONFIG_FAULTLINE_SELFTEST=y",)],
                         ids=["driver", "with the self-test"])
def test_driver_clippy(places: Places, selftest: tuple[str, ...]) -> None:
    """The kernel's own lints; the module is built apart, for clippy's objects are no release."""
    output = places.build / f"driver-clippy{'-selftest' if selftest else ''}"
    # Clippy speaks when it compiles: nothing may be up to date.
    shutil.rmtree(output, ignore_errors=True)
    done = subprocess.run(
        [SETUP, "module", output, "CLIPPY=1", *selftest], cwd=TOP, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )
    assert done.returncode == 0, done.stdout
    assert "CLIPPY [M] faultline_main.o" in done.stdout, done.stdout
    assert not re.search(r"^(?:warning|error)\b", done.stdout, re.MULTILINE), done.stdout


def test_userspace_clippy_host() -> None:
    call(SETUP, "cargo", "clippy", "--locked", "--all-targets", "--", "--deny=warnings")


@pytest.mark.parametrize("workspace", [USERSPACE, GUEST], ids=["userspace", "tests/guest"])
def test_userspace_clippy_guest(places: Places, workspace: Path) -> None:
    """Once for each target, of which some boards have the same."""
    manifest = f"--manifest-path={workspace / 'Cargo.toml'}"
    targets = {places.of_board(board).target: board for board in places.boards}
    assert places.target in targets
    for board in targets.values():
        call("env", f"BOARD={board}", SETUP, "cross", "clippy", "--locked", "--workspace", manifest,
             "--", "--deny=warnings")


SNIPPETS = [
    ("unsafe { f() }", True),
    ("pub unsafe fn f() {}", True),
    ("#![deny(unsafe_op_in_unsafe_fn)]", False),
    ("// unsafe {}\nf()", False),
    ("/// `unsafe`\nfn f() {}", False),
    ("/* a /* nested */ unsafe */ f()", False),
    ("/* a /* nested */ comment */ unsafe { f() }", True),
    ('g("unsafe { }")', False),
    ('g("a \\" unsafe")', False),
    ('g("\\\\"); unsafe { f() }', True),
    ('g(r#"a "quoted" unsafe"#)', False),
    ('g(r#"a"#, unsafe { f() }, r#"b"#)', True),
    ("g(c\"unsafe\", b\"unsafe\", br\"unsafe\")", False),
    ("g('\"'); unsafe { f() } g('\"')", True),
    ("fn f<'a>(x: &'a str) { unsafe { g('\\'') } }", True),
    ("g(b'\"', \"unsafe\")", False),
]


@pytest.mark.parametrize(("source", "expected"), SNIPPETS)
def test_unsafe_is_found_in_code_alone(source: str, expected: bool) -> None:
    assert bool(list(rust_words.find(source, r"\bunsafe\b"))) == expected


def test_line_numbers() -> None:
    source = '/*\n*/ let s = "\n";\n\nunsafe {}\n'
    assert list(rust_words.find(source, r"\bunsafe\b")) == [5]


def offenders(files: list[Path], pattern: str) -> list[str]:
    return [
        f"{path.relative_to(TOP)}:{line}"
        for path in files
        for line in rust_words.find(path.read_text(), pattern)
    ]


# What has to be written with `unsafe`, or reaches past the kernel's abstractions.
UNSAFE = r"\bunsafe\b|\bbindings\s*::"


def test_unsafe_is_in_driver_ext_alone() -> None:
    files = sorted(DRIVER.rglob("*.rs"))
    outside = [path for path in files if "ext" not in path.relative_to(DRIVER).parts]
    assert len(outside) > 4
    assert offenders(outside, UNSAFE) == []
    # And the check does see what there is, in the driver and in its self-test.
    for ext in (DRIVER / "ext", DRIVER / "selftest/ext"):
        assert offenders(sorted(ext.rglob("*.rs")), UNSAFE)


def test_unsafe_is_in_userspace_sys_alone() -> None:
    sys = USERSPACE / "sys"
    outside = [path for path in sorted(USERSPACE.rglob("*.rs")) if sys not in path.parents]
    assert len(outside) > 4
    assert offenders(outside, UNSAFE) == []
    assert offenders(sorted(sys.rglob("*.rs")), UNSAFE)


def is_shell_script(path: Path) -> bool:
    with path.open("rb") as file:
        return re.match(rb"#!.*\b(?:ba|da)?sh\b", file.readline()) is not None


def test_shellcheck(sources: list[Path]) -> None:
    if not shutil.which("shellcheck"):
        pytest.skip("shellcheck is not installed")
    scripts = {path for path in sources if is_shell_script(path)}
    sourced = {path for path in sources if path.suffix == ".sh"} - scripts
    assert scripts
    call("shellcheck", "--external-sources", *sorted(scripts))
    # What is sourced takes variables and `set -e` from those that source it, and sets variables
    # for them: shellcheck, which does not see that, would have them misspelt, unguarded, unused.
    if sourced:
        unseen = "--exclude=SC2034,SC2153,SC2164"
        call("shellcheck", "--external-sources", unseen, *sorted(sourced))


LICENCES = {"GPL-2.0", "GPL-2.0-only", "GPL-2.0 WITH Linux-syscall-note",
            "GPL-2.0-only OR BSD-2-Clause"}
SPDX = re.compile(r"(?:##?|//|/\*|<!--|%) SPDX-License-Identifier: (.+?)(?: \*/| -->)?")


def licence(path: Path) -> str | None:
    """What the first line says, or the second one after `#!`.

    In Buildroot's makefiles a header of five lines, which its own check wants, comes first.
    """
    lines = path.read_text(errors="replace").splitlines()
    if lines and lines[0] == "#" * 80:
        lines = lines[lines.index("") + 1 :]
    if lines and lines[0].startswith("#!") and not lines[0].startswith("#!["):
        lines = lines[1:]
    # The first lines of a package's recipe are for its name, says Buildroot's check-package.
    if lines and set(lines[0]) == {"#"}:
        lines = lines[6:]
    match = SPDX.fullmatch(lines[0]) if lines else None
    return match[1] if match else None


def test_licences(sources: list[Path]) -> None:
    # Texts of licences are none of ours, and cargo writes its lock files itself.
    ours = [path for path in sources
            if TOP / "LICENSES" not in path.parents and path.name != "Cargo.lock"]
    found = {path.relative_to(TOP): licence(path) for path in ours}
    assert {path: name for path, name in found.items() if name not in LICENCES} == {}
    # What others may take into something under another licence.
    for uapi in ("driver/uapi.rs", "driver/selftest/uapi.rs"):
        assert found[Path(uapi)] == "GPL-2.0 WITH Linux-syscall-note"
    dts = {path: name for path, name in found.items() if path.parts[0] == "dts"}
    assert dts and set(dts.values()) == {"GPL-2.0-only OR BSD-2-Clause"}


def test_licence_texts_are_there(sources: list[Path]) -> None:
    texts = {path.stem for path in sources if path.parent == TOP / "LICENSES"}
    assert texts == {"GPL-2.0-only", "Linux-syscall-note", "BSD-2-Clause"}


def test_no_binary_and_no_large_file(sources: list[Path]) -> None:
    large = [path for path in sources if path.stat().st_size > 256 * 1024]
    binary = [path for path in sources if b"\0" in path.read_bytes()]
    assert (large, binary) == ([], [])
