#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# reap-rewrite: what it writes, what it refuses, and what is left when it fails.
load helpers

GEN=$REAP_BUILD/gen/random_checkpoint
CHECK=tests/loaders/check_checkpoint.py

setup_file() {
	cd "$ROOT" || return 1
	# Large enough to be killed in, small enough for any disk: 110 MB.
	"$GEN" --layers 8 --hidden 512 --inter 512 --experts 32 --shards 3 "$BATS_FILE_TMPDIR/large"
	plan_for "$MODEL" $'31 0 17 2 3 4 5 6 7 8 9 10 11 12 13 14 30 29 28 27 26 25 24 16' >"$BATS_FILE_TMPDIR/plan"
}

# plan_for MODEL "IDS": a plan that keeps these experts in this order, rotated by
# the layer's number, so that no two layers agree.
plan_for() {
	local ids layers l
	read -r -a ids <<<"$2"
	reap-rewrite -q -m "$1" -o "$BATS_TEST_TMPDIR/probe$$" --first "${#ids[@]}" --probe --force \
		--no-history | reap-show 2>/dev/null | sed -n 1p |
		sed 's/"kind":"manifest"/"kind":"plan"/' >"$BATS_TEST_TMPDIR/header$$"
	layers=$(jq .model.layers "$BATS_TEST_TMPDIR/header$$")
	{
		cat "$BATS_TEST_TMPDIR/header$$"
		printf '{"t":"meta","keep_n":%d,"scores_sha256":"","method":"reap","order":"rank","label":"test","core_pos":0,"core_count":0,"multiple_of":4,"keep_frac":0.0}\n' "${#ids[@]}"
		for ((l = 0; l < layers; l++)); do
			printf '{"t":"layer","layer":%d,"keep":[%s],"kept_mass":0.5}\n' "$l" \
				"$(printf '%s\n' "${ids[@]:l}" "${ids[@]:0:l}" | paste -sd,)"
		done
	} | reap-show --encode plan
}

setup() {
	export TMP=$BATS_TEST_TMPDIR
	PLAN=$BATS_FILE_TMPDIR/plan
	LARGE=$BATS_FILE_TMPDIR/large
}

# nothing_left NAME: neither the target nor anything beside it.
nothing_left() {
	local left
	left=$(find "$TMP" -maxdepth 1 -name "$1*")
	[ -z "$left" ] || { echo "left: $left"; return 1; }
}

# ---- what it writes ----

@test "a plan in any order: every kept byte, every rule of the loaders" {
	reap-rewrite -q -m "$MODEL" -o "$TMP/out" --verify "$PLAN" >"$TMP/manifest"
	"$CHECK" --source "$MODEL" "$TMP/out"
	[ "$(jq -r '."1"."0"' "$TMP/out/expert_mapping.json")" = 0 ]
	[ "$(jq -r '."0"."31"' "$TMP/out/expert_mapping.json")" = 0 ]
	[ "$(reap-show -t total "$TMP/manifest" | jq .verified)" = true ]
}

@test "the plan comes from a pipe" {
	reap-rewrite -q -m "$MODEL" -o "$TMP/out" <"$PLAN" | reap-show >/dev/null
	"$CHECK" --source "$MODEL" "$TMP/out"
}

@test "config.json changes in the numbers of experts and nowhere else" {
	reap-rewrite -q -m "$MODEL" -o "$TMP/out" "$PLAN" >"$TMP/manifest"
	diff <(sed 's/"num_local_experts": 32/"num_local_experts": 24/' "$MODEL/config.json") "$TMP/out/config.json"
}

@test "files that may take the place of config.json change like it, others stay as they are" {
	mkdir "$TMP/src"
	ln -s "$MODEL"/* "$TMP/src"
	sed 's/"max_position_embeddings": [0-9]*/"max_position_embeddings": 1048576/' "$MODEL/config.json" >"$TMP/src/config_1m.json"
	echo '{"framework": "pytorch"}' >"$TMP/src/configuration.json"
	echo '{"num_local_experts": ' >"$TMP/src/config_draft.json"
	reap-rewrite -q --verify -m "$TMP/src" -o "$TMP/out" "$PLAN" >"$TMP/manifest"
	diff <(sed 's/"num_local_experts": 32/"num_local_experts": 24/' "$TMP/src/config_1m.json") "$TMP/out/config_1m.json"
	diff "$TMP/src/configuration.json" "$TMP/out/configuration.json"
	diff "$TMP/src/config_draft.json" "$TMP/out/config_draft.json"
	reap-show "$TMP/manifest" | jq -se --arg sum "$(sha256sum <"$TMP/out/config_1m.json" | cut -d ' ' -f 1)" \
		'any(.[]; .name == "config_1m.json" and .sha256 == $sum)'
}

