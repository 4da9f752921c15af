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
		{t: \"pack\", pack: \"p\", seq_len: 0, blocks: length, rows_seen: 1,
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
	fails 2 "--layers" reap-route -m "$MODEL" --layers 2-1 "$TOKENS"
	fails 2 "layer 4 of a model with 4" reap-route -m "$MODEL" --layers 4 "$TOKENS"
}

@test "the version names backend and kernel level" {
	reap-route -V | grep -qE '^gemm: [a-z0-9]+ \((bf16|f32)\); kernels: (scalar|avx2|avx512)$'
	REAP_CPU=scalar REAP_GEMM=openblas reap-route -V | grep -q '^gemm: openblas (f32); kernels: scalar$'
	reap-route -vV | grep -q 'openblas'
}

@test "an unknown backend or level is wrong usage" {
	REAP_GEMM=abacus fails 2 "REAP_GEMM: abacus" reap-route -m "$MODEL" "$TOKENS"
	REAP_CPU=sse9 fails 2 "REAP_CPU: sse9" reap-route -m "$MODEL" "$TOKENS"
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
	local gemm
	for gemm in bf16 f32 openblas; do
		REAP_GEMM=$gemm reap-route -V | grep -q "^gemm: $gemm" || continue
		export REAP_GEMM=$gemm
		route "$TOKENS" >"$TMP/a"
		route --threads 1 --memory 1G "$TOKENS" | cmp - "$TMP/a"
		route --threads 3 --memory 60M "$TOKENS" | cmp - "$TMP/a"
		route --threads 2 --memory 45M "$TOKENS" | cmp - "$TMP/a"
	done
}

@test "a block alone gives what it gives in company" {
	local lines
	lines=$(reap-show "$TOKENS")
	{
		jq -c 'select(.t == "block" and .index == 8) | .index = 0' <<<"$lines"
		jq -c 'select(.t == "pack") | .blocks = 1' <<<"$lines"
	} | reap-show --encode tokens --no-history >"$TMP/one"
	route "$TMP/one" | reap-show | jq -c 'select(.t) | del(.block)' >"$TMP/alone"
	reap-show "$TRACE" | jq -c 'select(.t and .block == 8) | del(.block)' | cmp - "$TMP/alone"
}

@test "shards hold together what the whole trace holds" {
	local i
	for i in 1 2 3; do
		route --shard $i/3 "$TOKENS" | reap-show | jq -c 'select(.t)'
	done | sort >"$TMP/shards"
	reap-show "$TRACE" | jq -c 'select(.t)' | sort | cmp - "$TMP/shards"
	[ "$(route --shard 2/3 "$TOKENS" | reap-show | jq -c 'select(.t == "outcome") | .block' | head -n 2 |
		paste -sd,)" = 1,4 ]
	# More shards than blocks: an empty trace, and whole.
	[ "$(route --shard 41/41 "$TOKENS" | reap-show | jq -s 'map(select(.t)) | length')" -eq 0 ]
}

@test "--no-outcome and --layers leave records out and change none" {
	reap-show "$TRACE" | jq -c 'select(.t == "route")' >"$TMP/routes"
	route --no-outcome "$TOKENS" | reap-show | jq -c 'select(.t)' | cmp - "$TMP/routes"
	jq -c 'select(.layer >= 1 and .layer <= 2)' "$TMP/routes" >"$TMP/some"
	route --no-outcome --layers 1-2 "$TOKENS" | reap-show | jq -c 'select(.t)' | cmp - "$TMP/some"
	route --layers 1-2 "$TOKENS" | reap-show | jq -c 'select(.t == "route")' | cmp - "$TMP/some"
	route --layers 3 "$TOKENS" | reap-show | jq -c 'select(.t == "outcome")' >"$TMP/outcomes"
	reap-show "$TRACE" | jq -c 'select(.t == "outcome")' | cmp - "$TMP/outcomes"
}

@test "a token stream without blocks gives a trace without records" {
	tokens_of '[]' | route >"$TMP/out"
	[ "$(reap-show "$TMP/out" | jq -s 'map(select(.t)) | length')" -eq 0 ]
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
	python3 - "$TMP/nan" <<-'EOF2'
		import json, os, struct, sys
		d = sys.argv[1]
		for f in os.listdir(d):
		    if not f.endswith(".safetensors"):
		        continue
		    with open(os.path.join(d, f), "r+b") as fh:
		        n, = struct.unpack("<Q", fh.read(8))
		        t = json.loads(fh.read(n)).get("lm_head.weight")
		        if t:
		            fh.seek(8 + n + t["data_offsets"][0])
		            fh.write(b"\xc0\x7f" * ((t["data_offsets"][1] - t["data_offsets"][0]) // 2))
	EOF2
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
	reap-route -m "$MODEL" --resume="$TMP/part" "$TOKENS" 2>&1 >/dev/null | grep -q 'took over 40 blocks'
}

@test "--resume after kill -9" {
	local pid n
	# Small chunks, so that there is something to take over.
	reap-route -q --no-history -m "$MODEL" --memory 45M "$TOKENS" >"$TMP/full"
	for n in 1 2 3; do
		reap-route -q --no-history -m "$MODEL" --memory 45M "$TOKENS" >"$TMP/part" &
		pid=$!
		sleep "0.0$((n * 3))"
		kill -9 "$pid" 2>/dev/null || true
		wait "$pid" || true
		route --resume "$TMP/part" "$TOKENS" | cmp - "$TMP/full"
	done
}

@test "--resume: a trace of other tokens, options or another model is refused" {
	fails 1 "is not what these tokens" route --resume "$TRACE" --no-outcome "$TOKENS"
	fails 1 "is not what these tokens" route --resume "$TRACE" --shard 2/2 "$TOKENS"
	tokens_of '[{ids: [5, 6, 9], keep: [1, 1, 0]}]' >"$TMP/other"
	fails 1 "is not what these tokens" route --resume "$TRACE" "$TMP/other"
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
