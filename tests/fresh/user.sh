#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# An ordinary user with the packages present and no network: builds, runs over kernel sockets without
# hugepages, and is told what root would add.
set -u -o pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd /tmp || exit 1
home=/home/somebody
tree=$home/godwit
# An own user and not nobody, to whom others may belong as well.
as_user=(setpriv --reuid=4321 --regid=4321 --clear-groups --no-new-privs env HOME="$home" USER=somebody)

mkdir -p "$home"
cp -a "${root:?}" "$tree"
chown -R 4321:4321 "$home"
echo 'somebody:x:4321:4321::/home/somebody:/bin/bash' >>/etc/passwd
echo 'somebody:x:4321:' >>/etc/group

told_of_root()
{
	grep -i -w root "$broker_log" || {
		sed 's/^/  | /' "$broker_log"
		return 1
	}
}

must 'a user builds' "${as_user[@]}" "$tree/start.sh" --build
must 'a user runs' broker_start "${as_user[@]}" "$tree/start.sh"
check 'a user is told what root would add' told_of_root
check 'a message over the kernel' message_through 127.0.0.1
check 'the pasted line over the kernel' pasted 127.0.0.1
check 'Ctrl-C: exit 0 within two seconds' broker_stop INT
check 'nothing left on the host' nothing_left
must 'a user runs without hugepages when told so' broker_start "${as_user[@]}" "$tree/start.sh" --no-huge
check 'a message with --no-huge' message_through 127.0.0.1
check 'SIGTERM: exit 0 within two seconds' broker_stop TERM
check 'root in a user'"'"'s tree leaves no file of root'"'"'s behind' "$tree/start.sh" --build
check 'every built file is the user'"'"'s' [ -z "$(find "$tree/build" ! -uid 4321 ! -name .arguments -print -quit)" ]
finish
