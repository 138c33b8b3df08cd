# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Debian packages for start.sh and test.sh, out of tools/packages.txt. Sourced; $root is the source tree.
# Nothing here touches the network when all packages are present.
# The variables of packages_install are meant to be its subshell's own.
# shellcheck disable=SC2030,SC2031

packages_list=${root:?}/tools/packages.txt
# What was added here to the machine, one "PACKAGE requested|dependency" a line; outlives the build folders.
packages_record=$root/.godwit-packages
packages_policy=/usr/sbin/policy-rc.d
packages_policy_mark='godwit: no service starts while packages are being installed'

say()
{
	printf '%s: %s\n' "${0#"$root/"}" "$*" >&2
}

# packages_of GROUP...: the names of the groups' packages, one a line.
packages_of()
{
	local group package wanted command
	while read -r group package _; do
		for wanted in "$@"; do
			[[ $group == "$wanted" ]] || continue
			command=${package#*\?}
			[[ $command != "$package" ]] && type -P "$command" >/dev/null && continue
			printf '%s\n' "${package%%\?*}"
		done
	done <"$packages_list" | sort -u
}

# packages_print GROUP...: the groups and their packages for a reader.
packages_print()
{
	local group
	for group in "$@"; do
		printf '%s: %s\n' "$group" "$(packages_of "$group" | paste -s -d ' ')"
	done
}

# packages_missing PACKAGE...: those that are not installed.
packages_missing()
{
	(($#)) || return 0
	comm -13 \
		<(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null |
			sed -n 's/^installed //p' | sort -u) \
		<(printf '%s\n' "$@" | sort -u)
}

# packages_ensure GROUP...: installs what is missing; as an ordinary user says what root has to do, and fails.
packages_ensure()
{
	local wanted missing
	mapfile -t wanted < <(packages_of "$@")
	if ! type -P dpkg-query apt-get >/dev/null; then
		say "this is no Debian: packages cannot be looked up or installed. Needed: ${wanted[*]}"
		return 1
	fi
	mapfile -t missing < <(packages_missing "${wanted[@]}")
	((${#missing[@]})) || return 0
	if ((EUID)); then
		say "packages are missing, and only root can install them. Run as root:"
		printf '  apt-get update && apt-get install --no-install-recommends %s\n' "${missing[*]}" >&2
		return 1
	fi
	packages_install "${missing[@]}"
}

# packages_sources: the host's own Debian mirrors as apt lines; nothing where it has no index.
packages_sources()
{
	# shellcheck disable=SC2016 # apt's variables, not the shell's
	apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(COMPONENT) $(ORIGIN)' 'Identifier: Packages' |
		awk '$4 == "Debian" && $2 ~ /^bookworm(-updates|-security)?$/ { print "deb", $1, $2, $3 }' | sort -u
}

packages_installed()
{
	dpkg-query -W -f '${db:Status-Status} ${Package}\n' | sed -n 's/^installed //p' | sort -u
}

# A subshell, so that its traps undo the denial of services however it ends.
packages_install()
(
	log=$(mktemp) before=$(mktemp) denied=
	trap 'packages_install_end "$@"' EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	packages_installed >"$before"
	packages_services_deny || exit 1
	say "installing $# packages and what they need: $*"
	updated=
	if ! apt-cache show --no-all-versions "$@" >/dev/null 2>&1; then
		packages_apt update || exit 1
		updated=1
	fi
	if ! packages_apt install -y --no-install-recommends "$@"; then
		# The index may name versions that the archive has replaced.
		[[ -z $updated ]] && grep -q -E '404 +Not Found' "$log" || exit 1
		packages_apt update && packages_apt install -y --no-install-recommends "$@" || exit 1
	fi
)

packages_install_end()
{
	local status=$?
	[[ -n $denied ]] && rm -f "$packages_policy"
	packages_installed | comm -13 "$before" - >"$before.added"
	if [[ -s $before.added ]]; then
		packages_record_add "$before.added" "$@"
		packages_services_off "$before.added"
	fi
	((status == 0)) || packages_explain "$log"
	rm -f "$log" "$before" "$before.added"
	exit "$status"
}

# packages_apt ARGUMENT...: apt-get without questions, its words into $log, its progress in few lines.
packages_apt()
{
	DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=2 \
		-o APT::Get::Assume-Yes=true -o Dpkg::Options::=--force-confold -o Dpkg::Use-Pty=0 \
		-o APT::Status-Fd=3 -o APT::Update::Error-Mode=any "$@" \
		3> >(packages_progress "$1") >>"$log" 2>&1 </dev/null
}

packages_progress()
{
	local kind percent step last=
	# The index alone is no progress worth a line.
	[[ $1 == install ]] || exec cat >/dev/null
	while IFS=: read -r kind _ percent _; do
		step="$kind ${percent%%.*}"
		[[ $step == *[05]0 ]] || [[ $step == *25 || $step == *75 ]] || continue
		[[ $step == "$last" ]] && continue
		last=$step
		case $step in
		dlstatus*) say "  downloaded ${percent%%.*} %" ;;
		pmstatus*) say "  installed ${percent%%.*} %" ;;
		esac
	done
}

# Debian's rabbitmq-server, for one, starts and enables itself on 5672. A policy of the machine's own stays.
packages_services_deny()
{
	if [[ -e $packages_policy ]]; then
		# Left by a run that was killed: adopted, and removed at the end.
		grep -q -F "$packages_policy_mark" "$packages_policy" && denied=1
		return 0
	fi
	printf '#!/bin/sh\n# %s\nexit 101\n' "$packages_policy_mark" >"$packages_policy" || return 1
	denied=1
	chmod 755 "$packages_policy"
}

# packages_services_off FILE: no unit or init script of the packages in FILE stays enabled or started.
packages_services_off()
{
	local package path name names=()
	# deb-systemd-helper works for maintainer scripts alone, which have this set.
	local -x DPKG_MAINTSCRIPT_PACKAGE
	while read -r package; do
		DPKG_MAINTSCRIPT_PACKAGE=$package
		while read -r path; do
			name=${path##*/}
			case $path in
			/lib/systemd/system/*.service | /lib/systemd/system/*.socket | /lib/systemd/system/*.timer | \
				/usr/lib/systemd/system/*.service | /usr/lib/systemd/system/*.socket | \
				/usr/lib/systemd/system/*.timer)
				[[ -n $(find /etc/systemd/system -path "*.wants/$name" -print -quit 2>/dev/null) ]] || continue
				names+=("$name")
				deb-systemd-helper disable "$name" >/dev/null 2>&1
				[[ -d /run/systemd/system ]] && systemctl disable --now "$name" >/dev/null 2>&1
				;;
			/etc/init.d/*)
				[[ -x /usr/sbin/update-rc.d ]] && update-rc.d "$name" disable >/dev/null 2>&1
				;;
			esac
		done < <(dpkg-query -L "$package")
	done <"$1"
	((${#names[@]})) && say "disabled, as Godwit does not need them to run by themselves: ${names[*]}"
	return 0
}

# packages_record_add FILE REQUESTED...
packages_record_add()
{
	local added=$1 package kind requested
	shift
	requested=" $* "
	while read -r package; do
		kind=dependency
		[[ $requested == *" $package "* ]] && kind=requested
		printf '%s %s\n' "$package" "$kind"
	done <"$added" >>"$packages_record"
}

# packages_added: prints what was added and is still installed, and how to remove it; forgets the rest.
packages_added()
{
	[[ -e $packages_record ]] || return 0
	local asked needed
	mapfile -t asked < <(sed -n 's/ requested$//p' "$packages_record" | sort -u |
		comm -12 - <(packages_installed))
	mapfile -t needed < <(sed -n 's/ dependency$//p' "$packages_record" | sort -u |
		comm -12 - <(packages_installed))
	if ((${#asked[@]} + ${#needed[@]} == 0)); then
		rm -f "$packages_record"
		return 0
	fi
	printf 'Packages added here and still installed: %s\n' "${asked[*]}"
	printf 'and %d that they need: %s\n' "${#needed[@]}" "${needed[*]}"
	printf 'To remove them: apt-get purge --autoremove %s\n' "${asked[*]}"
}

# packages_explain LOG: why apt failed, in one line of ours before its own last ones.
packages_explain()
{
	local log=$1 why='the package manager failed'
	if grep -q -i -E "no space left|don't have enough free space" "$log"; then
		why="the disk is full ($(df -h --output=avail,target / /var/cache/apt | tail -n +2 |
			awk '{ printf "%s%s left on %s", sep, $1, $2; sep = ", " }'))"
	elif grep -q -i -E 'could not resolve|temporary failure resolving|could not connect|failed to fetch|unable to connect|connection timed out|connection failed' "$log"; then
		why='the package archive cannot be reached: check the network, /etc/apt/sources.list and its proxy'
	elif grep -q -i -E 'could not get lock|unable to lock|is held by process' "$log"; then
		why='another package manager is running: try again when it has finished'
	elif grep -q -i -E 'unable to locate package|no installation candidate' "$log"; then
		why="a package is in none of the configured archives: Godwit builds on Debian 12, this is $(
			. /etc/os-release 2>/dev/null && printf '%s' "${PRETTY_NAME:-unknown}")"
	elif grep -q -i 'dpkg was interrupted' "$log"; then
		why='an earlier installation was interrupted: run dpkg --configure -a as root'
	fi
	say "cannot install packages: $why. The last lines:"
	tail -n 15 "$log" | sed 's/^/  /' >&2
}
