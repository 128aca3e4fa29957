# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Images: Buildroot's configuration of each board, Buildroot itself, and its build.

# write_defconfigs DIR: of every board, as Buildroot wants to find it.
write_defconfigs() {
	local board name
	for board in board/*/board.env; do
		board=${board%/board.env} board=${board#board/}
		name=${MODULE}_${board//-/_}_defconfig
		image_defconfig "$board" >"$1/$name" || die "$name could not be made"
	done
}

# image_defconfig BOARD: the fragments of buildroot/configs/fragments/ that are for BOARD, and its
# own, with values from where `make run` has them.
image_defconfig() {
	local BOARD=$1 ARCH IMAGE_FRAGMENTS RUST_TARGET DTB LAYOUT DTB_NAME KERNEL_FRAGMENTS
	# A variable of Buildroot's, which has it from external.desc.
	local fragments=() name line top="\$(BR2_EXTERNAL_${KCONFIG}_PATH)/.."
	read_board ARCH IMAGE_FRAGMENTS RUST_TARGET DTB LAYOUT
	mapfile -t fragments < <(kernel_fragments "$IMAGE_FRAGMENTS image image-$LAYOUT")
	fragments=("${fragments[@]/#/$top/}")
	DTB_NAME=${DTB%.dtb} KERNEL_FRAGMENTS=${fragments[*]}

	echo "# SPDX-License-Identifier: GPL-2.0-only"
	echo "#"
	echo "# Written by 'make defconfigs' from buildroot/configs/fragments/ and board/$BOARD/. Edit those."
	fragments=(buildroot/configs/fragments/{"$ARCH",system,linux}.fragment "board/$BOARD/buildroot.fragment")
	# An image that is no more than kernel and root needs none.
	name=buildroot/configs/fragments/$LAYOUT.fragment
	[[ ! -e $name ]] || fragments+=("$name")
	cat "${fragments[@]}" | grep -E '^(# )?[[:alnum:]_]+(=| is not set$)' | while read -r line; do
		for name in BOARD LAYOUT RUST_TARGET KERNEL_RELEASE KERNEL_FRAGMENTS DTB_NAME; do
			line=${line//"@$name@"/${!name}}
		done
		[[ $line != *@* ]] || die "$line: no such value"
		echo "$line"
	done
}

# write_hashes: the hash that Buildroot checks the kernel's archive with, if it downloads one itself.
write_hashes() {
	local series=v${KERNEL_RELEASE%%.*}.x file=linux-$KERNEL_RELEASE.tar.xz hashes=buildroot/patches/linux/linux.hash
	local sum
	sum=$(kernel_sum "$series" "$file") || die "$KERNEL_SITE/$series/sha256sums.asc: not reached, or $file is not in it"
	sed -i '/kernel\.org\|\.tar\.xz$/d' "$hashes"
	printf '# From %s\nsha256  %s\n' "$KERNEL_SITE/$series/sha256sums.asc" "$sum" >>"$hashes"
}

# setup_buildroot: BR, a source tree of Buildroot: the user's BUILDROOT= or the release.
setup_buildroot() {
	if [[ -n ${BUILDROOT:-} ]]; then
		BR=$(realpath "$BUILDROOT")
		[[ -f $BR/Config.in && -d $BR/package && -f $BR/Makefile ]] ||
			die "BUILDROOT=$BUILDROOT: this is no source tree of Buildroot"
		BR_VERSION=$(sed -n 's/^export BR2_VERSION := //p' "$BR/Makefile")
		at_least "$BUILDROOT_RELEASE" "${BR_VERSION%%-*}" ||
			die "BUILDROOT=$BUILDROOT: this is Buildroot $BR_VERSION, $BUILDROOT_RELEASE or later is needed"
		check_buildroot_programs
		return
	fi
	check_buildroot_programs
	entry "buildroot-$BUILDROOT_RELEASE" "Buildroot $BUILDROOT_RELEASE" make_buildroot
	BR=$ENTRY/buildroot
	BR_VERSION=$BUILDROOT_RELEASE
}

make_buildroot() {
	local file=buildroot-$BUILDROOT_RELEASE.tar.xz
	say BUILDROOT "$file from ${BUILDROOT_SITE#*//}"
	curl --proto "=https" --fail --silent --show-error --location --connect-timeout 5 \
		--speed-limit 1000 --speed-time 60 --output "$ENTRY/$file" "$BUILDROOT_SITE/$file" 2>"$ENTRY/error" ||
		die "$(tail -n 1 "$ENTRY/error")
