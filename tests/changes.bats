#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# A model that changes while reap-route or reap-ppl runs: noticed before anything that
# was computed with it is given away, or harmless.
load helpers

GEN=$REAP_BUILD/gen/random_checkpoint
THREE=model-00003-of-00003.safetensors

setup_file() {
	cd "$ROOT" || return 1
	export TOKENS=$BATS_FILE_TMPDIR/tokens
	reap-tokenize -q -m "$MODEL" --seq-len 128 --blocks 24 "$PACKS/tool_agentic.eval.jsonl" >"$TOKENS"
	local tool memory blocks
	for tool in reap-route reap-ppl; do
		memory=$(least_memory "$tool" -q -m "$MODEL" "$TOKENS")
		# The stream's beginning with one block more than a chunk takes.
		blocks=$("$tool" -q -m "$MODEL" --memory "$memory" --dry-run --json "$TOKENS" |
			jq '.chunk / 128 | floor + 1')
		[ "$blocks" -lt 24 ]
		"$REAP_BUILD/gen/cuts" "$TOKENS" block | awk -v n="$blocks" '$2 == n { print $1; exit }' \
			>"$BATS_FILE_TMPDIR/$tool.begin"
		echo "$memory" >"$BATS_FILE_TMPDIR/$tool.memory"
		"$tool" -q --no-history -m "$MODEL" "$TOKENS" >"$BATS_FILE_TMPDIR/$tool.whole"
	done
}

