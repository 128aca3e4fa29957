# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Packages for Debian: PROJECT-dkms (the driver's sources), PROJECT-tools (the verifier) and, for one kernel
# of Debian's, PROJECT-modules-RELEASE (the module). They are written by dpkg-deb from deb/, in which
# @NAME@ stands for a value; the version is that of deb/changelog. The same inputs make the same bytes.

DEB_TEXTS=board/common/deb
# As Debian's own programs have it; an address that nobody can have stands for nobody.
DEB_MAINTAINER="${DEBFULLNAME:-the authors of $PROJECT} <${DEBEMAIL:-$PROJECT@packages.invalid}>"

# make_debs PROGRAM MODULE DIR: for KERNEL, into DIR.
make_debs() {
	local program=$1 module=$2 output work changes=$DEB_TEXTS/changelog
	DEB_VERSION=$(sed -n 's/^@PROJECT@ (\(.*\)) .*/\1/p' "$changes" | head -n 1)
	SOURCE_DATE_EPOCH=$(sed -n 's/^ -- @MAINTAINER@  //p' "$changes" | head -n 1)
	[[ -n $DEB_VERSION && -n $SOURCE_DATE_EPOCH ]] || die "$changes has no version or no date"
	SOURCE_DATE_EPOCH=$(date --date="$SOURCE_DATE_EPOCH" +%s)
	export SOURCE_DATE_EPOCH
	output=$3 work=$3/work
	rm -rf "$output"
	mkdir -p "$output" "$work"
	umask 022

	deb_begin "$PROJECT-tools"
	deb_install 0755 "$program" "usr/bin/$PROJECT-verify"
	deb_compress "docs/$PROJECT-verify.1" "usr/share/man/man1/$PROJECT-verify.1"
	deb_install 0644 "$(deb_udev_rules)" "usr/lib/udev/rules.d/70-$PROJECT.rules"
	deb_seal tools

	deb_begin "$PROJECT-dkms"
	deb_driver "usr/src/$PROJECT-$DEB_VERSION"
	deb_seal dkms

	deb_begin "$PROJECT-modules-$(debian_release)"
	deb_install 0644 "$module" "usr/lib/modules/$(debian_release)/updates/$MODULE.ko"
	# Without what only a debugger reads.
	"$DEBIAN_TOOLS/bin/aarch64-linux-gnu-strip" --strip-debug "$DEB_ROOT/usr/lib/modules/$(debian_release)/updates/$MODULE.ko"
	deb_seal modules
	rm -rf "$work"
}

# deb_udev_rules: the file, which Buildroot's package installs, too.
deb_udev_rules() {
	echo "buildroot/package/$PROJECT-driver/70-$PROJECT.rules"
}

# deb_driver DIR: what DKMS builds from.
deb_driver() {
	local file
	while read -r file; do
		deb_install 0644 "driver/$file" "$1/driver/$file"
	done < <(cd driver && find . \( -name '*.rs' -o -name '*.[ch]' -o -name Kbuild -o -name Kconfig \) -printf '%P\n' | LC_ALL=C sort)
	deb_install 0644 board/common/crates.sh "$1/crates.sh"
	deb_install 0644 "$DEB_TEXTS/dkms/dkms.conf" "$1/dkms.conf"
	deb_install 0755 "$DEB_TEXTS/dkms/build" "$1/build"
	deb_fill "$DEB_ROOT/$1"/{dkms.conf,build}
}

deb_begin() { # NAME
	DEB_NAME=$1 DEB_ROOT=$work/$1
	mkdir -p "$DEB_ROOT/DEBIAN"
}

deb_install() { # MODE FILE PATH
	install -D --mode="$1" "$2" "$DEB_ROOT/$3"
}

# deb_compress FILE PATH: the file filled, as PATH.gz.
deb_compress() {
	deb_install 0644 "$1" "$2"
	deb_fill "$DEB_ROOT/$2"
	gzip --best --no-name "$DEB_ROOT/$2"
}

# deb_fill FILE…: each @NAME@ becomes its value. The line with the licence goes from a file that has no
# comments.
deb_fill() {
	sed -i -e "s/@PROJECT@/$PROJECT/g" -e "s/@MODULE@/$MODULE/g" -e "s/@KCONFIG@/$KCONFIG/g" \
		-e "s/@VERSION@/$DEB_VERSION/g" -e "s/@MAINTAINER@/$DEB_MAINTAINER/g" \
		-e "s/@SERIES@/$KERNEL_SERIES/g" -e "s/@SERIES_PATTERN@/${KERNEL_SERIES//./\\\\.}/g" \
		-e "s/@RELEASE@/$(debian_release)/g" -e "s/@KERNEL_VERSION@/$DEBIAN_KERNEL_VERSION/g" \
		-e "s/@SIZE@/${DEB_SIZE:-}/g" "$@"
}

# deb_seal TEXTS: builds the package, with the control files of deb/TEXTS.
deb_seal() {
	local control=$DEB_ROOT/DEBIAN doc=usr/share/doc/$DEB_NAME file
	deb_install 0644 "$DEB_TEXTS/copyright" "$doc/copyright"
	# The text as a paragraph of a control file has it.
	sed -e 's/^$/./' -e 's/^/ /' LICENSES/MIT.txt | sed -i -e '/^@MIT@$/{r /dev/stdin' -e 'd}' "$DEB_ROOT/$doc/copyright"
	deb_fill "$DEB_ROOT/$doc/copyright"
	sed -i 1d "$DEB_ROOT/$doc/copyright"
	deb_install 0644 "$DEB_TEXTS/changelog" "$doc/changelog"
	deb_fill "$DEB_ROOT/$doc/changelog"
	sed -i 1d "$DEB_ROOT/$doc/changelog"
	gzip --best --no-name "$DEB_ROOT/$doc/changelog"
	if [[ -e $DEB_TEXTS/$1/lintian-overrides ]]; then
		deb_install 0644 "$DEB_TEXTS/$1/lintian-overrides" "usr/share/lintian/overrides/$DEB_NAME"
		deb_fill "$DEB_ROOT/usr/share/lintian/overrides/$DEB_NAME"
	fi
	DEB_SIZE=$(du --summarize --apparent-size --block-size=1024 --exclude=DEBIAN "$DEB_ROOT" | cut -f 1)
	for file in control postinst prerm postrm; do
		[[ ! -e $DEB_TEXTS/$1/$file ]] || {
			install --mode=0755 "$DEB_TEXTS/$1/$file" "$control/$file"
			deb_fill "$control/$file"
		}
	done
	chmod 0644 "$control/control"
	sed -i 1d "$control/control"
	(cd "$DEB_ROOT" && find usr -type f -print0 | LC_ALL=C sort --zero-terminated | xargs -0 md5sum) >"$control/md5sums"
	dpkg-deb --root-owner-group -Zxz --build "$DEB_ROOT" "$output" >/dev/null || die "dpkg-deb could not build $DEB_NAME"
	file=$(compgen -G "$output/${DEB_NAME}_*.deb")
	say DEB "$file, $(stat --format=%s "$file") bytes"
}
