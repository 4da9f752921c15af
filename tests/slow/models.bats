#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# recipes/models.tsv against models of the true shapes, whose weights are holes in their files.
load ../helpers

# shape MODEL: what random_checkpoint makes it with.
shape() {
	case $1 in
	*/gpt-oss-20b) echo --preset 20b ;;
	*/gpt-oss-120b) echo --preset 120b ;;
	Qwen/*-30B-A3B*) echo --arch qwen3_moe --layers 48 --hidden 2048 --inter 768 --experts 128 --top-k 8 --heads 32 \
		--kv-heads 4 --head-dim 128 --vocab 151936 --context 40960 --shards 16 ;;
	*/GLM-4.5-Air) echo --arch glm4_moe --layers 46 --hidden 4096 --inter 1408 --experts 128 --top-k 8 --heads 96 \
		--kv-heads 8 --head-dim 128 --vocab 151552 --context 131072 --dense 1 --dense-inter 10944 --shared 1 --ahead 1 \
		--biases 1 --qk-norm 0 --shards 47 ;;
	*/MiniMax-M2) echo --arch minimax_m2 --layers 62 --hidden 3072 --inter 1536 --experts 256 --top-k 8 --heads 48 \
		--kv-heads 8 --head-dim 128 --vocab 200064 --context 196608 --rotary 0.5 --format fp8 --shards 125 ;;
	esac
}

# near NAME FIGURE TRUE SHARE
near() {
	awk -v a="$2" -v b="$3" -v share="$4" 'BEGIN { exit !(a > b * (1 - share) && a < b * (1 + share)) }' || {
		echo "$1: $2, but it is $3"
		return 1
	}
}

@test "models.tsv says what models of these shapes take" {
	local model experts all of_experts gflop trace memory blocks bytes fewer bad=0 n=0
	# The size of a trace is told from few tokens, memory only from a chunk.
	for blocks in 8 1; do
		jq -cn --argjson n $blocks 'range($n) as $b | {input_ids: [range(256 * $n) | (. * 17 + $b * 91) % 100000]}' |
			reap-tokenize -q --rows >"$TMP/tokens$blocks" 2>/dev/null
	done
	while IFS=$'\t' read -r model experts all of_experts gflop trace memory; do
		[[ $model != \#* ]] || continue
		n=$((n + 1))
		# shellcheck disable=SC2046 # words
		"$REAP_BUILD/gen/random_checkpoint" $(shape "$model") --sparse "$TMP/m"
		reap-route -q --dry-run --json --no-outcome --threads 1 -m "$TMP/m" "$TMP/tokens1" >"$TMP/route"
		reap-ppl -q --dry-run --json --memory 2500M --threads 1 -m "$TMP/m" "$TMP/tokens8" >"$TMP/ppl"
		bytes=$(stat -c %s "$TMP"/m/*.safetensors | jq -s add)
		fewer=$(reap-rewrite -q --dry-run --json --force --first $((experts / 2)) -m "$TMP/m" | jq .bytes)
		[ "$(reap-cut --check -m "$TMP/m" --keep-frac 1)" -eq "$experts" ] || bad=1
		near "$model: size" "$all" "$(jq -n "$bytes / 1e9")" 0.01 || bad=1
		near "$model: experts" "$of_experts" "$(jq -n "2 * ($bytes - $fewer) / 1e9")" 0.01 || bad=1
		near "$model: GFLOP a token" "$gflop" "$(jq '.total / .tokens' "$TMP/ppl")" 0.05 || bad=1
		near "$model: trace" "$trace" "$(jq '.disk / .tokens / 1e3' "$TMP/route")" 0.05 || bad=1
		jq -e --argjson gib "$memory" '.memory <= $gib * pow(2; 30)' "$TMP/ppl" >/dev/null || { jq .memory "$TMP/ppl"; bad=1; }
		rm -r "$TMP/m"
	done <recipes/models.tsv
	[ "$n" -ge 4 ]
	[ "$bad" -eq 0 ]
}
