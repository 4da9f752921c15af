#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Every kind of recipe of the catalogue, whole, on the embedded model; and one of
# the catalogue itself on a stand-in.
load ../helpers

setup() {
	export TMP=$BATS_TEST_TMPDIR
	O=$BATS_FILE_TMPDIR/out
}

pipe() {
	make -s -C pipelines OUT="$O" "$@" 2>&1
}

zeros() {
	jq -e '[.rows[] | .d_ppl, .d_cc, .d_mean_p, .js2d, .d_nll] | all(. == 0)' "$1"
}

@test "keep 24: a verdict with intervals, a model ready to publish" {
	pipe tiny-keep24 | grep -E '^(PASS|UNDECIDED) ' >/dev/null
	jq -e '.rows[] | select(.pack == "UNION") | .d_nll_ci | length == 2' "$O/tiny-keep24/verdict.json"
	(cd "$O/tiny-keep24/model" && sha256sum --quiet -c SHA256SUMS)
}

@test "keep 20" {
	pipe tiny-keep20 | grep -E '^(PASS|UNDECIDED|FAIL) ' >/dev/null
}

@test "noise and noop: exact zeros, PASS" {
	pipe tiny-noise | grep '^PASS ' >/dev/null
	zeros "$O/tiny-noise/verdict.json"
	pipe tiny-noop | grep '^PASS ' >/dev/null
	zeros "$O/tiny-noop/verdict.json"
}

@test "long sequences at one token budget, extreme contexts" {
	pipe tiny-longseq
	[ "$(grep -c '^## seq' "$O/tiny-longseq/summary.md")" -eq 3 ]
	for l in 4096 8192 16384; do
		jq -e --argjson l "$l" '[.rows[] | select(.seq_len == $l and .tokens == 16384)] | length == 4' \
			"$O/tiny-longseq/seq$l"_*/verdict.json
	done
	pipe tiny-extreme
	[ -s "$O/tiny-extreme/summary.md" ]
}

@test "one model; the cost probe" {
	pipe tiny-single | grep UNION >/dev/null
	pipe tiny-single-longseq
	[ -s "$O/tiny-single-longseq/summary.md" ]
	pipe tiny-costprobe | grep '^full bytes_read ' >/dev/null
}

@test "every size measured: more experts, less loss" {
	pipe tiny-sweep
	for n in 8 12 16 20 24 28; do
		jq -r '.rows[] | select(.pack == "UNION") | .d_nll' "$O/tiny-sweep/cells/eaft_sum-keep$n/verdict.json"
	done | sort -rg -c
}

@test "20b-keep24 with all its figures, on a stand-in with the layers and experts of 20B" {
	local models=$TMP/models packs=$TMP/packs/radna0/harmony-qwen3-calib-packs-v2-20260113
	mkdir -p "$models/openai" "$packs/packs/reasoning_style_10k_v2" "$packs/packs/calib_prompt_10000_v2"
	"$REAP_BUILD/gen/random_checkpoint" --layers 24 --experts 32 --hidden 32 --inter 32 --heads 2 \
		--kv-heads 1 --head-dim 32 --vocab 2048 "$models/openai/gpt-oss-20b"
	cp "$MODEL"/tokenizer*.json "$models/openai/gpt-oss-20b"
	# 900 different rows a pack from 400.
	for p in reasoning_style:packs/reasoning_style_10k_v2/reasoning_style_10k_v2 \
		tool_agentic:tool_agentic_10k_v6 calib_prompt:packs/calib_prompt_10000_v2/calib_prompt_10000_v2; do
		for copy in 1 2 3; do
			jq -c --arg c "$copy" '{text: (.text + "<|start|>user<|message|>" + $c + "<|end|>")}' \
				"$PACKS/${p%%:*}.calib.jsonl"
		done | awk 'NR <= 900' >"$packs/${p#*:}.jsonl"
	done
	pipe 20b-keep24 MODELS="$models" PACKS="$TMP/packs"
	cd "$O/20b-keep24"
	[ "$(reap-show -t pack calib.tokens | jq -s 'map(.rows_seen) | add')" -eq 2000 ]
	[ "$(reap-show -t pack calib.tokens | jq -rs 'map(.split) | unique | join(",")')" = calib ]
	[ "$(jq .num_local_experts model/config.json)" -eq 24 ]
	jq -e '.variants.calib_union_keep24of32_k75_eaftreap' manifest_eaftreap_keepfrac.json
}
