#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# reap-ppl: the eval of the embedded model, in one piece and in several.
load helpers

# Two packs and their union, small.
setup_file() {
	export TOKENS=$BATS_FILE_TMPDIR/tokens EVAL=$BATS_FILE_TMPDIR/eval
	reap-tokenize -m "$MODEL" --seq-len 64,128 --blocks 5 --union UNION \
		"$PACKS/tool_agentic.eval.jsonl" "$PACKS/reasoning_style.eval.jsonl" >"$TOKENS"
	reap-ppl -m "$MODEL" --no-history "$TOKENS" >"$EVAL"
}

ppl() {
	reap-ppl -q -m "$MODEL" --no-history "$@"
}

@test "standard options" {
	standard_options reap-ppl
}

@test "wrong usage is exit 2" {
	fails 2 "--model" reap-ppl "$TOKENS"
	fails 2 "of the form XxY" reap-ppl -m "$MODEL" --bins 160 "$TOKENS"
	fails 2 "within 1..2" reap-ppl -m "$MODEL" --shard 3/2 "$TOKENS"
	fails 2 "0" reap-ppl -m "$MODEL" --shard 0/2 "$TOKENS"
	fails 2 "--prob-scale: 'cubic' is not linear or log" reap-ppl -m "$MODEL" --prob-scale cubic "$TOKENS"
	fails 2 "not below" reap-ppl -m "$MODEL" --prob-scale log --logp-min -1 --logp-max -2 "$TOKENS"
	fails 2 "one token stream" reap-ppl -m "$MODEL" "$TOKENS" "$TOKENS"
	fails 2 "--merge" reap-ppl --merge
	fails 2 "--merge" reap-ppl --merge -m "$MODEL" "$EVAL"
	fails 2 "--entropy-topk" reap-ppl -m "$MODEL" -k 1 "$TOKENS"
	fails 2 "'4' is not a number within 1..3" reap-ppl -m "$MODEL" --look 4 "$TOKENS"
	fails 2 "--look: without tokens" reap-ppl -m "$MODEL" --look 1 --no-tokens "$TOKENS"
	fails 2 "--resume: 2 evals at most" reap-ppl -m "$MODEL" --resume "$EVAL" --resume "$EVAL" --resume "$EVAL" "$TOKENS"
}

@test "what is scored: the kept tokens but position 0, with their ids and channels" {
	reap-show -t block "$TOKENS" | jq -c '[.index, .pack, ([range(1; .ids | length) as $i |
		select(.keep[$i] == 1) | [$i, .ids[$i], .channel[$i]]])]' >"$TMP/want"
	reap-show -t tokens "$EVAL" | jq -c '[.block, .pack,
		([.positions, .ids, .channel] | transpose)]' >"$TMP/got"
	diff "$TMP/want" "$TMP/got"
}

@test "the rows of each block go along; a resumed eval must have the same" {
	reap-show -t block "$TOKENS" | jq -ce '[.rows, .starts]' >"$TMP/want"
	reap-show -t tokens "$EVAL" | jq -ce '[.rows, .starts]' | diff "$TMP/want" -
	# Blocks of one union share rows with the blocks of its packs.
	[ "$(jq -s '[.[][0][]] | length > (unique | length)' "$TMP/want")" = true ]
	reap-show "$EVAL" | jq -c 'if .t == "tokens" then .rows[0] += 1 else . end' |
		reap-show --encode eval --no-history >"$TMP/other"
	truncate -s 20000 "$TMP/other"
	run reap-ppl -q -m "$MODEL" --resume "$TMP/other" "$TOKENS"
	[ "$status" -eq 1 ]
	[[ "$output" == *"$TMP/other: block 0 was made of other rows than that of the token stream"* ]]
	# A channel is named.
	reap-show "$EVAL" | jq -c 'if .t == "tokens" then .channel |= map(5 - .) else . end' |
		reap-show --encode eval --no-history >"$TMP/other"
	truncate -s 20000 "$TMP/other"
	run reap-ppl -q -m "$MODEL" --resume "$TMP/other" "$TOKENS"
	[ "$status" -eq 1 ]
	[[ "$output" =~ "$TMP/other: block "[0-9]+": token "[0-9]+" ("[a-z_]+") at position "[0-9]+", but the token stream has "[0-9]+" (" ]]
}

