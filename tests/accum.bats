#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# reap-accum: the sums are right, and the same for every order and division.
load helpers

gen() { "$REAP_BUILD/gen/trace" "$@"; } # LAYERS EXPERTS TOP_K TOKENS BLOCKS [FIRST STEP [OUTCOMES]]
small() { gen 3 8 2 24 5 "$@"; }
accum() { reap-accum -q --no-history "$@"; }
types() { reap-show -t "$1"; } # records of a type as JSON lines

# far A B: numbers at the same place that differ by more than 1e-9 of the larger,
# and anything else that differs.
far() {
	jq -n --slurpfile a "$1" --slurpfile b "$2" '
		def near($x; $y): if ($x | type) == "number" and ($y | type) == "number" then
			(($x - $y) | fabs) <= 1e-9 * ([($x | fabs), ($y | fabs)] | max) else $x == $y end;
		[$a[0] | paths(scalars)] as $p | [$b[0] | paths(scalars)] as $q |
		if $p != $q then "not the same fields" else
		$p[] | . as $at | ($a[0] | getpath($at)) as $x | ($b[0] | getpath($at)) as $y |
		select(near($x; $y) | not) | "\($at): \($x) and \($y)" end'
}

@test "sums, thresholds and regions are those of an independent implementation" {
	reap-show --encode trace tests/score/case.trace.jsonl >"$TMP/trace"
	for rule in code policy; do
		jq -c --arg rule $rule '{thresholds, tokens, regions: .regions[$rule], sums: [.sums[] |
			{layer, expert, count, sum_g, sum_n, sum_gn, sum_n2, sum_gn2, max_n} +
			{regions: .[$rule]}]}' tests/score/case.expected.json >"$TMP/want"
		accum --rule $rule "$TMP/trace" | reap-show | jq -cs '
			(.[] | select(.t == "thresholds")) as $t |
			{thresholds: ($t | {p_lo, h_lo, h_hi, samples}), tokens: $t.tokens,
			regions: ($t.regions | {good, conflict, uncertain}),
			sums: [.[] | select(.t == "expert") |
				{layer, expert, count, sum_g, sum_n, sum_gn, sum_n2, sum_gn2, max_n} +
				{regions: (.regions | map_values(.sum_gn))}]}' >"$TMP/got"
		run far <(jq -S . "$TMP/want") <(jq -S . "$TMP/got")
		[ -z "$output" ] || { echo "$rule: $output"; return 1; }
	done
}

@test "1, 3 and 16 shards, in any order, with any threads: the same bytes" {
	gen 4 16 4 60 33 >"$TMP/whole"
	accum "$TMP/whole" >"$TMP/sums"
	accum --by-pack "$TMP/whole" >"$TMP/by-pack"
	for n in 3 16; do
		local up=() down=()
		for ((i = 0; i < n; i++)); do
			gen 4 16 4 60 33 "$i" "$n" >"$TMP/$n.$i"
			up+=("$TMP/$n.$i")
			down=("$TMP/$n.$i" "${down[@]}")
		done
		accum --threads 1 "${up[@]}" | cmp - "$TMP/sums"
		accum --threads 5 "${down[@]}" | cmp - "$TMP/sums"
		accum --threads 3 -p "${down[@]}" | cmp - "$TMP/by-pack"
	done
}

@test "a file, standard input, a pipe and a FIFO give the same" {
	small >"$TMP/t"
	accum "$TMP/t" >"$TMP/sums"
	accum <"$TMP/t" | cmp - "$TMP/sums"
	accum - <"$TMP/t" | cmp - "$TMP/sums"
	# shellcheck disable=SC2002 # the pipe is what is tested
	cat "$TMP/t" | accum | cmp - "$TMP/sums"
	accum <(cat "$TMP/t") | cmp - "$TMP/sums"
	# Standard input where it stands, not from its start.
	{
		read -r _
		accum
	} < <(echo skipped && cat "$TMP/t") | cmp - "$TMP/sums"
	(echo skipped && cat "$TMP/t") >"$TMP/prefixed"
	{
		dd bs=8 count=1 of=/dev/null status=none
		accum
	} <"$TMP/prefixed" | cmp - "$TMP/sums"
}

