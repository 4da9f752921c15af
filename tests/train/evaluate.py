# SPDX-License-Identifier: MIT
"""How a model folder fares when its experts are pruned by each criterion.

    evaluate.py MODEL PACKS --split calib|eval [--keep N] [--score-on WHAT]

Experts are scored on the calib split, always; plans are judged on the split
that is asked for.  Choose with calib, and look at eval once, at the end.
Pruning is done by masking the router, which gives what a pruned checkpoint
gives.  Assistant tokens are the contents of the assistant's messages, of
every channel, without headers and end tags.
"""

import argparse
import math
import multiprocessing
import os

import numpy as np
import torch

from checkpoint import read_parameters
from dataset import PACKS, encode_rows
from model import Config, Model
from tokenizer import Tokenizer

RANDOM_SEEDS = (0, 1, 2)


def assistant_mask(tokenizer, ids):
    special = tokenizer.specials
    ends = {special[name] for name in ("<|end|>", "<|call|>", "<|return|>")}
    role, = tokenizer.encode("assistant")
    mask = torch.zeros(len(ids), dtype=torch.bool)
    ids, assistant, content = ids.tolist(), False, False
    for i, token in enumerate(ids):
        if token == special["<|start|>"]:
            assistant = ids[i + 1:i + 2] == [role]
        if token in ends:
            content = False
        mask[i] = content
        if token == special["<|message|>"]:
            content = assistant
    return mask


class Evaluator:
    def __init__(self, folder, packs, split):
        self.config = Config()
        self.model = Model(self.config, read_parameters(folder))
        tokenizer = Tokenizer(os.path.join(folder, "tokenizer.json"))

        def rows_of(split):
            return {pack: [(ids, assistant_mask(tokenizer, ids)) for ids in
                           encode_rows(tokenizer, packs, pack, split)]
                    for pack in PACKS}

        self.calib = rows_of("calib")
        self.judged = self.calib if split == "calib" else rows_of(split)

    def usage(self, score_on):
        """Sum of gate * norm, and count, [layer, expert] on calib."""
        shape = (self.config.layers, self.config.experts)
        mass, count = np.zeros(shape), np.zeros(shape)
        for ids, mask in (row for rows in self.calib.values() for row in rows):
            _, routing = self.model.token_losses(ids)
            if score_on == "all":
                mask = torch.ones_like(mask)
            for layer, route in enumerate(routing):
                chosen = route["chosen"][mask].flatten().numpy()
                weight = route["gate"] * route["norm"]
                weight = weight[mask].flatten().numpy()
                np.add.at(mass[layer], chosen, weight)
                np.add.at(count[layer], chosen, 1)
        return mass, count

    def losses(self, keep):
        """Pack -> [[assistant sum, count], [sum, count over all]]."""
        masked = None
        if keep is not None:
            masked = torch.ones(self.config.layers, self.config.experts,
                                dtype=torch.bool)
            for layer, experts in enumerate(keep):
                masked[layer, torch.tensor(experts.copy())] = False
        result = {}
        for pack, rows in self.judged.items():
            sums = np.zeros((2, 2))
            for ids, mask in rows:
                losses, _ = self.model.token_losses(ids, masked=masked)
                chosen = losses[mask[1:]]
                sums += [[float(chosen.sum()), len(chosen)],
                         [float(losses.sum()), len(losses)]]
            result[pack] = sums
        return result


def plans(mass, count, keep):
    """Name -> kept experts per layer, best first."""
    mean = mass / np.maximum(count, 1)
    result = {
        "reap": np.argsort(-mean, 1, kind="stable"),
        "weighted_ean_sum": np.argsort(-mass, 1, kind="stable"),
        "frequency": np.argsort(-count, 1, kind="stable"),
    }
    for seed in RANDOM_SEEDS:
        random = np.random.default_rng(seed)
        result["random, seed %d" % seed] = np.stack(
            [random.permutation(mass.shape[1]) for _ in mass])
    result["reversed reap"] = result["reap"][:, ::-1]
    result["reversed weighted_ean_sum"] = result["weighted_ean_sum"][:, ::-1]
    return {name: order[:, :keep] for name, order in result.items()}


def perplexities(losses):
    """[assistant, all] over all packs, and the former for each pack."""
    total = sum(losses.values())
    ppl = {"assistant": math.exp(total[0, 0] / total[0, 1]),
           "all": math.exp(total[1, 0] / total[1, 1])}
    for pack, sums in losses.items():
        ppl[pack] = math.exp(sums[0, 0] / sums[0, 1])
    return ppl


def describe_usage(mass, count, keep):
    share = count / count.sum(1, keepdims=True)
    orders = {name: plan for name, plan in plans(mass, count, keep).items()
              if "random" not in name and "reversed" not in name}
    for layer in range(len(mass)):
        low = np.sort(share[layer])[:-keep].sum()
        print("layer %d: least used %d experts get %.2f%% of the selections, "
              "%d get none; reap and weighted_ean_sum keep %d alike, reap and "
              "frequency %d" % (
                  layer, mass.shape[1] - keep, 100 * low,
                  (count[layer] == 0).sum(),
                  len(set(orders["reap"][layer]) &
                      set(orders["weighted_ean_sum"][layer])),
                  len(set(orders["reap"][layer]) &
                      set(orders["frequency"][layer]))))


def work(job):
    name, keep = job
    return name, perplexities(EVALUATOR.losses(keep))


def main():
    global EVALUATOR    # the forked processes find it here
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("packs", help="folder with the *.jsonl files")
    parser.add_argument("--split", choices=("calib", "eval"), required=True)
    parser.add_argument("--keep", type=int, default=24)
    parser.add_argument("--score-on", choices=("assistant", "all"),
                        default="assistant", help="tokens that count in the "
                        "scores of the experts")
    args = parser.parse_args()
    torch.set_num_threads(1)
    EVALUATOR = Evaluator(args.model, args.packs, args.split)
    mass, count = EVALUATOR.usage(args.score_on)
    describe_usage(mass, count, args.keep)
    jobs = [("base", None), *plans(mass, count, args.keep).items()]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        results = dict(pool.map(work, jobs, chunksize=1))
    print("%s, keep %d of %d, scored on %s tokens of calib; perplexity of the "
          "%s split" % (args.model, args.keep, EVALUATOR.config.experts,
                        args.score_on, args.split))
    columns = ("assistant", "all", *PACKS)
    print("%-26s %s" % ("", " ".join("%15s" % c for c in columns)))
    for name, ppl in results.items():
        print("%-26s %s" % (name, " ".join("%15.3f" % ppl[c]
                                           for c in columns)))


if __name__ == "__main__":
    main()