@test "metrics follow from the tokens" {
	reap-show "$EVAL" | jq -ces '
		# f32 values are printed with the digits that give them back, hence 1e-7
		[.[] | select(.t == "tokens")] as $t |
		[.[] | select(.t == "metrics")] | length == 6 and all(.[]; . as $m |
			[$t[] | select(.pack == $m.pack and .seq_len == $m.seq_len)] as $mine |
			[$mine[].nll[]] as $nll | ($nll | length) as $n |
			($mine | length) == $m.blocks and $n == $m.kept_tokens and
			(($nll | add / $n) - $m.mean_nll | fabs < 1e-7) and
			(($m.mean_nll | exp) - $m.ppl | fabs < 1e-7) and
			(([$nll[] | -. | exp] | add / $n) - $m.mean_prob | fabs < 1e-7) and
			(([$mine[].entropy[]] | add / $n) - $m.mean_entropy | fabs < 1e-7) and
			([$mine[] | [.best, .ids] | transpose[] | select(.[0] == .[1])] | length) == $m.top1_count and
			([$m.hist2d[][]] | add) == $n and ($m.quadrants.LL == $m.cc_rate))'
}

@test "threads, memory, standard input: the same bytes" {
	ppl --threads 1 "$TOKENS" | cmp - "$EVAL"
	ppl --threads 3 - <"$TOKENS" | cmp - "$EVAL"
	ppl --memory "$(least_memory ppl "$TOKENS")" "$TOKENS" | cmp - "$EVAL"
}

@test "shards in any order are the whole, with tokens and without" {
	for n in 1 2 3 7; do
		shards=()
		for ((i = n; i > 0; i--)); do
			ppl --shard $i/$n "$TOKENS" >"$TMP/$i"
			shards+=("$TMP/$i")
		done
		reap-ppl --merge --no-history "${shards[@]}" | cmp - "$EVAL"
	done
	ppl --no-tokens "$TOKENS" >"$TMP/whole"
	for i in 1 2 3; do
		ppl --no-tokens --shard $i/3 "$TOKENS" >"$TMP/$i"
	done
	reap-ppl --merge --no-history "$TMP/2" "$TMP/1" "$TMP/3" | cmp - "$TMP/whole"
}

@test "shards that do not make a whole are refused" {
	for i in 1 2 3; do
		ppl --shard $i/3 "$TOKENS" >"$TMP/$i"
	done
	fails 1 "but 2 were named" reap-ppl --merge "$TMP/1" "$TMP/2"
	fails 1 "and so is" reap-ppl --merge "$TMP/1" "$TMP/2" "$TMP/2"
	ppl --shard 3/3 --bins 8x8 "$TOKENS" >"$TMP/other"
	fails 1 "bins" reap-ppl --merge "$TMP/1" "$TMP/2" "$TMP/other"
	reap-tokenize -m "$MODEL" --seq-len 64,128 --blocks 4 --union UNION \
		"$PACKS/tool_agentic.eval.jsonl" "$PACKS/reasoning_style.eval.jsonl" >"$TMP/tokens"
	ppl --shard 3/3 "$TMP/tokens" >"$TMP/other"
	run reap-ppl --merge "$TMP/1" "$TMP/2" "$TMP/other"
	[ "$status" -ne 0 ]
	head -c 2000 "$TMP/2" >"$TMP/cut"
	run bash -c "reap-ppl --merge $TMP/1 $TMP/cut $TMP/3 >$TMP/out"
	[ "$status" -eq 3 ]
	run reap-show "$TMP/out"
	[ "$status" -eq 3 ]
}

