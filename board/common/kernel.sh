# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# The kernel: its sources and its build; the module, which the kernel's build system builds.

# Raise this when make_kernel or kbuild changes what it builds from the same inputs.
KERNEL_RECIPE=1

# setup_kernel: KERNEL_DIR (sources), KERNEL_OUT (the build), KERNEL_VERSION, KERNEL_FROM.
setup_kernel() {
	local names=$FRAGMENTS${DEBUG:+ debug} name fragments dtbs identity
	[[ -z ${DEBUG:-} || $ARCH != arm ]] ||
		die "DEBUG=1 BOARD=$BOARD: on 32-bit ARM the kernel has Rust or KASAN, not both"
	mapfile -t fragments < <(kernel_fragments "$names")
	name=$ARCH${DEBUG:+-debug}
	mapfile -t dtbs < <(kernel_dtbs "${fragments[@]}")
	setup_kernel_source
	KERNEL_OUT=$CACHE/linux-$name-$(key "$KERNEL_DIR" "$identity" "$(kernel_lines "${fragments[@]}")" \
		"${dtbs[*]}" "$ARCH" "$(tool_versions)" "$KERNEL_RECIPE")
	# A tree that the user works on: what has changed in it since the build?
	if [[ $identity == given && -e $KERNEL_OUT/.entry/complete ]] && [[ -n $(find "$KERNEL_DIR" \
		-name .git -prune -o -cnewer "$KERNEL_OUT/.entry/complete" -print -quit) ]]; then
		entry_stale "$KERNEL_OUT"
	fi
	entry "${KERNEL_OUT##*/}" "Linux $KERNEL_VERSION for $name" make_kernel "${fragments[@]}"
}

# kernel_fragments NAMES: the files of the fragments that a board.env names.
kernel_fragments() {
	# shellcheck disable=SC2086 # one name a word
	printf 'board/common/linux/%s.fragment\n' $1
}

# kernel_lines FRAGMENT…: their lines for Kconfig, sorted: comments and order do not change the kernel.
kernel_lines() {
	grep -hE '^(# )?CONFIG_' "$@" | LC_ALL=C sort
}

# kernel_dtbs FRAGMENT…: the device trees of all boards that this kernel is for, as the fragments name
# them.
kernel_dtbs() {
	sed -n 's/^# DTB //p' "$@" | LC_ALL=C sort
}

tool_versions() {
	"$RUST_BIN/rustc" -vV
	echo "$RUST_SRC, LLVM $LLVM $LLVM_VERSION, $BINDGEN $BINDGEN_FOUND"
}

# The version of a source tree, from its Makefile's first lines; nothing if it is not one of Linux.
kernel_version() {
	{ sed -n 's/^\(VERSION\|PATCHLEVEL\|SUBLEVEL\) = //p; 6q' "$1/Makefile" 2>/dev/null || true; } | paste -sd.
}

# setup_kernel_source: KERNEL_DIR, KERNEL_VERSION, KERNEL_FROM, and `identity`, which identifies the
# sources in a kernel's name.
setup_kernel_source() {
	if [[ -n ${KERNEL_SRC:-} ]]; then
		kernel_source_given
		identity=given
	else
		kernel_source_cached
		identity=$KERNEL_FROM
	fi
}

kernel_source_given() {
	KERNEL_DIR=$(realpath "$KERNEL_SRC") KERNEL_FROM="KERNEL_SRC=$KERNEL_SRC"
	KERNEL_VERSION=$(kernel_version "$KERNEL_DIR")
	[[ $KERNEL_VERSION == "$KERNEL_SERIES".* ]] ||
		die "KERNEL_SRC=$KERNEL_SRC: ${KERNEL_VERSION:+this is Linux $KERNEL_VERSION, }the sources of Linux $KERNEL_SERIES.y are needed"
	[[ ! -e $KERNEL_DIR/.config && ! -d $KERNEL_DIR/include/config ]] ||
		die "KERNEL_SRC=$KERNEL_SRC: a kernel was built inside this tree; 'make mrproper' there first"
}

kernel_source_cached() {
	entry "linux-source-$KERNEL_RELEASE" "the kernel's sources" make_kernel_source
	KERNEL_DIR=$ENTRY/linux
	KERNEL_FROM=$(<"$ENTRY/from")
	KERNEL_VERSION=$(kernel_version "$KERNEL_DIR")
}

