#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# pipelines/: whole targets on the embedded model: what they leave, what they do again and
# what they do not, shards, shared work.
load pipeline

@test "rows to verdict: every file is there, belongs together and is checked" {
	pipe fast >"$TMP/said"
	cd "$O/fast"
	for f in calib.tokens calib.trace saliency scores plan rewrite.manifest base.eval pruned.eval; do
		reap-show "$f" >/dev/null
	done
	[ "$(sed -n 's/^model  *//p' "$TMP/said")" = "$O/fast/model" ]
	grep -qE '^(PASS|FAIL|UNDECIDED) ' "$TMP/said"
	[ "$(jq .num_local_experts model/config.json)" -eq 24 ]
	(cd model && sha256sum --quiet -c SHA256SUMS)
	[ "$(find model -type f ! -name SHA256SUMS | wc -l)" -eq "$(wc -l <model/SHA256SUMS)" ]
	# The recipe in the checkpoint is the one that was run, and the plan says so; what
	# other recipes may use, too, names none.
	id=$(reap-recipe --id model/reap-recipe.yaml)
	[ "$id" = "$(reap-recipe --id "$R/fast.yaml")" ]
	reap-show plan >"$TMP/plan.json"
	[ "$(head -n 1 "$TMP/plan.json" | jq -r '.recipe | "\(.name):\(.digest)"')" = "$id" ]
	reap-show scores >"$TMP/scores.json"
	[ "$(head -n 1 "$TMP/scores.json" | jq .recipe)" = null ]
	cmp reap-scores.yaml model/reap-scores.yaml
	cmp verdict.md model/verdict.md
	grep -xF -- '- Right: `fast`' verdict.md
	[ "$(jq -r '.variants.tiny_keep24of32_k75_eaftreap' manifest.json)" = "$O/fast/model" ]
	[ "$(jq -r .out_dir manifest.json)" = "$O/fast/model" ]
	grep -q '^license: mit$' model/README.md
	grep -q '| experts in each layer | 24 of 32 |' model/README.md
	grep -xF "It was evaluated with \`$(jq -r .left.arithmetic verdict.json)\`." model/README.md
	grep -F "reap $(reap-show -V | sed -n '1s/.* //p') made it from the recipe" model/README.md
	grep -xF 'Beside it must lie what it names: `fast-eval.yaml`.' model/README.md
	# No card tells of a verdict on another checkpoint, or against another base.
	pipelines_card() {
		"$ROOT/pipelines/card/card" --recipe recipe.yaml --manifest rewrite.manifest --source "$MODEL" --model model --verdict "$@"
	}
	pipelines_card verdict.json >/dev/null
	for side in left right; do
		jq ".$side.digest = \"0\"" verdict.json >"$TMP/other.json"
		fails 1 "card: the verdict is of fast against" pipelines_card "$TMP/other.json"
	done
	# A name of whatever letters is seen as it is, and does nothing.
	reap-recipe --json recipe.yaml | jq --arg n '# _a_b_ <b>[x](y)|`c`' '.model.pruned_variant_name = $n | .name = $n | .card.base_model = "a/: [b" |
		.card.license = "no" | .description = "- 1"' >"$TMP/odd.yaml"
	pipelines_card verdict.json --recipe "$TMP/odd.yaml" >"$TMP/odd.md"
	for line in '# \# \_a_b\_ \<b\>\[x\](y)\|\`c\`' 'base_model: ["a/: [b"]' 'license: "no"' '\- 1' '| base model | a/: \[b |'; do
		grep -qxF -- "$line" "$TMP/odd.md"
	done
	grep -qF 'from the recipe `` # _a_b_ <b>[x](y)|`c`:' "$TMP/odd.md"
	# Nothing is left of the making.
	[ -z "$(find "$O" -name '*.part*' -o -name '*.resume' -o -name '*.new' -o -name '*.old')" ]
}

@test "precision: fast calibrates in 8 bits, and the card says so" {
	REAP_GEMM=i8 reap-route -V | grep '^gemm: i8' >/dev/null || skip "no i8 on this processor"
	printf '%s\n' 'extends: fast.yaml' 'profiling_data: {precision: fast}' 'evaluation: null' \
		>"$R/coarse.yaml"
	pipe coarse >"$TMP/said"
	reap-show "$O/coarse/calib.trace" | jq -e -s '.[0].backend | startswith("gemm: i8 (i8)")'
	grep 'rounded to 8 bits' "$O/coarse/model/README.md"
}