@test "resuming gives what an uninterrupted run gives, wherever it broke off" {
	size=$(stat -c %s "$EVAL")
	for at in 0 5 300 $((size / 3)) $((size / 2)) $((size * 9 / 10)) $((size - 1)) "$size"; do
		head -c "$at" "$EVAL" >"$TMP/broken"
		ppl --resume "$TMP/broken" "$TOKENS" | cmp - "$EVAL" || { echo "at $at"; return 1; }
	done
	ppl --no-tokens "$TOKENS" >"$TMP/whole"
	size=$(stat -c %s "$TMP/whole")
	for at in 400 $((size / 2)) $((size - 1)); do
		head -c "$at" "$TMP/whole" >"$TMP/broken"
		ppl --no-tokens --resume "$TMP/broken" "$TOKENS" | cmp - "$TMP/whole"
	done
	# --resume does not show in the history.
	reap-ppl -q -m "$MODEL" "$TOKENS" >"$TMP/whole"
	head -c 5000 "$TMP/whole" >"$TMP/broken"
	reap-ppl -q -m "$MODEL" --resume "$TMP/broken" "$TOKENS" | cmp - "$TMP/whole"
	run bash -c "reap-ppl -m $MODEL --resume $EVAL $TOKENS 2>&1 >$TMP/out"
	[[ "$output" == *"took over 30 blocks"* ]]
}

@test "resuming a run that ended at any kind of place: what is whole is taken over" {
	local bins=(-m "$MODEL" --bins 8x6)
	for i in 1 2 3; do
		printf '{"input_ids": [7, 8, %s, 9], "keep_mask": [1, 1, 0, 1]}\n' $i
	done >"$TMP/a.jsonl"
	echo '{"input_ids": [1, 2], "keep_mask": [0, 1]}' >"$TMP/b.jsonl"
	reap-tokenize -m "$MODEL" --rows "$TMP/a.jsonl" "$TMP/b.jsonl" >"$TMP/tokens"
	reap-ppl "${bins[@]}" "$TMP/tokens" >"$TMP/whole"
	"$REAP_BUILD/gen/cuts" "$TMP/whole" tokens >"$TMP/cuts"
	[ "$(wc -l <"$TMP/cuts")" -gt 50 ]
	resumes "$TMP/whole" reap-ppl "${bins[@]}" "$TMP/tokens" <"$TMP/cuts"
	reap-ppl "${bins[@]}" --no-tokens "$TMP/tokens" >"$TMP/whole"
	"$REAP_BUILD/gen/cuts" "$TMP/whole" metrics |
		resumes "$TMP/whole" reap-ppl "${bins[@]}" --no-tokens "$TMP/tokens"
}

@test "resuming after an end in the middle of a write, and after kill -9" {
	for n in 1 2 30; do
		(ulimit -c 0 -f $n; ppl "$TOKENS" >"$TMP/part") 2>/dev/null || [ $? -eq 153 ]
		[ "$(stat -c %s "$TMP/part")" -eq $((n * 1024)) ]
		ppl --resume "$TMP/part" "$TOKENS" | cmp - "$EVAL"
	done
	for n in 1 2 3; do
		ppl "$TOKENS" >"$TMP/part" &
		pid=$!
		sleep "0.0$n"
		kill -9 "$pid" 2>/dev/null || true
		wait "$pid" || true
		ppl --resume "$TMP/part" "$TOKENS" | cmp - "$EVAL"
	done
}

# blocks EVAL
blocks() {
	reap-show -t tokens "$1" | jq .block
}

@test "looks: an eighth, a quarter and half of the blocks, each with those before" {
	for l in 1 2 3; do
		ppl --look $l "$TOKENS" >"$TMP/$l"
		[ "$(reap-show -t meta "$TMP/$l" | jq .look)" -eq $l ]
		blocks "$TMP/$l" | sort >"$TMP/$l.blocks"
		# Of the 24 blocks that fill groups of eight.
		[ "$(awk '$1 < 24' "$TMP/$l.blocks" | wc -l)" -eq $((3 << (l - 1))) ]
		# Their records are those of the whole.
		reap-show -t tokens "$EVAL" | jq -c --slurpfile b "$TMP/$l.blocks" 'select(.block as $n | $b | any(. == $n))' |
			diff - <(reap-show -t tokens "$TMP/$l" | jq -c .)
	done
	[ "$(comm -13 "$TMP/2.blocks" "$TMP/1.blocks")$(comm -13 "$TMP/3.blocks" "$TMP/2.blocks")" = "" ]
	# What the metrics say of the data is said of all.
	reap-show -t metrics "$TMP/1" | jq -c '[.pack, .seq_len, .blocks, .tokens, .kept, .blocks_sha256]' |
		diff - <(reap-show -t metrics "$EVAL" | jq -c '[.pack, .seq_len, .blocks, .tokens, .kept, .blocks_sha256]')
	[ "$(reap-show -t metrics "$TMP/1" | jq -s 'map(.scored_blocks) | add')" -eq "$(wc -l <"$TMP/1.blocks")" ]
	[ "$(ppl --dry-run --look 2 "$TOKENS" | awk '$1 == "blocks" { print $2 }')" -eq "$(wc -l <"$TMP/2.blocks")" ]
}

