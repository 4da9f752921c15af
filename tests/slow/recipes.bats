#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What recipes of the catalogue do with all their figures: long sequences, on the embedded model;
# prunings of others, on stand-ins.  tests/slow/first_time.bats has tiny-keep24 and tiny-sweep.
load ../helpers

setup() {
	export TMP=$BATS_TEST_TMPDIR
	O=$BATS_FILE_TMPDIR/out
}

pipe() {
	make -s -C pipelines OUT="$O" "$@" 2>&1
}

@test "long sequences at one token budget, extreme contexts" {
	# Of one pack, which is all there is: the square of such a length is what takes the time.
	for name in longseq extreme; do
		printf '%s\n' "extends: eval-tiny_$name.yaml" "target: $name" 'calib_packs: {pack_files: [UNION=calib_prompt.eval.jsonl], derived_union_name: ""}' >"$TMP/$name.yaml"
		pipe $name RECIPES="$TMP"
	done
	[ "$(grep -c '^## seq' "$O/longseq/summary.md")" -eq 3 ]
	for l in 4096 8192 16384; do
		jq -e --argjson l "$l" '[.rows[] | select(.seq_len == $l and .tokens == 16384) | .pack] == ["UNION"]' \
			"$O/longseq/seq$l"_*/verdict.json
	done
	jq -e '[.rows[].seq_len] == [24576]' "$O"/extreme/ctx24576_blocks1/verdict.json
	[ -s "$O/extreme/summary.md" ]
}

@test "20b-keep24 with all its figures, on a stand-in with the experts of 20B" {
	local models=$TMP/models packs=$TMP/packs/radna0/harmony-qwen3-calib-packs-v2-20260113
	mkdir -p "$models/openai" "$packs/packs/reasoning_style_10k_v2" "$packs/packs/calib_prompt_10000_v2"
	"$REAP_BUILD/gen/random_checkpoint" --layers 4 --experts 32 --hidden 32 --inter 32 --heads 2 \
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

@test "the prunings by REAP with all their figures, on stand-ins with their numbers of experts" {
	local packs=$TMP/packs/open-r1/Mixture-of-Thoughts target model arch experts keep pack
	export PATH=$REAP_BIN:/usr/bin:$PATH # for a python3 that has Debian's jinja2
	mkdir -p "$packs"/{code,math,science}
	for pack in code math science; do
		seq 1300 | jq -c --arg p $pack '{messages: [{role: "user", content: "\($p) \(.)"},
			{role: "assistant", content: "<think>\nit is \(.)\n</think>\n\n\($p) \(. * 7)"}]}' >"$packs/$pack/train.jsonl"
	done
	while read -r target model arch experts keep; do
		mkdir -p "$TMP/models/${model%/*}"
		tests/gen/family "$arch" "$TMP/models/$model" --experts "$experts" --top-k 8 --layers 2 --hidden 32 --inter 32
		pipe "plan-$target" MODELS="$TMP/models" PACKS="$TMP/packs" | tee "$TMP/plan"
		grep -qE '^  [0-9,]+ tokens, .* of memory, .* of disk$|: is there$' "$TMP/plan"
		pipe "$target" MODELS="$TMP/models" PACKS="$TMP/packs"
		[ "$(reap-show -t block "$O/$target/calib.tokens" | wc -l)" -eq 1024 ]
		[ "$(reap-report -m "$O/$target/model" | jq '.gained.experts[1]')" -eq "$keep" ]
		[ "$(reap-show "$O/$target/scores" | jq -rn 'first(inputs | .method // empty)')" = reap ]
		pipe -n "eval-$target" MODELS="$TMP/models" PACKS="$TMP/packs" >"$TMP/shown"
		grep -q 'reap-gate --gates .*near_lossless_gates.json' "$TMP/shown"
	done <<-END
		qwen3-30b-keep96 Qwen/Qwen3-30B-A3B qwen3_moe 128 96
		qwen3-30b-keep64 Qwen/Qwen3-30B-A3B qwen3_moe 128 64
		qwen3-coder-30b-keep64 Qwen/Qwen3-Coder-30B-A3B-Instruct qwen3_moe 128 64
		glm-4-5-air-keep96 zai-org/GLM-4.5-Air glm4_moe 128 96
		minimax-m2-keep192 MiniMaxAI/MiniMax-M2 minimax_m2 256 192
	END
}
