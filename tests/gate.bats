#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# reap-gate: verdicts, reports and refusals, on made-up evals.
load helpers

GATES=recipes/near_lossless_gates.json

eval_of() {
	"$REAP_BUILD/gen/make_eval" "$@"
}

# A pair at one of the gate's own lengths.
pair() {
	eval_of --seq-lens 1024 --blocks 40 >"$TMP/base"
	eval_of --seq-lens 1024 --blocks 40 --id pruned "$@" >"$TMP/pruned"
}

gate() {
	run reap-gate --gates "$GATES" "$@"
}

@test "standard options" {
	standard_options reap-gate
}

@test "wrong usage is exit 2" {
	eval_of --blocks 2 >"$TMP/base"
	fails 2 "two evals" reap-gate --gates "$GATES" "$TMP/base"
	fails 2 "--rule: 'mean' is not min or max" reap-gate --gates "$GATES" --rule mean "$TMP/base" "$TMP/base"
	fails 2 "standard input" reap-gate --gates "$GATES" - -
}

@test "base against base: exact zeros and PASS" {
	pair
	gate "$TMP/base" "$TMP/base" --json "$TMP/j"
	[ "$status" -eq 0 ]
	[[ "${lines[0]}" == "PASS  base (base, 32 experts) against base (base, 32 experts) by near-lossless-v1" ]]
	jq -e '.rows[0] | .identical and ([.d_ppl, .d_cc, .d_mean_p, .js2d, .d_nll, .d_ppl_ci[],
		.d_nll_ci[], .d_mean_p_ci[], .d_cc_ci[], .d_cc_at_base] | all(. == 0)) and
		.top1_agreement == 1 and .worst_tokens == []' "$TMP/j"
}

@test "a model that lost much: FAIL, exit 4" {
	pair --shift 0.5 --noise 0.1
	gate "$TMP/base" "$TMP/pruned"
	[ "$status" -eq 4 ]
	[[ "${lines[0]}" == FAIL* ]]
}

# budget SHIFT VERDICT: ten blocks leave it open, what the gate asks for gives VERDICT.
budget() {
	local loss=(--shift "$1" --noise 0.1) more
	eval_of --seq-lens 1024 --blocks 10 >"$TMP/base"
	eval_of --seq-lens 1024 --blocks 10 "${loss[@]}" >"$TMP/pruned"
	gate "$TMP/base" "$TMP/pruned" --json "$TMP/j"
	[ "$status" -eq 4 ]
	[[ "${lines[0]}" == UNDECIDED* ]]
	[[ "$output" == *"more tokens ("*" blocks) should decide it"* ]]
	more=$(jq '[.checks[].more_blocks] | max' "$TMP/j")
	eval_of --seq-lens 1024 --blocks $((10 + more)) >"$TMP/base"
	eval_of --seq-lens 1024 --blocks $((10 + more)) "${loss[@]}" >"$TMP/pruned"
	gate "$TMP/base" "$TMP/pruned"
	[[ "${lines[0]}" == "$2"* ]]
}

@test "a small budget: UNDECIDED, exit 4, and the budget that it asks for decides" {
	budget 0.06 FAIL
	budget 0.005 PASS
}

# with_rows EVAL PROGRAM: the same blocks, made of these rows.
with_rows() {
	reap-show "$1" | jq -c "if .t == \"tokens\" then $2 else . end" | reap-show --encode eval
}