@test "without outcomes or with --rule none: no regions, the other sums stay" {
	small 0 1 1 >"$TMP/t"
	small 0 1 0 >"$TMP/bare"
	accum --rule none "$TMP/t" >"$TMP/none"
	accum "$TMP/bare" | cmp - "$TMP/none"
	accum --rule none <(cat "$TMP/bare") | cmp - "$TMP/none"
	run reap-accum "$TMP/bare"
	[[ "$output" == *"no outcomes"* ]]
	types thresholds <"$TMP/none" | jq -e '.rule == "none" and .p_lo == null and .samples == 0'
	accum "$TMP/t" | types expert | jq -c 'del(.regions)' >"$TMP/a"
	types expert <"$TMP/none" | jq -c 'del(.regions)' | diff "$TMP/a" -
	[ "$(types expert <"$TMP/none" | jq -s 'map(.regions[].count) | add')" = 0 ]
}

@test "position 0 counts, but lies in no region" {
	small >"$TMP/t"
	first=$(types route <"$TMP/t" | jq -s '[.[] | select(.layer == 0 and .positions[0] == 0)] | length')
	[ "$first" -gt 0 ]
	accum "$TMP/t" | types thresholds | jq -e --argjson first "$first" \
		'.tokens - .samples == $first and (.regions | add) == .samples'
}

@test "--by-pack: the packs add up to the whole; --part: the parts do" {
	small >"$TMP/t"
	accum -p "$TMP/t" >"$TMP/p"
	[ "$(types thresholds <"$TMP/p" | jq -c .packs)" = '["pack0","pack1","pack2"]' ]
	types expert <"$TMP/p" | jq -se 'group_by([.layer, .expert])[] |
		(map(select(.pack == ""))[0]) as $all | map(select(.pack != "")) |
		(map(.count) | add) == $all.count and (map(.max_n) | max) == $all.max_n and
		((map(.sum_gn) | add) - $all.sum_gn | fabs) <= 1e-12 * $all.sum_gn' >/dev/null
	# Quantiles of one pack's tokens would be others: sets share the thresholds.
	accum "$TMP/t" | types expert | diff - <(types expert <"$TMP/p" | head -n 24)
	for i in 1 2; do
		small $((i - 1)) 2 | accum >"$TMP/want"
		accum --part $i/2 "$TMP/t" | cmp - "$TMP/want"
	done
}

shard() { # NUMBER BACKEND: one of two
	gen 2 8 2 10 4 "$1" 2 | reap-show | jq -c "if .reap then .backend = \"$2\" else . end" |
		reap-show --encode trace --no-history
}

@test "traces of different arithmetic: added up, and said" {
	shard 0 one >"$TMP/0"
	shard 1 two >"$TMP/1"
	reap-accum --no-history "$TMP/0" "$TMP/1" >"$TMP/mixed" 2>"$TMP/err"
	grep 'different arithmetic' "$TMP/err"
	shard 1 one >"$TMP/1"
	reap-accum --no-history "$TMP/0" "$TMP/1" 2>"$TMP/err" | cmp - "$TMP/mixed"
	[ ! -s "$TMP/err" ]
	# So is one whose parts were made with different arithmetic.
	shard 0 "one + two" >"$TMP/0"
	reap-accum --no-history "$TMP/0" >/dev/null 2>"$TMP/err"
	grep 'different arithmetic' "$TMP/err"
}

