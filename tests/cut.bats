#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# reap-cut: how many, which, how far two plans agree, what each number would keep.
load helpers

@test "a share in hexadecimal is refused" {
	fails 2 "'0x1p-1' is not a number" reap-cut --keep-frac 0x1p-1
}

gen() { "$REAP_BUILD/gen/trace" "$@"; }
saliency() { gen 3 32 4 60 6 "$@" | reap-accum -q --no-history; }
scores() { saliency | reap-rank --no-history "$@"; }
cut() { reap-cut --no-history "$@"; }
kept() { reap-show -t layer | jq -c .keep; } # one list a layer
meta() { reap-show -t meta | jq -r "$1"; }

K60=recipes/reap-scores_20b_eaftreap_keepfrac060_keep19.yaml
BUD=recipes/reap-scores_20b_eaftreap_keepfrac075_budgeted.yaml

@test "keep_n and label from a share, as the original rounds" {
	scores >"$TMP/s"
	is() { [ "$(cut "${@:2}" | meta '"\(.keep_n) \(.label)"')" = "$1" ]; }
	is "24 keep24of32_k75_eaft_sum" --keep-frac 0.75 "$TMP/s"
	is "20 keep20of32_k62_eaft_sum" --keep-frac 0.60 "$TMP/s" # 62.5: half to even
	is "20 keep20of32_k62_eaft_sum" --keep-frac 0.60 --round floor "$TMP/s"
	is "19 keep19of32_k59_eaft_sum" --keep-frac 0.60 --round floor --multiple-of 1 "$TMP/s"
	is "20 keep20of32_k62_eaft_sum" --keep-frac 0.60 --multiple-of 1 "$TMP/s"
	is "32 keep32of32_k100_eaft_sum" --keep-frac 1 "$TMP/s"
	gen 2 128 4 100 3 | reap-accum -q | reap-rank --method reap >"$TMP/128"
	is "96 keep96of128_k75_reap" --keep-frac 0.75 "$TMP/128"
	is "24 keep24of32_k75_random7" -n 24 <(saliency | reap-rank --method random --seed 7)
	cut --keep-frac 0.75 "$TMP/s" | reap-show -t meta | jq -e '.keep_frac == 0.75 and .multiple_of == 4'
	cut -n 24 "$TMP/s" | reap-show -t meta | jq -e '.keep_frac == 0'
}

@test "the kept are the first of the ranking; a smaller plan is a part of a larger one" {
	scores >"$TMP/s"
	reap-show -t layer "$TMP/s" | jq -c .ranking >"$TMP/ranking"
	for n in 28 24 20 8; do
		cut -n $n --order rank "$TMP/s" | kept | diff - <(jq -c ".[:$n]" "$TMP/ranking")
		cut -n $n "$TMP/s" | kept | diff - <(jq -c ".[:$n] | sort" "$TMP/ranking")
		cut -n $n --core-pos 4 --core-count 3 "$TMP/s" | kept >"$TMP/core.$n"
	done
	paste -d ' ' "$TMP/core.28" "$TMP/core.24" "$TMP/core.20" "$TMP/core.8" |
		jq -se '[range(0; length; 4) as $i | .[$i:$i + 4] |
			(.[1] - .[0] == []) and (.[2] - .[1] == []) and (.[3] - .[2] == [])] | all'
	cut -n 24 --reverse --order rank "$TMP/s" | kept | diff - <(jq -c 'reverse | .[:24]' "$TMP/ranking")
	[[ "$(cut -n 24 --reverse "$TMP/s" | meta .label)" == *_reversed ]]
}

@test "core experts stay whatever their rank" {
	scores --method ean_mean >"$TMP/s"
	cut -n 8 --core-pos 3 --core-count 2 --order rank "$TMP/s" | kept >"$TMP/got"
	reap-show -t layer "$TMP/s" | jq -c '
		def best($v; $m): [range($v | length)] | sort_by([-$v[.], .])[:$m];
		([.regions.good.sum_gn, .regions.uncertain.sum_gn] | transpose | map(add)) as $pos |
		(best($pos; 3) + best(.count; 2) | unique) as $core |
		$core + (.ranking - $core)[:8 - ($core | length)]' | diff - "$TMP/got"
	[[ "$(cut -n 8 --core-pos 3 --core-count 2 "$TMP/s" | meta .label)" == *_corep3c2 ]]
	fails 2 "do not fit in keep_n 8" reap-cut -n 8 --core-count 9 "$TMP/s"
	fails 1 "core experts by positive mass" reap-cut -n 24 --core-pos 4 "$K60"
	cut -n 24 --core-count 4 "$K60" >/dev/null
}