@test "units are documents: one over several blocks, several in one, one that comes twice" {
	pair --shift 0.02 --noise 0.1
	units() {
		with_rows "$TMP/base" "$1" >"$TMP/b"
		with_rows "$TMP/pruned" "$1" >"$TMP/p"
		gate "$TMP/b" "$TMP/p" --json "$TMP/j" --markdown "$TMP/md"
		echo "$output" >"$TMP/said"
		jq -c '.rows[0] | [.unit, .units, .d_nll_ci[1] - .d_nll]' "$TMP/j"
	}
	[[ "$(units .)" == '["block",40,'* ]]
	grep -q 'Their units are blocks' "$TMP/md"
	grep -q 'note: UNION 1024: the evals do not say which documents its blocks were made of' "$TMP/said"
	grep -q 'Note: UNION 1024: the evals do not say which documents' "$TMP/md"
	jq '.rows[0].d_nll_ci' "$TMP/j" >"$TMP/blocks"
	# Each block a document of its own: the same interval.
	[[ "$(units '.rows = [.block] | .starts = [0]')" == '["document",40,'* ]]
	jq '.rows[0].d_nll_ci' "$TMP/j" | diff "$TMP/blocks" -
	grep -q 'Their units are documents' "$TMP/md"
	run grep 'do not say which documents' "$TMP/said"
	[ "$status" -eq 1 ]
	grep -q 'tokens in 40 blocks of 40 documents' "$TMP/said"
	# Four blocks of one: ten units.
	[[ "$(units '.rows = [.block / 4 | floor] | .starts = [0]')" == '["document",10,'* ]]
	grep -q '10 documents are too few to pass, which takes 40' "$TMP/said"
	# Two in each block, the second goes on in the next; the last begins again with 0.
	[[ "$(units '.rows = [.block, .block + 1] | .starts = [0, 512]')" == '["document",41,'* ]]
	[[ "$(units '.rows = [.block, (.block + 1) % 40] | .starts = [0, 512]')" == '["document",40,'* ]]
}

# Blocks keep about 768 tokens: 40 are worth 39.98 of one size.
@test "units worth fewer than 40 of one size pass nothing, however little was lost" {
	loss=(--seq-lens 1024 --shift 0.0001 --noise 0)
	jq '.thresholds.max_js2d = 0.5' "$GATES" >"$TMP/gates"
	for n in 39 40; do
		eval_of --seq-lens 1024 --blocks $n >"$TMP/base"
		eval_of --blocks $n "${loss[@]}" >"$TMP/pruned"
		run reap-gate -g "$TMP/gates" "$TMP/base" "$TMP/pruned"
		[[ "${lines[0]}" == "$([ $n -eq 39 ] && echo UNDECIDED || echo PASS)"* ]]
	done
}

@test "looks: wider intervals, units of the look, and what was seen is said" {
	local l
	for l in 1 2 3 0; do
		eval_of --seq-lens 1024 --blocks 400 --look $l >"$TMP/base"
		eval_of --seq-lens 1024 --blocks 400 --look $l --id pruned --shift 0.02 --noise 0.1 >"$TMP/pruned"
		gate "$TMP/base" "$TMP/pruned" --json "$TMP/$l" --markdown "$TMP/$l.md"
		echo "$output" >"$TMP/$l.txt"
	done
	gate --last-look "$TMP/base" "$TMP/pruned" --json "$TMP/4" --markdown "$TMP/4.md"
	echo "$output" >"$TMP/4.txt"
	jq -e '.look == null' "$TMP/0"
	run grep -i look "$TMP/0.txt" "$TMP/0.md"
	[ "$status" -eq 1 ]
	grep -q '| 95% interval |' "$TMP/0.md"
	[ "$(jq -c '[.look.number, .look.of, .rows[0].units, (.look.level * 1e4 | round)]' "$TMP"/{1,2,3,4} | paste -sd' ')" = \
		"[1,4,50,9982] [2,4,100,9977] [3,4,200,9933] [4,4,400,9708]" ]
	jq -se 'map(.look.of_tokens) | unique | length == 1' "$TMP"/{1,2,3,4}
	jq -e '.look.tokens == .rows[0].left.kept_tokens and (.look.tokens / .look.of_tokens * 8 | . > 0.95 and . < 1.05)' "$TMP/1"
	jq -e '.look.tokens == .look.of_tokens' "$TMP/4"
	[ "$(sed -n 's/^\(look . of 4: \).*tokens, /\1/p' "$TMP"/{1,4}.txt | paste -sd' ')" = \
		"look 1 of 4: intervals of 99.82% look 4 of 4: intervals of 97.08%" ]
	grep -q '^At look 1 of 4: .* tokens, intervals of 99.82%.$' "$TMP/1.md"
	grep -q '| 99.82% interval |' "$TMP/1.md"
	# The same units, judged once and at the last look: the same values, a tenth wider.
	jq -se '.[0].checks[0].value == .[1].checks[0].value and
		([.[].rows[0] | .d_ppl_ci[1] - .d_ppl] | .[1] / .[0] | . > 1.11 and . < 1.15)' "$TMP/0" "$TMP/4"
}