@test "config.json: missing keys are added, transformers 5 spelling stays" {
	mkdir "$TMP/src"
	ln -s "$MODEL"/* "$TMP/src"
	rm "$TMP/src/config.json"
	jq -c 'del(.experts_per_token) | .num_experts = .num_local_experts | del(.num_local_experts)
		| .rope_parameters = .rope_scaling + {rope_theta} | del(.rope_scaling, .rope_theta)' \
		"$MODEL/config.json" >"$TMP/src/config.json"
	reap-rewrite -q -m "$TMP/src" -o "$TMP/out" --first 24 >"$TMP/manifest"
	"$CHECK" "$TMP/out"
	[ "$(jq -c '[.num_experts, .num_local_experts, .num_experts_per_tok, .experts_per_token]' \
		"$TMP/out/config.json")" = '[24,24,4,4]' ]
	diff <(jq .rope_parameters "$TMP/src/config.json") <(jq .rope_parameters "$TMP/out/config.json")
}

@test "keeping all in order changes no byte of any tensor, nor the model's digest" {
	reap-rewrite -q -m "$MODEL" -o "$TMP/out" --first 32 --max-shard-size 1MB >"$TMP/manifest"
	"$CHECK" --source "$MODEL" --max-shard 1000000 "$TMP/out"
	cmp "$MODEL/config.json" "$TMP/out/config.json"
	reap-show "$TMP/manifest" | jq -se '.[0].model.digest == .[-1].model_digest'
}

@test "BF16 experts, one file without an index" {
	"$GEN" --format bf16 "$TMP/src"
	[ ! -e "$TMP/src/model.safetensors.index.json" ]
	reap-rewrite -q --force -m "$TMP/src" -o "$TMP/out" --first 5 --verify >"$TMP/manifest"
	"$CHECK" --any-count --source "$TMP/src" "$TMP/out"
}

@test "how the source is spread over files makes no difference" {
	"$GEN" --shards 1 "$TMP/a"
	"$GEN" --shards 7 "$TMP/b"
	reap-rewrite -q -m "$TMP/a" -o "$TMP/out-a" --first 8 >"$TMP/manifest"
	reap-rewrite -q -m "$TMP/b" -o "$TMP/out-b" --first 8 >"$TMP/manifest"
	diff -r "$TMP/out-a" "$TMP/out-b"
}

@test "shards: any limit, down to a file for each tensor" {
	for size in 1 100000 300K 2MB 1Gi; do
		rm -rf "$TMP/out"
		reap-rewrite -q -m "$MODEL" -o "$TMP/out" --max-shard-size "$size" "$PLAN" >"$TMP/manifest"
		"$CHECK" --source "$MODEL" --max-shard "$(numfmt --from=auto "${size%B}")" "$TMP/out" ||
			{ echo "size $size"; return 1; }
	done
}

@test "real sizes: 13,242,242 bytes an expert, the original's shards of the 20B at keep 24" {
	"$GEN" --sparse --preset 20b "$TMP/20b"
	reap-rewrite -m "$TMP/20b" --first 24 --dry-run --json >"$TMP/plan"
	reap-rewrite -m "$TMP/20b" --first 20 --dry-run --json >"$TMP/plan20"
	[ "$(($(jq .tensor_bytes "$TMP/plan") - $(jq .tensor_bytes "$TMP/plan20")))" -eq $((24 * 4 * 13242242)) ]
	# As the published one: 124 tensors ending in layer 15, then 68; without their headers.
	jq -r '.each[] | "\(.tensors) \(.tensor_bytes)"' "$TMP/plan" | diff - <(printf '%s\n' "267 3591222912" \
		"124 4873375440" "68 2754155952")
}

@test "files beside the weights: copied, links followed, old weights left" {
	mkdir -p "$TMP/blobs" "$TMP/src/original" "$TMP/src/metal"
	for f in "$MODEL"/*; do
		cp "$f" "$TMP/blobs/$(basename "$f")"
		ln -s "../blobs/$(basename "$f")" "$TMP/src/$(basename "$f")"
	done
	for f in LICENSE USAGE_POLICY original/model.safetensors metal/model.bin pytorch_model.bin \
		model.gguf .gitattributes expert_mapping.json reap-recipe.yaml reap-scores.yaml \
		config.json.part README.md SHA256SUMS verdict.md verdict.json report.html readme.md \
		Readme_zh.md reap-recipe-20.yaml REAP-scores.YML sha256sums.txt model-00001-of-00003.safetensors.incomplete \
		README.md.incomplete LICENSE.part; do
		echo "old $f" >"$TMP/src/$f"
	done
	cp recipes/tiny-keep24.yaml "$TMP/recipe"
	reap-rewrite -q -m "$TMP/src" -o "$TMP/out" --recipe "$TMP/recipe" "$PLAN" >"$TMP/manifest"
	"$CHECK" --source "$TMP/src" "$TMP/out"
	cmp "$TMP/recipe" "$TMP/out/reap-recipe.yaml"
	(cd "$TMP/out" && ls) | diff - <(printf '%s\n' LICENSE USAGE_POLICY chat_template.jinja config.json \
		expert_mapping.json generation_config.json model-00001-of-00002.safetensors \
		model-00002-of-00002.safetensors model.safetensors.index.json reap-recipe.yaml \
		tokenizer.json tokenizer_config.json)
}

@test "further chat templates are part of the model, and leave nothing either" {
	local folder=$TMP/src/additional_chat_templates
	cp -r "$MODEL" "$TMP/src"
	mkdir -p "$folder/more" "$TMP/src/original"
	echo '{{ tools }}' >"$TMP/tool_use.jinja"
	ln -s ../../tool_use.jinja "$folder/tool_use.jinja"
	touch "$folder/.hidden" "$folder/more/nested" "$TMP/src/original/config.json"
	reap-rewrite -q -m "$TMP/src" -o "$TMP/out" "$PLAN" >"$TMP/m"
	cmp "$TMP/out/additional_chat_templates/tool_use.jinja" "$TMP/tool_use.jinja"
	[ ! -L "$TMP/out/additional_chat_templates/tool_use.jinja" ]
	[ "$(cd "$TMP/out" && find . -mindepth 1 -type d && find . -mindepth 2)" = $'./additional_chat_templates\n./additional_chat_templates/tool_use.jinja' ]
	pipelines/checksums "$TMP/m" >"$TMP/sums"
	reap-show -q --check "$TMP/out" | sort -k 2 | diff "$TMP/sums" -
	grep -q '  additional_chat_templates/tool_use.jinja$' "$TMP/sums"
	rm -r "$TMP/out"
	trap '' XFSZ
	(ulimit -f 800 && fails 1 "File too large" reap-rewrite -q -m "$TMP/src" -o "$TMP/out" "$PLAN")
	nothing_left out
	printf 'version https://git-lfs.github.com/spec/v1\noid' >"$TMP/tool_use.jinja"
	fails 1 "additional_chat_templates/tool_use.jinja: is a Git LFS pointer" reap-rewrite -q -m "$TMP/src" -o "$TMP/out" "$PLAN"
	nothing_left out
	rm "$TMP/tool_use.jinja"
	fails 1 "additional_chat_templates/tool_use.jinja: No such file" reap-rewrite -q -m "$TMP/src" -o "$TMP/out" "$PLAN"
	nothing_left out
}

@test "a source whose small files were not downloaded whole" {
	cp -r "$MODEL" "$TMP/src"
	mv "$TMP/src/tokenizer.json" "$TMP/src/tokenizer.json.incomplete"
	fails 1 "$TMP/src/tokenizer.json.incomplete: is an unfinished download" \
		reap-rewrite -q -m "$TMP/src" -o "$TMP/out" "$PLAN"
	nothing_left out
	cp "$MODEL/tokenizer.json" "$TMP/src"
	touch "$TMP/src/tokenizer.json.aria2"
	fails 1 "$TMP/src/tokenizer.json: its download is unfinished ($TMP/src/tokenizer.json.aria2)" \
		reap-rewrite -q -m "$TMP/src" -o "$TMP/out" "$PLAN"
	nothing_left out
	rm "$TMP/src"/*.aria2
	reap-rewrite -q -m "$TMP/src" -o "$TMP/out" "$PLAN" >"$TMP/manifest"
	[ ! -e "$TMP/out/tokenizer.json.incomplete" ]
}

@test "recipe and scores are shipped inside" {
	cp recipes/tiny-keep24.yaml "$TMP/r"
	reap-tokenize -m "$MODEL" --rows --max-len 64 --sample 6 "$PACKS"/*.calib.jsonl |
		reap-route -q -m "$MODEL" | reap-accum -q >"$TMP/saliency"
	reap-rank --yaml "$TMP/saliency" >"$TMP/s"
	# The plan of the stream goes with the same scores as YAML.
	reap-rank "$TMP/saliency" | reap-cut --keep-n 24 >"$TMP/plan"
	reap-rewrite -q -m "$MODEL" -o "$TMP/out" --recipe "$TMP/r" --scores "$TMP/s" "$TMP/plan" >"$TMP/manifest"
	cmp "$TMP/r" "$TMP/out/reap-recipe.yaml"
	cmp "$TMP/s" "$TMP/out/reap-scores.yaml"
	fails 1 none.yaml reap-rewrite -q -m "$MODEL" -o "$TMP/out2" --recipe "$TMP/none.yaml" "$PLAN"
	fails 1 "but the plan was cut from none" reap-rewrite -q -m "$MODEL" -o "$TMP/out2" --scores "$TMP/s" "$PLAN"
	reap-rank --yaml --method reap "$TMP/saliency" >"$TMP/reap"
	fails 1 "$TMP/reap: scores " reap-rewrite -q -m "$MODEL" -o "$TMP/out2" --scores "$TMP/reap" "$TMP/plan"
	fails 1 "24 layers, but" reap-rewrite -q -m "$MODEL" -o "$TMP/out2" \
		--scores recipes/reap-scores_20b_eaftreap_keepfrac060_keep19.yaml "$TMP/plan"
	nothing_left out2
}

@test "scores that name another model and have no digest: one line says so" {
	local said
	reap-tokenize -m "$MODEL" --rows --max-len 64 --sample 6 "$PACKS"/*.calib.jsonl |
		reap-route -q -m "$MODEL" | reap-accum -q | reap-rank --yaml >"$TMP/s"
	# named ID: as published scores are, of a model that is called so.
	named() {
		sed '/model_digest:/d; /scores_sha256:/d; s,model_id: .*,model_id: "'"$1"'",' "$TMP/s" >"$TMP/y"
		reap-cut -q --keep-n 24 "$TMP/y" >"$TMP/plan"
	}
	for said in someone/else someone-else; do
		named "$said"
		reap-rewrite -q -m "$MODEL" -o "$TMP/out" --scores "$TMP/y" "$TMP/plan" 2>"$TMP/err" >"$TMP/m"
		[ "$(cat "$TMP/err")" = "reap-rewrite: $TMP/plan: has no digest of its model, which it calls $said, but the checkpoint is model: only their shapes were compared" ]
		reap-cut --sweep -m "$MODEL" "$TMP/y" 2>"$TMP/err" >"$TMP/sweep"
		[ "$(cat "$TMP/err")" = "reap-cut: $TMP/y: has no digest of its model, which it calls $said, but the checkpoint is model: only their shapes were compared" ]
		rm -r "$TMP/out"
	done
	for said in model someone/model; do
		named "$said"
		reap-rewrite -q -m "$MODEL" -o "$TMP/out" --scores "$TMP/y" "$TMP/plan" 2>"$TMP/err" >"$TMP/m"
		[ ! -s "$TMP/err" ]
		rm -r "$TMP/out"
	done
	# With the digest, the name does not matter.
	sed 's,model_id: .*,model_id: someone/else,; /scores_sha256:/d' "$TMP/s" >"$TMP/y"
	reap-cut -q --keep-n 24 "$TMP/y" >"$TMP/plan"
	reap-rewrite -q -m "$MODEL" -o "$TMP/out" --scores "$TMP/y" "$TMP/plan" 2>"$TMP/err" >"$TMP/m"
	[ ! -s "$TMP/err" ]
}

@test "a recipe of another model or plan is not shipped: key and both values are named" {
	other() {
		sed "$1" recipes/tiny-keep24.yaml >"$TMP/r"
		fails 1 "$2" reap-rewrite -q -m "$MODEL" -o "$TMP/out" --recipe "$TMP/r" "$PLAN"
	}
	other 's/keep_n: 24/keep_n: 20/' "model.keep_n: 20, but the plan keeps 24"
	other 's/num_experts: 32/num_experts: 128/' "model.num_experts: 128, but the model has 32"
	other '/keep_n: 24/d; s/requested: 0.75/requested: 0.6/' \
		"model.keep_frac_requested: 0.6, which is 20 of 32 experts, but the plan keeps 24"
	other 's/reap_recipe/eval_base/' "$TMP/r"
	other 's/^model:/mode:/' "mode"
	fails 1 "kind: reap_recipe is wanted, not cost_probe" reap-rewrite -q -m "$MODEL" -o "$TMP/out" \
		--recipe recipes/tiny-costprobe.yaml "$PLAN"
	fails 1 "" reap-rewrite -q -m "$MODEL" -o "$TMP/out" --recipe "$MODEL/config.json" "$PLAN"
	nothing_left out
	# Where only the share is given, it is the one that reap-cut was given.
	sed '/keep_n: 24/d' recipes/tiny-keep24.yaml >"$TMP/r"
	reap-rewrite -q -m "$MODEL" -o "$TMP/out" --recipe "$TMP/r" "$PLAN" >"$TMP/manifest"
}

@test "recipe and scores come through a pipe: they are looked at, and ship as they came" {
	local pipe
	cp recipes/tiny-keep24.yaml "$TMP/r"
	reap-tokenize -m "$MODEL" --rows --max-len 64 --sample 6 "$PACKS"/*.calib.jsonl |
		reap-route -q -m "$MODEL" | reap-accum -q | reap-rank >"$TMP/s"
	reap-rank --yaml "$TMP/s" >"$TMP/y"
	reap-cut --keep-n 24 "$TMP/s" >"$TMP/plan"
	reap-rewrite -q -m "$MODEL" -o "$TMP/out" --recipe <(cat "$TMP/r") --scores <(cat "$TMP/y") "$TMP/plan" >"$TMP/m"
	cmp "$TMP/r" "$TMP/out/reap-recipe.yaml"
	cmp "$TMP/y" "$TMP/out/reap-scores.yaml"
	reap-cut --keep-n 20 "$TMP/s" >"$TMP/plan20"
	fails 1 "model.keep_n: 24, but the plan keeps 20" reap-rewrite -q -m "$MODEL" -o "$TMP/out2" \
		--recipe <(cat "$TMP/r") "$TMP/plan20"
	fails 1 "$TMP/s: a record stream, but what ships is reap-scores.yaml" reap-rewrite -q -m "$MODEL" \
		-o "$TMP/out2" --scores "$TMP/s" "$TMP/plan"
	nothing_left out2
}

@test "a plan that contradicts itself or its scores" {
	reap-tokenize -m "$MODEL" --rows --max-len 64 --sample 6 "$PACKS"/*.calib.jsonl |
		reap-route -q -m "$MODEL" | reap-accum -q >"$TMP/saliency"
	reap-rank --yaml "$TMP/saliency" >"$TMP/y"
	reap-cut --keep-frac 0.6 --core-count 2 "$TMP/y" >"$TMP/plan"
	bad() {
		reap-show "$TMP/plan" | jq -c "if .t == \"meta\" then $2 else . end" | reap-show --encode plan >"$TMP/bad"
		fails 3 "$TMP/bad: $1" reap-rewrite -n -m "$MODEL" "$TMP/bad"
		fails 3 "$TMP/bad: $1" reap-cut --compare "$TMP/bad" "$TMP/plan"
	}
	bad "method: there is no 'best'" '.method = "best"'
	bad "label: 'keep20of32_k62_eaft_sum_corep0c2', but it keeps 20 of 32 by reap, core_pos 0, core_count 2" '.method = "reap"'
	bad "label: " '.core_count = 3'
	bad "label: " '.core_pos = 1'
	bad "label: " '.label |= ltrimstr("keep20")'
	bad "multiple_of: 8, but keep_n is 20" '.multiple_of = 8'
	bad "multiple_of: 0" '.multiple_of = 0'
	bad "keep_frac: 0.54 of 32 experts, a multiple of 2, are not 20" '.keep_frac = 0.54 | .multiple_of = 2'
	edited() {
		reap-show "$TMP/plan" | jq -c "$1" | reap-show --encode plan >"$TMP/bad"
		fails 1 "$TMP/bad: layer 1: the experts that it keeps are not those that $TMP/y" reap-rewrite -n -m "$MODEL" --scores "$TMP/y" "$TMP/bad"
	}
	edited 'if .layer == 1 then .kept_mass = 0.5 else . end'
	edited 'if .layer == 1 then .keep = ([range(32)] - .keep)[:12] + .keep[:8] | .keep |= sort else . end'
	# Random orders, reversed ones and what --force lets through agree with themselves.
	for how in "--method random --seed 7" "--method reap"; do
		# shellcheck disable=SC2086 # words
		reap-rank $how "$TMP/saliency" >"$TMP/s"
		reap-cut --force --keep-n 22 --reverse --order rank --core-pos 1 "$TMP/s" >"$TMP/p"
		[ "$(reap-show -t meta "$TMP/p" | jq .multiple_of)" = 1 ]
		reap-rewrite -n -f -m "$MODEL" --scores <(reap-rank --yaml $how "$TMP/saliency") "$TMP/p"
	done
}

@test "SHA256SUMS of the pipelines: names are escaped as sha256sum does" {
	local odd=$'a \\ b\nc\rd.txt'
	cp -r "$MODEL" "$TMP/src"
	echo x >"$TMP/src/$odd"
	reap-rewrite -q -m "$TMP/src" -o "$TMP/out" "$PLAN" >"$TMP/manifest"
	echo card >"$TMP/out/README.md"
	echo new >"$TMP/out/LICENSE"
	pipelines/checksums "$TMP/manifest" "$TMP/out/README.md" "$TMP/out/LICENSE" >"$TMP/sums"
	(cd "$TMP/out" && sha256sum --strict --quiet -c "$TMP/sums" && sha256sum -- * | LC_ALL=C sort -k 2) | diff - "$TMP/sums"
	grep -qF 'a \\ b\nc\rd.txt' "$TMP/sums"
}

# ---- the manifest ----

@test "the manifest: all files, their digests, and what it cost" {
	reap-rewrite -q -m "$MODEL" -o "$TMP/out" "$PLAN" >"$TMP/manifest"
	reap-show -t file "$TMP/manifest" | jq -r '"\(.sha256)  \(.name)"' >"$TMP/sums"
	(cd "$TMP/out" && sha256sum --check --quiet "$TMP/sums")
	[ "$(wc -l <"$TMP/sums")" -eq "$(find "$TMP/out" -type f | wc -l)" ]
	reap-show -t total "$TMP/manifest" >"$TMP/total"
	[ "$(jq .bytes_written "$TMP/total")" -eq "$(cat "$TMP/out"/* | wc -c)" ]
	[ "$(jq .shards_touched "$TMP/total")" -eq 3 ]
	# Nothing is read but what is kept: tensors and the files beside them.
	kept=$(jq .metadata.total_size "$TMP/out/model.safetensors.index.json")
	beside=$(cd "$TMP/out" && cat chat_template.jinja generation_config.json tokenizer.json tokenizer_config.json | wc -c)
	[ "$(jq .bytes_read "$TMP/total")" -eq $((kept + beside)) ]
	# The same again, but for the times.
	reap-rewrite -q -m "$MODEL" -o "$TMP/out2" "$PLAN" | reap-show -t file | diff - <(reap-show -t file "$TMP/manifest")
}

@test "memory stays below 64 MiB" {
	[[ "$REAP_BUILD" != *san ]] || skip "not under a sanitizer"
	reap-rewrite -q -m "$LARGE" -o "$TMP/out" --first 24 --verify | reap-show -t total >"$TMP/total"
	[ "$(jq .peak_rss "$TMP/total")" -le $((64 << 20)) ]
}

@test "memory stays below 64 MiB with 96,103 tensors, whatever the files; a header of more than 8 MiB" {
	[[ "$REAP_BUILD" != *san ]] || skip "not under a sanitizer"
	local o
	# As many as MiniMax-M2 has, but tiny: 70 MB.
	"$GEN" --arch minimax_m2 --format fp8 --layers 62 --hidden 32 --inter 32 --experts 256 --top-k 8 --vocab 1000 \
		--shards 130 "$TMP/many"
	[ "$(jq '.weight_map | length' "$TMP/many/model.safetensors.index.json")" -eq 96103 ]
	for o in 2MB 5GB; do
		reap-rewrite -q -m "$TMP/many" -o "$TMP/out$o" --first 192 --verify --max-shard-size "$o" |
			reap-show -t total >"$TMP/total"
		[ "$(jq .peak_rss "$TMP/total")" -le $((64 << 20)) ] || { cat "$TMP/total"; return 1; }
	done
	[ "$(od -An -tu8 -N8 "$TMP/out5GB/model-00002-of-00002.safetensors")" -gt $((8 << 20)) ]
	# What a reader would refuse is refused before anything is written.
	fails 1 "would be more than 4096" reap-rewrite -q -m "$TMP/many" -o "$TMP/out" --first 192 --max-shard-size 4KB
	nothing_left "out/"
}

@test "--layers: their experts only, a file each, nothing that a loader takes" {
	reap-rewrite -q -m "$MODEL" -o "$TMP/out" --layers 3-2,0 --verify "$PLAN" >"$TMP/manifest"
	(cd "$TMP/out" && ls) | diff - <(printf '%s\n' expert_mapping.json layer-00000-keep24.safetensors \
		layer-00002-keep24.safetensors layer-00003-keep24.safetensors)
	[ "$(jq -c keys "$TMP/out/expert_mapping.json")" = '["0","2","3"]' ]
	for list in 4 0- x 0,,1 0,; do
		fails 2 --layers reap-rewrite -m "$MODEL" -o "$TMP/bad" --layers "$list" "$PLAN"
	done
}

@test "--probe: figures and an estimate, nothing left" {
	reap-rewrite -m "$MODEL" -o "$TMP/out" --probe "$PLAN" 2>"$TMP/said" | reap-show >"$TMP/m"
	grep ' in 1 file, measured and removed$' "$TMP/said"
	nothing_left out
	reap-rewrite -q -m "$MODEL" -o "$TMP/out" "$PLAN" >"$TMP/manifest"
	[ "$(jq 'select(.t == "estimate") | .bytes_read' "$TMP/m")" -eq \
		"$(jq .metadata.total_size "$TMP/out/model.safetensors.index.json")" ]
	[ "$(jq 'select(.t == "estimate") | .bytes_written' "$TMP/m")" -eq "$(cat "$TMP/out"/*.safetensors | wc -c)" ]
	[ "$(jq 'select(.t == "total") | .shards_touched' "$TMP/m")" -eq 2 ]
}

@test "--dry-run: the very files, nothing written" {
	reap-rewrite -m "$MODEL" --dry-run --max-shard-size 1MB "$PLAN" >"$TMP/words"
	reap-rewrite -m "$MODEL" --dry-run --json --max-shard-size 1MB "$PLAN" >"$TMP/list"
	nothing_left out
	diff <(awk '{ print $1, $2 }' "$TMP/words") <(jq -r '.each[], {file: "total", tensors} | "\(.file) \(.tensors)"' "$TMP/list")
	grep -xE "total +$(jq .tensors "$TMP/list") tensors +[0-9]\.[0-9]{2} MiB" "$TMP/words"
	reap-rewrite -q -m "$MODEL" -o "$TMP/out" --max-shard-size 1MB "$PLAN" >"$TMP/manifest"
	diff <(jq -r '.each[] | "\(.file) \(.bytes)"' "$TMP/list") \
		<(cd "$TMP/out" && stat -c '%n %s' model-*.safetensors)
}

@test "--verify notices a byte that did not arrive" {
	cat >"$TMP/bad.c" <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <unistd.h>
/* A disk that damages one byte in every large write. */
ssize_t write(int fd, const void *p, size_t n)
{
	ssize_t (*real)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");
	char *q = (char *)p;
	ssize_t r;
	if (n < 200000)
		return real(fd, p, n);
	q[n - 1] ^= 1;
	r = real(fd, p, n);
	q[n - 1] ^= 1;
	return r;
}
C
	cc -shared -fPIC -o "$TMP/bad.so" "$TMP/bad.c" -ldl
	ASAN_OPTIONS=$ASAN_OPTIONS:verify_asan_link_order=0 LD_PRELOAD=$TMP/bad.so \
		fails_with_preload
}
fails_with_preload() {
	local so=$LD_PRELOAD
	unset LD_PRELOAD
	fails 1 "differs from the source" env LD_PRELOAD="$so" reap-rewrite -q -m "$MODEL" -o "$TMP/out" --verify "$PLAN"
	nothing_left out
}

