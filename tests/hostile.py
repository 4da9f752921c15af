#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""hostile.py BASE BF16 OUT

Writes copies of the two-shard checkpoint BASE that are damaged or mean two things,
each as OUT/<kind>, and prints a line for each: kind, tab, what the message about it
must contain.  Copies that are spelled otherwise and mean one thing (some are of BF16,
the same with BF16 experts) have a line with "=" and the kind that must give the same
numbers.
"""
import hashlib
import json
import os
import struct
import sys

ONE = "model-00001-of-00002.safetensors"
TWO = "model-00002-of-00002.safetensors"
INDEX = "model.safetensors.index.json"
ROUTER = "model.layers.0.mlp.router.weight"
NORM = "model.layers.1.post_attention_layernorm.weight"
SMALL = ("norm.weight", "bias", "sinks", "router.weight")
NULL = object()  # the value null; None stands for no such key
KINDS = []
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 9\n"
PAGE = b"\n<!DOCTYPE html>\n<html><body>401 Unauthorized</body></html>\n"


def kind(name, expect):
    def add(f):
        KINDS.append((name, expect, f))
        return f
    return add


def same(name, as_kind, f):
    """A kind that is taken, with the numbers of as_kind."""
    KINDS.append((name, "=" + as_kind, f))


class Copy:
    """A directory of links to BASE's files, of which some get replaced."""

    def __init__(self, base, directory):
        self.base, self.dir, self.kind = base, directory, os.path.basename(directory)
        os.makedirs(directory)
        for f in os.listdir(base):
            os.symlink(os.path.join(base, f), os.path.join(directory, f))

    def path(self, name):
        return os.path.join(self.dir, name)

    def read(self, name):
        with open(self.path(name), "rb") as f:
            return f.read()

    def write(self, name, data):
        if os.path.lexists(self.path(name)):
            os.unlink(self.path(name))
        with open(self.path(name), "wb") as f:
            f.write(data if isinstance(data, bytes) else data.encode())

    def split(self, name):
        data = self.read(name)
        (n,) = struct.unpack("<Q", data[:8])
        return data[8:8 + n], data[8 + n:]

    def join(self, name, text, data, length=None):
        text = text if isinstance(text, bytes) else text.encode()
        self.write(name, struct.pack("<Q", len(text) if length is None else length) + text + data)

    def dump(self, name, header, data):
        """As writers do: padded to 8."""
        text = json.dumps(header).encode()
        self.join(name, text + b" " * (-len(text) % 8), data)

    def header(self, name, change):
        text, data = self.split(name)
        h = json.loads(text)
        change(h)
        self.dump(name, h, data)

    def text(self, name, old, new):
        text, data = self.split(name)
        assert old.encode() in text, old
        self.join(name, text.replace(old.encode(), new.encode(), 1), data)

    def tensor(self, name, key, value):
        """Set one field of one tensor's entry."""
        file = self.file_of(name)
        self.header(file, lambda h: h[name].__setitem__(key, value))

    def file_of(self, name):
        return json.loads(self.read(INDEX))["weight_map"][name]

    def entry(self, name):
        return json.loads(self.split(self.file_of(name))[0])[name]

    def bytes(self, name, at, value):
        """Overwrite bytes of a tensor's data."""
        file = self.file_of(name)
        text, data = self.split(file)
        at += self.entry(name)["data_offsets"][0]
        self.join(file, text, data[:at] + value + data[at + len(value):])

    def index(self, change):
        i = json.loads(self.read(INDEX))
        change(i)
        self.write(INDEX, json.dumps(i))

    def drop(self, name):
        """Remove a tensor from its file, closing the gap."""
        file = self.file_of(name)
        text, data = self.split(file)
        h = json.loads(text)
        begin, end = h.pop(name)["data_offsets"]
        for k, t in h.items():
            if k != "__metadata__" and t["data_offsets"][0] >= end:
                t["data_offsets"] = [x - (end - begin) for x in t["data_offsets"]]
        self.dump(file, h, data[:begin] + data[end:])
        self.index(lambda i: i["weight_map"].pop(name))

    def add(self, name, file=TWO, value=b"\0\0", dtype="BF16", shape=(1,)):
        """Append a tensor."""
        text, data = self.split(file)
        h = json.loads(text)
        h[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [len(data), len(data) + len(value)]}
        self.dump(file, h, data + value)
        self.index(lambda i: i["weight_map"].setdefault(name, file))

    def value(self, name):
        begin, end = self.entry(name)["data_offsets"]
        return self.split(self.file_of(name))[1][begin:end]

    def exchange(self, name, dtype, value):
        """Another type and other bytes for a tensor."""
        file, shape = self.file_of(name), self.entry(name)["shape"]
        self.drop(name)
        self.add(name, file, value, dtype, shape)

    def names(self, ending):
        return [n for n in json.loads(self.read(INDEX))["weight_map"] if n.endswith(ending)]

    def zero(self, name, first=0, count=None):
        """Bytes of a tensor become 0, as a hole in its file."""
        n = len(self.value(name)) - first if count is None else count
        self.bytes(name, first, b"\0" * n)

    def in_cache(self, name, blob):
        """The file as huggingface_hub keeps it: a link to blobs/<its digest>."""
        blobs = os.path.join(self.dir, "..", self.kind + ".blobs", "blobs")
        os.makedirs(blobs, exist_ok=True)
        data = self.read(name)
        with open(os.path.join(blobs, blob), "wb") as f:
            f.write(data)
        os.unlink(self.path(name))
        os.symlink(os.path.join("..", self.kind + ".blobs", "blobs", blob), self.path(name))

    def config(self, **changes):
        c = json.loads(self.read("config.json"))
        for k, v in changes.items():
            if v is None:
                c.pop(k, None)
            else:
                c[k] = None if v is NULL else v
        self.write("config.json", json.dumps(c))

    def unconverted(self, *modules):
        """As the published models have it, with these modules."""
        self.config(quantization_config={"quant_method": "mxfp4", "modules_to_not_convert": list(modules)})

    def rope(self, **changes):
        r = json.loads(self.read("config.json"))["rope_scaling"]
        r.update(changes)
        self.config(rope_scaling={k: None if v is NULL else v for k, v in r.items() if v is not None})


