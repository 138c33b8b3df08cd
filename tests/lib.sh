# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# What the stages stand on. A stage is an executable tests/STAGE/run: it finds its packages installed, is
# run by test.sh with its output going to build-test/logs/STAGE.log, prints PASS, FAIL and SKIP lines,
# ends with the line "N passed, N failed, N skipped", and exits non-zero when something failed.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
. "$root/tools/packages.sh"
. "$root/tools/build.sh"

export logs=$root/build-test/logs
passed=0 failed=0 skipped=0

pass()
{
	passed=$((passed + 1))
	printf 'PASS %s\n' "$*"
}

# fail NAME: WHY
fail()
{
	failed=$((failed + 1))
	printf 'FAIL %s\n' "$*"
}

# skip NAME: WHY
skip()
{
	skipped=$((skipped + 1))
	printf 'SKIP %s\n' "$*"
}

# check NAME COMMAND...: passes when COMMAND does.
check()
{
	local name=$1
	shift
	if "$@"; then
		pass "$name"
	else
		fail "$name: $* says $?"
	fi
}

# finish: the stage's last words.
finish()
{
	printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
	((failed == 0 && passed > 0))
	exit
}

# build_sanitized: the tests' build, with ASan, UBSan and warnings as errors.
build_sanitized()
{
	build_prepare build-test -Dbuildtype=debugoptimized -Db_lto=false -Dwerror=true \
		-Db_sanitize=address,undefined
}

# build_with_bugs LIST HEADER FOLDER [MESON_ARGUMENT...]: builds the targets in $root/FOLDER/tree/build, a copy of the tree
# that has all bugs of the list in it (tests/mutate.py).
build_with_bugs()
{
	local list=$1 header=$2 tree=$root/$3/tree
	shift 3
	/usr/bin/python3 -B "$root/tests/mutate.py" "$root/$list" "$header" "$tree" &&
		(root=$tree && build_prepare build -Db_lto=false "$@")
}

# stage_of_meson SUITE: a whole stage made of one suite of meson tests.
stage_of_meson()
{
	local status=0
	if ! build_sanitized; then
		fail "$1: the build failed"
		finish
	fi
	export ASAN_OPTIONS=${ASAN_OPTIONS-detect_stack_use_after_return=1:strict_string_checks=1}
	export UBSAN_OPTIONS=${UBSAN_OPTIONS-halt_on_error=1:print_stacktrace=1}
	# Meson's own count is one a program; the programs speak TAP, and each of their tests is counted.
	PATH=$build_path /usr/bin/meson test -C "$root/build-test" --no-rebuild --print-errorlogs \
		--suite "$1" --logbase "$1" || status=$?
	/usr/bin/python3 "$root/tests/meson-results.py" "$root/build-test/meson-logs/$1.json" "$status"
	exit
}
