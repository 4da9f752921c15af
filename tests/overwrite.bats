#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# No tool overwrites what it reads, or one of its outputs with another, under any name.
load helpers

gen() { "$REAP_BUILD/gen/trace" 2 8 2 12 3; }

# keeps FILE COMMAND...: with standard output at the end of FILE, which the command reads
# under its own name, by a symbolic link and by a hard link, it exits 2 and FILE stays.
keeps() {
	local file=$1 name status
	shift
	ln -sf "$file" "$file.symlink"
	ln -f "$file" "$file.hardlink"
	cp "$file" "$TMP/kept"
	for name in "$file" "$file.symlink" "$file.hardlink"; do
		status=0
		"${@//FILE/$name}" >>"$file" 2>"$TMP/err" || status=$?
		if [ "$status" -ne 2 ] || ! cmp "$file" "$TMP/kept" ||
			! grep -q "standard output: would be written, but is the same file as .*$(basename "$name"), which is read" "$TMP/err"; then
			echo "exit $status: ${*//FILE/$name}"
			cat "$TMP/err"
			return 1
		fi
	done
}

@test "an input that the shell has emptied is said to be" {
	gen >"$TMP/trace"
	cp "$TMP/trace" "$TMP/part"
	status=0
	reap-accum "$TMP/part" >"$TMP/part" 2>"$TMP/err" || status=$?
	[ "$status" -eq 2 ]
	[ "$(head -n 1 "$TMP/err")" = "reap-accum: standard output: would be written, but is the same file as $TMP/part, which is read (the shell has emptied it)" ]
	status=0
	reap-accum "$TMP/trace" >>"$TMP/trace" 2>"$TMP/err" || status=$?
	[ "$status" -eq 2 ]
	run grep -c emptied "$TMP/err"
	[ "$output" = 0 ]
}

@test "standard output is no input, whatever its name" {
	gen >"$TMP/trace"
	keeps "$TMP/trace" reap-accum FILE
	keeps "$TMP/trace" reap-show FILE
	reap-accum -q "$TMP/trace" >"$TMP/saliency"
	keeps "$TMP/saliency" reap-accum --merge FILE
	keeps "$TMP/saliency" reap-rank FILE
	keeps "$TMP/saliency" reap-rank --yaml FILE
	reap-rank "$TMP/saliency" >"$TMP/scores"
	keeps "$TMP/scores" reap-cut --keep-n 4 FILE
	keeps "$TMP/scores" reap-cut --sweep FILE
	reap-cut --keep-n 4 "$TMP/scores" >"$TMP/plan"
	cp "$TMP/plan" "$TMP/plan.copy"
	keeps "$TMP/plan" reap-cut --compare FILE "$TMP/plan.copy"
	keeps "$TMP/plan" reap-rewrite -m "$MODEL" -o "$TMP/out" FILE
	keeps "$TMP/plan" reap-rewrite -m "$MODEL" -o "$TMP/out" --recipe FILE --first 24
	keeps "$TMP/plan" reap-rewrite -m "$MODEL" -o "$TMP/out" --scores FILE "$TMP/trace"
	cp "$PACKS/calib_prompt.eval.jsonl" "$TMP/rows"
	keeps "$TMP/rows" reap-tokenize -m "$MODEL" --rows FILE
	cp "$MODEL/tokenizer.json" "$TMP/tokenizer"
	keeps "$TMP/tokenizer" reap-tokenize -t FILE --rows "$TMP/rows"
	for beside in tokenizer_config.json chat_template.jinja; do
		cp "$MODEL/tokenizer_config.json" "$TMP/$beside"
		run bash -c "reap-tokenize -t '$TMP/tokenizer' --rows '$TMP/rows' >>'$TMP/$beside'"
		[ "$status" -eq 2 ]
		cmp "$MODEL/tokenizer_config.json" "$TMP/$beside"
		rm "$TMP/$beside"
	done
	reap-tokenize -m "$MODEL" --rows --sample 2 "$TMP/rows" >"$TMP/tokens"
	keeps "$TMP/tokenizer" reap-show --text FILE "$TMP/tokens"
	keeps "$TMP/tokens" reap-route -m "$MODEL" FILE
	keeps "$TMP/tokens" reap-ppl -m "$MODEL" FILE
	cp "$TMP/tokens" "$TMP/tokens.copy"
	keeps "$TMP/tokens" reap-route -m "$MODEL" --resume FILE "$TMP/tokens.copy"
	"$REAP_BUILD/gen/make_eval" >"$TMP/eval"
	keeps "$TMP/eval" reap-ppl --merge FILE
	cp "$TMP/eval" "$TMP/eval.copy"
	keeps "$TMP/eval" reap-gate --gates recipes/near_lossless_gates.json FILE "$TMP/eval.copy"
	cp recipes/near_lossless_gates.json "$TMP/gates"
	keeps "$TMP/gates" reap-gate --gates FILE "$TMP/eval" "$TMP/eval"
	cp recipes/tiny-keep24.yaml "$TMP/recipe"
	keeps "$TMP/recipe" reap-recipe FILE
	printf 'extends: recipe\nname: mine\n' >"$TMP/mine"
	run bash -c "reap-recipe '$TMP/mine' >>'$TMP/recipe'"
	[ "$status" -eq 2 ]
}