# ---- what it refuses ----

@test "numbers of experts that loaders refuse, unless forced" {
	plan_for "$MODEL" "0 1 2 3 4 5" >"$TMP/six"
	plan_for "$MODEL" "9 8 7 6" >"$TMP/four"
	plan_for "$MODEL" "9 8" >"$TMP/two"
	fails 1 "keep_n 6 is not a multiple of 4" reap-rewrite -q -m "$MODEL" -o "$TMP/out" "$TMP/six"
	fails 1 "keep_n 4 is not above the 4" reap-rewrite -q -m "$MODEL" -o "$TMP/out" "$TMP/four"
	nothing_left out
	for p in six four two; do
		reap-rewrite -q -f -m "$MODEL" -o "$TMP/out-$p" "$TMP/$p" >"$TMP/manifest"
		"$CHECK" --any-count --source "$MODEL" "$TMP/out-$p"
	done
	[ "$(jq -c '[.num_experts_per_tok, .experts_per_token]' "$TMP/out-two/config.json")" = '[2,2]' ]
}

@test "a plan for another model: both are named" {
	"$GEN" --experts 32 "$TMP/src"
	fails 1 "4 layers, but $TMP/src has 2" reap-rewrite -q -m "$TMP/src" -o "$TMP/out" "$PLAN"
	"$GEN" --experts 16 --layers 4 "$TMP/fewer"
	fails 1 "32 experts, but $TMP/fewer has 16" reap-rewrite -q -m "$TMP/fewer" -o "$TMP/out" "$PLAN"
	"$GEN" --experts 32 --layers 4 "$TMP/other"
	fails 1 "$(reap-show "$PLAN" | head -n 1 | jq -r .model.digest | head -c 12)" \
		reap-rewrite -q -m "$TMP/other" -o "$TMP/out" "$PLAN"
	nothing_left out
}

