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
import sys

import torch
import transformers
from transformers.utils import logging

CLOSE = 1e-5  # of a router's scores
EXACT = 2e-4


def records(path, kind):
    with open(path, encoding="utf-8") as f:
        return [r for r in map(json.loads, f) if r.get("t") == kind]


def load(directory, dtype):
    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        directory, dtype=dtype, attn_implementation="eager", output_loading_info=True)
    for key in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if info[key]:
            sys.exit("%s: %s: %s" % (directory, key, sorted(info[key])[:5]))
    return model


def routers(model):
    return [m for n, m in model.named_modules() if n.endswith("mlp.gate") and hasattr(m, "weight")]


@torch.inference_mode()
def run(model, blocks):
    """log p of every token but the first of each block, and per layer each token's scores
    for the choice and the experts chosen."""
    seen = []
    hooks = [r.register_forward_hook(lambda m, i, o: seen.append(o)) for r in routers(model)]
    logp, chosen = [], []
    for ids in blocks:
        seen.clear()
        lp = torch.log_softmax(model(torch.tensor([ids])).logits[0].double(), -1)
        logp += [lp[p - 1, ids[p]].item() for p in range(1, len(ids))]
        chosen.append([(o[0].float(), o[-1]) for o in seen])
    for h in hooks:
        h.remove()
    return logp, chosen


def delete_experts(model, mapping):
    """What pruning means, in torch: rows of the router and of what belongs to an expert."""
    for layer, m in enumerate(model.model.layers):
        keep = [None] * len(mapping[str(layer)])
        for old, new in mapping[str(layer)].items():
            keep[new] = int(old)
        keep = torch.tensor(keep)
        for owner in (m.mlp.gate, m.mlp.experts):
            for name, p in list(owner.named_parameters(recurse=False)):
                setattr(owner, name, torch.nn.Parameter(p.data[keep], requires_grad=False))
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
    for r in records(path, "route"):
        scores, experts = chosen[r["block"]][r["layer"]]
        for t, mine in enumerate(r["experts"]):
            sets += 1
            top = scores[t].topk(len(mine) + 1).values
            if sorted(mine) != sorted(experts[t].tolist()) and top[-2] - top[-1] > CLOSE:
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
