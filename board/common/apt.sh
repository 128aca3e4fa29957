# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Questions to apt, and private roots for it. Nothing here changes the machine.

OS_RELEASE=${OS_RELEASE:-/etc/os-release}
CODENAME=$(sed -n 's/^VERSION_CODENAME=//p' "$OS_RELEASE" 2>/dev/null | tr -d '"') || true
CODENAME=${CODENAME:-unknown}

# apt COMMAND ARG…: a question to apt-get or apt-cache, on the private root APT_CONF if there is one.
# On the machine's own root only root can keep what apt has read of the lists; without APT_MEMO each
# question of an ordinary user would take seconds.
apt() {
	local command=$1 where=()
	shift
	if [[ -n ${APT_CONF:-} ]]; then
		where=(-c "$APT_CONF")
	elif [[ -n ${APT_MEMO:-} ]]; then
		where=(-o "Dir::Cache::pkgcache=$APT_MEMO/pkgcache.bin" -o "Dir::Cache::srcpkgcache=$APT_MEMO/srcpkgcache.bin")
	fi
	"$command" "${where[@]}" "$@"
}

# at_least MINIMUM VERSION
at_least() {
	printf '%s\n' "$1" "$2" | sort --version-sort --check=quiet
}

have_apt() {
	command -v apt-get >/dev/null && command -v dpkg >/dev/null
}

# candidates PACKAGE…: `PACKAGE VERSION` of those that apt would install.
candidates() {
	apt apt-cache policy "$@" 2>/dev/null |
		awk '/^[^ ]/ { sub(":$", ""); name = $1 }
		     $1 == "Candidate:" && $2 != "(none)" { print name, $2 }'
}

# candidate PACKAGE: its version without epoch and revision; nothing if apt does not know it.
candidate() {
	candidates "$1" | sed 's/^[^ ]* //; s/^[0-9]*://; s/[-+~].*//'
}

# apt_knows_all PACKAGE…
apt_knows_all() {
	[[ $(candidates "$@" | wc -l) == "$#" ]]
}

# apt_takes PACKAGE…: whether apt would install these with nothing removed, downgraded or taken off
# hold. APT_WHY_NOT names what is in the way.
apt_takes() {
	local said
	APT_WHY_NOT=
	if said=$(apt apt-get --simulate --yes --no-remove --no-install-recommends install "$@" 2>&1); then
		return 0
	fi
	APT_WHY_NOT=$(apt_reason <<<"$said")
	return 1
}

# apt_reason: what apt says on standard input, as one line.
apt_reason() {
	awk '
		/^The following packages will be REMOVED:/ { list = "it would remove" }
		/^The following packages will be DOWNGRADED:/ { list = "it would downgrade" }
		/^The following held packages will be changed:/ { list = "on hold is" }
		/^The following packages have unmet dependencies:/ { list = "unmet:"; unmet = 1 }
		/^  *[^ ]/ && list {
			sub(/^ +/, ""); gsub(/ +/, " ")
			reason[list] = reason[list] (list in reason && unmet ? "; " : " ") $0
			next
		}
		/^The following/ && !/REMOVED|DOWNGRADED|held|unmet/ { list = "" }
		/^E: / { list = ""; sub(/^E: /, ""); error = error (error ? ". " : "") $0 }
		END {
			for (list in reason) text = text (text ? "; " : "") list reason[list]
			print text ? text : error
		}'
}

# apt_root DIR ARCHITECTURE STATUS: an apt root in DIR, whose configuration is DIR/apt.conf and whose
# sources the caller writes to DIR/sources.list. STATUS says what is installed. The configuration of
# the machine, such as a proxy, applies, except pins, a default release, and hooks after an update. apt
# keeps what it has read of the lists, which a container's configuration forbids: each question would
# take seconds.
apt_root() {
	mkdir -p "$1"/state/lists/partial "$1"/cache/archives/partial "$1/debs"
	cat >"$1/apt.conf" <<-END
		#clear APT::Update;
		#clear APT::Architectures;
		#clear APT::Default-Release;
		APT::Architecture "$2";
		APT::Architectures:: "$2";
		APT::Sandbox::User "$(id -un)";
		Acquire::Languages "none";
		Acquire::Retries "2";
		Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
		Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";
		Dir::Etc::sourcelist "$1/sources.list";
		Dir::Etc::sourceparts "-";
		Dir::Etc::preferences "-";
		Dir::Etc::preferencesparts "-";
		Dir::State "$1/state";
		Dir::State::lists "$1/state/lists";
		Dir::State::status "$3";
		Dir::State::extended_states "$1/state/extended_states";
		Dir::Cache "$1/cache";
		Dir::Cache::pkgcache "pkgcache.bin";
		Dir::Cache::srcpkgcache "srcpkgcache.bin";
	END
}