@test "rows that rank and judge: said at the end of the run, on the card and in the report, whichever recipe judges" {
	printf '%s\n' 'extends: fast.yaml' 'schema_version: 1' 'kind: reap_recipe' 'name: leak' 'target: leak' \
		'profiling_data: {pack_files: [tool_agentic=tool_agentic.eval.jsonl], sampling: {num_rows: 60}}' >"$R/leak.yaml"
	printf '%s\n' 'extends: fast-eval.yaml' 'schema_version: 1' 'kind: eval_recipe' 'name: other' 'target: other' \
		'pair: {right: {made_by: leak.yaml}}' >"$R/other.yaml"
	stored
	for target in leak other; do
		pipe $target >"$TMP/said"
		grep -xE 'warning: evaluation: [0-9]+ of its [0-9]+ rows are also among those of the calibration: they are not held out' "$TMP/said"
		grep -xE '\*\*Warning:\*\* of the evaluation: [0-9]+ of its .* they are not held out' "$O/leak/model/README.md"
		! grep -F "None of the evaluation's rows" "$O/leak/model/README.md" || false
	done
	grep -F '<p class=warning>Warning: of the evaluation: ' "$O/leak/report.html"
	pipe fast >"$TMP/said"
	! grep '^warning: ' "$TMP/said" | grep -F 'held out' || false
	grep -xF "None of the evaluation's rows is among them." "$O/fast/model/README.md"
}

@test "a second run does nothing; a new keep_n cuts again and runs no calibration again" {
	stored
	pipe fast >/dev/null
	state "$O/fast" >"$TMP/before"
	pipe fast >/dev/null
	state "$O/fast" | diff "$TMP/before" -
	pipe -n fast >"$TMP/n"
	run ! grep '>' "$TMP/n"
	cp "$O/fast/plan" "$TMP/plan24"

	echo 'model: {keep_n: 28, keep_frac_requested: 0.875}' >>"$R/fast.yaml"
	pipe -n fast | grep -o '^reap-[a-z]*' | sort -u >"$TMP/again"
	printf '%s\n' reap-cut reap-gate reap-ppl reap-recipe reap-rewrite | diff - "$TMP/again"
	# The pass that is new is foretold, by the one of the base, which is there.
	pipe plan-fast 2>/dev/null >"$TMP/said"
	[ "$(grep -c 'is there$' "$TMP/said")" -eq 2 ]
	[[ "$(tail -n 1 "$TMP/said")" == "sum of 1 pass: "*" tokens, "* ]]
	pipe fast >/dev/null
	state "$O/fast" >"$TMP/after"
	for f in calib.tokens calib.trace saliency scores base.eval; do
		diff <(grep "/$f " "$TMP/before") <(grep "/$f " "$TMP/after")
	done
	[ "$(jq .num_local_experts "$O/fast/model/config.json")" -eq 28 ]
	for f in plan pruned.eval verdict.txt model/README.md; do
		run grep -xF "$(grep "/fast/$f " "$TMP/before")" "$TMP/after"
		[ "$status" -eq 1 ]
	done
	run cmp "$TMP/plan24" "$O/fast/plan"
	[ "$status" -eq 1 ]
	# Back again: all of it is still there.
	sed -i '$d' "$R/fast.yaml"
	pipe -n fast >"$TMP/n"
	run ! grep '>' "$TMP/n"
	pipe fast >/dev/null
	cmp "$TMP/plan24" "$O/fast/plan"
}

