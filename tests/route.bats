#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# reap-route: what it writes, that nothing but the input decides the bytes, what it
# refuses, and what an interrupted run leaves.
load helpers

setup_file() {
	cd "$ROOT" || return 1
	# Blocks of many lengths, some with nothing kept.
	tokens_of "[range(40) | . as \$b | [1, 2, 3, 7, 33, 64, 65, 130, 300, 7][. % 10] as \$n
		| {ids: [range(\$n) | (. * 7919 + \$b * 104729 + 5) % 2017],
		   keep: [range(\$n) | if \$b == 4 then 0 elif (. * 31 + \$b) % 3 == 0 then 0 else 1 end]}]" \
		>"$BATS_FILE_TMPDIR/tokens"
	reap-route -q --no-history -m "$MODEL" "$BATS_FILE_TMPDIR/tokens" >"$BATS_FILE_TMPDIR/trace"
}

setup() {
	export TMP=$BATS_TEST_TMPDIR
	TOKENS=$BATS_FILE_TMPDIR/tokens
	TRACE=$BATS_FILE_TMPDIR/trace
}

# tokens_of JQ [TOKENIZER]: a token stream of blocks {ids, keep}.
tokens_of() {
	jq -n -c "$1 | (to_entries[] | {t: \"block\", pack: \"p\", seq_len: 0, index: .key,
			ids: .value.ids, keep: .value.keep, channel: (.value.ids | map(0))}),
		{t: \"pack\", pack: \"p\", seq_len: 0, blocks: length, blocks_sha256: \"\", rows_seen: 1,
			rows_read: 1, rows_kept: 1,
			skipped: {no_text: 0, bad: 0, other_part: 0, not_sampled: 0}, completions: 0, cut_off: 0,
			channels: {none: (map(.keep | add) | add // 0),
				analysis: 0, commentary: 0, final: 0, tool_call: 0, other: 0},
			rows_sha256: (\"0\" * 64), tokens: (map(.ids | length) | add // 0),
			kept: (map(.keep | add) | add // 0), split: \"all\", tokenizer: \"${2:-}\",
			sample_hash: \"\", prompt_sha256: \"\"}" | reap-show --encode tokens --no-history
}

route() {
	reap-route -q --no-history -m "$MODEL" "$@"
}

@test "help, version, wrong options" {
	standard_options reap-route
	fails 2 "--model is missing" reap-route "$TOKENS"
	fails 2 "more than one" reap-route -m "$MODEL" a b
	fails 2 "--shard" reap-route -m "$MODEL" --shard 3/2 "$TOKENS"
	fails 2 "--shard" reap-route -m "$MODEL" --shard 0/2 "$TOKENS"
	fails 2 "--shard" reap-route -m "$MODEL" --shard 1/65537 "$TOKENS"
	fails 2 "--layers" reap-route -m "$MODEL" --layers 2-1 "$TOKENS"
	fails 2 "layer 4 of a model with 4" reap-route -m "$MODEL" --layers 4 "$TOKENS"
}

@test "the version names backend and kernel level" {
	reap-route -V | grep -qE '^gemm: [a-z0-9]+ \((bf16|i16|f32)\); kernels: (scalar|avx2|avxvnni|avx512|amx)$'
	REAP_CPU=scalar REAP_GEMM=openblas reap-route -V | grep -q '^gemm: openblas (f32); kernels: scalar$'
	reap-route -vV | grep -q 'openblas'
}

@test "a disk that is the limit is said, and changes nothing else" {
	cat >"$TMP/slow.c" <<-'C'
	#include <sys/mman.h>
	#include <sys/syscall.h>
	#include <time.h>
	#include <unistd.h>
	/* Each tensor that is read ahead takes 30 ms; rows of the embedding none. */
	int madvise(void *from, size_t bytes, int advice)
	{
		if (advice == MADV_WILLNEED && bytes > 8192)
			nanosleep(&(struct timespec){0, 30000000}, NULL);
		return (int)syscall(SYS_madvise, from, bytes, advice);
	}
	C
	cc -D_GNU_SOURCE -shared -fPIC -o "$TMP/slow.so" "$TMP/slow.c"
	slowly() {
		ASAN_OPTIONS=$ASAN_OPTIONS:verify_asan_link_order=0 LD_PRELOAD=$TMP/slow.so "$@" 2>"$TMP/said"
	}
	slowly reap-route --no-history -m "$MODEL" "$TOKENS" | cmp - "$TRACE"
	grep -E '^reap-route: waited [0-9]+ s of [0-9]+ s for weights, which came at [0-9]+ MB/s: the disk is the limit$' "$TMP/said"
	slowly reap-ppl -m "$MODEL" "$TOKENS" >"$TMP/eval"
	grep '^reap-ppl: waited ' "$TMP/said"
	reap-route --no-history -m "$MODEL" "$TOKENS" 2>"$TMP/said" | cmp - "$TRACE"
	run grep waited "$TMP/said"
	[ "$status" -eq 1 ]
}

@test "an unknown backend or level is wrong usage" {
	REAP_GEMM=abacus fails 2 "REAP_GEMM: abacus" reap-route -m "$MODEL" "$TOKENS"
	REAP_CPU=sse9 fails 2 "REAP_CPU: sse9" reap-route -m "$MODEL" "$TOKENS"
	REAP_CPU=scalar fails 2 "reap-route: --fast: not on this processor" reap-route --fast -m "$MODEL" "$TOKENS"
}

@test "without a libopenblas that can be loaded, openblas is refused, and nothing else" {
	echo "not a library" >"$TMP/libopenblas.so.0"
	export LD_LIBRARY_PATH=$TMP
	REAP_GEMM=openblas fails 2 "openblas: libopenblas.so.0 cannot be loaded" reap-route -m "$MODEL" "$TOKENS"
	unset REAP_GEMM
	reap-route -vV | grep -q 'REAP_GEMM): .*openblas (libopenblas.so.0 cannot be loaded)$'
	reap-route -V | grep -q '^gemm: '
}

@test "the records: all layers, then the outcome; gates sum to 1; position 0" {
	reap-show "$TRACE" >"$TMP/lines"
	[ "$(jq -r 'select(.t) | [.t, .block, .layer] | join(" ")' "$TMP/lines" | head -n 6 | paste -sd,)" = \
		"route 0 0,route 0 1,route 0 2,route 0 3,outcome 0 ,route 1 0" ]
	jq -e -s 'map(select(.t == "route") | .gates[] | (add - 1 | fabs) < 1e-6) | all' "$TMP/lines"
	jq -e -s 'map(select(.t == "route") | .gates[] | . == (sort | reverse)) | all' "$TMP/lines"
	jq -e -s 'map(select(.t == "outcome") | [.positions, .logp] | transpose[]
		| (.[0] == 0) == (.[1] == null)) | all' "$TMP/lines"
	# Block 4 keeps nothing: its records are there, and empty.
	[ "$(jq -c -s '[.[] | select(.block == 4) | .positions]' "$TMP/lines")" = '[[],[],[],[],[]]' ]
}

@test "the same bytes whatever threads and memory" {
	local gemm little
	for gemm in bf16 bf16x2 i16 i8 f32 openblas; do
		REAP_GEMM=$gemm reap-route -V | grep -q "^gemm: $gemm" || continue
		export REAP_GEMM=$gemm
		route "$TOKENS" >"$TMP/a"
		route --threads 1 --memory 1G "$TOKENS" | cmp - "$TMP/a"
		little=$(least_memory route --threads 3 "$TOKENS")
		route --threads 3 --memory "$little" "$TOKENS" | cmp - "$TMP/a"
		route --threads 2 --memory "$little" "$TOKENS" | cmp - "$TMP/a"
	done
}

@test "fixed point: the same records by every instruction set" {
	local cpu
	for REAP_GEMM in i16 i8; do
		export REAP_GEMM
		for cpu in avx2 avxvnni avx512 amx; do
			REAP_CPU=$cpu reap-route -V 2>&1 | grep "^gemm: $REAP_GEMM .*kernels: $cpu" >/dev/null || continue
			REAP_CPU=$cpu route "$TOKENS" | reap-show | jq -c 'select(has("block"))' >"$TMP/$cpu"
			[ -s "$TMP/$cpu" ]
			cmp "$TMP/avx2" "$TMP/$cpu"
		done
	done
}

@test "i8 is for experts in MXFP4, and only for who asks" {
	reap-route -V | grep -v '^gemm: i8' >/dev/null
	REAP_GEMM=i8 reap-route -V | grep '^gemm: i8 (i8)' >/dev/null || skip "no i8 on this processor"
	"$REAP_BUILD/gen/random_checkpoint" --layers 1 --hidden 64 --experts 4 --format bf16 "$TMP/model"
	REAP_GEMM=i8 fails 2 "REAP_GEMM: i8: needs experts in MXFP4, but those of $TMP/model are not" \
		reap-route -m "$TMP/model" "$TOKENS"
	REAP_GEMM=i8 route "$TOKENS" | reap-show | jq -e -s '.[0].backend | startswith("gemm: i8 (i8)")'
}

@test "outliers are counted, shown, and the same whatever threads, memory and shards" {
	local gemm fixed little shard
	"$REAP_BUILD/gen/random_checkpoint" --layers 2 --hidden 128 --experts 4 --head-dim 32 \
		--vocab 2048 --scale layers.1.self_attn.k_proj:row:3/32:131072 "$TMP/model"
	MODEL=$TMP/model
	for gemm in bf16 bf16x2 i16 f32; do
		REAP_GEMM=$gemm reap-route -V | grep "^gemm: $gemm" >/dev/null || continue
		export REAP_GEMM=$gemm
		route "$TOKENS" >"$TMP/a"
		# Where attention is in fixed point, of layer 1 all kept tokens; of layer 0 and lm_head none.
		fixed=true
		[ $gemm != f32 ] && ! [[ $gemm == bf16* && $(reap-route -V) == *"kernels: amx"* ]] || fixed=false
		reap-show "$TMP/a" | jq -e -s --argjson fixed $fixed 'map(select(.t == "route" or .t == "outcome")) |
			length == 120 and all(.outliers ==
				if $fixed and .layer == 1 then (.positions | length) else 0 end)'
		n=$(reap-show "$TMP/a" | jq -s 'map(.outliers // 0) | add')
		[ "$(reap-show --summary "$TMP/a" | grep '^outliers')" = "outliers $n" ]
		reap-route -v -m "$MODEL" "$TOKENS" 2>&1 >/dev/null | grep "outliers: $n times"
		little=$(least_memory route --threads 3 "$TOKENS")
		route --threads 3 --memory "$little" "$TOKENS" | cmp - "$TMP/a"
		for shard in 1 2 3; do
			route --threads 1 --shard $shard/3 "$TOKENS" | reap-show | jq -c 'select(has("block"))'
		done | sort >"$TMP/shards"
		reap-show "$TMP/a" | jq -c 'select(has("block"))' | sort | cmp - "$TMP/shards"
		# reap-ppl tells of the same, in each block and in all.
		reap-ppl -q -m "$MODEL" "$TOKENS" | reap-show | jq -e -s --argjson n "$n" '
			(map(select(.t == "tokens").outliers) | add) == $n and
			map(select(.t == "metrics").outliers) == [$n]'
	done
}

@test "a block alone gives what it gives in company" {
	local lines
	lines=$(reap-show "$TOKENS")
	{
		jq -c 'select(.t == "block" and .index == 8) | .index = 0' <<<"$lines"
		jq -c -s '(map(select(.t == "block" and .index == 8))[0]) as $b | .[] | select(.t == "pack") |
			.blocks = 1 | .blocks_sha256 = "" | .tokens = ($b.ids | length) | .kept = ($b.keep | add) |
			.channels = ([["none", "analysis", "commentary", "final", "tool_call", "other"] | to_entries[] |
				.key as $c | {(.value): [range($b.ids | length) | select($b.channel[.] == $c) | $b.keep[.]] | (add // 0)}] | add)' \
			<<<"$lines"
	} | reap-show --encode tokens --no-history >"$TMP/one"
	route "$TMP/one" | reap-show | jq -c 'select(.block) | del(.block, .block_sha256)' >"$TMP/alone"
	reap-show "$TRACE" | jq -c 'select(.block == 8) | del(.block, .block_sha256)' | cmp - "$TMP/alone"
}

@test "shards hold together what the whole trace holds" {
	local i
	for i in 1 2 3; do
		route --shard $i/3 "$TOKENS" | reap-show | jq -c 'select(.t)'
	done | sort -u >"$TMP/shards"
	reap-show "$TRACE" | jq -c 'select(.t)' | sort | cmp - "$TMP/shards"
	[ "$(route --shard 2/3 "$TOKENS" | reap-show | jq -c 'select(.t == "outcome") | .block' | head -n 2 |
		paste -sd,)" = 1,4 ]
	# More shards than blocks: a trace without any, and whole.
	[ "$(route --shard 41/41 "$TOKENS" | reap-show | jq -c 'select(.t) | [.t, .blocks]')" = \
		"$(reap-show -t source "$TRACE" | jq -c '[.t, .blocks]')" ]
}

@test "--no-outcome and --layers leave records out and change none" {
	reap-show "$TRACE" | jq -c 'select(.t == "route")' >"$TMP/routes"
	route --no-outcome "$TOKENS" | reap-show | jq -c 'select(.block)' | cmp - "$TMP/routes"
	jq -c 'select(.layer >= 1 and .layer <= 2)' "$TMP/routes" >"$TMP/some"
	route --no-outcome --layers 1-2 "$TOKENS" | reap-show | jq -c 'select(.block)' | cmp - "$TMP/some"
	route --layers 1-2 "$TOKENS" | reap-show | jq -c 'select(.t == "route")' | cmp - "$TMP/some"
	route --layers 3 "$TOKENS" | reap-show | jq -c 'select(.t == "outcome")' >"$TMP/outcomes"
	reap-show "$TRACE" | jq -c 'select(.t == "outcome")' | cmp - "$TMP/outcomes"
}

@test "a token stream without blocks gives a trace without any" {
	tokens_of '[]' | route >"$TMP/out"
	[ "$(reap-show "$TMP/out" | jq -c 'select(.t) | [.t, .blocks]')" = '["source",0]' ]
}

@test "pack records that are not of their blocks are refused" {
	edit() {
		tokens_of '[{ids: [5, 6, 9], keep: [0, 0, 1]}, {ids: [5, 6], keep: [1, 1]}]' | reap-show |
			jq -c "$1" | reap-show --encode tokens >"$TMP/x"
	}
	edit 'if .t == "pack" then .blocks = 3 else . end'
	fails 3 "pack p of length 0: blocks 3, but its blocks have 2" reap-route -q -m "$MODEL" "$TMP/x"
	edit 'if .t == "pack" then .tokens = 6 else . end'
	fails 3 "tokens 6, but its blocks have 5" reap-route -q -m "$MODEL" "$TMP/x"
	edit 'if .t == "pack" then .kept = 2 else . end'
	fails 3 "kept 2, but its blocks have 3" reap-route -q -m "$MODEL" "$TMP/x"
	edit 'if .t == "pack" then .split = "evil" else . end'
	fails 3 "'evil' is none of" reap-route -q -m "$MODEL" "$TMP/x"
	edit 'if .index == 1 then .index = 2 else . end'
	fails 3 "block 2 where block 1 is due" reap-route -q -m "$MODEL" "$TMP/x"
	edit 'if .t == "pack" then ., . else . end'
	fails 3 "closes twice" reap-route -q -m "$MODEL" "$TMP/x"
	# A stream that says what its blocks were notices any other token.
	reap-tokenize -m "$MODEL" --rows --max-len 16 --sample 4 "$PACKS"/*.calib.jsonl | reap-show |
		jq -c 'if .index == 3 then .ids[0] += 1 else . end' | reap-show --encode tokens >"$TMP/x"
	run bash -c "reap-route -q -m '$MODEL' '$TMP/x' 2>&1 >'$TMP/out'"
	[ "$status" -eq 3 ]
	[[ "$output" == *"blocks_sha256 "*", but its blocks have "* ]]
}

@test "what the model cannot run is refused" {
	tokens_of '[{ids: [5, 2048], keep: [1, 1]}]' >"$TMP/vocab"
	fails 1 "token 1 is 2048" reap-route -m "$MODEL" "$TMP/vocab"
	tokens_of '[{ids: [5, 6], keep: [1, 1]}]' "$(printf '%064d' 7)" >"$TMP/tokenizer"
	fails 1 "made with the tokenizer 000000000000" reap-route -m "$MODEL" "$TMP/tokenizer"
	fails 1 "nowhere" reap-route -m "$TMP/nowhere" "$TOKENS"
	fails 2 "MiB" reap-route -m "$MODEL" --memory 1M "$TOKENS"
	fails 2 "memory" reap-route -m "$MODEL" --memory 34M <(tokens_of '[{ids: [range(20000) | 7],
		keep: [range(20000) | 1]}]')
	mkdir "$TMP/short"
	cp "$MODEL"/* "$TMP/short"
	jq '.max_position_embeddings = 128 | .initial_context_length = 4 |
		.rope_scaling.original_max_position_embeddings = 4' "$MODEL/config.json" >"$TMP/short/config.json"
	fails 1 "has a context of 128" reap-route -m "$TMP/short" "$TOKENS"
}

@test "weights that are not finite give no trace" {
	cp -r "$MODEL" "$TMP/nan"
	chmod -R u+w "$TMP/nan"
	# All of lm_head becomes NaN.
	tests/poke.py "$TMP/nan" lm_head.weight =c07f...
	run reap-route -q -m "$TMP/nan" "$TOKENS"
	[ "$status" -eq 1 ]
	[[ "$output" == *"not finite"* ]]
}

@test "input that is cut, damaged or of another kind" {
	fails 3 "empty" reap-route -m "$MODEL" /dev/null
	fails 3 "trace" reap-route -m "$MODEL" "$TRACE"
	head -c 3000 "$TOKENS" >"$TMP/cut"
	run reap-route -q -m "$MODEL" "$TMP/cut"
	[ "$status" -eq 3 ]
	reap-route -q -m "$MODEL" "$TMP/cut" >"$TMP/out" || true
	run reap-show "$TMP/out"
	[ "$status" -eq 3 ]
}

@test "a full disk, and nobody reading" {
	run bash -c "reap-route -q -m '$MODEL' '$TOKENS' >/dev/full"
	[ "$status" -eq 1 ]
	# SIGPIPE ends it as it ends any filter.
	run bash -c "set +o pipefail; reap-route -q -m '$MODEL' '$TOKENS' | head -c 10 >/dev/null; echo \${PIPESTATUS[0]}"
	[ "$output" = 141 ] || [ "$output" = 0 ]
}

@test "--resume: the whole blocks of a trace cut anywhere, and the same bytes" {
	local size n
	# With history, too: --resume stays out of it.
	reap-route -q -m "$MODEL" "$TOKENS" >"$TMP/full"
	size=$(stat -c %s "$TMP/full")
	for n in 0 1 100 $((size / 7)) $((size / 3)) $((size / 2)) $((size - 40)) $((size - 1)) "$size"; do
		head -c "$n" "$TMP/full" >"$TMP/part"
		reap-route -q -m "$MODEL" --resume "$TMP/part" "$TOKENS" >"$TMP/resumed"
		cmp "$TMP/resumed" "$TMP/full"
	done
	reap-route -m "$MODEL" --resume="$TMP/part" "$TOKENS" 2>"$TMP/said" >/dev/null
	grep -q 'took over 40 blocks' "$TMP/said"
}

@test "--resume: a trace cut at every kind of place; what is whole is taken over" {
	tokens_of '[{ids: [1, 2, 3, 4, 5], keep: [1, 1, 0, 1, 1]}, {ids: [7], keep: [1]},
		{ids: [8, 9], keep: [0, 0]}, {ids: [3, 1, 2], keep: [1, 1, 1]}]' >"$TMP/tokens"
	reap-route -m "$MODEL" "$TMP/tokens" >"$TMP/full"
	"$REAP_BUILD/gen/cuts" "$TMP/full" outcome >"$TMP/cuts"
	[ "$(wc -l <"$TMP/cuts")" -gt 60 ]
	resumes "$TMP/full" reap-route -m "$MODEL" "$TMP/tokens" <"$TMP/cuts"
	reap-route -m "$MODEL" --no-outcome --layers 2 --shard 2/2 "$TMP/tokens" >"$TMP/full"
	"$REAP_BUILD/gen/cuts" "$TMP/full" route |
		resumes "$TMP/full" reap-route -m "$MODEL" --no-outcome --layers 2 --shard 2/2 "$TMP/tokens"
}

@test "--resume after an end in the middle of a write" {
	local n
	route "$TOKENS" >"$TMP/full"
	for n in 1 3 10 100; do
		# The signal comes when n KiB are written.
		(ulimit -c 0 -f $n; route "$TOKENS" >"$TMP/part") 2>/dev/null || [ $? -eq 153 ]
		[ "$(stat -c %s "$TMP/part")" -eq $((n * 1024)) ]
		route --resume "$TMP/part" "$TOKENS" | cmp - "$TMP/full"
	done
}

@test "--resume after kill -9" {
	local pid n little
	# Small chunks, so that there is something to take over.
	little=$(least_memory route "$TOKENS")
	route "$TOKENS" >"$TMP/full"
	for n in 1 2 3; do
		reap-route -q --no-history -m "$MODEL" --memory "$little" "$TOKENS" >"$TMP/part" &
		pid=$!
		sleep "0.0$n"
		kill -9 "$pid" 2>/dev/null || true
		wait "$pid" || true
		route --resume "$TMP/part" "$TOKENS" | cmp - "$TMP/full"
	done
}

@test "--resume: a trace of other tokens, options or another model is refused" {
	fails 1 "is not what these tokens" route --resume "$TRACE" --no-outcome "$TOKENS"
	fails 1 "is not what these tokens" route --resume "$TRACE" --shard 2/2 "$TOKENS"
	reap-route -q -m "$MODEL" --shard 2/2 "$TOKENS" >"$TMP/second"
	fails 1 "give for block 0 (it was made by: reap-route -q -m $MODEL --shard 2/2 $TOKENS)" route --resume "$TMP/second" "$TOKENS"
	tokens_of '[{ids: [5, 6, 9], keep: [1, 1, 0]}]' >"$TMP/other"
	fails 1 "is not what these tokens" route --resume "$TRACE" "$TMP/other"
	# The same kept tokens in another context: only the block's digest tells.
	tokens_of '[{ids: [5, 6, 9], keep: [0, 0, 1]}]' >"$TMP/some"
	tokens_of '[{ids: [7, 6, 9], keep: [0, 0, 1]}]' >"$TMP/context"
	route "$TMP/some" >"$TMP/some.trace"
	fails 1 "is not what these tokens" route --resume "$TMP/some.trace" "$TMP/context"
	# Whole blocks, but of a stream that differs further on.
	tokens_of '[{ids: [5, 6, 9], keep: [0, 0, 1]}, {ids: [1, 2], keep: [0, 1]}]' >"$TMP/longer"
	run bash -c "reap-route -q -m '$MODEL' --resume '$TMP/some.trace' --shard 1/2 '$TMP/longer' 2>&1 >'$TMP/out'"
	[ "$status" -eq 1 ]
	[[ "$output" == *"$TMP/some.trace: tokens_sha256 "*", but $TMP/longer has "* ]]
	fails 3 "kind tokens, expected trace" route --resume "$TOKENS" "$TOKENS"
	tokens_of '[{ids: [5], keep: [1]}]' >"$TMP/first"
	route "$TMP/first" >"$TMP/first.trace"
	tokens_of '[]' >"$TMP/none"
	run reap-route -q -m "$MODEL" --resume "$TMP/first.trace" "$TMP/none"
	[ "$status" -eq 1 ]
	[[ "$output" == *"goes on after the last block"* ]]
	cp "$TRACE" "$TMP/same"
	run bash -c "reap-route -q -m '$MODEL' --resume '$TMP/same' '$TOKENS' 1<>'$TMP/same'"
	[ "$status" -eq 2 ]
}

@test "--resume: with another backend or kernel level the trace names both" {
	head -c 300000 "$TRACE" >"$TMP/part"
	cp "$TMP/part" "$TMP/kept"
	local mine other
	mine=$(reap-route -V | tail -n 1)
	other=$(other_backend reap-route)
	# The blocks that are taken over are theirs, the others this run's.
	export REAP_GEMM=$other REAP_CPU=scalar
	reap-route -m "$MODEL" --no-history --resume "$TMP/part" "$TOKENS" >"$TMP/both" 2>"$TMP/said"
	cmp "$TMP/part" "$TMP/kept"
	grep -qF "part: made with another arithmetic: the result names both: $mine" "$TMP/said"
	route "$TOKENS" | reap-show | tail -n +2 >"$TMP/theirs"
	blocks=$(grep -o 'took over [0-9]* blocks' "$TMP/said" | tr -dc 0-9)
	[ "$blocks" -ge 1 ]
	{ reap-show "$TRACE" | jq -c "select(.t and .block and .block < $blocks)"
		jq -c "select(.block == null or .block >= $blocks)" "$TMP/theirs"; } |
		cmp - <(reap-show "$TMP/both" | tail -n +2 | jq -c .)
	[ "$(reap-show "$TMP/both" | jq -r '.backend | select(.)')" = \
		"$(both "$mine" "gemm: $other (f32); kernels: scalar")" ]
	# Its own trace goes on as it is.
	reap-route -m "$MODEL" --no-history --resume "$TMP/both" "$TOKENS" 2>"$TMP/said" | cmp - "$TMP/both"
	unset REAP_GEMM REAP_CPU
	# But not with inputs in 8 bits.
	fails 1 "part: arithmetic $mine, but this run has gemm: i8 (i8)" \
		reap-route -m "$MODEL" --fast --resume "$TMP/part" "$TOKENS"
	# A trace that does not say what made it, as lines from elsewhere make one.
	reap-show "$TRACE" | jq -c 'del(.backend)' | reap-show --encode trace --no-history >"$TMP/silent"
	fails 1 "silent: arithmetic unknown" route --resume "$TMP/silent" "$TOKENS"
	reap-show "$TRACE" | reap-show --encode trace --no-history | reap-show | sed -n 1p |
		cmp - <(reap-show "$TRACE" | sed -n 1p)
	reap-show --summary "$TRACE" | grep "^backend  $mine$"
}

# planned NAME: a figure of the dry run in $TMP/plan.
planned() {
	jq -r ".$1" "$TMP/plan"
}

# operations MODEL TOKENS: attention, router, experts and lm_head in GFLOP of a run with
# outcomes, counted token by token from config.json.
operations() {
	reap-show -t block "$2" | jq -s -r --slurpfile config "$1/config.json" '$config[0] as $c
		| ($c.num_attention_heads * $c.head_dim) as $d
		| ($c.num_key_value_heads * $c.head_dim) as $g
		| $c.hidden_size as $h
		| [.[] | . as $b | range($b.ids | length) | {at: ., want: ($b.keep[.] == 1 or $b.keep[. + 1] == 1),
			scored: (. > 0 and $b.keep[.] == 1)}] as $t
		| [$t[] | . as $x | $c.layer_types[] | if . == "full_attention" then $x.at + 1
			else [$x.at + 1, $c.sliding_window] | min end] as $keys
		| ($t | length * $c.num_hidden_layers) as $rows
		| [$rows * 2 * $h * (2 * $d + 2 * $g) + ($keys | add) * 4 * $d,
			$rows * 2 * $h * $c.num_local_experts,
			($rows - ($t | map(select(.want | not)) | length)) * $c.num_experts_per_tok
				* 6 * $h * $c.intermediate_size,
			($t | map(select(.scored)) | length) * 2 * $h * $c.vocab_size]
		| map(. / 1e9) | @tsv'
}

@test "dry run: the figures, counted another way" {
	local attention router experts lm_head
	route --dry-run --json --memory 1G "$TOKENS" >"$TMP/plan"
	[ "$(reap-show -t pack "$TOKENS" | jq -r '[.blocks, .tokens, .kept] | @tsv')" = \
		"$(planned blocks)	$(planned tokens)	$(planned kept)" ]
	[ "$(planned longest)" -eq 300 ]
	read -r attention router experts lm_head < <(operations "$MODEL" "$TOKENS")
	for part in attention router experts lm_head; do
		awk -v a="${!part}" -v b="$(planned $part)" 'BEGIN { exit !(a > 0 && (a - b)^2 < 0.00051^2) }' ||
			{ echo "$part: ${!part}, planned $(planned $part)"; return 1; }
	done
	awk -v f="$(planned total)" -v r="$(planned speed)" -v t="$(planned time)" \
		'BEGIN { exit !(r > 0 && (f / r - t)^2 <= (0.051 + 0.01 * t)^2) }'
	[ "$(planned memory)" -le 1000000000 ]
	# The end record is not known before the end.
	[ $(($(stat -c %s "$TRACE") - $(planned disk))) -ge 0 ]
	[ $(($(stat -c %s "$TRACE") - $(planned disk))) -le 64 ]
}

@test "dry run: for people, in units of their size" {
	route --dry-run --memory 1G "$TOKENS" >"$TMP/plan"
	! grep -vxE '(blocks|longest|tokens|kept|chunks?) +[0-9,]+( tokens)?|(attention|router|experts|lm_head|total|speed) +[0-9.]+ [kMGT]FLOP(/s)?|time(_of_(4|16))? +([0-9.]+ (s|h)|[0-9]+ min)( each)?|(memory|weights|disk(_of_(4|16))?) +[0-9.]+ ([KMG]iB|bytes)( read| each)?' \
		"$TMP/plan" || false
	[ "$(wc -l <"$TMP/plan")" -eq "$(route --dry-run --json --memory 1G "$TOKENS" | jq length)" ]
	grep -xE "tokens +$(reap-show -t pack "$TOKENS" | jq .tokens | sed ':a; s/\B[0-9]\{3\}\>/,&/; ta')" "$TMP/plan"
}

@test "dry run: every chunk reads all tensors but the embedding; --memory decides how many" {
	for shard in "$MODEL"/*.safetensors; do
		head -c $((8 + $(od -An -tu8 -N8 "$shard"))) "$shard" | tail -c +9
	done | jq -s '[.[] | to_entries[]
		| select(.key != "__metadata__" and .key != "model.embed_tokens.weight")
		| .value.data_offsets | .[1] - .[0]] | add' >"$TMP/tensors"
	route --dry-run --json "$TOKENS" >"$TMP/plan"
	[ "$(planned chunks)" -eq 1 ]
	[ "$(planned weights)" -eq "$(cat "$TMP/tensors")" ]
	# A byte less than what one chunk needs makes it two.
	local memory=$(($(planned memory) - 1))
	route --dry-run --json --memory $memory "$TOKENS" >"$TMP/plan"
	[ "$(planned chunks)" -eq 2 ]
	[ "$(planned weights)" -eq $((2 * $(cat "$TMP/tensors"))) ]
	[ "$(planned memory)" -le $memory ]
}

@test "dry run: options count: layers, no outcomes, a shard" {
	route --dry-run --json --no-outcome --layers 0-1 --shard 2/4 "$TOKENS" >"$TMP/plan"
	[ "$(planned blocks)" -eq 10 ]
	[ "$(planned lm_head)" = 0 ]
	route --no-outcome --layers 0-1 --shard 2/4 "$TOKENS" >"$TMP/trace"
	[ $(($(stat -c %s "$TMP/trace") - $(planned disk))) -le 64 ]
}

@test "dry run: no stream, and what a run would refuse is refused" {
	route --dry-run "$TOKENS" >"$TMP/plan"
	! reap-show "$TMP/plan" 2>/dev/null || false
	head -c -20 "$TOKENS" >"$TMP/cut"
	fails 3 "cut" reap-route -m "$MODEL" --dry-run "$TMP/cut"
	fails 2 "--resume" reap-route -m "$MODEL" --dry-run --resume "$TRACE" "$TOKENS"
	fails 2 "more memory" reap-route -m "$MODEL" --dry-run --memory 34M <(tokens_of \
		'[{ids: [range(20000) | 7], keep: [range(20000) | 1]}]')
	tokens_of '[{ids: [1, 2048], keep: [1, 1]}]' >"$TMP/foreign"
	fails 1 "token 1 is 2048" reap-route -m "$MODEL" --dry-run "$TMP/foreign"
	[ "$(reap-route -q -m "$MODEL" --dry-run "$TOKENS" 2>/dev/full | wc -l)" -gt 10 ]
	run bash -c "reap-route -m '$MODEL' --dry-run '$TOKENS' >/dev/full"
	[ "$status" -eq 1 ]
}

@test "little address space: an error or a result, never a hang; only openblas opens OpenBLAS" {
	[[ "$REAP_BUILD" != *san* && "$REAP_BUILD" != *fuzz* ]] || skip "address space of a sanitizer"
	run bash -c "ldd '$REAP_BIN/reap-route' | grep -c openblas"
	[ "$output" = 0 ]
	(ulimit -v 150000 && timeout 60 reap-route --version)
	(export REAP_GEMM=f32 && ulimit -v 250000 && fails 1 "MiB, less with a smaller --memory): out of memory" \
		timeout 60 reap-route -q -m "$MODEL" --threads 1 --memory 2G "$TOKENS")
	(export REAP_GEMM=f32 && ulimit -v 250000 && timeout 60 reap-route -q -m "$MODEL" --threads 1 --memory 60M "$TOKENS" >"$TMP/trace")
	export REAP_GEMM=openblas
	(ulimit -v 200000 && fails 1 "no address space" timeout 60 reap-route -q -m "$MODEL" --threads 2 --memory 60M "$TOKENS")
}