@test "plans that cannot be" {
	reap-show "$PLAN" >"$TMP/json"
	bad() {
		sed "$2" "$TMP/json" | reap-show --encode plan >"$TMP/bad"
		fails 3 "$1" reap-rewrite -q -m "$MODEL" -o "$TMP/out" "$TMP/bad"
	}
	bad "expert 31 is there twice" '3s/17/31/'
	bad "expert 32, but there are 32" '3s/31/32/'
	bad "layer: 3, expected 2" '/"layer":2/d'
	bad "ends before layer 3, the model has 4" '/"layer":3/d'
	bad "keep_n: is 0" 's/"keep_n":24/"keep_n":0/'
	bad "keep_n" 's/"keep_n":24/"keep_n":33/'
	bad "keep" 's/"keep_n":24/"keep_n":23/'
	bad "meta record does not come first" '2d'
	bad "kept_mass" '4s/0.5/1.5/'
	nothing_left out
}

@test "a cut plan leaves nothing" {
	cut_everywhere "$PLAN" reap-rewrite -q -m "$MODEL" -o "$TMP/out"
	nothing_left out
}

@test "targets that are no place for it" {
	mkdir "$TMP/there" "$TMP/src"
	cp "$MODEL"/* "$TMP/src"
	ln -s nowhere "$TMP/link"
	for t in there there/ link src; do
		fails 1 "exists already" reap-rewrite -q -m "$MODEL" -o "$TMP/$t" "$PLAN"
	done
	fails 1 "lies within the source" reap-rewrite -q -m "$TMP/src" -o "$TMP/src/out" "$PLAN"
	ln -s src "$TMP/other"
	fails 1 "lies within the source" reap-rewrite -q -m "$TMP/src" -o "$TMP/other/out" "$PLAN"
	fails 1 "No such file" reap-rewrite -q -m "$MODEL" -o "$TMP/no/out" "$PLAN"
	fails 1 "not the name" reap-rewrite -q -m "$MODEL" -o "$TMP/src/.." "$PLAN"
	(cd "$TMP/src" && sha256sum -- *) | diff - <(cd "$MODEL" && sha256sum -- *)
	[ -z "$(ls -A "$TMP/there")" ]
	# A folder that may be written to but not read cannot be synced: that is known before the work.
	mkdir -m 300 "$TMP/blind"
	plain=()
	[ "$(id -u)" -ne 0 ] || plain=(setpriv --bounding-set=-dac_override,-dac_read_search --inh-caps=-dac_override,-dac_read_search)
	fails 1 "$TMP/blind: Permission denied" "${plain[@]}" reap-rewrite -q -m "$MODEL" -o "$TMP/blind/out" "$PLAN"
	[ ! -e "$TMP/blind/out" ]
}

@test "wrong usage" {
	fails 2 "--output TARGET is missing" reap-rewrite -m "$MODEL" "$PLAN"
	fails 2 "--model SOURCE is missing" reap-rewrite -o "$TMP/out" "$PLAN"
	fails 2 "too many operands" reap-rewrite -m "$MODEL" -o "$TMP/out" "$PLAN" "$PLAN"
	fails 2 "too many operands" reap-rewrite -m "$MODEL" -o "$TMP/out" --first 8 "$PLAN"
	fails 2 "not a size" reap-rewrite -m "$MODEL" -o "$TMP/out" --max-shard-size big "$PLAN"
	fails 2 "not a size" reap-rewrite -m "$MODEL" -o "$TMP/out" --max-shard-size 0x10M "$PLAN"
	fails 1 "--first 33, but it has 32" reap-rewrite -m "$MODEL" -o "$TMP/out" --first 33
}

# ---- what is left when it fails ----

@test "a limit on file size, as a full disk would be" {
	sums=$(cd "$MODEL" && sha256sum -- *)
	for blocks in 1 100 1000 2000; do
		trap '' XFSZ
		(ulimit -f "$blocks" && fails 1 "File too large" reap-rewrite -q -m "$MODEL" -o "$TMP/out" "$PLAN")
		nothing_left out
	done
	[ "$sums" = "$(cd "$MODEL" && sha256sum -- *)" ]
}

@test "a full file system" {
	[ "$(id -u)" -eq 0 ] || skip "needs root to mount a tmpfs"
	mkdir "$TMP/fs"
	mount -t tmpfs -o size=3m none "$TMP/fs" 2>/dev/null || skip "no tmpfs here"
	status=0
	fails 1 "the file system has" reap-rewrite -q -m "$MODEL" -o "$TMP/fs/out" "$PLAN" || status=1
	# With --layers the estimate fits and the files do not.
	head -c 2400000 /dev/zero >"$TMP/fs/ballast"
	{
		cat recipes/tiny-keep24.yaml
		head -c 90000 /dev/zero | tr '\0' '#'
	} >"$TMP/recipe"
	fails 1 "" reap-rewrite -q -m "$MODEL" -o "$TMP/fs/out" --layers 0 --recipe "$TMP/recipe" "$PLAN" || status=1
	[ "$(ls "$TMP/fs")" = ballast ] || status=1
	umount "$TMP/fs"
	return "$status"
}

@test "standard output that takes nothing" {
	run bash -c "reap-rewrite -q -m '$MODEL' -o '$TMP/out' '$PLAN' >/dev/full"
	[ "$status" -eq 1 ]
	nothing_left out
	run bash -c "reap-rewrite -q -m '$MODEL' -o '$TMP/out' '$PLAN' >&-"
	[ "$status" -eq 1 ]
	nothing_left out
}

@test "SIGTERM and SIGINT at any moment: nothing, or the whole" {
	local killed=0
	for ms in 005 010 020 040 060 080 120 160; do
		for sig in TERM INT; do
			rm -rf "$TMP/out"
			# setsid: bash starts background commands with SIGINT ignored.
			setsid env --default-signal=INT reap-rewrite -q -m "$LARGE" -o "$TMP/out" --first 24 \
				--verify >"$TMP/m" 2>"$TMP/err" &
			sleep "0.$ms"
			kill -"$sig" $! 2>/dev/null || true
			status=0
			wait $! || status=$?
			if [ "$status" -eq 0 ]; then
				"$CHECK" "$TMP/out"
				reap-show "$TMP/m" >/dev/null
			else
				killed=$((killed + 1))
				[ "$status" -ge 129 ] || { cat "$TMP/err"; return 1; }
				nothing_left out
			fi
		done
	done
	[ "$killed" -gt 0 ]
}

@test "a signal ends a run that waits for whoever should read its output" {
	local run status to
	mkfifo "$TMP/pipe"
	exec 9<>"$TMP/pipe"
	timeout 10 head -c 65536 /dev/zero >&9 || true
	for to in out err; do
		rm -rf "$TMP/out"
		if [ $to = out ]; then
			reap-rewrite -q -m "$MODEL" -o "$TMP/out" "$PLAN" >&9 9>&- 2>"$TMP/err" &
		else
			reap-rewrite -m "$MODEL" -o "$TMP/out" "$PLAN" >"$TMP/m" 2>&9 9>&- &
		fi
		run=$!
		# All but the end of the manifest, or the last words, is done.
		until compgen -G "$TMP/out.tmp-*/*.index.json" >/dev/null || [ -e "$TMP/out/config.json" ]; do kill -0 $run; done
		kill $run || true
		for _ in {1..600}; do
			kill -0 $run 2>/dev/null || break
			sleep 0.1
		done
		kill -9 $run 2>/dev/null && { echo "$to: waits"; return 1; }
		status=0
		wait $run || status=$?
		[ "$status" -eq 143 ] || [ $to$status = err0 ] || { echo "$to: $status"; return 1; }
		[ "$status" -eq 0 ] || nothing_left out
	done
	exec 9>&-
}

