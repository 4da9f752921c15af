#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# pipelines/: whole targets on the embedded model, restarted, killed, in shards.
load helpers

# Recipes that extend the shipped ones with budgets for a test's patience.
setup() {
	export TMP=$BATS_TEST_TMPDIR
	R=$TMP/recipes O=$TMP/out
	mkdir "$R"
	cat >"$R/fast.yaml" <<-END
		extends: $ROOT/recipes/tiny-keep24.yaml
		schema_version: 1
		kind: reap_recipe
		name: fast
		target: fast
		profiling_data: {sampling: {num_rows: 45}, max_seq_length: 256}
		evaluation: {with: fast-eval.yaml}
	END
	cat >"$R/fast-eval.yaml" <<-END
		extends: $ROOT/recipes/eval-tiny_keep24.yaml
		schema_version: 1
		kind: eval_recipe
		name: fast_eval
		collector_overrides: {seq_lens_csv: "256", num_blocks: 3}
	END
}

# pipe TARGET [VARIABLE=...]: quiet, with the test's recipes.
pipe() {
	make -s -C pipelines RECIPES="$R" OUT="$O" MODELS="$TMP/models" PACKS="$TMP/packs" THREADS=1 "$@"
}

# Everything below a folder with its time.
state() {
	find "$1" -type f ! -name '*.part' -printf '%p %T@\n' | sort
}

@test "rows to verdict: every file is there, belongs together and is checked" {
	pipe fast >"$TMP/said"
	cd "$O/fast"
	for f in calib.tokens calib.trace saliency scores plan rewrite.manifest base.eval pruned.eval; do
		reap-show "$f" >/dev/null
	done
	grep -q "^model .*$O/fast/model$" "$TMP/said"
	grep -qE '^(PASS|FAIL|UNDECIDED) ' "$TMP/said"
	[ "$(jq .num_local_experts model/config.json)" -eq 24 ]
	(cd model && sha256sum --quiet -c SHA256SUMS)
	[ "$(find model -type f ! -name SHA256SUMS | wc -l)" -eq "$(wc -l <model/SHA256SUMS)" ]
	# The recipe in the checkpoint is the one that was run, and every stream says so.
	id=$(reap-recipe --id model/reap-recipe.yaml)
	[ "$id" = "$(reap-recipe --id "$R/fast.yaml")" ]
	for f in calib.tokens calib.trace saliency scores plan; do
		[ "$(reap-show "$f" | head -1 | jq -r '.recipe | "\(.name):\(.digest)"')" = "$id" ]
	done
	cmp reap-scores.yaml model/reap-scores.yaml
	cmp verdict.md model/verdict.md
	[ "$(jq -r '.variants.tiny_keep24of32_k75_eaftreap' manifest.json)" = "$O/fast/model" ]
	[ "$(jq -r .out_dir manifest.json)" = "$O/fast/model" ]
	grep -q '^license: mit$' model/README.md
	grep -q '| experts in each layer | 24 of 32 |' model/README.md
	# Nothing is left of the making.
	[ -z "$(find . -name '*.part*' -o -name '*.resume' -o -name 'model.new*')" ]
}

@test "a second run does nothing; a new keep_n cuts again and runs no calibration again" {
	pipe fast >/dev/null
	state "$O/fast" >"$TMP/before"
	pipe fast >/dev/null
	state "$O/fast" | diff "$TMP/before" -
	! pipe -n fast | grep '^reap-\|^\./launch'
	cp "$O/fast/plan" "$TMP/plan24"

	echo 'model: {keep_n: 28, keep_frac_requested: 0.875}' >>"$R/fast.yaml"
	pipe -n fast | grep '^reap-\|^\./launch' | sed 's/ .*//' | sort -u >"$TMP/again"
	printf '%s\n' reap-cut reap-recipe reap-rewrite | diff - "$TMP/again"
	pipe fast >/dev/null
	state "$O/fast" >"$TMP/after"
	for f in calib.tokens calib.trace saliency scores base.eval; do
		diff <(grep "/$f " "$TMP/before") <(grep "/$f " "$TMP/after")
	done
	[ "$(jq .num_local_experts "$O/fast/model/config.json")" -eq 28 ]
	for f in plan pruned.eval verdict.txt model/README.md; do
		! grep -qxF "$(grep "/$f " "$TMP/before")" "$TMP/after"
	done
	! cmp -s "$TMP/plan24" "$O/fast/plan"
}