@test "kept_mass is the kept share of the scores" {
	scores >"$TMP/s"
	cut -n 20 "$TMP/s" | reap-show -t layer | jq -s . >"$TMP/plan"
	reap-show -t layer "$TMP/s" | jq -se --slurpfile plan "$TMP/plan" '
		def pos: if . > 0 then . else 0 end;
		all(.[]; . as $l | ([.score[] | pos] | add) as $all |
			($plan[0][$l.layer] | .keep as $k | .kept_mass -
			([$k[] | $l.score[.] | pos] | add) / $all | fabs) < 1e-12)'
}

@test "numbers that a model or a GPU kernel cannot have" {
	scores >"$TMP/s"
	fails 2 "32 experts" reap-cut -n 33 --force "$TMP/s"
	fails 2 "chooses 4" reap-cut -n 3 --force "$TMP/s"
	fails 2 "more than top_k" reap-cut -n 4 "$TMP/s"
	fails 2 "not a multiple of 4" reap-cut -n 19 "$TMP/s"
	fails 2 "not a multiple of 8" reap-cut -n 20 --multiple-of 8 "$TMP/s"
	cut -n 19 --force "$TMP/s" | kept | jq -se 'all(length == 19)'
	cut -n 4 --force "$TMP/s" | kept | jq -se 'all(length == 4)'
	cut -n 19 --multiple-of 1 "$TMP/s" >/dev/null
	fails 2 "top_k" reap-cut --keep-frac 0.01 "$TMP/s"
}

@test "stream, YAML and a re-ranked YAML give the same plan" {
	saliency >"$TMP/s"
	reap-rank --no-history "$TMP/s" >"$TMP/scores"
	reap-rank --no-history --yaml "$TMP/s" >"$TMP/yaml"
	cut -n 24 "$TMP/scores" >"$TMP/plan"
	cut -n 24 "$TMP/yaml" | cmp - "$TMP/plan"
	cut -n 24 <"$TMP/yaml" | cmp - "$TMP/plan"
	# shellcheck disable=SC2002
	cat "$TMP/scores" | cut -n 24 | cmp - "$TMP/plan"
	reap-rank --method reap "$TMP/s" | cut -n 24 | reap-show | tail -n +2 >"$TMP/want"
	reap-rank --method reap "$TMP/yaml" | cut -n 24 | reap-show | tail -n +2 | diff - "$TMP/want"
	# A plan from a table without a digest says so and nothing else.
	cut -n 24 "$K60" | reap-show | sed -n 1p | jq -e '.model == {id: "openai/gpt-oss-20b", digest: "",
		layers: 24, experts: 32, top_k: 4}'
}

@test "--compare: agreement per layer and mean" {
	scores >"$TMP/s"
	scores --method reap >"$TMP/r"
	cut -n 24 "$TMP/s" >"$TMP/plan.s"
	cut -n 24 "$TMP/r" >"$TMP/plan.r"
	reap-cut -n 24 --compare "$TMP/r" "$TMP/s" >"$TMP/agree"
	reap-cut --compare "$TMP/plan.r" "$TMP/plan.s" | cmp - "$TMP/agree"
	reap-cut -n 24 --compare "$TMP/plan.r" <"$TMP/s" | cmp - "$TMP/agree"
	paste -d ' ' <(kept <"$TMP/plan.s") <(kept <"$TMP/plan.r") | jq -r -s '
		def both($a; $b): $a - ($a - $b) | length;
		def row: [.kept, .kept / 24, .dropped, .dropped / 8];
		[range(0; length; 2) as $i | .[$i] as $a | .[$i + 1] as $b | [range(32)] as $all |
			{kept: both($a; $b), dropped: both($all - $a; $all - $b)}] |
		.[] | row | map(. * 10000 | round / 10000) | @tsv' >"$TMP/want"
	head -n 4 "$TMP/agree" | tail -n 3 | awk '{ print $2 + 0, $3 + 0, $4 + 0, $5 + 0 }' |
		diff - <(awk '{ print $1 + 0, $2 + 0, $3 + 0, $4 + 0 }' "$TMP/want")
	awk 'NR > 1 && $1 != "mean" { s += $5; n++ } $1 == "mean" { exit !($5 - s / n < 1e-4 && s / n - $5 < 1e-4) }' "$TMP/agree"
	# With itself; and a part of a larger plan agrees wholly.
	[ "$(reap-cut --compare "$TMP/plan.s" "$TMP/plan.s" | tail -n 1)" = $'mean\t24.00\t1.0000\t8.00\t1.0000' ]
	cut -n 8 "$TMP/s" >"$TMP/plan.8"
	[ "$(reap-cut --compare "$TMP/plan.8" "$TMP/plan.s" | tail -n 1)" = $'mean\t8.00\t1.0000\t8.00\t1.0000' ]
	fails 2 "--keep-n or --keep-frac" reap-cut --compare "$TMP/s" "$TMP/r"
	gen 3 8 4 60 6 | reap-accum -q | reap-rank | cut -n 8 >"$TMP/eight"
	fails 1 "$TMP/plan.s: 32 experts, but $TMP/eight has 8" reap-cut --compare "$TMP/eight" "$TMP/plan.s"
}

