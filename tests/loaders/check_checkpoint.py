#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""check_checkpoint.py [--source DIR] [--max-shard BYTES] [--any-count] DIR

Reads a checkpoint with nothing but Python's standard library and checks,
point by point, what loaders (transformers, vLLM, SGLang, llama.cpp's converter)
rely on.  With --source, also that DIR is what pruning that checkpoint with DIR's
expert_mapping.json leaves, byte by byte.  Prints each fault; exit 1 if any.
"""
import argparse
import json
import math
import os
import re
import struct
import sys

SIZES = {"BF16": 2, "F16": 2, "F32": 4, "U8": 1, "F8_E4M3": 1}
MATRIX, SMALL, CODES, FP8 = ("BF16",), ("BF16", "F16", "F32"), ("U8",), ("F8_E4M3",)

# What transformers has where config.json says nothing.
DEFAULTS = {"gpt_oss": {"num_hidden_layers": 36, "hidden_size": 2880, "intermediate_size": 2880, "num_attention_heads": 64,
            "num_key_value_heads": 8, "head_dim": 64, "vocab_size": 201088, "attention_bias": True,
            "tie_word_embeddings": False},
            "qwen3_moe": {"attention_bias": False, "tie_word_embeddings": False},
            "glm4_moe": {"attention_bias": False, "tie_word_embeddings": False, "use_qk_norm": False,
                         "first_k_dense_replace": 1, "n_shared_experts": 1, "num_nextn_predict_layers": 0},
            "minimax_m2": {"attention_bias": False, "tie_word_embeddings": False}}
CAUSAL = {"gpt_oss": "GptOssForCausalLM", "qwen3_moe": "Qwen3MoeForCausalLM", "glm4_moe": "Glm4MoeForCausalLM",
          "minimax_m2": "MiniMaxM2ForCausalLM"}
# What families, and loaders of one family, call the number of experts.
EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts")
# The keys of each family that count experts, and experts per token.
COUNTS = {"gpt_oss": (["num_local_experts"], ["num_experts_per_tok", "experts_per_token"]),
          "qwen3_moe": (["num_experts"], ["num_experts_per_tok"]),
          "glm4_moe": (["n_routed_experts"], ["num_experts_per_tok"]),
          "minimax_m2": (["num_local_experts"], ["num_experts_per_tok"])}
# Layers that predict further tokens: dropped when experts go.
AHEAD = ("num_nextn_predict_layers", "num_mtp_modules")
FAULTS = []


def check(condition, text):
    if not condition:
        FAULTS.append(text)
    return condition


def no_duplicates(pairs):
    seen = dict(pairs)
    if len(seen) != len(pairs):
        raise ValueError("duplicate key among %s" % [k for k, _ in pairs])
    return seen


def load_json(path):
    with open(path, encoding="utf-8") as f:
        return json.load(f, object_pairs_hook=no_duplicates)


class Shard:
    """One file: {name: (dtype, shape, offset in file, bytes)} in file order."""

    def __init__(self, path, strict):
        name = os.path.basename(path)
        size = os.path.getsize(path)
        self.path = path
        with open(path, "rb") as f:
            (n,) = struct.unpack("<Q", f.read(8))
            text = f.read(n)
        if strict:
            check(n % 8 == 0, "%s: header of %d bytes is not padded to 8" % (name, n))
            check(text[:1] == b"{", "%s: header does not begin with '{'" % name)
            check(re.fullmatch(rb"\{.*\} *", text, re.S), "%s: header is not padded with spaces" % name)
        header = json.loads(text, object_pairs_hook=no_duplicates)
        meta = header.pop("__metadata__", None)
        if strict:
            check(meta == {"format": "pt"}, "%s: __metadata__ is %s" % (name, meta))
        self.tensors = {}
        at = 0
        for t, d in sorted(header.items(), key=lambda x: x[1]["data_offsets"]):
            begin, end = d["data_offsets"]
            check(begin == at, "%s: %s begins at %d, the one before ends at %d" % (name, t, begin, at))
            check(end - begin == math.prod(d["shape"]) * SIZES.get(d["dtype"], 0),
                  "%s: %s: %d bytes for %s %s" % (name, t, end - begin, d["dtype"], d["shape"]))
            self.tensors[t] = (d["dtype"], d["shape"], 8 + n + begin, end - begin)
            at = end
        check(8 + n + at == size, "%s: tensors end at %d of %d bytes" % (name, 8 + n + at, size))
        self.header_order = list(header)

    def read(self, name, offset=0, count=None):
        _, _, at, size = self.tensors[name]
        with open(self.path, "rb") as f:
            f.seek(at + offset)
            return f.read(size - offset if count is None else count)


class Checkpoint:
    def __init__(self, directory, strict):
        self.dir = directory
        index = os.path.join(directory, "model.safetensors.index.json")
        if os.path.exists(index):
            self.index = load_json(index)
            names = sorted(set(self.index["weight_map"].values()))
        else:
            self.index = None
            names = sorted(f for f in os.listdir(directory) if f.endswith(".safetensors"))
        self.shards = {n: Shard(os.path.join(directory, n), strict) for n in names}
        self.config = load_json(os.path.join(directory, "config.json"))
        self.family = self.config.get("model_type")
        self.figures = {**DEFAULTS[self.family], **self.config}
        self.where = {t: n for n, s in self.shards.items() for t in s.tensors}

    def info(self, tensor):
        return self.shards[self.where[tensor]].tensors[tensor]


def attention_tensors(c, biases):
    h = c["hidden_size"]
    q, kv = c["num_attention_heads"] * c["head_dim"], c["num_key_value_heads"] * c["head_dim"]
    t = {
        "input_layernorm.weight": (SMALL, [h]), "post_attention_layernorm.weight": (SMALL, [h]),
        "self_attn.q_proj.weight": (MATRIX, [q, h]), "self_attn.k_proj.weight": (MATRIX, [kv, h]),
        "self_attn.v_proj.weight": (MATRIX, [kv, h]), "self_attn.o_proj.weight": (MATRIX, [h, q]),
    }
    if c["attention_bias"]:
        for p in biases:
            t["self_attn.%s_proj.bias" % p] = (SMALL, [{"q": q, "o": h}.get(p, kv)])
    return t


def swiglu(stem, i, h):
    return {stem + "gate_proj.weight": (MATRIX, [i, h]), stem + "up_proj.weight": (MATRIX, [i, h]),
            stem + "down_proj.weight": (MATRIX, [h, i])}


def head_norms(c):
    return {"self_attn.%s_norm.weight" % p: (SMALL, [c["head_dim"]]) for p in "qk"}


def apart_experts(c, e):
    h = c["hidden_size"]
    t = {"mlp.gate.weight": (SMALL, [e, h])}
    for x in range(e):
        t.update(swiglu("mlp.experts.%d." % x, c["moe_intermediate_size"], h))
    return t


def qwen3_moe_tensors(c, _layer):
    return {**attention_tensors(c, "qkvo"), **head_norms(c), **apart_experts(c, c["num_experts"])}


def glm4_moe_tensors(c, layer):
    e, h, i = c["n_routed_experts"], c["hidden_size"], c["moe_intermediate_size"]
    t = {**attention_tensors(c, "qkv"), **(head_norms(c) if c["use_qk_norm"] else {})}
    if layer < c["first_k_dense_replace"]:
        return {**t, **swiglu("mlp.", c["intermediate_size"], h)}
    return {**t, **apart_experts(c, e), **swiglu("mlp.shared_experts.", c["n_shared_experts"] * i, h),
            "mlp.gate.e_score_correction_bias": (SMALL, [e])}


def minimax_m2_tensors(c, _layer):
    h, i, e = c["hidden_size"], c["intermediate_size"], c["num_local_experts"]
    t = attention_tensors(c, "")
    for x in range(e):
        stem = "block_sparse_moe.experts.%d." % x
        t.update({stem + "w1.weight": (MATRIX, [i, h]), stem + "w3.weight": (MATRIX, [i, h]),
                  stem + "w2.weight": (MATRIX, [h, i])})
    if c.get("quantization_config"):
        for name, (_, shape) in [(n, v) for n, v in t.items() if v[0] == MATRIX]:
            t[name] = (FP8, shape)
            t[name + "_scale_inv"] = (("F32",), [-(-n // 128) for n in shape])
    for p, heads in (("q", "num_attention_heads"), ("k", "num_key_value_heads")):
        t["self_attn.%s_norm.weight" % p] = (SMALL, [c[heads] * c["head_dim"]])
    return {**t, "block_sparse_moe.gate.weight": (SMALL, [e, h]), "block_sparse_moe.e_score_correction_bias": (SMALL, [e])}


def gpt_oss_tensors(c, _layer):
    e, h, i = c["num_local_experts"], c["hidden_size"], c["intermediate_size"]
    t = {
        **attention_tensors(c, "qkvo"),
        "self_attn.sinks": (SMALL, [c["num_attention_heads"]]),
        "mlp.router.weight": (SMALL, [e, h]), "mlp.router.bias": (SMALL, [e]),
        "mlp.experts.gate_up_proj_bias": (SMALL, [e, 2 * i]), "mlp.experts.down_proj_bias": (SMALL, [e, h]),
    }
    if c.get("quantization_config") is not None:
        t["mlp.experts.gate_up_proj_blocks"] = (CODES, [e, 2 * i, h // 32, 16])
        t["mlp.experts.gate_up_proj_scales"] = (CODES, [e, 2 * i, h // 32])
        t["mlp.experts.down_proj_blocks"] = (CODES, [e, h, i // 32, 16])
        t["mlp.experts.down_proj_scales"] = (CODES, [e, h, i // 32])
    else:
        t["mlp.experts.gate_up_proj"] = (MATRIX, [e, h, 2 * i])
        t["mlp.experts.down_proj"] = (MATRIX, [e, i, h])
    return t


def layer_tensors(family, c, layer):
    """Name -> (dtypes, shape)."""
    own = {"gpt_oss": gpt_oss_tensors, "qwen3_moe": qwen3_moe_tensors, "glm4_moe": glm4_moe_tensors,
           "minimax_m2": minimax_m2_tensors}[family](c, layer)
    return {"model.layers.%d.%s" % (layer, n): v for n, v in own.items()}


def is_ahead(c, name):
    m = re.match(r"model\.layers\.(\d+)\.", name)
    ahead = sum(c.get(key, 0) for key in AHEAD)
    return m is not None and c["num_hidden_layers"] <= int(m[1]) < c["num_hidden_layers"] + ahead


def is_pruned(name):
    return re.search(r"\.mlp\.(router|gate|experts)\.|\.block_sparse_moe\.", name) is not None


def apart(name):
    """Name with the expert's number left open, and the number, of a tensor that an expert has for itself."""
    m = re.search(r"\.experts\.(\d+)\.", name)
    return (name[:m.start(1)] + "%d" + name[m.end(1):], int(m[1])) if m else (None, None)


def natural(name):
    return [int(p) if p.isdigit() else p for p in re.split(r"(\d+)", name)]


def check_config(ck, any_count):
    c = ck.config
    experts, per_token = COUNTS[ck.family]
    check(c.get("architectures") in (None, [CAUSAL[ck.family]]), "config: architectures")
    for key in experts + per_token:
        check(isinstance(c.get(key), int), "config: %s is missing" % key)
    check(len({c[key] for key in per_token}) == 1, "config: two numbers of experts per token")
    e, k = c[experts[0]], c[per_token[0]]
    check(e >= k, "config: %d experts for top %d" % (e, k))
    if not any_count and ck.family == "gpt_oss":
        check(e % 4 == 0 and e > k and k <= 8 and e <= 512, "config: GPU kernels refuse %d experts, top %d" % (e, k))
    q = c.get("quantization_config")
    if q is not None:
        check(q.get("quant_method") == {"minimax_m2": "fp8"}.get(ck.family, "mxfp4"), "config: quant_method")
        check("modules_to_not_convert" in q, "config: modules_to_not_convert")


def check_tensors(ck):
    c = ck.figures
    want = {"model.embed_tokens.weight": (MATRIX, [c["vocab_size"], c["hidden_size"]]),
            "model.norm.weight": (SMALL, [c["hidden_size"]])}
    if not c["tie_word_embeddings"] or "lm_head.weight" in ck.where:
        want["lm_head.weight"] = (MATRIX, [c["vocab_size"], c["hidden_size"]])
    for layer in range(c["num_hidden_layers"]):
        want.update(layer_tensors(ck.family, c, layer))
    for t in ck.where:
        dtype, shape = ck.info(t)[:2]
        if t not in want and re.search(r"\.self_attn\.[kv]_scale$", t) and math.prod(shape) == 1:
            continue  # of the key-value cache: no part of the model
        if is_ahead(c, t):
            continue
        types, size = want.pop(t, ((), None))
        check(dtype in types and shape == size, "%s: is %s %s, should be %s %s" % (t, dtype, shape, types, size))
    for t in want:
        check(False, "%s: is missing" % t)


def check_files(ck, max_shard):
    n = len(ck.shards)
    want = (["model.safetensors"] if n == 1 and ck.index is None else
            ["model-%05d-of-%05d.safetensors" % (i + 1, n) for i in range(n)])
    check(sorted(ck.shards) == want, "files are %s" % sorted(ck.shards))
    for f in os.listdir(ck.dir):
        path = os.path.join(ck.dir, f)
        check(not os.path.islink(path), "%s is a link" % f)
        check(os.path.isfile(path), "%s is not a file" % f)
        check(not f.endswith(".safetensors") or f in want, "%s belongs to no index" % f)
        check(not f.startswith("."), "%s is hidden" % f)
    if ck.index is not None:
        check(ck.index["weight_map"] == ck.where, "the index differs from the files")
        check(len(ck.where) == sum(len(s.tensors) for s in ck.shards.values()), "a tensor is in two files")
        check(ck.index["metadata"]["total_size"] == sum(ck.info(t)[3] for t in ck.where), "total_size")
    for name, s in ck.shards.items():
        data = sum(t[3] for t in s.tensors.values())
        pair = len(s.tensors) == 2 and all(re.search("_(blocks|scales)$", t) for t in s.tensors)
        check(data <= max_shard or len(s.tensors) == 1 or pair, "%s: %d tensor bytes" % (name, data))


def check_order(ck):
    every = []
    for name in sorted(ck.shards):
        s = ck.shards[name]
        order = list(s.tensors)
        check(order == s.header_order, "%s: header and bytes in different order" % name)
        every += order
        for i, t in enumerate(order):
            if t.endswith("_blocks"):
                mate = t[:-7] + "_scales"
                check(order[i + 1:i + 2] == [mate], "%s: %s does not follow %s" % (name, mate, t))
    kinds = [is_pruned(t) and not is_ahead(ck.figures, t) for t in every]
    for pruned in (False, True):
        part = [t for t, kind in zip(every, kinds) if kind == pruned]
        check(part == sorted(part, key=natural), "tensors are not in the order of their names")
    check(kinds == sorted(kinds), "tensors that no plan changes do not come first")


def check_source(ck, src):
    c, s = dict(ck.config), dict(src.config)
    mapping = load_json(os.path.join(ck.dir, "expert_mapping.json"))
    kept = ck.config[COUNTS[ck.family][0][0]]
    fewer = kept < next(s[key] for key in EXPERTS if key in s)
    for key in [key for key in AHEAD if fewer and key in s]:
        check(c[key] == 0, "config: %s is not 0" % key)
        c[key] = s[key]
    for key in EXPERTS + ("num_experts_per_tok", "experts_per_token"):
        c.pop(key, None)
        s.pop(key, None)
    if not any(t.endswith(("_blocks", "_scale_inv")) for t in src.where):
        s.pop("quantization_config", None)  # left over, and so left out
    check(c == s, "config: other keys differ from the source's")
    check(list(c) == list(s), "config: the order of keys differs from the source's")
    layers = range(src.figures.get("first_k_dense_replace", 0), src.figures["num_hidden_layers"])
    check(sorted(mapping) == sorted(str(i) for i in layers), "mapping: layers")
    for where in mapping.values():
        check(sorted(where.values()) == list(range(kept)), "mapping: numbers are not 0 to %d" % (kept - 1))
    ahead = {name for name in src.where if is_ahead(src.figures, name)}
    gone = {name for name in set(src.where) - ahead if apart(name)[0]
            and str(apart(name)[1]) not in mapping[name.split(".")[2]]}
    gone |= ahead if fewer else set()
    check(len(ck.where) == len(src.where) - len(gone), "%d tensors, should be %d" % (
        len(ck.where), len(src.where) - len(gone)))
    for t in src.where:
        check(t in ck.where or t in gone or apart(t)[0], "%s is missing" % t)
    for t in ck.where:
        pruned = is_pruned(t) and t not in ahead
        where = mapping[t.split(".")[2]] if pruned else None
        stem, number = apart(t) if pruned else (None, None)
        if stem:
            old_name = stem % next(int(o) for o, n in where.items() if n == number)
            check(src.shards[src.where[old_name]].read(old_name) == ck.shards[ck.where[t]].read(t),
                  "%s differs from the source's %s" % (t, old_name))
            continue
        old = src.shards[src.where[t]]
        new = ck.shards[ck.where[t]].read(t)
        if not pruned:
            check(old.read(t) == new, "%s differs from the source" % t)
            continue
        each = old.tensors[t][3] // old.tensors[t][1][0]
        for o, n in where.items():
            check(old.read(t, int(o) * each, each) == new[n * each:(n + 1) * each],
                  "%s: expert %s, now %d, differs from the source" % (t, o, n))
    for f in os.listdir(src.dir):
        path = os.path.join(src.dir, f)
        skip = re.search(r"\.(safetensors|index\.json|bin|pt|pth|gguf|incomplete|part)$", f) or f.startswith(".") or f in (
            "config.json", "expert_mapping.json") or re.match(
                r"readme|(sha256sums|verdict|report)(\.|$)|reap-.*\.ya?ml$", f, re.IGNORECASE)
        if os.path.isfile(path) and not skip:
            copy = os.path.join(ck.dir, f)
            if check(os.path.isfile(copy), "%s was not copied" % f):
                with open(path, "rb") as a, open(copy, "rb") as b:
                    check(a.read() == b.read(), "%s differs from the source" % f)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--source")
    p.add_argument("--max-shard", type=int, default=5000000000)
    p.add_argument("--any-count", action="store_true")
    p.add_argument("dir")
    a = p.parse_args()
    try:
        ck = Checkpoint(a.dir, True)
        check_config(ck, a.any_count)
        check_tensors(ck)
        check_files(ck, a.max_shard)
        check_order(ck)
        if a.source:
            check_source(ck, Checkpoint(a.source, False))
    except (OSError, ValueError, KeyError, struct.error) as err:
        FAULTS.append("%s: %s" % (type(err).__name__, err))
    for f in FAULTS[:50]:
        print("%s: %s" % (a.dir, f))
    sys.exit(1 if FAULTS else 0)


if __name__ == "__main__":
    main()