# took TEXT: of --resume, on standard error of the command in $TMP/said.
took() {
	grep -c "took over $1 blocks" "$TMP/said"
}

@test "looks: going on gives the bytes of a run from the beginning" {
	local memory
	memory=$(least_memory ppl "$TOKENS")
	for l in 1 2 3; do
		reap-ppl -m "$MODEL" --look $l "$TOKENS" >"$TMP/$l" 2>/dev/null
	done
	reap-ppl -m "$MODEL" "$TOKENS" >"$TMP/4" 2>/dev/null
	reap-ppl -m "$MODEL" --look 2 --resume "$TMP/1" "$TOKENS" 2>"$TMP/said" | cmp - "$TMP/2"
	took "$(blocks "$TMP/1" | wc -l)"
	[ -z "$(grep ' 0 ' "$TMP/said")" ]
	# In chunks of few blocks, and all at once.
	for m in "$memory" 1G; do
		reap-ppl -m "$MODEL" --no-history --memory "$m" --resume "$TMP/3" "$TOKENS" 2>"$TMP/said" | cmp - "$EVAL"
		took "$(blocks "$TMP/3" | wc -l)"
	done
	reap-ppl -m "$MODEL" --resume "$TMP/3" "$TOKENS" 2>/dev/null | cmp - "$TMP/4"
	# Of what is there already, nothing is computed.
	reap-ppl -m "$MODEL" --look 1 --resume "$TMP/4" "$TOKENS" 2>"$TMP/said" | cmp - "$TMP/1"
	took "$(blocks "$TMP/1" | wc -l)"
	# And of an interrupted run, too; neither shows in the history.
	size=$(stat -c %s "$TMP/4")
	for at in 500 $((size / 3)) $((size - 1)); do
		head -c "$at" "$TMP/4" >"$TMP/part"
		reap-ppl -m "$MODEL" --resume "$TMP/part" --resume "$TMP/2" "$TOKENS" 2>/dev/null | cmp - "$TMP/4"
		reap-ppl -m "$MODEL" --resume "$TMP/2" --resume "$TMP/part" "$TOKENS" 2>/dev/null | cmp - "$TMP/4"
	done
	# Half of a whole run is not an earlier look.
	reap-show "$TMP/4" | jq -c 'select(.block == 3 | not)' | reap-show --encode eval >"$TMP/hole"
	run bash -c "reap-ppl -q -m $MODEL --resume $TMP/hole $TOKENS >$TMP/out"
	[ "$status" -eq 3 ]
	[[ "$output" == *"block 3 of the token stream is not there"* ]]
	# Nor is half of one.
	hole=$(blocks "$TMP/2" | sed -n 3p)
	reap-show "$TMP/2" | jq -c "select(.block == $hole | not)" | reap-show --encode eval >"$TMP/hole"
	run bash -c "reap-ppl -q -m $MODEL --resume $TMP/hole $TOKENS >$TMP/out"
	[ "$status" -eq 3 ]
	[[ "$output" == *"block $hole of the token stream is not there"* ]]
}

