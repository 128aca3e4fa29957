#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
#   post-image.sh IMAGES BOARD
#
# Makes the SD card's image. Buildroot runs it in its own directory, after everything is built.
set -euo pipefail

images=$1 board=$2
here=$(dirname "$0")
top=$(realpath "$here/../../..")
value() {
	sed -n "s/^$1=//p" "$top/board/$board/board.env"
}
dtb=$(value DTB) kernel=$(value IMAGE)
dtb=${dtb##*/}

# The overlay is applied here, not by U-Boot.
mkdir -p "$images/card/extlinux"
"$HOST_DIR/bin/linux-dtc" -q -@ -I dts -O dtb -o "$images/card.dtbo" "$top/$(value DTSO)"
"$HOST_DIR/bin/fdtoverlay" -i "$images/$dtb" -o "$images/card/$dtb" "$images/card.dtbo"

# What U-Boot looks for on a card.
cat >"$images/card/extlinux/extlinux.conf" <<END
default $board
label $board
	kernel /$kernel
	fdt /$dtb
	append console=$(value CARD_CONSOLE) root=$(value ROOT) rootwait
END

# U-Boot's own files, if the configuration has U-Boot built (BUILDROOT_CONFIG=).
names=("$kernel" "card/$dtb" card/extlinux)
for name in boot.bin u-boot.itb u-boot.img; do
	[[ ! -e $images/$name ]] || names+=("$name")
done
[[ -e $images/boot.bin ]] ||
	echo "$0: there is no boot.bin: add one to the card's first partition (docs/boards/$board.md)" >&2

# The same names and times in the same order, so that the image's bytes are the same.
find "$images" -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH:-0}" {} +
files=$(printf '"%s", ' "${names[@]}")
sed "s|@FILES@|${files%, }|" "$here/genimage.cfg" >"$images/genimage.cfg"
support/scripts/genimage.sh -c "$images/genimage.cfg"
truncate --size=128M "$images/sdcard.img"