@test "inputs in 8 bits add up with their like only; all that is made of them says so" {
	local not="not made with inputs of experts in 8 bits (REAP_GEMM=i8), but"
	local f coarse="gemm: i8 (i8); kernels: avx2"
	shard 0 "$coarse" >"$TMP/0"
	shard 1 "$coarse" >"$TMP/1"
	shard 1 one >"$TMP/other"
	fails 1 "$TMP/other: $not $TMP/0 was" reap-accum -q "$TMP/0" "$TMP/other"
	fails 1 "$TMP/0: ${not#not }" reap-accum -q "$TMP/other" "$TMP/0"
	for f in 0 1 other; do accum --rule none "$TMP/$f" >"$TMP/s$f"; done
	fails 1 "$TMP/sother: $not $TMP/s0 was" reap-accum --merge "$TMP/s0" "$TMP/sother"
	reap-accum --merge "$TMP/s0" "$TMP/s1" >"$TMP/merged"
	accum "$TMP/0" "$TMP/1" >"$TMP/saliency"
	reap-rank -q "$TMP/saliency" >"$TMP/scores"
	reap-rank -q --yaml "$TMP/saliency" >"$TMP/yaml"
	reap-cut -q -n 4 "$TMP/yaml" >"$TMP/plan"
	for f in merged saliency scores plan; do
		reap-show "$TMP/$f" | jq -se '.[0].precision == "i8"' >/dev/null || { echo "$f"; return 1; }
	done
	grep -x '  precision: i8' "$TMP/yaml"
	reap-show --summary "$TMP/plan" | grep -x 'precision i8'
	reap-show "$TMP/saliency" | reap-show --encode saliency --no-history | cmp - "$TMP/saliency"
	run jq -e .precision <(reap-show "$TMP/sother")
	[ "$status" -ne 0 ]
	# Neither the table nor a header can be made to say something else.
	sed '/  precision: i8/d' "$TMP/yaml" >"$TMP/x"
	fails 3 "scores_sha256" reap-cut -n 4 "$TMP/x"
	sed 's/  precision: i8/  precision: i4/' "$TMP/yaml" >"$TMP/x"
	fails 3 "precision: 'i4', not i8" reap-cut -n 4 "$TMP/x"
	reap-show "$TMP/plan" | sed 's/"precision":"i8"/"precision":"i4"/' >"$TMP/x"
	fails 1 "precision: 'i4', not i8" reap-show --encode plan "$TMP/x"
	reap-show "$TMP/other" | sed '1s/"recipe"/"precision":"i8",&/' >"$TMP/x"
	fails 1 "precision: not of a stream of kind trace" reap-show --encode trace "$TMP/x"
	for f in 0 other; do reap-rank -q --method reap "$TMP/s$f" >"$TMP/h$f"; done
	fails 1 "$TMP/hother: $not $TMP/scores was" reap-cut --sweep --half "$TMP/h0" --half "$TMP/hother" "$TMP/scores"
}

@test "digests in headers are digests" {
	small | accum >"$TMP/s"
	reap-show "$TMP/s" | sed '1s/"digest":"a/"digest":"x/' >"$TMP/x"
	fails 1 "digest: not 64 lower-case hex digits" reap-show --encode saliency "$TMP/x"
	reap-show "$TMP/s" | jq -c 'if .reap then .recipe = {name: "r", digest: "e"} else . end' >"$TMP/x"
	fails 1 "digest: not 64 lower-case hex digits" reap-show --encode saliency "$TMP/x"
	reap-rank -q --yaml "$TMP/s" >"$TMP/yaml"
	for key in model_digest scores_sha256 tokens_sha256; do
		sed "s/\($key: \"\)./\1-/" "$TMP/yaml" >"$TMP/x"
		fails 3 "$key: not 64 lower-case hex digits" reap-cut -n 4 "$TMP/x"
	done
	sed 's/^  model_id: .*/&\n  recipe: {name: r, digest: e}/' "$TMP/yaml" >"$TMP/x"
	fails 3 "digest: not 64 lower-case hex digits" reap-cut -n 4 "$TMP/x"
}

