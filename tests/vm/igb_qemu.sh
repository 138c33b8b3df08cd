#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: igb_qemu.sh OUT: a QEMU that has the card igb, of Debian's backports for bookworm, unpacked below OUT and not installed.
# Says why where it cannot be had.
set -u -o pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
out=$1
work=$(mktemp -d) || exit 1
trap 'rm -rf --one-file-system "$work"' EXIT
mirror=$(packages_sources | awk '$3 == "bookworm" { print $2; exit }')
if [[ -z $mirror ]]; then
	echo "this machine's apt has no mirror of Debian 12"
	exit 1
fi
mkdir -p "$work"/{lists,cache/archives} "$work/debs"
printf 'deb %s bookworm-backports main\n' "$mirror" >"$work/sources.list"
private=(-q -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=- -o Dir::State::Lists="$work/lists"
	-o Dir::Cache="$work/cache" -o APT::Sandbox::User=root -o Acquire::Languages=none)
if ! apt-get "${private[@]}" update >"$work/log" 2>&1; then
	echo "bookworm-backports cannot be reached: $(tail -n 1 "$work/log")"
	exit 1
fi
packages=(qemu-system-x86 qemu-system-common qemu-system-data seabios)
if ! (cd "$work/debs" && apt-get "${private[@]}" download "${packages[@]}") >"$work/log" 2>&1; then
	echo "bookworm-backports has no ${packages[*]}: $(tail -n 1 "$work/log")"
	exit 1
fi
rm -rf --one-file-system "$out"
for package in "$work"/debs/*.deb; do
	dpkg-deb -x "$package" "$out" || exit 1
done
program=$out/usr/bin/qemu-system-x86_64
if ldd "$program" | grep -q 'not found'; then
	echo "libraries of bookworm that it wants are not installed: $(ldd "$program" | awk '/not found/ { print $1 }' | paste -s -d ' ')"
	exit 1
fi
# Its modules are not those of an installed one.
export QEMU_MODULE_DIR=$out/usr/lib/x86_64-linux-gnu/qemu
if ! "$program" -L "$out/usr/share/qemu" -L "$out/usr/share/seabios" -device igb,help >/dev/null 2>&1; then
	echo "version $("$program" --version | head -n 1) has no igb"
	exit 1
fi
