#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# In a Debian root that was booted with the packages in /debs (tests/test_deb.py): the first process, which
# installs them and becomes systemd, and then a service of systemd's, which uses them and removes them. Each line
# of what is found out begins with a topic and `| `.

export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C DEBIAN_FRONTEND=noninteractive

tell() { # TOPIC COMMAND…
	topic=$1
	shift
	{
		status=0
		"$@" 2>&1 </dev/null || status=$?
		echo "exit $status"
	} | sed "s/^/$topic| /" >/dev/console
}

devices() {
	for node in /dev/faultline[0-9]*; do
		[ ! -e "$node" ] || stat --format '%n %U:%G %a' "$node"
	done
}

names() {
	find /dev/faultline -type l -printf '%p -> %l\n' 2>/dev/null | sort
}

# Not what dpkg, apt and the log remember of a package that was there.
files() {
	find / -xdev -iname '*faultline*' ! -path '/debs/*' ! -path '/var/lib/dpkg/*' ! -path '/var/log/*' \
		! -path '/var/lib/apt/*' ! -path '/etc/systemd/system/*' | sort
	grep -l faultline /lib/modules/*/modules.alias /lib/modules/*/modules.dep /etc/group /etc/gshadow /etc/passwd
}

first() {
	mount -t proc proc /proc
	mount -t sysfs sys /sys
	mount -t devtmpfs dev /dev
	# What the scripts of Debian's own packages do, which have been unpacked only.
	pwconv
	grpconv
	systemd-sysusers
	# systemd does not make its databases again, such as that of hardware.
	touch /etc/.updated /var/.updated
	tell install apt-get install --yes --no-install-recommends /debs/*.deb
	exec /sbin/init
}

service() {
	# udev has a module loaded for each device. systemd's own service waits for two minutes at most, which is too
	# little for a guest on a busy machine.
	tell settle udevadm settle --timeout=1800
	tell kernel uname -r
	tell loaded grep -c '^faultline ' /proc/modules
	tell modalias sh -c 'cat /sys/bus/platform/drivers/faultline/*/modalias'
	tell devices devices
	tell names names
	tell page sh -c 'zcat /usr/share/man/man1/faultline-verify.1.gz | head -n 2'
	useradd --groups faultline tester
	useradd stranger
	tell stranger setpriv --reuid stranger --regid stranger --init-groups faultline-verify
	tell user setpriv --reuid tester --regid tester --init-groups faultline-verify
	tell root faultline-verify
	tell json sh -c 'faultline-verify --json 2>/dev/null'
	userdel tester
	tell remove apt-get remove --yes 'faultline-*'
	tell files files
	tell gone sh -c 'grep ^faultline /proc/modules; ls -d /dev/faultline* 2>/dev/null'
	tell purge apt-get purge --yes 'faultline-*'
	# shellcheck disable=SC2016 # dpkg's variables
	tell packages dpkg-query --show --showformat '${db:Status-Abbrev} ${Package}\n' 'faultline-*'
	echo "faultline: exit status 0" >/dev/console
	systemctl poweroff --force --force
}

case $1 in
service) service ;;
*) first ;;
esac
