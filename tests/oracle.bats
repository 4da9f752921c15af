#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# reap-route against an independent implementation in float64, whose numbers
# tests/oracle/make has frozen, with every backend at every kernel level that this
# processor has.
#
# f32: the same sets of experts for 99.9% of tokens and layers, and wherever the
# router's margin is above 1e-4 (single precision decides no closer race); log p
# within 1e-3, norms within 1e-4 of themselves.  Both leave a factor of 10 and
# more over what is seen, as other machines sum in other orders.
# bf16 and i16: rounding moves a token to another expert now and then, after which
# nothing can be compared number by number; so the rms difference of log p, over a
# thousand tokens, must be at most half of what the reference's own bf16 run shows on
# the same tokens.
# bf16x2: so few tokens are moved that a single one decides the rms.  So the median must be at
# most a fiftieth, and the 99th percentile at most half, of the rms that the reference's bf16 run
# shows.  Weights in FP8 are rounded to bf16 there, too, so the rule for bf16 holds for them.
# i8: at most what the reference's bf16 run shows, where experts are in MXFP4.  It is not tried
# with outliers.
# outliers_*: numbers that dwarf those beside them.  Whatever the arithmetic, median, 99th
# percentile and rms of the difference must be no larger than the reference's in bf16; in
# single precision, no larger than a tenth of them.
load helpers

GEN=$REAP_BUILD/gen/random_checkpoint
OUTLIERS=(outliers_residual outliers_norm outliers_norm_weights outliers_final_norm outliers_head
	outliers_keys outliers_queries_keys outliers_values outliers_many_values outliers_small_values outliers_block)

FAMILIES=(qwen3_moe qwen3_moe_free_gates glm4_moe glm4_moe_factor minimax_m2 minimax_m2_fp8)

setup_file() {
	local case args
	cd "$ROOT" || return 1
	for case in mxfp4 bf16 tiny_embeddings "${FAMILIES[@]}" "${OUTLIERS[@]}"; do
		args=$(jq -r .checkpoint "tests/oracle/$case.json")
		# shellcheck disable=SC2086 # the arguments are words
		"$GEN" $args "$BATS_FILE_TMPDIR/$case" || return 1
	done
	ln -s "$MODEL" "$BATS_FILE_TMPDIR/embedded"
	for case in mxfp4 bf16 tiny_embeddings embedded "${FAMILIES[@]}" "${OUTLIERS[@]}"; do
		jq '.blocks = [.sample.ids[] | {ids: ., keep: map(1)}]' "tests/oracle/$case.json" \
			>"$BATS_FILE_TMPDIR/$case.sample.json"
		tokens "$BATS_FILE_TMPDIR/$case.sample.json" >"$BATS_FILE_TMPDIR/$case.sample.tokens" ||
			return 1
		[[ $case == outliers_* ]] || tokens "tests/oracle/$case.json" >"$BATS_FILE_TMPDIR/$case.tokens" ||
			return 1
	done
}

# tokens JSON: its blocks as a token stream.
tokens() {
	jq -c '(.blocks | to_entries[] | {t: "block", pack: "p", seq_len: 0, index: .key,
			ids: .value.ids, keep: .value.keep, channel: (.value.ids | map(0))}),
		{t: "pack", pack: "p", seq_len: 0, blocks: (.blocks | length), blocks_sha256: "", rows_seen: 1,
			rows_read: 1, rows_kept: 1,
			skipped: {no_text: 0, bad: 0, other_part: 0, not_sampled: 0}, completions: 0, cut_off: 0,
			channels: {none: ([.blocks[].keep[]] | add),
				analysis: 0, commentary: 0, final: 0, tool_call: 0, other: 0},
			rows_sha256: ("0" * 64), tokens: ([.blocks[].ids[]] | length),
			kept: ([.blocks[].keep[]] | add), split: "all", tokenizer: "",
			sample_hash: "", prompt_sha256: ""}' "$1" | reap-show --encode tokens --no-history
}

# agreement CASE: the differences, as one JSON object.
agreement() {
	reap-route -q -m "$BATS_FILE_TMPDIR/$1" "$BATS_FILE_TMPDIR/$1.tokens" | reap-show |
		jq -s -c --slurpfile want "tests/oracle/$1.json" -f tests/oracle/agree.jq
}

# off CASE: how far, over the sample, log p is from the exact one, and what the
# reference's bf16 run shows there.
off() {
	reap-route -q -m "$BATS_FILE_TMPDIR/$1" "$BATS_FILE_TMPDIR/$1.sample.tokens" | reap-show |
		jq -s -c --slurpfile want "tests/oracle/$1.json" '$want[0].sample as $w |
			[.[] | select(.t == "outcome").logp] as $got |
			[range($got | length) as $b | range(1; $got[$b] | length) as $t |
				$got[$b][$t] - $w.logp[$b][$t] | fabs] | sort |
			{tokens: length, rms: (map(. * .) | add / length | sqrt),
				median: .[length / 2 | floor], p99: .[length * 99 / 100 | floor]} +
			($w | {hf_bf16_rms, hf_bf16_median, hf_bf16_p99})'
}