# kernel_sum SERIES FILE: the file's line in its site's list.
kernel_sum() {
	local sums
	sums=$(curl --proto "=https" --fail --silent --show-error --location --connect-timeout 5 --max-time 60 \
		"$KERNEL_SITE/$1/sha256sums.asc") && grep -E "^[0-9a-f]{64}  $2\$" <<<"$sums"
}

make_kernel_source() {
	local series=v${KERNEL_RELEASE%%.*}.x file=linux-$KERNEL_RELEASE.tar.xz sum
	mkdir -p "$ENTRY/linux" "$ENTRY/download"
	say KERNEL "sources of Linux $KERNEL_RELEASE from ${KERNEL_SITE#*//}"
	if sum=$(kernel_sum "$series" "$file" 2>"$ENTRY/download/error"); then
		curl --proto "=https" --fail --location --connect-timeout 5 --speed-limit 1000 --speed-time 60 \
			--progress-bar --output "$ENTRY/download/$file" "$KERNEL_SITE/$series/$file" ||
			die "$KERNEL_SITE/$series/$file: the download was interrupted. Make again"
		(cd "$ENTRY/download" && sha256sum --check --quiet <<<"$sum") ||
			die "$file is not what its site's sha256sums.asc says: not used"
		echo "${KERNEL_SITE#*//}, SHA-256 ${sum%% *}" >"$ENTRY/from"
	else
		sum=$(tail -n 1 "$ENTRY/download/error")
		say KERNEL "not reached (${sum:-no $file there}); looking for Debian's linux-source-$KERNEL_SERIES"
		deb_unpack "$ENTRY/download" amd64 "$KERNEL_SERIES" "linux-source-$KERNEL_SERIES" ||
			die "no sources of Linux $KERNEL_SERIES.y: the kernel's site was not reached, and $DEB_WHY_NOT.
Unpack linux-$KERNEL_RELEASE.tar.xz in a directory and run: make KERNEL_SRC=/that/directory …"
		echo "$DEB_NAME $DEB_VERSION, Debian $DEB_SUITE" >"$ENTRY/from"
		mv "$ENTRY/download/usr/src/linux-source-$KERNEL_SERIES.tar.xz" "$ENTRY/download/$file"
	fi
	say KERNEL "unpacking 1.6 GB of sources (about 40 s)"
	tar --extract --xz --file "$ENTRY/download/$file" --directory "$ENTRY/linux" --strip-components=1
	rm -rf "$ENTRY/download"
}

