#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Which model it is: what makes two checkpoints the same one, and what is refused
# when they are not.
load helpers

GEN=$REAP_BUILD/gen/random_checkpoint

setup_file() {
	cd "$ROOT" || return 1
	# Experts large enough to be sampled, blocks and scales; all zero, and no space on disk.
	"$GEN" --sparse --layers 2 --experts 32 --hidden 512 --inter 4096 "$BATS_FILE_TMPDIR/large"
	reap-tokenize -q -m "$MODEL" --seq-len 64 --blocks 4 "$PACKS/tool_agentic.eval.jsonl" \
		>"$BATS_FILE_TMPDIR/tokens"
	local m
	for m in model model-plain; do
		reap-route -q -m "tests/fixtures/$m" "$BATS_FILE_TMPDIR/tokens" >"$BATS_FILE_TMPDIR/$m.trace"
		reap-ppl -q -m "tests/fixtures/$m" "$BATS_FILE_TMPDIR/tokens" >"$BATS_FILE_TMPDIR/$m.eval"
	done
}

setup() {
	export TMP=$BATS_TEST_TMPDIR
	PLAIN=$ROOT/tests/fixtures/model-plain
	TOKENS=$BATS_FILE_TMPDIR/tokens
}

id() {
	reap-show --id "$1" | cut -d ' ' -f 1
}

# short DIR: as messages have it.
short() {
	id "$1" | cut -c 1-16
}

differs() {
	[ "$(id "$1")" != "$(id "$2")" ] || { echo "$1 is $2"; return 1; }
}

same() {
	[ "$(id "$1")" = "$(id "$2")" ] || { echo "$1 is not $2"; return 1; }
}

