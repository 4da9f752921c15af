# SPDX-License-Identifier: MIT
"""tables.py DIR: the same rows as JSON lines (NAME.jsonl) and as tables, in DIR/NAME/.

Names: text, ids, chat (nested columns, some of them null), pairs.
"""
import json
import os
import sys

import pyarrow as pa
import pyarrow.parquet as pq


def chat(i):
    call = {"id": "c%d" % i, "type": "function", "function": {"name": "f", "arguments": json.dumps({"a": i, "b": [1.5, None]})}}
    messages = [{"role": "system", "content": "Be brief. \u2028 é"}, {"role": "user", "content": "q %d" % i}]
    if i % 3 == 0:
        messages += [{"role": "assistant", "content": None, "thinking": "hm", "tool_calls": [call]},
                     {"role": "tool", "tool_call_id": "c%d" % i, "content": "{\"x\": 1}"}]
    messages.append({"role": "assistant", "content": "a 😀 %d" % i, "thinking": "so" if i % 2 else None})
    tools = [{"type": "function", "function": {"name": "f", "description": "does"}}] if i % 3 == 0 else None
    return {"messages": messages, "tools": tools, "id": i}


N = 700  # more than the readers take at a time
ROWS = {
    "text": [{"id": 2**64 - 1 - i, "text": "a\u2028b\u0085c %d" % (i // 2) if i % 7 else None} for i in range(N)],
    "ids": [{"input_ids": [i, i + 1, 5] if i % 5 else None, "keep_mask": [True, False, True]} for i in range(N)],
    "chat": [chat(i) for i in range(N)],
    "pairs": [{"prompt": "q\0 %d" % i, "completion": "a" * (i % 9 + 1), "more": [{"k": i}]} for i in range(N)],
}


def write(where, table):
    os.makedirs(where)
    for codec in "snappy", "zstd", "gzip", "none":
        for dictionary in True, False:
            pq.write_table(table, "%s/%s%d.parquet" % (where, codec, dictionary), compression=codec,
                           use_dictionary=dictionary, row_group_size=100)
    with pa.OSFile(where + "/file.arrow", "wb") as f, pa.ipc.new_file(f, table.schema) as w:
        w.write_table(table, max_chunksize=90)
    with pa.OSFile(where + "/stream.arrow", "wb") as f, pa.ipc.new_stream(f, table.schema) as w:
        w.write_table(table, max_chunksize=90)


for name, rows in ROWS.items():
    with open("%s/%s.jsonl" % (sys.argv[1], name), "w") as f:
        f.writelines(json.dumps(r) + "\n" for r in rows)
    table = pa.Table.from_pylist(rows) if name != "text" else pa.table(
        {"id": pa.array([r["id"] for r in rows], pa.uint64()), "text": pa.array([r["text"] for r in rows])})
    write(sys.argv[1] + "/" + name, table)
# Text without the mark that it is text, as some writers leave it, and in wide and shared forms.
text = pa.array([r["text"] and r["text"].encode() for r in ROWS["text"]])
pq.write_table(pa.table({"text": text}), sys.argv[1] + "/text/binary.parquet")
for kind, column in ("large", text.cast(pa.string()).cast(pa.large_string())), ("shared", text.cast(pa.string()).dictionary_encode()):
    with pa.OSFile("%s/text/%s.arrow" % (sys.argv[1], kind), "wb") as f:
        table = pa.table({"text": column})
        with pa.ipc.new_file(f, table.schema) as w:
            w.write_table(table)