# The run waits for a signal in the middle of its writing, at its first fsync(2).
ended_by() {
	ASAN_OPTIONS=$ASAN_OPTIONS:verify_asan_link_order=0 env --default-signal LD_PRELOAD="$TMP/pause.so" \
		reap-rewrite -q -m "$MODEL" -o "$TMP/out" "$PLAN" >"$TMP/m" 2>"$TMP/err" &
	while ! compgen -G "$TMP/out.tmp-*/expert_mapping.json" >/dev/null; do
		kill -0 $! || return 1
	done
	# Again until it is seen: the first may come just before the pause.
	while kill -"$1" $! 2>/dev/null; do sleep 0.05; done
	status=0
	wait $! || status=$?
	[ "$status" -eq $((128 + $(kill -l "$1"))) ] || { echo "$1: exit $status"; return 1; }
	nothing_left out
}

@test "whatever signal ends it, it cleans up and dies of it" {
	cat >"$TMP/pause.c" <<-'END'
		#define _GNU_SOURCE
		#include <sys/syscall.h>
		#include <unistd.h>
		int fsync(int fd)
		{
			static int once;
			if (once++ == 0)
				pause();
			return (int)syscall(SYS_fsync, fd);
		}
	END
	cc -shared -fPIC -o "$TMP/pause.so" "$TMP/pause.c"
	for sig in ALRM HUP INT IO PIPE PROF PWR QUIT STKFLT TERM USR1 USR2 VTALRM XCPU XFSZ RTMIN RTMIN+7 RTMAX; do
		ulimit -c 0
		ended_by "$sig"
	done
}

