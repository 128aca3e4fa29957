# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Patches for the kernel, made from driver/, and the kernel that has them: docs/upstream/README.md.

# write_series DIR: a folder of patches for each series.
write_series() {
	local identity
	setup_kernel_source
	board/common/python -EsB board/common/upstream.py --kernel "$KERNEL_DIR" --rustfmt "$RUST_BIN/rustfmt" \
		--output "$1"
}

# build_series DIR: the debug kernel with the series vm-fault and its sample, by clippy, and the
# documentation of its Rust; the logs have what was said.
build_series() {
	local dir identity name fragments=()
	dir=$(realpath "$1")
	setup_kernel_source
	patch_source "$dir/linux" "$dir/vm-fault"
	mapfile -t fragments < <(kernel_fragments "$FRAGMENTS debug")
	fragments+=(docs/upstream/series/check.fragment)
	KERNEL_DIR=$dir/linux KERNEL_OUT=$dir/kernel
	mkdir -p "$KERNEL_OUT"
	say KERNEL "Linux $KERNEL_VERSION with the patches: the first build takes as long as the debug kernel's"
	cat "${fragments[@]}" >"$KERNEL_OUT/fragment"
	run_logged upstream-config kbuild KCONFIG_ALLCONFIG="$KERNEL_OUT/fragment" allnoconfig
	for name in "${fragments[@]}"; do
		board/common/check-config "$name" "$KERNEL_OUT/.config" || exit
	done
	run_logged upstream-kernel kbuild CLIPPY=1 "$IMAGE" modules
	run_logged upstream-rustdoc kbuild CLIPPY=1 rustdoc
}

# patch_source DIR PATCHES: the kernel's sources in DIR, with the patches of a folder. What was there
# stays, so that the next build compiles what has changed alone.
patch_source() {
	local tree=$1 patch file
	if [[ ! -e $tree.from || $(<"$tree.from") != "$KERNEL_FROM" ]]; then
		say KERNEL "copying the sources"
		rm -rf "$tree" "$tree.from" "$tree.patches"
		cp --archive --reflink=auto "$KERNEL_DIR" "$tree"
		echo "$KERNEL_FROM" >"$tree.from"
		mkdir "$tree.patches"
	fi
	# Those of the last time go, also if they were interrupted.
	while read -r file; do
		if [[ -e $KERNEL_DIR/$file ]]; then
			cp --preserve=timestamps "$KERNEL_DIR/$file" "$tree/$file"
		else
			rm -f "${tree:?}/$file"
		fi
	done < <(cat "$tree.patches"/*.patch 2>/dev/null | sed -n 's,^+++ b/,,p')
	rm -rf "$tree.patches"
	mkdir "$tree.patches"
	cp "$2"/*.patch "$tree.patches"
	for patch in "$tree.patches"/*.patch; do
		[[ $patch == */0000-* ]] || patch --directory="$tree" --strip=1 --fuzz=0 --batch --forward --quiet <"$patch" ||
			die "$patch does not apply to $tree"
	done
}
