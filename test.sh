#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing, builds and runs the tests: all stages, or those named.
set -u -o pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" || exit 1
. tests/lib.sh

# The quick ones first. A stage is a folder of tests with an executable `run`; tests/lib.sh has the contract.
order=(lint unit tsan interleave script compliance mutants sim world fuzz interop cores kerneltcp diff operator tools bench soak appliance vm fresh)
# chaos: its length depends on chance, a connection whose client is gone may wait for the last of TCP's timers.
by_name=(chaos)

usage()
{
	cat <<-END
		usage: ./test.sh [--list | --deps] [STAGE...]

		  --list   name the stages
		  --deps   print the Debian packages that each stage needs
		Without a STAGE all of them run but these: ${by_name[*]}. Logs: build-test/logs/STAGE.log
	END
}

stages()
{
	local stage
	for stage in "${order[@]}"; do
		[[ -x tests/$stage/run ]] && printf '%s\n' "$stage"
	done
}

# stage_groups STAGE: its groups in tools/packages.txt.
stage_groups()
{
	# A fresh machine is made from nothing: this one's compilers play no part.
	[[ $1 == fresh ]] || echo build
	# Real clients and the broker's own first lines are tried together.
	[[ $1 == interop || $1 == cores ]] && echo run
	[[ $1 == cores ]] && echo interop
	echo "$1"
}

# stage_build STAGE: what a stage tries that it does not build itself.
stage_build()
{
	[[ $1 == interop || $1 == cores ]] || return 0
	# Clients meet what users run; GODWIT in the environment names another program.
	export GODWIT=${GODWIT-$root/build/godwit} GODWITCTL=${GODWITCTL-$root/build/godwitctl}
	export BUILD=$root/build-test
	build_targets=(programs)
	build_prepare build
}

# stage_run STAGE: sets result to "passed failed skipped".
stage_run()
{
	local stage=$1 log=$logs/$1.log line
	rm -f "$log"
	printf '== %s\n' "$stage"
	mapfile -t groups < <(stage_groups "$stage")
	if ! packages_ensure "${groups[@]}"; then
		echo "FAIL packages are missing" | tee "$log"
		result='0 1 0'
		return
	fi
	if ! stage_build "$stage"; then
		echo "FAIL the build failed" | tee "$log"
		result='0 1 0'
		return
	fi
	local status=0
	"tests/$stage/run" 2>&1 | tee "$log" || status=$?
	line=$(grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' "$log" | tail -n 1)
	if [[ -z $line ]]; then
		echo "FAIL ended with status $status and without a count" | tee -a "$log"
		line='0 passed, 1 failed, 0 skipped'
	fi
	read -r p _ f _ s _ <<<"$line"
	if ((p + f == 0)); then
		echo "FAIL ran no test" | tee -a "$log"
		f=1
	elif ((status != 0 && f == 0)); then
		echo "FAIL exit status $status" | tee -a "$log"
		f=1
	fi
	result="$p $f $s"
}

# summary: one line a stage, then every failure and skip with its reason, then the total.
summary()
{
	local stage p f s seconds total_p=0 total_f=0 total_s=0 row
	printf '\n%-10s %7s %7s %7s %8s\n' stage passed failed skipped seconds
	for row in "${results[@]}"; do
		read -r stage p f s seconds <<<"$row"
		printf '%-10s %7d %7d %7d %8d\n' "$stage" "$p" "$f" "$s" "$seconds"
		total_p=$((total_p + p)) total_f=$((total_f + f)) total_s=$((total_s + s))
	done
	for row in "${results[@]}"; do
		stage=${row%% *}
		# The words of a stage, or TAP.
		sed -n -E "$logs/$stage.log" \
			-e "s/^(FAIL|SKIP) /\1 $stage: /p" \
			-e "s/^not ok *[0-9]* *-? */FAIL $stage: /p" \
			-e "s/^ok *[0-9]* *-? *(.*) # SKIP *(.*)/SKIP $stage: \1: \2/p"
	done
	printf '%d passed, %d failed, %d skipped\n' "$total_p" "$total_f" "$total_s"
	((total_f == 0))
}

case ${1-} in
--list)
	stages
	printf '%s (only when named)\n' "${by_name[@]}"
	exit
	;;
--deps)
	shift
	(($#)) || mapfile -t selected < <(stages)
	for stage in "${selected[@]-"$@"}"; do
		mapfile -t groups < <(stage_groups "$stage")
		printf '%s: %s\n' "$stage" "$(packages_of "${groups[@]}" | paste -s -d ' ')"
	done
	exit
	;;
--help | -h)
	usage
	exit
	;;
-*)
	usage >&2
	exit 2
	;;
esac

# What reads other stages' results tells this run's from older ones by it.
GODWIT_RUN_SINCE=$(date +%s)
export GODWIT_RUN_SINCE
selected=("$@")
if ((!$#)); then
	mapfile -t selected < <(stages)
	say "runs only when named: ${by_name[*]}"
fi
for stage in "${selected[@]}"; do
	if [[ ! -x tests/$stage/run ]]; then
		say "there is no stage $stage; there are: $(stages | paste -s -d ' ')"
		exit 2
	fi
done
build_as_owner mkdir -p "$logs" || exit 1
results=()
for stage in "${selected[@]}"; do
	started=$SECONDS
	stage_run "$stage"
	results+=("$stage $result $((SECONDS - started))")
done
summary