def renamed(c, old, new):
    os.rename(c.path(old), c.path(new))
    c.index(lambda i: i["weight_map"].update({k: new for k, f in i["weight_map"].items() if f == old}))


# ---- the header ----
kind("file-of-5-bytes", ONE + ": 5 bytes are too few")(lambda c: c.write(ONE, b"12345"))
kind("header-longer-than-file", ONE + ": header length")(lambda c: c.write(ONE, struct.pack("<Q", 5000) + b"{}"))
kind("header-beyond-limit", ONE + ": header length")(lambda c: c.join(ONE, b"{}", b"", 1 << 40))
kind("header-length-all-ones", ONE + ": header length")(lambda c: c.join(ONE, b"{}", b"", (1 << 64) - 1))
kind("header-empty", ONE + ": header: does not begin")(lambda c: c.join(ONE, b"", b""))
kind("header-begins-with-space", ONE + ": header: does not begin")(lambda c: c.join(ONE, b" " + c.split(ONE)[0], c.split(ONE)[1]))
kind("header-not-json", ONE + ": line 1")(lambda c: c.join(ONE, b"{nonsense}", b""))
kind("header-not-utf8", ONE + ": line 1")(lambda c: c.text(ONE, '"format"', '"form@"') or c.join(ONE, c.split(ONE)[0].replace(b"@", b"\xff"), c.split(ONE)[1]))
kind("header-cut", ONE + ": line 1")(lambda c: c.join(ONE, c.split(ONE)[0][:100], c.split(ONE)[1]))
kind("header-with-junk-behind", ONE + ": line 1")(lambda c: c.join(ONE, c.split(ONE)[0].rstrip() + b"x", c.split(ONE)[1]))
kind("header-deep", ONE + ": line 1")(lambda c: c.join(ONE, b'{"a":' + b"[" * 100000 + b"]" * 100000 + b"}", b""))
kind("header-nul-in-name", ONE + ": line 1")(lambda c: c.text(ONE, '"lm_head.weight"', '"lm_head\\u0000.weight"'))
kind("duplicate-tensor", "lm_head.weight")(lambda c: c.text(ONE, '"lm_head.weight"', '"lm_head.weight":{"dtype":"BF16","shape":[0],"data_offsets":[0,0]},"lm_head.weight"'))
kind("duplicate-dtype", "dtype")(lambda c: c.text(ONE, '"dtype":"BF16"', '"dtype":"U8","dtype":"BF16"'))
kind("metadata-list", "__metadata__: not an object")(lambda c: c.header(ONE, lambda h: h.__setitem__("__metadata__", ["pt"])))
kind("metadata-number", "__metadata__: format: not a string")(lambda c: c.header(ONE, lambda h: h.__setitem__("__metadata__", {"format": 1})))
kind("entry-list", ROUTER + ": not an object")(lambda c: c.header(ONE, lambda h: h.__setitem__(ROUTER, [1])))
kind("entry-extra-key", ROUTER + ": has keys beside")(lambda c: c.tensor(ROUTER, "scale", 2))

