# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# `make doctor`: what is found, in which version and where, and how the rest would be got.

row() { # ok|get|none|LACK NAME TEXT
	printf '  %-5s %-12s %s\n' "$1" "$2" "$3"
	[[ $1 != LACK ]] || LACKING+=("$2")
}

doctor() {
	LACKING=()
	printf '%s set-up, board %s, cache %s\n' "$PROJECT" "$BOARD" "$CACHE"

	plan test
	doctor_packages

	if find_rust; then
		row ok rustc "$RUST_VERSION, $RUST_BIN"
		if find_rust_src; then
			row ok rust-src "$RUST_SRC"
		else
			row get rust-src "rustup's component, or Debian's package unpacked into the cache"
		fi
		! find_rust_tools || row ok rustfmt "and clippy, $RUST_BIN"
	fi
	if find_llvm; then
		row ok LLVM "$LLVM_VERSION, LLVM=$LLVM"
	fi
	if find_bindgen; then
		row ok bindgen "$BINDGEN_FOUND, $BINDGEN"
	else
		row_entry bindgen "bindgen-$BINDGEN_VERSION" "cargo install bindgen-cli $BINDGEN_VERSION"
	fi
	if find_python; then
		row ok python3 "$PYTHON_VERSION, $PYTHON"
	fi
	if find_qemu; then
		row ok QEMU "$QEMU_VERSION, $QEMU_BIN"
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
	doctor_debian
	if [[ -d $CACHE ]]; then
		row ok cache "$(du -sh "$CACHE" | cut -f1) in use, $(df -h --output=avail "$CACHE" | tail -n 1 | tr -d ' ') free"
	else
		row get cache "about 3 GB"
	fi

	((${#LACKING[@]} == 0)) || die "set-up cannot get: ${LACKING[*]}"
}

# doctor_debian: Debian's own kernel, which KERNEL=debian boots and `make deb` builds for.
doctor_debian() {
	local KERNEL=debian inputs
	inputs=$(debian_inputs)
	if [[ -z $(entry_fault "$CACHE/linux-debian-$inputs") ]]; then
		row ok debian "$DEBIAN_KERNEL_VERSION, $CACHE/linux-debian-$inputs, for KERNEL=debian"
	elif debian_mirror; then
		row get debian "$DEBIAN_KERNEL_VERSION, for KERNEL=debian: packages of $DEBIAN_MIRROR, unpacked into the cache"
	else
		row none debian "KERNEL=debian is not possible here: $DEB_WHY_NOT"
	fi
}

# doctor_packages: what set-up would do by the plan.
doctor_packages() {
	local need
	if [[ ${#INSTALL[@]} == 0 && ${#REFUSED[@]} == 0 ]]; then
		row ok packages "all installed"
	elif [[ ${#INSTALL[@]} == 0 ]]; then
		:
	elif [[ $EUID == 0 ]] || command -v sudo >/dev/null; then
		row get packages "${INSTALL[*]} (apt-get install)"
	else
		row LACK packages "${INSTALL[*]} (apt-get install needs root, and there is no sudo)"
	fi
	for need in "${!REFUSED[@]}"; do
		if [[ ${REFUSED[$need]} == "apt does not know"* ]]; then
			row get "$need" "${REFUSED[$need]}; after apt-get update it may"
		elif unpack_decide "$need"; then
			row get "$need" "${UNPACK_PACKAGES[*]} of Debian $UNPACK_SUITE, unpacked into the cache: ${REFUSED[$need]}"
		elif [[ $NEEDS_OPTIONAL == *" $need "* ]]; then
			row get "$need" "later, or not at all: ${REFUSED[$need]}"
		else
			row LACK "$need" "$(need_text "$need"): ${REFUSED[$need]}; $UNPACK_WHY_NOT"
		fi
	done
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
