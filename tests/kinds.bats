#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What becomes of each kind of file and of row that people have: it is taken, or a sentence
# says what it is and which command makes rows of it.  The command is run.
# Real Parquet and Arrow files: tests/loaders/tables.bats.
load helpers

tok() {
	reap-tokenize -q --no-history -m "$MODEL" --rows "$@" 2>"$TMP/said"
}

# rows N: as JSON lines, N chats.
rows() {
	seq "$1" | jq -c '{messages: [{role: "user", content: "say \(.), please"}, {role: "assistant", content: "\(.)"}]}'
}

# taken FILE [OPTION...]: it holds what the rows of $TMP/want hold.
taken() {
	tok p="$1" "${@:2}" >"$TMP/got"
	tok p="$TMP/want" "${@:2}" | cmp - "$TMP/got"
}

# refused FILE SENTENCE
refused() {
	fails 1 "$2" reap-tokenize -q -m "$MODEL" --rows "$1"
}

# way_out FILE SENTENCE [OPTION...]: refused, and the command that is named makes rows of it.
way_out() {
	local way
	refused "$1" "$2"
	way=$(sed 's/^.*: is [^:]*: //; s/^.*, but lists: //; s/; .* a row a line: //; s/ | reap-tokenize \.\.\. -.*//' "$TMP/fails.err")
	way=${way//FILE/\'$1\'}
	tok p=<(bash -c "$way") "${@:3}" >"$TMP/got"
	tok p="$TMP/want" "${@:3}" | cmp - "$TMP/got"
}

# row JSON KEPT: a row of this kind has tokens, and of these KEPT as text.
row() {
	jq -cn "$1" >"$TMP/row"
	tok "$TMP/row" >"$TMP/got"
	reap-show -t block "$TMP/got" | jq -c '[[.ids, .keep] | transpose[] | select(.[1] == 1)[0]]' >"$TMP/kept"
	jq -cn --arg t "$2" '{text: $t}' >"$TMP/text"
	tok --keep all "$TMP/text" | reap-show -t block | jq -c .ids | cmp - "$TMP/kept"
}

setup() {
	export TMP=$BATS_TEST_TMPDIR
	rows 12 >"$TMP/want"
}

# ---- files ----

@test "file: JSON lines" { cp "$TMP/want" "$TMP/f"; taken "$TMP/f"; }
@test "file: JSON lines with a byte order mark and Windows line ends" {
	{ printf '\xef\xbb\xbf'; sed 's/$/\r/' "$TMP/want"; } >"$TMP/f"
	taken "$TMP/f"
}
@test "file: a JSON array" { jq -s . "$TMP/want" >"$TMP/f"; taken "$TMP/f"; }
@test "file: gzip" { gzip -c "$TMP/want" >"$TMP/f"; taken "$TMP/f"; }
@test "file: zstd" { zstd -qc "$TMP/want" >"$TMP/f"; taken "$TMP/f"; }
@test "file: JSON whose objects take several lines" {
	jq . "$TMP/want" >"$TMP/f"
	way_out "$TMP/f" "is JSON whose objects take several lines: jq -c . FILE"
}
@test "file: CSV" {
	jq -rs '["prompt", "completion"], (.[].messages | [.[0].content, .[1].content]) | @csv' "$TMP/want" >"$TMP/f.csv"
	way_out "$TMP/f.csv" "is CSV: python3 -c"
}
@test "file: TSV" {
	jq -rs '["prompt", "completion"], (.[].messages | [.[0].content, .[1].content]) | @tsv' "$TMP/want" >"$TMP/f.tsv"
	way_out "$TMP/f.tsv" "is TSV: python3 -c"
}
@test "file: text" {
	printf 'It was a dark night.\nIt "rained".\n' >"$TMP/f.txt"
	jq -Rc '{text: .}' "$TMP/f.txt" >"$TMP/want"
	way_out "$TMP/f.txt" "is no JSON; for text, a row a line: jq -Rc" --keep all
}
@test "file: xz" {
	command -v xz >/dev/null || skip "xz is not installed"
	xz -c "$TMP/want" >"$TMP/f"
	way_out "$TMP/f" "is compressed by xz: xz -dc FILE"
}
@test "file: bzip2" {
	command -v bzip2 >/dev/null || skip "bzip2 is not installed"
	bzip2 -c "$TMP/want" >"$TMP/f"
	way_out "$TMP/f" "is compressed by bzip2: bzip2 -dc FILE"
}
@test "file: a zip archive" {
	printf 'PK\3\4xx' >"$TMP/f"
	refused "$TMP/f" "is a zip archive: unzip -p FILE | reap-tokenize ... -"
}
@test "file: a tar archive" {
	tar -C "$TMP" -cf "$TMP/f" want
	way_out "$TMP/f" "is a tar archive: tar -xOf FILE"
}
@test "file: an SQLite database" {
	printf 'SQLite format 3\0' >"$TMP/f"
	refused "$TMP/f" "is an SQLite database: sqlite3 -json FILE 'SELECT * FROM TABLE' | reap-tokenize ... -"
}
@test "file: ORC" {
	printf 'ORCxx' >"$TMP/f"
	refused "$TMP/f" "is ORC: convert it with: python3 -c"
}
@test "file: UTF-16" {
	iconv -f UTF-8 -t UTF-16 "$TMP/want" >"$TMP/f"
	way_out "$TMP/f" "is UTF-16: iconv"
}
@test "file: Parquet or Arrow in a pipe, and without a program that reads them" {
	printf 'PAR1xxxxPAR1' >"$TMP/p"
	printf 'ARROW1\0\0' >"$TMP/a"
	printf '\xff\xff\xff\xff\0' >"$TMP/s"
	refused <(cat "$TMP/p") "is Parquet in a pipe or compressed: name the file itself"
	refused <(cat "$TMP/a") "is Arrow in a pipe or compressed: name the file itself"
	refused <(gzip -c "$TMP/s") "is compressed by gzip, on a pipe: gzip -dc FILE"
	mkdir "$TMP/none"
	for f in a s p; do
		fails 1 "$TMP/$f: nothing here reads" env PATH="$TMP/none" "$REAP_BIN/reap-tokenize" -q -m "$MODEL" --rows "$TMP/$f"
	done
}
@test "file: what a failed download left" {
	echo '<!DOCTYPE html>' >"$TMP/f"
	refused "$TMP/f" "is a web page, not the file (its download failed)"
	printf 'version https://git-lfs.github.com/spec/v1\n' >"$TMP/f"
	refused "$TMP/f" "is a Git LFS pointer"
}
@test "file: a folder of files, in the order of their names, is one pack" {
	mkdir -p "$TMP/my.data/more"
	head -n 4 "$TMP/want" | gzip >"$TMP/my.data/a-00.jsonl.gz"
	sed -n 5,8p "$TMP/want" | jq -s . >"$TMP/my.data/b-01.json"
	tail -n +9 "$TMP/want" >"$TMP/my.data/c-02.jsonl"
	echo '{"x": 1}' | tee "$TMP/my.data/"{config,state,dataset_info}.json >"$TMP/my.data/more/d.jsonl"
	echo text | tee "$TMP/my.data/"{README.md,.hidden.jsonl} >/dev/null
	for how in "" "--sample 7" "--holdout .5 --split calib"; do
		# shellcheck disable=SC2086 # words
		taken "$TMP/my.data" $how
	done
	tok "$TMP/my.data//" | reap-show -t pack | jq -e '.pack == "my.data" and .rows_seen == 12'
	# A fault names the file of the folder, and its line.
	echo '{bad' >>"$TMP/my.data/b-01x.jsonl"
	refused "$TMP/my.data" "my.data/b-01x.jsonl: line 1: "
	fails 1 "my.data/more/d.jsonl" reap-tokenize -q -m "$MODEL" --rows "$TMP/my.data/more/d.jsonl"
	# What is read from it is not overwritten.
	cp "$TMP/my.data/c-02.jsonl" "$TMP/before"
	run bash -c "reap-tokenize -q -m '$MODEL' --rows '$TMP/my.data' >>'$TMP/my.data/c-02.jsonl'"
	[ "$status" -eq 2 ]
	cmp "$TMP/before" "$TMP/my.data/c-02.jsonl"
}
@test "file: a folder without rows says what is in it" {
	mkdir -p "$TMP/f/data"
	touch "$TMP/f/x.csv"
	refused "$TMP/f" "f: no file of rows in it (*.jsonl, *.json, *.parquet, *.arrow), but data, x.csv"
}

# ---- rows ----

@test "row: messages" { row '{messages: [{role: "user", content: "q"}, {role: "assistant", content: "yes"}]}' yes; }
@test "row: messages with content in parts" {
	row '{messages: [{role: "user", content: "q"}, {role: "assistant", content: [{type: "text", text: "yes"}]}]}' yes
}
@test "row: ShareGPT" { row '{conversations: [{from: "human", value: "q"}, {from: "gpt", value: "yes"}]}' yes; }
@test "row: prompt and completion" { row '{prompt: "q", completion: "yes"}' yes; }
@test "row: prompt and completion as lists" {
	row '{prompt: [{role: "user", content: "q"}], completion: [{role: "assistant", content: "yes"}]}' yes
}
@test "row: messages as JSON text" {
	row '{messages: ([{role: "user", content: "q"}, {role: "assistant", content: "yes"}] | tojson)}' yes
}
@test "row: messages as a list for each member" { row '{conversations: {from: ["human", "gpt"], value: ["q", "yes"]}}' yes; }
@test "row: messages and a text" { row '{prompt: [{role: "user", content: "q"}], completion: "yes"}' yes; }
@test "row: a prompt and a raw completion" { row '{prompt: "q", completion: "<|channel|>final<|message|>yes<|return|>"}' yes; }
@test "row: instruction, input, output" { row '{instruction: "do", input: "this", output: "yes"}' yes; }
@test "row: a Harmony transcript" { row '{text: "<|start|>user<|message|>q<|end|><|start|>assistant<|message|>yes<|end|>"}' yes; }
@test "row: a raw completion in Harmony, cut off" { row '{text: "<|channel|>final<|message|>yes"}' yes; }
@test "row: ids with a mask" {
	echo '{"input_ids": [5, 6, 7], "keep_mask": [0, 1, 1]}' >"$TMP/f"
	[ "$(tok "$TMP/f" | reap-show -t block | jq -c .keep)" = "[0,1,1]" ]
}
@test "row: another column, named" {
	echo '{"body": "yes"}' >"$TMP/f"
	refused "$TMP/f" 'none of its 1 rows has text in "text": the first has body (--text-column)'
	echo '{"text": "yes"}' >"$TMP/want"
	tok --keep all p="$TMP/want" >"$TMP/got"
	tok --keep all --text-column body p="$TMP/f" | cmp - "$TMP/got"
}
@test "file: empty" {
	: >"$TMP/f"
	refused "$TMP/f" "f: has no rows"
}
@test "row: plain text needs --keep all" {
	echo '{"text": "yes"}' >"$TMP/f"
	refused "$TMP/f" "nothing is kept of its 1 rows: no text of an assistant"
	tok --keep all "$TMP/f" | reap-show -t pack | jq -e '.kept == .tokens'
}
@test "row: an image is no text" {
	jq -cn '{messages: [{role: "user", content: [{type: "image_url"}]}]}' >"$TMP/f"
	refused "$TMP/f" "line 1: message 0: content: part 0 of type 'image_url' is not text"
}
@test "row: pairs of which one is preferred" {
	jq -c '{chosen: .messages, rejected: .messages}' "$TMP/want" >"$TMP/f"
	way_out "$TMP/f" "f: none of its 12 rows has text in \"text\", but lists: jq -c '{messages: .chosen}' FILE"
}
@test "file: an object that holds all rows" {
	jq -cs '{version: 1, data: .}' "$TMP/want" >"$TMP/f"
	way_out "$TMP/f" "f: none of its 1 rows has text in \"text\", but lists: jq -c '.data[]' FILE"
}
@test "row: no JSON" {
	{ cat "$TMP/want"; echo 'garbage'; } >"$TMP/f"
	refused "$TMP/f" "line 13: no JSON: "
}
@test "row: no object" {
	{ cat "$TMP/want"; echo '[1]'; } >"$TMP/f"
	refused "$TMP/f" "line 13: not an object"
}
