# SPDX-License-Identifier: MIT
"""Train a small GPT-OSS model; two processes, the same bytes every time.

The work of a step is cut into microbatches, each with a gradient buffer of
its own.  Whichever process is free takes the next one; the buffers are then
added in their order.  So it does not matter who computed what, and nothing
depends on the clock: a step's blocks and random choices follow from its
number, and a run that was cut off and resumed ends with the same bytes.
"""

import argparse
import hashlib
import json
import math
import os
import time

import numpy as np
import torch
import torch.multiprocessing as mp

from dataset import TrainingBlocks
from model import (Config, Model, address, c_float, c_long,
                   initial_parameters, kern, parameter_count, split_flat)

PROCESSES = 2
MICROBATCHES = 4
BLOCKS = 2              # in a microbatch
LENGTH = 512

PEAK_RATE = 3e-3
LAST_RATE = 0.02        # of the peak, reached on a half cosine
WARMUP_STEPS = 60
COSINE_FROM = 0.25      # of the steps, as all fractions below
WEIGHT_DECAY = 0.05
BETA1, BETA2, EPS = 0.9, 0.95, 1e-8
CLIP = 1.0

# A balance loss strong enough that every expert gets going, and then so weak
# that some become much more important than others, as in large models.
BALANCE_FIRST, BALANCE_LAST, BALANCE_UNTIL = 6e-3, 2e-4, 0.35

# Towards the end the experts' weights are seen as MXFP4 will store them.
ROUND_FROM = 0.8

# Expert dropout: in some microbatches the router may not choose the eight
# experts of each layer that pruning would remove: the lowest ones by the sum
# or by the mean of gate * norm over the latest steps, a coin says which.
DROP_EXPERTS = 8
DROP_FROM = 0.3
USAGE_MEMORY = 0.99     # a step

RECIPES = {"model": 0.4, "model-plain": 0.0}    # share of such microbatches

CHECKPOINT_STEPS = 100
REPORT_STEPS = 20


def learning_rate(step, steps):
    rate = PEAK_RATE * min(1.0, (step + 1) / WARMUP_STEPS)
    past = (step / steps - COSINE_FROM) / (1 - COSINE_FROM)
    if past > 0:
        fall = 0.5 * (1 + math.cos(math.pi * past))
        rate *= LAST_RATE + (1 - LAST_RATE) * fall
    return rate


def balance_weight(step, steps):
    left = max(0.0, 1 - step / steps / BALANCE_UNTIL)
    return BALANCE_LAST + (BALANCE_FIRST - BALANCE_LAST) * left


def balance_loss(routing):
    """1 where a layer spreads its tokens evenly, up to `experts` if not."""
    total = 0.0
    for route in routing:
        experts = route["logits"].shape[1]
        chosen = route["chosen"].flatten()
        share = torch.bincount(chosen, minlength=experts) / chosen.numel()
        mean_prob = route["logits"].softmax(-1).mean(0)
        total = total + experts * (share * mean_prob).sum()
    return total / len(routing)


def count_usage(routing, usage):
    """usage[0] += sum of gate * norm, usage[1] += count, [layer, expert]."""
    for layer, route in enumerate(routing):
        chosen = route["chosen"].flatten()
        mass = (route["gate"] * route["norm"]).flatten()
        usage[0, layer].index_add_(0, chosen, mass)
        usage[1, layer].index_add_(0, chosen, torch.ones_like(mass))


def lowest_experts(usage, by_mean):
    """Mask [layer, expert] of the DROP_EXPERTS lowest ones."""
    mass, count = usage
    score = mass / count.clamp(min=1) if by_mean else mass
    lowest = score.topk(DROP_EXPERTS, largest=False)[1]
    return torch.zeros_like(mass, dtype=torch.bool).scatter_(1, lowest, True)