# ---- dtype, shape, offsets ----
kind("dtype-unknown", ROUTER + ": dtype \"F8_E5M2\"")(lambda c: c.tensor(ROUTER, "dtype", "F8_E5M2"))
kind("dtype-number", ROUTER + ": dtype")(lambda c: c.tensor(ROUTER, "dtype", 7))
kind("dtype-f16", "model.layers.0.self_attn.q_proj.weight: dtype is F16, not BF16")(lambda c: c.tensor("model.layers.0.self_attn.q_proj.weight", "dtype", "F16"))
kind("shape-negative", ROUTER + ": shape")(lambda c: c.tensor(ROUTER, "shape", [-8, -64]))
kind("shape-fraction", ROUTER + ": shape")(lambda c: c.tensor(ROUTER, "shape", [8.0, 64]))
kind("shape-overflow", ROUTER + ": shape")(lambda c: c.tensor(ROUTER, "shape", [1 << 62, 1 << 62]))
kind("shape-of-9-dimensions", ROUTER + ": shape")(lambda c: c.tensor(ROUTER, "shape", [8, 64] + [1] * 7))
kind("shape-not-the-bytes", ROUTER + ": dtype and shape make")(lambda c: c.tensor(ROUTER, "shape", [8, 65]))
kind("shape-transposed", ROUTER + ": shape is [64,8], but config.json asks for [8,64]")(lambda c: c.tensor(ROUTER, "shape", [64, 8]))
kind("shape-flat", ROUTER + ": shape is [512]")(lambda c: c.tensor(ROUTER, "shape", [512]))
kind("offsets-out-of-file", ROUTER + ": data_offsets: ends at")(lambda c: c.tensor(ROUTER, "data_offsets", [1 << 40, (1 << 40) + 1024]))
kind("offsets-reversed", ROUTER + ": data_offsets")(lambda c: c.tensor(ROUTER, "data_offsets", c.entry(ROUTER)["data_offsets"][::-1]))
kind("offsets-negative", ROUTER + ": data_offsets")(lambda c: c.tensor(ROUTER, "data_offsets", [-1024, 0]))
kind("offsets-beyond-64-bits", ONE + ": line 1")(lambda c: c.tensor(ROUTER, "data_offsets", [1 << 64, (1 << 64) + 1024]))
kind("offsets-strings", ROUTER + ": data_offsets")(lambda c: c.tensor(ROUTER, "data_offsets", ["0", "1024"]))
kind("offsets-overlap", "overlaps with")(lambda c: c.tensor(ROUTER, "data_offsets", [x - 16 for x in c.entry(ROUTER)["data_offsets"]]))
kind("hole", "belong to no tensor")(lambda c: c.header(ONE, lambda h: h.pop(ROUTER)))
kind("bytes-behind", TWO + ": model.norm.weight: 9 bytes behind it")(lambda c: c.write(TWO, c.read(TWO) + b"123456789"))
kind("file-cut", "data_offsets: ends at")(lambda c: c.write(TWO, c.read(TWO)[:-10]))
kind("odd-offset", "which is odd")(lambda c: c.join(ONE, c.split(ONE)[0] + b" ", c.split(ONE)[1]))

# ---- which tensors there are ----
kind("tensor-missing", "model.layers.1.self_attn.sinks: missing")(lambda c: c.drop("model.layers.1.self_attn.sinks"))
kind("tensor-extra-in-layer", "model.layers.1.mlp.shared.weight: gpt_oss")(lambda c: c.add("model.layers.1.mlp.shared.weight"))
kind("tensor-extra", "classifier.weight: gpt_oss")(lambda c: c.add("classifier.weight"))
kind("tensor-of-no-layer", "model.layers.2.self_attn.sinks: gpt_oss")(lambda c: c.add("model.layers.2.self_attn.sinks"))
kind("tensor-in-two-files", "lm_head.weight: is in both")(lambda c: c.add("lm_head.weight"))

# ---- index and files ----
kind("index-not-json", INDEX + ": line 1")(lambda c: c.write(INDEX, "{"))
kind("index-list", INDEX + ": line 1: not an object")(lambda c: c.write(INDEX, "[]"))
kind("index-without-map", INDEX + ": weight_map")(lambda c: c.write(INDEX, '{"metadata": {}}'))
kind("index-duplicate", "a.weight")(lambda c: c.write(INDEX, '{"weight_map": {"a.weight": "%s", "a.weight": "%s"}}' % (ONE, TWO)))
kind("index-names-absent-file", "model-00009-of-00002.safetensors")(lambda c: c.index(lambda i: i["weight_map"].__setitem__(ROUTER, "model-00009-of-00002.safetensors")))
kind("index-names-path", ROUTER + ": not the name of")(lambda c: c.index(lambda i: i["weight_map"].__setitem__(ROUTER, "../" + ONE)))
kind("index-names-number", ROUTER + ": not the name of")(lambda c: c.index(lambda i: i["weight_map"].__setitem__(ROUTER, 1)))
kind("index-wrong-file", ROUTER + ": the index says " + TWO)(lambda c: c.index(lambda i: i["weight_map"].__setitem__(ROUTER, TWO)))
kind("index-lacks-tensor", ROUTER + ": is in " + ONE + " but not in the index")(lambda c: c.index(lambda i: i["weight_map"].pop(ROUTER)))
kind("index-extra-tensor", "ghost.weight: the index says")(lambda c: c.index(lambda i: i["weight_map"].__setitem__("ghost.weight", ONE)))
kind("no-index-and-a-gap", "model-00001-of-00002.safetensors: No such file")(lambda c: (os.unlink(c.path(INDEX)), os.unlink(c.path(ONE))))
kind("no-index-and-a-tensor-twice", "lm_head.weight: is in both")(lambda c: (c.add("lm_head.weight"), os.unlink(c.path(INDEX))))
kind("no-index-and-other-names", "holds neither")(lambda c: [os.unlink(c.path(f)) for f in (INDEX, ONE, TWO)])
kind("stray-shard", "model-00003-of-00003.safetensors: belongs to no index")(lambda c: c.write("model-00003-of-00003.safetensors", b"x"))
kind("stray-without-index", "consolidated.safetensors: belongs to no index: some loaders would take it")(lambda c: (os.unlink(c.path(INDEX)), c.write("consolidated.safetensors", c.read(ONE))))
kind("index-names-single-file-too", "model.safetensors: transformers would load it alone, other loaders the 2 files that the index names")(lambda c: renamed(c, ONE, "model.safetensors"))
kind("shard-missing", TWO)(lambda c: os.unlink(c.path(TWO)))
kind("shard-dangling-link", TWO)(lambda c: (os.unlink(c.path(TWO)), os.symlink("nowhere", c.path(TWO))))
kind("shard-directory", TWO + ": not a regular file")(lambda c: (os.unlink(c.path(TWO)), os.mkdir(c.path(TWO))))
for fifo in "config.json", INDEX, "tokenizer.json":
    kind("fifo-" + fifo, fifo + ": not a regular file")(lambda c, f=fifo: (os.path.lexists(c.path(f)) and os.unlink(c.path(f)), os.mkfifo(c.path(f))))
