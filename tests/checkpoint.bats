#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Checkpoints that are damaged, disagree with themselves or mean two things: one line
# that names the tensor, file or key, exit 1, nothing written.  Checkpoints that spell the same
# thing otherwise give the same numbers.
load helpers

GEN=$REAP_BUILD/gen/random_checkpoint

setup_file() {
	local base=$BATS_FILE_TMPDIR/base
	"$GEN" --shards 2 "$base"
	"$GEN" --shards 2 --format bf16 "$base.bf16"
	python3 tests/hostile.py "$base" "$base.bf16" "$BATS_FILE_TMPDIR/hostile" >"$BATS_FILE_TMPDIR/kinds"
	jq -cn '[range(0; 120) | {input_ids: [range(. * 7; . * 7 + 20) | . % 257]}][]' \
		>"$BATS_FILE_TMPDIR/rows.jsonl"
	reap-tokenize -q -l 60 -b 4 --eos 1 "$BATS_FILE_TMPDIR/rows.jsonl" >"$BATS_FILE_TMPDIR/tokens"
}

# numbers MODEL: what the model makes of the tokens, without its name.
numbers() {
	reap-route -q --no-history -m "$1" "$BATS_FILE_TMPDIR/tokens" | reap-show | jq -c 'select(.reap | not)' | sha256sum
}

# All kinds to be refused whose names match the pattern.
refused() {
	local n=0 name text
	while IFS=$'\t' read -r name text; do
		[[ $name == $1 && $text != =* ]] || continue
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
@test "index and files" { refused '@(index|no-index|stray|shard|fifo)*' 21; }
@test "NaN and infinity" { refused '@(nan|infinity|scale)-*' 13; }
@test "config.json" { refused 'config-*' 69; }
@test "files that make loaders take another model" { refused adapter 1; }
@test "nothing but zeros" { refused 'zero-*' 5; }
@test "what was not downloaded whole" { refused '@(pointer|page|unfinished)-*' 17; }

@test "what is not what its name in a cache says" { refused 'blob-*' 4; }

@test "a folder that cannot be listed to its end is not one without stray files" {
	[[ "$REAP_BUILD" != *san* && "$REAP_BUILD" != *fuzz* ]] || skip "a sanitizer is loaded first"
	printf '%s\n' '#include <errno.h>' 'typedef void DIR;' \
		'void *readdir(DIR *d) { (void)d; errno = EIO; return 0; }' 'void *readdir64(DIR *d) { return readdir(d); }' >"$TMP/bad.c"
	cc -shared -fPIC -o "$TMP/bad.so" "$TMP/bad.c"
	fails 1 "base: Input/output error" env LD_PRELOAD="$TMP/bad.so" reap-show --id "$BATS_FILE_TMPDIR/base"
}

@test "reap-show --check finds all of that, and NaN and zeros in any expert" {
	local name text n=0
	while IFS=$'\t' read -r name text; do
		case $name in
		zero-* | nan-* | scale-* | pointer-* | page-* | blob-* | infinity-*) ;;
		*) continue ;;
		esac
		[[ $text != =* ]] || continue
		n=$((n + 1))
		fails 1 "$text" reap-show -q --check "$BATS_FILE_TMPDIR/hostile/$name" || { echo "kind: $name"; return 1; }
	done <"$BATS_FILE_TMPDIR/kinds"
	[ "$n" -ge 29 ] || { echo "$n kinds"; return 1; }
	for name in base taken-from-cache bf16; do
		reap-show -q --check "$BATS_FILE_TMPDIR/hostile/$name" >"$TMP/sums"
		(cd "$BATS_FILE_TMPDIR/hostile/$name" && sha256sum --strict --quiet -c "$TMP/sums" &&
			find -L . -type f ! -name '.*' -printf '%f\n' | LC_ALL=C sort | diff - <(cut -c 67- "$TMP/sums"))
	done
	cp -r "$MODEL" "$TMP/names"
	touch "$TMP/names/a b" "$TMP/names/"$'new\nline' "$TMP/names/"$'back\\slash \r'
	reap-show -q --check "$TMP/names" >"$TMP/sums"
	(cd "$TMP/names" && sha256sum --strict -c "$TMP/sums" | wc -l) >"$TMP/n"
	[ "$(cat "$TMP/n")" -eq "$(ls -b "$TMP/names" | wc -l)" ]
	# The file of the digests has none itself.
	cp -r "$MODEL" "$TMP/sums-inside"
	chmod u+w "$TMP/sums-inside"
	reap-show -q --check "$TMP/sums-inside" >"$TMP/sums-inside/SHA256SUMS"
	(cd "$TMP/sums-inside" && sha256sum --check --quiet SHA256SUMS && [ "$(wc -l <SHA256SUMS)" -eq $(($(ls | wc -l) - 1)) ])
	fails 2 "--check: of which checkpoint?" reap-show --check
	fails 2 "--check and --where go with no other option" reap-show --check --summary "$MODEL"
}

