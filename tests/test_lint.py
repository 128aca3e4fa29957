# SPDX-License-Identifier: GPL-2.0-only
"""How the sources look: format, clippy, where `unsafe` may be, licences, what is tracked."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

import rust_words
from places import DRIVER, SETUP, TOP, USERSPACE, Places, found_in, source_files

pytestmark = pytest.mark.lint

GUEST = TOP / "tests/guest"
RUSTFMT = DRIVER / "rustfmt.toml"


def call(*command: str | Path, cwd: Path = TOP) -> None:
    """Runs a checker; its output is the failure's text."""
    done = subprocess.run(
        command, cwd=cwd, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )
    assert done.returncode == 0, done.stdout


def test_driver_is_formatted(places: Places) -> None:
    """Like the kernel's `make rustfmtcheck`, which has no rule for modules out of tree."""
    files = sorted(DRIVER.rglob("*.rs"))
    assert files
    call(places.rust_bin / "rustfmt", "--check", "--edition=2021", f"--config-path={RUSTFMT}", *files)


def settings(file: Path) -> list[str]:
    """The lines of a TOML file of plain settings, without comments."""
    return sorted(line for line in file.read_text().splitlines() if line and not line.startswith("#"))


@pytest.mark.kernel
def test_driver_is_formatted_as_the_kernel_is(places: Places) -> None:
    """driver/ has a copy of the kernel's settings, so that the check needs no kernel."""
    assert settings(RUSTFMT) == settings(places.kernel_source / ".rustfmt.toml") != []


@pytest.mark.parametrize("workspace", [USERSPACE, GUEST], ids=["userspace", "tests/guest"])
def test_userspace_is_formatted(places: Places, workspace: Path) -> None:
    files = sorted(path for path in workspace.rglob("*.rs") if "target" not in path.parts)
    assert files
    config = USERSPACE / "rustfmt.toml"
    call(places.rust_bin / "rustfmt", "--check", f"--config-path={config}", *files)


@pytest.mark.kernel
@pytest.mark.parametrize("selftest", [(), ("CONFIG_FAULTLINE_SELFTEST=y",)],
                         ids=["driver", "with the self-test"])
def test_driver_clippy(places: Places, selftest: tuple[str, ...]) -> None:
    """The kernel's own lints. The module has an output directory of its own, because clippy's
    objects must not be used."""
    output = places.build / f"driver-clippy{'-selftest' if selftest else ''}"
    # Clippy reports only what it compiles: nothing may be up to date.
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
    """Once for each target; some boards have the same."""
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
def test_unsafe_is_found_in_code_only(source: str, expected: bool) -> None:
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


# Unsafe code, and code that bypasses the kernel's abstractions.
UNSAFE = r"\bunsafe\b|\bbindings\s*::"


def test_unsafe_is_in_driver_ext_alone() -> None:
    files = sorted(DRIVER.rglob("*.rs"))
    outside = [path for path in files if "ext" not in path.relative_to(DRIVER).parts]
    assert len(outside) > 4
    assert offenders(outside, UNSAFE) == []
    # The check can fail: there is such code, in the driver and in its self-test.
    for ext in (DRIVER / "ext", DRIVER / "selftest/ext"):
        assert offenders(sorted(ext.rglob("*.rs")), UNSAFE)


def test_unsafe_is_in_userspace_sys_alone() -> None:
    sys = USERSPACE / "sys"
    outside = [path for path in sorted(USERSPACE.rglob("*.rs"))
               if sys not in path.parents and USERSPACE / "target" not in path.parents]
    assert len(outside) > 4
    assert offenders(outside, UNSAFE) == []
    assert offenders(sorted(sys.rglob("*.rs")), UNSAFE)


IGNORED = ("build/x", "userspace/target/x", "tests/__pycache__/x.pyc", "driver/rust-project.json")
OURS = {".gitignore", "Makefile", "driver/build/x", "tests/new file", "userspace/not-target/x"}


def git(folder: Path, *arguments: str) -> None:
    call("git", "-c", "user.name=x", "-c", "user.email=x", *arguments, cwd=folder)


def no_repository(tree: Path, _: pytest.MonkeyPatch) -> None:
    pass


def repository(tree: Path, _: pytest.MonkeyPatch) -> None:
    git(tree, "init", "--quiet")
    git(tree, "add", "Makefile")
    git(tree, "commit", "--quiet", "--message=x")


def no_git(tree: Path, patch: pytest.MonkeyPatch) -> None:
    repository(tree, patch)
    patch.setenv("PATH", "/no/such")


def distrusted(tree: Path, patch: pytest.MonkeyPatch) -> None:
    repository(tree, patch)
    # git then believes that another user owns the files.
    patch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    patch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    refused = subprocess.run(["git", "ls-files"], cwd=tree, capture_output=True, text=True)
    assert "dubious ownership" in refused.stderr


