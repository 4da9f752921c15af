#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# reap-rank: orders by every criterion, in both forms of scores.
load helpers

gen() { "$REAP_BUILD/gen/trace" "$@"; }
rank() { reap-rank --no-history "$@"; }
layers() { reap-show -t layer | jq -c "$1"; }
METHODS="frequency gate_sum ean_sum ean_mean ean_sq_mean weighted_ean_sum reap reap_l2 max_activations eaft_sum eaft_mean"

saliency() { gen 3 8 2 40 6 | reap-accum -q --no-history "$@"; }

@test "rankings are those of an independent implementation" {
	reap-show --encode trace tests/score/case.trace.jsonl | reap-accum -q >"$TMP/s"
	for m in reap eaft_sum; do
		rank --method $m "$TMP/s" | layers .ranking >"$TMP/got"
		jq -c ".ranking.${m}[]" tests/score/case.expected.json | diff "$TMP/got" -
	done
	# Its weighted sums, too, to 1e-9.
	rank "$TMP/s" | reap-show -t layer | jq -s '[.[].score[]]' >"$TMP/got"
	jq -e --slurpfile got "$TMP/got" '[.sums[].eaft] as $w | ($got[0] | length) == ($w | length) and
		all(range($w | length); (($got[0][.] - $w[.]) | fabs) <= 1e-9 * ($w[.] | fabs))' \
		tests/score/case.expected.json
}

@test "every criterion: a score from the sums, a ranking from the scores" {
	saliency >"$TMP/s"
	reap-show -t expert "$TMP/s" | jq -s . >"$TMP/sums.json"
	for m in $METHODS; do
		rank --method "$m" "$TMP/s" >"$TMP/scores"
		[ "$(reap-show -t meta "$TMP/scores" | jq -r .method)" = "$m" ]
		reap-show -t layer "$TMP/scores" | jq -se --arg m "$m" --slurpfile sums "$TMP/sums.json" '
			def score: (if .count > 0 then .count else 1 end) as $n |
				(.regions.good.sum_gn + 0.25 * .regions.uncertain.sum_gn -
					2 * .regions.conflict.sum_gn) as $w |
				{frequency: .count, gate_sum: .sum_g, ean_sum: .sum_n,
				ean_mean: (.sum_n / $n), ean_sq_mean: (.sum_n2 / $n), weighted_ean_sum: .sum_gn, reap: (.sum_gn / $n),
				reap_l2: (.sum_gn2 / $n | sqrt), max_activations: .max_n, eaft_sum: $w,
				eaft_mean: ($w / $n)}[$m];
			all(.[]; . as $l | ([$sums[0][] | select(.layer == $l.layer)] | map(score)) as $want |
				.score == $want and
				.ranking == ([range($want | length)] | sort_by([-$want[.], .])))' \
			>/dev/null || { echo "$m"; return 1; }
	done
}

@test "weights move eaft scores and are recorded" {
	saliency >"$TMP/s"
	rank -w 0,0,1 "$TMP/s" >"$TMP/w"
	reap-show -t meta "$TMP/w" | jq -e '.weights == {good: 0, uncertain: 0, conflict: 1}'
	layers '.score == .regions.conflict.sum_gn' <"$TMP/w" | sort -u >"$TMP/same"
	[ "$(cat "$TMP/same")" = true ]
	for w in 1 1,2 1,2,3,4 1,,2 1,x,2 1,2,nan ''; do
		fails 2 "--weights" reap-rank --weights "$w" "$TMP/s"
	done
}

@test "--pack ranks by one pack's tokens" {
	saliency -p >"$TMP/s"
	rank --method frequency --pack pack1 "$TMP/s" | layers '.score[]' >"$TMP/got"
	reap-show -t expert "$TMP/s" | jq -c 'select(.pack == "pack1") | .count' | diff <(sed 's/\.0$//' "$TMP/got") -
	fails 1 "no sums of pack 'pack9' (there are: pack0, pack1" reap-rank --pack pack9 "$TMP/s"
	fails 2 "--weights has no meaning with --method reap" reap-rank --method reap --weights 1,1,1 "$TMP/s"
	fails 2 "--seed has no meaning with --method eaft_sum" reap-rank --seed 1 "$TMP/s"
	fails 1 "--by-pack" reap-rank --pack pack1 <(saliency)
	rank --pack pack1 "$TMP/s" | reap-show -t meta | jq -e '.pack == "pack1"'
	fails 1 "made from pack 'pack1', not 'pack2'" reap-rank --pack pack2 <(rank --pack pack1 "$TMP/s")
}

