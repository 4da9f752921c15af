#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What holds for every tool alike.
load helpers

@test "every tool: help, version, wrong usage, a full disk" {
	for tool in "$REAP_BIN"/reap-*; do
		standard_options "$(basename "$tool")" || { echo "$tool"; return 1; }
	done
}

@test "every tool: an input that is not there is exit 1, an unknown option exit 2" {
	for tool in accum rank "cut --keep-n 24" show; do
		# shellcheck disable=SC2086
		fails 1 "No such file" reap-$tool "$TMP/none"
	done
	for tool in route ppl; do
		fails 1 "No such file" "reap-$tool" -m "$MODEL" "$TMP/none"
	done
	fails 1 "No such file" reap-rewrite -m "$MODEL" -o "$TMP/t" "$TMP/none"
	[ ! -e "$TMP/t" ]
}

@test "every filter: empty input, foreign input and the wrong kind are exit 3" {
	echo '{"t":"x"}' | reap-show --encode manifest >"$TMP/manifest"
	printf 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n' >"$TMP/pointer"
	printf '\n<!DOCTYPE html>\n<html><body>401</body></html>\n' >"$TMP/page"
	for cmd in "reap-accum" "reap-accum --merge" "reap-rank" "reap-cut --keep-n 24" "reap-route -m $MODEL" \
		"reap-ppl -m $MODEL" "reap-rewrite -m $MODEL -o $TMP/t"; do
		# shellcheck disable=SC2086
		fails 3 "standard input" $cmd </dev/null
		# shellcheck disable=SC2086
		fails 3 "standard input" $cmd <LICENSE
		# shellcheck disable=SC2086
		fails 3 "kind manifest" $cmd <"$TMP/manifest"
		# shellcheck disable=SC2086
		fails 3 "standard input: is a Git LFS pointer, not the file" $cmd <"$TMP/pointer"
		# shellcheck disable=SC2086
		fails 3 "$TMP/page: is a web page, not the file" $cmd "$TMP/page"
	done
	[ ! -e "$TMP/t" ]
}

@test "a message is one line without control characters, whatever a file is called" {
	name=$'a\nb\e[31m'
	ln -s "$PACKS/calib_prompt.eval.jsonl" "$TMP/$name.jsonl"
	reap-tokenize -m "$MODEL" -l 64 --blocks 4 "$TMP/$name.jsonl" 2>"$TMP/said" >/dev/null
	grep -F 'pack a?b?[31m: ' "$TMP/said"
	[ -z "$(grep -v '^reap-tokenize: ' "$TMP/said")" ]
	fails 2 "no type 'a?b?[31m'" reap-show -t "$name" /dev/null
}

@test "no stream goes to a terminal" {
	command -v script >/dev/null || skip "script(1) is not installed"
	for cmd in "reap-accum" "reap-rank" "reap-cut --keep-n 24" "reap-route -m $MODEL"; do
		run script -qec "$cmd </dev/null" /dev/null
		[ "$status" -eq 2 ] || { echo "$cmd: $status"; return 1; }
		[[ "$output" == *terminal* ]]
	done
}

# confined CPUS BYTES COMMAND...: run the command in a control group of its own; skip where
# none can be made.
confined() {
	local cpus=$1 bytes=$2 tree=/sys/fs/cgroup name=reap-test-$BASHPID c m
	shift 2
	[ "$(id -u)" -eq 0 ] || skip "only root may make control groups"
	if [ -e $tree/cgroup.controllers ]; then
		c=$tree/$name m=$c
		mkdir "$c" && echo "$((cpus * 100000)) 100000" >"$c/cpu.max" && echo "$bytes" >"$m/memory.max"
	else
		c=$tree/cpu/$name m=$tree/memory/$name
		mkdir "$c" "$m" && echo $((cpus * 100000)) >"$c/cpu.cfs_quota_us" &&
			echo "$bytes" >"$m/memory.limit_in_bytes"
	fi 2>/dev/null || { rmdir "$c" "$m" 2>/dev/null || true; skip "control groups cannot be made here"; }
	(
		for group in "$c" "$m"; do
			echo $BASHPID >"$group/cgroup.procs"
		done
		exec "$@"
	)
	rmdir "$c" && { [ "$c" = "$m" ] || rmdir "$m"; }
}

@test "threads and memory: what a control group leaves; -v tells what decided, options win" {
	reap-tokenize -q -m "$MODEL" -l 16 --blocks 2 --keep all "$PACKS/calib_prompt.eval.jsonl" >"$TMP/tokens"
	confined 1 $((600 << 20)) reap-route -v --dry-run --json -m "$MODEL" "$TMP/tokens" 2>"$TMP/said" >"$TMP/plan"
	grep -q "^reap-route: threads: 1, as many as " "$TMP/said"
	grep -q "^reap-route: memory: 300 MiB, half of the 600 MiB that /.*/memory\..* allows$" "$TMP/said"
	[ "$(jq .memory "$TMP/plan")" -le $((300 << 20)) ]
	confined 1 $((600 << 20)) reap-route -v --threads 2 --memory 1G --dry-run -m "$MODEL" "$TMP/tokens" 2>"$TMP/said" >/dev/null
	[ ! -s "$TMP/said" ]
}

@test "every tool on a stack of 128 KiB, threads too" {
	[[ "$REAP_BUILD" != *san* && "$REAP_BUILD" != *fuzz* ]] || skip "frames are larger under a sanitizer"
	ulimit -s 128
	reap-tokenize -q -m "$MODEL" --rows --max-len 64 --sample 6 "$PACKS"/*.calib.jsonl >"$TMP/calib"
	reap-tokenize -q -m "$MODEL" -l 128 --blocks 8 --union UNION "$PACKS"/*.eval.jsonl >"$TMP/tokens"
	reap-route -q -m "$MODEL" --threads 4 "$TMP/calib" >"$TMP/trace"
	reap-accum -q --by-pack "$TMP/trace" >"$TMP/saliency"
	reap-rank "$TMP/saliency" >"$TMP/scores"
	reap-rank --yaml "$TMP/saliency" >"$TMP/yaml"
	reap-cut --sweep "$TMP/yaml" >"$TMP/sweep"
	reap-cut --keep-n 24 --core-pos 2 --core-count 2 "$TMP/scores" >"$TMP/plan"
	reap-rewrite -q -m "$MODEL" -o "$TMP/pruned" --verify --scores "$TMP/yaml" "$TMP/plan" >"$TMP/manifest"
	for m in "$MODEL" "$TMP/pruned"; do
		reap-ppl -q -m "$m" --threads 4 "$TMP/tokens" >"$TMP/$(basename "$m").eval"
	done
	status=0
	reap-gate -g recipes/tiny_gates.json --markdown "$TMP/md" -j "$TMP/json" "$TMP"/{model,pruned}.eval >"$TMP/verdict" || status=$?
	[ "$status" -eq 0 ] || [ "$status" -eq 4 ]
	reap-recipe --id recipes/eval-tiny_keep24.yaml
	reap-show --check "$TMP/pruned" >"$TMP/sums"
	for s in calib tokens trace saliency scores plan manifest model.eval pruned.eval; do
		reap-show "$TMP/$s" >"$TMP/text"
		reap-show --encode "$(head -n 1 "$TMP/text" | jq -r .kind)" "$TMP/text" >"$TMP/again"
	done
}