@test "a limit on file size, a consumer that leaves: it cleans up before it dies" {
	ulimit -c 0
	run env --default-signal bash -c "ulimit -f 100; reap-rewrite -q -m '$MODEL' -o '$TMP/out' '$PLAN' >'$TMP/m'"
	[ "$status" -eq 153 ]
	[[ "$output" == *"File too large"* ]]
	nothing_left out
	run env --default-signal bash -c "reap-rewrite -q -m '$MODEL' -o '$TMP/out' '$PLAN' | true; echo \"\${PIPESTATUS[0]}\""
	[ "$output" = 141 ]
	nothing_left out
}

# $TMP/so.so makes rename(2) fail where REFUSE stands in the new name.
refusing_rename() {
	cat >"$TMP/so.c" <<-'END'
		#define _GNU_SOURCE
		#include <dlfcn.h>
		#include <errno.h>
		#include <stdlib.h>
		#include <string.h>
		int rename(const char *from, const char *to)
		{
			int (*real)(const char *, const char *) = dlsym(RTLD_NEXT, "rename");
			const char *end = getenv("REFUSE");
			size_t n = strlen(end), m = strlen(to);
			if (m >= n && strcmp(to + m - n, end) == 0) {
				errno = EXDEV;
				return -1;
			}
			return real(from, to);
		}
	END
	cc -shared -fPIC -o "$TMP/so.so" "$TMP/so.c" -ldl
	REFUSE=$1 ASAN_OPTIONS=$ASAN_OPTIONS:verify_asan_link_order=0 LD_PRELOAD=$TMP/so.so "${@:2}"
}

