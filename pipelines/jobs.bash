# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# Processes and locks.

# shellcheck source=words.bash
. "$here/words.bash"

# Nothing ends without a word.
set -E
trap '[ "$BASH_SUBSHELL" -gt 0 ] || say "${BASH_SOURCE[0]##*/}: line $LINENO: ${BASH_COMMAND%%$'"'\\n'"'*}: status $?"' ERR

# attend COMMAND...: run it in a process group of its own, which ends when this script
# is told to end.
CHILD=''
attend() {
	local status=0
	set -m
	"$@" </dev/null &
	CHILD=$!
	set +m
	wait "$CHILD" || status=$?
	CHILD=''
	return $status
}

stop() {
	trap '' INT TERM HUP
	if [ -n "$CHILD" ]; then
		# GNU parallel lets its jobs finish when it is asked only once.
		kill -TERM -- "-$CHILD" 2>/dev/null || true
		sleep 0.2
		kill -TERM -- "-$CHILD" 2>/dev/null || true
		wait "$CHILD" 2>/dev/null || true
	fi
	say "stopped: the same command goes on from here"
	exit $((128 + $1))
}
trap 'stop 1' HUP
trap 'stop 2' INT
trap 'stop 15' TERM

# open_lock FILE: its descriptor, in REPLY.
open_lock() {
	local why
	{ exec {REPLY}>>"$1"; } 2>/dev/null && return
	why=$({ : >>"$1"; } 2>&1) || true
	fail "$1: cannot be written: ${why##*: }"
}

# hold FILE WHAT: until the descriptor in REPLY is closed, here and in all that was
# started meanwhile, nobody else holds FILE.
hold() {
	local fd status=0
	open_lock "$1"
	fd=$REPLY
	flock -n "$fd" || status=$?
	if [ "$status" -eq 1 ]; then
		say "$2 is in use by $(<"$1"): waiting"
		attend flock "$fd"
	elif [ "$status" -ne 0 ]; then
		say "$2: this file system has no locks: two runs at the same time would disturb each other"
	fi
	put 'process %d on %s since %(%F %T)T\n' $$ "$HOSTNAME" -1 >"$1"
	REPLY=$fd
}

# folder DIR: make it.
folder() {
	local why
	[ ! -d "$1" ] || return 0
	why=$(mkdir -p -- "$1" 2>&1) || fail "$1: cannot be made: ${why##*: }"
}
