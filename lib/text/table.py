# SPDX-License-Identifier: MIT
"""Columns of the table on standard input as JSON lines, by pyarrow or by duckdb.

table.py parquet|arrow COLUMN...: those of the columns that there are.  reap runs this
text (python3 -c); lib/text/table.c says when.  Whatever reads a table, the same rows must
come of it: text that is stored as bytes is text, a map is an object.
"""
import sys

sys.path[:] = [p for p in sys.path if p]  # no module of the folder in which reap runs

import json
import signal

NO_MODULE = 97
KIND, WANT = sys.argv[1], sys.argv[2:]
IN = "/dev/fd/0"
OUT = open(1, "w")
END = b"\xff\xff\xff\xff\0\0\0\0"  # of an Arrow stream


def put(rows):
    OUT.write("".join(json.dumps(r, default=text) + "\n" for r in rows))


def text(value):
    return value.decode() if isinstance(value, bytes) else str(value)


def objects(value):
    """Maps, which pyarrow gives as lists of pairs, as objects."""
    if isinstance(value, dict):
        return {k: objects(v) for k, v in value.items()}
    if isinstance(value, list):
        if value and all(isinstance(v, tuple) for v in value):
            return {text(k): objects(v) for k, v in value}
        return [objects(v) for v in value]
    return value


def put_batches(batches, schema):
    maps = "map<" in str(schema)
    for b in batches:
        rows = b.to_pylist()
        put(objects(rows) if maps else rows)


def whole_stream(f, source):
    """Its batches.  For pyarrow a stream may end anywhere between two of them."""
    yield from f
    at = source.tell()
    source.seek(at - len(END))
    if source.read(len(END)) != END:
        raise ValueError("cut off behind %d bytes" % at)
    if at != source.size():
        raise ValueError("%d bytes behind its end" % (source.size() - at))


def by_pyarrow(pa):
    if KIND == "parquet":
        import pyarrow.parquet

        f = pa.parquet.ParquetFile(IN)
        have = [c for c in WANT if c in f.schema_arrow.names]
        put_batches(f.iter_batches(batch_size=512, columns=have), f.schema_arrow)
        return
    source = pa.OSFile(IN)
    if source.read(6) == b"ARROW1":
        f = pa.ipc.open_file(pa.OSFile(IN))
        batches = (f.get_batch(i) for i in range(f.num_record_batches))
    else:
        source = pa.OSFile(IN)
        f = pa.ipc.open_stream(source)
        batches = whole_stream(f, source)
    have = [c for c in WANT if c in f.schema.names]
    put_batches((b.select(have) for b in batches), f.schema)


def by_duckdb(db):
    source = f" FROM read_parquet('{IN}', binary_as_string = true)"
    con = db.connect()
    names = [d[0] for d in con.execute("SELECT *" + source + " LIMIT 0").description]
    have = [c for c in WANT if c in names]
    columns = ", ".join('"' + c.replace('"', '""') + '"' for c in have) or "1 AS one"
    cur = con.execute("SELECT " + columns + source)
    while rows := cur.fetchmany(512):
        put(dict(zip(have, r)) for r in rows)


signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback
try:
    try:
        import pyarrow as reader

        run = by_pyarrow
    except ImportError:
        if KIND == "arrow":
            raise
        import duckdb as reader

        run = by_duckdb
except ImportError:
    raise SystemExit(NO_MODULE)
try:
    run(reader)
    OUT.close()
except Exception as e:
    raise SystemExit("%s: %s" % (reader.__name__, (str(e) or repr(e)).splitlines()[0]))
