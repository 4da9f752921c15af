#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""compare.py MODEL TOKENS.json EVAL.json

Loads the checkpoint MODEL with safetensors and with Hugging Face's
GptOssForCausalLM, dequantised on the CPU, and compares the log-probability of
every scored token with the `tokens` records of reap-ppl.  Both streams are read
as reap-show prints them.

BF16 tolerance: reap-ppl may be as far from Hugging Face's float32 run as Hugging
Face's own bfloat16 run is, by root mean square; exit 1 when it is farther, or when
perplexities differ by more than 1%.
"""
import json
import math
import os
import sys

import torch
import transformers
from safetensors import safe_open
from transformers import GptOssForCausalLM, Mxfp4Config
from transformers.utils import logging


def records(path, kind):
    with open(path, encoding="utf-8") as f:
        return [r for r in map(json.loads, f) if r.get("t") == kind]


def check_safetensors(directory):
    """The library itself opens every file and finds what the index says."""
    with open(os.path.join(directory, "model.safetensors.index.json"), encoding="utf-8") as f:
        index = json.load(f)["weight_map"]
    found = {}
    for name in sorted(set(index.values())):
        with safe_open(os.path.join(directory, name), framework="pt") as f:
            if f.metadata() != {"format": "pt"}:
                sys.exit("%s: metadata %s" % (name, f.metadata()))
            for t in f.keys():
                f.get_tensor(t)
                found[t] = name
    if found != index:
        sys.exit("%s: safetensors finds other tensors than the index" % directory)
    print("%s: safetensors reads %d tensors in %d files" % (directory, len(found), len(set(index.values()))))


def load(directory, dtype, unexpected=None):
    """Tensors that the model has no place for may have names that end in `unexpected`."""
    config = transformers.AutoConfig.from_pretrained(directory)
    extra = {}
    if getattr(config, "quantization_config", None):
        extra["quantization_config"] = Mxfp4Config(dequantize=True)
    model, info = GptOssForCausalLM.from_pretrained(
        directory, dtype=dtype, attn_implementation="eager", output_loading_info=True, **extra)
    for key in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        wrong = [k for k in info[key] if unexpected is None or not k.endswith(unexpected)]
        if wrong:
            sys.exit("%s: %s: %s" % (directory, key, sorted(wrong)[:5]))
    return model.float() if dtype == torch.float32 else model


@torch.inference_mode()
def log_probs(model, ids, positions):
    logits = model(torch.tensor([ids])).logits[0].double()
    lp = torch.log_softmax(logits, -1)
    return [lp[p - 1, ids[p]].item() for p in positions]


def rms(a, b):
    return math.sqrt(sum((x - y) ** 2 for x, y in zip(a, b)) / len(a))


def main():
    directory, tokens, evals = sys.argv[1:]
    logging.disable_progress_bar()
    check_safetensors(directory)
    ids = {r["index"]: r["ids"] for r in records(tokens, "block")}
    scored = [(r["block"], r["positions"], [-x for x in r["nll"]]) for r in records(evals, "tokens")]
    ours = [lp for _, _, block in scored for lp in block]
    hf = {}
    for name in ("float32", "bfloat16"):
        model = load(directory, getattr(torch, name))
        hf[name] = [lp for b, pos, _ in scored for lp in log_probs(model, ids[b], pos)]
        del model
    exact = hf["float32"]
    away, allowed = rms(ours, exact), rms(hf["bfloat16"], exact)
    ppl = {n: math.exp(-sum(v) / len(v)) for n, v in
           (("reap-ppl", ours), ("float32", exact), ("bfloat16", hf["bfloat16"]))}
    print("%s: transformers %s, %d tokens: rms of delta log p to float32: reap-ppl %.6f "
          "(max %.6f), transformers bfloat16 %.6f" % (
              directory, transformers.__version__, len(ours), away,
              max(abs(a - b) for a, b in zip(ours, exact)), allowed))
    print("%s: ppl: %s" % (directory, ", ".join("%s %.6f" % p for p in ppl.items())))
    if not away <= allowed or abs(ppl["reap-ppl"] / ppl["float32"] - 1) > 0.01:
        sys.exit("%s: reap-ppl is farther from transformers than BF16 explains" % directory)


if __name__ == "__main__":
    main()
