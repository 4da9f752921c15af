#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# pipelines/: any folder; two runs at a time; a run that is told to end;
# models that are exchanged; one's own model and rows.
load pipeline

# Without an evaluation, and so without a report: quick.
short() {
	cat >"$R/short.yaml" <<-END
		extends: fast.yaml
		target: short
		evaluation: {with: ""}
	END
}

@test "relative folders are the caller's; a line break is refused" {
	short
	cd "$TMP"
	make -s -C "$ROOT/pipelines" short RECIPES=recipes OUT=here/out THREADS=1 ${REAP_RUN:+MODELS=models PACKS=packs} >/dev/null
	[ -e here/out/short/model/config.json ]
	[ "$(jq -r .out_dir here/out/short/manifest.json)" = "$TMP/here/out/short/model" ]
	# From another folder, the same files: nothing is made again.
	mkdir else
	cd else
	"${REAP_RUN:-$ROOT/pipelines/reap-run}" ../recipes/short.yaml OUT=../here/out ${REAP_RUN:+MODELS=../models PACKS=../packs} 2>"$TMP/said" >/dev/null
	run ! grep -E ': reap-' "$TMP/said"
	run "$ROOT/pipelines/reap-run" short OUT=$'a\nb'
	[ "$status" -eq 2 ]
	[ "${lines[0]}" = "reap-run: OUT=\$'a\\nb': a line break in its name" ]
	run "$ROOT/pipelines/reap-run" prune MODEL="$MODEL" DATA=$'a\eb' KEEP=24
	[ "$status" -eq 2 ]
	[ "$output" = "reap-run: prune: DATA=$(printf %q "$TMP/else/"$'a\eb'): a control character in its name" ]
	# A lock that cannot be made says why.
	mkdir -p "$TMP/no/.cache/.lock"
	run "$ROOT/pipelines/reap-run" ../recipes/short.yaml OUT="$TMP/no" ${REAP_RUN:+MODELS=../models PACKS=../packs}
	[ "$status" -eq 1 ]
	[ "$output" = "reap: $TMP/no/.cache/.lock: cannot be written: Is a directory" ]
	# Any other folder may have a colon.
	run "$ROOT/pipelines/reap-run" list BIN="$TMP/a:b"
	[ "$status" -eq 2 ]
	[[ "$output" == *"BIN=$TMP/a:b: its name has a colon, which PATH cannot hold"* ]]
	[ -n "$("$ROOT/pipelines/reap-run" -n ../recipes/short.yaml OUT="$TMP/a:b" ${REAP_RUN:+MODELS=../models PACKS=../packs})" ]
}

@test "two runs of one target at a time: one waits, says for whom, and finds all done" {
	short
	mkdir "$TMP/bin"
	ln -s "$REAP_BIN"/reap-* "$TMP/bin"
	rm "$TMP/bin/reap-route"
	# The first run stops in its forward pass until it is let go.
	cat >"$TMP/bin/reap-route" <<-END
		#!/bin/bash
		[[ "\$1" == --d* || "\$*" == *--version ]] || { echo >>"\$TMP/passes"; while [ ! -e "\$TMP/go" ]; do sleep 0.1; done; }
		exec "\$REAP_BIN/reap-route" "\$@"
	END
	chmod +x "$TMP/bin/reap-route"
	pipe short BIN="$TMP/bin" >"$TMP/1" 2>&1 &
	until [ -e "$TMP/passes" ]; do sleep 0.1; done
	pipe short BIN="$TMP/bin" >"$TMP/2" 2>&1 &
	# Another target with the same rows waits for the pass, not for the target.
	printf '%s\n' 'extends: short.yaml' 'target: third' 'model: {keep_n: 20}' >"$R/third.yaml"
	pipe third BIN="$TMP/bin" >"$TMP/3" 2>&1 &
	until grep -q waiting "$TMP/2" && grep -q waiting "$TMP/3"; do sleep 0.1; done
	grep -F "reap: $O/short is in use by process " "$TMP/2" | grep -qE ' [0-9]+ on .* since .*: waiting$'
	grep -qE "^reap: third/calib.trace is in use by process" "$TMP/3"
	run pipe prune-cache
	[[ "$output" == *"a run is using it"* ]]
	touch "$TMP/go"
	wait
	[ "$(wc -l <"$TMP/passes")" -eq 1 ]
	[ "$(jq .num_local_experts "$O/short/model/config.json"),$(jq .num_local_experts "$O/third/model/config.json")" = 24,20 ]
}

