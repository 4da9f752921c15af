#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Checkpoints that are damaged or disagree with themselves: one line that names
# the tensor, file or key, exit 1, nothing written.
load helpers

GEN=$REAP_BUILD/gen/random_checkpoint

setup_file() {
	local base=$BATS_FILE_TMPDIR/base
	"$GEN" --shards 2 "$base"
	python3 tests/hostile.py "$base" "$BATS_FILE_TMPDIR/hostile" >"$BATS_FILE_TMPDIR/kinds"
}

# All kinds whose names match the pattern.
refused() {
	local n=0 name text
	while IFS=$'\t' read -r name text; do
		[[ $name == $1 ]] || continue
		n=$((n + 1))
		fails 1 "$text" reap-rewrite -q --first 8 -m "$BATS_FILE_TMPDIR/hostile/$name" -o "$TMP/out" ||
			{ echo "kind: $name"; return 1; }
		[ ! -e "$TMP/out" ] || { echo "$name: left a target"; return 1; }
	done <"$BATS_FILE_TMPDIR/kinds"
	[ "$(find "$TMP" -name 'out*' | wc -l)" -eq 0 ] || { ls "$TMP"; return 1; }
	[ "$n" -ge "$2" ] || { echo "$n kinds, expected at least $2"; return 1; }
}

@test "the undamaged one is fine" {
	reap-rewrite -q --first 8 -m "$BATS_FILE_TMPDIR/base" -o "$TMP/out" >"$TMP/manifest"
}

@test "file header" { refused '@(file|header|duplicate|metadata|entry)-*' 17; }
@test "dtype, shape, offsets" { refused '@(dtype|shape|offsets|hole|bytes|odd)*' 19; }
@test "set of tensors" { refused 'tensor-*' 5; }
@test "index and files" { refused '@(index|no-index|stray|shard)*' 14; }
@test "NaN and infinity" { refused '@(nan|infinity|scale)-*' 6; }
@test "config.json" { refused 'config-*' 35; }

@test "every kind was tried" {
	! cut -f1 "$BATS_FILE_TMPDIR/kinds" |
		grep -vE '^(file|header|duplicate|metadata|entry|dtype|shape|offsets|hole|bytes|odd|tensor|index|no-index|stray|shard|nan|infinity|scale|config)' || false
}

@test "a NaN scale in an expert that goes is no obstacle" {
	# Expert 0 of layer 1 has the bad scale; a plan without it is fine.
	local digest bad=$BATS_FILE_TMPDIR/hostile/scale-255
	digest=$(reap-show --id "$bad" | cut -d' ' -f1)
	reap-rewrite -q --first 8 -m "$BATS_FILE_TMPDIR/base" -o "$TMP/a" | reap-show >"$TMP/a.json"
	printf '%s\n' "$(jq -c --arg digest "$digest" 'select(.kind) | .kind = "plan" | .model.digest = $digest' "$TMP/a.json")" \
		'{"t":"meta","keep_n":7,"method":"x","order":"ascending","label":"x","core_pos":0,"core_count":0,"multiple_of":1,"keep_frac":0.0}' \
		'{"t":"layer","layer":0,"keep":[1,2,3,4,5,6,7],"kept_mass":1.0}' \
		'{"t":"layer","layer":1,"keep":[1,2,3,4,5,6,7],"kept_mass":1.0}' |
		reap-show --encode plan >"$TMP/plan"
	reap-rewrite -q -f -m "$bad" -o "$TMP/b" "$TMP/plan" >"$TMP/b.manifest"
}
