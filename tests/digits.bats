#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# A number that contradicts others of its stream is noticed.  Only numbers from which nothing else
# in the file follows are allowed to change.
load helpers

gen() { "$REAP_BUILD/gen/trace" 2 4 2 12 3 "$@"; }
digits() { python3 tests/digits.py "$@"; }

@test "trace" {
	gen >"$TMP/s"
	digits trace "$TMP/s" "route.norms route.outliers outcome.logp outcome.entropy outcome.top1 outcome.outliers source.blocks" reap-accum -q
}

@test "saliency" {
	gen | reap-accum -q --by-pack >"$TMP/s"
	digits saliency "$TMP/s" "thresholds.cc_quantile thresholds.uncertain_quantile thresholds.p_lo
		thresholds.h_lo thresholds.h_hi source.blocks" reap-rank
}

@test "scores" {
	gen | reap-accum -q | reap-rank >"$TMP/s"
	digits scores "$TMP/s" "layer.max_n layer.sum_gn2 meta.sources.blocks
		meta.thresholds.cc_quantile meta.thresholds.uncertain_quantile meta.thresholds.p_lo
		meta.thresholds.h_lo meta.thresholds.h_hi" reap-cut --keep-n 4
}

@test "plan" {
	reap-tokenize -m "$MODEL" --rows --max-len 64 --sample 4 "$PACKS"/*.calib.jsonl |
		reap-route -q -m "$MODEL" | reap-accum -q | reap-rank | reap-cut --keep-frac 0.6 >"$TMP/s"
	digits plan "$TMP/s" "layer.keep layer.kept_mass" reap-rewrite -q -m "$MODEL" --dry-run
}

@test "eval" {
	local meta="meta.entropy_topk meta.logp_min meta.logp_max metrics.rows_seen"
	"$REAP_BUILD/gen/make_eval" --blocks 3 --seq-lens 32 --bins 4x4 >"$TMP/s"
	digits eval "$TMP/s" "$meta tokens.best tokens.block tokens.channel tokens.ids" reap-ppl --merge
	"$REAP_BUILD/gen/make_eval" --blocks 3 --seq-lens 32 --bins 4x4 --no-tokens >"$TMP/s"
	digits eval "$TMP/s" "$meta metrics.outliers" reap-ppl --merge
}

@test "tokens" {
	reap-tokenize -m "$MODEL" --seq-len 16 --blocks 2 --keep all "$PACKS/calib_prompt.eval.jsonl" >"$TMP/s"
	digits tokens "$TMP/s" "pack.completions pack.cut_off" reap-ppl -q -m "$MODEL"
}