@test "random is an order per seed" {
	saliency >"$TMP/s"
	rank --method random --seed 1 "$TMP/s" >"$TMP/1"
	rank --method random --seed 1 "$TMP/s" | cmp - "$TMP/1"
	rank --method random --seed 2 "$TMP/s" | layers .ranking >"$TMP/2"
	run diff "$TMP/2" <(layers .ranking <"$TMP/1")
	[ "$status" -eq 1 ]
	# Layers differ as well.
	[ "$(layers .ranking <"$TMP/1" | sort -u | wc -l)" -eq 3 ]
}

@test "scores and YAML lead to every other criterion, bit for bit" {
	saliency >"$TMP/s"
	rank "$TMP/s" >"$TMP/scores"
	rank --yaml "$TMP/s" >"$TMP/yaml"
	for m in $METHODS; do
		rank --method "$m" "$TMP/s" >"$TMP/want"
		rank --method "$m" "$TMP/scores" | cmp - "$TMP/want"
		rank --method "$m" "$TMP/yaml" | cmp - "$TMP/want"
		rank --method "$m" <"$TMP/yaml" | cmp - "$TMP/want"
		# shellcheck disable=SC2002 # a pipe has no second look at its first byte
		cat "$TMP/yaml" | rank --method "$m" --yaml | rank --method "$m" | cmp - "$TMP/want"
	done
	rank -w 3,2,-1 "$TMP/yaml" | cmp - <(rank -w 3,2,-1 "$TMP/s")
	rank --yaml "$TMP/yaml" | cmp - "$TMP/yaml"
}

@test "reap-scores.yaml is what published ones are, and a recipe file" {
	reap-rank --yaml <(saliency) >"$TMP/yaml"
	reap-recipe --json "$TMP/yaml" >"$TMP/json"
	jq -e '.kind == "reap_scores" and .schema_version == 1 and .method == "eaft_sum" and
		.score_key == "eaft_gate_norm_sum" and .summary == {num_layers: 3, num_experts: 8} and
		(.ranking_by_layer | length) == 3 and (.profile_meta.history | length) == 1 and
		all(.layer_scores[]; ([.experts[].score] | . == (sort | reverse)) and
			(.experts | map(.expert) | sort) == [range(8)] and
			all(.experts[]; .count == 0 or ((.sum_g / .count - .gate_mean | fabs) < 1e-15 and
				(.pos_count + .neg_count) <= .count and has("eaft_saliency_mean"))))' "$TMP/json"
	rank --yaml "$TMP/yaml" | grep -c history: && return 1
	[ "$(reap-rank "$TMP/yaml" | reap-show | sed -n 1p | jq '.history | length')" -eq 2 ]
}

@test "a published table: what it has, and what it lacks" {
	for f in recipes/reap-scores_20b_eaftreap_keepfrac075_budgeted.yaml \
		recipes/reap-scores_20b_eaftreap_keepfrac060_keep19.yaml; do
		reap-recipe --json "$f" | jq -c '.ranking_by_layer[]' >"$TMP/want"
		rank "$f" | layers .ranking | diff - "$TMP/want"
		for m in frequency gate_sum ean_sum ean_mean weighted_ean_sum reap eaft_mean random; do
			rank --method "$m" "$f" >"$TMP/scores"
			rank "$TMP/scores" | layers .ranking | diff - "$TMP/want"
		done
		fails 1 "sums of squares" reap-rank --method reap_l2 "$f"
		fails 1 "sums of squares" reap-rank --method ean_sq_mean "$f"
		fails 1 "maxima" reap-rank --method max_activations "$f"
		fails 1 "weights 1,0.25,-2" reap-rank --weights 1,1,1 "$f"
	done
	rank "$f" | reap-show -t meta | jq -e '.thresholds.tokens == 21376'
	fails 3 "layer_scores: missing" reap-rank recipes/reap-scores_20b_eaftreap_keepfrac075_keep24_uniform.yaml
}