@test "--merge: exact, in any order, and careful about what it merges" {
	for i in 0 1 2; do small "$i" 3 | accum --rule none >"$TMP/$i"; done
	reap-accum --merge --no-history "$TMP/0" "$TMP/1" "$TMP/2" >"$TMP/012"
	reap-accum --merge --no-history "$TMP/2" "$TMP/0" "$TMP/1" | cmp - "$TMP/012"
	small | accum --rule none >"$TMP/all"
	far <(types expert <"$TMP/all" | jq -s .) <(types expert <"$TMP/012" | jq -s .) >"$TMP/far"
	[ ! -s "$TMP/far" ]
	reap-accum --merge --no-history "$TMP/all" | cmp - "$TMP/all"

	small 0 2 | accum >"$TMP/a"
	small 1 2 | accum >"$TMP/b"
	[ "$(reap-accum --merge "$TMP/a" "$TMP/b" 2>&1 >/dev/null)" = "reap-accum: thresholds differ: eaft_* uses the regions that each stream has by its own; traces that are added up together have one set of thresholds" ]
	reap-accum -q --merge "$TMP/a" "$TMP/b" 2>/dev/null | types thresholds | jq -e '.p_lo == null and .rule == "code"'
	fails 1 "rule none, but" reap-accum --merge "$TMP/0" "$TMP/a"
	small 1 2 | accum --cc-quantile 0.2 >"$TMP/q"
	fails 1 "quantiles" reap-accum --merge "$TMP/a" "$TMP/q"
	small 1 2 | accum --by-pack >"$TMP/p"
	fails 1 "packs" reap-accum --merge "$TMP/a" "$TMP/p"
	gen 3 9 2 24 5 | accum >"$TMP/nine"
	fails 1 "8 experts, but $TMP/nine has 9" reap-accum --merge "$TMP/a" "$TMP/nine"
	fails 2 "--rule" reap-accum --merge --rule code "$TMP/a"
}

@test "--merge keeps per-pack sums of different packs apart" {
	small 0 3 | accum -p >"$TMP/0" # pack0
	small 1 3 | accum -p >"$TMP/1" # pack1
	reap-accum -q --merge "$TMP/1" "$TMP/0" 2>/dev/null >"$TMP/m"
	[ "$(types thresholds <"$TMP/m" | jq -c .packs)" = '["pack0","pack1"]' ]
	types expert <"$TMP/m" | jq -c 'select(.pack == "pack1")' |
		diff - <(types expert <"$TMP/1" | jq -c 'select(.pack == "pack1")')
}

@test "traces that do not fit together" {
	small 0 2 >"$TMP/a"
	small 1 2 >"$TMP/b"
	fails 1 "$TMP/a: has block 0, and so has $TMP/a" reap-accum -q "$TMP/a" "$TMP/a"
	small 2 1 >"$TMP/c"
	fails 1 "$TMP/c: has block 2, and so has $TMP/a" reap-accum -q --rule none "$TMP/a" "$TMP/c"
	sed_trace() { reap-show "$TMP/b" | sed "$1" | reap-show --encode trace >"$TMP/c"; }
	sed_trace 's/"digest":"a/"digest":"b/'
	fails 1 "$TMP/a: model digest aaaaaaaaaaaaaaaa..., but $TMP/c has baaa" reap-accum -q "$TMP/a" "$TMP/c"
	fails 3 "block 1 has no outcome, unlike the first block" reap-accum -q "$TMP/a" <(small 1 2 0)
	run reap-accum "$TMP/b"
	[[ "$output" == *"3 of the 5 blocks of the token stream are missing"* ]]
}

@test "traces of other tokens or another recipe are refused, and both are named" {
	small 0 2 >"$TMP/a"
	edit() { small 1 2 | reap-show | jq -c "$1" | reap-show --encode trace >"$TMP/b"; }
	for rule in code none; do
		edit 'if .t == "source" then .tokens_sha256 = "f" * 64 else . end'
		fails 1 "$TMP/b: made from the tokens ffffffffffffffff..., but $TMP/a from 0000" \
			reap-accum -q --rule $rule "$TMP/a" "$TMP/b"
		edit 'if .reap then .recipe = {name: "other", digest: ("e" * 64)} else . end'
		fails 1 "$TMP/b: made by recipe other eeeeeeeeeeeeeeee, but $TMP/a by (none)" \
			reap-accum -q --rule $rule "$TMP/a" "$TMP/b"
		edit 'select(.t != "source")'
		fails 3 "$TMP/b: no source record" reap-accum -q --rule $rule "$TMP/a" "$TMP/b"
		edit 'if .t == "source" then ., . else . end'
		fails 3 "follows the source record" reap-accum -q --rule $rule "$TMP/a" "$TMP/b"
		edit 'if .t == "source" then .blocks = 3 else . end'
		fails 3 "blocks: 3 of the token stream" reap-accum -q --rule $rule "$TMP/b"
	done
}

