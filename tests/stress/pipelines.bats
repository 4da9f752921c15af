#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# pipelines/ under random kills and edits, and the shipped recipes that share work.
load ../pipeline

# After whatever happened: the target's model and verdict are those of the recipe.
right() {
	local name=$1 want=$2
	pipe "$name" >"$TMP/said" 2>&1 || { cat "$TMP/said"; return 1; }
	[ "$(jq .num_local_experts "$O/$name/model/config.json")" -eq "$want" ]
	(cd "$O/$name/model" && sha256sum --quiet -c SHA256SUMS)
	cmp "$O/$name/model/reap-recipe.yaml" <(reap-recipe "$R/$name.yaml")
	for f in "$O/$name/model/"*.safetensors; do
		cmp "$f" "$TMP/good/$name-$want/model/${f##*/}"
	done
	cmp <(reap-show "$O/$name/pruned.eval" | tail -n +2) <(reap-show "$TMP/good/$name-$want/pruned.eval" | tail -n +2)
}

# In a process group that is killed after a while, with all or only its head.
killed() {
	local pid
	setsid "$ROOT/pipelines/reap-run" -q "$1" RECIPES="$R" OUT="$O" THREADS=1 >/dev/null 2>&1 &
	pid=$!
	sleep "$(awk -v r=$RANDOM 'BEGIN { print 0.1 + 4 * r / 32768 }')"
	if [ $((RANDOM % 2)) -eq 0 ]; then
		pkill -KILL -s "$pid" 2>/dev/null || true
	else
		kill -$((RANDOM % 2 ? 9 : 15)) "$pid" 2>/dev/null || true
	fi
	wait "$pid" 2>/dev/null || true
}

@test "20 times: two runs of one target, two of targets that share, a recipe edited meanwhile, all killed" {
	printf '%s\n' 'extends: fast.yaml' 'target: other' 'model: {keep_n: 20}' >"$R/other.yaml"
	mkdir "$TMP/good"
	for n in 24 28; do
		sed -i '/^model:/d' "$R/fast.yaml"
		echo "model: {keep_n: $n}" >>"$R/fast.yaml"
		pipe fast >/dev/null 2>&1
		cp -r "$O/fast" "$TMP/good/fast-$n"
	done
	sed -i '/^model:/d' "$R/fast.yaml"
	pipe other >/dev/null 2>&1
	cp -r "$O/other" "$TMP/good/other-20"
	rm -rf "$O"
	n=24
	for round in $(seq 20); do
		[ $((round % 5)) -ne 0 ] || rm -rf "$O"
		killed fast &
		killed fast &
		killed other &
		sleep 0.$((RANDOM % 10))
		n=$((n == 24 ? 28 : 24))
		sed '/^model:/d' "$R/fast.yaml" >"$TMP/edited"
		echo "model: {keep_n: $n}" >>"$TMP/edited"
		mv "$TMP/edited" "$R/fast.yaml"
		wait
		right fast $n
		# It extends fast.yaml, whose keep_n it replaces.
		right other 20
	done
}

@test "weights exchanged before, during or after any stage of an evaluated target: refused, or harmless" {
	mkdir -p "$TMP/models/mine" "$TMP/good"
	echo 'model: {base_model_id: mine/m}' >>"$R/fast.yaml"
	echo 'pair: {left: {model_id: mine/m}}' >>"$R/fast-eval.yaml"
	for m in model model-plain; do
		exchange $m
		pipe fast OUT="$TMP/good/$m" >/dev/null 2>&1
	done
	refused=0
	for at in tokenize route accum rank cut rewrite ppl gate; do
		for when in before during after; do
			rm -rf "$O" "$TMP/bin"
			mkdir "$TMP/bin"
			ln -s "$REAP_BIN"/reap-* "$TMP/bin"
			rm "$TMP/bin/reap-$at"
			cat >"$TMP/bin/reap-$at" <<-END
				#!/bin/bash
				swap() {
					rm -rf "\$TMP/models/mine/m"
					cp -r "\$ROOT/tests/fixtures/model-plain" "\$TMP/models/mine/m"
				}
				case " \$* " in *" --version "* | *" --check "* | *" --json "*) exec "\$REAP_BIN/reap-$at" "\$@" ;; esac
				[ $when != before ] || swap
				[ $when != during ] || { sleep 0.05; swap; } &
				"\$REAP_BIN/reap-$at" "\$@" || exit
				wait
				[ $when != after ] || swap
			END
			chmod +x "$TMP/bin/reap-$at"
			exchange model
			if pipe fast BIN="$TMP/bin" >"$TMP/said" 2>&1; then
				# All of one model: the one or the other.
				same=''
				for m in model model-plain; do
					cmp -s "$O/fast/model/model-00001-of-00002.safetensors" "$TMP/good/$m/fast/model/model-00001-of-00002.safetensors" &&
						cmp -s <(reap-show "$O/fast/base.eval" | tail -n +2) <(reap-show "$TMP/good/$m/fast/base.eval" | tail -n +2) && same=$m
				done
				[ -n "$same" ] || { echo "$at $when"; cat "$TMP/said"; return 1; }
			else
				refused=$((refused + 1))
			fi
			# And what it left does no harm.
			pipe fast >/dev/null 2>&1
			cmp "$O/fast/model/model-00001-of-00002.safetensors" "$TMP/good/model-plain/fast/model/model-00001-of-00002.safetensors"
			cmp <(reap-show "$O/fast/base.eval" | tail -n +2) <(reap-show "$TMP/good/model-plain/fast/base.eval" | tail -n +2)
		done
	done
	echo "# $refused of 24 exchanges refused, the others harmless" >&3
	[ $refused -ge 6 ]
}