# apt_mirror [security]: the address of the machine's own mirror of Debian.
apt_mirror() {
	# shellcheck disable=SC2016 # apt's variables, not the shell's
	apt-get indextargets --format '$(REPO_URI) $(ORIGIN)' 'Created-By: Packages' 2>/dev/null |
		awk -v security="${1:-}" '
			{ is_security = $1 ~ /security/ }
			is_security == (security != "") && ($2 == "Debian" || $1 ~ /\/debian(-security)?\/?$/) && !n++ { print $1 }'
}

apt_keyring() {
	compgen -G '/usr/share/keyrings/debian-archive-keyring.*' | awk '!n++'
}

# debian_mirror: DEBIAN_MIRROR and DEBIAN_KEYRING, or why there is none in DEB_WHY_NOT.
debian_mirror() {
	DEB_WHY_NOT='this is not Debian'
	grep -qx 'ID="\?debian"\?' "$OS_RELEASE" 2>/dev/null && have_apt || return 1
	DEB_WHY_NOT="apt's sources name no mirror of Debian"
	DEBIAN_MIRROR=$(apt_mirror)
	[[ -n $DEBIAN_MIRROR ]] || return 1
	DEB_WHY_NOT='there is no /usr/share/keyrings/debian-archive-keyring.*'
	DEBIAN_KEYRING=$(apt_keyring) && [[ -n $DEBIAN_KEYRING ]]
}

# private_apt: PRIVATE_APT, a root that knows what the machine has installed and all that Debian has for
# its release, backports too. Made once; DEB_WHY_NOT says why there is none.
private_apt() {
	local suite security status
	[[ -z ${PRIVATE_APT:-} ]] || return 0
	debian_mirror || return 1
	security=$(apt_mirror security)
	# For `doctor`, there may be no cache yet, and it makes none.
	if [[ -w $CACHE ]]; then PRIVATE_APT=$(mktemp -d "$CACHE/apt.XXXXXX"); else PRIVATE_APT=$(mktemp -d); fi
	cleanup "$PRIVATE_APT"
	eval "$(apt-config shell status Dir::State::status/f)"
	apt_root "$PRIVATE_APT" "$(dpkg --print-architecture)" "$PRIVATE_APT/status"
	installed_packages <"$status" >"$PRIVATE_APT/status"
	for suite in "$CODENAME" "$CODENAME-updates" "$CODENAME-backports"; do
		echo "deb [signed-by=$DEBIAN_KEYRING] $DEBIAN_MIRROR $suite main"
	done >"$PRIVATE_APT/sources.list"
	[[ -z $security ]] ||
		echo "deb [signed-by=$DEBIAN_KEYRING] $security $CODENAME-security main" >>"$PRIVATE_APT/sources.list"
	fetch_lists "$PRIVATE_APT"
	{
		cat "$PRIVATE_APT/apt.conf"
		echo "APT::Default-Release \"$CODENAME-backports\";"
	} >"$PRIVATE_APT/backports.conf"
	if ! compgen -G "$PRIVATE_APT/state/lists/*_Packages*" >/dev/null; then
		DEB_WHY_NOT="$DEBIAN_MIRROR has no lists of $CODENAME: $(tail -n 1 "$PRIVATE_APT/log")"
		PRIVATE_APT=
		return 1
	fi
}

# fetch_lists DIR: of an apt root. If one suite is missing, the others are still used.
fetch_lists() {
	APT_CONF=$1/apt.conf apt apt-get -qq update >"$1/log" 2>&1 || true
}

# installed_packages: dpkg's status on standard input, as a machine that has the same files but where
# nothing is on hold, half-configured or broken: packages that are only unpacked are not to fail for
# what is wrong elsewhere.
installed_packages() {
	awk '
		function flush() {
			if (keep) printf "%sStatus: install ok installed\n\n", text
			text = ""; keep = 0
		}
		/^$/ { flush(); next }
		/^Status:/ { keep = $NF ~ /^(installed|unpacked|half-configured|triggers-awaited|triggers-pending)$/ }
		/^(Package|Priority|Section|Essential|Architecture|Multi-Arch|Version|Provides|Source):/ { text = text $0 "\n" }
		END { flush() }'
}
