# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# KERNEL=debian…: Debian's own arm64 kernel, and the driver built for it.
#
# A module in Rust needs what Debian's header packages leave out: the metadata of the kernel's Rust
# crates. The crates are compiled again, from the sources of the same version of the package, with the
# very compilers that built the kernel and with its configuration as it is; nothing asks Kconfig again.
# That the result is the same shows in its symbols: each one's name has a hash of the compiler and of the
# crate in it, and each must be among those that the kernel exports (Module.symvers).
#
# The compilers are packages of Debian's that are only unpacked. Each program is started through a
# script that names the C library beside it, so that they run on other releases, and without root.

# The flavours, by their names for KERNEL=, and how Debian ends the name of each.
declare -A DEBIAN_FLAVOURS=([debian]=arm64 [debian-16k]=arm64-16k [debian-rt]=rt-arm64)

# The entry with the compilers, where KERNEL= asks for a kernel of Debian's.
DEBIAN_TOOLS=

# To be raised when the two makers below come to make something else from the same inputs.
DEBIAN_RECIPE=1

# debian_inputs: a short name for what the two entries are made from.
debian_inputs() {
	key "$DEBIAN_KERNEL_VERSION" "$DEBIAN_KERNEL_SUITES" "$(dpkg --print-architecture 2>/dev/null)" "$DEBIAN_RECIPE"
}

# setup_debian_kernel: what setup_kernel sets, for KERNEL.
setup_debian_kernel() {
	local flavour=${DEBIAN_FLAVOURS[$KERNEL]} base name inputs
	inputs=$(debian_inputs)
	# shellcheck disable=SC2034 # for kernel.env
	KERNEL_VERSION=${DEBIAN_KERNEL%%+*}
	KERNEL_FROM="Debian's linux-image-$(debian_release) $DEBIAN_KERNEL_VERSION"
	entry "debian-$inputs" "Debian's compilers for its kernel" make_debian_tools
	base=$ENTRY
	name=linux-$KERNEL-$inputs
	DEBIAN_TOOLS=$base KERNEL_DIR=$base/source KERNEL_OUT=$CACHE/$name
	entry "$name" "$KERNEL_FROM" make_debian_kernel "$flavour"
}

debian_release() {
	echo "$DEBIAN_KERNEL-${DEBIAN_FLAVOURS[$KERNEL]}"
}

# debian_packages ARCHITECTURE DIR: an apt root in DIR that knows Debian 13's packages, and has none
# installed.
debian_packages() {
	local suite
	debian_mirror || debian_lacks "$DEB_WHY_NOT"
	apt_root "$2" "$1" /dev/null
	for suite in $DEBIAN_KERNEL_SUITES; do
		echo "deb [signed-by=$DEBIAN_KEYRING] $DEBIAN_MIRROR $suite main"
	done >"$2/sources.list"
	APT_CONF=$2/apt.conf apt apt-get -qq update >"$2/log" 2>&1 ||
		debian_lacks "$(tail -n 1 "$2/log")"
}

debian_lacks() { # REASON
	die "KERNEL=$KERNEL: Debian's packages are not available: $1"
}

