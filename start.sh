#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing, builds, and runs the broker in the foreground until Ctrl-C.
set -u -o pipefail
root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd -P) || exit 1
. "$root/tools/packages.sh"
. "$root/tools/build.sh"

groups=(build run)

usage()
{
	cat <<-END
		usage: ./start.sh [--build | --clean | --deps] | [ARGUMENT...]

		  --build   install and build what is missing, run nothing
		  --clean   remove the build folders and list the packages that were added
		  --deps    print the Debian packages that are needed
		Every other argument goes to the broker.
	END
}

clean()
{
	local folder
	for folder in "$root"/build "$root"/build-*; do
		[[ -d $folder ]] || continue
		rm -rf "$folder" || exit 1
		printf 'removed %s\n' "$folder"
	done
	packages_added
}

prepare()
{
	packages_ensure "${groups[@]}" || exit 1
	build_targets=(programs)
	build_prepare build || exit 1
	if [[ ! -x $root/build/godwit ]]; then
		say "the build made no $root/build/godwit"
		exit 1
	fi
}

case ${1-} in
--build)
	prepare
	say "ready to run: $root/build/godwit"
	;;
--clean)
	clean
	;;
--deps)
	packages_print "${groups[@]}"
	;;
--help | -h)
	usage
	if [[ -x $root/build/godwit ]]; then
		echo
		exec "$root/build/godwit" --help
	fi
	;;
*)
	prepare
	exec "$root/build/godwit" "$@"
	;;
esac
