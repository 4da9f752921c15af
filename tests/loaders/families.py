#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""families.py MODEL PRUNED TOKENS.json TRACE_F32.json TRACE_BF16.json PRUNED_F32.json

Compares a random checkpoint of any family, and a pruning of it, with transformers.
The token stream and the traces of reap-route are read as reap-show prints them.

In float32 the same experts must be chosen wherever the race is not closer than
single precision decides, and no log-probability be off by more than 2e-4; in the
processor's own arithmetic the rms of what it is off must be at most half of that of
transformers' bfloat16.  Of the pruned checkpoint: as exact as transformers with the
same experts deleted in torch, whose log-probabilities must be those of transformers
with the pruned checkpoint.
"""
import json
import math
import os
import re
import sys

import torch
import transformers
from transformers.utils import logging

CLOSE = 1e-5  # of a router's scores
EXACT = 2e-4


def records(path, kind):
    with open(path, encoding="utf-8") as f:
        return [r for r in map(json.loads, f) if r.get("t") == kind]


def is_ahead(config, key):
    m = re.match(r"model\.layers\.(\d+)\.", key)
    return m is not None and int(m[1]) >= config.num_hidden_layers


def load(directory, dtype):
    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        directory, dtype=dtype, attn_implementation="eager", output_loading_info=True)
    for key in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        # What predicts further tokens is no part of the model.
        wrong = sorted(k for k in info[key] if not is_ahead(model.config, k))
        if wrong:
            sys.exit("%s: %s: %s" % (directory, key, wrong[:5]))
    return model


def routers(model):
    return [m for n, m in model.named_modules() if n.endswith("mlp.gate") and hasattr(m, "weight")]


def lead(x, k):
    """Of the k-th largest over the next."""
    top = x.topk(min(k + 1, x.shape[-1])).values
    return top[..., k - 1] - top[..., k] if k < top.shape[-1] else torch.full(top.shape[:-1], math.inf)


def race(router, inputs, outputs):
    """How close each token's choice was, and the experts chosen."""
    scores, chosen = outputs[0].float(), outputs[-1]
    bias = inputs[1] if len(inputs) > 1 else getattr(router, "e_score_correction_bias", None)
    if bias is not None:
        scores = scores.sigmoid() + bias
    return lead(scores, chosen.shape[-1]), chosen


@torch.inference_mode()
def run(model, blocks):
    """log p of every token but the first of each block, and per layer with experts how close
    each token's choice was, and the experts chosen."""
    seen = []
    hooks = [r.register_forward_hook(lambda *x: seen.append(race(*x))) for r in routers(model)]
    logp, chosen = [], []
    for ids in blocks:
        seen.clear()
        lp = torch.log_softmax(model(torch.tensor([ids])).logits[0].double(), -1)
        logp += [lp[p - 1, ids[p]].item() for p in range(1, len(ids))]
        chosen.append(list(seen))
    for h in hooks:
        h.remove()
    return logp, chosen


def delete_experts(model, mapping):
    """What pruning means, in torch: rows of the router and of what belongs to an expert."""
    for layer, m in enumerate(model.model.layers):
        keep = [None] * len(mapping.get(str(layer), {}))
        for old, new in mapping.get(str(layer), {}).items():
            keep[new] = int(old)
        keep = torch.tensor(keep)
        for owner in (m.mlp.gate, m.mlp.experts, m.mlp) if len(keep) > 0 else ():
            for name, p in list(owner.named_parameters(recurse=False)):
                setattr(owner, name, torch.nn.Parameter(p.data[keep], requires_grad=False))
            for name, p in list(owner.named_buffers(recurse=False)):
                setattr(owner, name, p[keep])
            for attribute in ("num_experts", "n_routed_experts"):
                if hasattr(owner, attribute):
                    setattr(owner, attribute, len(keep))


def rms(a, b):
    return math.sqrt(sum((x - y) ** 2 for x, y in zip(a, b)) / len(a))


def worst(a, b):
    return max(abs(x - y) for x, y in zip(a, b))


def outcomes(path):
    """log p of a trace in which every token is kept."""
    return [x for r in records(path, "outcome") for x in r["logp"][1:]]


def compare_sets(path, chosen):
    """Sets of experts in all, and of those that differ."""
    sets = differ = 0
    first = min(r["layer"] for r in records(path, "route"))  # with experts
    for r in records(path, "route"):
        close, experts = chosen[r["block"]][r["layer"] - first]
        for t, mine in enumerate(r["experts"]):
            sets += 1
            if sorted(mine) != sorted(experts[t].tolist()) and close[t] > CLOSE:
                differ += 1
    return sets, differ


def main():
    directory, pruned, tokens, trace, trace_bf16, trace_pruned = sys.argv[1:]
    logging.disable_progress_bar()
    blocks = [r["ids"] for r in records(tokens, "block")]
    faults = []

    def check(condition, text):
        print("%s%s" % ("" if condition else "FAULT: ", text))
        if not condition:
            faults.append(text)

    model = load(directory, torch.float32)
    exact, chosen = run(model, blocks)
    mine = outcomes(trace)
    sets, differ = compare_sets(trace, chosen)
    check(sets > 0 and differ == 0, "%d sets of experts, %d differ" % (sets, differ))
    check(worst(mine, exact) <= EXACT, "float32: log p of %d tokens within %.2g" % (len(exact), worst(mine, exact)))
    rough, _ = run(load(directory, torch.bfloat16), blocks)
    off, allowed = rms(outcomes(trace_bf16), exact), rms(rough, exact)
    check(off <= allowed / 2, "rms off: %.4g, transformers in bfloat16 %.4g" % (off, allowed))
    with open(os.path.join(pruned, "expert_mapping.json"), encoding="utf-8") as f:
        delete_experts(model, json.load(f))
    deleted, _ = run(model, blocks)
    loaded, _ = run(load(pruned, torch.float32), blocks)
    check(worst(loaded, deleted) <= EXACT, "pruned: transformers as with experts deleted within %.2g" % worst(loaded, deleted))
    mine = outcomes(trace_pruned)
    check(worst(mine, deleted) <= EXACT, "pruned, float32: log p within %.2g" % worst(mine, deleted))
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
