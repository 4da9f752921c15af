# SPDX-License-Identifier: MIT
bats_require_minimum_version 1.5.0
# What the tests of whole targets share.
load "$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/helpers"

# Recipes that extend the shipped ones with budgets for a test's patience.
setup() {
	export TMP=$BATS_TEST_TMPDIR
	export REAP_RECIPES=$ROOT/recipes
	R=$TMP/recipes O=$TMP/out
	mkdir "$R"
	cat >"$R/fast.yaml" <<-END
		extends: tiny-keep24.yaml # a shipped one
		schema_version: 1
		kind: reap_recipe
		name: fast
		target: fast
		profiling_data: {sampling: {num_rows: 45}, max_seq_length: 256}
		evaluation: {with: fast-eval.yaml}
	END
	cat >"$R/fast-eval.yaml" <<-END
		extends: eval-tiny_keep24.yaml
		schema_version: 1
		kind: eval_recipe
		name: fast_eval
		collector_overrides: {seq_lens_csv: "256", num_blocks: 3}
	END
	# For an installed reap-run, which has no model of its own.
	if [ -n "${REAP_RUN:-}" ]; then
		mkdir -p "$TMP/models/tests" "$TMP/packs/tests"
		ln -s "$ROOT/tests/fixtures" "$TMP/models/tests/fixtures"
		ln -s "$ROOT/tests/fixtures" "$TMP/packs/tests/fixtures"
	fi
}

# pipe [-n] TARGET [VARIABLE=...]: quiet, with the test's recipes; by make, or by the
# installed reap-run that REAP_RUN names.
pipe() {
	if [ -n "${REAP_RUN:-}" ]; then
		"$REAP_RUN" -q RECIPES="$R" OUT="$O" MODELS="$TMP/models" PACKS="$TMP/packs" THREADS=1 "$@"
	else
		make -s -C pipelines RECIPES="$R" OUT="$O" MODELS="$TMP/models" PACKS="$TMP/packs" THREADS=1 "$@"
	fi
}

# stored: put into OUT, under no target yet, what a run of fast makes, for tests that are about
# something else.  It is made once for each file of tests.
stored() {
	undrawn
	[ -e "$BATS_FILE_TMPDIR/fast" ] || pipe fast OUT="$BATS_FILE_TMPDIR" >/dev/null 2>&1
	mkdir -p "$O"
	cp -r "$BATS_FILE_TMPDIR/.cache" "$O"
}

# It failed; make exits with 2 whatever failed.
failed() {
	[ "$status" -ne 0 ] || { echo "$output"; return 1; }
}

# Everything that people look at below a folder, with its time.
state() {
	find "$1" -name '.*' -prune -o -type f -printf '%p %T@\n' | sort
}

# counted: tools in $TMP/bin that write down, in $TMP/runs, that they ran.
counted() {
	local tool
	mkdir "$TMP/bin"
	for tool in "$REAP_BIN"/reap-*; do
		cat >"$TMP/bin/${tool##*/}" <<-END
			#!/bin/bash
			[[ " --version --id --merge --dry-run " == *" \$1 "* ]] || [ "\${!#}" = --version ] || echo "${tool##*/} \$*" >>"\$TMP/runs"
			exec "\$REAP_BIN/${tool##*/}" "\$@"
		END
	done
	chmod +x "$TMP"/bin/*
	: >"$TMP/runs"
}

# exchange NAME: the embedded model NAME takes the place of models/mine/m.
exchange() {
	rm -rf "$TMP/models/mine/m"
	cp -r "tests/fixtures/$1" "$TMP/models/mine/m"
}