# debian_download DIR PACKAGE=VERSION…: into DIR/debs.
debian_download() {
	local root=$1 wanted known
	shift
	for wanted; do
		[[ $wanted != *="$DEBIAN_KERNEL_VERSION" ]] || {
			known=$(APT_CONF=$root/apt.conf apt apt-cache madison "${wanted%%=*}" | awk '{ printf "%s%s", n++ ? ", " : "", $3 }')
			[[ ", $known, " == *", $DEBIAN_KERNEL_VERSION, "* ]] ||
				debian_lacks "$DEBIAN_MIRROR has ${wanted%%=*} in version ${known:-none}, and $DEBIAN_KERNEL_VERSION is
what this project is built for (DEBIAN_KERNEL in board/common/versions.env)"
		}
	done
	(cd "$root/debs" && rm -f ./*.deb && APT_CONF=$root/apt.conf apt apt-get -qq download "$@" >../log 2>&1) ||
		debian_lacks "$(tail -n 1 "$root/log")"
}

# The compilers and what they load: rustc, bindgen, gcc and pahole with all that they depend on, without
# what compiles programs for the machine itself or links any.
debian_compilers() { # DIR
	APT_CONF=$1/apt.conf apt apt-get --simulate --no-install-recommends install \
		"rustc=$DEBIAN_KERNEL_RUSTC*" rust-src bindgen gcc-14-aarch64-linux-gnu pahole 2>"$1/log" |
		sed -n 's/^Inst \([^ ]*\) (\([^ ]*\) .*/\1=\2/p' |
		grep -vE -e '^(gcc|cpp|gcc-14|cpp-14|binutils|rpcsvc-proto|libc-dev-bin|libclang-dev|libclang-19-dev)=' \
			-e 'x86-64-linux-gnu|-cross(-base)?=' -e '^lib(c6|gcc|stdc|crypt)[^=]*-dev=' -e '^lib(asan|tsan|lsan|hwasan|ubsan|quadmath|gomp|itm|atomic|objc|gprofng|cc1|gc1)'
}

make_debian_tools() {
	local machine root deb packages=()
	machine=$(dpkg --print-architecture 2>/dev/null) || debian_lacks "this is not Debian"
	root=$(mktemp -d "$CACHE/apt.XXXXXX")
	cleanup "$root"
	debian_packages "$machine" "$root"
	mapfile -t packages < <(debian_compilers "$root")
	((${#packages[@]} > 5)) || debian_lacks "$(tail -n 1 "$root/log")"
	say DEBIAN "its compilers for Linux $DEBIAN_KERNEL_VERSION, and that kernel's sources: 350 MB to download"
	debian_download "$root" "${packages[@]}" "linux-kbuild-$DEBIAN_KERNEL=$DEBIAN_KERNEL_VERSION" \
		"linux-headers-$DEBIAN_KERNEL-common=$DEBIAN_KERNEL_VERSION" \
		"linux-source-$KERNEL_SERIES=$DEBIAN_KERNEL_VERSION"
	say DEBIAN "unpacking them"
	for deb in "$root"/debs/*.deb; do
		case ${deb##*/} in
		linux-source-*) ;;
		rust-src_*) debian_extract "$deb" ./usr/src/rustc-*/library ;;
		*) debian_extract "$deb" ./usr ;;
		esac
	done
	debian_source "$root"/debs/linux-source-*.deb
	debian_wrappers
	rm -rf "$root" "${ENTRY:?}/usr/share"
	ENTRY_PATHS=(bin gcc source usr)
	ENTRY_HASHED=(source/Makefile source/rust/Makefile bin/rustc bin/bindgen)
}

# debian_extract DEB PATTERN: of a package, into the entry.
debian_extract() {
	dpkg-deb --fsys-tarfile "$1" | tar --extract --directory "$ENTRY" --wildcards "$2" ||
		die "${1##*/} could not be unpacked into $ENTRY"
}

# debian_source DEB: the entry's `source`, the headers that are common to all flavours, completed with
# the crates' sources.
debian_source() {
	local common=$ENTRY/usr/src/linux-headers-$DEBIAN_KERNEL-common kbuild=$ENTRY/usr/lib/linux-kbuild-$DEBIAN_KERNEL
	rm "$common/scripts" "$common/tools"
	mv "$kbuild/scripts" "$kbuild/tools" "$common/"
	mv "$common" "$ENTRY/source"
	dpkg-deb --fsys-tarfile "$1" | tar --extract --to-stdout "./usr/src/linux-source-$KERNEL_SERIES.tar.xz" |
		crates_complete "$ENTRY/source" "$KERNEL_SERIES"
}