@test "looks: too few units pass nothing yet; a pack of which nothing was scored is undecided" {
	loss=(--seq-lens 1024 --shift 0.0001 --noise 0)
	jq '.thresholds.max_js2d = 0.5' "$GATES" >"$TMP/gates"
	for l in 2 3; do
		eval_of --seq-lens 1024 --blocks 400 --look $l >"$TMP/base"
		eval_of --blocks 400 --look $l "${loss[@]}" >"$TMP/pruned"
		run reap-gate -g "$TMP/gates" "$TMP/base" "$TMP/pruned" --markdown "$TMP/md"
		[[ "${lines[0]}" == "$([ $l -eq 2 ] && echo UNDECIDED || echo PASS)"* ]]
		[ $l -eq 3 ] || [[ "$output" == *"note: UNION 1024: 100 blocks are too few to pass at this look, which takes 200"* ]]
		grep -q 'worth at least 200 of one size' "$TMP/md"
	done
	eval_of --seq-lens 1024,2048 --blocks 3 --look 1 >"$TMP/base"
	eval_of --seq-lens 1024,2048 --blocks 3 --look 1 --shift 0.5 >"$TMP/pruned"
	[ "$(reap-show -t tokens "$TMP/base" | jq .seq_len)" = 1024 ]
	gate "$TMP/base" "$TMP/pruned" --json "$TMP/j" --markdown "$TMP/md"
	[ "$status" -eq 4 ]
	[[ "${lines[0]}" == UNDECIDED* ]]
	[[ "$output" == *"UNION, length 2048: none of its tokens was scored yet"* ]]
	# No figures of what was not measured.
	[ "$(printf '%s\n' "${lines[@]}" | grep -c 'limit')" -eq 4 ]
	[ "$(grep -c '^| UNION | 2048 .*: none of its tokens was scored yet |$' "$TMP/md")" -eq 1 ]
	jq -e '.checks[-1] | .seq_len == 2048 and .verdict == "UNDECIDED" and .interval == null' "$TMP/j"
}

@test "looks: equality of the blocks seen is no PASS, since the others may differ" {
	eval_of --seq-lens 1024 --blocks 16 --look 1 >"$TMP/base"
	gate "$TMP/base" "$TMP/base"
	[ "$status" -eq 4 ]
	[[ "${lines[0]}" == UNDECIDED* ]]
	[[ "$output" == *"note: UNION 1024: 2 blocks are too few to pass at this look, which takes 200"* ]]
	eval_of --seq-lens 1024 --blocks 16 >"$TMP/base"
	gate --last-look "$TMP/base" "$TMP/base"
	[ "$status" -eq 0 ]
}

@test "looks of a pair: both the same, and with tokens" {
	eval_of --seq-lens 1024 --blocks 20 >"$TMP/base"
	eval_of --seq-lens 1024 --blocks 20 --look 3 >"$TMP/half"
	fails 1 "half: blocks: of look 3, but $TMP/base has all" reap-gate "$TMP/base" "$TMP/half"
	eval_of --seq-lens 1024 --blocks 20 --no-tokens >"$TMP/bare"
	fails 1 "half: blocks: of look 3, not all, so it is not the last look" reap-gate --last-look "$TMP/half" "$TMP/half"
	fails 1 "bare: holds no tokens" reap-gate --last-look "$TMP/bare" "$TMP/bare"
}

@test "an eval of no model is none" {
	eval_of | reap-show | sed '1s/"model":{[^}]*}/"model":null/' | reap-show --encode eval >"$TMP/none"
	eval_of >"$TMP/base"
	fails 3 "none: header: model: missing" reap-gate -g "$GATES" "$TMP/base" "$TMP/none"
	fails 3 "none: header: model: missing" reap-ppl --merge "$TMP/none"
}