class Shared:
    """What the processes share."""

    def __init__(self, config, seed):
        total, self.decayed = parameter_count(config)
        self.flat = initial_parameters(config, seed)
        self.mean = torch.zeros(total)          # AdamW's two moments
        self.square = torch.zeros(total)
        self.grads = [torch.zeros(total) for _ in range(MICROBATCHES)]
        shape = (2, config.layers, config.experts)
        self.usage = torch.zeros(shape)         # over the latest steps
        self.micro_usage = torch.zeros(MICROBATCHES, *shape)
        # loss, balance loss, masked?  of each microbatch
        self.report = torch.zeros(MICROBATCHES, 3, dtype=torch.float64)
        self.norm_parts = torch.zeros(PROCESSES, dtype=torch.float64)
        self.step = 0
        for tensor in (self.flat, self.mean, self.square, self.usage,
                       self.micro_usage, self.report, self.norm_parts,
                       *self.grads):
            tensor.share_memory_()
        self.next_micro = mp.Value("i", 0)
        self.barrier = mp.Barrier(PROCESSES)

    STATE = ("flat", "mean", "square", "usage")

    def save(self, path, step, steps, args):
        state = {name: getattr(self, name) for name in self.STATE}
        state.update(step=step, steps=steps, recipe=args.recipe,
                     seed=args.seed)
        torch.save(state, path + ".tmp")
        os.replace(path + ".tmp", path)
        return hashlib.sha256(self.flat.numpy()).hexdigest()[:16]

    def load(self, path, args):
        state = torch.load(path)
        for name in ("steps", "recipe", "seed"):
            if state[name] != getattr(args, name):
                raise SystemExit("%s: made with another %s" % (path, name))
        for name in self.STATE:
            getattr(self, name).copy_(state[name])
        self.step = state["step"]


class Worker:
    def __init__(self, rank, shared, config, blocks, args):
        self.rank, self.shared, self.config = rank, shared, config
        self.blocks, self.args = blocks, args
        self.params = {name: torch.nn.Parameter(view) for name, view in
                       split_flat(config, shared.flat).items()}
        self.grad_views = [split_flat(config, grad) for grad in shared.grads]
        self.model = Model(config, self.params, LENGTH)
        total = shared.flat.numel()
        self.begin = rank * total // PROCESSES      # its part in the sums
        self.end = (rank + 1) * total // PROCESSES

    def take_micro(self):
        with self.shared.next_micro.get_lock():
            micro = self.shared.next_micro.value
            self.shared.next_micro.value += 1
        return micro

    def run_micro(self, step, micro, data):
        args, shared = self.args, self.shared
        rng = np.random.default_rng([args.seed, step, micro])
        drop = (step >= DROP_FROM * args.steps and
                rng.random() < RECIPES[args.recipe])
        masked = None
        if drop:
            masked = lowest_experts(shared.usage, by_mean=rng.random() < 0.5)
        for name, param in self.params.items():
            param.grad = self.grad_views[micro][name]
        loss, routing = self.model.loss(
            data[micro * BLOCKS:(micro + 1) * BLOCKS],
            quantize=step >= ROUND_FROM * args.steps, masked=masked)
        balance = balance_loss(routing)
        total = loss + balance_weight(step, args.steps) * balance
        (total / MICROBATCHES).backward()
        # Masked experts would look useless in the usage: leave it out.
        shared.micro_usage[micro].zero_()
        if not drop:
            count_usage(routing, shared.micro_usage[micro])
        shared.report[micro] = torch.tensor(
            [float(loss), float(balance), float(drop)])

    def update(self, step):
        """Add up the gradients, then one AdamW step on this process's part."""
        shared = self.shared
        part = slice(self.begin, self.end)
        grad = shared.grads[0][part]
        for other in shared.grads[1:]:
            kern.add_and_clear(c_long(grad.numel()), address(grad),
                               address(other[part]))
        shared.norm_parts[self.rank] = kern.sum_of_squares(
            c_long(grad.numel()), address(grad))
        shared.barrier.wait()
        norm = math.sqrt(float(shared.norm_parts.sum()))
        for begin, end, decay in ((0, shared.decayed, WEIGHT_DECAY),
                                  (shared.decayed, shared.flat.numel(), 0.0)):
            begin, end = max(begin, self.begin), min(end, self.end)
            if begin >= end:
                continue
            kern.adamw(
                c_long(end - begin),
                *(address(tensor[begin:end]) for tensor in (
                    shared.flat, shared.grads[0], shared.mean,
                    shared.square)),
                c_float(min(1.0, CLIP / (norm + 1e-6))),
                c_float(learning_rate(step, self.args.steps)),
                c_float(BETA1), c_float(BETA2), c_float(EPS), c_float(decay),
                c_float(1 / (1 - BETA1 ** (step + 1))),
                c_float(1 / (1 - BETA2 ** (step + 1))))
        return norm

    def run(self):
        shared, steps = self.shared, self.args.steps
        log = Log(self.args, self.config) if self.rank == 0 else None
        for step in range(shared.step, min(steps, self.args.stop)):
            data = self.blocks.step(step, MICROBATCHES * BLOCKS)
            while (micro := self.take_micro()) < MICROBATCHES:
                self.run_micro(step, micro, data)
            shared.barrier.wait()
            norm = self.update(step)
            if self.rank == 0:
                shared.next_micro.value = 0
                if bool((shared.report[:, 2] == 0).any()):
                    shared.usage.mul_(USAGE_MEMORY)
                    for usage in shared.micro_usage:
                        shared.usage.add_(usage)
                log.step(step, shared, norm)
            shared.barrier.wait()
            if self.rank == 0 and ((step + 1) % CHECKPOINT_STEPS == 0 or
                                   step + 1 == min(steps, self.args.stop)):
                digest = shared.save(self.args.out, step + 1, steps, self.args)
                log.say("step %d saved, parameters %s" % (step + 1, digest))


