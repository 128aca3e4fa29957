# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# What the machine must have, and how set-up gets it. `plan` decides and changes nothing; `make doctor`,
# the tests and set-up use the same plan.
#
# Each need is met by the first of these that works: what is found and new enough; what apt can install
# with nothing removed or downgraded; the same packages unpacked into the cache (debs.sh).

NEEDS_RUN="compiler flex bison bc perl xz curl certificates cpio python3 dtc qemu llvm rust rust-src"
# Only the tests need these: `make run` does not stop if they are missing.
NEEDS_TEST="rust-tools test-python shellcheck patch"
# If one of these is missing, there is another way, or a later error that says more.
NEEDS_OPTIONAL=" certificates qemu rust-src "

# need_found NEED
need_found() {
	case $1 in
	compiler) find_compiler ;;
	certificates) ! have_apt || find_certificates ;;
	dtc) command -v dtc >/dev/null && command -v fdtoverlay >/dev/null ;;
	qemu) find_qemu ;;
	llvm) find_llvm ;;
	rust) find_rust ;;
	# What goes with a compiler that is to be installed comes with it. rustup's is completed by
	# setup_rust_src.
	rust-src) ! find_rust || find_rust_src || [[ $RUST_SYSROOT == */toolchains/* ]] ;;
	rust-tools) ! find_rust || find_rust_tools ;;
	python3) find_python ;;
	test-python) find_test_python ;;
	*) command -v "$1" >/dev/null ;;
	esac
}

# need_text NEED: what is needed, for someone who installs it by hand.
need_text() {
	case $1 in
	compiler) echo "a C compiler that works (gcc or cc, with the C library's headers)" ;;
	certificates) echo "certificates of the public authorities (ca-certificates)" ;;
	dtc) echo "dtc and fdtoverlay" ;;
	qemu) echo "$QEMU${QEMU_MIN:+ $QEMU_MIN or later}" ;;
	llvm) echo "clang, ld.lld, llvm-ar, llvm-nm, llvm-objcopy, llvm-readelf and libclang, $LLVM_MIN or later" ;;
	rust) echo "rustc and cargo $RUSTC_MIN or later" ;;
	rust-src) echo "the sources of Rust ${RUST_VERSION:-}" ;;
	rust-tools) echo "rustfmt and clippy of the rustc in use (rustup component add rustfmt clippy)" ;;
	python3) echo "python3 $PYTHON_MIN or later" ;;
	test-python) echo "a python3 of $PYTHON_MIN or later with ensurepip, venv and libfdt" ;;
	*) echo "$1" ;;
	esac
}

# need_alternatives NEED: the packages that meet it, one alternative a line, the preferred one first. Only
# those that apt knows in a version that will do; the usual names if it knows none.
need_alternatives() {
	case $1 in
	compiler) echo gcc libc6-dev ;;
	certificates) echo ca-certificates ;;
	xz) echo xz-utils ;;
	dtc) echo device-tree-compiler ;;
	qemu) qemu_packages ;;
	llvm) llvm_packages ;;
	rust) rust_packages ;;
	rust-src) rust_companions src ;;
	rust-tools) rust_companions tools ;;
	python3) python_packages ;;
	test-python) echo python3-venv python3-libfdt ;;
	*) echo "$1" ;;
	esac
}

qemu_packages() {
	local version
	version=$(candidate qemu-system-arm)
	[[ -z $version || -z ${QEMU_MIN:-} ]] || at_least "$QEMU_MIN" "$version" || return 0
	echo qemu-system-arm
}

python_packages() {
	local version
	version=$(candidate python3)
	[[ -z $version ]] || at_least "$PYTHON_MIN" "$version" || return 0
	echo python3
}

llvm_packages() {
	local v known=
	for v in $LLVM_PREFERRED; do
		if apt_knows_all "clang-$v" "lld-$v" "llvm-$v" "libclang1-$v"; then
			echo "clang-$v lld-$v llvm-$v libclang1-$v"
			known=yes
		fi
	done
	v=${LLVM_PREFERRED%% *}
	[[ $known ]] || echo "clang-$v lld-$v llvm-$v libclang1-$v"
}

# Compilers new enough, the newest first. Debian keeps one beside its own for the browsers (rustc-web),
# Ubuntu one package a version (rustc-1.NN).
rust_packages() {
	local names name version known=
	names=$(apt apt-cache --names-only search '^rustc-1\.[0-9]+$' 2>/dev/null | cut -d' ' -f1)
	# shellcheck disable=SC2086 # one name a word
	while read -r version name; do
		at_least "$RUSTC_MIN" "$version" || continue
		rust_package_set "$name"
		known=yes
	done < <(candidates rustc rustc-web $names | awk '{ print $2, $1 }' | sort --version-sort --reverse)
	[[ $known ]] || rust_package_set rustc-web
}

rust_package_set() { # COMPILER
	case $1 in
	rustc) echo "rustc cargo rust-src rustfmt rust-clippy" ;;
	rustc-web) echo "rustc-web cargo-web rust-web-src rustfmt-web rust-web-clippy" ;;
	rustc-*) echo "$1 cargo-${1#*-} rust-${1#*-}-src rustfmt-${1#*-} rust-${1#*-}-clippy" ;;
	esac
}

# rust_companions src|tools: the packages of exactly the compiler that is found.
rust_companions() {
	local name version set
	find_rust || return 0
	# shellcheck disable=SC2046 # one name a word
	while read -r name version; do
		[[ $version == "$RUST_VERSION"[-+~]* ]] || continue
		read -ra set <<<"$(rust_package_set "$name")"
		if [[ $1 == src ]]; then echo "${set[2]}"; else echo "${set[@]:3}"; fi
	done < <(candidates rustc rustc-web "rustc-${RUST_VERSION%.*}")
}

# plan run|test: decides, in the arrays FOUND (needs), INSTALL (packages), and REFUSED (by need: why apt
# cannot). APT_LISTS_LACKING: apt does not know a package, which its lists of today may have.
plan() {
	local need needs=$NEEDS_RUN wanted=() all=() alternative packages
	[[ $1 == run ]] || needs+=" $NEEDS_TEST"
	FOUND=() INSTALL=() APT_LISTS_LACKING=
	declare -gA REFUSED=()
	for need in $needs; do
		if need_found "$need"; then FOUND+=("$need"); else wanted+=("$need"); fi
	done
	[[ ${#wanted[@]} != 0 ]] || return 0
	if ! have_apt; then
		for need in "${wanted[@]}"; do REFUSED[$need]="there is no apt-get here"; done
		return
	fi
	if [[ -z ${APT_MEMO:-} ]]; then
		APT_MEMO=$(mktemp -d)
		cleanup "$APT_MEMO"
	fi
	# All in one question: most machines have nothing in the way.
	for need in "${wanted[@]}"; do
		read -ra packages <<<"$(need_alternatives "$need" | sed -n 1p)"
		all+=("${packages[@]}")
		[[ ${#packages[@]} != 0 ]] || REFUSED[$need]="apt has none that is new enough"
	done
	if [[ ${#all[@]} == 0 ]]; then
		return
	elif apt_knows_all "${all[@]}" && apt_takes "${all[@]}"; then
		INSTALL=("${all[@]}")
	else
		for need in "${wanted[@]}"; do plan_need "$need"; done
	fi
	plan_bindgen
}

plan_need() { # NEED
	local packages
	REFUSED[$1]="apt has none that is new enough"
	while read -ra packages; do
		if ! apt_knows_all "${packages[@]}"; then
			APT_LISTS_LACKING=yes
			REFUSED[$1]="apt does not know ${packages[*]}"
		elif apt_takes "${INSTALL[@]}" "${packages[@]}"; then
			INSTALL+=("${packages[@]}")
			unset "REFUSED[$1]"
			return
		else
			REFUSED[$1]="apt cannot install ${packages[0]}: $APT_WHY_NOT"
		fi
	done < <(need_alternatives "$1")
}

# Where packages are installed anyway and the distribution's bindgen is new enough, it saves building one.
plan_bindgen() {
	[[ ${#INSTALL[@]} != 0 ]] && ! find_bindgen || return 0
	if at_least "$BINDGEN_MIN" "$(candidate bindgen)" && apt_takes "${INSTALL[@]}" bindgen; then
		INSTALL+=(bindgen)
	fi
}

# plan_refused: what is done about the needs that apt cannot meet, as lines `unpack NEED from SUITE: …`
# and `lack NEED: …`.
plan_refused() {
	local need
	for need in "${!REFUSED[@]}"; do
		if unpack_decide "$need"; then
			echo "unpack $need from $UNPACK_SUITE: ${UNPACK_DEBS[*]}"
		else
			echo "lack $need: ${REFUSED[$need]}; and unpacked: $UNPACK_WHY_NOT"
		fi
	done
}

# print_plan run|test
print_plan() {
	local need
	plan "$1"
	for need in "${FOUND[@]}"; do echo "found $need"; done
	[[ ${#INSTALL[@]} == 0 ]] || echo "install ${INSTALL[*]}"
	plan_refused
}

# ensure_packages run|test: carries the plan out. If anything is missing, all that the tests need comes
# with it, so that there is one question and one call.
ensure_packages() {
	local need
	drop_damaged
	plan "$1"
	is_lacking "$1" || return 0
	# Do not ask for root only because something for the tests is missing.
	[[ $1 == run && ${#INSTALL[@]} == 0 && -z $APT_LISTS_LACKING ]] || plan test
	if [[ ${#INSTALL[@]} != 0 || $APT_LISTS_LACKING ]]; then
		may_install
		update_lists
		plan test
		[[ ${#INSTALL[@]} == 0 ]] || install_packages
	fi
	for need in "${!REFUSED[@]}"; do
		if [[ $1 == test || " $NEEDS_RUN " == *" $need "* ]]; then
			unpack_need "$need"
		fi
	done
	hash -r
	report_lacking "$1"
}

# is_lacking run|test: whether the plan has something to do that is not optional, or that apt can do.
is_lacking() {
	local need
	[[ ${#INSTALL[@]} == 0 ]] || return 0
	for need in "${!REFUSED[@]}"; do
		[[ $need == rust-src ]] || return 0
	done
	return 1
}

unpack_need() { # NEED
	if unpack_decide "$1"; then
		say PACKAGES "$1: ${REFUSED[$1]}"
		unpack "$1"
	else
		REFUSED[$1]+="; and it cannot be unpacked into the cache: $UNPACK_WHY_NOT"
	fi
}

# report_lacking run|test: one error for all that is missing still.
report_lacking() {
	local need needs=$NEEDS_RUN text=
	[[ $1 == run ]] || needs+=" $NEEDS_TEST"
	for need in $needs; do
		if [[ $NEEDS_OPTIONAL != *" $need "* ]] && ! need_found "$need"; then
			text+=$'\n'"  $need: $(need_text "$need")"$'\n'"      ${REFUSED[$need]:-it is installed, but does not work}"
		fi
	done
	[[ -z $text ]] || die "missing:$text
${FAILED_SOURCES:+apt-get update could not read: $FAILED_SOURCES
}Install it by hand, or remove what is in the way, then make again."
}

# may_install: SUDO, the words before a command that root is to run; an error if that cannot be.
may_install() {
	local answer
	SUDO=()
	say PACKAGES "missing: ${INSTALL[*]:-${!REFUSED[*]}}"
	[[ $EUID != 0 ]] || return 0
	SUDO=(sudo)
	if ! command -v sudo >/dev/null; then
		packages_by_hand "this needs root, and there is no sudo"
	elif [[ ${CI:-} == true ]]; then
		SUDO=(sudo --non-interactive)
		"${SUDO[@]}" true 2>/dev/null || packages_by_hand "CI=true, but sudo asks for a password"
	elif [[ -t 0 && -t 2 ]]; then
		read -r -p "            Install them now, with sudo apt-get? [Y/n] " answer || answer=n
		[[ ${answer:-y} == [yY]* ]] || packages_by_hand "not installed"
	elif sudo --non-interactive true 2>/dev/null; then
		packages_by_hand "there is no terminal to ask on; CI=true answers yes"
	else
		packages_by_hand "this needs root; there is no terminal to ask on, and not CI=true"
	fi
}

packages_by_hand() { # REASON
	local need names=("${INSTALL[@]}") packages
	for need in "${!REFUSED[@]}"; do
		[[ ${REFUSED[$need]} == "apt does not know"* ]] || continue
		read -ra packages <<<"$(need_alternatives "$need" | sed -n 1p)"
		names+=("${packages[@]}")
	done
	die "$1. Have an administrator run this, then make again:

    sudo sh -c 'apt-get update && apt-get install --no-install-recommends ${names[*]}'
"
}

# as_root NAME COMMAND…: in the foreground, where sudo can ask for its password, which it does on the
# terminal itself. The output goes into a log; what is shown begins with the first line of it, so that
# it does not overwrite sudo's question.
as_root() {
	local log=$LOGS/$1.log status=0
	shift
	: >"$log"
	show_progress "$log" $$ &
	WATCHER=$!
	# Another process may hold apt's locks, on a new machine most often unattended-upgrades: apt waits.
	# No question is asked, and files that a package installs can be read by all users.
	# shellcheck disable=SC2016 # expanded by the shell that sudo starts
	"${SUDO[@]}" env LC_ALL=C DEBIAN_FRONTEND=noninteractive DEBIAN_PRIORITY=critical \
		NEEDRESTART_MODE=l NEEDRESTART_SUSPEND=1 APT_LISTCHANGES_FRONTEND=none \
		sh -c 'umask 022; exec "$@" </dev/null 2>&1' sh \
		"$@" -o DPkg::Lock::Timeout=900 -o Dpkg::Use-Pty=0 \
		-o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold >>"$log" || status=$?
	stop_watcher
	return "$status"
}

# update_lists: apt's lists of today. FAILED_SOURCES are those it could not read, which is no error: the
# packages may be in the others.
update_lists() {
	local log=$LOGS/packages-update.log deadline=$((SECONDS + 900)) status
	FAILED_SOURCES=
	say PACKAGES "apt-get update"
	while true; do
		status=0
		as_root packages-update apt-get --quiet update || status=$?
		# For the lock of its lists apt does not wait by itself.
		if ((SECONDS > deadline)) || ! grep -q '^E: Could not get lock' "$log"; then
			break
		fi
		say WAIT "for another program that uses apt: $(sed -n 's/^E: Could not get lock //p;T;q' "$log")"
		sleep 5
	done
	FAILED_SOURCES=$(failed_sources <"$log")
	if [[ $FAILED_SOURCES ]]; then
		say PACKAGES "going on without the sources that apt-get update could not read: $FAILED_SOURCES"
	elif ((status)); then
		say PACKAGES "apt-get update failed, going on with the lists there are: $(grep -m 1 '^E:' "$log" || tail -n 1 "$log")"
	fi
}

# failed_sources: their addresses, from the output of apt-get update on standard input.
failed_sources() {
	sed -nE "s/^[EW]: (Failed to fetch|The repository '?|GPG error:|Release file for) ?([^ ']*).*/\2/p" |
		sed 's|/dists/.*||; s|/\./.*||; s|/$||' | sort -u | paste -sd' '
}

install_packages() {
	local need
	say PACKAGES "apt-get install ${INSTALL[*]} (up to 2 minutes)"
	# --no-remove: rather stop than take away a package that somebody else needs.
	as_root packages apt-get --yes --no-remove --quiet --no-install-recommends install "${INSTALL[@]}" && return
	hash -r
	for need in $NEEDS_RUN $NEEDS_TEST; do
		[[ $NEEDS_OPTIONAL == *" $need "* || -n ${REFUSED[$need]:-} ]] || need_found "$need" ||
			REFUSED[$need]="apt-get install failed: $(grep -m 1 '^E:' "$LOGS/packages.log" || tail -n 1 "$LOGS/packages.log")"
	done
	say PACKAGES "apt-get install failed (all of it: $LOGS/packages.log)"
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
	sed "s/@PROJECT@/$PROJECT/; s/@MODULE@/$MODULE/" board/common/profile >"$1/etc/profile"
}

make_busybox() {
	deb_unpack "$ENTRY" "${ARCH/%arm/armhf}" 1:1 busybox-static ||
		die "no busybox for $ARCH: $DEB_WHY_NOT. Give a static one: make shell BUSYBOX=/path/to/busybox"
	# /bin/busybox in one release of Debian, /usr/bin/busybox in the next.
	find "$ENTRY" -path '*/bin/busybox' -type f -exec mv {} "$ENTRY/busybox" \;
	ENTRY_HASHED=(busybox)
}
