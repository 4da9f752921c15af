#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What holds for every tool alike.
load helpers

@test "every tool: help, version, wrong usage, a full disk" {
	for tool in "$REAP_BIN"/reap-*; do
		standard_options "$(basename "$tool")" || { echo "$tool"; return 1; }
	done
}

@test "every tool: an input that is not there is exit 1, an unknown option exit 2" {
	for tool in accum rank "cut --keep-n 24" show; do
		# shellcheck disable=SC2086
		fails 1 "No such file" reap-$tool "$TMP/none"
	done
	for tool in route ppl; do
		fails 1 "No such file" "reap-$tool" -m "$MODEL" "$TMP/none"
	done
	fails 1 "No such file" reap-rewrite -m "$MODEL" -o "$TMP/t" "$TMP/none"
	[ ! -e "$TMP/t" ]
}

@test "every filter: empty input, foreign input and the wrong kind are exit 3" {
	echo '{"t":"x"}' | reap-show --encode manifest >"$TMP/manifest"
	for cmd in "reap-accum" "reap-rank" "reap-cut --keep-n 24" "reap-route -m $MODEL" \
		"reap-ppl -m $MODEL" "reap-rewrite -m $MODEL -o $TMP/t"; do
		# shellcheck disable=SC2086
		fails 3 "standard input" $cmd </dev/null
		# shellcheck disable=SC2086
		fails 3 "standard input" $cmd <LICENSE
		# shellcheck disable=SC2086
		fails 3 "kind manifest" $cmd <"$TMP/manifest"
	done
	[ ! -e "$TMP/t" ]
}

@test "no stream goes to a terminal" {
	command -v script >/dev/null || skip "script(1) is not installed"
	for cmd in "reap-accum" "reap-rank" "reap-cut --keep-n 24" "reap-route -m $MODEL"; do
		run script -qec "$cmd </dev/null" /dev/null
		[ "$status" -eq 2 ] || { echo "$cmd: $status"; return 1; }
		[[ "$output" == *terminal* ]]
	done
}