@test "--compare: the agreement of the published tables" {
	# The share of the 8 dropped of 32 that both criteria drop, in percent.
	for f in "$K60" "$BUD"; do
		for m in frequency ean_mean weighted_ean_sum reap eaft_sum eaft_mean; do
			reap-rank --method $m "$f" >"$TMP/$(basename "$f").$m"
		done
	done
	dropped() { reap-cut -n 24 --compare "$1" "$2" | awk '$1 == "mean" { printf "%.2f\n", $5 - 1e-9 }'; }
	k=$TMP/$(basename "$K60") b=$TMP/$(basename "$BUD")
	{
		for f in "$k" "$b"; do
			dropped "$f.eaft_sum" "$f.weighted_ean_sum"
			dropped "$f.eaft_sum" "$f.reap"
			dropped "$f.weighted_ean_sum" "$f.reap"
			dropped "$f.frequency" "$f.weighted_ean_sum"
			dropped "$f.frequency" "$f.reap"
			dropped "$f.ean_mean" "$f.reap"
		done
		for m in reap weighted_ean_sum eaft_sum eaft_mean frequency; do dropped "$k.$m" "$b.$m"; done
	} >"$TMP/got"
	printf '%s\n' .91 .63 .62 .91 .54 .73 .91 .61 .61 .86 .51 .73 .83 .84 .81 .79 .85 |
		sed 's/^/0/' | diff "$TMP/got" -
}

@test "re-cutting needs no model and no time" {
	start=$(date +%s)
	for f in 0.75 0.6 0.5; do
		reap-cut --keep-frac $f "$BUD" >"$TMP/$f"
		reap-show "$TMP/$f" >/dev/null
	done
	[ $(($(date +%s) - start)) -lt 10 ]
}

@test "--sweep: every number that can be, with what it keeps" {
	scores >"$TMP/s"
	reap-cut --sweep "$TMP/s" >"$TMP/sweep"
	[ "$(awk 'NR > 1 { print $1 }' "$TMP/sweep" | xargs)" = "32 28 24 20 16 12 8" ]
	awk -v OFS='\t' 'NR > 1 { print $1, $2, $3, $4 }' "$TMP/sweep" >"$TMP/got"
	for n in 32 28 24 20 16 12 8; do
		cut -n $n "$TMP/s" | reap-show -t layer | jq -s --argjson n $n '[.[].kept_mass] as $m |
			[$n, ($m | add / length), ($m | min), ($m | index(min))]'
	done | jq -r '@tsv' | while read -r n mean min layer; do
		printf '%d\t%.4f\t%.4f\t%d\n' "$n" "$mean" "$min" "$layer"
	done | diff - "$TMP/got"
	[ "$(sed -n 2p "$TMP/sweep" | awk '{ print $2, $3, $5, $6 }')" = "1.0000 1.0000 1.0000 0.0000" ]
	[ "$(reap-cut --sweep --force "$TMP/s" | wc -l)" -eq 30 ] # 32 .. 4 and the header
	[ "$(reap-cut --sweep --multiple-of 8 "$TMP/s" | awk 'NR > 1 { print $1 }' | xargs)" = "32 24 16 8" ]
}

