#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""readings.py KINDS DIR TOKENS.json EVALS

For each checkpoint that tests/hostile.py says is taken: does the transformers
installed here make the same log-probabilities of it as reap-ppl in FP32?  KINDS is
what hostile.py printed, DIR where it wrote, EVALS a directory with KIND.json, as
reap-show prints the output of reap-ppl.  What this version cannot load is named.
"""
import json
import os
import sys

import torch
import transformers
from transformers.utils import logging

from compare import load, log_probs, records


def main():
    kinds, directory, tokens, evals = sys.argv[1:]
    logging.disable_progress_bar()
    ids = {r["index"]: r["ids"] for r in records(tokens, "block")}
    farthest, n = 0, 0
    with open(kinds, encoding="utf-8") as f:
        taken = [k for k, expect in (line.rstrip("\n").split("\t") for line in f) if expect.startswith("=")]
    for kind in taken:
        try:
            model = load(os.path.join(directory, kind), torch.float32, unexpected="scale")
        except (OSError, RuntimeError, KeyError) as err:
            print("%s: not loaded: %s" % (kind, str(err).split("\n")[0][:100]))
            continue
        for r in records(os.path.join(evals, kind + ".json"), "tokens"):
            theirs = log_probs(model, ids[r["block"]], r["positions"])
            away = max(abs(a + b) for a, b in zip(theirs, r["nll"]))
            farthest = max(farthest, away)
            if away > 1e-3:
                sys.exit("%s: log p differs by %g" % (kind, away))
        n += 1
    print("transformers %s: %d spellings, the numbers of reap-ppl but for %.1e" % (
        transformers.__version__, n, farthest))
    if n < len(taken) - 4:
        sys.exit("only %d of %d were loaded" % (n, len(taken)))


main()
