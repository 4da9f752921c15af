# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# Words: to people, to files and from tools.

say() {
	printf 'reap: %s\n' "$*" >&2
}

fail() {
	say "$@"
	exit 1
}

# put FORMAT WORD...: printf.  Where it cannot write, one line says so, and bash adds none.
put() {
	local why pid=$BASHPID
	printf "$@" 2>/dev/null && return
	{ why=$(printf "$@" 2>&1 >&3) || true; } 3>&1
	fail "$(readlink "/proc/$pid/fd/1"): ${why##*: }"
}

# quoted WORD...: as one would type them, where DRAFT is for what a run has in OUT/recipes.
quoted() {
	local word out=''
	for word; do
		[ -z "$DRAFT" ] || word=${word//"$DRAFT"/"$OUT/recipes"}
		[[ $word =~ ^[A-Za-z0-9_./:=,+@%-]+$ ]] || printf -v word '%q' "$word"
		out+="$word "
	done
	REPLY=${out% }
}

# words_of ARRAY COMMAND...: the words that a command prints, a NUL behind each; exit 1 when
# it fails.  The last word says that the command went well: `wait` forgets, now and then, how such
# a process ended (bash 5.2).
words_of() {
	local -n into=$1
	mapfile -d '' -t into < <("${@:2}" && printf 'whole\0')
	[ "${into[*]: -1}" = whole ] || exit 1
	unset 'into[-1]'
}
