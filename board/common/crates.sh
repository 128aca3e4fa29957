# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# The Rust crates of a distribution's kernel, of which its header packages hold no metadata: they are
# compiled again, from the kernel's sources, with the compilers that built the kernel. Used by
# debian.sh for KERNEL=debian…, and on a board by the build script of the package for DKMS, which has a
# copy of this file. The caller has `die TEXT`.

# crates_complete SOURCE SERIES: makes a kernel's source tree of SOURCE, which holds the headers that are
# common to all flavours, by adding what the crates are compiled from. On standard input is the archive
# of the package linux-source-SERIES. `make rust-crates` is what `make prepare` does last, without the
# rest of it, for which there are no sources in SOURCE.
crates_complete() {
	tar --extract --xz --directory "$1" --strip-components=1 \
		"linux-source-$2"/{rust,drivers/base/base.h,drivers/android/binder} ||
		die "the archive of linux-source-$2 does not hold the crates' sources"
	mv "$1/Makefile" "$1/Makefile.debian"
	cat >"$1/Makefile" <<-'END'
		include $(dir $(lastword $(MAKEFILE_LIST)))Makefile.debian
		ifneq ($(need-sub-make),1)
		PHONY += rust-crates
		rust-crates: ; $(Q)$(MAKE) $(build)=rust
		endif
	END
}

# crates_kernel HEADERS SOURCE OUT: makes OUT, from a flavour's HEADERS, look like the directory that
# this kernel was built in from SOURCE.
crates_kernel() {
	local files
	cp -R "$1/." "$3"
	rm -f "$3"/{Makefile,scripts,tools}
	ln -s "$2/scripts" "$2/tools" "$3/"
	# If one of these is missing, or older than .config, kbuild asks Kconfig again.
	files=(include/config/auto.conf include/config/auto.conf.cmd include/generated/autoconf.h include/generated/rustc_cfg)
	touch "${files[@]/#/$3/}"
}

# crates_configuration OUT: a text that changes whenever the kernel's configuration does.
crates_configuration() {
	(cd "$1" && sha256sum .config include/config/auto.conf include/config/auto.conf.cmd \
		include/generated/autoconf.h include/generated/rustc_cfg)
}

# crates_wrong_compilers CONFIG: a line for each compiler in PATH that is not the one that built the kernel.
# Another rustc lays out structures in another way, and a pahole of another age drops BTF.
crates_wrong_compilers() {
	local name found expected compiler
	compiler=$(sed -n 's/^CONFIG_CC_VERSION_TEXT="\([^ "]*\).*/\1/p' "$1")
	while IFS='|' read -r name found; do
		expected=$(sed -n "s/^$name=//p" "$1" | tr -d '"')
		[[ $found == "$expected" ]] ||
			echo "$name: the kernel was built with '$expected', this is '${found:-not installed}'"
	done < <(
		echo "CONFIG_CC_VERSION_TEXT|$("$compiler" --version 2>/dev/null | head -n 1)"
		echo "CONFIG_RUSTC_VERSION_TEXT|$(rustc --version 2>/dev/null)"
		echo "CONFIG_BINDGEN_VERSION_TEXT|$(bindgen --version workaround-for-0.69.0 2>/dev/null || bindgen --version 2>/dev/null)"
		! grep -q '^CONFIG_PAHOLE_VERSION=[1-9]' "$1" ||
			echo "CONFIG_PAHOLE_VERSION|$(pahole --version 2>/dev/null | tr -d 'v.')"
	)
}

# crates_missing_exports OUT: the symbols of the crates built in OUT that the kernel does not export, one a
# line; nothing if they are the kernel's own: a symbol's name has a hash of the compiler and of
# the crate in it.
crates_missing_exports() {
	LC_ALL=C comm -23 \
		<(sed -n 's/^EXPORT_SYMBOL_RUST_GPL(\(.*\));/\1/p' "$1"/rust/exports_*_generated.h | LC_ALL=C sort -u) \
		<(cut -f 2 "$1/Module.symvers" | LC_ALL=C sort -u)
}