@test "standard output is no file of the model, and not standard input" {
	local tool
	cp -r "$MODEL" "$TMP/m"
	chmod -R u+w "$TMP/m"
	reap-tokenize -m "$MODEL" --rows --sample 2 "$PACKS/calib_prompt.eval.jsonl" >"$TMP/tokens"
	for tool in "reap-route -m $TMP/m $TMP/tokens" "reap-ppl -m $TMP/m $TMP/tokens" \
		"reap-show --id $TMP/m" "reap-show --check $TMP/m" "reap-show --text $TMP/m $TMP/tokens" \
		"reap-rewrite -m $TMP/m -o $TMP/out --first 24" "reap-tokenize -m $TMP/m --rows $PACKS/calib_prompt.eval.jsonl"; do
		run bash -c "$tool >>'$TMP/m/config.json'"
		[ "$status" -eq 2 ]
		[[ "$output" == *"$TMP/m/config.json, which is read"* ]]
		cmp "$TMP/m/config.json" "$MODEL/config.json"
	done
	"$REAP_BUILD/gen/make_eval" >"$TMP/eval"
	for tool in "reap-report -m $TMP/m" "reap-report --source $TMP/m -m $MODEL" \
		"reap-gate --tokens $TMP/tokens -t $TMP/m $TMP/eval $TMP/eval"; do
		run bash -c "$tool >>'$TMP/m/config.json'"
		[ "$status" -eq 2 ]
		[[ "$output" == *"$TMP/m/config.json, which is read"* ]]
		cmp "$TMP/m/config.json" "$MODEL/config.json"
	done
	# A new file is none of the model, but reap-rewrite would copy it.
	run bash -c "reap-rewrite -q -m '$TMP/m' -o '$TMP/out' --first 24 >'$TMP/m/manifest'"
	[ "$status" -eq 2 ]
	[[ "$output" == *"$TMP/m/manifest, which is read"* ]]
	[ ! -e "$TMP/out" ]
	rm "$TMP/m/manifest"
	(cd "$TMP/m" && reap-report -m . >report.json && [ -s report.json ] && rm report.json)
	mkdir "$TMP/m/additional_chat_templates"
	echo old >"$TMP/m/additional_chat_templates/tool_use.jinja"
	for tool in "-m $TMP/m" "-t $TMP/m/tokenizer.json"; do
		run bash -c "reap-tokenize $tool --rows '$PACKS/calib_prompt.eval.jsonl' >>'$TMP/m/additional_chat_templates/tool_use.jinja'"
		[ "$status" -eq 2 ]
		[ "$(cat "$TMP/m/additional_chat_templates/tool_use.jinja")" = old ]
	done
	gen >"$TMP/trace"
	cp "$TMP/trace" "$TMP/kept"
	run bash -c "reap-accum <'$TMP/trace' >>'$TMP/trace'"
	[ "$status" -eq 2 ]
	cmp "$TMP/trace" "$TMP/kept"
}