@test "what the records of a block say of it is the same" {
	edit() { small | reap-show | jq -c "if $1 then $2 else . end" | reap-show --encode trace >"$TMP/b"; }
	for rule in code none; do
		for record in '.t == "outcome" and .block == 1' '.t == "route" and .block == 1 and .layer == 1'; do
			edit "$record" '.pack = "other"'
			fails 3 "$TMP/b: block 1: pack other in one record, but pack" \
				reap-accum -q --rule $rule "$TMP/b"
			edit "$record" '.block_sha256 = "f" * 64'
			fails 3 "$TMP/b: block 1: block_sha256 ffff" reap-accum -q --rule $rule "$TMP/b"
		done
	done
}

@test "a saliency names the blocks that are in it" {
	small >"$TMP/t"
	taken() { types source | jq -c '[.tokens_sha256[30:32], .blocks, .taken[]]'; }
	[ "$(accum "$TMP/t" | taken)" = '["18",5,31]' ]
	[ "$(small 1 2 | accum | taken)" = '["18",5,10]' ]
	[ "$(small 1 2 | accum --rule none | taken)" = '["18",5,10]' ]
	[ "$(accum --part 2/3 "$TMP/t" | taken)" = '["18",5,18]' ]
	accum "$TMP/t" | reap-rank | reap-show -t meta | jq -e '.sources == [{tokens_sha256:
		.sources[0].tokens_sha256, blocks: 5, taken: 5}]'
}

@test "--merge: no block twice, and no part of one run with another" {
	for i in 0 1 2; do small "$i" 3 | accum >"$TMP/$i"; done
	merge() { reap-accum -q --merge --no-history "$@"; }
	fails 1 "$TMP/0: has block 0 of the tokens 0000000000000000..., and so has $TMP/0" merge "$TMP/0" "$TMP/0"
	small 1 2 | accum >"$TMP/odd"
	fails 1 "$TMP/odd: has block 1 of the tokens 0000000000000000..., and so has $TMP/1" \
		merge "$TMP/2" "$TMP/1" "$TMP/odd"
	merge "$TMP/0" "$TMP/1" >"$TMP/01"
	[ "$(reap-accum --merge "$TMP/0" "$TMP/1" 2>&1 >/dev/null | grep missing)" = \
		"reap-accum: 1 of the 5 blocks of the token stream are missing" ]
	reap-show -s "$TMP/01" | grep '^source .* blocks=5 taken=4$'
	reap-rank "$TMP/01" | reap-show -s | grep '^source .* blocks=5 taken=4$'
	fails 1 "$TMP/1: has block 1 of the tokens 0000000000000000..., and so has $TMP/01" merge "$TMP/01" "$TMP/1"
	merge "$TMP/01" "$TMP/2" >"$TMP/012"
	gen 3 8 2 30 2 | accum >"$TMP/other"
	fails 1 "$TMP/01: has only 4 of 5 blocks of the tokens 0000000000000000..., and $TMP/other is of other tokens" \
		merge "$TMP/other" "$TMP/01"
	merge "$TMP/012" "$TMP/other" >"$TMP/both"
	merge "$TMP/other" "$TMP/012" | cmp - "$TMP/both"
	[ "$(types source <"$TMP/both" | jq -s length)" -eq 2 ]
	# Shards of one token stream are of one recipe; whole runs need not be.
	recipe() {
		reap-show "$1" | jq -c 'if .reap then .recipe = {name: "r", digest: ("e" * 64)} else . end' |
			reap-show --encode saliency --no-history
	}
	recipe "$TMP/2" >"$TMP/2r"
	fails 1 "$TMP/2r: made by recipe r eeeeeeeeeeeeeeee, but $TMP/01 by (none)" merge "$TMP/01" "$TMP/2r"
	recipe "$TMP/other" >"$TMP/other-r"
	merge "$TMP/012" "$TMP/other-r" | types expert | diff - <(types expert <"$TMP/both")
	reap-show "$TMP/2" | jq -c 'if .t == "source" then .taken = [36] else . end' |
		reap-show --encode saliency >"$TMP/x"
	fails 3 "a block beyond the 5" reap-rank "$TMP/x"
	# A part that says of itself that it is none would add up with itself.
	reap-show "$TMP/2" | jq -c 'if .t == "source" then .taken = [0] else . end' |
		reap-show --encode saliency >"$TMP/x"
	fails 3 "but only 0 blocks of its sources are in the sums" merge "$TMP/x" "$TMP/2"
	fails 3 "but only 0 blocks of its sources are in the sums" reap-rank "$TMP/x"
	reap-show "$TMP/2" | jq -c 'select(.t != "source")' | reap-show --encode saliency >"$TMP/x"
	fails 3 "no source record" reap-rank "$TMP/x"
}