@test "looks in shards: joined they are the look; one look is taken over by shards of the next" {
	for l in 1 2; do
		ppl --look $l "$TOKENS" >"$TMP/look$l"
		for i in 1 2 3; do
			ppl --look $l --shard $i/3 "$TOKENS" >"$TMP/$l.$i"
		done
		reap-ppl --merge --no-history "$TMP/$l".? | cmp - "$TMP/look$l"
	done
	for i in 1 2 3; do
		ppl --shard $i/3 --resume "$TMP/look2" "$TOKENS" >"$TMP/$i"
		ppl --shard $i/3 --resume "$TMP/2.$i" "$TOKENS" | cmp - "$TMP/$i"
	done
	reap-ppl --merge --no-history "$TMP/1" "$TMP/2" "$TMP/3" | cmp - "$EVAL"
	fails 1 "$TMP/2.3: blocks: of look 2, but $TMP/1.1 has of look 1" reap-ppl --merge "$TMP/1.1" "$TMP/1.2" "$TMP/2.3"
}

@test "an eval that has other blocks than its look is refused" {
	ppl --look 1 "$TOKENS" >"$TMP/look"
	reap-show "$EVAL" | jq -c 'if .t == "meta" then .look = 1 else . end' | reap-show --encode eval >"$TMP/all"
	fails 3 "is not among the blocks of look 1" reap-gate "$TMP/look" "$TMP/all"
	reap-show "$TMP/look" | jq -c 'if .t == "meta" then .look = 4 else . end' | reap-show --encode eval >"$TMP/four"
	fails 3 "look" reap-gate "$TMP/four" "$TMP/four"
	reap-show "$TMP/look" | jq -c 'if .t == "meta" then .tokens = 0 else select(.t != "tokens") end' | reap-show --encode eval >"$TMP/bare"
	fails 3 "look: 1, without tokens" reap-gate "$TMP/bare" "$TMP/bare"
}

@test "resuming from another run is refused" {
	fails 1 "bins" reap-ppl -m "$MODEL" --bins 8x8 --resume "$EVAL" "$TOKENS"
	ppl --shard 1/2 "$TOKENS" >"$TMP/shard"
	fails 1 "shard 1, but this run has 2" reap-ppl -m "$MODEL" --shard 2/2 --resume "$TMP/shard" "$TOKENS"
	ppl --no-tokens "$TOKENS" >"$TMP/bare"
	fails 1 "shards 1, but this run has 2" reap-ppl -m "$MODEL" --no-tokens --shard 1/2 --resume "$TMP/bare" "$TOKENS"
	REAP_GEMM=i8 fails 1 "arithmetic $(reap-ppl -V | tail -n 1), but this run has gemm: i8 (i8)" \
		reap-ppl -m "$MODEL" --resume "$EVAL" "$TOKENS"
	fails 3 "kind tokens" reap-ppl -m "$MODEL" --resume "$TOKENS" "$TOKENS"
	fails 1 "No such file" reap-ppl -m "$MODEL" --resume "$TMP/none" "$TOKENS"
	head -c 9000 "$EVAL" | tee "$TMP/kept" >"$TMP/part"
	run bash -c "reap-ppl -q -m $MODEL --resume $TMP/part $TOKENS 1<>$TMP/part"
	[ "$status" -eq 2 ]
	cmp "$TMP/kept" "$TMP/part"
	reap-tokenize -m "$MODEL" --seq-len 64 --blocks 5 "$PACKS/calib_prompt.eval.jsonl" >"$TMP/tokens"
	run bash -c "reap-ppl -m $MODEL --resume $EVAL $TMP/tokens >$TMP/out"
	[ "$status" -eq 1 ]
	[[ "$output" == *", but the token stream has "* ]]
}

@test "an eval that two kinds of arithmetic have made names both, resumed or merged" {
	local other mine names
	other=$(other_backend reap-ppl) mine=$(reap-ppl -V | tail -n 1)
	names=$(both "$mine" "gemm: $other (f32); kernels: scalar")
	head -c $(($(stat -c %s "$EVAL") / 2)) "$EVAL" >"$TMP/part"
	REAP_GEMM=$other REAP_CPU=scalar reap-ppl -m "$MODEL" --resume "$TMP/part" "$TOKENS" >"$TMP/resumed" 2>"$TMP/said"
	grep -qF "part: made with another arithmetic: the result names both: $mine" "$TMP/said"
	[ "$(reap-show -t meta "$TMP/resumed" | jq -r .backend)" = "$names" ]
	ppl --shard 1/2 "$TOKENS" >"$TMP/1"
	REAP_GEMM=$other REAP_CPU=scalar ppl --shard 2/2 "$TOKENS" >"$TMP/2"
	reap-ppl --merge --no-history "$TMP/1" "$TMP/2" >"$TMP/merged"
	[ "$(reap-show -t meta "$TMP/merged" | jq -r .backend)" = "$names" ]
	reap-ppl --merge --no-history "$TMP/2" "$TMP/1" | cmp - "$TMP/merged"
}

