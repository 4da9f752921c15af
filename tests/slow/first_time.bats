#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The path of somebody who comes here for the first time, as the README shows it:
# clone, make demo, look at the report, cut again at another size, judge that.
load ../helpers

@test "clone, demo, report, another cut, its verdict" {
	git clone -q "$ROOT" "$TMP/reap"
	cd "$TMP/reap"
	unset REAP_BIN REAP_BUILD
	make demo >"$TMP/demo.log" 2>&1
	grep -qE '^(PASS|FAIL|UNDECIDED) ' "$TMP/demo.log"
	[ -f out/tiny-keep24/report.html ]
	[ -f out/tiny-keep24/model/config.json ]

	# A second demo runs nothing.
	make demo >"$TMP/again.log" 2>&1
	! grep -qE 'reap-(route|ppl|rewrite) ' "$TMP/again.log" || false

	# The commands with which the README cuts again, word for word.
	sed -n '/^## How it works/,$p' README.md | sed -n '/^```sh$/,/^```$/{//!p}' | grep '^bin/' >"$TMP/again.sh"
	[ "$(grep -c '^bin/reap-' "$TMP/again.sh")" -ge 5 ]
	bash -x "$TMP/again.sh" >"$TMP/verdict" || [ $? -eq 4 ]
	grep -qE '^(PASS|FAIL|UNDECIDED) ' "$TMP/verdict"
	[ "$(jq .num_local_experts pruned20/config.json)" -eq 20 ]
}

@test "the tarball builds and passes its own quick tests" {
	make -s dist
	tar -C "$TMP" -xzf dist/reap-*.tar.gz
	cd "$TMP"/reap-*
	make -s -j2 all units >/dev/null
	REAP_BIN=$PWD/bin REAP_BUILD=$PWD/build/rel prove -j2 -e '' build/rel/unit/test_* \
		tests/show.bats tests/recipe.bats tests/tools.bats tests/tokenize.bats
}