kind("shard-fifo", TWO + ": not a regular file")(lambda c: (os.unlink(c.path(TWO)), os.mkfifo(c.path(TWO))))

# ---- values ----
kind("nan-in-router", ROUTER + ": element 3 is NaN")(lambda c: c.bytes(ROUTER, 6, b"\xc0\x7f"))
kind("infinity-in-router-bias", "model.layers.0.mlp.router.bias: element 0 is infinite")(lambda c: c.bytes("model.layers.0.mlp.router.bias", 0, b"\x80\xff"))
kind("nan-in-sinks", "model.layers.1.self_attn.sinks: element 1 is NaN")(lambda c: c.bytes("model.layers.1.self_attn.sinks", 2, b"\xff\xff"))
kind("nan-in-norm", "model.layers.1.post_attention_layernorm.weight: element 63 is NaN")(lambda c: c.bytes("model.layers.1.post_attention_layernorm.weight", 126, b"\x81\x7f"))
kind("nan-in-final-norm", "model.norm.weight: element 0 is NaN")(lambda c: c.bytes("model.norm.weight", 0, b"\xc0\x7f"))
kind("nan-in-matrix", "model.layers.1.self_attn.v_proj.weight: element 9 is NaN")(lambda c: c.bytes("model.layers.1.self_attn.v_proj.weight", 18, b"\xc0\x7f"))
kind("infinity-in-embedding", "model.embed_tokens.weight: element 2 is infinite")(lambda c: c.bytes("model.embed_tokens.weight", 4, b"\x80\x7f"))
kind("nan-in-bf16-expert", "model.layers.1.mlp.experts.gate_up_proj: element 24585 is NaN")(lambda c: c.bytes("model.layers.1.mlp.experts.gate_up_proj", 2 * 24585, b"\x81\xff"))
kind("infinity-in-last-bf16-expert", "model.layers.0.mlp.experts.down_proj: element 32767 is infinite")(lambda c: c.bytes("model.layers.0.mlp.experts.down_proj", 2 * 32767, b"\x80\xff"))
kind("nan-in-f32-bias", "model.layers.0.mlp.experts.gate_up_proj_bias: element 1023 is NaN")(lambda c: c.exchange("model.layers.0.mlp.experts.gate_up_proj_bias", "F32", bytes(4 * 1023) + b"\1\0\x80\x7f"))
kind("infinity-in-f16-bias", "model.layers.1.mlp.experts.down_proj_bias: element 0 is infinite")(lambda c: c.exchange("model.layers.1.mlp.experts.down_proj_bias", "F16", b"\0\xfc" + bytes(2 * 511)))
kind("scale-255", "model.layers.1.mlp.experts.down_proj_scales: expert 0: scale 5 is 255")(lambda c: c.bytes("model.layers.1.mlp.experts.down_proj_scales", 5, b"\xff"))
kind("scale-253", "model.layers.0.mlp.experts.gate_up_proj_scales: expert 1: scale 0 is 253 (infinity)")(lambda c: c.bytes("model.layers.0.mlp.experts.gate_up_proj_scales", 256, b"\xfd"))