@test "--resume: other tokens are noticed where only the context differs" {
	echo '{"input_ids": [1, 2, 3, 4], "keep_mask": [0, 0, 1, 1]}' >"$TMP/rows.jsonl"
	echo '{"input_ids": [9, 2, 3, 4], "keep_mask": [0, 0, 1, 1]}' >"$TMP/other.jsonl"
	reap-tokenize -m "$MODEL" --rows p="$TMP/rows.jsonl" >"$TMP/tokens"
	reap-tokenize -m "$MODEL" --rows p="$TMP/other.jsonl" >"$TMP/other"
	ppl "$TMP/tokens" >"$TMP/eval"
	run ppl --resume "$TMP/eval" "$TMP/other"
	[ "$status" -eq 1 ]
	[[ "$output" == *"$TMP/eval: block 0 was made of other rows than that of the token stream"* ]]
	# Rows whose hash would be the same do not tell: the digest of the blocks does.
	ppl --no-tokens "$TMP/tokens" | reap-show >"$TMP/json"
	rows=$(reap-show -t pack "$TMP/other" | jq -r .rows_sha256)
	jq -c --arg r "$rows" 'if .t == "metrics" then .rows_sha256 = $r else . end' "$TMP/json" |
		reap-show --encode eval >"$TMP/bare"
	run ppl --no-tokens --resume "$TMP/bare" "$TMP/other"
	[ "$status" -eq 1 ]
	[[ "$output" == *"$TMP/bare: blocks_sha256 "*", but the token stream has "* ]]
}

