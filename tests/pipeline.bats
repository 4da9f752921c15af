#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# pipelines/: whole targets on the embedded model, restarted, killed, in shards.
load pipeline

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
	! pipe -n fast | grep '^reap-\|^\./launch' || false
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
		! grep -qxF "$(grep "/fast/$f " "$TMP/before")" "$TMP/after" || false # and not its command
	done
	! cmp -s "$TMP/plan24" "$O/fast/plan" || false
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
		[ "$status" -eq 137 ]
		[ -s "$TMP/file.part" ]
		[ ! -e "$TMP/file" ]
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
	# A command that is missing is named.
	mkdir "$TMP/path"
	ln -s "$(command -v bash)" "$(command -v seq)" "$(command -v rm)" "$(command -v dirname)" "$TMP/path"
	PATH=$TMP/path run pipelines/launch parallel 2 always "$TMP/%" -- true
	[ "$status" -eq 1 ]
	[ "$output" = "reap: LAUNCHER=parallel: parallel is not installed here" ]
	run pipe fast SHARDS=2 LAUNCHER=mule
	[[ "$output" == *"LAUNCHER=mule: local, parallel or slurm"* ]]
}

@test "from published scores: keep 24, 19 and all, of a checkpoint with the shape of 20B's layers" {
	local m=$TMP/models/openai/gpt-oss-20b
	mkdir -p "$TMP/models/openai"
	"$REAP_BUILD/gen/random_checkpoint" --layers 24 --experts 32 --hidden 64 --inter 32 --heads 2 \
		--kv-heads 1 --head-dim 32 --vocab 256 "$m"
	# What real checkpoints have, and what a pruned one would have.
	for f in README.md SHA256SUMS verdict.md LICENSE; do
		echo "the $f of the source" >"$m/$f"
	done
	R=$ROOT/recipes
	pipe 20b-keep24-from-snapshot >/dev/null
	(cd "$O/20b-keep24-from-snapshot/model" && sha256sum --quiet --strict -c SHA256SUMS)
	[ "$(find "$O/20b-keep24-from-snapshot/model" -type f ! -name SHA256SUMS -printf '%f\n' | LC_ALL=C sort)" = \
		"$(sed 's/^[^ ]*  //' "$O/20b-keep24-from-snapshot/model/SHA256SUMS" | LC_ALL=C sort)" ]
	[ -e "$O/20b-keep24-from-snapshot/model/LICENSE" ]
	[ ! -e "$O/20b-keep24-from-snapshot/model/verdict.md" ]
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
	[ -e "$O/fast/calib.trace" ]
	[ ! -e "$O/other/calib.trace" ]
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
