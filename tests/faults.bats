#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# A share of `make test-faults`, and that it finds what it looks for.
load helpers

# A sanitizer brings its own malloc.
no_sanitizer() {
	[[ "$REAP_BUILD" != *san* && "$REAP_BUILD" != *fuzz* ]] || skip "a sanitizer has its own malloc"
}

@test "a failed call of memory, files or threads: one line, exit 1, nothing left; or no difference" {
	no_sanitizer
	"$ROOT/tests/faults/run" --share 150 >"$TMP/said" || { cat "$TMP/said"; return 1; }
	grep -Eq '^[1-9][0-9]{2,} faults: alloc .*; answered wrongly: 0$' "$TMP/said"
}

@test "what would be a wrong answer is found: silence, another status, another output, a file left" {
	no_sanitizer
	mkdir "$TMP/bin"
	ln -s "$REAP_BIN"/reap-* "$TMP/bin"
	# wrong SCRIPT TEXT: reap-recipe fails in this way.
	wrong() {
		rm -f "$TMP/bin/reap-recipe"
		printf '#!/bin/sh\nreap=%s/reap-recipe\n%s\n' "$REAP_BIN" "$1" >"$TMP/bin/reap-recipe"
		chmod +x "$TMP/bin/reap-recipe"
		REAP_BIN=$TMP/bin run "$ROOT/tests/faults/run" --case recipe --class write --share 20
		[ "$status" -eq 1 ]
		[[ "$output" == *": $2"* ]]
	}
	wrong '$reap "$@" 2>/dev/null' 'not one line of its own'
	wrong '$reap "$@" || exit 3' 'exit 3'
	wrong '$reap "$@" 2>/dev/null || exit 0' 'exit 0, another output'
	wrong '$reap "$@" || { echo >left; exit 1; }' 'left behind: left'
	wrong '$reap "$@" || kill -9 $$' 'killed by signal 9'
}
