# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# What the user's environment and configuration files may say about a build, and what they may not.
# A proxy, a mirror or a certificate counts. A flag, a target or a wrapper for other builds does not.

# clean_environment: for this process and all that it starts.
clean_environment() {
	local name
	# Output that is parsed is in English. C is the one locale that every machine has.
	export LC_ALL=C
	unset LANGUAGE CDPATH BASH_ENV ENV GREP_OPTIONS POSIXLY_CORRECT TAR_OPTIONS XZ_OPT XZ_DEFAULTS GZIP
	# The number of jobs and the options of the make that runs this, flags of compilers, other
	# toolchains, other git repositories.
	unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES MAKEFILES GNUMAKEFLAGS
	unset CC CXX CPP LD AR AS HOSTCC HOSTCXX CFLAGS CXXFLAGS CPPFLAGS LDFLAGS CROSS_COMPILE LLVM LLVM_IAS
	unset CLANG_PATH LIBCLANG_PATH BINDGEN_EXTRA_CLANG_ARGS
	for name in $(compgen -e); do
		case $name in
		# Where things are, and how to reach the network.
		CARGO_HOME | CARGO_HTTP_* | CARGO_NET_* | CARGO_REGISTRY_* | CARGO_REGISTRIES_* | CARGO_SOURCE_*) ;;
		RUSTUP_HOME | RUSTUP_DIST_SERVER | RUSTUP_UPDATE_ROOT | RUSTUP_USE_CURL) ;;
		PIP_INDEX_URL | PIP_EXTRA_INDEX_URL | PIP_FIND_LINKS | PIP_NO_INDEX | PIP_PROXY | PIP_CERT) ;;
		PIP_CLIENT_CERT | PIP_TRUSTED_HOST | PIP_TIMEOUT | PIP_DEFAULT_TIMEOUT | PIP_RETRIES) ;;
		PIP_CONFIG_FILE | PIP_CACHE_DIR | PIP_NO_CACHE_DIR | PIP_KEYRING_PROVIDER) ;;
		CARGO_* | CARGO | RUST* | PYTHON* | PIP_* | KBUILD_* | GIT_* | VIRTUAL_ENV) unset "$name" ;;
		esac
	done
	# Nor what a user has installed for their own Python.
	export PYTHONNOUSERSITE=1
	if [[ -n ${TMPDIR:-} && ! ( $TMPDIR == /* && -d $TMPDIR && -w $TMPDIR ) ]]; then
		say TMPDIR "$TMPDIR is not a directory that can be written to: using /tmp"
		unset TMPDIR
	fi
	# A service or a container may have none.
	if [[ -z ${HOME:-} ]]; then
		HOME=$(getent passwd "$(id -u)" 2>/dev/null | cut -d: -f6) || HOME=
		[[ -n $HOME ]] || die "HOME is not set. Set HOME to a directory that can be written to"
		export HOME
	fi
}

# use_own_cargo_home: cargo finds no configuration of the user's but what is about the network.
# Configuration is also found in the parents of the working directory: see own_cargo.
use_own_cargo_home() {
	local user=${CARGO_HOME:-$HOME/.cargo} own=${OWN_CARGO_HOME:-$CACHE/cargo} name
	[[ $user != "$own" ]] || return 0
	mkdir -p "$own"
	board/common/python -I board/common/cargo_network.py "$user" "$TOP" >"$own/config.toml.$$" ||
		die "the user's configuration of cargo cannot be read (see above)"
	mv "$own/config.toml.$$" "$own/config.toml"
	for name in credentials.toml credentials; do
		# Another set-up may be at the same place: a link takes the place of the old one.
		if [[ -e $user/$name ]]; then ln -sfn "$user/$name" "$own/$name"; else rm -f "$own/$name"; fi
	done
	export CARGO_HOME=$own
}

# own_cargo ARG…: cargo in the root directory, which has no parent with a configuration.
own_cargo() (
	use_own_cargo_home
	export PATH="$RUST_BIN:$PATH" CARGO_TARGET_DIR="$TOP/$BUILD/userspace"
	cd /
	exec cargo "$@"
)

# workspace_cargo COMMAND ARG…: own_cargo on the workspace userspace/, unless another is given.
workspace_cargo() {
	local argument manifest=("--manifest-path=$TOP/userspace/Cargo.toml")
	for argument in "${@:2}"; do
		[[ $argument != -- ]] || break
		[[ $argument != --manifest-path* ]] || manifest=()
	done
	own_cargo "$1" "${manifest[@]}" "${@:2}"
}

# cross_cargo COMMAND ARG…: workspace_cargo for the guest. Wherever rustc is from, its linker is LLVM's
# and its core library is the one that set-up found or made. What belongs to the programs themselves
# is in userspace/.cargo/config.toml.
cross_cargo() {
	local target=${RUST_TARGET//-/_} flags
	flags=$(board/common/python -I board/common/cargo_flags.py userspace/.cargo/config.toml "$RUST_TARGET")
	export "CARGO_TARGET_${target^^}_LINKER=ld.lld${LLVM#1}"
	export CARGO_ENCODED_RUSTFLAGS="$flags"$'\x1f'"--sysroot=$RUST_TARGET_SYSROOT"
	workspace_cargo "$1" --target "$RUST_TARGET" "${@:2}"
}

# pip_network PIP: sets in the environment what pip's configuration says about the network, and has
# pip read no configuration file: `user`, `target` or `prefix` there would bypass a virtual environment.
pip_network() {
	local setting
	while IFS= read -r -d '' setting; do
		export "${setting?}"
	done < <("$1" --disable-pip-version-check config list | board/common/python -I board/common/pip_network.py)
	export PIP_CONFIG_FILE=/dev/null
}