No network? Unpack $file in a directory and run: make image BUILDROOT=/that/directory …"
	sha256sum --check --quiet <<<"$BUILDROOT_SHA256  $ENTRY/$file" ||
		die "$file is not the release that board/common/versions.env names: not used"
	mkdir "$ENTRY/buildroot"
	tar --extract --xz --file "$ENTRY/$file" --directory "$ENTRY/buildroot" --strip-components=1
	rm "$ENTRY/$file" "$ENTRY/error"
}

# check_buildroot_programs: the programs that Buildroot needs on the machine, in addition to those
# of `make run`. Buildroot's own check names one program without its package, in a log.
check_buildroot_programs() {
	local pair packages=()
	for pair in which:debianutils g++:g++ make:make patch:patch gzip:gzip bzip2:bzip2 tar:tar wget:wget \
		cpio:cpio unzip:unzip rsync:rsync file:file bc:bc cmp:diffutils find:findutils; do
		command -v "${pair%%:*}" >/dev/null || packages+=("${pair#*:}")
	done
	perl -MData::Dumper -MExtUtils::MakeMaker -MThread::Queue -e 1 2>/dev/null || packages+=(perl)
	((${#packages[@]} == 0)) || die "Buildroot needs more programs than 'make run' does. Install them, then make again:

    sudo apt-get install --no-install-recommends ${packages[*]}
"
}

# make_image: build/BOARD/image, by Buildroot in build/BOARD/buildroot.
make_image() {
	local output=$TOP/$BUILD/buildroot targets=() start=$SECONDS total built
	setup_buildroot
	setup_kernel_source
	mkdir -p "$output"
	image_defconfig "$BOARD" | sed '/^#$/,/^# Written/d' >"$output/defconfig.new"
	image_local_config >>"$output/defconfig.new"
	if ! cmp --silent "$output/defconfig.new" "$output/defconfig" || [[ ! -e $output/.config ]]; then
		# Buildroot does not rebuild for a changed toolchain or kernel: start from nothing.
		[[ ! -e $output/defconfig ]] || run_logged image-clean buildroot clean
		# The old ones must not remain if the next step is interrupted.
		rm -f "$output/.config" "$output/packages"
		mv "$output/defconfig.new" "$output/defconfig"
		run_logged image-config buildroot BR2_DEFCONFIG="$output/defconfig" defconfig
	fi
	rm -f "$output/defconfig.new"
	# Buildroot by itself does not check the packages that are built from this tree for changes.
	[[ ! -e $output/images/Image && ! -e $output/images/zImage ]] ||
		targets=("$PROJECT-driver-rebuild" "$PROJECT-verify-rebuild")
	[[ -s $output/packages ]] || count_packages >"$output/packages"
	total=$(<"$output/packages")
	built=$(packages_done "$output")
	image_announce "$total" "$built" "${#targets[@]}"
	PROGRESS=image_progress run_logged image buildroot "${targets[@]}" all
	((built > 0)) || echo $((SECONDS - start)) >"$output/first-build-seconds"
	ln -sfn buildroot/images "$BUILD/image"
	[[ $QEMU_WHY_NOT ]] || image_in_qemu --script start-qemu.sh
	say IMAGE "$BUILD/image, $(((SECONDS - start + 30) / 60)) minutes"
}

# image_announce TOTAL BUILT REBUILT: what is about to be built, and how long that takes. A first
# build is compared with the last one here, or else with one that was measured (docs/images.md).
image_announce() {
	local measured=$TOP/$BUILD/buildroot/first-build-seconds lasts line
	say IMAGE "Buildroot $BR_VERSION for $BOARD: $2 of $1 packages are built already"
	if (($3 > 0)); then
		lasts="Only the driver, the program and the file systems are made again: about 1 minute."
	elif [[ ${BUILDROOT_RUST:-host} == buildroot ]]; then
		lasts="BUILDROOT_RUST=buildroot: nobody has built an image this way to the end yet.
LLVM is built from source first: that alone takes an hour or more."
	elif [[ -s $measured ]]; then
		lasts="The first build took $((($(<"$measured") + 59) / 60)) minutes on this machine."
	else
		case $BOARD in
		qemu-virt-arm64) lasts="A first build took 12 minutes, 10 of them for the kernel," ;;
		raspberrypi4-64) lasts="A first build took 23 minutes, 18 of them for the kernel," ;;
		zynqmp) lasts="A first build took 33 minutes, 22 of them for the kernel," ;;
		zynq-7000 | zedboard) lasts="A first build of zynq-7000 took 6 minutes, 5 of them for the kernel," ;;
		*) lasts="The first build of this board was not timed; that of raspberrypi4-64 took 23 minutes" ;;
		esac
		lasts+=$'\n'"on two x86-64 CPUs that had other work too. Each further one takes about 1 minute."
	fi
	(($2 == 0 || $3 > 0)) || lasts="The build that was stopped goes on. $lasts"
	lasts+=$'\n'"Ctrl-C stops the build, and the next 'make image' goes on from there. Log: $LOGS/image.log"
	while read -r line; do say "" "$line"; done <<<"$lasts"
}