# meanwhile COMMAND...: runs $tool over $TMP/m, a copy of the embedded model, with
# little memory; when it has written its first chunk and waits for more blocks, the
# command; then the rest.  Sets status; messages are in $TMP/err.
meanwhile() {
	local begin pid
	begin=$(cat "$BATS_FILE_TMPDIR/$tool.begin")
	rm -rf "${TMP:?}"/*
	mkdir "$TMP/is"
	cp -rp "$MODEL" "$TMP/is/model"
	chmod -R u+w "$TMP/is"
	ln -s is/model "$TMP/m"
	mkfifo "$TMP/fifo"
	"$tool" -q --no-history --memory "$(cat "$BATS_FILE_TMPDIR/$tool.memory")" -m "$TMP/m" \
		"$TMP/fifo" >"$TMP/out" 2>"$TMP/err" 3>&- &
	pid=$!
	exec 7<>"$TMP/fifo"
	head -c "$begin" "$TOKENS" >&7
	until [ -s "$TMP/out" ]; do
		kill -0 $pid || { cat "$TMP/err"; return 1; }
		sleep 0.02
	done
	"$@" || return 1
	tail -c +$((begin + 1)) "$TOKENS" >&7
	exec 7>&-
	status=0
	wait $pid || status=$?
}

# noticed TEXT COMMAND...: by both tools, in one line; what was written by then is of the
# model as it was, and can be taken over.
noticed() {
	local text=$1 tool
	shift
	for tool in reap-route reap-ppl; do
		meanwhile "$@"
		if [ "$status" -ne 1 ] || [ "$(wc -l <"$TMP/err")" -ne 1 ] || ! grep -qF -- "$text" "$TMP/err"; then
			echo "$tool: exit $status, expected '$text': $*"
			cat "$TMP/err"
			return 1
		fi
		fails 3 "no end record" reap-show --id "$TMP/out"
		"$tool" --no-history -m "$MODEL" --resume "$TMP/out" "$TOKENS" 2>"$TMP/resumed" |
			cmp - "$BATS_FILE_TMPDIR/$tool.whole"
		grep -q "took over [1-9]" "$TMP/resumed" || { cat "$TMP/resumed"; return 1; }
	done
}

harmless() {
	local tool
	for tool in reap-route reap-ppl; do
		meanwhile "$@"
		[ "$status" -eq 0 ] || { echo "$tool: exit $status: $*"; cat "$TMP/err"; return 1; }
		cmp "$TMP/out" "$BATS_FILE_TMPDIR/$tool.whole"
	done
}

# exchange FILE [WITH]: another file of the same name, complete before it takes the place.
exchange() {
	cp "${2:-tests/fixtures/model-plain/$1}" "$TMP/new"
	"${same_time:-:}" "$TMP/new"
	mv "$TMP/new" "$TMP/m/$1"
}

# at_the_same_time FILE: as if it had been written when the shard was.
at_the_same_time() {
	touch -r "$MODEL/$THREE" "$1"
}

@test "nothing changes" {
	harmless true
}

@test "weights that are written to" {
	noticed "$THREE: was changed while it was read" tests/poke.py "$TMP/m" model.norm.weight
	noticed "$THREE: was changed while it was read" eval 'echo >>"$TMP/m/$THREE"'
	noticed "$THREE: was changed while it was read" touch "$TMP/m/$THREE"
}

@test "weights that are exchanged" {
	noticed "$THREE: was changed while it was read" exchange "$THREE"
	noticed "$THREE: No such file" rm "$TMP/m/$THREE"
	noticed "model-00001-of-00003.safetensors: was changed while it was read" \
		eval 'ln -s "$PWD/tests/fixtures/model-plain" "$TMP/new" && mv -T "$TMP/new" "$TMP/m"'
}

@test "weights of the same size and time: their bytes tell" {
	same_time=at_the_same_time noticed "$TMP/m: its weights were changed" exchange "$THREE"
	noticed "$TMP/m: its weights were changed" \
		eval 'tests/poke.py "$TMP/m" model.norm.weight; at_the_same_time "$TMP/m/$THREE"'
}

@test "config.json and the index" {
	noticed "config.json: was changed while it was read" \
		sed -i 's/"swiglu_limit": 7.0/"swiglu_limit": 6.0/' "$TMP/m/config.json"
	noticed "config.json: No such file" rm "$TMP/m/config.json"
	noticed "index.json: was changed while it was read" \
		eval 'echo >>"$TMP/m/model.safetensors.index.json"'
}

@test "a shard that is cut short under the mapping" {
	noticed "$THREE: was cut short while it was read" truncate -s 100000 "$TMP/m/$THREE"
	noticed "model-00001-of-00003.safetensors: was cut short while it was read" \
		eval ': >"$TMP/m/model-00001-of-00003.safetensors"'
}

@test "what says nothing of the bytes: mode, links, another inode, time of config.json" {
	harmless chmod a-w "$TMP/m/$THREE"
	harmless ln "$TMP/m/$THREE" "$TMP/link"
	same_time=at_the_same_time harmless exchange "$THREE" "$MODEL/$THREE"
	harmless touch "$TMP/m/config.json"
}

@test "where address space is short: what would do" {
	[[ "$REAP_BUILD" != *san* && "$REAP_BUILD" != *fuzz* ]] || skip "address space of a sanitizer"
	"$GEN" --sparse --preset 120b --layers 24 "$TMP/large"
	ulimit -v 12000000
	fails 1 "cannot be mapped: allow" reap-route -q -m "$TMP/large" "$TOKENS"
	grep -q "bytes more of address space (ulimit -v)" "$TMP/fails.err"
	fails 1 "cannot be mapped: allow" reap-ppl -q -m "$TMP/large" "$TOKENS"
}

@test "where files cannot be mapped: what to do; a rewrite needs no mapping" {
	cat >"$TMP/refuse.c" <<-'C'
	#include <errno.h>
	#include <sys/mman.h>
	#include <sys/syscall.h>
	#include <unistd.h>
	void *mmap64(void *at, size_t n, int protection, int flags, int fd, off_t offset)
	{
		if (fd >= 0) {
			errno = ENODEV;
			return MAP_FAILED;
		}
		return (void *)syscall(SYS_mmap, at, n, protection, flags, fd, offset);
	}
	C
	cc -D_GNU_SOURCE -shared -fPIC -o "$TMP/refuse.so" "$TMP/refuse.c"
	export ASAN_OPTIONS=$ASAN_OPTIONS:verify_asan_link_order=0
	fails 1 "model-00001-of-00003.safetensors: cannot be mapped (No such device): copy the model" \
		env LD_PRELOAD="$TMP/refuse.so" reap-route -q -m "$MODEL" "$TOKENS"
	LD_PRELOAD=$TMP/refuse.so reap-rewrite -q --verify --first 32 -m "$MODEL" -o "$TMP/out" >"$TMP/manifest"
	[ "$(reap-show --id "$MODEL" | cut -c 1-64)" = "$(reap-show --id "$TMP/out" | cut -c 1-64)" ]
}
