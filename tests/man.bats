#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Every example of a man page that is marked for it runs, and pages, usage texts
# and option tables say the same.
load helpers

# The marked examples of a page, each as one script before a line of dashes.
examples() {
	awk '/^\.\\" test$/ { armed = 1; next }
	     armed && /^\.Bd/ { inside = 1; armed = 0; next }
	     /^\.Ed/ { if (inside) print "-----"; inside = 0 }
	     inside { gsub(/\\e/, "\\"); gsub(/\\&/, ""); gsub(/\\-/, "-"); print }' "$1"
}

# Each example of a page in a fresh $TMP, or with `shared` all in one.
run_examples() {
	local page=$1 shared=${2:-} n=0 script= dir
	while IFS= read -r line; do
		if [ "$line" != ----- ]; then
			script+=$line$'\n'
			continue
		fi
		n=$((n + 1))
		dir=$TMP/${shared:-$n}
		mkdir -p "$dir"
		if ! TMP=$dir bash -euo pipefail -c "$script" >"$TMP/out" 2>"$TMP/err"; then
			echo "$page: example $n fails:"
			echo "$script"
			cat "$TMP/err"
			return 1
		fi
		script=
	done < <(examples "$page")
	[ "$n" -gt 0 ] || { echo "$page: no example is marked for the tests"; return 1; }
}

@test "reap-tokenize(1): examples" { run_examples man/reap-tokenize.1; }
@test "reap-route(1): examples" { run_examples man/reap-route.1; }
@test "reap-accum(1): examples" { run_examples man/reap-accum.1; }
@test "reap-rank(1): examples" { run_examples man/reap-rank.1; }
@test "reap-cut(1): examples" { run_examples man/reap-cut.1; }
@test "reap-rewrite(1): examples" { run_examples man/reap-rewrite.1; }
@test "reap-ppl(1): examples" { run_examples man/reap-ppl.1; }
@test "reap-gate(1): examples" { run_examples man/reap-gate.1; }
@test "reap-recipe(1): examples" { run_examples man/reap-recipe.1; }
@test "reap-recipe(5): examples" { run_examples man/reap-recipe.5; }
@test "reap-show(1): examples" { run_examples man/reap-show.1; }
@test "reap(7): examples" { run_examples man/reap.7; }
@test "reap-criteria(7): examples" { run_examples man/reap-criteria.7; }
@test "reap-tutorial(7): every command" { run_examples man/reap-tutorial.7 shared; }

@test "reap-stream(5) names every record and field, and what each array is" {
	local kind
	reap-tokenize -q -m "$MODEL" --rows --max-len 64 --sample 6 "$PACKS"/*.calib.jsonl >"$TMP/tokens"
	reap-route -q -m "$MODEL" "$TMP/tokens" >"$TMP/trace"
	reap-accum -q "$TMP/trace" >"$TMP/saliency"
	reap-rank "$TMP/saliency" >"$TMP/scores"
	reap-cut --keep-n 24 "$TMP/scores" >"$TMP/plan"
	reap-rewrite -q -m "$MODEL" -o "$TMP/out" --probe "$TMP/plan" >"$TMP/manifest"
	reap-ppl -q -m "$MODEL" "$TMP/tokens" >"$TMP/eval"
	for kind in tokens trace saliency scores plan manifest eval; do
		reap-show "$TMP/$kind" | python3 tests/records.py $kind
	done
}

@test "every tool has a page, and every page of section 1 a tool" {
	diff <({ cd cmd && printf '%s\n' *.c | sed '/_/d; /^tool.c$/d; s/^/reap-/; s/\.c$//' && echo reap-run; } | sort) \
		<(cd man && printf '%s\n' *.1 | sed 's/\.1$//' | sort)
}

@test "usage text and page name the same long options" {
	for page in man/*.1; do
		tool=$(basename "$page" .1)
		PATH=$PATH:$ROOT/pipelines
		"$tool" --help | grep -oE '(^|[ ,[|(])--[a-z0-9-]+' | grep -oE -- '--[a-z0-9-]+' | sort -u >"$TMP/usage"
		sed -n '/^\.Sh SYNOPSIS/,/^\.Sh EXAMPLES/p' "$page" |
			grep -oE '(Fl -|, -|; Fl |Fl [a-zA-Z] , -)[a-z0-9-]+' | grep -oE -- '-[a-z0-9][a-z0-9-]+$' |
			sed 's/^/-/' | sort -u >"$TMP/page"
		if ! missing=$(comm -23 "$TMP/usage" "$TMP/page") || [ -n "$missing" ]; then
			echo "$page does not describe:" $missing
			return 1
		fi
		if ! missing=$(comm -13 "$TMP/usage" "$TMP/page") || [ -n "$missing" ]; then
			echo "$tool --help does not name:" $missing
			return 1
		fi
	done
}
