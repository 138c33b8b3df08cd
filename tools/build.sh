# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Building for start.sh and test.sh. Sourced after tools/packages.sh; $root is the source tree.
: "${root:?}"

# Debian's own tools, whatever other Python, Ninja or pkg-config PATH may begin with.
build_path=/usr/sbin:/usr/bin:/sbin:/bin

# build_as_owner COMMAND...: building needs no root. With sudo in a user's tree the files stay the user's.
build_as_owner()
{
	local uid gid
	read -r uid gid < <(stat -c '%u %g' "$root")
	if ((EUID == 0 && uid != 0)) &&
		setpriv --reuid="$uid" --regid="$gid" --clear-groups test -w "$root" 2>/dev/null; then
		PATH=$build_path setpriv --reuid="$uid" --regid="$gid" --clear-groups "$@"
	else
		PATH=$build_path "$@"
	fi
}

# What ninja is asked for: everything when empty, "programs" for godwit and its tools without the tests.
build_targets=()

# build_prepare FOLDER [MESON_ARGUMENT...]: configures and builds $root/FOLDER; quick when nothing changed.
build_prepare()
{
	local folder=$root/$1 name=$1 status=0
	shift
	# One build of a tree at a time: the lock is on the tree itself and leaves no file.
	exec {build_lock}<"$root"
	if ! flock -n "$build_lock"; then
		say "waiting for another build in $root"
		flock "$build_lock"
	fi
	build_locked "$folder" "$name" "$@" || status=$?
	exec {build_lock}<&-
	((status == 0)) || build_explain "$folder"
	return "$status"
}

build_locked()
{
	local folder=$1 name=$2 arguments
	shift 2
	arguments="$root ${CC-} $*"
	if [[ -e $folder && ! -w $folder ]]; then
		# Somebody else's build: good enough while it is newer than every source.
		build_is_current "$folder" && return 0
		say "$name is not writable and older than the sources: build as its owner or as root"
		return 1
	fi
	# The tree was moved, or the arguments changed with an update.
	if [[ -e $folder/build.ninja && $(cat "$folder/.arguments" 2>/dev/null) != "$arguments" ]]; then
		rm -rf "$folder"
	fi
	if [[ ! -e $folder/build.ninja ]]; then
		say "configuring $name"
		build_as_owner mkdir -p "$folder" || return 1
		if ! build_as_owner /usr/bin/meson setup "$@" "$folder" "$root" >"$folder/setup.log" 2>&1; then
			tail -n 20 "$folder/setup.log" >&2
			return 1
		fi
		printf '%s\n' "$arguments" >"$folder/.arguments" || return 1
	fi
	if [[ ${build_targets[*]-} == programs ]]; then
		mapfile -t build_targets < <(build_as_owner /usr/bin/ninja -C "$folder" -t targets rule c_LINKER |
			grep -x -E 'godwit[a-z-]*')
	fi
	if [[ $(build_as_owner /usr/bin/ninja -C "$folder" -n "${build_targets[@]}" 2>/dev/null | tail -n 1) == *'no work to do.' ]]; then
		return 0
	fi
	say "building $name"
	build_as_owner /usr/bin/ninja -C "$folder" "${build_targets[@]}" >&2
}

build_is_current()
{
	[[ -x $1/godwit ]] || return 1
	[[ -z $(find "$root" -path "$root/build*" -prune -o -path "$root/.*" -prune -o -type f \
		\( -name '*.[ch]' -o -name meson.build -o -name '*.py' -o -name '*.xml' \) \
		-newer "$1/godwit" -print -quit) ]]
}

build_explain()
{
	local left_kib
	[[ -w $root ]] || say "$root is not writable for $(id -un)"
	left_kib=$(df --output=avail "$root" | tail -n 1)
	((left_kib > 65536)) || say "the disk is full: ${left_kib//[[:space:]]/} KiB left in $root"
	say "the build in $1 failed"
}