@test "more blocks than their tokens, modulo 2^64" {
	eval_of | reap-show | sed '/"t":"metrics"/s/"blocks":40,/"blocks":288230376151711784,/' | reap-show --encode eval >"$TMP/huge"
	fails 3 "tokens: 2560, but 288230376151711784 blocks of 64" reap-ppl --merge "$TMP/huge"
}

@test "both gate rules: min and max of the absolute and the relative limit" {
	# ppl of the base is about 7: 5% of it is 0.35, the absolute limit 0.25
	pair
	gate "$TMP/base" "$TMP/base" --json "$TMP/j"
	jq -e '.gates.rule == "min" and .checks[0].limit == 0.25' "$TMP/j"
	gate "$TMP/base" "$TMP/base" --json "$TMP/j" --rule max
	jq -e '.gates.rule == "max" and .checks[0].limit == 0.05 * .rows[0].left.ppl' "$TMP/j"
	jq '.gate_rule = "max"' "$GATES" >"$TMP/gates"
	run reap-gate --gates "$TMP/gates" "$TMP/base" "$TMP/base" --json "$TMP/j"
	jq -e '.gates.rule == "max"' "$TMP/j"
}

# Give the metrics of an eval the perplexity and mean probability of a published report,
# and the sums from which these follow.
with_figures() {
	reap-show "$1" | jq -c --argjson p "$2" --argjson m "$3" '4503599627370496 as $part |
		def fix: floor as $whole | [$whole, ((. - $whole) * $part | floor)];
		def value: .[0] + .[1] / $part;
		if .t == "metrics" then .kept_tokens as $n |
			.sums[0] = ($p[.seq_len | tostring] | log * $n | fix) | .sums[2] = ($m * $n | fix) |
			.mean_nll = (.sums[0] | value) / $n | .ppl = (.mean_nll | exp) |
			.var_nll = ([0, (.sums[1] | value) / $n - .mean_nll * .mean_nll] | max) |
			.mean_prob = (.sums[2] | value) / $n
		else . end' | reap-show --encode eval --no-history
}

@test "the markdown begins like the original's, to the digit" {
	eval_of --packs UNION --seq-lens 2048,1024 --blocks 2 --no-tokens >"$TMP/e"
	with_figures "$TMP/e" '{"1024": 5.4492, "2048": 4.5138}' 0.46149 >"$TMP/base"
	with_figures "$TMP/e" '{"1024": 5.66164, "2048": 5.0538}' 0.45114 >"$TMP/pruned"
	gate "$TMP/base" "$TMP/pruned" --markdown "$TMP/md"
	[ "$status" -eq 4 ]
	gate "$TMP/base" "$TMP/pruned" --name $'mine\n\xff' --json "$TMP/named.json" --markdown "$TMP/named.md"
	[ "$(sed -n 4p "$TMP/named.md" | cut -c 1-16)" = '- Right: `mine?'$'\xff' ]
	[ "$(jq -r '.left.model, .right.model' "$TMP/named.json" | paste -sd ' ')" = $'base mine?\xef\xbf\xbd' ]
	diff - <(head -n 25 "$TMP/md") <<-'END'
	# EAFT parity summary (pair)

	- Left: `base`
	- Right: `base`
	- Gates: `near-lossless-v1` (`recipes/near_lossless_gates.json`)

	## Hero (UNION)

	- seq=1024: ΔPPL=+0.212 | ΔCC=+0.000pp | Δmean_p=-0.0104 | JS2D=0.0000
	- seq=2048: ΔPPL=+0.540 | ΔCC=+0.000pp | Δmean_p=-0.0104 | JS2D=0.0000

	## Gate Result: FAIL

	The original's, by the values alone; the verdict by intervals is below.

	- Rule: |ΔPPL|<=min(abs=0.25, rel=0.05) and |ΔCC|<=0.002 and |Δmean_p|<=0.02 and JS2D<=0.02
	- Failures:
	  - seq=2048 ppl_ok=False cc_ok=True mean_p_ok=True js_ok=True

	## Full Table (Right vs Left)

	| pack | seq | ppl_L | ppl_R | Δppl | cc_L | cc_R | Δcc (pp) | mean_p_L | mean_p_R | Δmean_p | JS2D |
	|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|
	| UNION | 1024 | 5.449 | 5.662 | +0.212 | 0.000 | 0.000 | +0.000 | 0.4615 | 0.4511 | -0.0104 | 0.0000 |
	| UNION | 2048 | 4.514 | 5.054 | +0.540 | 0.000 | 0.000 | +0.000 | 0.4615 | 0.4511 | -0.0104 | 0.0000 |
	END
}