class Log:
    def __init__(self, args, config):
        self.args, self.start = args, time.time()
        self.reports, self.norms = [], []
        self.say("recipe %s, seed %d, %d steps of %d tokens, %d parameters" % (
            args.recipe, args.seed, args.steps,
            MICROBATCHES * BLOCKS * LENGTH, parameter_count(config)[0]))

    def say(self, text):
        print("%s %s" % (time.strftime("%H:%M:%S"), text), flush=True)

    def step(self, step, shared, norm):
        self.reports.append(shared.report.clone())
        self.norms.append(norm)
        if (step + 1) % REPORT_STEPS:
            return
        loss, balance, drop = torch.cat(self.reports).unbind(1)
        count = shared.usage[1]
        tail = count * lowest_experts(shared.usage, by_mean=False)
        self.say("step %d loss %.4f masked %s balance %.2f grad %.2f rate "
                 "%.2g lowest experts get %s of the tokens, %.2f s/step" %
                 (step + 1, loss[drop == 0].mean(),
                  "%.4f" % loss[drop == 1].mean() if drop.any() else "-",
                  balance[drop == 0].mean(), np.mean(self.norms),
                  learning_rate(step, self.args.steps),
                  " ".join("%.3f" % share
                           for share in tail.sum(1) / count.sum(1)),
                  (time.time() - self.start) / len(self.reports)))
        self.reports, self.norms, self.start = [], [], time.time()


def run_worker(*args):
    torch.set_num_threads(1)
    Worker(*args).run()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", choices=RECIPES, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--texts", required=True,
                        help="folder with the *.train.jsonl files")
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--out", required=True, help="the checkpoint")
    parser.add_argument("--stop", type=int, default=1 << 30, help="stop "
                        "after this step; another call goes on from there")
    args = parser.parse_args()

    torch.set_num_threads(1)
    config = Config()
    shared = Shared(config, args.seed)
    if os.path.exists(args.out):
        shared.load(args.out, args)
    blocks = TrainingBlocks(args.texts, args.tokenizer, LENGTH + 1, args.seed)
    print(json.dumps({"rows": len(blocks.rows), "tokens": blocks.tokens,
                      "blocks_per_epoch": blocks.per_epoch}), flush=True)
    others = [mp.Process(target=run_worker,
                         args=(rank, shared, config, blocks, args))
              for rank in range(1, PROCESSES)]
    for process in others:
        process.start()
    run_worker(0, shared, config, blocks, args)
    for process in others:
        process.join()


if __name__ == "__main__":
    mp.set_start_method("fork")
    main()