@test "--merge: the same rows under another name, and what nothing can tell" {
	head -n 6 "$PACKS/calib_prompt.calib.jsonl" >"$TMP/a.jsonl"
	cp "$TMP/a.jsonl" "$TMP/b.jsonl"
	tail -n 3 "$TMP/a.jsonl" >"$TMP/c.jsonl"
	for name in a b c; do
		reap-tokenize -q -m "$MODEL" --rows --max-len 64 "$TMP/$name.jsonl" | reap-route -q -m "$MODEL" | reap-accum -q >"$TMP/$name"
	done
	fails 1 "$TMP/b: every sum is that of $TMP/a: the same rows under another name?" reap-accum --merge "$TMP/a" "$TMP/b"
	fails 1 "$TMP/b: every sum is that of $TMP/a: the same rows under another name?" reap-accum --merge "$TMP/c" "$TMP/a" "$TMP/b"
	# Rows that overlap: as the page says, they count twice.
	reap-accum -q --merge "$TMP/a" "$TMP/c" >"$TMP/merged"
}

@test "records out of order, missing and foreign: exit 3, named" {
	small >"$TMP/t"
	edit() { reap-show "$TMP/t" | jq -c "$1" | reap-show --encode trace >"$TMP/x"; }
	for rule in code none; do
		edit 'select(.t != "route" or .block != 1 or .layer != 2)'
		fails 3 "block 1 has no route for layer 2" reap-accum -q --rule $rule "$TMP/x"
		edit 'if .t == "route" and .block == 2 then .layer = 2 - .layer else . end'
		fails 3 "block 2: layer 1 after layer 2" reap-accum -q --rule $rule "$TMP/x"
		edit 'if .t == "outcome" and .block == 1 then .block = 7 else . end'
		fails 3 "block 7: an outcome that does not follow" reap-accum -q --rule $rule "$TMP/x"
		edit 'if .t == "outcome" then .t = "outcast" else . end'
		fails 3 "unknown type 'outcast'" reap-accum -q --rule $rule "$TMP/x"
		edit 'if .t == "route" and .block == 3 and .layer == 1 then .norms[0][0] = -1 else . end'
		fails 3 "norms" reap-accum -q --rule $rule "$TMP/x"
		edit 'if .t == "route" and .block == 0 then .block = 4294967296 else . end'
		fails 3 "beyond the limit" reap-accum -q --rule $rule "$TMP/x"
	done
	edit 'if .t == "outcome" and .block == 1 then .positions[3] += 1 else . end'
	fails 3 "does not have the positions of the outcome" reap-accum -q "$TMP/x"
	edit 'if .t == "outcome" and .block == 1 then .entropy[0] = 1.5 else . end'
	fails 3 "entropy" reap-accum -q "$TMP/x"
}