@test "a run that is told to end ends all that it started, and goes on afterwards" {
	short
	mkdir "$TMP/bin"
	ln -s "$REAP_BIN"/reap-* "$TMP/bin"
	rm "$TMP/bin/reap-route"
	cat >"$TMP/bin/reap-route" <<-END
		#!/bin/bash
		[[ "\$1" == --d* || "\$*" == *--version ]] || [ -e "\$TMP/go" ] || { sleep 300 & echo "\$\$ \$!" >"\$TMP/pids"; wait; }
		exec "\$REAP_BIN/reap-route" "\$@"
	END
	chmod +x "$TMP/bin/reap-route"
	for signal in INT TERM HUP; do
		rm -f "$TMP/pids"
		# In a group of its own, as a shell starts it, though a test under nohup does not; the run itself is told, not its children.
		setsid perl -e '$SIG{INT} = $SIG{HUP} = "DEFAULT"; exec @ARGV' "${REAP_RUN:-$ROOT/pipelines/reap-run}" -q short \
			RECIPES="$R" OUT="$O" MODELS="$TMP/models" PACKS="$TMP/packs" BIN="$TMP/bin" >"$TMP/said" 2>&1 &
		until [ -s "$TMP/pids" ]; do sleep 0.1; done
		kill -$signal $!
		status=0
		wait $! || status=$?
		[ "$status" -eq $((128 + $(kill -l $signal))) ]
		grep -q 'stopped: the same command goes on from here' "$TMP/said"
		# Dead, though perhaps not buried yet.
		for pid in $(cat "$TMP/pids"); do
			[[ "$(ps -o stat= -p "$pid")" == @(|Z*) ]]
		done
	done
	touch "$TMP/go"
	pipe short BIN="$TMP/bin" >/dev/null
	[ -e "$O/short/model/config.json" ]
}

@test "a model that is exchanged while it is used: refused, and the next run is right" {
	export PLAIN=$ROOT/tests/fixtures/model-plain # an installed reap-run has a ROOT of its own
	mkdir -p "$TMP/models/mine" "$TMP/bin"
	printf '%s\n' 'extends: fast.yaml' 'target: short' 'model: {base_model_id: mine/m}' 'evaluation: {with: ""}' >"$R/short.yaml"
	mkdir "$TMP/bare"
	for m in model model-plain; do
		exchange $m
		pipe short OUT="$TMP/$m" >/dev/null 2>&1
	done
	for at in reap-cut reap-route reap-accum; do
		rm -rf "$O" "$TMP/bin"
		mkdir "$TMP/bin"
		ln -s "$REAP_BIN"/reap-* "$TMP/bin"
		rm "$TMP/bin/$at"
		cat >"$TMP/bin/$at" <<-END
			#!/bin/bash
			"\$REAP_BIN/$at" "\$@" || exit
			if [[ "\$1" != --[cd]* && "\$*" != *--version ]]; then
				rm -rf "\$TMP/models/mine/m"
				cp -r "\$PLAIN" "\$TMP/models/mine/m"
			fi
		END
		chmod +x "$TMP/bin/$at"
		exchange model
		run pipe short BIN="$TMP/bin"
		[ "$status" -ne 0 ]
		echo "$at: $output"
		[[ "$output" == *"thrown away, because $TMP/models/mine/m changed meanwhile"* || "$output" == *"digest"* ]]
		[ ! -e "$O/short/model" ]
		pipe short >/dev/null 2>&1
		for f in "$O"/short/model/*.safetensors; do
			cmp "$f" "$TMP/model-plain/short/model/${f##*/}"
		done
	done
	# The pruned model, exchanged afterwards, is put back.
	cp "$TMP/model/short/model/"*.safetensors "$TMP/bare"
	for f in "$TMP"/bare/*; do
		mv "$f" "$O/short/model/"
	done
	pipe short >/dev/null 2>&1
	for f in "$O"/short/model/*.safetensors; do
		cmp "$f" "$TMP/model-plain/short/model/${f##*/}"
	done
}

