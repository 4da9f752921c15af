#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What an interrupted reap-route or reap-ppl leaves, wherever it was interrupted: the
# resumed stream has the bytes of one that nobody disturbed.
load ../helpers

# blocks COUNT: token blocks of many lengths, as rows.
blocks() {
	jq -nc "range($1) | . as \$b | [2, 7, 33, 64, 65, 130, 300, 1][. % 8] as \$n
		| {input_ids: [range(\$n) | (. * 7919 + \$b * 104729 + 5) % 2017],
			keep_mask: [range(\$n) | if (. * 31 + \$b) % 3 == 0 then 0 else 1 end]}"
}

setup_file() {
	cd "$ROOT" || return 1
	export TOKENS=$BATS_FILE_TMPDIR/tokens SMALL=$BATS_FILE_TMPDIR/small
	blocks 200 >"$BATS_FILE_TMPDIR/many.jsonl"
	blocks 60 >"$BATS_FILE_TMPDIR/some.jsonl"
	reap-tokenize -m "$MODEL" --rows "$BATS_FILE_TMPDIR"/{many,some}.jsonl >"$TOKENS"
	blocks 2 >"$BATS_FILE_TMPDIR/two.jsonl"
	blocks 1 >"$BATS_FILE_TMPDIR/one.jsonl"
	reap-tokenize -m "$MODEL" --rows "$BATS_FILE_TMPDIR"/{two,one}.jsonl >"$SMALL"
}

# How much of it: 1 for all (make test-resume), more for a share that CI has time for.
SHARE=${REAP_RESUME_SHARE:-5}

# every_byte TYPE COMMAND...: resume from every prefix of what the command prints; of a
# share, from those that end within 3 bytes of a record's end, and every SHARE-th other.
every_byte() {
	local type=$1
	shift
	"$@" >"$TMP/whole"
	"$REAP_BUILD/gen/cuts" "$TMP/whole" "$type" |
		awk -v share="$SHARE" '{ for (n = last; n < $1; n++)
				if (n % share == 0 || n - last <= 3 || $1 - n <= 3) print n, had
				last = $1; had = $2 }
			END { print last, had }' |
		resumes "$TMP/whole" "$@"
}

@test "from every byte: a trace" {
	every_byte outcome reap-route --no-history -m "$MODEL" --layers 2-3 "$SMALL"
}

@test "from every byte: an eval, with tokens and without" {
	every_byte tokens reap-ppl --no-history -m "$MODEL" --bins 2x2 "$SMALL"
	every_byte metrics reap-ppl --no-history -m "$MODEL" --bins 2x2 --no-tokens "$SMALL"
}


# killed_until_done COMMAND...: pipelines/task runs the command in a process group
# that is killed at random moments, up to 12 times, and then left in peace.
killed_until_done() {
	local file=$TMP/shards/1of1 kills=0 pid begun ms taken=0
	# Small chunks, so that much is written on the way.
	set -- "$1" --threads 1 --memory "$(least_memory "$@" --threads 1)" "${@:2}"
	begun=$(date +%s%N)
	"$@" >"$TMP/whole"
	ms=$((($(date +%s%N) - begun) / 1000000))
	# Further rounds, and earlier kills, where the machine was faster than it had been.
	for round in $(seq 30); do
		if [ "$round" -gt $((15 / SHARE)) ]; then
			if [ $kills -ge $((15 / SHARE)) ] && [ $taken -ge 1 ]; then
				break
			fi
			ms=$((ms * 2 / 3))
		fi
		rm -rf "$TMP/shards"
		mkdir "$TMP/shards"
		for n in $(seq 13); do
			setsid pipelines/task 1 1 "$TMP/shards" "$@" 2>"$TMP/err" &
			pid=$!
			if [ "$n" -lt 13 ]; then
				sleep "$(awk -v r=$RANDOM -v ms=$ms 'BEGIN { print (0.1 + 0.6 * r / 32768) * ms / 1000 }')"
				kill -9 -- -$pid 2>/dev/null && kills=$((kills + 1))
			fi
			wait $pid 2>/dev/null || true
			[ ! -e "$file.resume" ] || taken=$((taken + 1))
			[ ! -e "$file" ] || break
		done
		cmp "$file" "$TMP/whole" || { cat "$TMP/err"; return 1; }
		[ ! -e "$file.part" ]
		[ ! -e "$file.resume" ]
	done
	echo "# $kills kills in a run of $ms ms, $taken of them with something to resume from" >&3
	# It was really killed at work, and really took over.
	[ $kills -ge $((15 / SHARE)) ]
	[ $taken -ge 1 ]
}

@test "killed at random moments, again and again, until it is done: a trace" {
	killed_until_done reap-route -m "$MODEL" "$TOKENS"
}

@test "killed at random moments, again and again, until it is done: an eval" {
	killed_until_done reap-ppl -m "$MODEL" "$TOKENS"
	killed_until_done reap-ppl -m "$MODEL" --no-tokens "$TOKENS"
}

# A reader that falls behind: the kill comes while the tool waits in write(2), and part
# of what it was writing has gone through.
slowly() {
	perl -e '$| = 1; while (sysread(STDIN, $b, 1 + rand(5000))) { syswrite(STDOUT, $b);
		select(undef, undef, undef, 0.0005) }'
}

killed_in_write() {
	local pid
	"$@" >"$TMP/whole"
	mkfifo "$TMP/pipe"
	for _ in $(seq $((25 / SHARE))); do
		slowly <"$TMP/pipe" >"$TMP/part" &
		reader=$!
		"$@" >"$TMP/pipe" 2>/dev/null &
		pid=$!
		sleep "$(awk -v r=$RANDOM 'BEGIN { print 0.02 + r / 32768 * 0.25 }')"
		kill -9 $pid 2>/dev/null || true
		wait $pid 2>/dev/null || true
		wait $reader
		"$@" --resume "$TMP/part" 2>/dev/null | cmp - "$TMP/whole"
	done
	rm "$TMP/pipe"
}

@test "killed in the middle of a write" {
	killed_in_write reap-route -m "$MODEL" "$TOKENS"
	killed_in_write reap-ppl -m "$MODEL" "$TOKENS"
}