@test "rows are sorted by pack and length, UNION first" {
	eval_of --packs tool,UNION,calib --seq-lens 2048,64 --blocks 2 >"$TMP/base"
	gate "$TMP/base" "$TMP/base" --markdown "$TMP/md"
	[ "$(sed -n '/## Full/,/## Verdict/s/^| \([a-zA-Z]*\) | \([0-9]*\) .*/\1 \2/p' "$TMP/md" | paste -sd,)" = \
		"UNION 64,UNION 2048,calib 64,calib 2048,tool 64,tool 2048" ]
}

@test "the markdown has names of packs as they are, whatever they mean" {
	eval_of --packs '<i>&"]: d,a|b,_x_y_,tool_agentic' --seq-lens 1024 --blocks 2 >"$TMP/base"
	gate "$TMP/base" "$TMP/base" --markdown "$TMP/md"
	grep '^| .*1024 ' "$TMP/md" | cut -d' ' -f 2-3 | sort -u | diff - <(LC_ALL=C printf '%s\n' '\<i\>\&"\]: d' '\_x_y\_ |' 'a\|b |' 'tool_agentic |' | sort)
	run grep -E '<i>|a\|b' "$TMP/md"
	[ "$status" -eq 1 ]
}

@test "without the gate's rows: judged on what there is, and said so" {
	eval_of --packs UNION --seq-lens 64 --blocks 9 >"$TMP/u"
	gate "$TMP/u" "$TMP/u" --markdown "$TMP/md"
	[ "$status" -eq 0 ]
	[[ "$output" == *"note: the gate is for UNION at 1024, 2048, which was not evaluated"* ]]
	! grep -q '^## Hero' "$TMP/md" || false # as the original, which judges nothing then
	eval_of --packs a,b --seq-lens 64 --blocks 9 >"$TMP/ab"
	gate "$TMP/ab" "$TMP/ab" --json "$TMP/j"
	[[ "$output" == *"judged on every pack"* ]]
	[ "$(jq '.checks | length' "$TMP/j")" -eq 8 ]
	eval_of --seq-lens 1024 --blocks 9 >"$TMP/one"
	gate "$TMP/one" "$TMP/one"
	[[ "$output" == *"note: UNION at 2048 was not evaluated: judged without it"* ]]
}

@test "every pack that is not held out is named" {
	eval_of --packs a,b --seq-lens 512,1024 --blocks 9 --split all >"$TMP/base"
	gate "$TMP/base" "$TMP/base"
	grep -q 'note: not known to be held out: a, b: made from all rows of their files' <<<"$output"
}

@test "a split that is not held out is named in verdict and report" {
	for split in calib all; do
		eval_of --seq-lens 1024 --blocks 9 --split $split >"$TMP/base"
		gate "$TMP/base" "$TMP/base" --markdown "$TMP/md"
		grep -qi 'note: not .*held out' <<<"$output"
		grep -qi 'note: not .*held out' "$TMP/md"
	done
	pair
	gate "$TMP/base" "$TMP/base"
	! grep -qi 'held out' <<<"$output" || false
}

@test "without tokens: by the values, and said so" {
	eval_of --seq-lens 1024 --no-tokens >"$TMP/base"
	eval_of --seq-lens 1024 --shift 0.5 >"$TMP/pruned" # one of them is enough
	gate "$TMP/base" "$TMP/pruned"
	[ "$status" -eq 4 ]
	[[ "${lines[0]}" == FAIL* ]]
	[[ "$output" == *"note: no intervals"* ]]
	gate "$TMP/base" "$TMP/base"
	[ "$status" -eq 0 ]
}