# ---- the config ----
kind("config-missing", "config.json: No such file")(lambda c: os.unlink(c.path("config.json")))
kind("config-not-json", "config.json: line 1")(lambda c: c.write("config.json", "{'a': 1}"))
kind("config-list", "config.json: not an object")(lambda c: c.write("config.json", "[1]"))
kind("config-duplicate", "hidden_size")(lambda c: c.write("config.json", '{"hidden_size": 64, "hidden_size": 128}'))
kind("config-other-model", "model_type: \"llama\"")(lambda c: c.config(model_type="llama"))
kind("config-other-architecture", "architectures")(lambda c: c.config(architectures=["MixtralForCausalLM"]))
kind("config-two-top-k", "num_experts_per_tok is 4, but experts_per_token is 2")(lambda c: c.config(experts_per_token=2))
kind("config-two-expert-counts", "num_local_experts is 12, but num_experts is 16, and the router has 8")(lambda c: c.config(num_local_experts=12, num_experts=16))
kind("config-more-layers", "model.layers.2.input_layernorm.weight: missing")(lambda c: c.config(num_hidden_layers=3, layer_types=None))
kind("config-fewer-layers", "model.layers.1.input_layernorm.weight: gpt_oss")(lambda c: c.config(num_hidden_layers=1, layer_types=None))
kind("config-more-experts", "mlp.router.weight: shape is [8,64], but config.json asks for [12,64]")(lambda c: c.config(num_local_experts=12))
kind("config-top-k-above-experts", "num_experts_per_tok is 9")(lambda c: c.config(num_experts_per_tok=9, experts_per_token=9))
kind("config-other-vocabulary", "model.embed_tokens.weight: shape")(lambda c: c.config(vocab_size=300))
kind("config-size-negative", "hidden_size: -64")(lambda c: c.config(hidden_size=-64))
kind("config-size-huge", "intermediate_size")(lambda c: c.config(intermediate_size=1 << 62))
kind("config-size-text", "hidden_size: not an integer")(lambda c: c.config(hidden_size="64"))
kind("config-size-missing", "model.layers.0.self_attn.q_proj.weight: shape is [128,64], but config.json asks for [256,64]")(lambda c: c.config(head_dim=None))
kind("config-heads", "num_attention_heads 4 is not a multiple of num_key_value_heads 3")(lambda c: c.config(num_key_value_heads=3))
kind("config-layer-types-short", "layer_types: has 1 entries for 2 layers")(lambda c: c.config(layer_types=["full_attention"]))
kind("config-layer-type", "layer_types: entry 1: \"chunked_attention\"")(lambda c: c.config(layer_types=["full_attention", "chunked_attention"]))
kind("config-window-0", "sliding_window: 0")(lambda c: c.config(sliding_window=0))
kind("config-tied", "lm_head.weight: differs from model.embed_tokens.weight")(lambda c: c.config(tie_word_embeddings=True))
kind("config-activation", "hidden_act: \"gelu\"")(lambda c: c.config(hidden_act="gelu"))
kind("config-no-attention-bias", "model.layers.0.self_attn.k_proj.bias: gpt_oss with this config.json has no such tensor")(lambda c: c.config(attention_bias=False))
kind("config-quantisation", "quant_method: \"fp8\"")(lambda c: c.config(quantization_config={"quant_method": "fp8"}))
kind("config-quantisation-key", "quantization_config: block_size: not known for mxfp4")(lambda c: c.config(quantization_config={"quant_method": "mxfp4", "block_size": 16}))
kind("config-not-quantised", "quantization_config: missing, although the experts are MXFP4")(lambda c: c.config(quantization_config=None))
kind("config-experts-not-converted", "modules_to_not_convert: \"model.layers.*.mlp\" matches model.layers.0.mlp.experts, which is MXFP4: some loaders would not convert it")(lambda c: c.unconverted("lm_head", "model.layers.*.mlp", "model.embed_tokens"))
kind("config-experts-not-converted-by-end", "modules_to_not_convert: \"experts\" matches model.layers.0.mlp.experts")(lambda c: c.unconverted("experts"))
kind("config-ignored-layers", "ignored_layers: \"model.layers.1.mlp.experts\" matches model.layers.1.mlp.experts")(lambda c: c.config(quantization_config={"quant_method": "mxfp4", "ignored_layers": ["model.layers.1.mlp.experts"]}))
kind("config-not-converted-text", "quantization_config: modules_to_not_convert: not a list")(lambda c: c.config(quantization_config={"quant_method": "mxfp4", "modules_to_not_convert": "lm_head"}))
kind("config-not-converted-pattern", "modules_to_not_convert: no name of a module")(lambda c: c.unconverted("((a{9}){9}){9}"))
kind("config-two-ropes", "who looks at rope_parameters reads plain RoPE")(lambda c: c.config(rope_parameters={"rope_type": "default"}))
kind("config-rope-type", "rope_type: \"longrope\"")(lambda c: c.rope(rope_type="longrope"))
kind("config-rope-factor", "factor: missing")(lambda c: c.rope(factor=None))
kind("config-rope-attention-factor", "attention_factor: not supported")(lambda c: c.rope(attention_factor=1.5))
kind("config-rope-context-disagrees", "initial_context_length is 64, but original_max_position_embeddings is 128")(lambda c: c.rope(original_max_position_embeddings=128))
kind("config-theta", "rope_theta: 0 is not above 1")(lambda c: c.config(rope_theta=0))
kind("config-limit", "swiglu_limit: transformers 4 takes 7 whatever stands here, transformers 5 takes -1")(lambda c: c.config(swiglu_limit=-1))
kind("config-eps", "rms_norm_eps: not a number")(lambda c: c.config(rms_norm_eps="small"))
kind("config-own-code", "config.json: auto_map: not known for gpt_oss, so what it changes is not computed")(lambda c: c.config(auto_map={"AutoModelForCausalLM": "modeling_own.OwnForCausalLM"}))
kind("config-softcapping", "final_logit_softcapping: not known for gpt_oss")(lambda c: c.config(final_logit_softcapping=30.0))
kind("config-of-layers", "per_layer_config: not known for gpt_oss")(lambda c: c.config(per_layer_config={"0": {"sliding_window": 4}}))
for key in "eos_token_id", "bos_token_id", "pad_token_id":
    for why, value in ("beyond", 257), ("text", "x"), ("fraction", 1.0), ("negative", -2):
        kind("config-%s-%s" % (key, why), key + ": not an id below vocab_size 257")(lambda c, k=key, v=value: c.config(**{k: v}))