# debian_wrappers: scripts that start the entry's programs with the entry's C library.
debian_wrappers() {
	local loader program programs libraries
	loader=$(compgen -G "$ENTRY/usr/lib/*-linux-gnu*/ld-linux*.so.*") || die "there is no loader in $ENTRY"
	libraries=${loader%/*}:$ENTRY/usr/lib/llvm-19/lib
	mkdir -p "$ENTRY/bin" "$ENTRY/gcc"
	for program in rustc bindgen pahole aarch64-linux-gnu-{ld,ld.bfd,ar,nm,objcopy,objdump,readelf,strip}; do
		debian_wrapper "$ENTRY/bin/$program" "$ENTRY/usr/bin/$program"
	done
	# gcc looks for its own programs in the directory of -B first.
	debian_wrapper "$ENTRY/bin/aarch64-linux-gnu-gcc-14" "$ENTRY/usr/bin/aarch64-linux-gnu-gcc-14" -B "$ENTRY/gcc/"
	debian_wrapper "$ENTRY/gcc/as" "$ENTRY/usr/bin/aarch64-linux-gnu-as"
	debian_wrapper "$ENTRY/gcc/cc1" "$(compgen -G "$ENTRY/usr/lib*/gcc*/aarch64-linux-gnu/14/cc1")"
	# Of the programs that choose among several, the one for arm64 takes its place.
	cd "$ENTRY/source" || exit
	mv scripts/mod/modpost.real-lsb-64 scripts/mod/modpost
	mapfile -t programs < <(find scripts tools -type f -perm -u+x -exec \
		sh -c '[ "$(head -c 4 "$1" | tail -c 3)" = ELF ]' sh {} \; -print)
	for program in "${programs[@]}"; do
		mv "$program" "$program.elf"
		debian_wrapper "$program" "$PWD/$program.elf"
	done
	cd "$TOP" || exit
}

# debian_wrapper SCRIPT PROGRAM ARG…: with `loader` and `libraries` of debian_wrappers.
debian_wrapper() {
	# shellcheck disable=SC2016,SC2154 # the script's own; of debian_wrappers
	printf '#!/bin/sh\nexec %s --argv0 "$0" --library-path %s %s "$@"\n' "$loader" "$libraries" "${*:2}" >"$1"
	chmod +x "$1"
}

make_debian_kernel() { # FLAVOUR
	local root release=$DEBIAN_KERNEL-$1 before
	root=$(mktemp -d "$CACHE/apt.XXXXXX")
	cleanup "$root"
	debian_packages arm64 "$root"
	say DEBIAN "its kernel $release $DEBIAN_KERNEL_VERSION"
	debian_download "$root" {linux-binary,linux-headers}-"$release=$DEBIAN_KERNEL_VERSION"
	for deb in "$root"/debs/*.deb; do
		dpkg-deb --extract "$deb" "$root/files" || die "${deb##*/} could not be unpacked into $root"
	done
	crates_kernel "$root/files/usr/src/linux-headers-$release" "$KERNEL_DIR" "$ENTRY"
	mkdir -p "$ENTRY/arch/arm64/boot"
	cp "$root/files/usr/lib/modules/$release/vmlinuz" "$ENTRY/arch/arm64/boot/Image"
	rm -rf "$root"
	debian_check_compilers "$ENTRY/.config"
	before=$(crates_configuration "$ENTRY")
	say DEBIAN "compiling the Rust crates of that kernel (about $((150 / $(nproc) + 15)) s)"
	run_logged debian-crates debian_kbuild rust-crates
	[[ $(crates_configuration "$ENTRY") == "$before" ]] ||
		die "KERNEL=$KERNEL: the configuration is no longer the package's: what is built would not fit the kernel"
	debian_check_exports "$ENTRY"
	# shellcheck disable=SC2034 # for entry_seal
	ENTRY_PATHS=(.config Module.symvers vmlinux arch include rust)
	# shellcheck disable=SC2034
	ENTRY_HASHED=(.config Module.symvers vmlinux arch/arm64/boot/Image rust/libkernel.rmeta)
}

# debian_check_compilers CONFIG: the compilers are those that built the kernel.
debian_check_compilers() {
	local wrong
	wrong=$(PATH=$DEBIAN_TOOLS/bin:$PATH crates_wrong_compilers "$1")
	[[ -z $wrong ]] || die "KERNEL=$KERNEL: Debian's compilers are not those of its kernel any more:
$wrong"
}

# debian_check_exports DIR: all that the crates built there export is exported by the kernel, too.
debian_check_exports() {
	local missing
	missing=$(crates_missing_exports "$1")
	[[ -z $missing ]] || die "KERNEL=$KERNEL: the Rust crates are not those of the kernel: its Module.symvers lacks \
$(wc -l <<<"$missing") of their symbols, such as $(head -n 1 <<<"$missing")"
}

# debian_kbuild [ARG…]: what kbuild does, for KERNEL. modpost refuses a module with a symbol that is not
# in Module.symvers.
debian_kbuild() {
	local compiler
	compiler=$(command -v gcc || command -v cc)
	env --ignore-environment PATH="$DEBIAN_TOOLS/bin:$PATH" HOME="$HOME" TERM="${TERM:-dumb}" LC_ALL=C.UTF-8 \
		LIBCLANG_PATH="$DEBIAN_TOOLS/usr/lib/llvm-19/lib" KBUILD_BUILD_USER=faultline KBUILD_BUILD_HOST=faultline \
		make --no-print-directory --jobs="$(nproc)" -C "$KERNEL_DIR" O="$KERNEL_OUT" ARCH=arm64 \
		DEB_BUILD_ARCH=arm64 HOSTCC="${compiler##*/}" \
		RUST_LIB_SRC="$(compgen -G "$DEBIAN_TOOLS/usr/src/rustc-*/library")" "$@"
}
