# SPDX-License-Identifier: MIT
"""The packs as token ids, and the order in which training sees them."""

import json
import os

import numpy as np
import torch

from tokenizer import Tokenizer

PACKS = ("reasoning_style", "tool_agentic", "calib_prompt")


def read_texts(folder, pack, split):
    with open(os.path.join(folder, "%s.%s.jsonl" % (pack, split)),
              encoding="utf-8") as lines:
        return [json.loads(line)["text"] for line in lines]


def encode_rows(tokenizer, folder, pack, split):
    return [torch.tensor(tokenizer.encode(text))
            for text in read_texts(folder, pack, split)]


class TrainingBlocks:
    """Blocks of block_size ids, shuffled anew in every epoch.

    A block is a run of whole rows, cut at its end: what the last row has too
    much is dropped, so that every block starts with a row's beginning.
    """

    def __init__(self, folder, tokenizer_path, block_size, seed):
        tokenizer = Tokenizer(tokenizer_path)
        self.rows = [row for pack in PACKS
                     for row in encode_rows(tokenizer, folder, pack, "train")]
        self.block_size, self.seed = block_size, seed
        self.tokens = sum(map(len, self.rows))
        # Epochs differ a little in their number of blocks; all are cut to
        # this many, so that a step number alone says which blocks it gets.
        self.per_epoch = int(len(self.make_epoch(0)) * 0.97)
        self.epoch = -1

    def make_epoch(self, epoch):
        order = np.random.default_rng([self.seed, epoch]).permutation(
            len(self.rows))
        blocks, run, length = [], [], 0
        for i in order:
            run.append(self.rows[i])
            length += len(self.rows[i])
            if length >= self.block_size:
                blocks.append(torch.cat(run)[:self.block_size])
                run, length = [], 0
        return torch.stack(blocks)

    def step(self, step, count):
        """The `count` blocks of one step."""
        epoch, place = divmod(step, self.per_epoch // count)
        if epoch != self.epoch:
            self.blocks = self.make_epoch(epoch)[:self.per_epoch]
            self.epoch = epoch
        return self.blocks[place * count:(place + 1) * count]
