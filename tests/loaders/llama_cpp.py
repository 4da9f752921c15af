#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""llama_cpp.py SOURCE PRE TOKENS.json EVAL.json PRUNED_EVAL.json MODEL PRUNED

Converts a checkpoint and a pruning of it with llama.cpp's own converter, which lies in
the folder SOURCE, and compares the perplexity of both with that of reap-ppl, on the kept
tokens of the blocks of TOKENS, as reap-show prints them.  PRE names the split pattern of
the tokenizer, which the converter tells by the ids of a real vocabulary only.  llama.cpp
is that of the package cyllama.
"""
import json
import logging
import math
import os
import runpy
import sys
import tempfile

import cyllama.llama.llama_cpp as llama
import numpy

NEAR = 0.005  # perplexity
RATIO = 0.002  # that of the pruned model over that of the base


def records(path, kind):
    with open(path, encoding="utf-8") as f:
        return [r for r in map(json.loads, f) if r.get("t") == kind]


def convert(source, pre, model, out):
    logging.disable(logging.INFO)
    os.environ["TQDM_DISABLE"] = "1"
    sys.path[:0] = [source, os.path.join(source, "gguf-py")]
    import conversion.base
    conversion.base.TextModel.get_vocab_base_pre = lambda self, tokenizer: pre
    sys.argv = ["convert_hf_to_gguf.py", model, "--outfile", out, "--outtype", "f32"]
    runpy.run_path(os.path.join(source, sys.argv[0]), run_name="__main__")


class Model(llama.LlamaModel):
    @property
    def n_vocab(self):
        """Which the context asks for, and LlamaModel of 0.2.18 does not have."""
        return self.get_vocab().n_vocab


class Llama:
    def __init__(self, path, context):
        llama.disable_logging()
        p = llama.LlamaContextParams()
        p.n_ctx = p.n_batch = p.n_ubatch = context
        p.n_threads = p.n_threads_batch = len(os.sched_getaffinity(0))
        p.type_k = p.type_v = 0  # F32
        p.flash_attn_type = 0  # no
        self.model = Model(path_model=path, params=llama.LlamaModelParams(), verbose=False)
        self.context = llama.LlamaContext(model=self.model, params=p, verbose=False)

    def logits(self, ids):
        """A row for each token."""
        self.context.kv_cache_clear()
        batch = llama.LlamaBatch(n_tokens=len(ids), embd=0, n_seq_max=1)
        for i, t in enumerate(ids):
            batch.add(t, i, [0], True)
        self.context.decode(batch)
        return numpy.array([self.context.get_logits_ith(i) for i in range(len(ids))], numpy.float64)

    def perplexity(self, blocks):
        nll = []
        for b in blocks:
            x = self.logits(b["ids"])
            top = x.max(axis=1, keepdims=True)
            x -= top + numpy.log(numpy.exp(x - top).sum(axis=1, keepdims=True))
            nll += [-x[i - 1, t] for i, (t, keep) in enumerate(zip(b["ids"], b["keep"])) if keep]
        return math.exp(sum(nll) / len(nll))


def main():
    source, pre, tokens, evals, pruned_evals, *models = sys.argv[1:]
    blocks = records(tokens, "block")
    ours, theirs = [], []
    for model, path in zip(models, (evals, pruned_evals)):
        nll = [x for r in records(path, "tokens") for x in r["nll"]]
        ours.append(math.exp(sum(nll) / len(nll)))
        with tempfile.TemporaryDirectory() as d:
            out = os.path.join(d, "model.gguf")
            convert(source, pre, model, out)
            theirs.append(Llama(out, max(len(b["ids"]) for b in blocks)).perplexity(blocks))
        print("%s: ppl of llama.cpp %.5f, of reap-ppl %.5f" % (model, theirs[-1], ours[-1]))
    off = theirs[1] / theirs[0] / (ours[1] / ours[0]) - 1
    print("pruned over base: %.6f and %.6f" % (theirs[1] / theirs[0], ours[1] / ours[0]))
    if any(abs(a / b - 1) > NEAR for a, b in zip(theirs, ours)) or abs(off) > RATIO:
        sys.exit("llama.cpp has another perplexity")


if __name__ == "__main__":
    main()
