#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Makes the appliance's image from Debian packages: a folder with a kernel, an initrd that mounts the root, and a root that
# nobody can write to. The same packages and the same commit make the same bytes. appliance/README.md says what is in it.
set -u -o pipefail
root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd -P) || exit 1
. "$root/tools/packages.sh"
. "$root/tools/build.sh"
here=$root/appliance
out=$root/build-appliance/image

usage()
{
	cat <<-END
		usage: appliance/build.sh [--out FOLDER]

		  --out   where the image is put, replacing one that is there [build-appliance/image]
		As root, on a Debian 12 that can reach its mirrors.
	END
}

# The commit's time stands for every time in the image.
commit_time()
{
	git -c safe.directory="$root" -C "$root" log -1 --format=%ct 2>/dev/null || stat -c %Y "$root/meson.build"
}

# 0.1.0, with the commit where there is one, and a word where the tree is not the commit's.
version()
{
	local number commit changed=
	number=$(sed -n "s/^  version: '\(.*\)',$/\1/p" "$root/meson.build")
	if commit=$(git -c safe.directory="$root" -C "$root" rev-parse --short=12 HEAD 2>/dev/null); then
		[[ -z $(git -c safe.directory="$root" -C "$root" status --porcelain -uno) ]] || changed=.changed
		number+=+$commit$changed
	fi
	printf '%s\n' "$number"
}

# index_refresh: once; the host's index may be missing, or name versions that the archive has replaced.
index_refresh()
{
	[[ ! -e $work/index ]] || return 1
	: >"$work/index"
	say "apt's index is asked for anew"
	apt-get -q -o Acquire::Retries=2 update >&2
}

# fetch PACKAGE: its .deb from the host's mirrors, once a version; prints the file.
fetch()
{
	fetch_known "$1" || { index_refresh && fetch_known "$1"; }
}

fetch_known()
{
	local version file
	version=$(apt-cache show --no-all-versions "$1" 2>/dev/null | sed -n 's/^Version: //p' | head -n 1)
	if [[ -z $version ]]; then
		say "apt knows no package $1: is bookworm main among its sources?"
		return 1
	fi
	file=$root/build-appliance/debs/$1_${version/:/%3a}_amd64.deb
	if [[ ! -s $file ]]; then
		(cd "$root/build-appliance/debs" && apt-get -q -o APT::Sandbox::User=root download "$1" >&2) || return 1
	fi
	printf '%s\n' "$file"
}

# unpack PACKAGE FOLDER
unpack()
{
	local file
	file=$(fetch "$1") && mkdir -p "$2" && dpkg-deb -x "$file" "$2" &&
		dpkg-deb -f "$file" Package Version Source Architecture >>"$work/unpacked"
}

kernel_name()
{
	apt-cache depends linux-image-cloud-amd64 2>/dev/null |
		sed -n 's/^  Depends: \(linux-image-[0-9].*-cloud-amd64\)$/\1/p' | head -n 1
}

