#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The engine of a GPU.  Here its kernels are compiled for the host (lib/cuda/port.h); a device is
# tested by tests/gpu/run.  Their numbers are compared in tests/oracle.bats.
load helpers
export REAP_CUDA=$HOST_GPU REAP_DEVICE=cuda

GEN=$REAP_BUILD/gen/random_checkpoint
FAMILIES=(gpt_oss qwen3_moe glm4_moe minimax_m2 minimax_m2_fp8)

setup_file() {
	local f
	cd "$ROOT" || return 1
	for f in "${FAMILIES[@]}"; do
		# shellcheck disable=SC2046 # the arguments are words
		case $f in
		minimax_m2_fp8) "$GEN" $(jq -r .checkpoint tests/oracle/$f.json) "$BATS_FILE_TMPDIR/$f" ;;
		*) "$GEN" --arch "$f" --shards 2 --experts 12 --top-k 3 --layers 3 --context 256 "$BATS_FILE_TMPDIR/$f" ;;
		esac || return 1
	done
	jq -cn '[range(0; 40) | {input_ids: [range(. * 7; . * 7 + 20) | . % 257]}][]' >"$BATS_FILE_TMPDIR/rows.jsonl"
	# Each block passes attention in two tiles of keys.
	reap-tokenize -q -l 80 -b 3 --eos 1 "$BATS_FILE_TMPDIR/rows.jsonl" >"$BATS_FILE_TMPDIR/tokens"
	reap-tokenize -q -l 240 -b 1 --eos 1 "$BATS_FILE_TMPDIR/rows.jsonl" >"$BATS_FILE_TMPDIR/long"
	export TOKENS=$BATS_FILE_TMPDIR/tokens
	for f in "${FAMILIES[@]}"; do
		route "$f" >"$BATS_FILE_TMPDIR/$f.trace" || return 1
	done
}

# route FAMILY [OPTION...]: the trace of the tokens.
route() {
	reap-route -q --no-history -m "$BATS_FILE_TMPDIR/$1" "${@:2}" "$TOKENS"
}

@test "the same bytes with one lane and with many" {
	local f
	for f in "${FAMILIES[@]}"; do
		route "$f" --shard 1/3 >"$TMP/one"
		REAP_HOST_LANES=3 route "$f" --shard 1/3 | cmp - "$TMP/one" || { echo "$f: 3 lanes"; return 1; }
	done
	REAP_HOST_LANES=64 route "$f" --shard 1/3 | cmp - "$TMP/one"
}

# least_device_memory FAMILY: bytes of the device that are just enough for a block.
least_device_memory() {
	local low=0 high=67108864 middle
	while [ $((high - low)) -gt 262144 ]; do
		middle=$(((low + high) / 2))
		if route "$1" --shard 1/3 --device-memory $middle >/dev/null 2>&1; then high=$middle; else low=$middle; fi
	done
	echo $high
}

@test "the same records whatever chunk, threads and other blocks" {
	local f all least
	for f in gpt_oss minimax_m2_fp8; do
		all=$BATS_FILE_TMPDIR/$f.trace
		least=$(least_device_memory "$f")
		# The chunk is smaller than all blocks together.
		fails 2 "block 0: 240 tokens do not fit a chunk of" \
			reap-route -q -m "$BATS_FILE_TMPDIR/$f" --device-memory "$least" "$BATS_FILE_TMPDIR/long"
		route "$f" --threads 3 --device-memory "$least" | cmp - "$all"
		reap-show "$all" | jq -c 'select(.block == 2)' >"$TMP/third"
		[ -s "$TMP/third" ]
		route "$f" --shard 3/3 | reap-show | jq -c 'select(.block == 2)' | cmp - "$TMP/third"
		# Routes do not depend on whether outcomes are asked for, nor on how many layers are run.
		reap-show "$all" | jq -c 'select(.t == "route" and .layer == 1)' >"$TMP/second"
		route "$f" --layers 1 --no-outcome | reap-show | jq -c 'select(.t == "route")' | cmp - "$TMP/second"
	done
}