@test "--sweep: two halves show how stable a cut is; a model shows sizes" {
	scores >"$TMP/s"
	for i in 0 1; do saliency "$i" 2 | reap-rank >"$TMP/h$i"; done
	reap-cut --sweep --half "$TMP/h0" --half "$TMP/h1" "$TMP/s" >"$TMP/sweep"
	reap-cut -n 20 --compare "$TMP/h1" "$TMP/h0" | awk '$1 == "mean" { print $3, $5 }' |
		diff - <(awk '$1 == 20 { print $7, $8 }' "$TMP/sweep")
	fails 2 "twice" reap-cut --sweep --half "$TMP/h0" "$TMP/s"
	cp "$TMP/h0" "$TMP/copy"
	fails 1 "$TMP/copy: the same scores as $TMP/h0, not another half" reap-cut --sweep --half "$TMP/h0" --half "$TMP/copy" "$TMP/s"
	fails 1 "$TMP/h0 and $TMP/s: of the tokens " reap-cut --sweep --half "$TMP/h0" --half "$TMP/s" "$TMP/s"
	grep -q "they are not its halves" "$TMP/fails.err"
	saliency 1 2 | reap-rank --method reap >"$TMP/r1"
	fails 1 "$TMP/r1: ranked by reap, but $TMP/s by eaft_sum" reap-cut --sweep --half "$TMP/h0" --half "$TMP/r1" "$TMP/s"
	fails 1 "layers" reap-cut --sweep -m "$MODEL" "$TMP/s"
}

@test "--sweep: the bytes are those of the checkpoint that reap-rewrite writes" {
	# Without a digest, the shape has to do.
	gen 4 32 4 40 3 | reap-show | sed 's/"digest":"a*"/"digest":""/' |
		reap-show --encode trace | reap-accum -q | reap-rank >"$TMP/s"
	reap-cut --sweep -m "$MODEL" "$TMP/s" | awk '$1 == 24 || $1 == 32 { print $1, $NF }' >"$TMP/got"
	for n in 32 24; do
		cut -n $n "$TMP/s" | reap-rewrite -q -m "$MODEL" -o "$TMP/m$n" >/dev/null
		echo "$n $(jq .metadata.total_size "$TMP/m$n/model.safetensors.index.json")"
	done | diff - "$TMP/got"
}

@test "wrong usage" {
	fails 2 "how many" reap-cut "$K60"
	fails 2 "exclude" reap-cut -n 24 -f 0.5 "$K60"
	fails 2 "--sweep" reap-cut --sweep -n 24 "$K60"
	fails 2 "--half" reap-cut -n 24 --half x "$K60"
	fails 2 "--round" reap-cut -f 0.5 --round up "$K60"
	fails 2 "--order" reap-cut -n 24 --order random "$K60"
	fails 2 "--keep-n" reap-cut -n 0 "$K60"
	fails 2 "--keep-n" reap-cut -n -4 "$K60"
	fails 2 "--keep-frac" reap-cut -f 1.1 "$K60"
	fails 2 "one input" reap-cut -n 24 a b
	fails 1 "Is a directory" reap-cut -n 24 "$MODEL"
	fails 3 "kind saliency, expected scores" reap-cut -n 24 <(saliency)
	fails 3 "layer_scores" reap-cut -n 24 recipes/reap-scores_20b_eaftreap_keepfrac075_keep24_uniform.yaml
}

@test "a stream cut anywhere is exit 3; no room is exit 1" {
	gen 2 8 2 20 3 | reap-accum -q --no-history | reap-rank --no-history >"$TMP/s"
	cut_everywhere "$TMP/s" reap-cut -n 4
	reap-cut -n 4 "$TMP/s" >"$TMP/p"
	head -c 300 "$TMP/p" >"$TMP/cut"
	fails 3 truncated reap-cut --compare "$TMP/cut" "$TMP/p"
	for o in "-n 4" --sweep "-n 4 --compare $TMP/p"; do
		run bash -c "reap-cut $o '$TMP/s' >/dev/full"
		[ "$status" -eq 1 ] || { echo "$o: $status"; return 1; }
	done
}