kind("config-eos-second-of-two", "eos_token_id: not an id below vocab_size 257")(lambda c: c.config(eos_token_id=[1, 257]))
kind("config-eos-nested", "eos_token_id: not an id below vocab_size 257")(lambda c: c.config(eos_token_id=[[1]]))
kind("config-pad-list", "pad_token_id: not an id below vocab_size 257")(lambda c: c.config(pad_token_id=[1]))



# ---- what two loaders read differently ----
kind("config-rope-null", "transformers 4 reads plain RoPE (theta 150000), transformers 5 reads YaRN (factor 32 of 4096 positions")(lambda c: c.config(rope_scaling=NULL))
kind("config-rope-empty", "transformers 4 cannot load it (rope_type is missing), transformers 5 reads YaRN")(lambda c: c.config(rope_scaling={}))
kind("config-rope-type-missing", "transformers 4 cannot load it (rope_type is missing), transformers 5 reads plain RoPE")(lambda c: c.rope(rope_type=None))
kind("config-rope-two-types", "transformers 4 reads plain RoPE (theta 150000), transformers 5 reads YaRN")(lambda c: c.rope(type="default"))
kind("config-rope-parameters-alone", "transformers 4 reads YaRN (factor 32 of 4096 positions, betas 32 and 1, truncate false, theta 150000), transformers 5 reads plain RoPE (theta 5000)")(lambda c: c.config(rope_scaling=None, rope_theta=None, rope_parameters={"rope_type": "default", "rope_theta": 5000}))
kind("config-rope-theta-inside", "theta 150000), transformers 5 reads YaRN (factor 32 of 64 positions, betas 32 and 1, truncate false, theta 5000)")(lambda c: c.rope(rope_theta=5000))
kind("config-context-at-root", "of 64 positions, betas 32 and 1, truncate false, theta 150000), transformers 5 reads YaRN (factor 32 of 32 positions")(lambda c: c.config(original_max_position_embeddings=32))
kind("config-context-null", "transformers 5 cannot load it (original_max_position_embeddings is null)")(lambda c: c.rope(original_max_position_embeddings=NULL))
kind("config-rotary-part-at-root", "partial_rotary_factor: 0.5 is not supported, only 1")(lambda c: c.config(partial_rotary_factor=0.5))
kind("config-rotary-part-inside", "transformers 5 reads YaRN (factor 32 of 64 positions, betas 32 and 1, truncate false, theta 150000, 0.5 of each head)")(lambda c: c.rope(partial_rotary_factor=0.5))
kind("config-other-top-k-name-alone", "num_experts_per_tok: missing: transformers takes 4, but loaders that know experts_per_token take 2: give both")(lambda c: c.config(num_experts_per_tok=None, experts_per_token=2))
kind("config-limit-6", "swiglu_limit: transformers 4 takes 7 whatever stands here, transformers 5 takes 6: only 7")(lambda c: c.config(swiglu_limit=6.0))
kind("config-alpha", "swiglu_alpha: transformers 4 takes 1.702 whatever stands here, transformers 5 takes 2")(lambda c: c.config(swiglu_alpha=2))
kind("config-size-null", "head_dim: null is no number")(lambda c: c.config(head_dim=NULL))
kind("config-eps-null", "rms_norm_eps: null is no number")(lambda c: c.config(rms_norm_eps=NULL))
kind("config-limit-null", "swiglu_limit: null is no number")(lambda c: c.config(swiglu_limit=NULL))
kind("config-bias-null", "attention_bias: null is neither")(lambda c: c.config(attention_bias=NULL))
kind("config-window-null", "sliding_window: null is no number")(lambda c: c.config(sliding_window=NULL))
kind("adapter", "adapter_config.json: transformers with peft would load the model that this file names, other loaders these weights")(lambda c: c.write("adapter_config.json", "{}"))
kind("tensor-cache-scale-of-two", "model.layers.0.self_attn.k_scale: gpt_oss with this config.json has no such tensor")(lambda c: c.add("model.layers.0.self_attn.k_scale", value=b"\0" * 4, shape=(2,)))