@test "a YAML file that is wrong is exit 3 and says where" {
	rank --yaml <(saliency) >"$TMP/good"
	wrong() { # SED-SCRIPT MESSAGE
		sed "$1" "$TMP/good" >"$TMP/bad"
		! cmp -s "$TMP/good" "$TMP/bad" || { echo "no change: $1"; return 1; }
		fails 3 "$2" reap-rank "$TMP/bad"
	}
	wrong 's/^kind: .*/kind: eval_recipe/' "neither a reap stream nor YAML of kind reap_scores"
	wrong 's/^method: .*/method: magic/' "method: there is no 'magic'"
	wrong 's/num_experts: 8$/num_experts: 9/' "not a list of the 9 experts"
	wrong '/^  top_k:/d' "top_k: missing"
	wrong '0,/{expert: [0-9]*/s//{expert: 8/' "expert: not a count up to 7"
	wrong '0,/, count: [0-9]*/s//, count: -1/' "count: not a count"
	wrong '0,/score: [0-9.]*/s//score: 0.001/' "ranking_by_layer: layer 0: not the order of the scores"
	wrong '0,/score: [0-9.]*/s//score: .nan/' "not a finite number"
	wrong '0,/sum_gn: [0-9.]*/s//sum_gn: -4.0/' "-4 is negative"
	wrong '0,/, max_n: [0-9.]*/s///' "other sums than the first expert's"
	wrong 's/samples: {p: [0-9]*/samples: {p: 7/' "region_counts: "
	wrong 's/^  - layer: 1$/  - layer: 2/' "layer: 2 where 1 is due"
	wrong 's/rule: code/rule: coda/' "rule: there is no 'coda'"
	wrong "\$d" "not a list of the 8 experts"
	wrong 's/^summary:/summary: &a/' "neither a reap stream nor reap-scores.yaml"
	head -c 1000 "$TMP/good" >"$TMP/bad"
	fails 3 "$TMP/bad" reap-rank "$TMP/bad"
	fails 3 "standard input" reap-rank <LICENSE
	fails 3 "empty" reap-rank </dev/null
}

@test "what cannot be ranked is refused" {
	reap-accum -q --rule none <(gen 3 8 2 40 6) >"$TMP/none"
	fails 1 "needs regions" reap-rank "$TMP/none"
	rank --method reap "$TMP/none" >"$TMP/reap"
	fails 1 "needs regions" reap-rank "$TMP/reap"
	gen 3 8 2 40 6 | reap-show | jq -c 'select(.t != "route" or .layer != 1)' |
		reap-show --encode trace | reap-accum -q >"$TMP/partial"
	fails 1 "layer 1: no expert was ever chosen" reap-rank "$TMP/partial"
	fails 3 "kind trace, expected scores or saliency" reap-rank <(gen 3 8 2 4 1)
	fails 2 "one input" reap-rank a b
	fails 2 "--method" reap-rank --method best
}

@test "a stream cut anywhere is exit 3; so is one that contradicts itself" {
	saliency >"$TMP/s"
	cut_everywhere "$TMP/s" reap-rank
	edit() { reap-show "$TMP/s" | jq -c "$1" | reap-show --encode saliency >"$TMP/x"; }
	edit 'select(.t != "expert" or .layer != 1 or .expert != 3)'
	fails 3 "layer 1, expert 4" reap-rank "$TMP/x"
	edit 'if .t == "expert" and .expert == 2 then .regions.good.count = 99999 else . end'
	fails 3 "count" reap-rank "$TMP/x"
	edit 'if .t == "expert" and .expert == 2 then .sum_gn = -1 else . end'
	fails 3 "sum_gn" reap-rank "$TMP/x"
	edit 'if .t == "thresholds" then .regions.good += 1 else . end'
	fails 3 "regions" reap-rank "$TMP/x"
	edit 'if .t == "thresholds" then .rule = "law" else . end'
	fails 3 "rule" reap-rank "$TMP/x"
	edit 'select(.t != "expert")'
	fails 3 "no sums for layer 0" reap-rank "$TMP/x"
	run bash -c "reap-rank '$TMP/s' >/dev/full"
	[ "$status" -eq 1 ]
	run bash -c "reap-rank --yaml '$TMP/s' >/dev/full"
	[ "$status" -eq 1 ]
}