@test "a shown model that is edited is as it was after the next run; files of other people stay there" {
	short
	stored
	counted
	local m=$O/short/model f
	pipe short BIN="$TMP/bin" >/dev/null
	cp -r "$m" "$TMP/whole"
	mkdir "$m/own"
	printf 'mine\n' | tee "$m"/my-{Q4.gguf,notes} "$m/own/notes" >/dev/null
	cp -r "$m" "$TMP/with mine"
	: >"$TMP/runs"
	# Replaced: shown again.
	for f in generation_config.json model-00001-of-00002.safetensors; do
		echo '{}' >"$TMP/other"
		mv "$TMP/other" "$m/$f"
		pipe short BIN="$TMP/bin" >/dev/null
		diff -r "$TMP/with mine" "$m"
	done
	run ! grep '^reap-rewrite' "$TMP/runs"
	# Written to, and so damaged in the store: made again, also where it is not seen.
	for f in tokenizer.json config.json reap-scores.yaml; do
		echo ' ' >>"$m/$f"
		[ $f = tokenizer.json ] || rm -r "$m"
		pipe short BIN="$TMP/bin" >/dev/null
		[ -e "$m/own" ] || cp -r "$TMP/with mine"/{own,my-*} "$m"
		diff -r "$TMP/with mine" "$m"
	done
	# Another model takes its place, and leaves nothing of it.
	echo 'structural_rewrite: {max_shard_size_gb: 0.001}' >>"$R/short.yaml"
	pipe short BIN="$TMP/bin" >/dev/null
	(cd "$m" && sha256sum --quiet --strict -c SHA256SUMS)
	{ cut -c 67- "$m/SHA256SUMS" && printf '%s\n' SHA256SUMS my-Q4.gguf my-notes own/notes; } | sort >"$TMP/names"
	(cd "$m" && find . ! -type d -printf '%P\n') | sort | diff "$TMP/names" -
	[ ! -e "$m/model-00001-of-00002.safetensors" ]
}

