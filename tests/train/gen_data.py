# SPDX-License-Identifier: MIT
"""Generate the three packs, each split into train, calib and eval.

    gen_data.py FOLDER

One seed and a fixed order: the same texts every time.
"""

import os
import random
import sys

import gen_reasoning
import gen_texts
import gen_tools
import harmony

SEED = 20250805
EVAL_ROWS, CALIB_ROWS = 200, 400        # the rest is for training


def rows_up_to(make_row, rng, chars):
    rows, total = [], 0
    while total < chars:
        rows.append(make_row(rng))
        total += len(rows[-1])
    return rows


def distinct(rows):
    """Of rows that differ in the system message only, keep the first."""
    seen, kept = set(), []
    for row in rows:
        rest = row[row.index("<|end|>"):]
        if rest not in seen:
            seen.add(rest)
            kept.append(row)
    return kept


def write_rows(folder, pack, split, rows):
    path = os.path.join(folder, "%s.%s.jsonl" % (pack, split))
    with open(path, "w", encoding="utf-8") as file:
        for i, text in enumerate(rows):
            row_id = "%s-%s-%05d" % (pack, split, i)
            file.write(harmony.to_json({"id": row_id, "text": text}) + "\n")


def write_pack(folder, pack, rows):
    rows = distinct(rows)
    first_train = EVAL_ROWS + CALIB_ROWS
    write_rows(folder, pack, "eval", rows[:EVAL_ROWS])
    write_rows(folder, pack, "calib", rows[EVAL_ROWS:first_train])
    write_rows(folder, pack, "train", rows[first_train:])


def main():
    folder, = sys.argv[1:]
    rng = random.Random(SEED)
    write_pack(folder, "reasoning_style",
               rows_up_to(gen_reasoning.row, rng, 3_000_000))
    write_pack(folder, "tool_agentic",
               rows_up_to(gen_tools.row, rng, 3_200_000))
    write_pack(folder, "calib_prompt", gen_texts.rows(rng))


if __name__ == "__main__":
    main()
