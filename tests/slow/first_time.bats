#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The path of somebody who comes here for the first time, as the README shows it:
# clone, make demo, look at the report, cut again at another size, judge that.
load ../helpers

@test "clone or tarball, demo, report, another cut, its verdict; more experts, less loss" {
	git clone -q "$ROOT" "$TMP/reap"
	make -s dist
	tar -C "$TMP" -xzf dist/reap-*.tar.gz
	diff -r -x .git "$TMP/reap" "$TMP"/reap-*/
	# They hold the same, so what follows is of both; no git is needed.
	cd "$TMP"/reap-*/
	unset REAP_BIN REAP_BUILD
	make demo >"$TMP/demo.log" 2>&1
	grep -qE '^(PASS|UNDECIDED) ' "$TMP/demo.log"
	jq -e '.rows[] | select(.pack == "UNION") | .d_nll_ci | length == 2' out/tiny-keep24/verdict.json
	[ -f out/tiny-keep24/report.html ]
	(cd out/tiny-keep24/model && sha256sum --quiet -c SHA256SUMS)

	# A second demo runs nothing.
	make demo >"$TMP/again.log" 2>&1
	! grep -qE 'reap-(route|ppl|rewrite) ' "$TMP/again.log" || false

	# The commands with which the README cuts again, word for word.
	sed -n '/^## How it works/,$p' README.md | sed -n '/^```sh$/,/^```$/{//!p}' | grep '^bin/' >"$TMP/again.sh"
	[ "$(grep -c '^bin/reap-' "$TMP/again.sh")" -ge 5 ]
	bash -x "$TMP/again.sh" >"$TMP/verdict" || [ $? -eq 4 ]
	grep -qE '^(PASS|FAIL|UNDECIDED) ' "$TMP/verdict"
	[ "$(jq .num_local_experts pruned20/config.json)" -eq 20 ]

	# Every size, measured.
	make -s -C pipelines tiny-sweep >"$TMP/sweep.log" 2>&1
	for n in 8 12 16 20 24 28; do
		jq -r '.rows[] | select(.pack == "UNION") | .d_nll' "out/tiny-sweep/cells/eaft_sum-keep$n/verdict.json"
	done | sort -rg -c
}
