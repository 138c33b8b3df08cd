#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: level1.sh IMAGE OUT: the root of a host for the nested test, with Debian's QEMU and the image's own kernel, as
# a squashfs. The image's modules come from its root.
set -u -o pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
image=$1 out=$2
work=$(mktemp -d) || exit 1
trap 'rm -rf --one-file-system "$work"' EXIT

mapfile -t lines < <(packages_sources)
options=()
apt-config dump | grep -E '^Acquire::(http|https|Retries|Check-)' >"$work/apt.conf"
[[ -s $work/apt.conf ]] && options+=("--aptopt=$work/apt.conf")
mkdir "$work/modules" && sqfs2tar "$image/root.squashfs" -d usr/lib/modules -k | tar -x -C "$work/modules" || exit 1
mmdebstrap --mode=root --variant=essential --format=tar --dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/doc/*' \
	--dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' "${options[@]}" \
	--include="$(packages_of level1 | paste -s -d ,)" \
	--customize-hook="cp -R '$work/modules/usr/lib/modules' \"\$1/usr/lib/\"" \
	--customize-hook="install -m 755 '$root/tests/vm/level1' \"\$1/level1\"" \
	--customize-hook='mkdir "$1/vm" "$1/etc/qemu" && echo "allow br0" >"$1/etc/qemu/bridge.conf"' \
	bookworm "$work/root.tar" "${lines[@]}" >"$work/log" 2>&1 || {
	tail -n 20 "$work/log"
	exit 1
}
tar2sqfs --quiet --force --compressor lz4 "$out" <"$work/root.tar" >/dev/null 2>&1
[[ -s $out ]]