@test "the last line says what was cut, and that nothing was" {
	local f=recipes/reap-scores_20b_eaftreap_keepfrac075_budgeted.yaml
	[ "$(reap-cut --keep-n 24 "$f" 2>&1 >"$TMP/plan")" = \
		"reap-cut: 24 of 32 experts stay in each of 24 layers, 94.9% of the scores (eaft_sum)" ]
	[ -z "$(reap-cut -q --keep-n 24 "$f" 2>&1 >"$TMP/plan")" ]
	[ "$(reap-cut -q --keep-frac 0.9 "$f" 2>&1 >"$TMP/plan")" = "reap-cut: all 32 experts stay: nothing is cut" ]
}

# ---- keep maps ----

# map JSON...: imported into $TMP/got for the embedded model.
map() {
	jq -cn "$@" >"$TMP/map.json"
	cut --import "$TMP/map.json" -m "$MODEL" >"$TMP/got"
}

# Layer l keeps the 24 experts from l on.
ids='[range(4) as $l | [range(24) + $l]]'

@test "--export and --import: there and back, a plan in any order" {
	saliency=$TMP/s
	gen 4 32 4 60 6 | reap-show | sed 's/"digest":"a*"/"digest":""/' | reap-show --encode trace |
		reap-accum -q | reap-rank >"$TMP/scores"
	for order in ascending rank; do
		cut -n 24 --order $order "$TMP/scores" >"$TMP/plan"
		cut --export "$TMP/plan" >"$TMP/map.json"
		reap-cut --export -n 24 --order $order "$TMP/scores" | cmp - "$TMP/map.json"
		jq -c '[.[]]' "$TMP/map.json" | diff - <(kept <"$TMP/plan" | jq -sc .)
		jq -e 'keys == ["0", "1", "2", "3"]' "$TMP/map.json"
		cut --import "$TMP/map.json" -m "$MODEL" >"$TMP/back"
		diff <(kept <"$TMP/back") <(kept <"$TMP/plan")
		cut --export --import "$TMP/map.json" -m "$MODEL" | cmp - "$TMP/map.json"
		reap-show -t meta "$TMP/back" | jq -e --arg order $order '.order == $order and .method == "import" and
			.label == "keep24of32_k75_import" and .scores_sha256 == "" and .keep_n == 24'
	done
	# What was rewritten by a map is what was rewritten by the plan, and its own map leads back.
	cut -n 24 "$TMP/scores" >"$TMP/plan"
	cut --export "$TMP/plan" >"$TMP/map.json"
	cut --import "$TMP/map.json" -m "$MODEL" >"$TMP/back"
	for p in plan back; do reap-rewrite -q -m "$MODEL" -o "$TMP/m.$p" "$TMP/$p" >/dev/null; done
	diff <(sha256sum <"$TMP/m.plan/model.safetensors") <(sha256sum <"$TMP/m.back/model.safetensors")
	cut --import "$TMP/m.plan/expert_mapping.json" -m "$MODEL" | cmp - "$TMP/back"
}

@test "--import: the spellings of others" {
	map "$ids"
	cp "$TMP/got" "$TMP/want"
	kept <"$TMP/want" | jq -sc . | diff - <(jq -cn "$ids")
	same() { map "$1" && cmp "$TMP/got" "$TMP/want" || { echo "$1"; return 1; }; }
	local layers="$ids | to_entries | map({key: \"\(.key)\", value: .value}) | from_entries"
	local gone="[$ids | to_entries[] | {key: \"\(.key)\", value: ([range(32)] - .value)}] | from_entries"
	same "$layers"
	same "{version: 1, layers: ($layers)}"
	same "{model: \"x\", kept_experts: ($layers)}"
	same "{kept_experts: $ids}"
	same "{layers: ($layers | map_values({kept_experts: ., score: 0.5}))}"
	same "$layers | with_entries(.key |= \"model.layers.\\(.).mlp\")"
	same "$layers | with_entries(.key |= \"layers.\\(.)\")"
	same "$layers | map_values(to_entries | map({key: \"\\(.value)\", value: .key}) | from_entries)"
	same "{version: 1, model: \"x\", workload: \"y\", pruned_experts: [$gone | to_entries[] |
		.key as \$l | .value[] | [(\$l | tonumber), .]]}"
	same "{pruned_experts: ($gone)}"
}