# Debian's kernel for virtual machines, without what its package would do to an initrd. linux-image-cloud-amd64 names it.
unpack_kernel()
{
	local name
	name=$(kernel_name)
	[[ -n $name ]] || { index_refresh && name=$(kernel_name); }
	if [[ -z $name ]]; then
		say "apt does not know linux-image-cloud-amd64: is bookworm main among its sources?"
		return 1
	fi
	unpack "$name" "$work/kernel" || return 1
	kernel=${name#linux-image-}
	mkdir -p "$work/kernel/usr" && mv "$work/kernel/lib" "$work/kernel/usr/lib" || return 1
	depmod -b "$work/kernel/usr" "$kernel"
}

# The program as users have it, with symbols beside it.
build_program()
{
	build_targets=(programs)
	build_prepare build-appliance -Dprefix=/usr "-Dc_args=-g -ffile-prefix-map=$root=." || return 1
	DESTDIR=$work/program build_as_root_install || return 1
	local file id
	for file in "$work"/program/usr/bin/*; do
		id=$(readelf -n "$file" | sed -n 's/^ *Build ID: //p')
		if [[ -z $id ]]; then
			say "$file has no build-id"
			return 1
		fi
		mkdir -p "$made/symbols/.build-id/${id:0:2}"
		objcopy --only-keep-debug "$file" "$made/symbols/.build-id/${id:0:2}/${id:2}.debug" || return 1
		strip --strip-all "$file" || return 1
	done
}

build_as_root_install()
{
	PATH=$build_path /usr/bin/meson install -C "$root/build-appliance" --no-rebuild --quiet
}

make_root()
{
	local lines include options=()
	mapfile -t lines < <(packages_sources)
	include=$(packages_of image | paste -s -d ,)
	apt-config dump | grep -E '^Acquire::(http|https|Retries|Check-)' >"$work/apt.conf"
	[[ -s $work/apt.conf ]] && options+=("--aptopt=$work/apt.conf")
	# Mirrors behind https want certificates before ca-certificates is there: the host's, which do not stay.
	[[ ${lines[*]-} == *https://* ]] && options+=("--aptopt=Acquire::https::CAInfo \"/etc/ssl/certs/ca-certificates.crt\"")
	mmdebstrap --mode=root --variant=essential --format=tar --dpkgopt=force-unsafe-io --include="$include" "${options[@]}" \
		--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
		--dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
		--customize-hook="$here/customize.sh \"\$1\" '$here' '$work' '$version'" \
		bookworm "$work/root.tar" "${lines[@]}" >"$work/mmdebstrap.log" 2>&1 || {
		tail -n 20 "$work/mmdebstrap.log" >&2
		return 1
	}
	tar2sqfs --quiet --force --compressor zstd --defaults mtime="$SOURCE_DATE_EPOCH" "$made/root.squashfs" <"$work/root.tar" 2>&1 |
		sed 's/^/tar2sqfs: /' >&2
	[[ -s $made/root.squashfs ]]
}

# What the initrd loads before there is a root, in the order in which it has to be.
initrd_modules()
{
	local module
	for module in virtio_pci virtio_blk squashfs ext4; do
		modprobe -d "$work/kernel/usr" -S "$kernel" --show-depends "$module"
	done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }'
}

make_initrd()
{
	local tree=$work/initrd module
	mkdir -p "$tree"/{bin,modules,dev,proc,sys,root} || return 1
	cp "$work/busybox/bin/busybox" "$tree/bin/" && install -m 755 "$here/initramfs/init" "$tree/init" || return 1
	while read -r module; do
		cp "$module" "$tree/modules/" && basename "$module" >>"$tree/modules/order" || return 1
	done < <(initrd_modules)
	if [[ ! -s $tree/modules/order ]]; then
		say "no modules for the initrd: is kmod installed?"
		return 1
	fi
	find "$tree" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
	(cd "$tree" && find . -print0 | LC_ALL=C sort -z | cpio -0 -o -H newc -R 0:0 --reproducible --quiet) |
		gzip -9 -n >"$made/initrd"
}

make_papers()
{
	printf '%s\n' "$version" >"$made/VERSION"
	cp "$work/sbom.json" "$made/sbom.spdx.json" || return 1
	(cd "$made" && sha256sum vmlinuz initrd root.squashfs VERSION sbom.spdx.json >SHA256SUMS)
}

make()
{
	say "the programs" && build_program &&
		say "the kernel" && unpack_kernel && cp "$work/kernel/boot/vmlinuz-$kernel" "$made/vmlinuz" &&
		unpack busybox-static "$work/busybox" &&
		say "the root, from Debian's packages" && make_root &&
		say "the initrd" && make_initrd && make_papers
}

while (($#)); do
	case $1 in
	--out)
		out=${2-}
		shift
		;;
	--help | -h)
		usage
		exit 0
		;;
	*)
		usage >&2
		exit 2
		;;
	esac
	shift
done
if [[ -z $out || -e $out && ! -e $out/VERSION ]]; then
	say "--out: '$out' is no folder that this made before: name another"
	exit 2
fi
if ((EUID)); then
	say "only root can make an image: files in it belong to several users"
	exit 1
fi
packages_ensure build vm || exit 1
work=$root/build-appliance/work made=$root/build-appliance/made
rm -rf --one-file-system "$work" "$made"
mkdir -p "$work" "$made" "$root/build-appliance/debs" || exit 1
SOURCE_DATE_EPOCH=$(commit_time) version=$(version)
export SOURCE_DATE_EPOCH
if ! make; then
	say "no image was made; what there was so far is in $work"
	exit 1
fi
rm -rf --one-file-system "$out" "$work"
mkdir -p "$(dirname "$out")" && mv "$made" "$out" || exit 1
say "$out: version $version, $(du -sh --apparent-size --exclude=symbols "$out" | cut -f 1)"