@test "a lost file is put back, a changed one too; touching inputs or moving all costs nothing" {
	mkdir -p "$TMP/models/mine" "$TMP/packs"
	cp -r tests/fixtures/model "$TMP/models/mine/small"
	cp -r tests/fixtures/packs "$TMP/packs/rows"
	cat >>"$R/fast.yaml" <<-'END'
		model: {base_model_id: mine/small}
	END
	sed -i 's/^profiling_data: {/&dataset_repo: rows, /' "$R/fast.yaml"
	cat >>"$R/fast-eval.yaml" <<-'END'
		pair: {left: {model_id: mine/small}}
	END
	stored
	counted
	pipe fast BIN="$TMP/bin" >/dev/null
	state "$O/fast" >"$TMP/before"
	cp "$O/fast/plan" "$TMP/plan"
	: >"$TMP/runs"
	rm "$O/fast/plan"
	echo rubbish >"$TMP/rubbish"
	mv "$TMP/rubbish" "$O/fast/scores"
	pipe fast BIN="$TMP/bin" >/dev/null
	state "$O/fast" | diff "$TMP/before" -
	touch "$TMP"/models/mine/small/* "$TMP"/packs/rows/* "$R"/*
	pipe fast BIN="$TMP/bin" >/dev/null
	echo '# a remark' >>"$R/fast.yaml"
	pipe fast SHARDS=3 BIN="$TMP/bin" >/dev/null
	mkdir "$TMP/elsewhere"
	mv "$TMP/models" "$TMP/packs" "$R" "$O" "$TMP/elsewhere"
	R=$TMP/elsewhere/recipes O=$TMP/elsewhere/out
	pipe fast BIN="$TMP/bin" MODELS="$TMP/elsewhere/models" PACKS="$TMP/elsewhere/packs" >/dev/null
	run ! grep -E 'reap-(tokenize|route|ppl|rewrite -m .* -o)' "$TMP/runs"
	# Damaged in the store itself: made again.
	truncate -s -1 "$O/fast/plan"
	pipe fast BIN="$TMP/bin" MODELS="$TMP/elsewhere/models" PACKS="$TMP/elsewhere/packs" >/dev/null
	cmp <(reap-show -t layer "$TMP/plan") <(reap-show -t layer "$O/fast/plan")
	run ! grep -E 'reap-(tokenize|route)' "$TMP/runs"
}

@test "what lies beside the weights: an edit makes the model again and tokens where they need it, and runs no pass again" {
	local m=$TMP/models/mine/m f
	mkdir -p "${m%/*}"
	cp -r tests/fixtures/model "$m"
	mkdir "$m/additional_chat_templates"
	echo '{{ messages }}' >"$m/additional_chat_templates/tool_use.jinja"
	echo 'as you like it' >"$m/LICENSE"
	echo 'large' >"$m/m-Q4.gguf"
	echo 'model: {base_model_id: mine/m}' >>"$R/fast.yaml"
	echo 'pair: {left: {model_id: mine/m}}' >>"$R/fast-eval.yaml"
	stored
	pipe fast >/dev/null
	cp -r "$m" "$TMP/before"
	pipe -n fast >"$TMP/n"
	run ! grep '>' "$TMP/n"
	for f in config.json generation_config.json tokenizer.json tokenizer_config.json chat_template.jinja \
		additional_chat_templates/tool_use.jinja LICENSE; do
		echo ' ' >>"$m/$f"
		pipe -n fast >"$TMP/n"
		grep '^reap-rewrite' "$TMP/n" || { echo "$f"; false; }
		[[ $f == @(LICENSE|config.json|generation_config.json) ]] || grep '^reap-tokenize' "$TMP/n"
		cp "$TMP/before/$f" "$m/$f"
	done
	echo 'other weights' >"$m/m-Q4.gguf"
	pipe -n fast >"$TMP/n"
	run ! grep '>' "$TMP/n"
	counted
	echo '{#- other #}' >>"$m/chat_template.jinja"
	sed -i 's/"eos_token_id": [0-9]*/"eos_token_id": 7/' "$m/generation_config.json" "$m/config.json"
	run ! cmp "$m/config.json" "$TMP/before/config.json"
	pipe fast BIN="$TMP/bin" >/dev/null
	cut -d ' ' -f 1 "$TMP/runs" | sort | uniq -c
	grep '^reap-rewrite' "$TMP/runs"
	run ! grep -E '^reap-(route|ppl)' "$TMP/runs"
	for f in generation_config.json chat_template.jinja; do
		cmp "$m/$f" "$O/fast/model/$f"
	done
	[ "$(jq .eos_token_id "$O/fast/model/config.json")" -eq 7 ]
	(cd "$O/fast/model" && sha256sum --quiet --strict -c SHA256SUMS)
}