@test "--import: what does not fit is refused, by name" {
	no() { # JQ MESSAGE
		jq -cn "$1" >"$TMP/map.json"
		fails "${3:-1}" "$2" reap-cut --import "$TMP/map.json" -m "$MODEL"
	}
	local layers="$ids | to_entries | map({key: \"\(.key)\", value: .value}) | from_entries"
	no "$ids[:3]" "map.json: layer 3 is missing; the model has 4"
	no "$ids + [[1]]" "layer 4, but the model has 4"
	no "$layers | .[\"7\"] = [1]" "layer 7, but the model has 4"
	no "$layers | .[\"model.layers.2.mlp\"] = [1]" "layer 2 is there twice"
	no "$layers | .keep_n = 24" "'keep_n' is neither a layer nor a key"
	no "$layers | .[\"0x1\"] = [1]" "'0x1' is neither a layer nor a key"
	no "$ids | .[2] |= .[:20]" "layer 2 keeps 20 experts, but layer 0 keeps 24"
	no "$ids | .[1][3] = 32" "layer 1: an expert that is not a number from 0 to 31"
	no "$ids | .[1][3] = -1" "layer 1: an expert that is not a number"
	no "$ids | .[1][3] = 1.5" "layer 1: an expert that is not a number"
	no "$ids | .[1][3] = \"4\"" "layer 1: an expert that is not a number"
	no "$ids | .[1][3] = .[1][4]" "layer 1: expert 5 is there twice"
	no "$ids | .[1] = 5" "layer 1: not a list of experts"
	no "[[], [], [], []]" "no expert stays"
	no "{layers: ($ids), kept_experts: $ids}" "more than one of layers, kept_experts and pruned_experts"
	no "{layers: 5}" "no keep map: neither a list nor an object of layers"
	no "{pruned_experts: [[0, 1], [4, 1]]}" "pruned_experts: entry 1 is not a layer from 0 to 3"
	no "{pruned_experts: [[0, 1], [0, 1]]}" "layer 0: expert 1 is there twice"
	no "{pruned_experts: [[0, 1]]}" "layer 1 keeps 32 experts, but layer 0 keeps 31"
	local old='[range(24)] | map({key: "\(. + 1)", value: .}) | from_entries'
	no "[range(4)] | map($old) | .[2][\"3\"] = 24" "layer 2: expert 3: its new number is not from 0 to 23, or is given twice"
	no "[range(4)] | map($old) | .[2][\"3\"] = 5" "its new number is not from 0 to 23, or is given twice"
	no "[range(4)] | map($old) | .[2][\"32\"] = 24" "layer 2: '32' is neither kept_experts nor an expert from 0 to 31"
	no "[range(4)] | map($old) | .[2] |= (del(.[\"4\"]) | .[\"03\"] = 3)" "layer 2: expert 3 is there twice"
	no "[range(4)] | map([range(19)])" "not a multiple of 4" 2
	no "[range(4)] | map([range(3)])" "each token chooses 4" 2
	reap-cut --force --import <(jq -cn '[range(4)] | map([range(19)])') -m "$MODEL" | kept | jq -se 'all(length == 19)'
	echo '{"0": [1], "0": [1]}' >"$TMP/map.json"
	fails 1 "map.json" reap-cut --import "$TMP/map.json" -m "$MODEL"
	fails 1 "No such file" reap-cut --import "$TMP/none.json" -m "$MODEL"
}

@test "--import and --export: wrong usage" {
	scores >"$TMP/s"
	cut -n 24 "$TMP/s" >"$TMP/plan"
	echo '[]' >"$TMP/m"
	fails 2 "--import needs --model" reap-cut --import "$TMP/m"
	fails 2 "--import needs --model" reap-cut --import "$TMP/m" -m "$MODEL" -n 24
	fails 2 "--import needs --model" reap-cut --import "$TMP/m" -m "$MODEL" --core-count 1
	fails 2 "--import needs --model" reap-cut --import "$TMP/m" -m "$MODEL" "$TMP/s"
	fails 2 "only one of" reap-cut --import "$TMP/m" -m "$MODEL" --sweep
	fails 2 "only one of" reap-cut --export --compare "$TMP/plan" "$TMP/plan"
	fails 2 "--model belongs to" reap-cut -n 24 -m "$MODEL" "$TMP/s"
	fails 2 "scores are not a plan" reap-cut --export "$TMP/s"
	fails 2 "says itself how many stay" reap-cut --export -n 20 "$TMP/plan"
	fails 3 "kind plan, expected scores" reap-cut -n 24 "$TMP/plan"
	run bash -c "reap-cut --export '$TMP/plan' >/dev/full"
	[ "$status" -eq 1 ]
}