def damaged(tree: Path, _: pytest.MonkeyPatch) -> None:
    """A work tree without its repository, as in a container that has only one of the two."""
    (tree / ".git").write_text("gitdir: /no/such\n")


def in_another_repository(tree: Path, _: pytest.MonkeyPatch) -> None:
    (tree.parent / ".gitignore").write_text("*\n")
    git(tree.parent, "init", "--quiet")


def in_a_hook(tree: Path, patch: pytest.MonkeyPatch) -> None:
    """A hook of another repository, whose variables are set."""
    repository(tree, patch)
    other = tree.parent / "other"
    other.mkdir()
    git(other, "init", "--quiet")
    patch.setenv("GIT_DIR", str(other / ".git"))
    patch.setenv("GIT_INDEX_FILE", str(other / ".git/index"))


@pytest.mark.parametrize("state", [
    no_repository, repository, no_git, distrusted, damaged, in_another_repository, in_a_hook,
])
def test_sources_are_listed_whatever_git_thinks_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: Callable[[Path, pytest.MonkeyPatch], None]
) -> None:
    if state not in (no_repository, damaged) and not shutil.which("git"):
        pytest.skip("git is not installed")
    tree = tmp_path / "tree"
    for name in (*OURS, *IGNORED):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).touch()
    shutil.copy(TOP / ".gitignore", tree)
    state(tree, monkeypatch)
    assert {str(path.relative_to(tree)) for path in source_files(tree)} == OURS


def test_both_lists_of_sources_agree(sources: list[Path]) -> None:
    """On this tree."""
    found = {TOP / name for name in found_in(TOP)}
    assert {path for path in found if path.is_file() and not path.is_symlink()} == set(sources)


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
    # Sourced files use variables and `set -e` of the script that sources them, and set variables for
    # it. shellcheck does not see that script, and would report misspelt, unguarded, unused names.
    if sourced:
        unseen = "--exclude=SC2034,SC2153,SC2164"
        call("shellcheck", "--external-sources", unseen, *sorted(sourced))


def test_no_shell_function_is_defined_twice() -> None:
    """setup sources all files into one name space: a second definition would replace the first."""
    common = SETUP.parent
    names = Counter(
        name for path in (SETUP, *common.glob("*.sh"))
        for name in re.findall(r"^(\w+)\(\)", path.read_text(), re.MULTILINE)
    )
    assert "entry" in names
    assert [name for name, times in names.items() if times > 1] == []


LICENCES = {"GPL-2.0", "GPL-2.0-only", "GPL-2.0 WITH Linux-syscall-note",
            "GPL-2.0-only OR BSD-2-Clause"}
SPDX = re.compile(r"(?:##?|//|/\*|<!--|%|\.\\\x22) SPDX-License-Identifier: (.+?)(?: \*/| -->)?")


def licence(path: Path) -> str | None:
    """The licence that the first line names, or the second one after `#!`. In Buildroot's makefiles
    a header of five lines comes first, which its own check requires."""
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
    # The texts of licences have authors of their own, and cargo writes its lock files itself.
    ours = [path for path in sources
            if TOP / "LICENSES" not in path.parents and path.name != "Cargo.lock"]
    found = {path.relative_to(TOP): licence(path) for path in ours}
    assert {path: name for path, name in found.items() if name not in LICENCES} == {}
    # Programs under other licences may include these.
    for uapi in ("driver/uapi.rs", "driver/selftest/uapi.rs"):
        assert found[Path(uapi)] == "GPL-2.0 WITH Linux-syscall-note"
    dts = {path: name for path, name in found.items() if path.parts[0] == "dts"}
    assert dts and set(dts.values()) == {"GPL-2.0-only OR BSD-2-Clause"}


def test_licence_texts_are_there(sources: list[Path]) -> None:
    texts = {path.stem for path in sources if path.parent == TOP / "LICENSES"}
    assert texts == {"GPL-2.0-only", "Linux-syscall-note", "BSD-2-Clause", "MIT"}


def test_no_binary_and_no_large_file(sources: list[Path]) -> None:
    large = [path for path in sources if path.stat().st_size > 256 * 1024]
    binary = [path for path in sources if b"\0" in path.read_bytes()]
    assert (large, binary) == ([], [])


def collected(seed: str) -> list[str]:
    """The names of all tests, in a process whose sets have another order."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", "pytest.ini", "--rootdir=.", "--confcutdir=.", "-n", "0",
         "--collect-only", "-q"],
        cwd=TOP / "tests", env=environment | {"PYTHONHASHSEED": seed, "PYTHONDONTWRITEBYTECODE": "1"},
        text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )
    assert done.returncode == 0, done.stdout
    return [line for line in done.stdout.splitlines() if "::" in line]


def test_every_process_has_the_same_tests() -> None:
    """xdist gives up if two workers have not: no name and no place of a test may follow from the order of
    a set, which is another one in each process."""
    first = collected("1")
    assert first and first == collected("2") == collected("3")
