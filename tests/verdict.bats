#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# From rows to verdict on the embedded model: what the gate must say of models
# whose worth is known.
load helpers

tokens() {
	reap-tokenize -m "$MODEL" --seq-len 128 --blocks "$1" --keep assistant --union UNION \
		"$PACKS"/{calib_prompt,reasoning_style,tool_agentic}.eval.jsonl
}

# Coarse bins: for so few tokens the usual ones show noise only.
ppl() {
	reap-ppl -q --no-history --bins 20x15 -m "$1" "$2"
}

setup_file() {
	export W=$BATS_FILE_TMPDIR
	reap-tokenize -m "$MODEL" --rows --max-len 512 --sample 120 "$PACKS"/*.calib.jsonl |
		reap-route -q -m "$MODEL" | reap-accum -q | reap-rank >"$W/scores"
	reap-cut --keep-n 24 --reverse "$W/scores" | reap-rewrite -q -m "$MODEL" -o "$W/reversed" >/dev/null
	reap-cut --keep-n 32 "$W/scores" | reap-rewrite -q -m "$MODEL" -o "$W/all" >/dev/null
	tokens 24 >"$W/tokens"
	ppl "$MODEL" "$W/tokens" >"$W/base.eval"
}

gate() {
	run reap-gate -g recipes/near_lossless_gates.json "$@"
}

zeros() {
	jq -e '.verdict == "PASS" and (.rows | all(.identical and .js2d == 0 and .top1_agreement == 1 and
		([.d_ppl, .d_cc, .d_mean_p, .d_nll, .d_ppl_ci[], .d_nll_ci[]] | all(. == 0))))' "$1"
}

@test "base against base: exact zeros and PASS" {
	ppl "$MODEL" "$W/tokens" >"$TMP/again"
	gate -j "$TMP/j" "$W/base.eval" "$TMP/again"
	[ "$status" -eq 0 ]
	zeros "$TMP/j"
}

@test "rewritten with all experts: exact zeros and PASS" {
	ppl "$W/all" "$W/tokens" >"$TMP/all"
	gate -j "$TMP/j" "$W/base.eval" "$TMP/all"
	[ "$status" -eq 0 ]
	zeros "$TMP/j"
}

# The other limits are widened: this is about the interval of dPPL.
@test "28 experts on few tokens: UNDECIDED; on as many more as it asks for: decided" {
	jq '.thresholds += {max_js2d: 0.5, max_abs_delta_cc_rate: 0.05}' \
		recipes/near_lossless_gates.json >"$TMP/gates"
	reap-cut --keep-n 28 "$W/scores" | reap-rewrite -q -m "$MODEL" -o "$TMP/kept" >/dev/null
	ppl "$TMP/kept" "$W/tokens" >"$TMP/pruned"
	run reap-gate -g "$TMP/gates" -j "$TMP/j" "$W/base.eval" "$TMP/pruned"
	[ "$status" -eq 4 ]
	[[ "${lines[0]}" == UNDECIDED* ]]
	jq -e '.rows | all(.d_nll_ci[0] < .d_nll and .d_nll < .d_nll_ci[1])' "$TMP/j"
	more=$(jq '[.checks[].more_blocks] | max' "$TMP/j")
	[ "$more" -gt 0 ]
	tokens $((24 + more)) >"$TMP/tokens"
	ppl "$MODEL" "$TMP/tokens" >"$TMP/base"
	ppl "$TMP/kept" "$TMP/tokens" >"$TMP/pruned"
	run reap-gate -g "$TMP/gates" "$TMP/base" "$TMP/pruned"
	[[ "${lines[0]}" == PASS* || "${lines[0]}" == FAIL* ]]
}

@test "the wrong experts dropped: FAIL, exit 4" {
	ppl "$W/reversed" "$W/tokens" >"$TMP/reversed"
	gate "$W/base.eval" "$TMP/reversed"
	[ "$status" -eq 4 ]
	[[ "${lines[0]}" == FAIL* ]]
}

@test "evals of different tokens are no pair" {
	tokens 11 >"$TMP/tokens"
	ppl "$MODEL" "$TMP/tokens" >"$TMP/kept"
	fails 1 "" reap-gate -g recipes/near_lossless_gates.json "$W/base.eval" "$TMP/kept"
}
