# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# What comes from the distribution: packages installed on the machine, and packages of other
# suites that are only unpacked, into the cache.

# Programs and the packages that have them. What the tests alone use is apart: `make run` does not
# stop for it.
PROGRAMS_RUN="gcc:gcc flex:flex bison:bison bc:bc perl:perl xz:xz-utils curl:curl cpio:cpio
	python3:python3 qemu-system-aarch64:qemu-system-arm dtc:device-tree-compiler
	fdtoverlay:device-tree-compiler"
FILES_RUN="/usr/include/stdio.h:libc6-dev /etc/ssl/certs/ca-certificates.crt:ca-certificates"
PROGRAMS_TEST="shellcheck:shellcheck"

# missing_packages run|test: sets MISSING to what has to be installed. Where a kind of package has
# several names, it is the name that this distribution has. On the way it sets what find_rust and
# find_llvm set.
missing_packages() {
	local pair programs=$PROGRAMS_RUN
	MISSING=()
	[[ $1 == run ]] || programs+=" $PROGRAMS_TEST"
	for pair in $programs; do
		command -v "${pair%%:*}" >/dev/null || MISSING+=("${pair#*:}")
	done
	for pair in $FILES_RUN; do
		[[ -e ${pair%%:*} ]] || MISSING+=("${pair#*:}")
	done
	if ! find_llvm; then
		mapfile -t -O ${#MISSING[@]} MISSING < <(llvm_packages)
	fi
	if ! find_rust; then
		mapfile -t -O ${#MISSING[@]} MISSING < <(rust_packages "$(rust_package_newest)" "$1")
	elif ! find_rust_src || { [[ $1 != run ]] && ! find_rust_tools; }; then
		# Not all of it is there. What a package began, its relatives complete; what rustup has
		# installed is another matter (setup_rust_src).
		mapfile -t -O ${#MISSING[@]} MISSING < <(rust_packages "$(rust_package_installed)" "$1")
	fi
	if [[ $1 != run ]] && ! find_test_python; then
		MISSING+=(python3-venv python3-libfdt)
	fi
	# bindgen: where packages are installed anyway and the distribution's is new enough, it saves
	# building one.
	if [[ ${#MISSING[@]} != 0 ]] && ! find_bindgen && at_least "$BINDGEN_MIN" "$(candidate bindgen)"; then
		MISSING+=(bindgen)
	fi
	mapfile -t MISSING < <(printf '%s\n' "${MISSING[@]}" | awk 'NF && !seen[$0]++')
}

# ensure_packages run|test: installs what is missing. If anything is, all that the tests need
# comes with it, so that there is one question and one call.
ensure_packages() {
	local sudo=() answer
	missing_packages "$1"
	[[ ${#MISSING[@]} != 0 ]] || return 0
	command -v apt-get >/dev/null ||
		die "missing: what Debian has in the packages ${MISSING[*]}. There is no apt-get here: install it by hand"

	missing_packages test
	say PACKAGES "missing: ${MISSING[*]}"
	if [[ $EUID != 0 ]]; then
		sudo=(sudo)
		if ! command -v sudo >/dev/null; then
			packages_by_hand "this needs root, and there is no sudo"
		elif [[ ${CI:-} == true ]]; then
			sudo=(sudo --non-interactive)
			"${sudo[@]}" true 2>/dev/null || packages_by_hand "CI=true, but sudo asks for a password"
		elif [[ -t 0 && -t 2 ]]; then
			read -r -p "            Install them now, with sudo apt-get? [Y/n] " answer
			[[ ${answer:-y} == [yY]* ]] || packages_by_hand "not installed"
		else
			packages_by_hand "this needs root; there is no terminal to ask on, and not CI=true"
		fi
	fi

	say PACKAGES "apt-get update"
	"${sudo[@]}" apt-get -qq update >"$LOGS/packages.log" 2>&1 </dev/null ||
		fail_with_log "$LOGS/packages.log" "apt-get update failed"
	missing_packages test # by the names of today
	say PACKAGES "apt-get install ${MISSING[*]} (up to 2 minutes)"
	# --no-remove: rather stop than take away a package that somebody else needs.
	run_logged packages "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get --yes --no-remove \
		--quiet --no-install-recommends -o Dpkg::Use-Pty=0 install "${MISSING[@]}"
	hash -r
	missing_packages "$1"
	[[ ${#MISSING[@]} == 0 ]] || die "still missing after the installation: ${MISSING[*]}"
}

packages_by_hand() { # REASON
	die "$1. Have this run, then make again:

    sudo sh -c 'apt-get update && apt-get install --no-install-recommends ${MISSING[*]}'
"
}

# candidates PACKAGE…: `PACKAGE VERSION` of those that apt would install.
candidates() {
	apt-cache policy "$@" 2>/dev/null |
		awk '/^[^ ]/ { sub(":$", ""); name = $1 }
		     $1 == "Candidate:" && $2 != "(none)" { print name, $2 }'
}

candidate() { # PACKAGE
	candidates "$1" | cut -d' ' -f2
}

# The newest compiler the distribution has. Debian keeps one beside its own for the browsers
# (rustc-web), Ubuntu one package a version (rustc-1.NN).
rust_package_newest() {
	local names name version best='' best_version=0
	names=$(apt-cache --names-only search '^rustc-1\.[0-9]+$' 2>/dev/null | cut -d' ' -f1)
	# shellcheck disable=SC2086 # one name a word
	while read -r name version; do
		if at_least "$RUSTC_MIN" "$version" && at_least "$best_version" "$version"; then
			best=$name best_version=$version
		fi
	done < <(candidates rustc rustc-web $names)
	# Before the first apt-get update nothing is known; Debian has this one since release 12.
	echo "${best:-rustc-web}"
}

# The package that the compiler in use is from, if it is from one.
rust_package_installed() {
	dpkg-query --search "$(readlink -f "$RUST_BIN/rustc")" 2>/dev/null | sed -n '1s/:.*//p'
}

# rust_packages COMPILER run|test: the packages that go with the package COMPILER.
rust_packages() {
	local cargo src rustfmt clippy
	case $1 in
	rustc) cargo=cargo src=rust-src rustfmt=rustfmt clippy=rust-clippy ;;
	rustc-web) cargo=cargo-web src=rust-web-src rustfmt=rustfmt-web clippy=rust-web-clippy ;;
	rustc-*) cargo=cargo-${1#*-} src=rust-${1#*-}-src rustfmt=rustfmt-${1#*-} clippy=rust-${1#*-}-clippy ;;
	*) return 0 ;;
	esac
	printf '%s\n' "$1" "$cargo" "$src"
	[[ $2 == run ]] || printf '%s\n' "$rustfmt" "$clippy"
}

llvm_packages() {
	local v
	for v in $LLVM_PREFERRED; do
		[[ $(candidates "clang-$v" "lld-$v" "llvm-$v" "libclang1-$v" | wc -l) == 4 ]] && break
	done
	printf '%s\n' "clang-$v" "lld-$v" "llvm-$v" "libclang1-$v"
}

# deb_unpack DIR ARCHITECTURE VERSION PACKAGE…: unpacks one of these packages of Debian's into DIR,
# from the first suite that has one in a version that begins with VERSION. Sets DEB_NAME,
# DEB_VERSION and DEB_SUITE; fails, with the reason in DEB_WHY_NOT, if it is not to be had.
#
# Nothing is installed, and the machine's own sources and lists stay as they are: apt works on a
# private root, which knows one suite of the machine's own mirror, and checks its signature with
# the machine's own keyring.
deb_unpack() {
	local dir=$1 architecture=$2 version=$3 mirror keyring root conf suite found=''
	shift 3
	DEB_WHY_NOT='this is not Debian'
	grep -qx 'ID=debian' /etc/os-release || return 1
	DEB_WHY_NOT="apt's sources name no mirror of Debian"
	# shellcheck disable=SC2016 # apt's variables, not the shell's
	mirror=$(apt-get indextargets --format '$(ORIGIN) $(REPO_URI)' 'Created-By: Packages' |
		awk '!/-security/ && ($1 == "Debian" || /\/debian\/?$/) && !n++ { print $NF }')
	[[ -n $mirror ]] || return 1
	DEB_WHY_NOT='there is no /usr/share/keyrings/debian-archive-keyring.*'
	keyring=$(compgen -G '/usr/share/keyrings/debian-archive-keyring.*') || return 1
	DEB_WHY_NOT="no suite of $mirror has it (${DEBIAN_SUITES// /, })"

	mkdir -p "$CACHE"
	root=$(mktemp -d "$CACHE/apt.XXXXXX")
	cleanup "$root"
	mkdir -p "$root"/state/lists/partial "$root"/cache/archives/partial
	conf=$root/apt.conf
	# What the machine has configured, such as a proxy, applies; its hooks after an update are for
	# its own lists (#clear).
	cat >"$conf" <<-EOF
		#clear APT::Update;
		#clear APT::Architectures;
		APT::Architecture "$architecture";
		APT::Architectures:: "$architecture";
		APT::Sandbox::User "$(id -un)";
		Acquire::Languages "none";
		Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
		Dir::Etc::sourcelist "$root/sources.list";
		Dir::Etc::sourceparts "-";
		Dir::State "$root/state";
		Dir::State::status "/dev/null";
		Dir::Cache "$root/cache";
	EOF
	for suite in $DEBIAN_SUITES; do
		echo "deb [signed-by=${keyring%%$'\n'*}] $mirror $suite main" >"$root/sources.list"
		apt-get -c "$conf" -qq update 2>"$root/log" || continue
		# "1.9" must not find 1.95: what follows VERSION is no digit.
		found=$(apt-cache -c "$conf" madison "$@" | awk -v version="$version" '
			index($3, version) == 1 && substr($3, length(version) + 1) !~ /^[0-9]/ && !n++ {
				print $1 "=" $3
			}')
		[[ -z $found ]] || break
	done
	[[ -n $found ]] || return 1

	DEB_NAME=${found%%=*} DEB_VERSION=${found#*=} DEB_SUITE=$suite
	say DOWNLOAD "Debian's $DEB_NAME $DEB_VERSION from $suite, $(
		apt-cache -c "$conf" show "$found" | awk '$1 == "Size:" && !n++ { printf "%d MB", $2 / 1e6 + 1 }')"
	(cd "$root" && apt-get -c "$conf" -qq download "$found" 2>log) ||
		fail_with_log "$root/log" "apt-get could not download $found"
	dpkg-deb --extract "$root"/*.deb "$dir" || die "$found could not be unpacked into $dir"
	rm -rf "$root"
}

# setup_busybox DIR: makes DIR an overlay for the guest's root with a shell. The program is the
# user's BUSYBOX= or Debian's.
setup_busybox() {
	local busybox=${BUSYBOX:-} machine
	if [[ -z $busybox ]]; then
		entry "busybox-$ARCH" "busybox for $ARCH" make_busybox
		busybox=$ENTRY/busybox
	fi
	machine=$(od --address-radix=n --skip-bytes=18 --read-bytes=2 --format=x2 "$busybox" 2>/dev/null) || true
	case $ARCH$machine in
	"arm64 00b7" | "arm 0028") ;;
	*) die "BUSYBOX=$busybox is not a program for $ARCH" ;;
	esac
	rm -rf "$1"
	mkdir -p "$1/bin" "$1/etc"
	cp "$busybox" "$1/bin/busybox"
	ln -s busybox "$1/bin/sh"
	cp board/common/profile "$1/etc/profile"
}

make_busybox() {
	deb_unpack "$ENTRY" "${ARCH/%arm/armhf}" 1:1 busybox-static ||
		die "no busybox for $ARCH: $DEB_WHY_NOT. Give a static one: make shell BUSYBOX=/path/to/busybox"
	# /bin/busybox in one release of Debian, /usr/bin/busybox in the next.
	find "$ENTRY" -path '*/bin/busybox' -type f -exec mv {} "$ENTRY/busybox" \;
	ENTRY_HASHED=(busybox)
}
