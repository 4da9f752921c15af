#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Models by the names of the hub: found in the cache of huggingface_hub, and called so.
load helpers

# A cache with openai/gpt-oss-x, two snapshots of it, of which refs/main names one.
setup() {
	export TMP=$BATS_TEST_TMPDIR
	unset HF_HOME HF_HUB_CACHE HUGGINGFACE_HUB_CACHE XDG_CACHE_HOME
	export HOME=$TMP/home
	repo=$HOME/.cache/huggingface/hub/models--openai--gpt-oss-x
	one=$repo/snapshots/0123456789abcdef0123456789abcdef01234567
	mkdir -p "$repo/refs" "$repo/snapshots/other" "$one"
	cp "$MODEL"/* "$one"
	printf '%s' "${one##*/}" >"$repo/refs/main"
}

@test "the cache: at home, in HF_HOME, in HF_HUB_CACHE, in XDG_CACHE_HOME" {
	[ "$(reap-show --where openai/gpt-oss-x)" = "$one" ]
	mv "$HOME/.cache/huggingface" "$TMP/hf"
	one=$TMP/hf/${one#*huggingface/}
	fails 1 "openai/gpt-oss-x: no such directory, and no such model in the cache $HOME/.cache/huggingface/hub: hf download openai/gpt-oss-x" \
		reap-show --where openai/gpt-oss-x
	[ "$(HF_HOME=$TMP/hf reap-show --where openai/gpt-oss-x)" = "$one" ]
	[ "$(HF_HUB_CACHE=$TMP/hf/hub HF_HOME=/none reap-show --where openai/gpt-oss-x)" = "$one" ]
	[ "$(HUGGINGFACE_HUB_CACHE=$TMP/hf/hub HF_HOME=/none reap-show --where openai/gpt-oss-x)" = "$one" ]
	[ "$(HOME=$TMP HF_HOME='~/hf' reap-show --where openai/gpt-oss-x)" = "$one" ]
	[ "$(HOME=$TMP HF_HUB_CACHE='~/hf/hub' reap-show --where openai/gpt-oss-x)" = "$one" ]
	mkdir "$TMP/xdg"
	mv "$TMP/hf" "$TMP/xdg/huggingface"
	[ "$(XDG_CACHE_HOME=$TMP/xdg reap-show --where openai/gpt-oss-x)" = "$TMP/xdg/huggingface/${one#*hf/}" ]
}

@test "refs/main, the only snapshot, a folder of the cache, a directory that goes before" {
	[ "$(reap-show --where "$repo")" = "$one" ]
	[ "$(reap-show --where "$repo/")" = "$one" ]
	[ "$(reap-show --where "$one")" = "$one" ]
	echo gone >"$repo/refs/main"
	fails 1 "refs/main: names gone, which is not in $repo/snapshots" reap-show --where openai/gpt-oss-x
	for ref in '' .. .; do
		printf '%s' "$ref" >"$repo/refs/main"
		fails 1 "refs/main: names $ref, which is not in $repo/snapshots" reap-show --where openai/gpt-oss-x
	done
	rm "$repo/refs/main"
	mkfifo "$repo/refs/main"
	fails 1 "refs/main: not a regular file" reap-show --where openai/gpt-oss-x
	rm "$repo/refs/main"
	fails 1 "no such model in the cache" reap-show --where openai/gpt-oss-x
	rmdir "$repo/snapshots/other"
	[ "$(reap-show --where openai/gpt-oss-x)" = "$one" ]
	mkdir -p "$TMP/here/openai/gpt-oss-x"
	cd "$TMP/here"
	[ "$(reap-show --where openai/gpt-oss-x)" = openai/gpt-oss-x ]
	for name in ../x "$TMP/x/y" x a/b/c; do
		fails 1 "$name: no such directory" reap-show --where "$name"
		mkdir -p "$name"
		[ "$(reap-show --where "$name")" = "$name" ]
	done
}

@test "every tool takes the name, and streams have it, not the commit" {
	reap-tokenize -q -m openai/gpt-oss-x --rows --sample 4 --max-len 64 "$PACKS/calib_prompt.eval.jsonl" >"$TMP/tokens" 2>/dev/null
	reap-route -q -m openai/gpt-oss-x "$TMP/tokens" >"$TMP/trace"
	reap-ppl -q -m "$one" "$TMP/tokens" >"$TMP/eval"
	ln -s "$one" "$TMP/link"
	reap-accum -q "$TMP/trace" | reap-rank -q >"$TMP/scores"
	reap-cut -q --keep-n 24 "$TMP/scores" >"$TMP/plan"
	reap-rewrite -q -m "$TMP/link" -o "$TMP/cut" "$TMP/plan" >"$TMP/manifest"
	for s in trace eval scores plan manifest; do
		[ "$(reap-show "$TMP/$s" | jq -r 'select(.reap).model.id')" = openai/gpt-oss-x ]
	done
	reap-cut -q --check --keep-n 24 -m openai/gpt-oss-x
	reap-report -m openai/gpt-oss-x | jq -e '.gained.experts[1] == 32'
	[ "$(reap-show --id openai/gpt-oss-x | cut -d ' ' -f 1)" = "$(reap-show --id "$one" | cut -d ' ' -f 1)" ]
	[ "$(reap-show --text openai/gpt-oss-x "$TMP/tokens" | wc -l)" = "$(reap-show --text "$MODEL/tokenizer.json" "$TMP/tokens" | wc -l)" ]
	# Of any other directory: its own name.
	[ "$(reap-ppl -q -m "$TMP/cut" "$TMP/tokens" | reap-show | jq -r 'select(.reap).model.id')" = cut ]
}

@test "prune MODEL=ORG/NAME DATA=FOLDER: recipe, card and report have the name" {
	# What lies in folders within it is nothing of it.
	mkdir -p "$TMP/rows/more"
	cp "$PACKS/calib_prompt.calib.jsonl" "$TMP/rows/more"
	echo '{"builder_name": "x"}' >"$TMP/rows/config.json"
	head -n 60 "$PACKS/calib_prompt.calib.jsonl" >"$TMP/rows/a.jsonl"
	head -n 60 "$PACKS/tool_agentic.calib.jsonl" | gzip >"$TMP/rows/b.jsonl.gz"
	pipelines/reap-run -n prune MODEL=openai/gpt-oss-x DATA="$TMP/rows" KEEP=24 OUT="$TMP/out" BIN="$REAP_BIN" >"$TMP/said"
	grep -q '^reap-route -m .*models/openai/gpt-oss-x ' "$TMP/said"
	grep -qx '  base_model_id: "openai/gpt-oss-x"' "$TMP/said"
	grep -q 'rows=.*/packs/rows/rows' "$TMP/said"
	fails 2 "hf download openai/gpt-oss-y" pipelines/reap-run prune MODEL=openai/gpt-oss-y DATA="$TMP/rows" KEEP=24 \
		OUT="$TMP/out" BIN="$REAP_BIN"
	[ ! -e "$TMP/out" ]
}