@test "reap-report: standard output is none of its many inputs" {
	for input in verdict base pruned recipe tokens calibration plan scores saliency half cut cut.verdict; do
		echo "$input" >"$TMP/$input"
	done
	cd "$TMP"
	for input in verdict base pruned recipe tokens calibration plan scores saliency half cut cut.verdict; do
		run bash -c "reap-report --recipe recipe --tokens tokens --calibration calibration --plan plan --scores scores --saliency saliency \
			--half saliency --half half --cut cut --cut-verdict cut.verdict verdict base pruned >>$input"
		[ "$status" -eq 2 ]
		[[ "$output" == *"standard output: would be written, but is the same file as $input, which is read"* ]]
		[ "$(cat "$input")" = "$input" ]
	done
}

@test "reap-gate: a model that is the tokenizer, by its directory or by its name, keeps its files" {
	"$REAP_BUILD/gen/make_eval" >"$TMP/eval"
	reap-tokenize -m "$MODEL" --rows --sample 2 "$PACKS/calib_prompt.eval.jsonl" >"$TMP/tokens"
	export HF_HUB_CACHE=$TMP/hub
	repo=$HF_HUB_CACHE/models--org--name
	mkdir -p "$repo/snapshots/one" "$repo/blobs"
	for file in "$MODEL"/*.json; do
		cp "$file" "$repo/blobs"
		ln -s "../../blobs/${file##*/}" "$repo/snapshots/one"
	done
	for tokenizer in org/name "$repo" "$repo/snapshots/one"; do
		for file in tokenizer.json config.json; do
			for report in --markdown -j; do
				for name in "$repo/snapshots/one/$file" "$repo/blobs/$file"; do
					fails 2 "$name: would be written, but is the same file as $repo/snapshots/one/$file, which is read" \
						reap-gate --gates recipes/near_lossless_gates.json --tokens "$TMP/tokens" -t "$tokenizer" "$report" "$name" \
						"$TMP/eval" "$TMP/eval"
					[ -L "$repo/snapshots/one/$file" ]
					cmp "$repo/blobs/$file" "$MODEL/$file"
				done
			done
		done
	done
	rm "$repo/snapshots/one/tokenizer.json"
	mkfifo "$repo/snapshots/one/tokenizer.json"
	for tool in "reap-gate --tokens $TMP/tokens -t org/name $TMP/eval $TMP/eval" "reap-show --text org/name $TMP/tokens"; do
		# shellcheck disable=SC2086 # words
		fails 1 "tokenizer.json: not a regular file" timeout 10 $tool
	done
	cp "$MODEL/tokenizer.json" "$TMP/tokenizer.json"
	mkfifo "$TMP/tokenizer_config.json"
	fails 1 "tokenizer_config.json: not a regular file" timeout 10 reap-tokenize -t "$TMP/tokenizer.json" --seq-len 64 \
		"$PACKS/calib_prompt.eval.jsonl"
}

@test "reap-gate: reports go neither over an input nor over each other" {
	"$REAP_BUILD/gen/make_eval" >"$TMP/eval"
	cp "$TMP/eval" "$TMP/kept"
	ln -s eval "$TMP/symlink"
	ln "$TMP/eval" "$TMP/hardlink"
	mkdir "$TMP/d"
	gate() { reap-gate --gates recipes/near_lossless_gates.json "$@" "$TMP/eval" "$TMP/eval"; }
	for name in eval symlink hardlink d/../eval; do
		fails 2 "$TMP/$name: would be written, but is the same file as $TMP/eval, which is read" gate --markdown "$TMP/$name"
		fails 2 "$TMP/$name: would be written, but is the same file as $TMP/eval, which is read" gate -j "$TMP/$name"
		cmp "$TMP/eval" "$TMP/kept"
	done
	fails 2 "$TMP/d/../r: is the same file as $TMP/r, and both would be written" gate --markdown "$TMP/r" -j "$TMP/d/../r"
	[ ! -e "$TMP/r" ]
	echo old >"$TMP/r"
	ln -s r "$TMP/also"
	fails 2 "$TMP/also: is the same file as $TMP/r, and both would be written" gate --markdown "$TMP/r" -j "$TMP/also"
	run bash -c "reap-gate --gates recipes/near_lossless_gates.json --markdown '$TMP/r' '$TMP/eval' '$TMP/eval' >>'$TMP/r'"
	[ "$status" -eq 2 ]
	[ "$(cat "$TMP/r")" = old ]
	fails 2 "only one of them can be standard output" gate --markdown - -j -
	run gate --markdown "$TMP/m" -j "$TMP/j"
	[ -s "$TMP/m" ]
	[ -s "$TMP/j" ]
}
