# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Debian packages that are not installed but unpacked into the cache. The machine does not change: apt
# works on a private root, with the machine's own mirror and keyring.

# unpacked_entry NEED: the name of the entry that has NEED's packages.
unpacked_entry() {
	echo "debs-$1-$CODENAME"
}

# unpack_decide NEED: which packages, with the libraries that the machine lacks, are to be unpacked:
# UNPACK_PACKAGES, UNPACK_DEBS (NAME=VERSION), UNPACK_SUITE. UNPACK_WHY_NOT says why there are none.
unpack_decide() {
	local confs="apt backports" conf packages simulated
	UNPACK_WHY_NOT=
	case $1 in
	compiler | perl | python3 | test-python | certificates | rust-src | rust-tools)
		UNPACK_WHY_NOT="it works only when installed"
		return 1
		;;
	# The newest runs all boards.
	qemu) confs="backports apt" ;;
	esac
	if ! private_apt; then
		UNPACK_WHY_NOT=$DEB_WHY_NOT
		return 1
	fi
	for conf in $confs; do
		while read -ra packages; do
			APT_CONF=$PRIVATE_APT/$conf.conf apt_knows_all "${packages[@]}" || continue
			# This may remove packages: it is a simulation, and nothing is installed.
			if ! simulated=$(APT_CONF=$PRIVATE_APT/$conf.conf apt apt-get --simulate --yes \
				--no-install-recommends install "${packages[@]}" 2>&1); then
				UNPACK_WHY_NOT=$(apt_reason <<<"$simulated")
				continue
			fi
			mapfile -t UNPACK_DEBS < <(sed -n 's/^Inst \([^ ]*\) \(\[[^]]*\] \)\?(\([^ ]*\) .*/\1=\3/p' <<<"$simulated")
			[[ ${#UNPACK_DEBS[@]} != 0 ]] || {
				UNPACK_WHY_NOT="${packages[0]} is installed already, but does not work"
				continue
			}
			# The machine's own C library is used. It works if it is the same version, except for fixes.
			if grep '^Inst libc6 ' <<<"$simulated" | grep -qvE '^Inst libc6 \[([0-9.]+)-[^]]*\] \(\1-'; then
				UNPACK_WHY_NOT="${packages[0]} needs another libc6"
				continue
			fi
			mapfile -t UNPACK_DEBS < <(printf '%s\n' "${UNPACK_DEBS[@]}" | grep -v '^libc6=')
			UNPACK_PACKAGES=("${packages[@]}") UNPACK_SUITE=$CODENAME
			[[ $conf == apt ]] || UNPACK_SUITE=$CODENAME-backports
			return 0
		done < <(APT_CONF=$PRIVATE_APT/$conf.conf need_alternatives "$1")
	done
	UNPACK_WHY_NOT=${UNPACK_WHY_NOT:-Debian $CODENAME has none that is new enough}
	return 1
}

# unpack NEED: makes the entry of NEED's packages, and puts its programs into $CACHE/bin.
unpack() {
	local name
	unpack_decide "$1" || die "$1: $UNPACK_WHY_NOT"
	name=$(unpacked_entry "$1")
	# It is asked for because what is there does not work, even if nothing in it has changed.
	rm -f "$CACHE/$name/.entry/complete"
	entry "$name" "${UNPACK_PACKAGES[*]}" make_unpacked
	link_programs
}

make_unpacked() {
	local deb
	say UNPACK "${#UNPACK_DEBS[@]} packages of Debian $UNPACK_SUITE into the cache: ${UNPACK_PACKAGES[*]}"
	(
		cd "$PRIVATE_APT/debs"
		rm -f ./*.deb
		APT_CONF=$PRIVATE_APT/apt.conf run_logged unpack apt apt-get --quiet download "${UNPACK_DEBS[@]}"
	)
	for deb in "$PRIVATE_APT"/debs/*.deb; do
		dpkg-deb --extract "$deb" "$ENTRY" || die "${deb##*/} could not be unpacked into $ENTRY"
	done
	write_wrappers "$ENTRY"
}

# write_wrappers DIR: DIR/bin has a script for each program unpacked in DIR, which lets it find its
# libraries and its data there.
write_wrappers() {
	local program name libraries=() missing found
	mkdir -p "$1/bin"
	mapfile -t libraries < <(find "$1"/usr/lib/*-linux-gnu* "$1"/lib/*-linux-gnu* -maxdepth 0 -type d 2>/dev/null)
	for program in "$1"/usr/bin/* "$1"/usr/sbin/* "$1"/bin/*; do
		[[ -f $program && -x $program && $program != "$1"/bin/* ]] || continue
		# A library that is in a directory of its own.
		while missing=$(LD_LIBRARY_PATH=$(path_of "${libraries[@]}") ldd "$program" 2>/dev/null |
			sed -n 's/^\t\([^ ]*\) => not found$/\1/p' | awk '!n++') && [[ -n $missing ]]; do
			found=$(find "$1" -name "$missing" -printf '%h\n' -quit)
			[[ -n $found && " ${libraries[*]} " != *" $found "* ]] || break
			libraries+=("$found")
		done
	done
	for program in "$1"/usr/bin/* "$1"/usr/sbin/*; do
		[[ -f $program && -x $program ]] || continue
		name=${program##*/}
		{
			echo '#!/bin/sh'
			[[ ${#libraries[@]} == 0 ]] ||
				echo "export LD_LIBRARY_PATH='$(path_of "${libraries[@]}")'\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}"
			[[ ! -d $1/usr/share/bison ]] || echo "export BISON_PKGDATADIR='$1/usr/share/bison'"
			[[ ! -x $1/usr/bin/m4 ]] || echo "export M4='$1/usr/bin/m4'"
			echo "exec '$program' \"\$@\""
		} >"$1/bin/$name"
		chmod +x "$1/bin/$name"
	done
}

path_of() { # DIR…
	local IFS=:
	echo "$*"
}

# link_programs: $CACHE/bin has the programs of all entries of this release, and no others.
link_programs() {
	local program name
	mkdir -p "$CACHE/bin"
	for program in "$CACHE"/bin/*; do
		[[ $(readlink "$program") == "$CACHE"/debs-*-"$CODENAME"/bin/* && -x $program ]] || rm -f "$program"
	done
	for program in "$CACHE"/debs-*-"$CODENAME"/bin/*; do
		name=${program##*/}
		[[ ! -x $program ]] || ln -sfn "$program" "$CACHE/bin/$name"
	done
	hash -r
}

# drop_damaged: an unpacked entry that is damaged is deleted, so that its programs are not found.
drop_damaged() {
	local directory fault lock
	for directory in "$CACHE"/debs-*-"$CODENAME"; do
		[[ -d $directory ]] || continue
		exec {lock}>"$directory.lock"
		# A process that holds the lock is making it.
		if flock --nonblock "$lock"; then
			fault=$(entry_fault "$directory")
			if [[ -n $fault ]]; then
				say CACHE "$directory $fault: deleted"
				rm -rf "$directory"
			fi
		fi
		exec {lock}>&-
	done
	[[ ! -d $CACHE/bin ]] || link_programs
}

# deb_unpack DIR ARCHITECTURE VERSION PACKAGE…: unpacks one of these packages of Debian's into DIR,
# from the first suite that has one in a version that begins with VERSION. Sets DEB_NAME,
# DEB_VERSION and DEB_SUITE. Fails, with the reason in DEB_WHY_NOT, if there is none.
deb_unpack() {
	local dir=$1 architecture=$2 version=$3 root found='' suite
	shift 3
	debian_mirror || return 1
	DEB_WHY_NOT="no suite of $DEBIAN_MIRROR has it (${DEBIAN_SUITES// /, })"
	mkdir -p "$CACHE"
	root=$(mktemp -d "$CACHE/apt.XXXXXX")
	cleanup "$root"
	apt_root "$root" "$architecture" /dev/null
	for suite in $DEBIAN_SUITES; do
		echo "deb [signed-by=$DEBIAN_KEYRING] $DEBIAN_MIRROR $suite main" >"$root/sources.list"
		APT_CONF=$root/apt.conf apt apt-get -qq update 2>"$root/log" || continue
		# "1.9" must not find 1.95: what follows VERSION is no digit.
		found=$(APT_CONF=$root/apt.conf apt apt-cache madison "$@" | awk -v version="$version" '
			index($3, version) == 1 && substr($3, length(version) + 1) !~ /^[0-9]/ && !n++ {
				print $1 "=" $3
			}')
		[[ -z $found ]] || break
	done
	[[ -n $found ]] || return 1

	DEB_NAME=${found%%=*} DEB_VERSION=${found#*=} DEB_SUITE=$suite
	say DOWNLOAD "Debian's $DEB_NAME $DEB_VERSION from $suite, $(APT_CONF=$root/apt.conf apt apt-cache \
		show "$found" | awk '$1 == "Size:" && !n++ { printf "%d MB", $2 / 1e6 + 1 }')"
	(cd "$root/debs" && APT_CONF=$root/apt.conf apt apt-get -qq download "$found" 2>../log) ||
		{
			DEB_WHY_NOT="apt-get could not download $found: $(tail -n 1 "$root/log")"
			return 1
		}
	dpkg-deb --extract "$root"/debs/*.deb "$dir" || die "$found could not be unpacked into $dir"
	rm -rf "$root"
}