@test "a folder that renames no directories is found out before the first byte" {
	fails 1 "directories cannot be renamed in its folder" refusing_rename '~' \
		reap-rewrite -q -m "$MODEL" -o "$TMP/out" "$PLAN"
	nothing_left out
}

@test "a last renaming that fails leaves the whole checkpoint and says where" {
	status=0
	refusing_rename /out reap-rewrite -q -m "$MODEL" -o "$TMP/out" "$PLAN" >"$TMP/m" 2>"$TMP/err" || status=$?
	[ "$status" -eq 1 ]
	left=$(echo "$TMP"/out.tmp-*)
	[ "$(cat "$TMP/err")" = "reap-rewrite: $TMP/out: cannot be given its name: Invalid cross-device link: the whole checkpoint is $left: rename that" ]
	"$CHECK" --source "$MODEL" "$left"
	fails 3 "no end record" reap-show -t estimate "$TMP/m"
}

@test "a directory that an earlier process of the same number left is no hindrance" {
	bash -c 'mkdir "$TMP/out.tmp-$$" && exec reap-rewrite -q -m "$MODEL" -o "$TMP/out" "$1"' - "$PLAN" >"$TMP/m"
	[ -e "$TMP/out/config.json" ]
	(umask 027 && reap-rewrite -q -m "$MODEL" -o "$TMP/other" "$PLAN" >"$TMP/m")
	[ "$(stat -c %a "$TMP/other")" = 750 ]
}

