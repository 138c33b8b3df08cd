# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# For the scripts that run inside the empty machine.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
: "${root:?}"
# Jobs of their own, so that a Ctrl-C can be sent to one: other background jobs ignore it.
set -m
broker_log=/tmp/broker.log
broker=

# must NAME COMMAND...: a check without which the rest of the script would only repeat the failure.
must()
{
	local failed_before=$failed
	check "$@"
	((failed == failed_before)) || finish
}

# broker_start COMMAND...: runs it in the background, waits for the ready line.
broker_start()
{
	local deadline=$((SECONDS + 30))
	# Here, not by the job: else the last run's ready line is found before the job has begun.
	: >"$broker_log"
	"$@" >>"$broker_log" 2>&1 </dev/null &
	broker=$!
	while ! grep -q 'ready:' "$broker_log"; do
		if ! kill -0 "$broker" 2>/dev/null || ((SECONDS > deadline)); then
			sed 's/^/  | /' "$broker_log"
			kill -KILL -- -"$broker" 2>/dev/null
			broker=
			return 1
		fi
		sleep 0.05
	done
}

# broker_stop SIGNAL: sends it to the foreground group as a terminal does; passes when the broker exits 0 within
# two seconds.
broker_stop()
{
	local started_ms status=0
	[[ -n $broker ]] || return 1
	started_ms=$(milliseconds)
	kill -"$1" -- -"$broker"
	wait "$broker" || status=$?
	broker=
	if ((status != 0 || $(milliseconds) - started_ms > 2000)); then
		echo "exit status $status after $(($(milliseconds) - started_ms)) ms"
		sed 's/^/  | /' "$broker_log"
		return 1
	fi
}

milliseconds()
{
	date +%s%3N
}

# at_most MILLISECONDS COMMAND...
at_most()
{
	local limit_ms=$1 started_ms took_ms
	shift
	started_ms=$(milliseconds)
	"$@" || return
	took_ms=$(($(milliseconds) - started_ms))
	((took_ms <= limit_ms)) || {
		echo "took $took_ms ms, at most $limit_ms are allowed"
		return 1
	}
}

# processes: what runs besides this script, which is the first process here.
processes()
{
	local entry pid command_line
	for entry in /proc/[0-9]*; do
		pid=${entry#/proc/}
		# A kernel thread or one that has just ended has no words.
		[[ $pid == 1 || $pid == "$BASHPID" ]] || ! mapfile -d '' -t command_line <"$entry/cmdline" 2>/dev/null ||
			((${#command_line[@]} == 0)) || printf '%s %s\n' "$pid" "${command_line[*]}"
	done
}

no_processes()
{
	local left
	left=$(processes)
	[[ -z $left ]] || {
		echo "still running: $left"
		return 1
	}
}

# nothing_left: what the broker made on the host is gone.
nothing_left()
{
	local wrong=0 file
	if [[ -e /sys/class/net/godwit0 ]]; then
		echo 'the interface godwit0 is still there'
		wrong=1
	fi
	for file in /dev/hugepages/* /dev/shm/* /run/godwit/*; do
		[[ -e $file ]] || continue
		echo "$file is still there"
		wrong=1
	done
	if grep -q ':1628 00000000:0000 0A' /proc/net/tcp; then
		echo 'something still listens on port 5672'
		wrong=1
	fi
	if [[ -n $(find /proc/[0-9]*/exe -lname '*/godwit' 2>/dev/null) ]]; then
		echo 'a godwit is still running'
		wrong=1
	fi
	return "$wrong"
}

# message_through HOST: our own client's round trip.
message_through()
{
	local body
	body="fresh-$RANDOM-$RANDOM"
	timeout 10 amqp-declare-queue -s "$1" -q fresh >/dev/null &&
		timeout 10 amqp-publish -s "$1" -r fresh -b "$body" &&
		[[ $(timeout 10 amqp-get -s "$1" -q fresh) == "$body" ]]
}

# pasted HOST: the line that the broker printed to try HOST works as it stands and brings its message back.
pasted()
{
	local line body key output
	line=$(sed -n 's/^try: //p' "$broker_log" | grep -F -- "$1" | head -n 1)
	if [[ -z $line ]]; then
		echo "no line \"try: \" names $1"
		sed 's/^/  | /' "$broker_log"
		return 1
	fi
	echo "pasting: $line"
	output=$(timeout 20 bash -c "$line" </dev/null 2>&1) || {
		echo "exit status $?: $output"
		return 1
	}
	body=$(option_of "$line" b body)
	[[ -n $body && $output == *"$body"* ]] && return
	# A line that only publishes left its message in the queue.
	key=$(option_of "$line" r routing-key)
	output=$(timeout 10 amqp-get -s "$1" -q "$key" 2>&1)
	[[ -n $body && $output == "$body" ]] || {
		echo "published '$body' to '$key', got '$output'"
		return 1
	}
}

# option_of LINE SHORT LONG: an option's value without its quotes.
option_of()
{
	sed -n -E "s/.* (-$2|--$3)[ =]*('([^']*)'|\"([^\"]*)\"|([^ ]+)).*/\3\4\5/p" <<<"$1"
}