# kept SCORES N: which experts stay.
kept() {
	reap-cut -q --multiple-of 1 --keep-n "$2" "$1" | reap-show | jq -c 'select(.t == "layer").keep'
}

@test "in single precision the same experts stay as on the processor" {
	local f n device
	export REAP_GEMM=f32
	for f in gpt_oss qwen3_moe glm4_moe minimax_m2; do
		for device in cuda cpu; do
			REAP_DEVICE=$device route $f | reap-accum -q | reap-rank -q >"$TMP/$device"
		done
		for n in 9 8 6; do
			kept "$TMP/cuda" $n >"$TMP/here"
			[ -s "$TMP/here" ]
			kept "$TMP/cpu" $n | cmp - "$TMP/here"
		done
	done
}

# ppl FAMILY: its perplexity.
ppl() {
	reap-ppl -q -m "$BATS_FILE_TMPDIR/$1" "$TOKENS" | reap-show | jq 'select(.t == "metrics").ppl'
}

@test "in single precision the perplexity is that of the processor" {
	local f
	export REAP_GEMM=f32
	for f in gpt_oss glm4_moe; do
		jq -n -e --argjson here "$(ppl $f)" --argjson there "$(REAP_DEVICE=cpu ppl $f)" \
			'$here > 1 and ($here / $there - 1 | fabs) < 1e-4'
	done
}

@test "the device is named, and auto finds it" {
	reap-route -V | grep -qx 'gemm: loops (bf16); kernels: host'
	REAP_GEMM=f32 reap-ppl --device cuda:0 -V | grep -qx 'gemm: loops (f32); kernels: host'
	reap-route -vV | grep -qx 'device: cuda:0: this processor, for tests, 1024 MiB, of which 1024 MiB are free'
	reap-route --device auto -V | grep -q 'kernels: host$'
	[[ "$(reap-route --device cpu -V | tail -n 1)" != *"kernels: host" ]]
	[[ "$(REAP_CUDA=$TMP/none reap-route --device auto -V | tail -n 1)" != *"kernels: host" ]]
	jq -e -s '.[0].backend == "gemm: loops (bf16); kernels: host"' < <(reap-show "$BATS_FILE_TMPDIR/gpt_oss.trace")
	REAP_DEVICE=cpu route gpt_oss --device cuda | reap-show | jq -e -s '.[0].backend == "gemm: loops (bf16); kernels: host"'
	# What must not be rounded is not.
	jq -e -s '.[0].backend == "gemm: loops (bf16x2); kernels: host"' < <(reap-show "$BATS_FILE_TMPDIR/minimax_m2_fp8.trace")
	route glm4_moe --dry-run | grep -q '^speed '
	reap-route -v -m "$BATS_FILE_TMPDIR/glm4_moe" --layers 1 --no-outcome "$TOKENS" 2>&1 >/dev/null |
		grep -Eq 'device: [0-9.]+ s, of which [0-9.]+ s in matrix products \([0-9.]+ MFLOP\); [0-9.]+ [KM]iB over the bus; [0-9.]+ MiB of its memory$'
}

@test "a device without bf16 multiplies in single precision" {
	export REAP_HOST_BF16=0
	reap-route -V | grep -qx 'gemm: loops (f32); kernels: host'
	route glm4_moe --layers 1 --no-outcome >"$TMP/here"
	REAP_HOST_BF16=1 REAP_GEMM=f32 route glm4_moe --layers 1 --no-outcome | cmp - "$TMP/here"
	REAP_GEMM=bf16 fails 2 "REAP_GEMM: bf16: this processor, for tests multiplies no bf16, only f32" \
		reap-route -m "$BATS_FILE_TMPDIR/glm4_moe" "$TOKENS"
}

