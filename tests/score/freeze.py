#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Freeze what an independent implementation makes of a trace.

usage: freeze.py ORACLE.py MODEL IDS.json OUT

ORACLE.py is a NumPy implementation of the model and of the EAFT-REAP sums that
shares no code with this project (its Model, read_blocks, token_scores, reap).
Its forward pass over the blocks of IDS.json is rounded to what a trace holds
(float32; gates to multiples of 2^-24 that still sum to 1), written as
OUT.trace.jsonl for `reap-show --encode trace`, and given back to its own `reap`,
whose sums, thresholds and rankings go to OUT.expected.json.  Squares, maxima and
the second region rule, which it lacks, are formed here.

The committed case was made with

    ORACLE.py make-random --out M --layers 3 --experts 8 --top-k 2 --seed 3
    ORACLE.py make-ids --out I.json --vocab 257 --length 40 --blocks 3 --keep-first
    freeze.py ORACLE.py M I.json tests/score/case
"""
import importlib.util
import json
import sys

import numpy as np

oracle_path, model_dir, ids_path, out = sys.argv[1:5]
spec = importlib.util.spec_from_file_location("oracle", oracle_path)
oracle = importlib.util.module_from_spec(spec)
spec.loader.exec_module(oracle)


def f32(x):
    return np.asarray(x, dtype=np.float32).astype(np.float64)


def quantised(g):
    """Multiples of 2^-24 are float32, and their sum is exactly 1."""
    q = np.round(g * 2.0 ** 24)
    q[..., 0] += 2.0 ** 24 - q.sum(axis=-1)
    return q / 2.0 ** 24


model = oracle.Model(model_dir)
blocks = oracle.read_blocks(ids_path)
runs = []
for ids, keep in blocks:
    run = model.forward(ids)
    scores = oracle.token_scores(model.logits(run["final"]), ids, 20)
    logp = f32(np.minimum(scores["logp"], 0))
    runs.append({
        "ids": run["ids"], "gates": quantised(run["gates"].astype(np.float64)),
        "norms": f32(run["norms"]), "final": None,
        "scores": dict(scores, logp=logp, p=np.exp(np.clip(logp, -50, 0)), H=f32(scores["H"])),
    })


class Replay:
    """The rounded results, in the shape in which the oracle's reap asks for them."""
    cfg = model.cfg
    at = -1

    def forward(self, ids):
        self.at += 1
        return runs[self.at]

    def logits(self, final):
        return None


def reap(weights):
    replay = Replay()
    oracle.token_scores = lambda logits, ids, top: runs[replay.at]["scores"]
    return oracle.reap(replay, blocks, 20, 0.15, 0.85, *weights)


def number(v):
    return None if np.isnan(v) else float(v)


layers, experts = int(model.cfg.layers), int(model.cfg.experts)
with open(out + ".trace.jsonl", "w") as f:
    def put(record):
        f.write(json.dumps(record, separators=(",", ":")) + "\n")

    put({"reap": 2, "kind": "trace", "model": {
        "id": "case", "digest": "c" * 64, "layers": layers, "experts": experts,
        "top_k": int(model.cfg.top_k)}, "recipe": None, "history": []})
    for b, (ids, keep) in enumerate(blocks):
        at, r, s = np.nonzero(keep)[0], runs[b], runs[b]["scores"]
        pack = "pack%d" % (b % 2)
        for l in range(layers):
            put({"t": "route", "block": b, "block_sha256": "%064x" % b, "layer": l, "pack": pack, "positions": at.tolist(),
                 "experts": r["ids"][l, at].tolist(), "gates": r["gates"][l, at].tolist(),
                 "norms": r["norms"][l, at].tolist(), "outliers": 0})
        put({"t": "outcome", "block": b, "block_sha256": "%064x" % b, "pack": pack, "positions": at.tolist(),
             "logp": [number(v) for v in s["logp"][at]],
             "entropy": [number(v) for v in s["H"][at]],
             "top1": [int(t > 0 and s["argmax"][t] == ids[t]) for t in at], "outliers": 0})
    put({"t": "source", "tokens_sha256": "c" * 64, "blocks": len(blocks)})

code = reap((1.0, 0.25, -2.0))
meta, acc = code["meta"], code["acc"]
regions = {name: reap(w)["acc"]["eaft_gate_norm_sum"] for name, w in
           (("good", (1, 0, 0)), ("uncertain", (0, 1, 0)), ("conflict", (0, 0, 1)))}
n2, gn2, top = (np.zeros((layers, experts)) for _ in range(3))
policy = {k: np.zeros((layers, experts)) for k in regions}
policy_counts = dict.fromkeys(regions, 0)
for b, (ids, keep) in enumerate(blocks):
    for t in np.nonzero(keep)[0]:
        where = None
        if t > 0:
            p, h = runs[b]["scores"]["p"][t], runs[b]["scores"]["H"][t]
            where = ("good" if p > meta["p_lo"] else "conflict" if h <= meta["h_lo"] else
                     "uncertain" if h >= meta["h_hi"] else "good")
            policy_counts[where] += 1
        for l in range(layers):
            for e, g, n in zip(*(runs[b][k][l, t] for k in ("ids", "gates", "norms"))):
                n2[l, e] += n * n
                gn2[l, e] += (g * n) ** 2
                top[l, e] = max(top[l, e], n)
                if where:
                    policy[where][l, e] += g * n

with open(out + ".expected.json", "w") as f:
    json.dump({
        "thresholds": {k: meta[k] for k in ("p_lo", "h_lo", "h_hi", "samples")},
        "tokens": int(sum(keep.sum() for _, keep in blocks)),
        "regions": {"code": meta["region_counts"], "policy": policy_counts},
        "sums": [{
            "layer": l, "expert": e, "count": int(acc["count"][l, e]),
            "sum_g": acc["gate_sum"][l, e], "sum_n": acc["norm_sum"][l, e],
            "sum_gn": acc["gate_norm_sum"][l, e], "sum_n2": n2[l, e], "sum_gn2": gn2[l, e],
            "max_n": top[l, e], "eaft": acc["eaft_gate_norm_sum"][l, e],
            "code": {k: float(v[l, e]) for k, v in regions.items()},
            "policy": {k: float(v[l, e]) for k, v in policy.items()},
        } for l in range(layers) for e in range(experts)],
        "ranking": {"reap": code["ranking_reap"], "eaft_sum": code["ranking_eaftreap"]},
    }, f, separators=(",", ":"))
    f.write("\n")
print(json.dumps(meta))