# ---- what was not downloaded whole ----
kind("scale-all-zero", "model.layers.1.mlp.experts.gate_up_proj_scales: expert 3: all zero, as a hole in the file reads: it is damaged")(lambda c: c.zero("model.layers.1.mlp.experts.gate_up_proj_scales", 3 * 256, 256))
kind("zero-blocks", "model.layers.0.mlp.experts.down_proj_blocks: expert 7: all zero, as a hole in the file reads: it is damaged")(lambda c: c.zero("model.layers.0.mlp.experts.down_proj_blocks", 7 * 2048))
kind("zero-router", ROUTER + ": all zero")(lambda c: c.zero(ROUTER))
kind("zero-norm", NORM + ": all zero")(lambda c: c.zero(NORM))
kind("zero-projection", "model.layers.0.self_attn.o_proj.weight: all zero")(lambda c: c.zero("model.layers.0.self_attn.o_proj.weight"))
kind("zero-embedding", "model.embed_tokens.weight: all zero")(lambda c: c.zero("model.embed_tokens.weight"))
for f in ("config.json", INDEX, TWO, "generation_config.json"):
    kind("pointer-" + f, f + ": is a Git LFS pointer, not the file")(lambda c, f=f: c.write(f, POINTER))
    kind("page-" + f, f + ": is a web page, not the file")(lambda c, f=f: c.write(f, PAGE))
for f in ("config.json", TWO):
    kind("unfinished-" + f, f + ": is missing: its download is unfinished (")(lambda c, f=f: os.rename(c.path(f), c.path(f + ".incomplete")))
    kind("unfinished-link-" + f, f + ": leads to ")(lambda c, f=f: c.in_cache(f, "0" * 64 + ".incomplete"))
    kind("unfinished-aria2-" + f, f + ": its download is unfinished (")(lambda c, f=f: c.write(f + ".aria2", b"\0\1"))
kind("unfinished-blob", TWO + ": is missing: its download is unfinished (")(lambda c: (c.in_cache(TWO, "0" * 64 + ".incomplete"), os.unlink(c.path(TWO)), os.symlink("../unfinished-blob.blobs/blobs/" + "0" * 64, c.path(TWO))))
kind("unfinished-local-dir", TWO + ": is missing, and a download to its directory is unfinished (")(lambda c: (os.makedirs(c.path(".cache/huggingface/download")), os.rename(c.path(TWO), c.path(".cache/huggingface/download/Xy1=.%s.incomplete" % ("0" * 64)))))
kind("unfinished-only", "model.safetensors.index.json.incomplete: is an unfinished download")(lambda c: [os.rename(c.path(f), c.path(f + ".incomplete")) for f in (INDEX, ONE, TWO)])

def cached(c, *names, wrong=None):
    """These files as huggingface_hub keeps them; of `wrong`, one byte is another."""
    for name in names:
        data = c.read(name)
        git = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        blob = git if name.endswith(".json") else hashlib.sha256(data).hexdigest()
        if name == wrong:
            c.write(name, data[:-1] + bytes([data[-1] ^ 1]) if blob != git else data + b"\n")
        c.in_cache(name, blob)


kind("blob-of-shard", TWO + ": is not what was to be downloaded: its blob is called")(lambda c: cached(c, "config.json", INDEX, ONE, TWO, wrong=TWO))
kind("blob-of-config", "config.json: is not what was to be downloaded: its blob is called")(lambda c: cached(c, "config.json", INDEX, ONE, TWO, wrong="config.json"))
kind("blob-of-index", INDEX + ": is not what was to be downloaded: its blob is called")(lambda c: cached(c, "config.json", INDEX, ONE, TWO, wrong=INDEX))
kind("blob-of-file-beside", "generation_config.json: is not what was to be downloaded: its blob is called")(lambda c: (c.write("generation_config.json", "{}"), cached(c, "generation_config.json", wrong="generation_config.json")))


# ---- one meaning, spelled otherwise ----
def defaults(c):
    c.config(**{k: None for k in (
        "head_dim", "sliding_window", "max_position_embeddings", "rope_scaling", "rope_theta", "num_experts_per_tok",
        "experts_per_token", "rms_norm_eps", "layer_types", "attention_bias", "tie_word_embeddings", "swiglu_limit",
        "hidden_act", "architectures", "initial_context_length")})


def standard(c):
    """Figures that the classes of transformers have, too; the shape of q stays."""
    c.config(head_dim=64, num_attention_heads=2, num_key_value_heads=1, sliding_window=128,
             max_position_embeddings=131072, initial_context_length=4096)
    c.rope(original_max_position_embeddings=4096)
    for n in c.names("sinks"):
        c.tensor(n, "shape", [2])
        file = c.file_of(n)
        at = c.entry(n)["data_offsets"]
        text, data = c.split(file)
        h = json.loads(text)
        for t in h.values():
            if t.get("data_offsets", [0])[0] >= at[1]:
                t["data_offsets"] = [x - 4 for x in t["data_offsets"]]
        h[n]["data_offsets"] = [at[0], at[0] + 4]
        c.dump(file, h, data[:at[0] + 4] + data[at[1]:])