@test "a killed producer leaves no file that looks finished; the next run ends like an undisturbed one" {
	stored
	sed -i 's/^evaluation:.*/evaluation: {with: ""}/' "$R/fast.yaml"
	pipe fast >/dev/null
	mv "$O" "$TMP/good"
	mkdir "$TMP/bin"
	ln -s "$REAP_BIN"/reap-* "$TMP/bin"
	rm "$TMP/bin/reap-route"
	cat >"$TMP/bin/reap-route" <<-END
		#!/bin/bash
		if [[ "\$1" != --[hd]* && "\$*" != *--version ]] && [ ! -e "\$TMP/killed" ]; then
			touch "\$TMP/killed"
			"\$REAP_BIN/reap-route" "\$@" | head -c 60000
			kill -9 \$\$
		fi
		exec "\$REAP_BIN/reap-route" "\$@"
	END
	chmod +x "$TMP/bin/reap-route"
	run pipe fast BIN="$TMP/bin"
	failed
	grep -xF 'reap: fast/calib.trace: signal 9 ended reap-route: the same command goes on from here' <<<"$output"
	[ -e "$TMP/killed" ]
	[ ! -e "$O/fast/calib.trace" ]
	[ ! -e "$O/fast/saliency" ]
	[ -n "$(find "$O/.cache" -name 1of1.part -size +0)" ]
	pipe fast BIN="$TMP/bin" >"$TMP/said" 2>&1
	grep -E 'resume: took over [0-9]+ blocks' "$TMP/said"
	for f in calib.trace saliency plan; do
		diff <(reap-show "$TMP/good/fast/$f" | tail -n +2) <(reap-show "$O/fast/$f" | tail -n +2)
	done
	for f in "$O"/fast/model/*.safetensors; do
		cmp "$f" "$TMP/good/fast/model/$(basename "$f")"
	done
}

@test "an interrupted task goes on; not when another tool would go on" {
	cat >"$TMP/tool" <<-END
		#!/bin/bash
		case \${!#} in
		--version) echo "\$VERSION" ;;
		*)
			echo "\$@"
			[ -z "\$FATAL" ] || kill -9 \$\$
			;;
		esac
	END
	chmod +x "$TMP/tool"
	export VERSION=1 FATAL=1
	interrupted() {
		rm -f "$TMP/parts/2of3"
		run pipelines/task 2 3 "$TMP/parts" "$TMP/tool" x
		[ "$status" -eq 137 ]
		[[ "$output" == *"reap: task 2 of 3: tool failed" ]]
		[ -s "$TMP/parts/2of3.part" ]
		[ ! -e "$TMP/parts/2of3" ]
	}
	mkdir "$TMP/parts"
	interrupted
	FATAL='' pipelines/task 2 3 "$TMP/parts" "$TMP/tool" x
	[ "$(cat "$TMP/parts/2of3")" = "--resume $TMP/parts/2of3.resume --shard 2/3 x" ]
	[ "$(ls "$TMP/parts")" = 2of3 ]
	interrupted
	FATAL='' VERSION=2 pipelines/task 2 3 "$TMP/parts" "$TMP/tool" x
	[ "$(cat "$TMP/parts/2of3")" = "--shard 2/3 x" ]
}

@test "a tool that fails in a stage stops all and leaves its file out" {
	mkdir "$TMP/bin"
	ln -s "$REAP_BIN"/reap-* "$TMP/bin"
	rm "$TMP/bin/reap-accum"
	printf '#!/bin/bash\n%q "$@" | head -c 2000\n[ "$1" = --version ]\n' "$REAP_BIN/reap-accum" >"$TMP/bin/reap-accum"
	chmod +x "$TMP/bin/reap-accum"
	run pipe fast BIN="$TMP/bin"
	failed
	[[ "$output" == *"reap: fast/saliency: reap-accum ended with status 1"* ]]
	[ ! -e "$O/fast/saliency" ]
	[ ! -e "$O/fast/scores" ]
	[ ! -e "$O/fast/model" ]
}

@test "3 shards, in turn and through GNU parallel, give the same result" {
	stored
	pipe fast >/dev/null
	mv "$O" "$TMP/one"
	pipe fast SHARDS=3 >/dev/null
	[ -e "$O/fast/calib.trace/3of3" ]
	# By other words the same tokens: what they went through is not done again, in no shards; only the
	# verdict names another target.
	printf '%s\n' 'extends: fast.yaml' 'target: same' 'profiling_data: {text_column: text}' 'evaluation: {with: same-eval.yaml}' >"$R/same.yaml"
	printf '%s\n' 'extends: fast-eval.yaml' 'calib_packs: {text_column: ""}' >"$R/same-eval.yaml"
	counted
	[ "$(pipe -n same | grep -c '^reap-tokenize')" -eq 2 ]
	pipe same BIN="$TMP/bin" >/dev/null
	[[ "$(pipe -n same)" != *">"* ]]
	[ "$(grep -vE -e '--check|/dev/null' "$TMP/runs" | grep -oE '^reap-(tokenize|route|accum|rank|cut|rewrite|ppl|gate) ' | sort | uniq -c | xargs)" = \
		"1 reap-cut 1 reap-gate 1 reap-rewrite 2 reap-tokenize" ]
	[ "$O/same/base.eval" -ef "$O/fast/base.eval" ]
	mv "$O" "$TMP/three"
	same() {
		for f in saliency scores plan base.eval pruned.eval; do
			diff <(reap-show "$TMP/one/fast/$f" | tail -n +2) <(reap-show "$1/fast/$f" | tail -n +2)
		done
		for f in "$1"/fast/model/*.safetensors; do
			cmp "$f" "$TMP/one/fast/model/$(basename "$f")"
		done
	}
	same "$TMP/three"
	if command -v parallel >/dev/null; then
		pipe fast SHARDS=3 LAUNCHER=parallel PARALLEL=-j2 >/dev/null
		same "$O"
		[ -z "$(find "$O" -name '*.part' -o -name '*.log')" ]
	fi
	# Paths may have in them what parallel, the shell or a list of words would take for their own.
	if command -v parallel >/dev/null; then
		odd="$TMP/k{=1=}l c{%}d a,shard,b {} \$(x)'"
		mkdir "$odd"
		printf '#!/bin/bash\n[ "$1" = --version ] || [ "$3" = --version ] || printf "%%s|" "$@"\n' >"$odd/tool"
		chmod +x "$odd/tool"
		# An exported CDPATH makes cd print.
		CDPATH=.:/ SHARDS=2 LAUNCHER=parallel pipelines/launch "$odd" "$odd/tool" "$odd/a  b"
		for i in 1 2; do
			[ "$(cat "$odd/${i}of2")" = "--shard|$i/2|$odd/a  b|" ]
		done
	fi
	# A command that is missing is named.
	mkdir "$TMP/path"
	ln -s "$(command -v bash)" "$(command -v readlink)" "$TMP/path"
	SHARDS=2 LAUNCHER=parallel PATH=$TMP/path run pipelines/launch "$TMP/x" true
	[ "$status" -eq 1 ]
	[ "$output" = "reap: LAUNCHER=parallel: parallel is not installed here" ]
	# So is what went wrong with a job that was queued, and with one that was not.
	mkdir "$TMP/x"
	for said in "exit 1:sbatch queued no job" "echo 7; exit 1:a task of the array failed: see $TMP/x/*.log"; do
		printf '#!/bin/bash\n%s\n' "${said%%:*}" >"$TMP/sbatch"
		printf '#!/bin/bash\n' >"$TMP/squeue"
		chmod +x "$TMP/sbatch" "$TMP/squeue"
		SHARDS=2 LAUNCHER=slurm PATH=$TMP:$PATH run pipelines/launch "$TMP/x" true
		[ "$status" -eq 1 ]
		[ "$output" = "reap: LAUNCHER=slurm: ${said#*:}" ]
	done
	run pipe fast SHARDS=2 LAUNCHER=mule
	failed
	[[ "$output" == *"LAUNCHER=mule: must be local, parallel or slurm"* ]]
}

@test "from published scores: keep 24, 19 and all, of a checkpoint with the shape of 20B's layers" {
	local m=$TMP/models/openai/gpt-oss-20b
	mkdir -p "$TMP/models/openai"
	"$REAP_BUILD/gen/random_checkpoint" --layers 24 --experts 32 --hidden 64 --inter 32 --heads 2 \
		--kv-heads 1 --head-dim 32 --vocab 256 "$m"
	R=$ROOT/recipes
	pipe 20b-keep24-from-snapshot >/dev/null
	[ "$(jq .num_local_experts "$O/20b-keep24-from-snapshot/model/config.json")" -eq 24 ]
	grep -q '^base_model: \[openai/gpt-oss-20b\]$' "$O/20b-keep24-from-snapshot/model/README.md"
	pipe 20b-keep19 >/dev/null
	[ "$(jq .num_local_experts "$O/20b-keep19/model/config.json")" -eq 19 ]
	grep -q 'GPU kernels for MXFP4 refuse 19 experts' "$O/20b-keep19/model/README.md"
	pipe 20b-noop >/dev/null
	[ "$(jq .num_local_experts "$O/20b-noop/model/config.json")" -eq 32 ]
}

@test "from scores that do not say which model they are of: evaluated, with the cut in the report" {
	stored
	pipe fast >/dev/null
	grep -v '^scores_sha256\|model_digest\|^  sources\|tokens_sha256' "$O/fast/reap-scores.yaml" >"$R/published.yaml"
	printf '%s\n' 'extends: fast.yaml' 'source: {scores_yaml: published.yaml}' 'model: {keep_n: 20, keep_frac_requested: 0.625}' >"$R/cut.yaml"
	pipe cut >"$TMP/said"
	grep -qE '^(PASS|FAIL|UNDECIDED) ' "$TMP/said"
	jq -e '.kept.keep_n == 20 and .kept.experts == 32 and (.kept.sweep | length) > 2' "$O/cut/report/report.json"
	grep -F '<h2>The cut</h2>' "$O/cut/report.html"
	grep -xF 'Beside it must lie what it names: `fast-eval.yaml`, `published.yaml`.' "$O/cut/model/README.md"
}

@test "what recipes have in common is done once: rows, passes, sums, whoever asks" {
	undrawn
	counted
	printf '%s\n' 'extends: fast.yaml' 'model: {keep_n: 20}' 'evaluation: {with: ""}' >"$R/keep20.yaml"
	printf '%s\n' 'extends: fast.yaml' 'profiling_data: {sampling: {seed: 1}}' 'evaluation: {with: ""}' \
		'model: {keep_n: 28}' >"$R/other-rows.yaml"
	for name in keep20 other-rows; do
		printf '%s\n' 'extends: fast-eval.yaml' "target: eval-$name" \
			"pair: {right: {model_id: x, made_by: $name.yaml}}" >"$R/eval-$name.yaml"
	done
	pipe fast BIN="$TMP/bin" >/dev/null
	pipe eval-keep20 BIN="$TMP/bin" >/dev/null
	pipe eval-other-rows BIN="$TMP/bin" >/dev/null
	cat "$TMP/runs"
	[ "$(grep -c '^reap-route' "$TMP/runs")" -eq 2 ]
	[ "$(grep -c '^reap-ppl .*-m .*fixtures/model ' "$TMP/runs")" -eq 1 ]
	[ "$(grep -c '^reap-ppl ' "$TMP/runs")" -eq 4 ]
	[ "$O/fast/base.eval" -ef "$O/eval-keep20/base.eval" ]
	# What a recipe says of itself is not said of what extends it.
	grep -xF '# tests/fixtures/model with 20 experts in each layer' "$O/keep20/model/README.md"
	run ! grep 'Prune the embedded model' "$O/keep20/model/README.md"
	grep -xF '# tiny_keep24of32_k75_eaftreap' "$O/fast/model/README.md"
	# Another threshold needs other sums and no other pass; not even of a trace that was freed,
	# unless it is needed.
	echo 'scoring: {cc_quantile: 0.2}' >>"$R/keep20.yaml"
	: >"$TMP/runs"
	pipe keep20 BIN="$TMP/bin" >/dev/null
	run ! grep '^reap-route' "$TMP/runs"
	pipe prune-cache >"$TMP/said"
	grep -E 'freed .*fast/calib.trace.*: summed up' "$TMP/said"
	[ ! -e "$O/fast/calib.trace" ]
	# Once for all that read it.
	sed 's/^target:.*/target: halves/' "$R/fast.yaml" >"$R/halves.yaml"
	echo 'scoring: {cc_quantile: 0.2}' >>"$R/halves.yaml"
	pipe -n halves >"$TMP/n"
	[ "$(grep -c '^reap-route' "$TMP/n")" -eq 1 ]
	[ "$(grep -c '^reap-accum' "$TMP/n")" -eq 2 ]
	rm "$R/halves.yaml"
	pipe fast BIN="$TMP/bin" >/dev/null
	pipe keep20 BIN="$TMP/bin" >/dev/null
	run ! grep '^reap-route' "$TMP/runs"
	sed -i '$s/0.2/0.25/' "$R/keep20.yaml"
	pipe keep20 BIN="$TMP/bin" >"$TMP/said" 2>&1
	grep 'again, because it was freed: keep20/calib.trace' "$TMP/said"
	[ "$(grep -c '^reap-route' "$TMP/runs")" -eq 1 ]
	# What no target has any more goes; what one has stays.
	rm -r "$O/eval-other-rows" "$O/other-rows"
	pipe prune-cache >"$TMP/said"
	grep -E 'freed .*other-rows/calib.tokens, which no target has any more' "$TMP/said"
	state "$O/fast" >"$TMP/before"
	pipe fast BIN="$TMP/bin" >/dev/null
	state "$O/fast" | diff "$TMP/before" -
}

