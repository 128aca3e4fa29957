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
dtb=$(value DTB)

# What the firmware reads: the board's device tree, the overlays, the kernel's command line.
firmware=$images/rpi-firmware
mkdir -p "$firmware/overlays"
cp "$here/config.txt" "$firmware/config.txt"
echo "device_tree=${dtb##*/}" >>"$firmware/config.txt"
for source in $(value DTSO) $(value CARD_DTSO); do
	overlay=$(basename "$source" .dtso)
	"$HOST_DIR/bin/linux-dtc" -q -@ -I dts -O dtb -o "$firmware/overlays/$overlay.dtbo" "$top/$source"
	echo "dtoverlay=$overlay" >>"$firmware/config.txt"
done
echo "console=$(value CARD_CONSOLE) root=$(value ROOT) rootwait" >"$firmware/cmdline.txt"

# The same names and times in the same order, so that the image's bytes are the same.
find "$images" -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH:-0}" {} +
files=$(cd "$images" && export LC_ALL=C && printf '"%s", ' "$(value IMAGE)" "${dtb##*/}" rpi-firmware/*)
sed "s|@FILES@|${files%, }|" "$here/genimage.cfg" >"$images/genimage.cfg"
support/scripts/genimage.sh -c "$images/genimage.cfg"
truncate --size=128M "$images/sdcard.img"