@test "a scores stream that contradicts itself, and one through JSON and back" {
	rank <(saliency) >"$TMP/s"
	reap-show "$TMP/s" | reap-show --encode scores --no-history | cmp - "$TMP/s"
	cut_everywhere "$TMP/s" reap-rank
	edit() { reap-show "$TMP/s" | jq -c "$1" | reap-show --encode scores >"$TMP/x"; }
	edit 'if .t == "layer" then .ranking |= reverse else . end'
	fails 3 "layer 0: the ranking is not the order" reap-rank "$TMP/x"
	edit 'if .t == "layer" and .layer == 1 then .ranking[1] = .ranking[0] else . end'
	fails 3 "layer 1: the ranking is not the order" reap-rank "$TMP/x"
	edit 'if .t == "layer" then .score[2] = 1e999 else . end'
	fails 3 "score" reap-rank "$TMP/x"
	edit 'if .t == "layer" then .count[2] = -1 else . end'
	fails 3 "count" reap-rank "$TMP/x"
	edit 'if .t == "layer" then .max_n = null else . end'
	rank --method reap "$TMP/x" >/dev/null
	fails 1 "maxima" reap-rank --method max_activations "$TMP/x"
	edit 'if .layer == 1 then .max_n = null else . end'
	fails 3 "other sums than layer 0" reap-rank "$TMP/x"
	edit 'select(.layer != 2)'
	fails 3 "no scores for layer 2" reap-rank "$TMP/x"
	edit 'if .layer == 2 then .layer = 3 else . end'
	fails 3 "layer 3 where 2 is due" reap-rank "$TMP/x"
	edit 'del(.sum_g)'
	fails 3 "sum_g: missing" reap-rank "$TMP/x"
	edit 'if .t == "meta" then .sources[0].taken = 0 else . end'
	fails 3 "but only 0 blocks of its sources are in the sums" reap-rank "$TMP/x"
	edit 'if .t == "meta" then .definition = "sum of g" else . end'
	fails 3 "definition: that of eaft_sum is 'sum of w g |f|, w by the token's region'" reap-rank "$TMP/x"
	edit 'if .t == "meta" then .sources += .sources else . end'
	fails 3 "sources: the tokens 0000000000000000... come twice" reap-rank "$TMP/x"
	rank --yaml <(saliency) | sed 's/taken: [0-9]*/taken: 0/; /^scores_sha256/d' >"$TMP/y"
	fails 3 "but only 0 blocks of its sources are in the sums" reap-rank "$TMP/y"
}

@test "the history in published scores is YAML whatever the arguments, and has no folders of the machine" {
	saliency >"$TMP/s"$'\xe2'
	reap-rank --yaml --method=reap "$TMP/s"$'\xe2' >"$TMP/y.yaml"
	grep -qF "argv: [reap-rank, \"--yaml\", \"--method=reap\", \"s"$'\xef\xbf\xbd'"\"]" "$TMP/y.yaml"
	run grep -F "$TMP" "$TMP/y.yaml"
	[ "$status" -eq 1 ]
	reap-cut --keep-n 4 "$TMP/y.yaml" >"$TMP/plan"
}

@test "reap-scores.yaml shows no local path, in an argument behind = or behind its option neither" {
	"$REAP_BUILD/gen/trace" 2 8 2 12 3 | reap-accum -q | reap-show |
		jq -c 'if .reap then .history[0].argv += ["/a/b=/c", "pack=/home/me/rows", "--x=/home/me/y", "-m/home/me/m", "-qm/home/me/n", "-ma/b", "-"] else . end' |
		reap-show --encode saliency | reap-rank --yaml >"$TMP/yaml"
	grep -F 'c, "pack=rows", "--x=y", "-mm", "-qmn", "-ma/b", "-"' "$TMP/yaml"
}

@test "a method that there is not: the names of those that there are" {
	fails 2 "there is no 'eaft', but frequency, gate_sum," reap-rank --method eaft
}

