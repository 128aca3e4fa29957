# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# The compilers: Rust with the sources of its library, LLVM, bindgen.
#
# Each find_… sets what it is named for and fails if the machine has nothing suitable.

# find_rust: RUST_BIN, the directory of rustc and cargo; RUST_SYSROOT, RUST_VERSION. The first in
# PATH that is new enough; then where rustup and the distributions put theirs.
find_rust() {
	local rustc
	while read -r rustc; do
		# $CACHE/bin has links to all unpacked programs, and must not come first in PATH: see the last line.
		[[ -x $rustc && -x ${rustc%/*}/cargo && $rustc != "$CACHE"/bin/* ]] || continue
		RUST_VERSION=$("$rustc" --version 2>/dev/null | cut -d' ' -f2) || continue
		at_least "$RUSTC_MIN" "$RUST_VERSION" || continue
		RUST_SYSROOT=$("$rustc" --print sysroot)
		RUST_BIN=${rustc%/*}
		# The compiler itself, not rustup's proxy, which selects a toolchain in each directory.
		[[ $RUST_SYSROOT != */toolchains/* || ! -x $RUST_SYSROOT/bin/cargo ]] || RUST_BIN=$RUST_SYSROOT/bin
		return 0
	done < <(
		type -ap rustc || true
		echo "$HOME/.cargo/bin/rustc"
		{ compgen -G '/usr/lib/rust-*/bin/rustc' || true; } | sort --version-sort --reverse
		echo "$CACHE/$(unpacked_entry rust)/bin/rustc"
	)
	return 1
}

# find_rust_tools: whether what the checks of format and style need is beside the compiler.
find_rust_tools() {
	[[ -x $RUST_BIN/rustfmt && -x $RUST_BIN/cargo-clippy && -x $RUST_BIN/clippy-driver ]]
}

# find_rust_src: RUST_SRC, the library's sources of exactly this compiler.
find_rust_src() {
	for RUST_SRC in "$RUST_SYSROOT/lib/rustlib/src/rust/library" "$RUST_SYSROOT/src/rustc-$RUST_VERSION/library" \
		"/usr/src/rustc-$RUST_VERSION/library" \
		"$CACHE/rust-src-$RUST_VERSION/usr/src/rustc-$RUST_VERSION/library"; do
		[[ ! -e $RUST_SRC/core/src/lib.rs ]] || return 0
	done
	return 1
}

# find_llvm: LLVM as the kernel's build wants it (`-19`, or `1` for programs without a version in
# their names), LLVM_VERSION, and LIBCLANG_PATH for bindgen. The highest that is complete.
find_llvm() {
	local v tool unpacked
	unpacked=$CACHE/$(unpacked_entry llvm)
	for ((v = 40; v >= LLVM_MIN; v--)); do
		for LIBCLANG_PATH in "/usr/lib/llvm-$v/lib" "$unpacked/usr/lib/llvm-$v/lib"; do
			! compgen -G "$LIBCLANG_PATH/libclang*.so*" >/dev/null || break
		done
		compgen -G "$LIBCLANG_PATH/libclang*.so*" >/dev/null || continue
		for tool in clang ld.lld llvm-ar llvm-nm llvm-objcopy llvm-readelf; do
			command -v "$tool-$v" >/dev/null || continue 2
		done
		LLVM=-$v LLVM_VERSION=$("clang-$v" -dumpversion)
		return 0
	done
	LLVM=1 LIBCLANG_PATH=
	for tool in clang ld.lld llvm-ar llvm-nm llvm-objcopy llvm-readelf; do
		command -v "$tool" >/dev/null || return 1
	done
	LLVM_VERSION=$(clang -dumpversion)
	at_least "$LLVM_MIN" "$LLVM_VERSION"
}

# find_bindgen: BINDGEN and BINDGEN_FOUND, its version.
find_bindgen() {
	while read -r BINDGEN; do
		[[ -x $BINDGEN ]] || continue
		BINDGEN_FOUND=$("$BINDGEN" --version 2>/dev/null | cut -d' ' -f2) || continue
		! at_least "$BINDGEN_MIN" "$BINDGEN_FOUND" || return 0
	done < <(type -ap bindgen || true; echo "$HOME/.cargo/bin/bindgen")
	return 1
}

# find_qemu: QEMU_BIN, the first in PATH that has the board's machine, or the one in the cache.
find_qemu() {
	while read -r QEMU_BIN; do
		! qemu_will_do "$QEMU_BIN" || return 0
	done < <(type -ap "$QEMU" || true)
	QEMU_BIN=
	return 1
}

# find_compiler: whether programs for this machine can be compiled and linked.
find_compiler() {
	local compiler
	# Rust links with cc; the kernel's own tools are compiled with clang, with the same headers.
	for compiler in gcc cc; do
		! printf '#include <stdio.h>\nint main(void) { return puts("") < 0; }\n' |
			"$compiler" -x c -o /dev/null - 2>/dev/null || return 0
	done
	return 1
}

find_certificates() {
	local place
	for place in "${SSL_CERT_FILE:-}" "${CURL_CA_BUNDLE:-}" "${SSL_CERT_DIR:-}" /etc/ssl/certs/ca-certificates.crt \
		/etc/ssl/cert.pem /etc/ssl/ca-bundle.pem /etc/pki/tls/certs/ca-bundle.crt; do
		[[ -z $place || ! -e $place ]] || return 0
	done
	return 1
}

qemu_will_do() { # PROGRAM
	[[ -x $1 ]] && QEMU_VERSION=$("$1" --version 2>/dev/null | sed -n '1s/.*version \([0-9.]*\).*/\1/p') &&
		[[ $QEMU_VERSION ]] && at_least "${QEMU_MIN:-0}" "$QEMU_VERSION"
}

# find_python: PYTHON, the program that board/common/python runs, and PYTHON_VERSION.
find_python() {
	local found
	found=$(board/common/python -I -c 'import platform, sys; print(platform.python_version(), sys.executable)' 2>/dev/null) &&
		read -r PYTHON_VERSION PYTHON <<<"$found"
}

# find_test_python: TEST_PYTHON, which can make virtual environments and has libfdt. The first to
# ask is the distribution's, because libfdt is one of its packages.
find_test_python() {
	find_python || return 1
	for TEST_PYTHON in /usr/bin/python3 "$PYTHON"; do
		! "$TEST_PYTHON" -I -c "import ensurepip, libfdt, sys, venv
sys.exit(sys.version_info < (${PYTHON_MIN/./, }))" 2>/dev/null || return 0
	done
	return 1
}

# Everything that is made or downloaded to complete the toolchain.
setup_tools() {
	ensure_packages run
	setup_rust_src
	if ! find_bindgen; then
		entry "bindgen-$BINDGEN_VERSION" bindgen make_bindgen
		BINDGEN=$ENTRY/bin/bindgen
		BINDGEN_FOUND=$("$BINDGEN" --version | cut -d' ' -f2)
	fi
	# Made when the first program for the guest is (setup_sysroot), which is while the kernel is.
	RUST_TARGET_SYSROOT=$CACHE/$(sysroot_name)
	setup_qemu
}

# setup_qemu: QEMU_BIN. Builds do not need it: QEMU_WHY_NOT is the error of a target that does.
setup_qemu() {
	QEMU_WHY_NOT=
	find_qemu || QEMU_WHY_NOT="$BOARD needs $QEMU${QEMU_MIN:+ $QEMU_MIN or later}: ${REFUSED[qemu]:-none is found}. Put one into PATH"
}

setup_rust_src() {
	local wanted=$RUST_VERSION toolchain=${RUST_SYSROOT##*/toolchains/}
	! find_rust_src || [[ $RUST_SRC == "$CACHE"/rust-src-* ]] || return 0
	# The entry would be checked by its use below; where there is none yet, rustup comes first.
	if [[ ! -d $CACHE/rust-src-$wanted && $toolchain != "$RUST_SYSROOT" ]] && command -v rustup >/dev/null; then
		say RUST-SRC "rustup component add rust-src, to toolchain $toolchain"
		if rustup component add rust-src --toolchain "$toolchain" >"$LOGS/rust-src.log" 2>&1 &&
			find_rust_src; then
			return 0
		fi
		say RUST-SRC "rustup could not (${LOGS#"$TOP"/}/rust-src.log); Debian has the same sources"
	fi
	entry "rust-src-$wanted" "the sources of Rust $wanted" make_rust_src
	find_rust_src || die "rust-src: $ENTRY does not hold the library of Rust $wanted"
}

make_rust_src() {
	deb_unpack "$ENTRY" amd64 "$RUST_VERSION" rust-src rust-web-src || die \
		"the sources of Rust $RUST_VERSION were not found: $DEB_WHY_NOT.
Run 'rustup component add rust-src' with a network, or use the distribution's rustc."
	ENTRY_PATHS=("usr/src/rustc-$RUST_VERSION/library")
}

make_bindgen() {
	if debian_bindgen; then
		return
	fi
	rm -rf "${ENTRY:?}"/*
	say BINDGEN "cargo install bindgen-cli $BINDGEN_VERSION (about 80 s)"
	run_logged bindgen own_cargo install bindgen-cli --version "$BINDGEN_VERSION" --locked \
		--root "$ENTRY" --target-dir "$ENTRY/target"
	rm -rf "$ENTRY/target"
	ENTRY_HASHED=(bin/bindgen)
}

# debian_bindgen: bindgen of a newer Debian, unpacked into ENTRY with the C library that it needs.
# libclang, which it loads when it runs, and all other libraries are the machine's own.
debian_bindgen() {
	local DEBIAN_SUITES=$BINDGEN_SUITE architecture loader
	architecture=$(dpkg --print-architecture 2>/dev/null) || return 1
	deb_unpack "$ENTRY" "$architecture" "$BINDGEN_MIN" bindgen &&
		deb_unpack "$ENTRY" "$architecture" 2 libc6 || return 1
	loader=$(compgen -G "$ENTRY/usr/lib/*-linux-gnu*/ld-linux*.so.*") || return 1
	mkdir -p "$ENTRY/bin"
	printf '#!/bin/sh\nexec %q --library-path %q %q "$@"\n' \
		"$loader" "${loader%/*}" "$ENTRY/usr/bin/bindgen" >"$ENTRY/bin/bindgen"
	chmod +x "$ENTRY/bin/bindgen"
	bindgen_works "$ENTRY/bin/bindgen" || return 1
	ENTRY_HASHED=(bin/bindgen usr/bin/bindgen)
}

# bindgen_works PROGRAM: it runs, and so does libclang in it.
bindgen_works() {
	local header=$ENTRY/works.h status=0
	echo 'int bindgen_works(void);' >"$header"
	env ${LIBCLANG_PATH:+LIBCLANG_PATH="$LIBCLANG_PATH"} "$1" "$header" 2>/dev/null | grep -q 'pub fn bindgen_works' || status=1
	rm "$header"
	return "$status"
}

# The core library for the guest's user space, from the compiler's own sources.
sysroot_name() {
	echo "rust-sysroot-$(key "$RUST_TARGET" "$("$RUST_BIN/rustc" -vV)" "$(<board/common/build-core)")"
}

setup_sysroot() {
	entry "$(sysroot_name)" "Rust's core library for $RUST_TARGET" make_sysroot
}

make_sysroot() {
	say SYSROOT "Rust's core library for $RUST_TARGET (about 20 s)"
	run_logged sysroot build_core
}

build_core() {
	use_own_cargo_home
	PATH="$RUST_BIN:$PATH" board/common/build-core "$RUST_TARGET" "$RUST_SRC" "$ENTRY"
}

# The tests' Python packages, pinned with their hashes, in a virtual environment: VENV.
setup_tests() {
	ensure_packages test
	find_test_python || die "no python3 of $PYTHON_MIN or later with ensurepip, venv and libfdt"
	entry "venv-$(key "$(readlink -f "$TEST_PYTHON")" "$("$TEST_PYTHON" -VV)" "$(<tests/requirements.txt)")" \
		"the tests' Python packages" make_venv
	VENV=$ENTRY
}

make_venv() {
	say VENV "pip install -r tests/requirements.txt (about 20 s)"
	run_logged venv "$TEST_PYTHON" -m venv --system-site-packages "$ENTRY"
	pip_network "$ENTRY/bin/pip"
	run_logged pip "$ENTRY/bin/pip" --disable-pip-version-check install --no-deps \
		--only-binary=:all: --require-hashes -r tests/requirements.txt
}
