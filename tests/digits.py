#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Change a digit of a stream's records, one at a time, and see who notices.

usage: digits.py KIND STREAM ALLOWED COMMAND...

For every number of every kind of field (record type and key) of STREAM, up to three
places each, a leading digit becomes another one; the records are encoded again, and
COMMAND, which reads the file named last, must refuse the result.  ALLOWED lists the
fields, as type.key, from which nothing else in the file follows.  Prints what was
not refused, and fails then, or when an allowed field is always refused.
"""
import json
import subprocess
import sys
import tempfile

kind, stream, allowed, command = sys.argv[1], sys.argv[2], sys.argv[3].split(), sys.argv[4:]
lines = [json.loads(line) for line in
         subprocess.run(["reap-show", stream], check=True, capture_output=True).stdout.splitlines()]


def numbers(v, path=()):
    if isinstance(v, bool):
        return
    if isinstance(v, dict):
        for k, x in v.items():
            yield from numbers(x, path + (k,))
    elif isinstance(v, list):
        for i, x in enumerate(v):
            yield from numbers(x, path + (i,))
    elif isinstance(v, (int, float)):
        yield path, v


def other(v):
    """The number with its first digit that is not 0 changed, and by a good deal."""
    text = repr(v)
    for i, c in enumerate(text):
        if c in "123456789":
            return type(v)(text[:i] + str((int(c) + 3) % 9 + 1) + text[i + 1:])
    return v + type(v)(1)


def accepted(n, path, value):
    at = lines[n]
    for k in path[:-1]:
        at = at[k]
    was, at[path[-1]] = at[path[-1]], value
    text = "\n".join(json.dumps(x) for x in lines)
    at[path[-1]] = was
    with tempfile.NamedTemporaryFile() as f:
        made = subprocess.run(["reap-show", "--encode", kind], input=text.encode(), stdout=f,
                              stderr=subprocess.DEVNULL)
        return made.returncode == 0 and subprocess.run(
            command + [f.name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


fields = {}
for n, record in enumerate(lines):
    if "t" in record:
        for path, v in numbers(record):
            key = record["t"] + "." + ".".join(k for k in path if isinstance(k, str))
            fields.setdefault(key, []).append((n, path, v))
failed = False
for key, places in sorted(fields.items()):
    some = places[::max(1, len(places) // 3)][:3]
    passed = [(n, path, v) for n, path, v in some if accepted(n, path, other(v))]
    if passed and key not in allowed:
        n, path, v = passed[0]
        print("%s: record %d, %s: %r may be %r" % (key, n, list(path), v, other(v)))
        failed = True
    if not passed and key in allowed:
        print("%s: is refused, so it need not be allowed" % key)
        failed = True
sys.exit(failed)
