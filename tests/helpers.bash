# SPDX-License-Identifier: MIT
# What every bats file loads.  $TMP is a fresh directory for each test.
set -o pipefail
export LC_ALL=C ROOT

ROOT=$(cd "$BATS_TEST_DIRNAME" && while [ ! -f cmd/tool.h ]; do cd ..; done && pwd)
export REAP_BIN=${REAP_BIN:-$ROOT/bin} REAP_BUILD=${REAP_BUILD:-$ROOT/build/rel}
export PATH=$REAP_BIN:$PATH
# Tests are of the processor's engine; tests/gpu.bats and tests/gpu/run are of the other one.
export REAP_DEVICE=${REAP_DEVICE:-cpu} HOST_GPU=${HOST_GPU:-$REAP_BUILD/host-gpu.so}
export MODEL=$ROOT/tests/fixtures/model PACKS=$ROOT/tests/fixtures/packs
cd "$ROOT" || exit 1

setup() {
	export TMP=$BATS_TEST_TMPDIR
}

# fails STATUS TEXT COMMAND...: the command exits with STATUS, prints nothing on
# standard output, and one line on standard error that contains TEXT.
fails() {
	local want=$1 text=$2 status=0
	shift 2
	"$@" >"$TMP/fails.out" 2>"$TMP/fails.err" || status=$?
	if [ "$status" -ne "$want" ]; then
		echo "exit $status, expected $want: $*"
		cat "$TMP/fails.err"
		return 1
	fi
	if [ -s "$TMP/fails.out" ]; then
		echo "wrote to standard output: $*"
		return 1
	fi
	# Wrong usage adds the line that names --help.
	if [ "$(grep -vc "^Try '" "$TMP/fails.err")" -ne 1 ] || ! grep -qF -- "$text" "$TMP/fails.err"; then
		echo "expected one line with '$text' from: $*"
		cat "$TMP/fails.err"
		return 1
	fi
}

# standard_options TOOL: what every tool answers alike.
standard_options() {
	run "$1" --help
	[ "$status" -eq 0 ] && [[ "$output" == "usage: $1"* ]] || return 1
	run "$1" -h
	[ "$status" -eq 0 ] && [[ "$output" == "usage: $1"* ]] || return 1
	run "$1" --version
	[ "$status" -eq 0 ] && [[ "$output" == "$1 (reap) "* ]] || return 1
	[ -z "$("$1" --help 2>&1 >/dev/null)" ] || return 1
	run "$1" --no-such-option
	[ "$status" -eq 2 ] || return 1
	# A full disk under --help is noticed too.
	run bash -c "'$1' --help >/dev/full"
	[ "$status" -eq 1 ]
}

# undrawn: figures that are empty and cost nothing, for tests in which no report is looked at.
undrawn() {
	mkdir "$TMP/undrawn"
	# draw.gp FOLDER DRAWING OUT
	printf '#!/bin/bash\nprintf "<svg></svg>\\n" >"$5"\n' >"$TMP/undrawn/gnuplot"
	chmod +x "$TMP/undrawn/gnuplot"
	PATH=$TMP/undrawn:$PATH
}

# other_backend TOOL: a backend that, at the scalar level, is not the arithmetic that the
# tool has here: a machine without vector kernels has the first of the two.
other_backend() {
	case $("$1" -V | tail -n 1) in
	"gemm: openblas (f32); kernels: scalar") echo f32 ;;
	*) echo openblas ;;
	esac
}

# both A B: how a stream names two kinds of arithmetic.
both() {
	printf '%s\n' "$@" | LC_ALL=C sort | sed -z 's/\n\(.\)/ + \1/; s/\n$//'
}

# cut_everywhere FILE COMMAND...: feed the command (stdin) every prefix of a small
# stream, or at least 500 of a larger one; it must exit 3 and print no end record.
cut_everywhere() {
	local file=$1 size step n status
	shift
	size=$(stat -c %s "$file")
	step=$(((size + 499) / 500))
	[ "$step" -gt 0 ] || step=1
	for ((n = 0; n < size; n += step)); do
		status=0
		head -c "$n" "$file" | "$@" >"$TMP/cut.out" 2>"$TMP/cut.err" || status=$?
		if [ "$status" -ne 3 ]; then
			echo "cut at byte $n of $size: exit $status"
			cat "$TMP/cut.err"
			return 1
		fi
		if [ -s "$TMP/cut.out" ] && reap-show "$TMP/cut.out" >/dev/null 2>&1; then
			echo "cut at byte $n of $size: the output looks whole"
			return 1
		fi
	done
}

# least_memory COMMAND...: about the least --memory that the command can do with, so
# that it takes many chunks.
least_memory() {
	local m
	for m in 6 7 8 9 10 12 14 17 20 24 28 34 40 48 60; do
		if "$@" --memory ${m}M >/dev/null 2>&1; then
			echo ${m}M
			return
		fi
	done
	return 1
}

# resumes STREAM COMMAND...: the command makes STREAM.  Cut at each place of standard
# input (byte, blocks whole before it: see tests/gen/cuts.c) and given to the command's
# --resume, it is taken over as far as it is of use, and comes out the same.
resumes() {
	local whole=$1 at blocks taken
	shift
	while read -r at blocks; do
		head -c "$at" "$whole" >"$TMP/resumes.part"
		if ! "$@" --resume "$TMP/resumes.part" >"$TMP/resumes.out" 2>"$TMP/resumes.err" ||
			! cmp "$TMP/resumes.out" "$whole"; then
			echo "cut at byte $at: $*"
			cat "$TMP/resumes.err"
			return 1
		fi
		taken=$(awk '/took over/ { for (i = 2; i <= NF; i++) if ($i ~ /^(blocks|finished)/) n += $(i - 1) }
			END { print n + 0 }' "$TMP/resumes.err")
		if [ "$taken" -ne "$blocks" ]; then
			echo "cut at byte $at: took over $taken, not $blocks"
			return 1
		fi
	done
}
