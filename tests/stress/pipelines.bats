#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# pipelines/ under random kills and edits, and the shipped recipes that share work.
load ../pipeline

# What is random comes from the seed: REAP_SEED=N repeats the delays and the kills.  Every
# run has a log; a round that fails shows those of the round.
setup_file() {
	export SEED=${REAP_SEED:-$$}
	echo "# REAP_SEED=$SEED" >&3
}

# At most N milliseconds, as seconds, in REPLY.  A subshell has a RANDOM of its own.
delay() {
	local ms=$((RANDOM % $1))
	printf -v REPLY '%d.%03d' $((ms / 1000)) $((ms % 1000))
}

# killed LOG TARGET: in a session of its own that is killed after a while, whole or only
# its head; in the background.
killed() {
	local how=$((RANDOM % 4))
	delay 4000
	(
		setsid "$ROOT/pipelines/reap-run" "$2" RECIPES="$R" OUT="$O" THREADS=1 >"$1" 2>&1 &
		sleep "$REPLY"
		case $how in
		0 | 1) pkill -KILL -s $! ;;
		2) kill -KILL $! ;;
		3) kill -TERM $! ;;
		esac
		wait $!
		echo "after $REPLY s, $how: status $?" >>"$1"
	) 2>/dev/null 3>&- &
}

# keeps FILE N: the recipe as what keeps N experts, edited as an editor does it.
keeps() {
	sed '/^model:/d' "$R/$1.yaml" >"$TMP/edited"
	echo "model: {keep_n: $2}" >>"$TMP/edited"
	mv "$TMP/edited" "$R/$1.yaml"
}

# good TARGET N: what an undisturbed run makes, for `right`.
good() {
	keeps "$1" "$2"
	pipe "$1" OUT="$TMP/undisturbed" >/dev/null 2>&1
	mkdir -p "$TMP/good"
	cp -r "$TMP/undisturbed/$1" "$TMP/good/$1-$2"
}

# right TARGET N: after whatever happened, the target's model and verdict are those of the
# recipe.
right() {
	local d=$O/$1 want=$TMP/good/$1-$2 f
	pipe "$1" >"$TMP/said" 2>&1 || { wrong "status $?"; return 1; }
	[ "$(jq .num_local_experts "$d/model/config.json")" -eq "$2" ] || { wrong "experts"; return 1; }
	(cd "$d/model" && sha256sum --quiet -c SHA256SUMS) || { wrong "SHA256SUMS"; return 1; }
	cmp "$d/model/reap-recipe.yaml" <(reap-recipe "$R/$1.yaml") || { wrong "recipe"; return 1; }
	for f in "$want"/model/*.safetensors; do
		cmp "$d/model/${f##*/}" "$f" || { wrong "weights"; return 1; }
	done
	for f in base pruned; do
		cmp <(reap-show "$d/$f.eval" | tail -n +2) <(reap-show "$want/$f.eval" | tail -n +2) || { wrong "$f.eval"; return 1; }
	done
}

# wrong WHAT: with all that is known of it.
wrong() {
	echo "round $round: $1"
	tail -n +1 "$TMP/said" "$TMP"/log.*
	find "$O" -ls
}

# rounds FUNCTION: 20 of it, on an OUT that is empty every fifth time.
rounds() {
	RANDOM=$SEED
	for round in $(seq 20); do
		[ $((round % 5)) -ne 1 ] || rm -rf "$O"
		rm -f "$TMP"/log.*
		"$1" || return 1
	done
}

two_of_one() {
	killed "$TMP/log.1" fast
	delay 1000
	sleep "$REPLY"
	killed "$TMP/log.2" fast
	wait
	right fast 24
}

@test "20 times: two runs of one target, killed" {
	good fast 24
	rounds two_of_one
}

two_that_share() {
	killed "$TMP/log.1" fast
	delay 1000
	sleep "$REPLY"
	killed "$TMP/log.2" other
	wait
	right fast 24 && right other 20
}

@test "20 times: two targets that share stages, killed" {
	printf '%s\n' 'extends: fast.yaml' 'target: other' >"$R/other.yaml"
	good fast 24
	good other 20
	rounds two_that_share
}

