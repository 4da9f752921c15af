# SPDX-License-Identifier: MIT
# What the tests of whole targets share.
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