@test "what cannot be done is said in a line" {
	local m=$BATS_FILE_TMPDIR/gpt_oss
	REAP_DEVICE=gpu fails 2 "REAP_DEVICE: gpu: not auto, cpu, cuda or cuda:N" reap-route -m "$m" "$TOKENS"
	fails 2 "--device: cuda:x: not auto" reap-route --device cuda:x -m "$m" "$TOKENS"
	fails 2 "cuda:1: there is 1 device" reap-route --device cuda:1 -m "$m" "$TOKENS"
	REAP_CUDA=$TMP/none fails 2 "cuda:0: $TMP/none: cannot open shared object file" reap-ppl -m "$m" "$TOKENS"
	REAP_CUDA=$REAP_BUILD/faults/inject.so fails 2 "reap-cuda.so is of another version of reap" reap-route -m "$m" "$TOKENS"
	fails 2 "MiB of the device, 0 MiB are allowed" reap-route --device-memory 100K -m "$m" "$TOKENS"
	fails 2 "cuda:0: memory: 2048 MiB are asked for, but only 1024 MiB are free" reap-route --device-memory 2Gi -m "$m" "$TOKENS"
	REAP_GEMM=i8 fails 2 "REAP_GEMM: i8: a GPU has f32, bf16 and bf16x2" reap-route -m "$m" "$TOKENS"
	cp -r "$BATS_FILE_TMPDIR/qwen3_moe" "$TMP/bad"
	tests/poke.py "$TMP/bad" model.layers.1.mlp.experts.5.up_proj.weight =00...
	fails 1 "expert 5: all zero" reap-route -q -m "$TMP/bad" "$TOKENS"
}

# goes_on DEVICE PART OLD NEW: resumed there, the trace has the whole blocks of PART, which are those
# of the trace OLD, and then those of NEW.
goes_on() {
	local blocks results='select(.t == "route" or .t == "outcome")'
	REAP_DEVICE=$1 reap-route --no-history -m "$BATS_FILE_TMPDIR/gpt_oss" --resume "$2" "$TOKENS" >"$TMP/both" 2>"$TMP/said"
	blocks=$(sed -n 's/.*took over \([0-9]*\) blocks$/\1/p' "$TMP/said")
	[ "$blocks" -ge 1 ]
	{ reap-show "$3" | jq -c "$results | select(.block < $blocks)"
		reap-show "$4" | jq -c "$results | select(.block >= $blocks)"; } | cmp - <(reap-show "$TMP/both" | jq -c "$results")
}

@test "a device that fails in the middle: one line, and the rest later, on the processor, too" {
	local gpu=$BATS_FILE_TMPDIR/gpt_oss.trace names
	REAP_HOST_FAILS=20 route gpt_oss --device-memory "$(least_device_memory gpt_oss)" >"$TMP/part" 2>"$TMP/said" && return 1
	[ "$(cat "$TMP/said")" = "reap-route: cuda:0: the device: gone, for a test" ]
	route gpt_oss --resume "$TMP/part" | cmp - "$gpu"
	REAP_DEVICE=cpu route gpt_oss >"$TMP/cpu"
	goes_on cpu "$TMP/part" "$gpu" "$TMP/cpu"
	names=$(both "$(reap-route -V | tail -n 1)" "$(REAP_DEVICE=cpu reap-route -V | tail -n 1)")
	[ "$(reap-show "$TMP/both" | jq -r '.backend | select(.)')" = "$names" ]
	reap-accum "$TMP/both" 2>&1 >/dev/null | grep -q 'different arithmetic'
	head -c $(($(stat -c %s "$TMP/cpu") * 2 / 3)) "$TMP/cpu" >"$TMP/part"
	goes_on cuda "$TMP/part" "$TMP/cpu" "$gpu"
	[ "$(reap-show "$TMP/both" | jq -r '.backend | select(.)')" = "$names" ]
}

