# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# `make doctor`: what is found, in which version and where, and how the rest would be got.

row() { # ok|get|LACK NAME TEXT
	printf '  %-5s %-12s %s\n' "$1" "$2" "$3"
	[[ $1 != LACK ]] || LACKING+=("$2")
}

doctor() {
	local missing
	LACKING=()
	printf 'Faultline set-up, board %s, cache %s\n' "$BOARD" "$CACHE"

	missing_packages test
	missing=${MISSING[*]}
	if [[ -z $missing ]]; then
		row ok packages "all installed"
	elif ! command -v apt-get >/dev/null; then
		row LACK packages "$missing (by Debian's names; there is no apt-get here)"
	elif [[ $EUID == 0 ]] || command -v sudo >/dev/null; then
		row get packages "$missing (apt-get install)"
	else
		row LACK packages "$missing (apt-get install needs root, and there is no sudo)"
	fi

	if find_rust; then
		row ok rustc "$RUST_VERSION, $RUST_BIN"
		if find_rust_src; then
			row ok rust-src "$RUST_SRC"
		else
			row get rust-src "rustup's component, or Debian's package unpacked into the cache"
		fi
		if find_rust_tools; then
			row ok rustfmt "and clippy, $RUST_BIN"
		elif [[ $missing == *rustfmt* ]]; then
			row get rustfmt "and clippy, with the packages"
		else
			row LACK rustfmt "and clippy for the tests: rustup component add rustfmt clippy"
		fi
	else
		row get rustc "$RUSTC_MIN or later, with the packages"
	fi
	if find_llvm; then
		row ok LLVM "$LLVM_VERSION, LLVM=$LLVM"
	else
		row get LLVM "$LLVM_MIN or later, with the packages"
	fi
	if find_bindgen; then
		row ok bindgen "$BINDGEN_FOUND, $BINDGEN"
	else
		row_entry bindgen "bindgen-$BINDGEN_VERSION" "cargo install bindgen-cli $BINDGEN_VERSION"
	fi
	if ! command -v python3 >/dev/null; then
		row get python3 "with the packages"
	elif find_python; then
		row ok python3 "$PYTHON_VERSION, $(command -v python3)"
	else
		row LACK python3 "$PYTHON_VERSION is first in PATH, $PYTHON_MIN or later is needed"
	fi
	if find_qemu; then
		row ok QEMU "$QEMU_VERSION, $QEMU_BIN"
	elif grep -qx VERSION_CODENAME=bookworm /etc/os-release; then
		row get QEMU "$QEMU_NEWER, Debian's backport unpacked into the cache: $BOARD needs $QEMU_MIN"
	elif ! command -v "$QEMU" >/dev/null; then
		row get QEMU "with the packages"
	else
		row LACK QEMU "$BOARD needs $QEMU_MIN or later"
	fi

	if [[ -n ${KERNEL_SRC:-} ]]; then
		KERNEL_VERSION=$(kernel_version "$KERNEL_SRC")
		if [[ $KERNEL_VERSION == "$KERNEL_SERIES".* ]]; then
			row ok linux "$KERNEL_VERSION, KERNEL_SRC=$KERNEL_SRC"
		else
			row LACK linux "KERNEL_SRC=$KERNEL_SRC is not Linux $KERNEL_SERIES.y"
		fi
	else
		row_entry linux "linux-source-$KERNEL_RELEASE" "$KERNEL_SITE, else Debian's linux-source-$KERNEL_SERIES"
	fi
	if [[ -d $CACHE ]]; then
		row ok cache "$(du -sh "$CACHE" | cut -f1) in use, $(df -h --output=avail "$CACHE" | tail -n 1 | tr -d ' ') free"
	else
		row get cache "about 3 GB"
	fi

	((${#LACKING[@]} == 0)) || die "set-up cannot get: ${LACKING[*]}"
}

row_entry() { # NAME ENTRY HOW
	local fault
	fault=$(entry_fault "$CACHE/$2")
	if [[ -z $fault ]]; then
		row ok "$1" "${2##*-}, $CACHE/$2"
	else
		row get "$1" "$3 (the cache's $fault)"
	fi
}