make_kernel() { # FRAGMENT…
	local fragment dtbs dtb labels=() cpus minutes=22 building=building
	# `make test` builds two kernels at the same time.
	local PROGRESS_OF=$ARCH${DEBUG:+-debug}
	cpus=$(nproc)
	[[ ! ${DEBUG:-} ]] || minutes=24
	[[ ! -e $KERNEL_OUT/.config ]] || building="going on with the interrupted or outdated build of"
	say KERNEL "$building Linux $KERNEL_VERSION ($KERNEL_FROM), about $((minutes / cpus + 1)) minutes with $cpus CPUs"
	cat "$@" >"$KERNEL_OUT/fragment"
	run_logged kernel-config kbuild KCONFIG_ALLCONFIG="$KERNEL_OUT/fragment" allnoconfig
	for fragment; do
		board/common/check-config "$fragment" "$KERNEL_OUT/.config" || exit
	done
	mapfile -t dtbs < <(kernel_dtbs "$@")
	# Overlays refer to labels, which not every folder of the kernel's device trees has dtc keep.
	for dtb in "${dtbs[@]}"; do
		dtb=${dtb##*/}
		labels+=("DTC_FLAGS_${dtb%.dtb}=-@")
	done
	# From here on kbuild itself knows what it has done.
	ENTRY_RESUMES=yes
	run_logged kernel kbuild "$IMAGE" modules "${dtbs[@]}" "${labels[@]}"
	dtbs=("${dtbs[@]/#/arch/$ARCH/boot/dts/}")
	ENTRY_PATHS=(.config Module.symvers vmlinux "arch/$ARCH/boot/$IMAGE" include scripts rust
		"arch/$ARCH/include" "${dtbs[@]}")
	ENTRY_HASHED=(.config Module.symvers vmlinux "arch/$ARCH/boot/$IMAGE" rust/libkernel.rmeta "${dtbs[@]}")
}

# kbuild [ARG…]: the kernel's own make, with these variables and no others: nothing in the user's
# environment (ARCH, CROSS_COMPILE, MAKEFLAGS, …) affects it.
kbuild() {
	if [[ -n ${KERNEL:-} ]]; then debian_kbuild "$@"; return; fi
	env --ignore-environment PATH="$RUST_BIN:$PATH" HOME="$HOME" TERM="${TERM:-dumb}" LC_ALL=C.UTF-8 \
		${LIBCLANG_PATH:+LIBCLANG_PATH="$LIBCLANG_PATH"} \
		KBUILD_BUILD_USER="$PROJECT" KBUILD_BUILD_HOST="$PROJECT" \
		make --no-print-directory --jobs="$(nproc)" -C "$KERNEL_DIR" O="$KERNEL_OUT" \
		ARCH="$ARCH" LLVM="$LLVM" BINDGEN="$BINDGEN" RUST_LIB_SRC="$RUST_SRC" "$@"
}

# build_module DIR [ARG…]: the module, into DIR. CONFIG_…_SELFTEST=y adds the self-test.
build_module() {
	local dir=$1
	shift
	mkdir -p "$dir"
	(
		flock 9
		build_sources "$TOP/driver" "$dir" "$@"
	) 9>"$dir.lock"
}

# build_sources SOURCES DIR [ARG…]: the module of these sources, into DIR.
build_sources() {
	kbuild M="$1" MO="$(realpath "$2")" "CONFIG_$KCONFIG=m" "${@:3}" modules
}

# build_mutant DIR PATCH: a driver that is broken on purpose: a copy of the sources, with a patch.
build_mutant() {
	local dir=$1 patch=$2 copy said
	command -v patch >/dev/null || die "$patch needs the program patch"
	mkdir -p "$dir"
	(
		flock 9
		copy=$(realpath "$dir")/mutated
		rm -rf "$copy"
		mkdir "$copy"
		# New times, so that make rebuilds what was built from an older copy.
		cp -R "$TOP/driver" "$copy/driver"
		said=$(patch --directory="$copy" --strip=1 --fuzz=0 --batch --forward <"$patch") ||
			die "$patch does not apply to driver/ as it is now; update the patch:
$said"
		build_sources "$copy/driver" "$dir" "CONFIG_${KCONFIG}_SELFTEST=y"
	) 9>"$dir.lock"
}

# rust_analyzer: for editors, a description of the driver's crate, and settings that tell them of
# both sides. The settings are VS Code's; other editors take the same names.
rust_analyzer() {
	local target=${RUST_TARGET//-/_} settings=.vscode/settings.json
	mkdir -p "$BUILD/driver" .vscode
	kbuild M="$TOP/driver" MO="$TOP/$BUILD/driver" "CONFIG_$KCONFIG=m" rust-analyzer
	mv "$BUILD/driver/rust-project.json" driver/
	say EDITOR "driver/rust-project.json"

	cat >"$settings.new" <<-EOF
		{
		    "rust-analyzer.linkedProjects": ["driver/rust-project.json", "userspace/Cargo.toml"],
		    "rust-analyzer.cargo.target": "$RUST_TARGET",
		    "rust-analyzer.cargo.targetDir": "$TOP/$BUILD/rust-analyzer",
		    "rust-analyzer.cargo.sysrootSrc": "$RUST_SRC",
		    "rust-analyzer.cargo.extraEnv": {
		        "CARGO_TARGET_${target^^}_RUSTFLAGS": "--sysroot=$RUST_TARGET_SYSROOT"
		    },
		    "rust-analyzer.cargo.allTargets": false
		}
	EOF
	if [[ ! -e $settings ]] || cmp --silent "$settings" "$BUILD/settings.json"; then
		cp "$settings.new" "$BUILD/settings.json"
		mv "$settings.new" "$settings"
		say EDITOR "$settings"
	else
		say EDITOR "$settings has your own settings and stays as it is; rust-analyzer's are in $settings.new"
	fi
}