# check CASE: the agreement that the backend in use promises.
check() {
	local got share=0.1 most=0.5
	if [[ $1 == outliers_* ]]; then
		! reap-route -V | grep -E '\((bf16|bf16x2|i16)\)' >/dev/null || share=1
		got=$(off "$1") &&
			jq -e --argjson share $share '.tokens == 597 and
				.rms <= $share * .hf_bf16_rms and .median <= $share * .hf_bf16_median and
				.p99 <= $share * .hf_bf16_p99' <<<"$got" >/dev/null
	elif [[ $1 != *_fp8 ]] && reap-route -V | grep -F '(bf16x2)' >/dev/null; then
		got=$(off "$1") &&
			jq -e '.tokens == 1020 and .median <= 0.02 * .hf_bf16_rms and
				.p99 <= 0.5 * .hf_bf16_rms' <<<"$got" >/dev/null
	elif reap-route -V | grep -E '\((bf16|bf16x2|i16|i8)\)' >/dev/null; then
		! reap-route -V | grep -F '(i8)' >/dev/null || most=1
		got=$(off "$1") &&
			jq -e --argjson most $most '.tokens == 1020 and .rms <= $most * .hf_bf16_rms' \
				<<<"$got" >/dev/null
	else
		got=$(agreement "$1") &&
			jq -e '.same_sets >= 0.999 * .sets and .wrong_beyond_margin == 0 and
				.norm <= 1e-4 and .gate <= 1e-4 and .logp <= 1e-3 and
				.entropy <= 1e-3 and .top1_differs == 0' <<<"$got" >/dev/null
	fi || { echo "$1: $(reap-route -V | tail -n 1): $got"; return 1; }
}

# everywhere CASE: with every backend at every level.
everywhere() {
	local cpu gemm all checked=0
	unset REAP_CPU REAP_GEMM # with those of the last case there might be no list
	all=$(reap-route -vV | sed -n 's/^gemm backends (REAP_GEMM): //p' | sed 's/ ([^)]*)//g; s/,//g')
	for cpu in scalar avx2 avxvnni avx512 amx; do
		for gemm in $all; do
			export REAP_CPU=$cpu REAP_GEMM=$gemm
			# What this machine lacks is refused before anything is read.
			reap-route -V | grep "^gemm: $gemm" >/dev/null || continue
			# In these, the kernels of every level give the same bits (tests/unit).
			[[ $1 != outliers_* || $gemm != @(f32|openblas) || $cpu == @(scalar|avx2) ]] || continue
			[[ $gemm != i8 || $1 == @(mxfp4|tiny_embeddings|embedded) ]] || continue
			check "$1" || return 1
			checked=$((checked + 1))
		done
	done
	[ "$checked" -ge 2 ] # f32 and openblas are on any machine
}

@test "MXFP4 experts" {
	everywhere mxfp4
}

@test "BF16 experts, an odd vocabulary" {
	everywhere bf16
}

@test "embeddings so small that the epsilon of the norm counts" {
	everywhere tiny_embeddings
}

@test "qwen3_moe" {
	everywhere qwen3_moe
	everywhere qwen3_moe_free_gates
}

@test "glm4_moe" {
	everywhere glm4_moe
	everywhere glm4_moe_factor
}

@test "minimax_m2" {
	everywhere minimax_m2
	everywhere minimax_m2_fp8
}

@test "the embedded model" {
	everywhere embedded
}

@test "outliers" {
	local case
	for case in "${OUTLIERS[@]}"; do
		everywhere "$case" || return 1
	done
}

# on_host_gpu FORMS CASE...: by the kernels of a GPU, which the host runs; the form "own" is the one
# that it picks by itself.
on_host_gpu() {
	local case
	export REAP_DEVICE=cuda REAP_CUDA=$HOST_GPU
	for REAP_GEMM in $1; do
		export REAP_GEMM=${REAP_GEMM#own}
		for case in "${@:2}"; do
			check "$case" || return 1
		done
	done
}

@test "a GPU's kernels" {
	on_host_gpu f32 mxfp4 bf16 tiny_embeddings embedded "${FAMILIES[@]}"
	# Epsilon and router are in single precision whatever the form.
	on_host_gpu own mxfp4 bf16 embedded qwen3_moe glm4_moe minimax_m2 minimax_m2_fp8
	on_host_gpu bf16x2 mxfp4 minimax_m2_fp8
}

@test "a GPU's kernels: outliers" {
	on_host_gpu own outliers_{residual,norm_weights,head,queries_keys,many_values,block}
}

@test "the comparison notices a wrong number" {
	REAP_GEMM=openblas agreement mxfp4 >"$TMP/good"
	jq '.routes[1].norms[3][1] *= 1.01 | .outcomes[0].logp[5] -= 0.01 |
		.routes[2].experts[0][0] = (.routes[2].experts[0][0] + 1) % 8' tests/oracle/mxfp4.json >"$TMP/wrong.json"
	REAP_GEMM=openblas reap-route -q -m "$BATS_FILE_TMPDIR/mxfp4" "$BATS_FILE_TMPDIR/mxfp4.tokens" |
		reap-show | jq -s --slurpfile want "$TMP/wrong.json" -f tests/oracle/agree.jq >"$TMP/bad"
	jq -e '.norm > 1e-3 and .logp > 1e-3 and .same_sets < .sets' "$TMP/bad"
	jq -e '.norm < 1e-4 and .logp < 1e-3 and .same_sets == .sets' "$TMP/good"
}
