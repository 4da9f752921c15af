# SPDX-License-Identifier: MIT
"""Byte-level BPE with the structure of the GPT-OSS tokenizer.

    tokenizer.py OUT.json TEXTS.jsonl...    train on the "text" fields

The split pattern, the special tokens' names and order and the layout of
tokenizer.json are the real tokenizer's; the merges are trained here, and the
special tokens' ids follow the smaller vocabulary.
"""

import collections
import heapq
import json
import sys

import regex

VOCAB_SIZE = 2048
ROOM_FOR_SPECIALS = 32      # the last ids; not all of them are used

SPLIT_PATTERN = "|".join((
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*"
    r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+"
    r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"\p{N}{1,3}",
    r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
    r"\s*[\r\n]+",
    r"\s+(?!\S)",
    r"\s+",
))

# In the order of their ids; None is a reserved one, named after its id.
SPECIALS = (
    "<|startoftext|>", "<|endoftext|>", None, None, "<|return|>",
    "<|constrain|>", None, "<|channel|>", "<|start|>", "<|end|>",
    "<|message|>", None, None, None, "<|call|>", None, None, None, None, None,
    "<|endofprompt|>",
)


def byte_characters():
    """The character that stands for each byte: itself where it prints."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    chars = {byte: chr(byte) for byte in plain}
    for byte in range(256):
        if byte not in chars:
            chars[byte] = chr(256 + len(chars) - len(plain))
    return chars


BYTE_CHAR = byte_characters()
CHAR_BYTE = {char: byte for byte, char in BYTE_CHAR.items()}


def any_of(strings):
    longest_first = sorted(strings, key=len, reverse=True)
    return regex.compile("(" + "|".join(map(regex.escape, longest_first)) +
                         ")")


def merge_pair(symbols, pair):
    merged, i = [], 0
    while i < len(symbols):
        if tuple(symbols[i:i + 2]) == pair:
            merged.append(pair[0] + pair[1])
            i += 2
        else:
            merged.append(symbols[i])
            i += 1
    return merged


class Tokenizer:
    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            spec = json.load(file)
        self.vocab = spec["model"]["vocab"]
        self.rank = {tuple(pair): i
                     for i, pair in enumerate(spec["model"]["merges"])}
        self.specials = {t["content"]: t["id"] for t in spec["added_tokens"]}
        self.split_words = regex.compile(SPLIT_PATTERN)
        self.split_specials = any_of(self.specials)
        self.cache = {}

    def encode_word(self, word):
        symbols = [BYTE_CHAR[byte] for byte in word.encode()]
        if "".join(symbols) in self.vocab:      # ignore_merges
            return [self.vocab["".join(symbols)]]
        while len(symbols) > 1:
            pairs = [pair for pair in zip(symbols, symbols[1:])
                     if pair in self.rank]
            if not pairs:
                break
            symbols = merge_pair(symbols, min(pairs, key=self.rank.get))
        return [self.vocab[symbol] for symbol in symbols]

    def encode(self, text):
        ids = []
        for part in self.split_specials.split(text):
            if part in self.specials:
                ids.append(self.specials[part])
                continue
            for word in self.split_words.findall(part):
                if word not in self.cache:
                    self.cache[word] = self.encode_word(word)
                ids += self.cache[word]
        return ids


def count_words(texts, specials):
    split_specials = any_of(specials)
    split_words = regex.compile(SPLIT_PATTERN)
    counts = collections.Counter()
    for text in texts:
        for part in split_specials.split(text):
            if part not in specials:
                counts.update(split_words.findall(part))
    return counts


def train_merges(word_counts, wanted):
    """The most frequent pair is merged first; ties go to the smaller pair."""
    words = [[BYTE_CHAR[byte] for byte in word.encode()]
             for word in word_counts]
    counts = list(word_counts.values())
    pair_count = collections.Counter()
    words_with = collections.defaultdict(set)
    for i, word in enumerate(words):
        for pair in zip(word, word[1:]):
            pair_count[pair] += counts[i]
            words_with[pair].add(i)
    heap = [(-count, pair) for pair, count in pair_count.items()]
    heapq.heapify(heap)
    merges = []
    while heap and len(merges) < wanted:
        count, pair = heapq.heappop(heap)
        if pair_count[pair] != -count:      # a stale entry: put it right
            if pair_count[pair] > 0:
                heapq.heappush(heap, (-pair_count[pair], pair))
            continue
        merges.append(pair)
        touched = set()
        for i in list(words_with[pair]):
            for old in zip(words[i], words[i][1:]):
                pair_count[old] -= counts[i]
            words[i] = merge_pair(words[i], pair)
            for new in zip(words[i], words[i][1:]):
                pair_count[new] += counts[i]
                words_with[new].add(i)
                touched.add(new)
        pair_count[pair] = 0
        for new in touched:
            if pair_count[new] > 0:
                heapq.heappush(heap, (-pair_count[new], new))
    return merges


def tokenizer_json(merges, specials):
    vocab = {}
    for char in sorted(BYTE_CHAR.values()):
        vocab[char] = len(vocab)
    for left, right in merges:
        vocab.setdefault(left + right, len(vocab))
    added = [{"id": VOCAB_SIZE - ROOM_FOR_SPECIALS + i, "content": content,
              "single_word": False, "lstrip": False, "rstrip": False,
              "normalized": False, "special": True}
             for i, content in enumerate(specials)]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": SPLIT_PATTERN},
                 "behavior": "Isolated", "invert": False},
                {"type": "ByteLevel", "add_prefix_space": False,
                 "trim_offsets": True, "use_regex": False},
            ],
        },
        "post_processor": {"type": "ByteLevel", "add_prefix_space": True,
                           "trim_offsets": False, "use_regex": True},
        "decoder": {"type": "ByteLevel", "add_prefix_space": True,
                    "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None,
            "continuing_subword_prefix": None, "end_of_word_suffix": None,
            "fuse_unk": False, "byte_fallback": False, "ignore_merges": True,
            "vocab": vocab, "merges": [list(pair) for pair in merges],
        },
    }


def main():
    out, *paths = sys.argv[1:]
    texts = []
    for path in paths:
        with open(path, encoding="utf-8") as lines:
            texts += [json.loads(line)["text"] for line in lines]
    first_special = VOCAB_SIZE - ROOM_FOR_SPECIALS
    specials = [name or "<|reserved_%d|>" % (first_special + i)
                for i, name in enumerate(SPECIALS)]
    merges = train_merges(count_words(texts, set(specials)),
                          first_special - len(BYTE_CHAR))
    with open(out, "w", encoding="utf-8") as file:
        json.dump(tokenizer_json(merges, specials), file, ensure_ascii=False,
                  indent=1)


if __name__ == "__main__":
    main()
