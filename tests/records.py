#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Does reap-stream(5) say of each record what its stream holds?

usage: records.py KIND <LINES

LINES is what reap-show prints of streams of KIND.  Every record type of the page must be
among them, every field of a record stand under its type, every array that the page names
be in some record, with the dtype and dimensions of the table in lib/stream/check.c, and no
array be one that reap-show does not know.  Prints what is wrong, and fails then.
"""
import json
import re
import sys

with open("man/reap-stream.5") as f:
    section = re.search(r"^\.Ss %s$(.*?)^\.S[sh] " % sys.argv[1], f.read(), re.M | re.S).group(1)
page = {m.group(1): m.group(2) for m in re.finditer(r"^\.It Cm (\w+)$(.*?)(?=^\.It|^\.El)", section, re.M | re.S)}
with open("lib/stream/check.c") as f:
    table = {m.group(1, 2): (m.group(3).lower(), int(m.group(4)))
             for m in re.finditer(r'\{"(\w+)", "(\w+)", REAP_(\w+), (\d),', f.read())}
seen = {}
wrong = []
for line in sys.stdin:
    record = json.loads(line)
    if "t" not in record:
        continue
    fields = seen.setdefault(record.pop("t"), set())
    fields.update(record)
    wrong += ["%s: shown as dtype, shape and data" % k for k, v in record.items()
              if isinstance(v, dict) and "dtype" in v]
for t, fields in seen.items():
    text = page.get(t, "")
    named = set(re.findall(r"\w+", text))
    arrays = {k: (dtype, extents.count(",") + 1) for k, dtype, extents in
              re.findall(r"(\w+)\s+(u8|u16|u32|i64|f32|f64)\[([^]]*)", text)}
    wrong += ["%s.%s: not in the page" % (t, k) for k in sorted(fields - named)]
    wrong += ["%s.%s: in no record" % (t, k) for k in sorted(arrays.keys() - fields)]
    wrong += ["%s.%s: the page has %s, but it is %s" % (t, k, a, table.get((t, k)))
              for k, a in arrays.items() if table.get((t, k)) != a]
wrong += ["%s: no such record" % t for t in sorted(page.keys() - seen.keys())]
print("\n".join(wrong), end="\n" if wrong else "")
sys.exit(bool(wrong))