@test "20b-keep24, two lines that keep 20, and 20b-keep20, each with its bigblocks: two calibrations, one pass of the base" {
	local models=$TMP/models packs=$TMP/packs/radna0/harmony-qwen3-calib-packs-v2-20260113 p
	mkdir -p "$models/openai" "$packs/packs/reasoning_style_10k_v2" "$packs/packs/calib_prompt_10000_v2"
	"$REAP_BUILD/gen/random_checkpoint" --layers 12 --experts 32 --hidden 32 --inter 32 --heads 2 \
		--kv-heads 1 --head-dim 32 --vocab 2048 "$models/openai/gpt-oss-20b"
	cp "$MODEL"/tokenizer*.json "$models/openai/gpt-oss-20b"
	for p in reasoning_style:packs/reasoning_style_10k_v2/reasoning_style_10k_v2 \
		tool_agentic:tool_agentic_10k_v6 calib_prompt:packs/calib_prompt_10000_v2/calib_prompt_10000_v2; do
		cp "$PACKS/${p%%:*}.calib.jsonl" "$packs/${p#*:}.jsonl"
	done
	# The shipped ones, with budgets that these rows can meet.
	cp recipes/*.yaml recipes/*.json "$R"
	sed -i 's/num_blocks: 512/num_blocks: 2/; s/num_rows: 2000/num_rows: 100/; s/rows_used: 26000/rows_used: 12/' "$R"/*.yaml
	printf '%s\n' 'extends: reap-recipe_20b_eaftreap_keepfrac075_keep24_uniform.yaml' 'model: {keep_n: 20}' >"$R/two-lines.yaml"
	printf '%s\n' 'extends: eval-20b_eaftreap075_bigblocks_keep24_uniform.yaml' \
		'pair: {right: {made_by: two-lines.yaml}}' >"$R/eval-two-lines.yaml"
	counted
	for target in 20b-keep24 eval-20b-keep24-bigblocks two-lines eval-two-lines 20b-keep20 eval-20b-keep20-bigblocks; do
		pipe "$target" BIN="$TMP/bin" >/dev/null
	done
	grep -E '^reap-(route|ppl)' "$TMP/runs"
	[ "$(grep -c '^reap-route' "$TMP/runs")" -eq 2 ]
	[ "$(grep -c '^reap-ppl .*-m [^ ]*/openai/gpt-oss-20b ' "$TMP/runs")" -eq 1 ]
	[ "$(grep -c '^reap-ppl' "$TMP/runs")" -eq 4 ]
}

@test "all of it in a folder of any name, and installed" {
	local odd="$TMP/a b'c\"\$(x)%é;d"
	mkdir -p "$odd"
	cp -r bin cmd lib man pipelines recipes tests Makefile LICENSE "$odd"
	mkdir -p "$odd/build"
	cp -r "$REAP_BUILD" "$odd/build/rel"
	(cd "$odd" && REAP_BIN=$odd/bin REAP_BUILD=$odd/build/rel bats tests/pipeline.bats tests/evaluate.bats tests/safety.bats) >"$TMP/tap" ||
		{ grep -A 12 '^not ok' "$TMP/tap"; return 1; }
	make -s install DESTDIR="$TMP/in st" PREFIX=/usr BIN="$REAP_BIN" B="$REAP_BUILD"
	REAP_RUN="$TMP/in st/usr/bin/reap-run" bats tests/pipeline.bats tests/evaluate.bats tests/safety.bats >"$TMP/tap" ||
		{ grep -A 12 '^not ok' "$TMP/tap"; return 1; }
}
