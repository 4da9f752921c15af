# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# Words from a tool.

# words_of ARRAY COMMAND...: the words that a command prints, a NUL behind each; exit 1 when
# it fails.  The last word says that the command went well: `wait` forgets, now and then, how such
# a process ended (bash 5.2).
words_of() {
	local -n into=$1
	mapfile -d '' -t into < <("${@:2}" && printf 'whole\0')
	[ "${into[*]: -1}" = whole ] || exit 1
	unset 'into[-1]'
}