@test "recipes: the commands for GPUs are ones that reap-run takes, at each place" {
	local place line words n=0
	reap-recipe --json recipes/eval-tiny_base.yaml >"$TMP/recipe"
	for place in local slurm modal kaggle; do
		line=$(jq -r --arg place $place '.execution[$place].gpu_commands[] | capture("(?<run>make -C [^ ]+ TARGET .*)").run' "$TMP/recipe")
		[[ $line == *" DEVICE=cuda"* ]]
		eval "words=(${line%"'\""})"
		[ "${words[3]}" = TARGET ]
		pipelines/reap-run -n tiny-keep24 "${words[@]:4}" OUT="$TMP/out" >"$TMP/said"
		grep -q '^reap-route .*--device cuda ' "$TMP/said" || [[ $line == *DEVICE=cuda:%* ]]
		n=$((n + 1))
	done
	[ $n -eq 4 ]
}

@test "whatever call of the device fails: one line" {
	local n failed=0
	# The first ones one by one, where it is opened; then some of every kind.
	for n in $(seq 20) $(seq 23 61 700) 1000000; do
		if REAP_HOST_FAULT=$n route glm4_moe --shard 1/3 --device-memory 8M >"$TMP/trace" 2>"$TMP/said"; then break; fi
		grep -qE '^reap-route: cuda:0: [a-z_ ]+: failed, for a test$' "$TMP/said"
		[ "$(wc -l <"$TMP/said")" -eq 1 ]
		run reap-show --summary "$TMP/trace"
		[ "$status" -eq 3 ]
		failed=$((failed + 1))
	done
	[ $failed -ge 25 ]
	route glm4_moe --shard 1/3 | cmp - "$TMP/trace"
}

@test "pipelines: Slurm is asked for GPUs, and each task uses its own" {
	mkdir "$TMP/bin" "$TMP/parts"
	printf '%s\n' '#!/bin/sh' 'printf "%s\n" "$@" >"$TMP/asked"' \
		'while [ "${1##*/}" != task ]; do shift; done' 'SLURM_ARRAY_TASK_ID=1 "$@" >&2 && echo 1' >"$TMP/bin/sbatch"
	chmod +x "$TMP/bin/sbatch"
	PATH=$TMP/bin:$PATH REAP_DEVICE=cpu SHARDS=1 LAUNCHER=slurm SBATCH="--gres=gpu:1 --mem=32G" pipelines/launch "$TMP/parts" \
		reap-route -q --device cuda -m "$BATS_FILE_TMPDIR/gpt_oss" --layers 1 --no-outcome "$TOKENS"
	grep -qx -- --gres=gpu:1 "$TMP/asked"
	[ "$(reap-show "$TMP/parts/1of1" | jq -r -s '.[0].backend')" = "$(reap-route -V | tail -n 1)" ]
}

@test "pipelines: DEVICE" {
	pipelines/reap-run -n tiny-keep24 DEVICE=cuda OUT="$TMP/out" >"$TMP/said"
	grep -q 'reap-route .*--device cuda ' "$TMP/said"
	grep -q 'reap-ppl .*--device cuda ' "$TMP/said"
	run pipelines/reap-run -n tiny-keep24 DEVICE=gpu OUT="$TMP/out"
	[ "$status" -eq 2 ]
	[[ "$output" == *"DEVICE=gpu: must be auto, cpu, cuda, cuda:N or cuda:%"* ]]
	run pipelines/reap-run -n tiny-keep24 DEVICE=cuda:% OUT="$TMP/out"
	[ "$status" -eq 2 ]
	command -v parallel >/dev/null || skip "parallel is not installed here"
	mkdir "$TMP/parts"
	REAP_DEVICE=cpu DEVICE=cuda:% SHARDS=2 LAUNCHER=parallel PARALLEL=-j1 pipelines/launch "$TMP/parts" \
		reap-route -q -m "$BATS_FILE_TMPDIR/gpt_oss" "$TOKENS"
	[ "$(reap-show "$TMP/parts/2of2" | jq -r -s '.[0].backend')" = "gemm: loops (bf16); kernels: host" ]
}
