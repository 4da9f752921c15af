#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The forward passes as a Slurm job array on a cluster of this one machine.
load ../helpers
load slurm

setup() {
	export TMP=$BATS_TEST_TMPDIR
	[ "$(id -u)" -eq 0 ] || skip "slurmd needs root"
	command -v slurmctld >/dev/null && command -v munged >/dev/null || skip "no slurm-wlm"
	# Sockets have short paths.
	S=$(mktemp -d /tmp/reap-slurm.XXXXXX)
	slurm_start "$S"
	mkdir "$TMP/recipes" "$TMP/bin"
	ln -s "$REAP_BIN"/reap-* "$TMP/bin"
	printf '%s\n' "extends: $ROOT/recipes/tiny-keep24.yaml" 'schema_version: 1' 'kind: reap_recipe' \
		'name: fast' 'target: fast' 'evaluation: {with: fast-eval.yaml}' \
		'profiling_data: {sampling: {num_rows: 45}, max_seq_length: 256}' >"$TMP/recipes/fast.yaml"
	printf '%s\n' "extends: $ROOT/recipes/eval-tiny_keep24.yaml" 'schema_version: 1' \
		'kind: eval_recipe' 'name: fast_eval' \
		'collector_overrides: {seq_lens_csv: "256", num_blocks: 4}' >"$TMP/recipes/fast-eval.yaml"
}

teardown() {
	[ -z "${S:-}" ] || {
		slurm_stop "$S"
		sleep 1
		rm -rf "$S"
	}
}

pipe() {
	make -s -C pipelines fast BIN="$TMP/bin" RECIPES="$TMP/recipes" THREADS=1 "$@"
}

# What two runs share to the byte: all records, all weights.
same() {
	for f in saliency scores plan base.eval pruned.eval; do
		diff -q <(reap-show "$1/fast/$f" | tail -n +2) <(reap-show "$2/fast/$f" | tail -n +2)
	done
	for f in "$1"/fast/model/*.safetensors; do
		cmp "$f" "$2/fast/model/$(basename "$f")"
	done
}

@test "an array of 4: a killed task is queued again, and the result is that of one process" {
	pipe OUT="$TMP/one" >/dev/null

	# Task 2 of the trace waits to be killed, once.
	rm "$TMP/bin/reap-route"
	cat >"$TMP/bin/reap-route" <<-END
		#!/bin/bash
		if [[ "\$*" == *"--shard 2/4"* ]] && [ ! -e "$TMP/victim" ]; then
			echo \$\$ >"$TMP/victim"
			exec sleep 600
		fi
		exec "$REAP_BIN/reap-route" "\$@"
	END
	chmod +x "$TMP/bin/reap-route"
	pipe OUT="$TMP/four" SHARDS=4 LAUNCHER=slurm >"$TMP/log" 2>&1 &
	make=$!
	for _ in $(seq 120); do
		[ ! -s "$TMP/victim" ] || break
		sleep 0.5
	done
	kill -9 "$(cat "$TMP/victim")"
	# Slurm gives a requeued task a start time two minutes on: do not wait for it.
	# But the start must lie in a later second than the end of the first one: slurmd
	# takes a credential that is no newer for the one that was revoked then, and
	# fails the task ("already killed, do not launch batch job").
	again=''
	for _ in $(seq 120); do
		again=$(squeue -h -t PD -o '%i %r' | awk '$2 == "BeginTime" { print $1 }')
		[ -z "$again" ] || break
		sleep 0.5
	done
	[[ $again == *_2 ]]
	scontrol update jobid="$again" starttime=now+2
	wait "$make" || { cat "$TMP/log"; find "$TMP/four" -name '*.log' -exec cat {} +; return 1; }

	[ -n "$(find "$TMP/four/.cache" -name 4of4)" ]
	[ -z "$(find "$TMP/four" -name '*.log' -o -name '*.part*')" ]
	same "$TMP/one" "$TMP/four"
}

@test "a task that fails is said with its log, and leaves no file" {
	rm "$TMP/bin/reap-route"
	cat >"$TMP/bin/reap-route" <<-END
		#!/bin/bash
		[[ "\$1" != --d* && "\$*" != *--version ]] || exec "$REAP_BIN/reap-route" "\$@"
		echo broken >&2
		exit 1
	END
	chmod +x "$TMP/bin/reap-route"
	run pipe OUT="$TMP/out" SHARDS=2 LAUNCHER=slurm
	[ "$status" -eq 2 ]
	[[ "$output" == *"a task of the array failed: see $TMP/out/.cache/"*".log"* ]]
	grep -rq --include='*.log' broken "$TMP/out/.cache"
	[ -z "$(find "$TMP/out" -name '*of2')" ]
	[ ! -e "$TMP/out/fast/saliency" ]
}