@test "20b-keep24, two lines that keep 20, and 20b-keep20, each with its bigblocks: 2 calibration passes, 1 of the base, 3 of pruned models" {
	local models=$TMP/models packs=$TMP/packs/radna0/harmony-qwen3-calib-packs-v2-20260113 p
	mkdir -p "$models/openai" "$packs/packs/reasoning_style_10k_v2" "$packs/packs/calib_prompt_10000_v2"
	"$REAP_BUILD/gen/random_checkpoint" --layers 2 --experts 32 --hidden 32 --inter 32 --heads 2 \
		--kv-heads 1 --head-dim 32 --vocab 2048 "$models/openai/gpt-oss-20b"
	cp "$MODEL"/tokenizer*.json "$models/openai/gpt-oss-20b"
	for p in reasoning_style:packs/reasoning_style_10k_v2/reasoning_style_10k_v2 \
		tool_agentic:tool_agentic_10k_v6 calib_prompt:packs/calib_prompt_10000_v2/calib_prompt_10000_v2; do
		cp "$PACKS/${p%%:*}.calib.jsonl" "$packs/${p#*:}.jsonl"
	done
	# The shipped ones, with budgets that these rows can meet.
	cp recipes/*.yaml recipes/*.json "$R"
	sed -i 's/num_blocks: 512/num_blocks: 2/; s/num_rows: 2000/num_rows: 20/; s/rows_used: 26000/rows_used: 12/' "$R"/*.yaml
	printf '%s\n' 'extends: reap-recipe_20b_eaftreap_keepfrac075_keep24_uniform.yaml' 'model: {keep_n: 20}' >"$R/two-lines.yaml"
	printf '%s\n' 'extends: eval-20b_eaftreap075_bigblocks_keep24_uniform.yaml' \
		'pair: {right: {made_by: two-lines.yaml}}' >"$R/eval-two-lines.yaml"
	counted
	for target in 20b-keep24 eval-20b-keep24-bigblocks two-lines eval-two-lines 20b-keep20 eval-20b-keep20-bigblocks; do
		pipe "$target" BIN="$TMP/bin" >/dev/null
	done
	grep -E '^reap-(route|ppl)' "$TMP/runs"
	[ "$(grep -c '^reap-route' "$TMP/runs")" -eq 2 ]
	[ "$(grep -c '^reap-ppl .*-m .*/openai/gpt-oss-20b ' "$TMP/runs")" -eq 1 ]
	[ "$(grep -c '^reap-ppl' "$TMP/runs")" -eq 4 ]
}

