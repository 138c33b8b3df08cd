#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: customize.sh ROOT APPLIANCE WORK VERSION: what Debian's packages do not know, put into the image's root
# before it is packed. build.sh calls it.
set -eu -o pipefail
tree=$1 here=$2 work=$3 version=$4

cp -R --no-preserve=ownership "$here/root/." "$tree/"
chmod 755 "$tree"/usr/lib/godwit/* "$tree"/usr/lib/systemd/system-generators/godwit-*
cp -R --no-preserve=ownership "$work/program/usr/." "$tree/usr/"
cp -R --no-preserve=ownership "$work/kernel/usr/lib/modules" "$tree/usr/lib/"
mkdir -p "$tree/data" "$tree/usr/share/godwit"
printf '%s\n' "$version" >"$tree/usr/share/godwit/VERSION"

chroot "$tree" useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin godwit
chroot "$tree" systemctl --quiet enable systemd-networkd ssh chrony godwit-config godwit-data godwit-ports godwit
# Nobody can log in there: there are no passwords.
chroot "$tree" systemctl --quiet mask getty@tty1 serial-getty@ttyS0 getty-static console-getty apt-daily.timer \
	apt-daily-upgrade.timer e2scrub_all.timer e2scrub_reap fstrim.timer dpkg-db-backup.timer systemd-pstore

# A program that lacks a library would be found out by its first user.
if chroot "$tree" sh -c 'ldd /usr/bin/godwit /usr/bin/godwitctl' | grep 'not found'; then
	echo "customize.sh: the group image of tools/packages.txt lacks these" >&2
	exit 1
fi
# shellcheck disable=SC2016 # dpkg-query's variables, not the shell's
/usr/bin/python3 -B "$here/sbom.py" "$version" "$SOURCE_DATE_EPOCH" "$work/unpacked" \
	< <(chroot "$tree" dpkg-query -W -f '${Package}\t${Version}\t${source:Package}\t${source:Version}\t${Architecture}\n') >"$work/sbom.json"
cp "$work/sbom.json" "$tree/usr/share/godwit/sbom.spdx.json"

# What is made by chance or by the clock, and what only building needed.
rm -f "$tree"/etc/ssh/ssh_host_* "$tree"/etc/resolv.conf "$tree"/etc/hostname "$tree"/var/log/*.log "$tree"/var/log/apt/* \
	"$tree"/var/cache/ldconfig/aux-cache "$tree"/etc/{passwd,group,shadow,gshadow,subuid,subgid}- "$tree"/var/lib/systemd/random-seed \
	"$tree"/etc/apt/sources.list
: >"$tree/etc/machine-id"
ln -s /run/godwit-config/resolv.conf "$tree/etc/resolv.conf"
# The day since 1970 on which a password was changed, of nobody's; 0 would ask for another one.
sed -i -E 's/^([^:]*:[^:]*):[0-9]*:/\1:1:/' "$tree/etc/shadow"
if grep -vE '^[^:]+:[*!]+:' "$tree/etc/shadow"; then
	echo "customize.sh: these accounts have a password" >&2
	exit 1
fi
