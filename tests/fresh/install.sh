#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# With the network: packages and builds, and nothing else changed on the machine.
set -u -o pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd / || exit 1

enabled_services()
{
	find /etc/systemd/system /etc/rc?.d -type l -path '*wants/*' -o -name 'S[0-9]*' | sort
}

no_service_added()
{
	diff "$services_before" <(enabled_services)
}

services_before=$(mktemp)
enabled_services >"$services_before"
must 'start.sh --build on an empty machine' "${root:?}/start.sh" --build
check 'no denial of services left' [ ! -e /usr/sbin/policy-rc.d ]
check 'no service enabled' no_service_added
check 'no service started' no_processes
# The inner run's words are set apart from the counts of this one.
stage()
{
	"$root/test.sh" "$1" 2>&1 | sed 's/^/  | /'
}

for name in ${GODWIT_FRESH_STAGES-script}; do
	check "test.sh $name" stage "$name"
done
check 'test.sh: no service enabled' no_service_added
check 'test.sh: no service started' no_processes
check 'the packages that were added are on record' grep -q -x 'libdpdk-dev requested' "$root/.godwit-packages"
finish
