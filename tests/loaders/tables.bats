#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Parquet and Arrow by each program that reads them: the same tokens as from JSON lines.
# make test-tables; REAP_VENV is a virtual environment with pyarrow, duckdb and duckdb-cli.
load ../helpers

setup_file() {
	[ -x "${REAP_VENV:-}/bin/python3" ] || { echo "REAP_VENV names no virtual environment" >&2; return 1; }
	export T=$BATS_FILE_TMPDIR
	"$REAP_VENV/bin/python3" "$BATS_TEST_DIRNAME/tables.py" "$T"
	# One folder for each reader, where nothing else is found.
	mkdir "$T/cli" "$T/pyarrow" "$T/pyduckdb" "$T/blocked" "$T/blocked/pyarrow"
	ln -s "$REAP_VENV/bin/duckdb" "$T/cli/duckdb"
	echo 'raise ImportError' >"$T/blocked/pyarrow/__init__.py"
	printf '#!/bin/sh\nexec "%s/bin/python3" "$@"\n' "$REAP_VENV" >"$T/pyarrow/python3"
	printf '#!/bin/sh\nPYTHONPATH="%s/blocked" exec "%s/bin/python3" "$@"\n' "$T" "$REAP_VENV" >"$T/pyduckdb/python3"
	chmod +x "$T"/py*/python3
	for name in text ids chat pairs; do
		for how in "--rows" "-l 64,96 --eos 5"; do
			# shellcheck disable=SC2086 # words
			reap-tokenize -q --no-history -m "$MODEL" $how --keep all p="$T/$name.jsonl" >"$T/$name${how%% *}.want"
		done
	done
}

# same READER FILE
same() {
	local name how
	name=$(basename "$(dirname "$2")")
	for how in "--rows" "-l 64,96 --eos 5"; do
		# shellcheck disable=SC2086 # words
		PATH=$T/$1 "$REAP_BIN/reap-tokenize" -q --no-history -m "$MODEL" $how --keep all p="$2" >"$TMP/got"
		cmp "$T/$name${how%% *}.want" "$TMP/got" || { echo "$1: $2 $how"; return 1; }
	done
}

@test "the duckdb command reads every Parquet file" {
	for f in "$T"/*/*.parquet; do same cli "$f"; done
}
@test "python3 with pyarrow reads every Parquet and Arrow file" {
	for f in "$T"/*/*.parquet "$T"/*/*.arrow; do same pyarrow "$f"; done
}
@test "python3 with duckdb reads every Parquet file" {
	for f in "$T"/*/*.parquet; do same pyduckdb "$f"; done
}

@test "~/.duckdbrc has no effect" {
	printf '.print {"text": "from the init file"}\n.mode csv\n.output /dev/null\nSET preserve_insertion_order = false;\n' >"$TMP/.duckdbrc"
	HOME=$TMP same cli "$T/text/zstd1.parquet"
}

@test "a file cut short, and no column of any use: each reader has the same to say" {
	head -c 3000 "$T/chat/zstd1.parquet" >"$TMP/cut.parquet"
	for reader in cli pyarrow pyduckdb; do
		run env PATH="$T/$reader" "$REAP_BIN/reap-tokenize" -q -m "$MODEL" --rows "$TMP/cut.parquet"
		[ "$status" -eq 1 ]
		[[ $output == "reap-tokenize: $TMP/cut.parquet: its reader says: "* ]]
		[ "${#lines[@]}" -eq 1 ]
		run env PATH="$T/$reader" "$REAP_BIN/reap-tokenize" -q -m "$MODEL" --rows --text-column none "$T/text/zstd1.parquet"
		[ "$status" -eq 1 ]
		[[ $output == *'none of its 700 rows has text in "none"'* ]]
	done
}

@test "an Arrow stream that ends between two batches was cut off" {
	"$REAP_VENV/bin/python3" - "$T/text.jsonl" "$TMP/whole.arrow" "$TMP/cut.arrow" <<-'END'
		import json, sys, pyarrow as pa
		t = pa.table({"text": [json.loads(l)["text"] for l in open(sys.argv[1])]})
		with pa.OSFile(sys.argv[2], "wb") as f, pa.ipc.new_stream(f, t.schema) as w:
		    w.write_table(t, max_chunksize=100)
		f = pa.OSFile(sys.argv[2])
		batch = pa.ipc.open_stream(f)
		for _ in range(3):
		    batch.read_next_batch()
		open(sys.argv[3], "wb").write(open(sys.argv[2], "rb").read()[:f.tell()])
	END
	cat "$TMP/whole.arrow" "$TMP/whole.arrow" >"$TMP/two.arrow"
	tok() { PATH=$T/pyarrow "$REAP_BIN/reap-tokenize" -q --no-history -m "$MODEL" --rows --keep all p="$1"; }
	tok "$TMP/whole.arrow" | cmp - "$T/text--rows.want"
	for f in cut:"cut off behind" two:"bytes behind its end"; do
		run tok "$TMP/${f%%:*}.arrow"
		[ "$status" -eq 1 ]
		[[ $output == "reap-tokenize: $TMP/${f%%:*}.arrow: its reader says: pyarrow: "*"${f#*:}"* ]]
		[ "${#lines[@]}" -eq 1 ]
	done
}

@test "a folder of Parquet files" {
	mkdir "$TMP/d"
	cp "$T/text/zstd1.parquet" "$TMP/d/b.parquet"
	cp "$T/text/none0.parquet" "$TMP/d/a.parquet"
	cat "$T/text.jsonl" "$T/text.jsonl" >"$TMP/two.jsonl"
	for how in --rows "--rows --sample 50"; do
		for reader in cli pyarrow; do
			# shellcheck disable=SC2086 # words
			PATH=$T/$reader "$REAP_BIN/reap-tokenize" -q --no-history -m "$MODEL" $how --keep all p="$TMP/d" >"$TMP/got"
			# shellcheck disable=SC2086 # words
			reap-tokenize -q --no-history -m "$MODEL" $how --keep all p="$TMP/two.jsonl" | cmp - "$TMP/got"
		done
	done
}
