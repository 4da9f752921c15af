#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""poke.py DIR TENSOR [EXPERT [BYTES]]
poke.py DIR TENSOR =HEX[...]

Changes the weights of a checkpoint in place: flips the lowest bit of TENSOR's
first byte, or of the first BYTES bytes (default: all) of one EXPERT of it.
=HEX puts these bytes at its beginning; =HEX... repeats them to its end.
"""
import glob
import json
import struct
import sys


def find(directory, name):
    for path in sorted(glob.glob(directory + "/*.safetensors")):
        with open(path, "rb") as f:
            (n,) = struct.unpack("<Q", f.read(8))
            header = json.loads(f.read(n))
        if name in header:
            return path, 8 + n, header[name]
    sys.exit("poke.py: no tensor " + name)


def main(directory, name, what=None, count=None):
    path, base, tensor = find(directory, name)
    start, end = (base + x for x in tensor["data_offsets"])
    with open(path, "r+b") as f:
        if what is not None and what[0] == "=":
            new = bytes.fromhex(what[1:].rstrip("."))
            if what.endswith("..."):
                new *= (end - start) // len(new)
        else:
            length = 1
            if what is not None:
                each = (end - start) // tensor["shape"][0]
                start += int(what) * each
                length = each if count is None else int(count)
            f.seek(start)
            new = bytes(b ^ 1 for b in f.read(length))
        f.seek(start)
        f.write(new)


main(*sys.argv[1:])