@test "nothing to take quantiles of" {
	gen 2 4 2 8 0 >"$TMP/empty"
	accum --rule none "$TMP/empty" | types thresholds | jq -e '.tokens == 0'
	gen 2 4 2 1 1 >"$TMP/first" # one block, one token, at position 0
	fails 1 "--rule none" reap-accum -q "$TMP/first"
	gen 2 4 2 1 2 1 1 >"$TMP/one" # one token
	accum "$TMP/one" | types thresholds | jq -e '.samples == 1 and .regions.good == 1'
}

@test "a trace cut anywhere is exit 3" {
	small >"$TMP/t"
	cut_everywhere "$TMP/t" reap-accum -q
	small 0 4 0 >"$TMP/bare"
	head -c 700 "$TMP/bare" >"$TMP/cut"
	fails 3 truncated reap-accum -q --rule none "$TMP/cut"
	fails 3 truncated reap-accum -q "$TMP/t" "$TMP/cut"
	small 1 2 | accum >"$TMP/s"
	head -c 900 "$TMP/s" >"$TMP/cut"
	fails 3 truncated reap-accum --merge "$TMP/cut"
}

@test "no room: for the result, for the temporary file" {
	small >"$TMP/t"
	run bash -c "reap-accum -q '$TMP/t' >/dev/full"
	[ "$status" -eq 1 ]
	[[ "$output" == *"No space left"* ]]
	TMPDIR=$TMP/none fails 1 "none/reap-" reap-accum -q "$TMP/t"
	run bash -c "reap-accum -q '$TMP/t' >&-"
	[ "$status" -eq 1 ]
	! compgen -G "$TMP/reap-*" || return 1
}

@test "what comes through a pipe and is no stream is not copied first: it may have no end" {
	local zeros="head -c 64000000 /dev/zero"
	ulimit -f 40000 # KiB
	fails 3 "does not begin with the header of a reap stream" reap-accum -q <($zeros)
	fails 3 "more than 16777216 bytes of text" reap-rank -q <($zeros)
	fails 3 "more than 16777216 bytes of text" reap-cut -q --keep-n 4 <($zeros)
	fails 3 "does not begin with the header of a reap stream" reap-accum -q <(printf '\x81\xc1'; $zeros)
}

@test "memory does not grow with the trace" {
	[[ "$REAP_BUILD" != *san* && "$REAP_BUILD" != *fuzz* ]] || skip "address space of a sanitizer"
	gen 8 32 4 1024 120 >"$TMP/t"
	[ "$(stat -c %s "$TMP/t")" -gt 35000000 ]
	(ulimit -v 100000 && accum --threads 2 "$TMP/t" >"$TMP/s")
	reap-show "$TMP/s" >/dev/null
}

@test "options that mean nothing are refused" {
	fails 2 "--rule" reap-accum --rule codex
	fails 2 "--cc-quantile" reap-accum --cc-quantile 1.5
	fails 2 "--cc-quantile 0.9 is above --uncertain-quantile 0.1" reap-accum --cc-quantile 0.9 --uncertain-quantile 0.1
	fails 2 "--cc-quantile 0.9 is above --uncertain-quantile 0.85" reap-accum --cc-quantile 0.9
	fails 2 "--part" reap-accum --part 3/2
	fails 2 "--part" reap-accum --part 2
	fails 2 "--part" reap-accum --part 0/2
}

@test "the history of all inputs, each command once" {
	for i in 0 1; do small "$i" 2 | reap-show | reap-show --encode trace >"$TMP/$i"; done
	reap-accum -q "$TMP/0" "$TMP/1" | reap-show | sed -n 1p >"$TMP/h"
	[ "$(jq -c '[.history[].tool]' "$TMP/h")" = '["reap-show","reap-accum"]' ]
	small 1 2 | reap-show | cat | reap-show --encode trace - >"$TMP/1"
	reap-accum -q "$TMP/0" "$TMP/1" | reap-show | sed -n 1p >"$TMP/h"
	[ "$(jq -c '[.history[].tool]' "$TMP/h")" = '["reap-show","reap-show","reap-accum"]' ]
}