@test "one meaning, spelled otherwise: the same numbers, also when pruned" {
	local n=0 name as hostile=$BATS_FILE_TMPDIR/hostile
	while IFS=$'\t' read -r name as; do
		[[ $as == =* ]] || continue
		as=${as#=}
		n=$((n + 1))
		numbers "$hostile/$name" >"$TMP/$name" || { echo "$name: was not taken"; return 1; }
		reap-rewrite -q --verify -f --first 6 -m "$hostile/$name" -o "$TMP/out" >"$TMP/manifest" &&
			tests/loaders/check_checkpoint.py --any-count --source "$hostile/$name" "$TMP/out" &&
			numbers "$TMP/out" >"$TMP/$name.pruned" || { echo "$name: was not pruned"; return 1; }
		rm -rf "$TMP/out"
		cmp "$TMP/$name" "$TMP/$as" && cmp "$TMP/$name.pruned" "$TMP/$as.pruned" ||
			{ echo "$name: other numbers than $as"; return 1; }
	done <"$BATS_FILE_TMPDIR/kinds"
	[ "$n" -ge 24 ] || { echo "$n kinds"; return 1; }
	# Numbers tell models apart.
	for as in standard factor-of-8 head-of-embedding zero-bias f16-values bf16; do
		run cmp -s "$TMP/$as" "$TMP/base"
		[ "$status" -eq 1 ] || { echo "$as: the numbers of base"; return 1; }
	done
}

@test "a stale quantization_config is left out of what is pruned" {
	reap-rewrite -q -f --first 6 -m "$BATS_FILE_TMPDIR/hostile/bf16-taken-stale-quantisation" -o "$TMP/out" >"$TMP/manifest"
	[ "$(jq 'has("quantization_config")' "$TMP/out/config.json")" = false ]
}

@test "an adapter beside the weights: reap-route and reap-ppl take the weights and say so" {
	for tool in reap-route reap-ppl; do
		"$tool" -m "$BATS_FILE_TMPDIR/hostile/adapter" "$BATS_FILE_TMPDIR/tokens" >"$TMP/out" 2>"$TMP/err"
		grep -q "$tool: .*adapter_config.json: transformers with peft would load the model that this file names" "$TMP/err"
	done
}

@test "zeros in experts: reap-route names the expert, too" {
	for kind in scale-all-zero zero-blocks; do
		run reap-route -q -m "$BATS_FILE_TMPDIR/hostile/$kind" "$BATS_FILE_TMPDIR/tokens"
		[ "$status" -eq 1 ]
		[[ $output == *": all zero, as a hole in the file reads: it is damaged"* ]]
	done
}

@test "NaN and infinity in experts: reap-rank --method aimer names the number" {
	for kind in nan-in-bf16-expert infinity-in-last-bf16-expert; do
		fails 1 "$(awk -F '\t' -v kind=$kind '$1 == kind { print $2 }' "$BATS_FILE_TMPDIR/kinds")" \
			reap-rank -q --method aimer -m "$BATS_FILE_TMPDIR/hostile/$kind"
	done
}

@test "every kind was tried" {
	! grep -v '	=' "$BATS_FILE_TMPDIR/kinds" |
		grep -vE '^(file|header|duplicate|metadata|entry|dtype|shape|offsets|hole|bytes|odd|tensor|index|no-index|stray|shard|fifo|nan|infinity|scale|config|adapter|zero|pointer|page|unfinished|blob)' || false
}

@test "a NaN scale in an expert that goes is no obstacle" {
	# Expert 0 of layer 1 has the bad scale; a plan without it is fine.
	local digest bad=$BATS_FILE_TMPDIR/hostile/scale-255
	digest=$(reap-show --id "$bad" | cut -d' ' -f1)
	reap-rewrite -q --first 8 -m "$BATS_FILE_TMPDIR/base" -o "$TMP/a" | reap-show >"$TMP/a.json"
	printf '%s\n' "$(jq -c --arg digest "$digest" 'select(.kind) | .kind = "plan" | .model.digest = $digest' "$TMP/a.json")" \
		'{"t":"meta","keep_n":7,"scores_sha256":"","method":"x","order":"ascending","label":"x","core_pos":0,"core_count":0,"multiple_of":1,"keep_frac":0.0}' \
		'{"t":"layer","layer":0,"keep":[1,2,3,4,5,6,7],"kept_mass":1.0}' \
		'{"t":"layer","layer":1,"keep":[1,2,3,4,5,6,7],"kept_mass":1.0}' |
		reap-show --encode plan >"$TMP/plan"
	reap-rewrite -q -f -m "$bad" -o "$TMP/b" "$TMP/plan" >"$TMP/b.manifest"
}
