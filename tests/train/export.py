# SPDX-License-Identifier: MIT
"""A training checkpoint -> a model folder in Hugging Face layout.

    export.py CHECKPOINT TOKENIZER.json FOLDER
"""

import sys

import torch

from checkpoint import write_checkpoint
from model import Config

if __name__ == "__main__":
    source, tokenizer, folder = sys.argv[1:]
    torch.set_num_threads(1)
    write_checkpoint(folder, Config(), torch.load(source)["flat"], tokenizer)