@test "prune: one's own model and rows in one line, and the recipe that says so" {
	mkdir "$TMP/my data"
	cp -r tests/fixtures/model "$TMP/my data/my model"
	for f in README.md SHA256SUMS verdict.md "USAGE notes" "USAGE policy"; do
		echo "the source's $f" >"$TMP/my data/my model/$f"
	done
	head -n 150 tests/fixtures/packs/tool_agentic.calib.jsonl >"$TMP/my data/my=rows.jsonl"
	cd "$TMP"
	"${REAP_RUN:-$ROOT/pipelines/reap-run}" -q prune MODEL="my data/my model" DATA="my data/my=rows.jsonl" KEEP=20 ROWS=60 \
		HOLDOUT=0.2 OUT=out >"$TMP/said"
	cat "$TMP/said"
	grep -qE '^(PASS|FAIL|UNDECIDED) ' "$TMP/said"
	cd out/my-rows-keep20
	[ "$(jq .num_local_experts model/config.json)" -eq 20 ]
	[ -s report.html ]
	(cd model && sha256sum --quiet --strict -c SHA256SUMS)
	(cd model && ls | grep -vx SHA256SUMS | LC_ALL=C sort) >"$TMP/files"
	cut -c 67- model/SHA256SUMS | LC_ALL=C sort | diff "$TMP/files" -
	grep -q "USAGE notes" "$TMP/files"
	run ! grep -r "the source's [RSv]" model
	# What was done stands in the recipe, and no folder of this machine.
	[ "$(reap-recipe --get model.base_model_id model/reap-recipe.yaml)" = "my model" ]
	[ "$(reap-recipe --get profiling_data.holdout.fraction model/reap-recipe.yaml)" = 0.2 ]
	run ! grep -F "$TMP" model/reap-recipe.yaml model/README.md ../recipes/*.yaml
	[ "$(reap-show -t pack calib.tokens | jq -r .split),$(reap-show -t pack eval.tokens | jq -rs '.[0].split')" = calib,eval ]
	# The recipe is one like any other.
	"${REAP_RUN:-$ROOT/pipelines/reap-run}" "$TMP/out/recipes/my-rows-keep20.yaml" OUT="$TMP/out" \
		MODELS="$TMP/out/recipes/my-rows-keep20/models" PACKS="$TMP/out/recipes/my-rows-keep20/packs" >/dev/null 2>"$TMP/said"
	run ! grep -E ': reap-(route|ppl)' "$TMP/said"
	run "$ROOT/pipelines/reap-run" prune MODEL="$TMP/my data/my model" KEEP=20
	[ "$status" -eq 2 ]
	[[ "$output" == *"MODEL=DIR, DATA=FILE and KEEP=N are needed"* ]]
}

@test "prune: rows of plain text, all of whose tokens count" {
	seq 40 | jq -c '{text: "line \(.) of a text that nobody said"}' >"$TMP/plain.jsonl"
	plain() {
		pipelines/reap-run -q prune MODEL="$MODEL" DATA="$TMP/plain.jsonl" KEEP=24 HOLDOUT=0.5 OUT="$TMP/out" "$@" 2>"$TMP/err"
	}
	run plain
	[ "$status" -eq 1 ]
	grep -F 'nothing is kept of its' "$TMP/err" | grep -F 'TOKENS=all'
	run plain TOKENS=some
	[ "$status" -eq 2 ]
	grep -F "TOKENS=some: must be assistant or all" "$TMP/err"
	# Far too few tokens for a block of a thousand: the recipe is written, and goes that far.
	run plain TOKENS=all
	[ "$(reap-recipe --get profiling_data.keep "$TMP/out/recipes/plain-keep24.yaml"),$(reap-recipe --get calib_packs.keep "$TMP/out/recipes/plain-keep24-eval.yaml")" = all,all ]
	reap-show -t pack "$TMP/out/plain-keep24/calib.tokens" | jq -e '.kept == .tokens'
}

@test "a recipe's file whose name would be OUT itself, what is above it or the store: refused" {
	short
	mkdir "$TMP/here"
	for name in '' . .. .cache; do
		printf '%s\n' 'extends: tiny-noop.yaml' >"$R/$name.yaml"
		for how in -n -q; do
			run "${REAP_RUN:-$ROOT/pipelines/reap-run}" $how "$R/$name.yaml" OUT="$TMP/here/out"
			[ "$status" -eq 1 ]
			[[ "$output" == *"its name cannot be that of a folder" ]]
		done
	done
	[ -z "$(ls -A "$TMP/here")" ]
}

@test "prune: any NAME but a word of reap-run; no recipe that it did not write is written over" {
	own() {
		"${REAP_RUN:-$ROOT/pipelines/reap-run}" -n prune MODEL="$ROOT/tests/fixtures/model" \
			DATA="$ROOT/tests/fixtures/packs/tool_agentic.calib.jsonl" KEEP=24 OUT="$TMP/own" NAME="$1"
	}
	for name in 1e3 null -n '# "' "'" ' a=b: c' é; do
		own "$name" >"$TMP/said"
		grep -q '^reap-gate ' "$TMP/said"
	done
	for name in recipes list prune plan-x; do
		run own "$name"
		[ "$status" -eq 2 ]
		[ "$output" = "reap-run: prune: NAME=$name: $name is a word of reap-run" ]
	done
	run own "$(printf 'x%.0s' {1..101})"
	[ "$status" -eq 2 ]
	[[ "$output" == "reap-run: prune: NAME=x"*"x: small letters, digits and - only, 100 at most" ]]
	[ ! -e "$TMP/own" ]
	mkdir -p "$TMP/own/recipes"
	echo mine >"$TMP/own/recipes/mine-eval.yaml"
	run own mine
	[ "$status" -eq 2 ]
	[[ "$output" == *"mine-eval.yaml is there and was not made by this"* ]]
	[ "$(<"$TMP/own/recipes/mine-eval.yaml")" = mine ]
	# Those of another alphabet keep apart, too.
	for name in 日本 中国 日本-keep24 '~' '*'; do
		own "$name" | grep -o '/recipes/[a-z0-9-]*-eval.yaml'
	done | sort -u >"$TMP/names"
	[ "$(wc -l <"$TMP/names")" -eq 5 ]
}

@test "prune: -n writes nothing, plan-prune no recipe; results of another model, rows or name keep their place" {
	undrawn
	mkdir -p "$TMP/a" "$TMP/b/model"
	head -n 150 "$ROOT/tests/fixtures/packs/tool_agentic.calib.jsonl" >"$TMP/a/rows.jsonl"
	tail -n 150 "$ROOT/tests/fixtures/packs/tool_agentic.calib.jsonl" >"$TMP/b/rows.jsonl"
	cp "$TMP/a/rows.jsonl" "$TMP/a/UNION.jsonl"
	ln -s "$ROOT/tests/fixtures/model" "$TMP/a/model"
	ln -s "$ROOT"/tests/fixtures/model-plain/* "$TMP/b/model"
	cd "$TMP"
	own() {
		"${REAP_RUN:-$ROOT/pipelines/reap-run}" -q "$1" MODEL=a/model DATA=a/rows.jsonl KEEP=24 ROWS=40 HOLDOUT=0.3 OUT=out THREADS=1 "${@:2}"
	}
	# What -n prints makes all that it reads.
	own prune -n >pasted
	[ ! -e out ]
	sed '/^reap-route/,$d' pasted >first
	bash -e first
	grep -x '  keep_n: 24' out/recipes/rows-keep24.yaml
	rm -r out
	own prune >/dev/null
	all() {
		state out && find out/recipes -type l -printf '%p %l\n' | sort
	}
	all >before
	unchanged() {
		all | diff before -
	}
	for words in "prune -n KEEP=20 NAME=rows-keep24" "prune -n MODEL=b/model NAME=other"; do
		own $words >/dev/null
		unchanged
	done
	own plan-prune KEEP=20 NAME=rows-keep24 >/dev/null
	unchanged
	no() {
		for how in prune plan-prune; do
			run own $how "${@:2}"
			[ "$status" -eq 2 ]
			[ "$output" = "reap-run: prune: $1: give another NAME" ]
		done
		unchanged
	}
	no "$TMP/out/rows-keep24 is of $TMP/a/model" MODEL=b/model
	no "$TMP/out/rows-keep24 is of $TMP/a/rows.jsonl" DATA=b/rows.jsonl
	no "$TMP/out/rows-keep24 is of $TMP/a/rows.jsonl" DATA=a/UNION.jsonl NAME=rows-keep24
	no "$TMP/out/recipes/rows-keep24.yaml is there and was not made by this command with NAME=rows keep24" NAME='rows keep24'
	no "$TMP/out/recipes/rows-keep24-eval.yaml is there and was not made by this command with NAME=rows-keep24-eval" NAME=rows-keep24-eval
	# Model and rows may move, and a run may go on with another number of experts.
	mv a c
	own prune MODEL=c/model DATA=c/rows.jsonl KEEP=20 NAME=rows-keep24 >/dev/null
	[ "$(jq .num_local_experts out/rows-keep24/model/config.json)" -eq 20 ]
	# A pack may have the name of all packs.
	own prune MODEL=c/model DATA=c/UNION.jsonl >/dev/null
	[ -s out/union-keep24/verdict.md ]
}

@test "prune: what no run could begin with is said in one line" {
	cd "$TMP"
	mkfifo fifo
	: >file
	no() {
		run timeout 30 "${REAP_RUN:-$ROOT/pipelines/reap-run}" prune MODEL="$ROOT/tests/fixtures/model" \
			DATA="$ROOT/tests/fixtures/packs/tool_agentic.calib.jsonl" KEEP=24 OUT=own "${@:2}"
		[ "$status" -eq 2 ]
		[ "$output" = "reap-run: prune: $1" ]
	}
	no "DATA=$TMP/fifo: no such file or folder" DATA=fifo
	no "DATA=$TMP/none: no such file or folder" DATA=none
	no "ROWS=1: must be the number of rows to sample, at least two" ROWS=1
	# What a recipe or a cut could not be, in the words of the command line.
	no "ROWS=2000000000: 2000000000 is not within 1 to 1000000000" ROWS=2000000000
	no "ROWS=99999999999999999999: does not fit in 64 bits" ROWS=99999999999999999999
	no "HOLDOUT=0.0: 0 is not within 1e-06 to 0.999999" HOLDOUT=0.0
	no "KEEP=23: not a multiple of 4, which GPU kernels want" KEEP=23
	no "KEEP=4: GPU kernels want more than top_k, 4" KEEP=4
	no "KEEP=3: each token chooses 4 experts" KEEP=3
	no "KEEP=36: the model has 32 experts in each layer" KEEP=36
	mkdir -p data/train
	cp "$ROOT/tests/fixtures/packs/tool_agentic.calib.jsonl" data
	cp data/*.jsonl data/train
	"${REAP_RUN:-$ROOT/pipelines/reap-run}" -n prune MODEL="$ROOT/tests/fixtures/model" DATA=data KEEP=24 OUT=own 2>&1 >/dev/null |
		grep -xF "reap-run: prune: DATA=$TMP/data: 1 files of rows in folders within it are left out"
	no "OUT=$TMP/file: cannot be made: Not a directory" OUT=file
	long=$(printf 'x%.0s' {1..94})
	echo >"$long.jsonl"
	no "DATA=$TMP/$long.jsonl: $long-keep24 is no name: small letters, digits and - only, 100 at most: give NAME" DATA="$long.jsonl"
	no "MODEL=$TMP/file: no config.json there" MODEL=file
	mkdir model
	echo '{' >model/config.json
	no "MODEL=$TMP/model: no tokenizer.json there" MODEL=model
	: >model/tokenizer.json
	no "MODEL=$TMP/model: $TMP/model/config.json: line 2: string or '}' expected near end of file" MODEL=model
}

@test "top_k is checked against the model, whose config.json may leave it to the default" {
	mkdir -p "$TMP/models/mine"
	cp -r tests/fixtures/model "$TMP/models/mine/m"
	jq 'del(.num_experts_per_tok, .experts_per_token)' tests/fixtures/model/config.json >"$TMP/models/mine/m/config.json"
	printf '%s\n' 'extends: fast.yaml' 'target: short' 'model: {base_model_id: mine/m}' 'evaluation: {with: ""}' 'scoring: {top_k: 4}' >"$R/short.yaml"
	pipe short >/dev/null
	grep -qxF '| experts per token | 4 |' "$O/short/model/README.md"
	sed -i 's/top_k: 4/top_k: 5/' "$R/short.yaml"
	run pipe short
	failed
	[[ "$output" == *"scoring.top_k: 5, but $TMP/models/mine/m has 4"* ]]
}