@test "a lost file is made again, and only what depends on it" {
	pipe fast >/dev/null
	state "$O/fast" >"$TMP/before"
	cp "$O/fast/plan" "$TMP/plan"
	rm "$O/fast/plan"
	pipe fast >/dev/null
	cmp "$TMP/plan" "$O/fast/plan"
	for f in calib.trace saliency scores; do
		diff <(grep "/$f " "$TMP/before") <(state "$O/fast" | grep "/$f ")
	done
	# An intermediate file that was deleted for its size is not missed.
	rm "$O/fast/calib.trace"
	pipe fast >/dev/null
	[ ! -e "$O/fast/calib.trace" ]
}

@test "a killed producer leaves no file that looks finished; the next run ends like an undisturbed one" {
	mkdir "$TMP/bin"
	ln -s "$REAP_BIN"/reap-* "$TMP/bin"
	pipe fast BIN="$TMP/bin" >/dev/null
	mv "$O" "$TMP/good"

	rm "$TMP/bin/reap-route"
	cat >"$TMP/bin/reap-route" <<-END
		#!/bin/bash
		if [[ "\$1" != --[hv]e* ]] && [ ! -e "$TMP/killed" ]; then
			touch "$TMP/killed"
			"$REAP_BIN/reap-route" "\$@" | head -c 60000
			kill -9 \$\$
		fi
		exec "$REAP_BIN/reap-route" "\$@"
	END
	chmod +x "$TMP/bin/reap-route"
	run pipe fast BIN="$TMP/bin"
	[ "$status" -eq 2 ]
	[ -e "$TMP/killed" ]
	[ ! -e "$O/fast/calib.trace" ]
	[ ! -e "$O/fast/saliency" ]
	[ -s "$O/fast/calib.trace.part" ]
	pipe fast BIN="$TMP/bin" >"$TMP/said" 2>&1
	grep -E 'calib.trace.resume: took over [0-9]+ blocks' "$TMP/said"
	for f in calib.trace saliency plan; do
		diff <(reap-show "$TMP/good/fast/$f" | tail -n +2) <(reap-show "$O/fast/$f" | tail -n +2)
	done
	for f in "$O"/fast/model/*.safetensors; do
		cmp "$f" "$TMP/good/fast/model/$(basename "$f")"
	done
}

@test "an interrupted stage goes on; not when what it reads is newer, or another tool would go on" {
	cat >"$TMP/tool" <<-END
		#!/bin/bash
		case \$1 in
		--version) echo "\$VERSION" ;;
		--help) echo "--resume FILE" ;;
		*)
			echo "\$@"
			[ -z "\$FATAL" ] || kill -9 \$\$
			;;
		esac
	END
	chmod +x "$TMP/tool"
	touch -d '1 minute ago' "$TMP/tokens"
	export VERSION=1 FATAL=1
	stage() {
		pipelines/launch local 1 "$TMP/tokens" "$TMP/file" -- "$TMP/tool" x
	}
	interrupted() {
		rm -f "$TMP/file"
		run stage
		[ "$status" -eq 137 ] && [ -s "$TMP/file.part" ] && [ ! -e "$TMP/file" ]
	}
	interrupted
	FATAL='' stage
	[ "$(cat "$TMP/file")" = "x --resume $TMP/file.resume" ]
	[ "$(echo "$TMP"/file*)" = "$TMP/file" ]
	interrupted
	FATAL='' VERSION=2 stage
	[ "$(cat "$TMP/file")" = x ]
	interrupted
	touch -d '1 minute' "$TMP/tokens"
	FATAL='' stage
	[ "$(cat "$TMP/file")" = x ]
}

@test "a tool that fails in a stage stops make and leaves its file out" {
	mkdir "$TMP/bin"
	ln -s "$REAP_BIN"/reap-* "$TMP/bin"
	rm "$TMP/bin/reap-accum"
	printf '#!/bin/bash\n%s "$@" | head -c 2000\nexit 1\n' "$REAP_BIN/reap-accum" >"$TMP/bin/reap-accum"
	chmod +x "$TMP/bin/reap-accum"
	run pipe fast BIN="$TMP/bin"
	[ "$status" -eq 2 ]
	[ ! -e "$O/fast/saliency" ]
	[ ! -e "$O/fast/scores" ]
	[ ! -e "$O/fast/model" ]
}

@test "3 shards, in turn and through GNU parallel, give the same result" {
	pipe fast >/dev/null
	mv "$O" "$TMP/one"
	pipe fast SHARDS=3 >/dev/null
	[ -e "$O/fast/calib.3of3.trace" ]
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
		PARALLEL=-j2 pipe fast SHARDS=3 LAUNCHER=parallel >/dev/null
		same "$O"
		# A lost shard is made again, the others are kept.
		rm "$O/fast/calib.2of3.trace" "$O/fast/saliency"
		before=$(stat -c %Y.%y "$O/fast/calib.1of3.trace")
		PARALLEL=-j2 pipe fast SHARDS=3 LAUNCHER=parallel >/dev/null
		[ "$before" = "$(stat -c %Y.%y "$O/fast/calib.1of3.trace")" ]
		same "$O"
	fi
	run pipe fast SHARDS=2 LAUNCHER=mule
	[[ "$output" == *"LAUNCHER=mule: local, parallel or slurm"* ]]
}

@test "base against base and the noop rewrite: exact zeros, PASS" {
	for name in noise noop; do
		cat >"$R/$name.yaml" <<-END
			extends: $ROOT/recipes/eval-tiny_$name.yaml
			schema_version: 1
			kind: eval_recipe
			name: fast_$name
			target: fast-$name
			collector_overrides: {seq_lens_csv: "256", num_blocks: 3}
		END
	done
	pipe fast-noise >"$TMP/said"
	grep -q '^PASS ' "$TMP/said"
	jq -e '[.rows[] | .d_ppl, .d_cc, .d_mean_p, .js2d, .d_nll] | all(. == 0)' "$O/fast-noise/verdict.json"
	pipe fast-noop >"$TMP/said"
	grep -q '^PASS ' "$TMP/said"
	jq -e '[.rows[] | .d_ppl, .d_cc, .d_mean_p, .js2d, .d_nll] | all(. == 0)' "$O/fast-noop/verdict.json"
	# The model was made first, and its card now has the verdict.
	grep -q '^PASS ' "$O/tiny-noop/model/README.md"
	(cd "$O/tiny-noop/model" && sha256sum --quiet -c SHA256SUMS)
}

@test "run_matrix: entries in folders of their own, one summary, restarted one by one" {
	cat >"$R/matrix.yaml" <<-END
		extends: $ROOT/recipes/eval-tiny_longseq.yaml
		schema_version: 1
		kind: eval_recipe
		name: fast_matrix
		target: fast-matrix
		pair: {right: {made_by: fast.yaml}}
		run_matrix:
		  - {name: long, collector_overrides: {seq_lens_csv: "512", num_blocks: 2}}
		  - {name: short, collector_overrides: {seq_lens_csv: "128", num_blocks: 4}}
	END
	pipe fast-matrix >/dev/null
	# The model is made, its own evaluation is not asked for.
	[ ! -e "$O/fast/eval.tokens" ]
	grep -n '^## long\|^## short' "$O/fast-matrix/summary.md" | cut -d: -f2 | tr '\n' ' ' | grep -q '## long ## short'
	grep -q 'verdict.md' "$O/fast/model/README.md"
	state "$O" >"$TMP/before"
	rm "$O/fast-matrix/short/pruned.eval"
	pipe fast-matrix >/dev/null
	[ -e "$O/fast-matrix/short/pruned.eval" ]
	for f in long/base.eval long/pruned.eval short/base.eval; do
		diff <(grep "/$f " "$TMP/before") <(state "$O" | grep "/$f ")
	done
}

@test "one model, no pair; the cost probe" {
	cat >"$R/single.yaml" <<-END
		extends: $ROOT/recipes/eval-tiny_single.yaml
		schema_version: 1
		kind: eval_single_recipe
		name: fast_single
		target: fast-single
		collector_overrides: {seq_lens_csv: "128", num_blocks: 2}
	END
	cp recipes/*costprobe* recipes/execution.yaml "$R"
	pipe fast-single | grep UNION >/dev/null
	pipe tiny-costprobe >"$TMP/costs"
	for m in peak_rss_gb wall_time_s bytes_read bytes_written num_shards_touched; do
		grep -qE "^probe $m [0-9.e-]+ " "$TMP/costs"
	done
	grep -qE '^full bytes_read [0-9]+ bytes$' "$TMP/costs"
}

# single MADE_BY: a recipe for the metrics of a model that another recipe makes.
single() {
	cat >"$R/made.yaml" <<-END
		extends: $ROOT/recipes/eval-tiny_single.yaml
		schema_version: 1
		kind: eval_single_recipe
		name: fast_made
		target: fast-made
		model: {label: pruned, model_id: fast_keep24, made_by: $1}
		collector_overrides: {seq_lens_csv: "128", num_blocks: 2}
	END
}

@test "one model that another recipe makes: made first, measured, remade with its recipe" {
	single fast.yaml
	pipe plan-fast-made >"$TMP/said"
	grep '^calib.trace: ' "$TMP/said"
	grep '^base.eval: when the model has been made$' "$TMP/said"
	grep 'sum of 1 pass: .*; 1 pass to be planned when the model has been made$' "$TMP/said"
	[ "$(cd "$O" && echo *)" = fast ]
	pipe fast-made | grep UNION >/dev/null
	[ "$(reap-show "$O/fast-made/base.eval" | jq -r 'select(.reap) | .model.experts')" -eq 24 ]
	[ ! -e "$O/fast/eval.tokens" ]
	state "$O" >"$TMP/before"
	pipe fast-made >/dev/null
	state "$O" | diff "$TMP/before" -
	echo 'model: {keep_n: 20}' >>"$R/fast.yaml"
	# Not by planning, which can ask the model that is there.
	pipe plan-fast-made | grep '^sum of 2 passes: ' >/dev/null
	[ "$(jq .num_local_experts "$O/fast/model/config.json")" -eq 24 ]
	pipe fast-made >/dev/null
	[ "$(reap-show "$O/fast-made/base.eval" | jq -r 'select(.reap) | .model.experts')" -eq 20 ]
}

@test "two models that other recipes make: both made first, one against the other" {
	printf '%s\n' "extends: $R/fast.yaml" 'schema_version: 1' 'kind: reap_recipe' 'name: faster' \
		'target: faster' 'model: {keep_n: 20}' >"$R/faster.yaml"
	cat >"$R/both.yaml" <<-END
		extends: $ROOT/recipes/eval-tiny_keep24.yaml
		schema_version: 1
		kind: eval_recipe
		name: both
		target: both
		pair:
		  left: {label: keep24, model_id: fast_keep24, made_by: fast.yaml}
		  right: {label: keep20, model_id: fast_keep20, made_by: faster.yaml}
		collector_overrides: {seq_lens_csv: "128", num_blocks: 2}
	END
	pipe both >"$TMP/said"
	cat "$TMP/said"
	grep '(model, 20 experts) against .*base.eval (model, 24 experts)' "$TMP/said"
	grep 'verdict.md' "$O/faster/model/README.md"
	! grep 'verdict.md' "$O/fast/model/README.md" || false
	state "$O" >"$TMP/before"
	pipe both >/dev/null
	state "$O" | diff "$TMP/before" -
}

@test "a model by a recipe that is not there, or has no target" {
	single nobody.yaml
	run pipe fast-made
	[ "$status" -eq 2 ]
	[[ "$output" == *"made.yaml: model.made_by: there is no recipe nobody.yaml"* ]]
	sed '/^target:/d' "$R/fast.yaml" >"$R/aimless.yaml"
	single aimless.yaml
	run pipe fast-made
	[ "$status" -eq 2 ]
	[[ "$output" == *"made.yaml: model.made_by: aimless.yaml has no target"* ]]
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

@test "profile_of: another recipe's sums are taken, and only if they would be the same" {
	printf '%s\n' "extends: fast.yaml" 'schema_version: 1' 'kind: reap_recipe' 'name: other' \
		'target: other' 'source: {profile_of: fast.yaml}' 'scoring: {criterion: reap, score_key: saliency_mean}' \
		'model: {keep_n: 20}' 'evaluation: {with: ""}' >"$R/other.yaml"
	pipe other >/dev/null
	[ -e "$O/fast/calib.trace" ] && [ ! -e "$O/other/calib.trace" ]
	cmp "$O/fast/saliency" "$O/other/saliency"
	[ ! -e "$O/fast/model" ]
	[ "$(jq .num_local_experts "$O/other/model/config.json")" -eq 20 ]
	grep -q '| reasoning_style | 15 |' "$O/other/model/README.md"
	state "$O" >"$TMP/before"
	pipe other >/dev/null
	state "$O" | diff "$TMP/before" -
	echo 'profiling_data: {sampling: {seed: 1}}' >>"$R/other.yaml"
	run pipe other
	[ "$status" -eq 2 ]
	[[ "$output" == *"source.profile_of: $R/fast.yaml: differs in profiling_data.sampling.seed"* ]]
}

@test "grid: every cell judged, one table, nothing run twice, no model left" {
	printf '%s\n' "extends: fast.yaml" 'schema_version: 1' 'kind: reap_recipe' 'name: many' \
		'target: many' 'source: {profile_of: fast.yaml}' \
		'grid: {keep_n: [16, 28], criteria: [reap, eaft_sum], random_seeds: 1, reversed: true}' >"$R/many.yaml"
	pipe many >/dev/null
	[ "$(find "$O/many/cells" -name verdict.json | wc -l)" -eq 8 ]
	[ "$(find "$O/many/cells" -name '*.safetensors' -o -name '*.eval' | wc -l)" -eq 0 ]
	grep -q '^| criterion | many keep 28 | many keep 16 |$' "$O/many/grid.md"
	[ "$(grep -cE '^\| (reap|eaft_sum|random.1|reversed) \| [+-][0-9.]+ .*\| [+-][0-9.]+' "$O/many/grid.md")" -eq 4 ]
	[ "$(grep -cE '^\| (reap|eaft_sum|random.1|reversed) \| [0-9.]+ \| [0-9.]+ \|' "$O/many/grid.md")" -eq 4 ]
	[ "$(reap-show -t layer "$O/many/cells/reversed-keep16/plan" | jq -sc 'map(.keep)')" != \
		"$(reap-show -t layer "$O/many/cells/eaft_sum-keep16/plan" | jq -sc 'map(.keep)')" ]
	# The recipe's own cut is a cell like any other.
	reap-cut --keep-n 16 "$O/many/scores" | reap-show -t layer |
		cmp - <(reap-show -t layer "$O/many/cells/eaft_sum-keep16/plan")
	state "$O" >"$TMP/before"
	pipe many >/dev/null
	state "$O" | diff "$TMP/before" -
	# A size more: only its cells are made.
	sed -i 's/16, 28/16, 20, 28/' "$R/many.yaml"
	pipe many >/dev/null
	for cell in reap-keep16 random.1-keep28; do
		diff <(grep "/$cell/verdict.json" "$TMP/before") <(state "$O" | grep "/$cell/verdict.json")
	done
	[ -e "$O/many/cells/reap-keep20/verdict.json" ]
}

@test "plan-TARGET: what all forward passes would take; tokens are made, no model is run" {
	pipe plan-fast SHARDS=4 >"$TMP/said"
	grep -q '^calib.trace: reap-route ' "$TMP/said"
	grep -q '^base.eval: reap-ppl ' "$TMP/said"
	grep -q '^pruned.eval: as base.eval' "$TMP/said"
	[ "$(grep -c '^total .* GFLOP$' "$TMP/said")" -eq 2 ]
	[ "$(grep -cE '^(time_of_16|disk_of_4) ' "$TMP/said")" -eq 4 ]
	[ "$(cd "$O/fast" && find . -type f ! -path './.commands/*' | sort | paste -sd' ')" = \
		"./calib.tokens ./eval.tokens" ]
	# The last line: the calibration pass and twice the other.
	figures() {
		awk -v name="$1" -v digits="$2" '$1 == name { x[++n] = $2 }
			END { printf "%.*f", digits, x[1] + 2 * x[2] }' "$TMP/said"
	}
	most=$(awk '$1 == "memory" { print $2 }' "$TMP/said" | sort -n | tail -n 1)
	tail -n 1 "$TMP/said"
	[ "$(tail -n 1 "$TMP/said")" = "sum of 3 passes: $(figures tokens 0) tokens, $(figures total 3) GFLOP,\
 $(figures time 1) s, $(figures disk 0) bytes of disk, at most $most bytes of memory" ]
	# What was planned is what is run, with the tokens that are there.
	pipe -n fast >"$TMP/run"
	grep -qF "$(sed -n 's/^calib.trace: //p' "$TMP/said")" "$TMP/run"
	! grep '^reap-tokenize' "$TMP/run"
}

@test "plan-TARGET: evaluations, matrices, grids and recipes without a pass" {
	pipe plan-tiny-noop RECIPES="$ROOT/recipes" >"$TMP/said"
	grep -q '^no calibration pass$' "$TMP/said"
	pipe -n plan-tiny-sweep RECIPES="$ROOT/recipes" >"$TMP/said"
	[ "$(grep -c -- '--dry-run' "$TMP/said")" -eq 2 ]
	pipe -n plan-tiny-longseq RECIPES="$ROOT/recipes" >"$TMP/said"
	[ "$(grep -c -- '--dry-run' "$TMP/said")" -ge 4 ]
	! grep -E '^(reap-(route|ppl).*>|\./launch)' "$TMP/said"
	[ "$(pipe plan-tiny-costprobe RECIPES="$ROOT/recipes" | tail -n 1)" = "no forward pass" ]
	# A recipe's own evaluation is no part of what another one takes from it.
	pipe -n plan-tiny-extreme RECIPES="$ROOT/recipes" >"$TMP/said"
	! grep '/tiny-keep24/eval.tokens' "$TMP/said" || false
}

@test "plan-TARGET: a sum with passes that are like another, and with some that are not known" {
	pass() {
		printf '%s %s %s\n' tokens "$1" tokens total "$2.125" GFLOP time "$3" s memory "$4" bytes disk "$5" bytes
	}
	{
		pass 1000 2 3.5 700 9
		pass 100 1 0.5 800 1
		echo 'pruned.eval: as base.eval with fewer weights to read'
		echo '6 cells of the grid: for each a pass like pruned.eval'
		echo 'base.eval: when the model has been made'
		echo 'pruned.eval: as base.eval with fewer weights to read'
		echo .
	} | pipelines/sum | tail -n 1 >"$TMP/sum"
	[ "$(cat "$TMP/sum")" = "sum of 9 passes: 1800 tokens, 11.125 GFLOP, 7.5 s, 17 bytes of disk, at most 800\
 bytes of memory; 2 passes to be planned when the model has been made" ]
	# No sum of a plan that broke off.
	[ "$(pass 1 1 1 1 1 | pipelines/sum | tail -n 1)" = "disk 1 bytes" ]
}
