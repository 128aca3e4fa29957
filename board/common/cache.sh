# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# The cache: directories that are made once. A directory's name has a hash of the inputs it is made from.
#
# An entry is made in place, under a lock, and becomes complete with the last file written to
# it. Each use checks it: an entry that was interrupted, truncated, changed or deleted is made
# again, with a message.
#
# ENTRY/.entry/paths     what is checked, relative to ENTRY
# ENTRY/.entry/sizes     name and size of every file below these paths
# ENTRY/.entry/hashes    SHA-256 of the few files in which a flipped bit would be the worst
# ENTRY/.entry/complete  SHA-256 of the three; written last
# ENTRY/.entry/resumable ENTRY is not complete, but its files are sound: its maker can continue
# ENTRY.lock             held by the process that makes ENTRY

# shellcheck source=board/common/project.env
. "${BASH_SOURCE[0]%/*}/project.env"

# A relative XDG_CACHE_HOME is invalid by its specification.
[[ ${XDG_CACHE_HOME:-/} == /* ]] || unset XDG_CACHE_HOME
CACHE_LINK=${XDG_CACHE_HOME:-$HOME/.cache}/$PROJECT
# Drivers that `make new-driver` has made share this project's cache by a link: paths are part of keys.
CACHE=$(realpath --canonicalize-missing "$CACHE_LINK")

# key VALUE…: a short name for these inputs.
key() {
	printf '%s\0' "$@" | sha256sum | cut -c1-12
}

# Without the files that Python writes as it runs, and without its bundle of certificates: software on
# the machine may add the site's own certificates to every bundle that it finds.
entry_sizes() { # ENTRY; its paths on standard input
	(
		cd "$1" || exit
		mapfile -t paths
		find "${paths[@]}" \( -name .entry -o -name __pycache__ -o -path '*/certifi/cacert.pem' \) -prune -o \
			\( -type f -o -type l \) -printf '%p %s\n' 2>/dev/null | LC_ALL=C sort || true
	)
}

# entry_seal ENTRY: declares ENTRY complete. Of the paths in ENTRY_PATHS names and sizes are
# checked from now on, of the files in ENTRY_HASHED the contents.
entry_seal() {
	local meta=$1/.entry
	mkdir -p "$meta"
	printf '%s\n' "${ENTRY_PATHS[@]}" >"$meta/paths"
	entry_sizes "$1" <"$meta/paths" >"$meta/sizes"
	(cd "$1" && sha256sum /dev/null "${ENTRY_HASHED[@]}") >"$meta/hashes"
	(cd "$meta" && sha256sum paths sizes hashes >complete.new)
	rm -f "$meta/resumable"
	sync --file-system "$meta" # the stamp must not reach the disk before what it vouches for
	mv "$meta/complete.new" "$meta/complete"
}

# entry_fault ENTRY: prints what is wrong with ENTRY; nothing if it is intact.
entry_fault() {
	local meta=$1/.entry changed
	if [[ ! -d $1 ]]; then
		echo "is not there"
	elif [[ ! -e $meta/complete ]]; then
		echo "was left half-made"
	elif ! (cd "$meta" && sha256sum --check --status complete 2>/dev/null); then
		echo "is damaged: its manifest has changed"
	elif changed=$(entry_sizes "$1" <"$meta/paths" | LC_ALL=C comm -3 "$meta/sizes" -) && [[ $changed ]]; then
		read -r changed _ <<<"$changed"
		echo "is damaged: $changed is missing, new or not of its size"
	elif ! changed=$(cd "$1" && sha256sum --check --quiet .entry/hashes 2>/dev/null); then
		echo "is damaged: the contents of ${changed%%:*} have changed"
	fi
}

# entry NAME WHAT MAKER [ARG…]: sets ENTRY to the complete entry NAME, which is WHAT in a message.
# Where there is none, `MAKER ARG…` makes it in the directory ENTRY. MAKER may narrow down
# ENTRY_PATHS and add to ENTRY_HASHED; both are relative to ENTRY. From where MAKER sets
# ENTRY_RESUMES, what it has done is not lost if it ends early (entry_interrupted).
entry() {
	local name=$1 what=$2 fault lock
	shift 2
	ENTRY=$CACHE/$name
	fault=$(entry_fault "$ENTRY")
	[[ -n $fault ]] || return 0

	mkdir -p "$CACHE"
	exec {lock}>"$ENTRY.lock"
	if ! flock --nonblock "$lock"; then
		say WAIT "for another make, which is making $what"
		flock "$lock"
	fi
	fault=$(entry_fault "$ENTRY")
	if [[ -n $fault ]]; then
		if [[ -e $ENTRY/.entry/resumable && ! -e $ENTRY/.entry/complete ]]; then
			# Only an orderly end writes it again.
			rm "$ENTRY/.entry/resumable"
		elif [[ -d $ENTRY ]]; then
			say CACHE "$what in $ENTRY $fault: making it again"
			rm -rf "$ENTRY"
		fi
		mkdir -p "$ENTRY"
		ENTRY_PATHS=(.) ENTRY_HASHED=() ENTRY_RESUMES=
		"$@"
		entry_seal "$ENTRY"
		ENTRY_RESUMES=
	fi
	exec {lock}>&-
}

# entry_stale ENTRY: its inputs have changed. `entry` will bring it up to date instead of beginning
# with an empty directory.
entry_stale() {
	[[ -e $1/.entry/complete ]] || return 0
	touch "$1/.entry/resumable"
	rm "$1/.entry/complete"
}

# entry_interrupted: the maker of ENTRY, and all that it started, ended early but in good order: by a
# signal that they handle, or by an error. After a power cut this does not run, and files may be
# empty.
entry_interrupted() {
	[[ ${ENTRY_RESUMES:-} ]] || return 0
	mkdir -p "$ENTRY/.entry"
	sync --file-system "$ENTRY/.entry"
	touch "$ENTRY/.entry/resumable"
}

# distclean: deletes the cache, if it is one. One that is behind a link is that of another project, too.
distclean() {
	local item
	if [[ -L $CACHE_LINK ]]; then
		say CACHE "$CACHE_LINK is a link to $CACHE, which other projects use: not deleted. 'rm $CACHE_LINK' deletes the link"
		return
	fi
	if [[ ! -d $CACHE ]]; then
		say CACHE "there is none in $CACHE_LINK"
		return
	fi
	[[ -z $(compgen -G "$CACHE/rooms/*") ]] ||
		die "there are clean rooms in $CACHE/rooms: delete them first. Nothing in $CACHE was deleted"
	for item in "$CACHE"/* "$CACHE"/.[!.]*; do
		case ${item##*/} in
		linux-* | debian-* | buildroot-* | bindgen-* | cbindgen-* | rust-* | venv-* | busybox-* | musl-* | debs-* | qemu-* | room-* | rooms | packages-* | bin | cargo | apt.* | '*' | '.[!.]*') ;;
		*) die "$item is not this project's; nothing in $CACHE was deleted" ;;
		esac
	done
	say CACHE "deleting $CACHE, $(du -sh "$CACHE" | cut -f1)"
	rm -rf "$CACHE"
}
