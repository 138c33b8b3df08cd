#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A package is missing and there is no network: what start.sh says, to root and to a user.
set -u -o pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd /tmp || exit 1
tree=/home/somebody/godwit

# says WORDS COMMAND...: it fails and says so.
says()
{
	local words=$1 output
	shift
	if output=$("$@" 2>&1); then
		echo "it succeeded: $output"
		return 1
	fi
	[[ $output == *"$words"* ]] || {
		printf '%s\n' "$output"
		return 1
	}
}

dpkg --remove amqp-tools >/dev/null
apt-get clean
check 'a user is told the command for root' \
	says 'apt-get install --no-install-recommends amqp-tools' \
	setpriv --reuid=4321 --regid=4321 --clear-groups "$tree/start.sh" --build
check 'root is told that the archive cannot be reached' says 'cannot be reached' "${root:?}/start.sh" --build
check 'no denial of services left after a failure' [ ! -e /usr/sbin/policy-rc.d ]
finish