@test "a line for each path: checkpoints and streams by content, large ones by their end record" {
	local trace=$BATS_FILE_TMPDIR/model.trace
	cp "$trace" "$TMP/copy"
	reap-show --id "$MODEL" "$TOKENS" "$trace" "$TMP/copy" >"$TMP/ids"
	[ "$(wc -l <"$TMP/ids")" -eq 4 ]
	grep -qE "^[0-9a-f]{64}  $MODEL\$" "$TMP/ids"
	grep -qE "^[0-9a-f]{64}-[0-9a-f]{64}  $TOKENS\$" "$TMP/ids"
	grep -qE "^[0-9a-f]{8}-[0-9]+  $trace\$" "$TMP/ids"
	same "$trace" "$TMP/copy"
	# Of what is no stream, its bytes.
	: >"$TMP/nothing"
	for f in README.md "$TMP/nothing" "$MODEL/config.json"; do
		[ "$(id "$f")" = "$(sha256sum <"$f" | cut -c 1-64)" ]
	done
	[ "$(id "$trace")" = "$(printf '%08x-%d' $(python3 -c '
import sys
d = open(sys.argv[1], "rb").read()
n = d.rindex(b"\x84\xa1t\xa3end")
crc = 0xffffffff
for b in d[:n]:
    crc ^= b
    for _ in range(8):
        crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
print(crc ^ 0xffffffff, n)' "$trace"))" ]
}

@test "a stream is what it says: not its history; tokens are their data, and what was read besides" {
	# as KIND STREAM FILTER...: the stream with other words in it, as $TMP/other.
	as() {
		reap-show "$2" | "${@:3}" | reap-show --encode "$1" >"$TMP/other"
		run cmp -s "$2" "$TMP/other"
		[ "$status" -eq 1 ]
	}
	data() {
		id "$1" | cut -d - -f 1
	}
	as tokens "$TOKENS" cat
	same "$TOKENS" "$TMP/other"
	as tokens "$TOKENS" jq -c 'if .t == "pack" then .skipped.bad += 1 | .rows_read += 1 else . end'
	differs "$TOKENS" "$TMP/other"
	[ "$(data "$TOKENS")" = "$(data "$TMP/other")" ]
	for change in '.t == "block" and .index == 1 then .channel[0] = 5 | del(.blocks_sha256)' '.t == "pack" then .split = "calib"' \
		'.t == "pack" then .rows_sha256 |= sub("^..";"00")' '.t == "pack" then .rows_seen += 1 | .rows_read += 1'; do
		as tokens "$TOKENS" jq -c "if $change else . end"
		[ "$(data "$TOKENS")" != "$(data "$TMP/other")" ] || { echo "$change"; return 1; }
	done
	reap-accum -q "$BATS_FILE_TMPDIR/model.trace" | reap-rank -q >"$TMP/scores"
	reap-cut -q --keep-n 24 "$TMP/scores" >"$TMP/plan"
	as plan "$TMP/plan" sed '1s/"id":"model"/"id":"elsewhere"/'
	same "$TMP/plan" "$TMP/other"
	reap-cut -q --keep-n 24 --recipe-id "other:$(printf '0%.0s' {1..64})" "$TMP/scores" >"$TMP/other"
	differs "$TMP/plan" "$TMP/other"
	reap-cut -q --keep-n 24 --reverse "$TMP/scores" >"$TMP/other"
	differs "$TMP/plan" "$TMP/other"
}

@test "what has no identity" {
	fails 2 "of which" reap-show --id
	fails 2 "no other option" reap-show --id -s "$TOKENS"
	fails 1 "nothing here: No such file" reap-show --id "nothing here"
	for f in "$TOKENS" "$BATS_FILE_TMPDIR/model.trace"; do
		head -c -1 "$f" >"$TMP/cut"
		fails 3 "truncated" reap-show --id "$TMP/cut"
		cat "$f" "$f" >"$TMP/twice"
		fails 3 "$TMP/twice: " reap-show --id "$TMP/twice"
	done
	grep -q "its end record is damaged" "$TMP/fails.err"
	fails 1 "not a regular file" reap-show --id <(cat "$TOKENS")
	fails 1 "not a regular file" reap-show --id - < <(cat "$TOKENS")
	mkfifo "$TMP/fifo"
	fails 1 "$TMP/fifo: not a regular file" timeout 10 reap-show --id "$TMP/fifo"
	mkdir "$TMP/empty"
	fails 1 "$TMP/empty/config.json" reap-show --id "$TMP/empty"
}

@test "another training run of the same shape is another model" {
	differs "$MODEL" "$PLAIN"
}

@test "files, their names, links and the spelling of config.json do not matter" {
	reap-rewrite -q --first 32 -m "$MODEL" -o "$TMP/many" --max-shard-size 300K >"$TMP/manifest"
	[ "$(ls "$TMP/many" | grep -c safetensors)" -gt 10 ]
	same "$MODEL" "$TMP/many"
	mkdir "$TMP/other"
	for f in "$TMP"/many/*.safetensors; do
		ln -s "$f" "$TMP/other/weights${f##*/model}"
	done
	sed 's/model-0/weights-0/g' "$TMP/many/model.safetensors.index.json" \
		>"$TMP/other/model.safetensors.index.json"
	jq -cS '.eos_token_id = 1 | .use_cache = false' "$MODEL/config.json" >"$TMP/other/config.json"
	same "$MODEL" "$TMP/other"
	jq '.layer_types[] = "full_attention"' "$MODEL/config.json" >"$TMP/many/config.json"
	jq '.sliding_window = 9 | .max_position_embeddings = 4096' "$TMP/many/config.json" \
		>"$TMP/other/config.json"
	same "$TMP/many" "$TMP/other"
	jq '.rope_theta = 150001' "$MODEL/config.json" >"$TMP/other/config.json"
	differs "$MODEL" "$TMP/other"
}

@test "one value of a small tensor, in any shard" {
	local t
	for t in model.norm.weight model.layers.0.self_attn.sinks model.layers.3.mlp.router.bias \
		model.layers.2.mlp.experts.down_proj_bias; do
		cp -r "$MODEL" "$TMP/tuned"
		tests/poke.py "$TMP/tuned" "$t"
		differs "$MODEL" "$TMP/tuned"
		tests/poke.py "$TMP/tuned" "$t"
		same "$MODEL" "$TMP/tuned"
		rm -r "$TMP/tuned"
	done
}

@test "one expert of any layer, in blocks or scales" {
	local large=$BATS_FILE_TMPDIR/large base part l x n=0
	base=$(id "$large")
	for part in gate_up_proj_blocks gate_up_proj_scales down_proj_blocks down_proj_scales; do
		for l in 0 1; do
			for x in $n 31; do
				tests/poke.py "$large" "model.layers.$l.mlp.experts.$part" $x
				[ "$(id "$large")" != "$base" ] || { echo "$part of expert $x, layer $l"; return 1; }
				tests/poke.py "$large" "model.layers.$l.mlp.experts.$part" $x
				n=$((n + 1))
			done
		done
	done
	[ "$n" -eq 16 ]
	[ "$(id "$large")" = "$base" ]
}

