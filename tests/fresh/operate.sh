#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Without a network: the broker is started, tried, interrupted, killed, started again, and cleaned away.
set -u -o pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd /tmp || exit 1
start=${root:?}/start.sh

is_the_broker()
{
	[[ $(readlink "/proc/$broker/exe") == "$root/build/godwit" ]]
}

frames_counted()
{
	local count
	count=$(cat /sys/class/net/godwit0/statistics/tx_packets)
	((count > 10)) || {
		echo "godwit0 took $count frames"
		return 1
	}
}

killed()
{
	[[ -n $broker ]] && kill -KILL -- -"$broker" || return
	wait "$broker" 2>/dev/null
	[[ -z $(find /proc/[0-9]*/exe -lname '*/godwit' 2>/dev/null) ]]
}

cleaned()
{
	local words
	words=$("$start" --clean) || return 1
	[[ ! -e $root/build && ! -e $root/build-test && $words == *libdpdk-dev* && $words == *'apt-get purge'* ]] ||
		{
			printf '%s\n' "$words"
			return 1
		}
}

check 'start.sh --build again, nothing to do, no network' at_most 1000 "$start" --build
must 'ready' broker_start "$start"
check 'start.sh became the broker, so that signals reach it' is_the_broker
check 'the pasted line over the bypass path' pasted 198.18.0.2
check 'a message over the bypass path' message_through 198.18.0.2
check 'the frames went through the TAP' frames_counted
check 'the pasted line over the kernel' pasted 127.0.0.1
check 'a message over the kernel' message_through 127.0.0.1
check 'Ctrl-C: exit 0 within two seconds' broker_stop INT
check 'Ctrl-C: nothing left on the host' nothing_left
must 'ready again' broker_start "$start"
check 'SIGTERM: exit 0 within two seconds' broker_stop TERM
check 'SIGTERM: nothing left on the host' nothing_left
must 'ready, to be killed' broker_start "$start"
check 'kill -9' killed
must 'ready after a kill -9' broker_start "$start"
check 'a message over the bypass path after a kill -9' message_through 198.18.0.2
check 'Ctrl-C after a kill -9' broker_stop INT
check 'nothing left on the host after a kill -9' nothing_left
must 'only the kernel side with --no-tap' broker_start "$start" --no-tap
check 'no TAP with --no-tap' [ ! -e /sys/class/net/godwit0 ]
check 'a message with --no-tap' message_through 127.0.0.1
check 'Ctrl-C with --no-tap' broker_stop INT
check 'start.sh --clean removes the builds and lists the packages' cleaned
finish