# count_packages: how many packages the configuration is made of, with those of the host.
count_packages() {
	buildroot --silent show-info | board/common/python -I -c \
		'import json, sys; print(sum("build_dir" in package for package in json.load(sys.stdin).values()))'
}

# packages_done OUTPUT: how many of them are done.
packages_done() {
	compgen -G "$1/build/*/.stamp_installed" | wc -l || true
}

# image_progress LOG: how many packages are done, what Buildroot does at the moment, and for how many
# lines of its log. Buildroot says `>>> PACKAGE VERSION WHAT`. PACKAGE and VERSION may be empty.
image_progress() {
	awk -v total="$total" -v built="$(packages_done "$output")" '
		/^>>> / {
			split($0, word, / /)
			what = substr($0, length(word[2]) + length(word[3]) + 7)
			if (word[2] != "") what = word[2] ": " what
			lines = -1
		}
		{ lines++ }
		END { printf "%d of %d packages, %.32s, %d lines\n", built, total, what == "" ? "starting" : what, lines }
	' "$1"
}

# image_in_qemu ARG…: run.py for the image. On a card, kernel and device tree are the card's own.
image_in_qemu() {
	local disk=rootfs.ext2 files=(--kernel "$IMAGE")
	cd "$BUILD/image" 2>/dev/null || die "there is no image: make image BOARD=$BOARD"
	rm -rf qemu
	mkdir qemu
	if [[ -e sdcard.img ]]; then
		disk=sdcard.img
		# The first partition is at 1 MiB (genimage.cfg).
		../host/bin/mcopy -s -i "$disk@@1M" "::$IMAGE" "::${DTB##*/}" qemu/
		files=(--kernel "qemu/$IMAGE" --dtb "qemu/${DTB##*/}")
	fi
	# A Raspberry Pi's firmware applies the overlays.
	if [[ $LAYOUT == raspberrypi ]]; then
		../host/bin/mcopy -s -i "$disk@@1M" ::overlays qemu/
		fdtoverlay -i "qemu/${DTB##*/}" -o qemu/card.dtb qemu/overlays/*.dtbo
		files=(--kernel "qemu/$IMAGE" --dtb qemu/card.dtb)
	fi
	"$TOP/board/common/python" -EsB "$TOP/board/common/run.py" --board "$BOARD" --qemu "$QEMU_BIN" "${files[@]}" --disk "$disk" \
		--work qemu "$@"
}

# image_local_config: settings that do not depend on the board: the user's KERNEL_SRC=, in a comment,
# so that another one changes the configuration; where downloads are kept; the tools of `make run`, with
# their versions, unless Buildroot is to use its own; and the user's BUILDROOT_CONFIG=, which overrides
# all other lines.
image_local_config() {
	echo "# Buildroot $BR_VERSION of $BR"
	[[ -z ${KERNEL_SRC:-} ]] || echo "# Linux $KERNEL_VERSION of $KERNEL_DIR"
	echo "BR2_DL_DIR=\"$CACHE/buildroot-dl\""
	if [[ ${BUILDROOT_RUST:-host} == host ]]; then
		cat <<-END
			# Rust $RUST_VERSION, bindgen $BINDGEN_FOUND, LLVM $LLVM_VERSION
			${KCONFIG}_HOST_RUST=y
			${KCONFIG}_HOST_RUSTC="$RUST_BIN/rustc"
			${KCONFIG}_HOST_RUST_SRC="$RUST_SRC"
			${KCONFIG}_HOST_BINDGEN="$BINDGEN"
			${KCONFIG}_HOST_LIBCLANG="$LIBCLANG_PATH"
			${KCONFIG}_HOST_LLD="ld.lld${LLVM#1}"
		END
	fi
	[[ -z ${BUILDROOT_CONFIG:-} ]] || cat "$BUILDROOT_CONFIG"
}

# buildroot ARG…: Buildroot's make, with only those variables of the user's environment that are for
# it. The kernel's sources are those of `make run`. The output goes to a log, without colours, because
# image_progress reads it.
buildroot() {
	env --ignore-environment PATH="$PATH" HOME="$HOME" TERM=dumb LC_ALL=C.UTF-8 \
		${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} \
		${BR2_DL_DIR:+BR2_DL_DIR="$BR2_DL_DIR"} \
		make --no-print-directory -C "$BR" O="$TOP/$BUILD/buildroot" BR2_EXTERNAL="$TOP/buildroot" \
		LINUX_OVERRIDE_SRCDIR="$KERNEL_DIR" "$@"
}