@test "rows of their own length, packs mixed: each pack has its metrics" {
	reap-tokenize -m "$MODEL" --rows --max-len 96 --sample 12 "$PACKS"/*.eval.jsonl >"$TMP/rows"
	ppl "$TMP/rows" >"$TMP/eval"
	reap-show -t metrics "$TMP/eval" | jq -es 'length == 3 and ([.[].blocks] | add) == 12'
	for i in 1 2; do
		ppl --shard $i/2 "$TMP/rows" >"$TMP/$i"
	done
	reap-ppl --merge --no-history "$TMP/1" "$TMP/2" | cmp - "$TMP/eval"
	head -c 200000 "$TMP/eval" >"$TMP/broken"
	ppl --resume "$TMP/broken" "$TMP/rows" | cmp - "$TMP/eval"
	reap-gate -g recipes/near_lossless_gates.json "$TMP/eval" "$TMP/eval" >"$TMP/verdict"
	grep -q ^PASS "$TMP/verdict"
}

@test "the log scale drops what is outside its range from every metric, and says so" {
	ppl --prob-scale log --logp-min -2 "$TOKENS" | reap-show -t metrics |
		jq -es 'all(.dropped_tokens > 0 and .kept_tokens + .dropped_tokens <= .kept) and
			([.[].ppl] | max) < 2'
}

@test "options are in the meta record" {
	ppl -k 5 --bins 16x12 --cc-quantile 0.3 --no-tokens "$TOKENS" | reap-show |
		jq -es '.[1] | .t == "meta" and .entropy_topk == 5 and .xbins == 16 and .ybins == 12 and
			.cc_quantile == 0.3 and .tokens == 0'
}

@test "nothing to score, unknown ids, cut streams: errors that say so" {
	echo '{"input_ids": [1, 2, 3, 4], "keep_mask": [1, 0, 0, 0]}' >"$TMP/rows.jsonl"
	reap-tokenize -m "$MODEL" --rows "$TMP/rows.jsonl" >"$TMP/tokens"
	run bash -c "reap-ppl -m $MODEL $TMP/tokens >$TMP/out"
	[ "$status" -eq 1 ]
	[[ "$output" == *"no token to score"* ]]
	reap-show "$TOKENS" | jq -c 'if .t == "block" then .ids[3] = 99999 else .blocks_sha256 = "" end' |
		reap-show --encode tokens >"$TMP/tokens"
	run bash -c "reap-ppl -m $MODEL $TMP/tokens >$TMP/out"
	[ "$status" -eq 1 ]
	[[ "$output" == *"99999"* ]]
	reap-tokenize -m "$MODEL" --seq-len 16 --blocks 2 --keep all "$PACKS/calib_prompt.eval.jsonl" >"$TMP/small"
	size=$(stat -c %s "$TMP/small")
	for ((n = 0; n < size; n += size / 25)); do
		status=0
		head -c "$n" "$TMP/small" | reap-ppl -q -m "$MODEL" >"$TMP/out" 2>/dev/null || status=$?
		[ "$status" -eq 3 ]
		! reap-show "$TMP/out" >/dev/null 2>&1 || false
	done
	reap-show "$TOKENS" | jq -c 'select(.t != "pack")' | reap-show --encode tokens >"$TMP/tokens"
	run bash -c "reap-ppl -m $MODEL $TMP/tokens >$TMP/out"
	[ "$status" -eq 3 ]
	[[ "$output" == *"without their pack record"* ]]
}

@test "a full disk and a closed output are exit 1" {
	run bash -c "reap-ppl -q -m $MODEL $TOKENS >/dev/full"
	[ "$status" -eq 1 ]
	run bash -c "reap-ppl -q -m $MODEL $TOKENS >&-"
	[ "$status" -eq 1 ]
}

# planned NAME: a figure of the dry run in $TMP/plan.
planned() {
	jq -r ".$1" "$TMP/plan"
}

@test "dry run: what is scored, how large the eval will be; nothing is written" {
	ppl --dry-run --json "$TOKENS" >"$TMP/plan"
	! reap-show "$TMP/plan" 2>/dev/null || false
	[ "$(planned blocks)" -eq "$(reap-show -t block "$TOKENS" | wc -l)" ]
	# lm_head: twice hidden times vocabulary for each token of the eval.
	reap-show -t tokens "$EVAL" | jq -s --slurpfile c "$MODEL/config.json" --argjson got "$(planned lm_head)" \
		-e 'map(.positions | length) | add * 2 * $c[0].hidden_size * $c[0].vocab_size / 1e9
			| . > 0 and (. - $got | fabs) < 0.00051'
	# A chunk ends with its pack.
	[ "$(planned chunks)" -eq "$(reap-show -t pack "$TOKENS" | wc -l)" ]
	# Counts that no dry run knows are a few bytes longer or shorter.
	local off=$(($(stat -c %s "$EVAL") - $(planned disk)))
	[ "${off#-}" -le 128 ]
	ppl --dry-run --json --no-tokens --prob-scale log --logp-min -3 --logp-max -1 "$TOKENS" >"$TMP/plan"
	[ "$(planned disk)" -lt "$(stat -c %s "$EVAL")" ]
}

@test "dry run: what a run would refuse is refused" {
	head -c -20 "$TOKENS" >"$TMP/cut"
	fails 3 "cut" reap-ppl -m "$MODEL" --dry-run "$TMP/cut"
	fails 2 "--resume" reap-ppl -m "$MODEL" --dry-run --resume "$EVAL" "$TOKENS"
	fails 2 "--merge" reap-ppl --dry-run --merge "$EVAL"
}

@test "weights that overflow give no figures, as they give no trace" {
	cp -rL "$MODEL" "$TMP/big"
	chmod -R u+w "$TMP/big"
	# Experts of the last layer 2^73 times too large: their outputs are finite, the
	# squares behind them are not.
	tests/poke.py "$TMP/big" model.layers.3.mlp.experts.down_proj_scales =c8...
	run reap-route -q --no-outcome -m "$TMP/big" "$TOKENS"
	[ "$status" -eq 1 ]
	[[ $output == *"layer 3: position "*" are not finite"* ]]
	run reap-ppl -q -m "$TMP/big" "$TOKENS"
	[ "$status" -eq 1 ]
	[[ $output == *" are not finite"* ]]
}