def small(c, dtype, convert):
    for ending in SMALL:
        for n in c.names(ending):
            values = struct.unpack("<%dH" % (len(c.value(n)) // 2), c.value(n))
            c.exchange(n, dtype, b"".join(convert(v) for v in values))


def bf16(v):
    return struct.unpack("<f", struct.pack("<I", v << 16))[0]


def f16_too(v):
    """The BF16 value, 0 where F16 has no such."""
    return v if abs(bf16(v)) >= 2.0 ** -14 else 0


def tied(c, also_head):
    c.config(tie_word_embeddings=True)
    if also_head:
        head(c)
    else:
        c.drop("lm_head.weight")


def head(c):
    c.exchange("lm_head.weight", "BF16", c.value("model.embed_tokens.weight"))


def no_bias(c, drop):
    for p in "qkvo":
        for n in c.names("self_attn.%s_proj.bias" % p):
            c.drop(n) if drop else c.zero(n)
    if drop:
        c.config(attention_bias=False)


def explicit_factor(c, context):
    c.config(max_position_embeddings=context)
    c.rope(factor=8.0)


same("base", "base", lambda c: None)
same("taken-from-cache", "base", lambda c: cached(c, "config.json", INDEX, ONE, TWO))
same("standard", "standard", standard)
same("taken-defaults", "standard", lambda c: (standard(c), defaults(c)))
same("taken-rope-parameters", "standard", lambda c: (standard(c), c.config(rope_parameters=dict(json.loads(c.read("config.json"))["rope_scaling"], rope_theta=150000), rope_scaling=None, rope_theta=None)))
same("taken-both-ropes", "base", lambda c: c.config(rope_parameters=dict(json.loads(c.read("config.json"))["rope_scaling"], rope_theta=150000)))
same("taken-truncate-null", "base", lambda c: c.rope(truncate=NULL))
same("taken-betas-null", "base", lambda c: c.rope(beta_fast=NULL, beta_slow=0))
same("factor-of-8", "factor-of-8", lambda c: explicit_factor(c, 512))
same("taken-explicit-factor", "factor-of-8", lambda c: explicit_factor(c, 2048))
same("taken-stale-num-experts", "base", lambda c: c.config(num_experts=128))
same("taken-stale-num-local-experts", "base", lambda c: c.config(num_local_experts=128, num_experts=8))
same("taken-num-experts-alone", "base", lambda c: c.config(num_local_experts=None, num_experts=8))
same("head-of-embedding", "head-of-embedding", head)
same("taken-tied", "head-of-embedding", lambda c: tied(c, False))
same("taken-tied-with-copy", "head-of-embedding", lambda c: tied(c, True))
same("zero-bias", "zero-bias", lambda c: no_bias(c, False))
same("taken-no-bias", "zero-bias", lambda c: no_bias(c, True))
same("taken-small-f32", "base", lambda c: small(c, "F32", lambda v: struct.pack("<I", v << 16)))
same("f16-values", "f16-values", lambda c: small(c, "BF16", lambda v: struct.pack("<H", f16_too(v))))
same("taken-small-f16", "f16-values", lambda c: small(c, "F16", lambda v: struct.pack("<e", bf16(f16_too(v)))))
same("taken-not-converted", "base", lambda c: c.unconverted("model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"))
same("taken-no-index", "base", lambda c: os.unlink(c.path(INDEX)))
same("taken-consolidated", "base", lambda c: c.write("consolidated.safetensors", b"x"))
same("taken-other-names-in-index", "base", lambda c: (renamed(c, ONE, "a.safetensors"), renamed(c, TWO, "b.safetensors")))
same("taken-no-index-and-hidden", "base", lambda c: (os.unlink(c.path(INDEX)), c.write("._model.safetensors", struct.pack("<Q", 2) + b"{}")))
same("taken-no-pad", "base", lambda c: c.config(pad_token_id=-1, bos_token_id=NULL, eos_token_id=[1, 256]))
same("taken-cache-scales", "base", lambda c: [c.add("model.layers.%d.self_attn.%s_scale" % (i, p), dtype="F32", value=b"\0\0\x80?", shape=s) for i in (0, 1) for p, s in (("k", ()), ("v", (1,)))])
same("bf16", "bf16", lambda c: None)
same("bf16-taken-not-converted", "bf16", lambda c: c.unconverted("model"))
same("bf16-taken-stale-quantisation", "bf16", lambda c: c.config(quantization_config={"quant_method": "mxfp4"}))


def main():
    base, bf16_base, out = os.path.realpath(sys.argv[1]), os.path.realpath(sys.argv[2]), sys.argv[3]
    for name, expect, change in KINDS:
        change(Copy(bf16_base if "bf16" in name else base, os.path.join(out, name)))
        print("%s\t%s" % (name, expect))


main()