@test "an exchanged shard" {
	"$GEN" --shards 2 "$TMP/a"
	"$GEN" --shards 2 --seed 9 "$TMP/b"
	differs "$TMP/a" "$TMP/b"
	cp -r "$TMP/a" "$TMP/mixed"
	cp "$TMP/b/model-00002-of-00002.safetensors" "$TMP/mixed"
	differs "$TMP/a" "$TMP/mixed"
	differs "$TMP/b" "$TMP/mixed"
}

@test "traces of two models are not added, evals not merged" {
	fails 1 "model digest $(short "$MODEL")..., but" reap-accum -q "$BATS_FILE_TMPDIR/model.trace" \
		"$BATS_FILE_TMPDIR/model-plain.trace"
	grep -q "has $(short "$PLAIN")\.\.\." "$TMP/fails.err"
	for m in model model-plain; do
		reap-ppl -q -m "tests/fixtures/$m" --shard $((1 + ${#m} / 6))/2 "$TOKENS" >"$TMP/$m.part"
	done
	fails 1 "$(short "$PLAIN")" reap-ppl --merge "$TMP/model.part" "$TMP/model-plain.part"
	fails 1 "$(short "$MODEL")" reap-ppl --merge "$TMP/model.part" "$TMP/model-plain.part"
}

@test "nothing is taken over from a run over other weights" {
	fails 1 "$(short "$PLAIN")" reap-route -q -m "$PLAIN" \
		--resume "$BATS_FILE_TMPDIR/model.trace" "$TOKENS"
	fails 1 "$(short "$PLAIN")" reap-ppl -q -m "$PLAIN" \
		--resume "$BATS_FILE_TMPDIR/model.eval" "$TOKENS"
	# The weights exchanged in place, config.json as it was.
	cp -r "$MODEL" "$TMP/m"
	reap-route -q -m "$TMP/m" --resume "$BATS_FILE_TMPDIR/model.trace" "$TOKENS" >"$TMP/trace"
	cp "$PLAIN"/*.safetensors "$TMP/m"
	fails 1 "$(short "$MODEL")" reap-route -q -m "$TMP/m" --resume "$TMP/trace" "$TOKENS"
	fails 1 "$(short "$MODEL")" reap-ppl -q -m "$TMP/m" \
		--resume "$BATS_FILE_TMPDIR/model.eval" "$TOKENS"
}

@test "a plan cuts the model that it was made for" {
	reap-accum -q "$BATS_FILE_TMPDIR/model.trace" | reap-rank -q --yaml >"$TMP/scores.yaml"
	reap-cut -q --keep-n 24 "$TMP/scores.yaml" >"$TMP/plan"
	reap-rewrite -q -m "$MODEL" -o "$TMP/out" "$TMP/plan" >"$TMP/manifest"
	fails 1 "$(short "$PLAIN")" reap-rewrite -q -m "$PLAIN" -o "$TMP/other" "$TMP/plan"
	fails 1 "$(short "$PLAIN")" reap-rewrite -q -n -m "$PLAIN" "$TMP/plan"
	fails 1 "$(short "$PLAIN")" reap-cut --sweep -m "$PLAIN" "$TMP/scores.yaml"
	[ ! -e "$TMP/other" ]
	# What was cut is a model of its own; the manifest names both.
	reap-show "$TMP/manifest" | jq -se --arg from "$(id "$MODEL")" --arg to "$(id "$TMP/out")" \
		'.[0].model.digest == $from and .[-1].model_digest == $to and $from != $to'
}

@test "pipelines: a folder of more names than fit a command line" {
	mkdir "$TMP/rows"
	name=$(printf '%0200d' 0)
	for i in {1..1000}; do
		: >"$TMP/rows/$name$i"
	done
	# Arguments may take a quarter of what the stack may.
	(
		ulimit -s 512
		OUT=$TMP/out bash -c 'set -eo pipefail; . pipelines/store.bash; identity "rows:$1"; echo "$REPLY"' - "$TMP/rows"
	) | grep -qxE '[0-9a-f]{64}'
}