edited_meanwhile() {
	killed "$TMP/log.1" fast
	killed "$TMP/log.2" fast
	killed "$TMP/log.3" other
	delay 1500
	sleep "$REPLY"
	n=$((n == 24 ? 28 : 24))
	keeps fast $n
	wait
	# The other one extends fast.yaml, whose keep_n it replaces.
	right fast $n && right other 20
}

@test "20 times: a recipe edited while two runs of it and one of another are killed" {
	printf '%s\n' 'extends: fast.yaml' 'target: other' >"$R/other.yaml"
	good fast 28
	good other 20
	good fast 24
	n=24
	rounds edited_meanwhile
}

@test "weights exchanged before, during or after any stage of an evaluated target: refused, or harmless" {
	undrawn
	mkdir -p "$TMP/models/mine" "$TMP/good"
	echo 'model: {base_model_id: mine/m}' >>"$R/fast.yaml"
	echo 'pair: {left: {model_id: mine/m}}' >>"$R/fast-eval.yaml"
	for m in model model-plain; do
		exchange $m
		pipe fast OUT="$TMP/good/$m" >/dev/null 2>&1
	done
	plain=$(reap-show --id tests/fixtures/model-plain | cut -c 1-64)
	refused=0
	for at in tokenize route accum rank cut rewrite ppl gate; do
		for when in before during after; do
			rm -rf "$O" "$TMP/bin"
			mkdir "$TMP/bin"
			ln -s "$REAP_BIN"/reap-* "$TMP/bin"
			rm "$TMP/bin/reap-$at"
			cat >"$TMP/bin/reap-$at" <<-END
				#!/bin/bash
				swap() {
					rm -rf "\$TMP/models/mine/m"
					cp -r "\$ROOT/tests/fixtures/model-plain" "\$TMP/models/mine/m"
				}
				case " \$* " in *" --version "* | *" --check "* | *" --dry-run "*) exec "\$REAP_BIN/reap-$at" "\$@" ;; esac
				[ $when != before ] || swap
				status=0
				"\$REAP_BIN/reap-$at" "\$@" <&0 &
				if [ $when = during ]; then
					# While it has the model open, unless it is none of those that open it.
					until ls -l /proc/\$!/fd 2>/dev/null | grep -q "\$TMP/models/mine/m/" || ! kill -0 \$! 2>/dev/null; do :; done
					kill -STOP \$! 2>/dev/null
					swap
					kill -CONT \$! 2>/dev/null
				fi
				wait \$! || status=\$?
				[ $when != after ] || swap
				exit \$status
			END
			chmod +x "$TMP/bin/reap-$at"
			exchange model
			if pipe fast BIN="$TMP/bin" >"$TMP/said" 2>&1; then
				# All of one model: the one or the other.
				same=''
				for m in model model-plain; do
					cmp -s "$O/fast/model/model-00001-of-00002.safetensors" "$TMP/good/$m/fast/model/model-00001-of-00002.safetensors" &&
						cmp -s <(reap-show "$O/fast/base.eval" | tail -n +2) <(reap-show "$TMP/good/$m/fast/base.eval" | tail -n +2) && same=$m
				done
				[ -n "$same" ] || { echo "$at $when"; cat "$TMP/said"; return 1; }
			else
				refused=$((refused + 1))
			fi
			# It was exchanged, and what is left does no harm.
			[ "$(reap-show --id "$TMP/models/mine/m" | cut -c 1-64)" = "$plain" ] || { echo "$at $when: never exchanged"; return 1; }
			pipe fast >"$TMP/again" 2>&1 || { echo "$at $when: status $?"; cat "$TMP/said" "$TMP/again"; return 1; }
			cmp "$O/fast/model/model-00001-of-00002.safetensors" "$TMP/good/model-plain/fast/model/model-00001-of-00002.safetensors"
			cmp <(reap-show "$O/fast/base.eval" | tail -n +2) <(reap-show "$TMP/good/model-plain/fast/base.eval" | tail -n +2)
		done
	done
	echo "# $refused of 24 exchanges refused, the others harmless" >&3
	[ $refused -ge 6 ]
}