@test "a pair of different data or settings is refused, naming both values" {
	eval_of --blocks 9 >"$TMP/base"
	refuse() {
		local text=$1
		shift
		eval_of --blocks 9 "$@" >"$TMP/other"
		fails 1 "$text" reap-gate --gates "$GATES" --markdown "$TMP/md" "$TMP/base" "$TMP/other"
		[ ! -e "$TMP/md" ]
		rm "$TMP/other"
	}
	refuse "rows_sha256 0000" --rows "$(printf '%064d' 0)"
	refuse "entropy_topk 10" --topk 10
	refuse "bins of p 80" --bins 80x120
	refuse "bins of entropy 60" --bins 160x60
	refuse "tokens of a block 5" --seed 2
	refuse "seq_len 128" --seq-lens 128
	refuse "pack other" --packs other
	refuse "join the shards" --shard 1/2
	refuse "split all" --split all
	reap-show "$TMP/base" | jq -c 'if .t == "tokens" then .ids[3] += 1 else . end' |
		reap-show --encode eval >"$TMP/other"
	fails 1 "block 0: token" reap-gate --gates "$GATES" "$TMP/base" "$TMP/other"
	reap-show "$TMP/base" | jq -c 'if .block == 2 then .rows = [7] | .starts = [0] else . end' |
		reap-show --encode eval >"$TMP/other"
	fails 1 "block 2 was made of other rows" reap-gate --gates "$GATES" "$TMP/base" "$TMP/other"
	reap-show "$TMP/base" | jq -c 'if .t == "tokens" then .channel[3] = 4 else . end' |
		reap-show --encode eval >"$TMP/other"
	fails 1 "block 0: token 1995 (tool_call) at position 6, but $TMP/base has 1995 (analysis) at 6" \
		reap-gate --gates "$GATES" "$TMP/base" "$TMP/other"
	reap-show "$TMP/base" | jq -c 'if .t == "tokens" then .block_sha256 = "0" * 64 else . end' |
		reap-show --encode eval >"$TMP/other"
	fails 1 "a token or channel that is not scored differs from that of $TMP/base (0000000000000000" reap-gate --gates "$GATES" "$TMP/base" "$TMP/other"
	eval_of --no-tokens >"$TMP/bare"
	reap-show "$TMP/bare" | jq -c 'if .t == "metrics" then .blocks_sha256 = "0" * 64 else . end' |
		reap-show --encode eval >"$TMP/other"
	fails 1 "blocks_sha256 0000" reap-gate --gates "$GATES" "$TMP/bare" "$TMP/other"
	eval_of --blocks 10 >"$TMP/other"
	fails 1 "" reap-gate --gates "$GATES" "$TMP/base" "$TMP/other"
}

@test "inputs in 8 bits: of both models, and said, or of neither" {
	eval_of --blocks 9 >"$TMP/base"
	reap-show "$TMP/base" | jq -c 'if .t == "meta" then .backend = "gemm: i8 (i8); kernels: avx2" else . end' |
		reap-show --encode eval >"$TMP/coarse"
	fails 1 "coarse: arithmetic gemm: i8 (i8); kernels: avx2, but $TMP/base has" \
		reap-gate --gates "$GATES" "$TMP/base" "$TMP/coarse"
	fails 1 "base: arithmetic" reap-gate --gates "$GATES" "$TMP/coarse" "$TMP/base"
	gate "$TMP/coarse" "$TMP/coarse" --json "$TMP/j"
	jq -e '.notes | map(test("in 8 bits")) | any' "$TMP/j"
}