# checkpoint FORMAT|qwen3_moe DIR: two layers of eight experts.
checkpoint() {
	local kind=(--format "$1")
	[ "$1" != qwen3_moe ] || kind=(--arch "$1")
	"$REAP_BUILD/gen/random_checkpoint" --layers 2 --hidden 64 --inter 32 --experts 8 --top-k 2 --heads 2 \
		--kv-heads 1 --head-dim 32 --vocab 96 --shards 2 "${kind[@]}" "$2"
}

@test "aimer: the inverse of mean |w| over rms, weight by weight, in every format and architecture" {
	for format in mxfp4 bf16 qwen3_moe; do
		checkpoint $format "$TMP/$format"
		rank --method aimer -m "$TMP/$format" >"$TMP/scores"
		tests/aimer.py "$TMP/$format" >"$TMP/plain.json"
		reap-show -t layer "$TMP/scores" | jq -se --slurpfile plain "$TMP/plain.json" '
			length == 2 and all(.[]; . as $l | $plain[0][.layer] as $want | ($want | length) == 8 and
				all(range(8); ($l.score[.] * $want[.] - 1 | fabs) < 1e-12) and
				.ranking == ([range(8)] | sort_by($want[.])) and (.count | add) == 0)'
		reap-show "$TMP/scores" | jq -se --arg id "$format" '.[0].model.id == $id and .[0].model.digest != "" and
			(.[] | select(.t == "meta") | .sources == [] and .thresholds.tokens == 0 and .thresholds.rule == "none")'
	done
}

@test "aimer: scores without sums lead to plan and checkpoint, and to nothing that needs tokens" {
	checkpoint mxfp4 "$TMP/model"
	rank --method aimer -m "$TMP/model" >"$TMP/scores"
	rank --method aimer -m "$TMP/model" --yaml >"$TMP/yaml"
	reap-recipe --check "$TMP/yaml"
	reap-show "$TMP/scores" | reap-show --encode scores --no-history | cmp - "$TMP/scores"
	reap-cut --no-history -n 4 "$TMP/scores" >"$TMP/plan"
	reap-cut --no-history -n 4 "$TMP/yaml" | cmp - "$TMP/plan"
	reap-rewrite -q -m "$TMP/model" -o "$TMP/pruned" --scores "$TMP/yaml" "$TMP/plan" >/dev/null
	cmp "$TMP/yaml" "$TMP/pruned/reap-scores.yaml"
	[ "$(reap-cut --sweep "$TMP/scores" | cut -f 1,5,6)" = \
		$'keep_n\tgn_mean\tchoices_dropped\n8\t-\t-\n4\t-\t-' ]
	for core in --core-pos --core-count; do
		fails 1 "core experts need sums of tokens" reap-cut -n 4 $core 1 "$TMP/scores"
	done
	for m in frequency random; do
		fails 1 "no expert was ever chosen" reap-rank --method $m "$TMP/scores"
	done
	fails 2 "go together" reap-rank --method aimer "$TMP/scores"
	fails 2 "go together" reap-rank -m "$TMP/model"
	fails 2 "no input" reap-rank --method aimer -m "$TMP/model" "$TMP/scores"
	fails 2 "no --pack" reap-rank --method aimer -m "$TMP/model" --pack a
	fails 1 "config.json" reap-rank --method aimer -m "$TMP"
	edit() { reap-show "$TMP/scores" | jq -c "$1" | reap-show --encode scores >"$TMP/x"; }
	edit 'if .layer == 1 then .score[7] = 0.5 | .ranking = (.ranking - [7] + [7]) else . end'
	fails 3 "layer 1, expert 7: score 0.5, but method aimer gives none below 1" reap-cut -n 4 "$TMP/x"
	edit 'if .layer == 1 then .sum_g[2] = 1 else . end'
	fails 3 "layer 1, expert 2: sums, but method aimer looks at no tokens" reap-cut -n 4 "$TMP/x"
	edit 'if .t == "meta" then .thresholds.tokens = 3 else . end'
	fails 3 "method aimer looks at no tokens, but the scores name some" reap-cut -n 4 "$TMP/x"
}
