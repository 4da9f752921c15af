#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""fuse.py SOURCE TARGET: a checkpoint whose experts have tensors of their own, with those of each
layer in two, as transformers 5 writes it with save_original_format=False."""
import glob
import json
import os
import re
import struct
import sys

source, target = sys.argv[1:]
with open(source + "/config.json") as f:
    config = json.load(f)
layers = config["num_hidden_layers"]
tensors, experts = {}, {}
for path in glob.glob(source + "/*.safetensors"):
    with open(path, "rb") as f:
        (n,) = struct.unpack("<Q", f.read(8))
        for name, t in json.loads(f.read(n)).items():
            if name == "__metadata__":
                continue
            f.seek(8 + n + t["data_offsets"][0])
            t["bytes"] = f.read(t["data_offsets"][1] - t["data_offsets"][0])
            expert = re.fullmatch(r"(model\.layers\.(\d+)\.)\w+\.experts\.(\d+)\.(\w+)\.weight", name)
            if expert and int(expert[2]) < layers:
                kind = {"w1": "gate_proj", "w3": "up_proj", "w2": "down_proj"}.get(expert[4], expert[4])
                experts.setdefault(expert[1], {}).setdefault(int(expert[3]), {})[kind] = t
                continue
            moe = re.fullmatch(r"model\.layers\.(\d+)\.block_sparse_moe\..*", name)
            if moe and int(moe[1]) < layers:
                name = name.replace("block_sparse_moe", "mlp")
            tensors[name] = t
for stem, of in experts.items():
    gate, down = of[0]["gate_proj"], of[0]["down_proj"]
    order = [of[i] for i in range(len(of))]
    tensors[stem + "mlp.experts.gate_up_proj"] = {
        "dtype": gate["dtype"], "shape": [len(of), 2 * gate["shape"][0], gate["shape"][1]],
        "bytes": b"".join(x["gate_proj"]["bytes"] + x["up_proj"]["bytes"] for x in order)}
    tensors[stem + "mlp.experts.down_proj"] = {
        "dtype": down["dtype"], "shape": [len(of), *down["shape"]],
        "bytes": b"".join(x["down_proj"]["bytes"] for x in order)}
os.makedirs(target)
header, at = {"__metadata__": {"format": "pt"}}, 0
for name, t in tensors.items():
    header[name] = {"dtype": t["dtype"], "shape": t["shape"], "data_offsets": [at, at + len(t["bytes"])]}
    at += len(t["bytes"])
text = json.dumps(header).encode()
text += b" " * (-len(text) % 8)
with open(target + "/model.safetensors", "wb") as f:
    f.write(struct.pack("<Q", len(text)) + text)
    for t in tensors.values():
        f.write(t["bytes"])
with open(target + "/config.json", "w") as f:
    json.dump(config, f, indent=2)