@test "profile_of: another recipe's sums, and only if they would be the same" {
	printf '%s\n' "extends: fast.yaml" 'schema_version: 1' 'kind: reap_recipe' 'name: other' \
		'target: other' 'source: {profile_of: fast.yaml}' 'scoring: {criterion: reap, score_key: saliency_mean}' \
		'model: {keep_n: 20}' 'evaluation: {with: ""}' >"$R/other.yaml"
	stored
	pipe other >/dev/null
	[ ! -e "$O/fast/model" ]
	[ "$(jq .num_local_experts "$O/other/model/config.json")" -eq 20 ]
	grep -q '| reasoning_style | 15 |' "$O/other/model/README.md"
	state "$O" >"$TMP/before"
	pipe other >/dev/null
	state "$O" | diff "$TMP/before" -
	echo 'profiling_data: {sampling: {seed: 1}}' >>"$R/other.yaml"
	run pipe other
	failed
	[[ "$output" == *"other.yaml:6: source.profile_of: fast.yaml differs in profiling_data.sampling.seed"* ]]
}

@test "grid: every cell judged, one table, nothing run twice, no model left" {
	printf '%s\n' "extends: fast.yaml" 'schema_version: 1' 'kind: reap_recipe' 'name: many' \
		'target: many' 'source: {profile_of: fast.yaml}' \
		'grid: {keep_n: [16], criteria: [eaft_sum, aimer], random_seeds: 1, reversed: true}' >"$R/many.yaml"
	stored
	pipe many >/dev/null
	[ "$(find "$O/many/cells" -name verdict.json | wc -l)" -eq 4 ]
	[ "$(find "$O/many/cells" -name '*.safetensors' -o -name '*.eval' | wc -l)" -eq 0 ]
	# Its own model, and that of fast.
	[ "$(find "$O/.cache" -name config.json | wc -l)" -eq 2 ]
	grep -q '^| criterion | many keep 16 |$' "$O/many/grid.md"
	[ "$(grep -cE '^\| (eaft_sum|aimer|random.1|reversed) \| [+-][0-9.]+ ' "$O/many/grid.md")" -eq 4 ]
	[ "$(grep -cE '^\| (eaft_sum|aimer|random.1|reversed) \| [0-9.]+ \|' "$O/many/grid.md")" -eq 4 ]
	[ "$(reap-show -t layer "$O/many/cells/reversed-keep16/plan" | jq -sc 'map(.keep)')" != \
		"$(reap-show -t layer "$O/many/cells/eaft_sum-keep16/plan" | jq -sc 'map(.keep)')" ]
	# The recipe's own cut is a cell like any other.
	reap-cut --keep-n 16 "$O/many/scores" | reap-show -t layer |
		cmp - <(reap-show -t layer "$O/many/cells/eaft_sum-keep16/plan")
	state "$O" >"$TMP/before"
	pipe many >/dev/null
	state "$O" | diff "$TMP/before" -
	# A size more: only its cells are made.
	sed -i 's/\[16\]/[16, 28]/' "$R/many.yaml"
	pipe many >/dev/null
	for cell in aimer-keep16 random.1-keep16; do
		diff <(grep "/$cell/verdict.json" "$TMP/before") <(state "$O" | grep "/$cell/verdict.json")
	done
	[ -e "$O/many/cells/aimer-keep28/verdict.json" ]
	grep -q '^| criterion | many keep 28 | many keep 16 |$' "$O/many/grid.md"
	[ "$(grep -cE '^\| (aimer|eaft_sum|random.1|reversed) \| [+-][0-9.]+ .*\| [+-][0-9.]+' "$O/many/grid.md")" -eq 4 ]
	[ "$(grep -cE '^\| (aimer|eaft_sum|random.1|reversed) \| [0-9.]+ \| [0-9.]+ \|' "$O/many/grid.md")" -eq 4 ]
}