@test "kill -9 at any moment leaves nothing that could be loaded, and the source as it was" {
	sums=$(cd "$LARGE" && sha256sum -- *)
	for ms in 010 030 050 080 110 150; do
		reap-rewrite -q -m "$LARGE" -o "$TMP/out" --first 24 >"$TMP/m" 2>/dev/null &
		sleep "0.$ms"
		kill -9 $! 2>/dev/null || true
		wait $! 2>/dev/null || true
		if [ -e "$TMP/out" ]; then
			"$CHECK" "$TMP/out"
			rm -rf "$TMP/out"
		fi
		for left in "$TMP"/out.tmp-*; do
			[ -e "$left" ] || continue
			# Or, for the instant between two renames, the whole of it.
			[ ! -e "$left/config.json" ] || "$CHECK" --source "$LARGE" "$left"
			rm -rf "$left"
		done
	done
	[ "$sums" = "$(cd "$LARGE" && sha256sum -- *)" ]
}

# The run waits for the plan, a FIFO, after it has opened the source.
change_meanwhile() {
	rm -rf "$TMP/src" "$TMP/fifo"
	cp -r "$MODEL" "$TMP/src"
	mkfifo "$TMP/fifo"
	exec 7<>"$TMP/fifo"
	reap-rewrite -q -m "$TMP/src" -o "$TMP/out" "$TMP/fifo" >"$TMP/m" 2>"$TMP/err" 7>&- &
	# Until it is the tool, not a shell before that, and has opened it.
	until [[ "$(cat "/proc/$!/comm")" == reap-rewrite && "$(ls -l "/proc/$!/fd")" == *fifo* ]]; do
		kill -0 $! || return 1
	done
	"$@"
	cat "$PLAN" >&7
	exec 7>&-
	status=0
	wait $! || status=$?
	[ "$status" -eq 1 ] || { echo "exit $status"; return 1; }
	nothing_left out
}

@test "a source that changes under it" {
	change_meanwhile touch "$TMP/src/model-00002-of-00003.safetensors"
	grep -q "model-00002-of-00003.safetensors: was changed while it was read" "$TMP/err"
	change_meanwhile mv "$TMP/src/model-00003-of-00003.safetensors" "$TMP/elsewhere"
	grep -q "model-00003-of-00003.safetensors: No such file" "$TMP/err"
	change_meanwhile truncate -s 1000000 "$TMP/src/model-00003-of-00003.safetensors"
	grep -q "model-00003-of-00003.safetensors: ends at byte" "$TMP/err"
	change_meanwhile sed -i 's/"rms_norm_eps": 1e-05/"rms_norm_eps": 1e-06/' "$TMP/src/config.json"
	grep -q "config.json: was changed while it was read" "$TMP/err"
}

@test "the last line says what was written" {
	reap-rewrite -m "$MODEL" -o "$TMP/out" --first 24 --verify 2>"$TMP/said.txt" >"$TMP/manifest"
	tail -n 1 "$TMP/said.txt" | grep -xE "reap-rewrite: 24 of 32 experts in each of 4 layers, [0-9.]+ MiB in [0-9]+ files, every byte compared"
	reap-rewrite -q -m "$MODEL" -o "$TMP/quiet" --first 24 2>"$TMP/said.txt" >"$TMP/manifest"
	[ ! -s "$TMP/said.txt" ]
}