@test "arithmetic: a note where it differs, between the models or within an eval" {
	eval_of --blocks 9 >"$TMP/base"
	gate "$TMP/base" "$TMP/base" --json "$TMP/j"
	jq -e '.notes | map(test("arithmetic")) | any | not' "$TMP/j"
	for name in one "made up + one"; do
		reap-show "$TMP/base" | jq -c --arg name "$name" 'if .t == "meta" then .backend = $name else . end' |
			reap-show --encode eval >"$TMP/$name"
	done
	gate "$TMP/base" "$TMP/one" --json "$TMP/j"
	jq -e '.notes | map(test("with different arithmetic .made up and one.")) | any' "$TMP/j"
	gate "$TMP/made up + one" "$TMP/made up + one" --json "$TMP/j"
	jq -e '.notes | map(test("parts of an eval were made with different arithmetic")) | any' "$TMP/j"
}

@test "gates files: a missing threshold, an unknown key and rubbish are named" {
	eval_of --blocks 9 >"$TMP/base"
	try() {
		fails 1 "$1" reap-gate --gates "$TMP/gates" "$TMP/base" "$TMP/base"
	}
	jq 'del(.thresholds.max_js2d)' "$GATES" >"$TMP/gates"
	try "thresholds.max_js2d: missing"
	jq '.thresholds.max_jsd = 1' "$GATES" >"$TMP/gates"
	try "max_jsd: unknown key"
	jq '.gate_rule = "mean"' "$GATES" >"$TMP/gates"
	try "neither min nor max"
	jq '.primary_seq_lens = ["1k"]' "$GATES" >"$TMP/gates"
	try "primary_seq_lens: element 0"
	jq '.version = 2' "$GATES" >"$TMP/gates"
	try "version"
	echo '{"a":' >"$TMP/gates"
	try "line 2"
	rm "$TMP/gates"
	try "No such file"
}

@test "streams: cut anywhere, of another kind, empty: exit 3" {
	eval_of --bins 8x8 --seq-lens 32 --blocks 3 >"$TMP/base"
	cut_everywhere "$TMP/base" reap-gate --gates "$GATES" "$TMP/base" -
	fails 3 "standard input" reap-gate --gates "$GATES" "$TMP/base" - </dev/null
	echo '{"t":"x"}' | reap-show --encode manifest >"$TMP/m"
	fails 3 "kind manifest" reap-gate --gates "$GATES" "$TMP/m" "$TMP/base"
}

@test "records that contradict themselves are exit 3" {
	eval_of --bins 4x4 --seq-lens 32 --blocks 2 >"$TMP/base"
	bad() {
		reap-show "$TMP/base" | jq -c "$2" | reap-show --encode eval >"$TMP/bad"
		fails 3 "$1" reap-gate --gates "$GATES" "$TMP/base" "$TMP/bad"
	}
	bad 'nll' 'if .t == "tokens" then .nll[0] = -1 else . end'
	bad 'nll' 'if .t == "tokens" then .nll[0] = null else . end'
	bad 'entropy' 'if .t == "tokens" then .entropy[1] = 1.5 else . end'
	bad 'positions' 'if .t == "tokens" then .positions[1] = .positions[0] else . end'
	bad 'channel' 'if .t == "tokens" then .channel[0] = 9 else . end'
	bad 'hist2d' 'if .t == "metrics" then .hist2d[0][0] += 1 else . end'
	bad 'hist_x' 'if .t == "metrics" then .hist_x[0] += 1 | .hist_x[1] -= 1 else . end'
	bad 'ppl' 'if .t == "metrics" then .ppl = "much" else . end'
	bad 'first record' 'select(.t != "meta")'
	reap-show "$TMP/base" | jq -c 'select(.reap or .t == "meta")' | reap-show --encode eval >"$TMP/bad"
	fails 3 'without a metrics record' reap-gate --gates "$GATES" "$TMP/bad" "$TMP/bad"
	bad 'prob_scale' 'if .t == "meta" then .prob_scale = "cubic" else . end'
}

@test "reports that cannot be written are exit 1, and so is a full disk" {
	eval_of --blocks 9 >"$TMP/base"
	fails 1 "No such file" reap-gate --gates "$GATES" "$TMP/base" "$TMP/base" --markdown "$TMP/no/md"
	run bash -c "reap-gate --gates $GATES $TMP/base $TMP/base >/dev/full"
	[ "$status" -eq 1 ]
	run bash -c "reap-gate --gates $GATES $TMP/base $TMP/base >&-"
	[ "$status" -eq 1 ]
}

