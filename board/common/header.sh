# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# What programs in C need.
#
# The header for programs in C, generated from driver/uapi.rs. It is committed, so that nobody needs
# cbindgen to use it; tests/test_header.py fails where it is not what cbindgen makes of driver/uapi.rs.

# setup_libc: the C library for programs of the guest, in the folder that it prints: Debian's musl, because
# one archive is all that a static program takes of it.
setup_libc() {
	entry "musl-$ARCH" "a C library for $ARCH" make_libc
	echo "$ENTRY"
}

make_libc() {
	deb_unpack "$ENTRY" "${ARCH/%arm/armhf}" 1.2 musl-dev || die "no C library for $ARCH: $DEB_WHY_NOT"
	# shellcheck disable=SC2034 # entry_seal reads it
	ENTRY_HASHED=()
}

# write_header FILE
write_header() {
	entry "cbindgen-$CBINDGEN_VERSION" cbindgen make_cbindgen
	"$ENTRY/bin/cbindgen" --quiet --config userspace/include/cbindgen.toml driver/uapi.rs >"$1.new" ||
		die "cbindgen cannot make a header of driver/uapi.rs"
	unsigned_numbers <"$1.new" >"$1"
	rm "$1.new"
}

# unsigned_numbers: cbindgen writes the number of an ioctl in decimal, without a type. It does not fit an
# int, which musl's ioctl() takes: a compiler warns of that unless the number is unsigned.
unsigned_numbers() {
	local line
	while IFS= read -r line; do
		if [[ $line =~ ^(#define\ [A-Z]+_IOC_[A-Z]+)\ ([0-9]+)$ ]]; then
			printf '%s 0x%08xU\n' "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}"
		else
			printf '%s\n' "$line"
		fi
	done
}

make_cbindgen() {
	say CBINDGEN "cargo install cbindgen $CBINDGEN_VERSION (about 40 s)"
	run_logged cbindgen own_cargo install cbindgen --version "$CBINDGEN_VERSION" --locked \
		--root "$ENTRY" --target-dir "$ENTRY/target"
	rm -rf "$ENTRY/target"
	# shellcheck disable=SC2034 # entry_seal reads it
	ENTRY_HASHED=(bin/cbindgen)
}