@test "criteria: one table of all packs, one of rankings by a pack that each judges" {
	local src=$TMP/src c
	# What is run: rows of one pack rank, the others being held out; weights need no rows.
	reap_run=${REAP_RUN:-pipelines/reap-run}
	"$reap_run" -n criteria MODELS="$ROOT" PACKS="$ROOT" OUT="$O" >"$TMP/commands"
	[ "$(grep -c -e '--holdout-pack tool_agentic --holdout-pack calib_prompt --split calib' "$TMP/commands")" -eq 2 ]
	[ "$(grep -c -e '--holdout-pack reasoning_style --holdout-pack calib_prompt --split calib' "$TMP/commands")" -eq 2 ]
	grep -q "^reap-rank --method aimer .*-m .*/tests/fixtures/model-plain'\? >" "$TMP/commands"
	# The tables, of cells that a stand-in for prune makes up: by target and criterion.
	mkdir -p "$src/cmd"
	touch "$src/cmd/tool.h"
	cp -r pipelines recipes "$src"
	cat >"$src/pipelines/prune" <<-'END'
		#!/bin/bash
		for c in reap aimer; do
			mkdir -p "$2/cells/$c-keep24"
			jq -n --arg t "${2##*/}" --arg c "$c" '{checks: [{pack: "UNION", seq_len: 512}],
				rows: [["a", 512], ["UNION", 512], ["b", 512], ["a", 1024] | {pack: .[0], seq_len: .[1],
					left: {ppl: 2, kept_tokens: 100}, right: {ppl: (($t + $c + .[0] | length) + .[1] / 1024)},
					d_nll: ($c | length / 10), d_nll_ci: [0.1, 0.9]}]}' >"$2/cells/$c-keep24/verdict.json"
		done
	END
	"$src/pipelines/reap-run" -q criteria BIN="$REAP_BIN" OUT="$O" >"$TMP/said"
	cmp "$O/criteria.md" "$TMP/said"
	awk -v to="$TMP/table." '/^# Ranked on one pack/ { n = 1 } { print >(to n + 0) }' "$O/criteria.md"
	head -n 9 "$TMP/table.0" | diff - <(cat <<-END
		# Ranked and judged on rows of the same packs

		Perplexity:

		| criterion | tiny-criteria keep 24 | tiny-criteria-plain keep 24 |
		| --- | ---: | ---: |
		| base | 2.000 | 2.000 |
		| reap | 22.500 | 28.500 |
		| aimer | 23.500 | 29.500 |
	END
	)
	grep -qF '| aimer | +0.5000 [+0.1000, +0.9000] | +0.5000 [+0.1000, +0.9000] |' "$TMP/table.0"
	grep -m 1 '^| criterion' "$TMP/table.1" | tr '|' '\n' | sed -n 's/^ \(tiny.*\) $/\1/p' |
		diff - <(printf 'tiny-across-%s\n' {reasoning,reasoning-plain,tools,tools-plain}" keep 24 on "{a,b})
	for c in "| reap | 26.500 | 26.500 | 32.500 | 32.500 | 22.500 | 22.500 | 28.500 | 28.500 |" \
		"| held-out tokens | 100 | 100 | 100 | 100 | 100 | 100 | 100 | 100 |"; do
		grep -qxF "$c" "$TMP/table.1"
	done
}