@test "files whose names are not UTF-8 stand in valid JSON, and without the machine's folders" {
	pair
	cp "$TMP/base" "$TMP/b"$'\xe9'"se"
	cp "$GATES" "$TMP/g"$'\xff'
	reap-gate --gates "$TMP/g"$'\xff' "$TMP/b"$'\xe9'"se" "$TMP/base" --json "$TMP/j" --markdown "$TMP/m" >"$TMP/out"
	jq -e '.left.file == "b\ufffdse" and .right.file == "base" and .gates.path == "g\ufffd"' "$TMP/j"
	run grep -F "$TMP" "$TMP/j" "$TMP/m"
	[ "$status" -eq 1 ]
}

@test "the limits are the shipped ones unless others are named" {
	pair --shift 0.02 --noise 0.1
	run reap-gate "$TMP/base" "$TMP/pruned"
	cp recipes/near_lossless_gates.json "$TMP"
	sed 's,.*,&,' <<<"$output" >"$TMP/default"
	run reap-gate -g "$TMP/near_lossless_gates.json" "$TMP/base" "$TMP/pruned"
	diff "$TMP/default" - <<<"$output"
}

@test "the words of the worst tokens: from the very blocks of the evals, or not at all" {
	printf '{"text": "one|two *three* \\n\\tfour `five` <b> six\\u001b[31m seven"}\n' >"$TMP/r"
	reap-tokenize -q -m "$MODEL" --rows --keep all UNION="$TMP/r" >"$TMP/tokens" 2>/dev/null
	reap-ppl -q -m "$MODEL" --bins 20x15 "$TMP/tokens" >"$TMP/base"
	reap-rewrite -q -m "$MODEL" -o "$TMP/cut" --first 16 >"$TMP/manifest"
	reap-ppl -q -m "$TMP/cut" --bins 20x15 "$TMP/tokens" >"$TMP/pruned"
	jq '.primary_pack = "UNION" | .seq_lens = [0]' recipes/tiny_gates.json >"$TMP/g" 2>/dev/null || cp recipes/tiny_gates.json "$TMP/g"
	run reap-gate --tokens "$TMP/tokens" -t "$MODEL" -j "$TMP/j" --markdown "$TMP/md" "$TMP/base" "$TMP/pruned"
	[ "$status" -eq 4 ]
	# Whatever lost most: its words are those that reap-show has.
	reap-show --text "$MODEL" --tokens "$TMP/tokens" "$TMP/base" | jq -c '{position, id, text, before}' >"$TMP/lines"
	jq -c '.rows[0].worst_tokens[] | {position, id}' "$TMP/j" | while read -r t; do
		jq -c --argjson t "$t" 'select(.position == $t.position and .id == $t.id) | .id' "$TMP/lines" | grep -q .
	done
	jq -e '[.rows[0].worst_tokens[] | .before + .text | contains("one|two")] | any' "$TMP/j"
	# Nothing of the text is a cell's end, or does something to a terminal.
	run grep -P '\x1b|[^\\\\ ]\|[^ -]' "$TMP/md"
	[ "$status" -eq 1 ]
	# Other tokens than those of the evals.
	reap-tokenize -q -m "$MODEL" --rows --keep all UNION=<(echo '{"text": "something else altogether, and longer than that"}') >"$TMP/other" 2>/dev/null
	fails 1 "not the one that the evals were made from" reap-gate --tokens "$TMP/other" -t "$MODEL" "$TMP/base" "$TMP/pruned"
	# Another tokenizer.
	jq . "$MODEL/tokenizer.json" >"$TMP/tokenizer.json"
	run reap-gate --tokens "$TMP/tokens" -t "$TMP/tokenizer.json" "$TMP/base" "$TMP/pruned"
	[[ $output == *"tokenizer: "*", but the one to decode by is "* ]]
	[ "$status" -eq 3 ]
	fails 2 "go together" reap-gate --tokens "$TMP/tokens" "$TMP/base" "$TMP/pruned"
}
