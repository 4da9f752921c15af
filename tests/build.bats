#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The Makefile: what it builds and where, what make installs and takes away again.
load helpers
bats_require_minimum_version 1.5.0

# What the make that runs the tests was told is not meant for these.
unset MAKEFLAGS MFLAGS CC SAN CFLAGS CPPFLAGS LDFLAGS DESTDIR PREFIX

# built TARGET [VARIABLE=...]: make with the tools under test, as they are.
built() {
	make -s -o tools "$@" BIN="$REAP_BIN" B="$REAP_BUILD"
}

@test "make install, use, make uninstall: into a folder of any name, in silence, and nothing is left" {
	local odd="$TMP/a b'c\"\$(touch $TMP/ran)%é;d"
	[ -z "$(built install DESTDIR="${odd//\$/\$\$}" PREFIX=/opt/reap 2>&1)" ]
	[ "$("$odd/opt/reap/bin/reap-show" --version | head -c 9)" = reap-show ]
	[ -f "$odd/opt/reap/share/man/man7/reap.7" ]
	[ -f "$odd/opt/reap/share/reap/recipes/eval-base.yaml" ]
	[ -f "$odd/opt/reap/share/bash-completion/completions/reap-show" ]
	built uninstall DESTDIR="${odd//\$/\$\$}" PREFIX=/opt/reap
	[ -z "$(find "$odd/opt" -mindepth 1)" ]
	built uninstall DESTDIR="${odd//\$/\$\$}" PREFIX=/opt/reap # again: nothing is there
	[ ! -e "$TMP/ran" ]
}

@test "make uninstall leaves what is others', and the bin and share of a system" {
	built install DESTDIR="$TMP" PREFIX=/usr
	echo x >"$TMP/usr/share/man/man1/other.1"
	built uninstall DESTDIR="$TMP" PREFIX=/usr
	(cd "$TMP/usr" && find . | sort) | diff - <(printf '%s\n' . ./share ./share/man ./share/man/man1 ./share/man/man1/other.1)
	make -n uninstall >"$TMP/said"
	grep -q '/usr/local' "$TMP/said"
	run ! grep -E 'rmdir.* -p|in .* bin; do' "$TMP/said"
}

@test "the environment's B, BIN and D are somebody else's; CPPFLAGS are the compiler's" {
	env B=/none BIN=/none D=/none make -n -B all >"$TMP/said"
	grep -q -- '-c -o build/rel/lib/base/err.o lib/base/err.c$' "$TMP/said"
	grep -q -- '-o bin/reap-show ' "$TMP/said"
	run ! grep -q '/none' "$TMP/said"
	make -n -B all CPPFLAGS=-DSOMETHING=1 >"$TMP/said"
	[ "$(grep -c -- ' -c -o ' "$TMP/said")" -eq "$(grep -c -- ' -DSOMETHING=1 .* -c -o ' "$TMP/said")" ]
}

@test "make says where the tools are" {
	[[ $(make -n all) == *"the tools are in bin/"* ]]
	[[ $(make -n all CC=clang) == *"the tools are in build/rel-clang/bin/"* ]]
	[[ $(make -n all SAN=asan) == *"the tools are in build/asan/bin/"* ]]
}

@test "a binary says nothing of the folder that it was built in" {
	run ! grep -lF "$ROOT" "$REAP_BIN"/reap-*
	# Two folders, the same object.
	for d in one two; do
		mkdir "$TMP/$d"
		cp -r Makefile cmd lib "$TMP/$d"
		make -s -C "$TMP/$d" build/rel/cmd/rank.o
	done
	grep -q cmd/rank.c "$TMP/one/build/rel/cmd/rank.o" # there is debug information
	cmp "$TMP/one/build/rel/cmd/rank.o" "$TMP/two/build/rel/cmd/rank.o"
}
