# SPDX-License-Identifier: MIT
"""Write and read the Hugging Face layout of GPT-OSS with MXFP4 experts."""

import json
import os
import struct

import numpy as np
import torch

from model import (Config, address, c_long, kern, parameter_shapes,
                   split_flat)

SHARDS = 3
EXPERT_WEIGHTS = ("gate_up_proj", "down_proj")
E2M1 = torch.tensor([0, .5, 1, 1.5, 2, 3, 4, 6,
                     -0., -.5, -1, -1.5, -2, -3, -4, -6])

CHAT_TEMPLATE = """\
{#- short harmony template of the tiny fixture -#}
{%- if not messages or messages[0].role != 'system' -%}
<|start|>system<|message|>You are a helpful assistant.

Reasoning: {{ reasoning_effort | default('low') }}

# Valid channels: analysis, commentary, final.<|end|>
{%- endif -%}
{%- for m in messages -%}
{%- if m.role == 'assistant' -%}
{%- if m.thinking -%}<|start|>assistant<|channel|>analysis<|message|>\
{{ m.thinking }}<|end|>{%- endif -%}
<|start|>assistant<|channel|>final<|message|>{{ m.content }}\
{% if loop.last %}<|return|>{% else %}<|end|>{% endif %}
{%- else -%}
<|start|>{{ m.role }}<|message|>{{ m.content }}<|end|>
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}<|start|>assistant{%- endif -%}
"""


def interleave(rows):
    """Gate rows, then up rows -> gate, up, gate, up..., as the format has."""
    return torch.stack(rows.chunk(2, 1), 2).reshape(rows.shape)


def separate(rows):
    return torch.cat((rows[:, 0::2], rows[:, 1::2]), 1).contiguous()


def bf16_bytes(tensor):
    return (tensor.contiguous().to(torch.bfloat16).view(torch.int16)
            .numpy().tobytes())


def mxfp4_tensors(name, weight):
    """The two tensors that stand for weight [expert, out, in]."""
    weight = weight.contiguous()
    rounded = torch.empty_like(weight)      # a result that is not used here
    blocks = weight.numel() // 32
    codes = torch.zeros(blocks * 16, dtype=torch.uint8)
    scales = torch.zeros(blocks, dtype=torch.uint8)
    kern.mxfp4_quantize(c_long(blocks), address(weight),
                        address(rounded), address(codes), address(scales))
    shape = [*weight.shape[:2], weight.shape[2] // 32]
    return {name + "_blocks": ("U8", [*shape, 16], codes.numpy().tobytes()),
            name + "_scales": ("U8", shape, scales.numpy().tobytes())}


def stored_tensors(config, flat):
    """Name -> (dtype, shape, bytes) of every tensor of the checkpoint."""
    tensors = {}
    for name, view in split_flat(config, flat).items():
        if "gate_up_proj" in name:
            view = interleave(view)
        if name.endswith(EXPERT_WEIGHTS):
            tensors.update(mxfp4_tensors(name, view))
        else:
            tensors[name] = ("BF16", list(view.shape), bf16_bytes(view))
    return tensors


def write_shard(path, tensors, names):
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name in names:
        dtype, shape, data = tensors[name]
        header[name] = {"dtype": dtype, "shape": shape,
                        "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in names:
            file.write(tensors[name][2])


def write_weights(folder, tensors):
    total = sum(len(data) for _, _, data in tensors.values())
    shards, at = [[] for _ in range(SHARDS)], 0
    for name in sorted(tensors):
        shards[at * SHARDS // total].append(name)
        at += len(tensors[name][2])
    weight_map = {}
    for i, names in enumerate(shards):
        shard = "model-%05d-of-%05d.safetensors" % (i + 1, SHARDS)
        write_shard(os.path.join(folder, shard), tensors, names)
        weight_map.update(dict.fromkeys(names, shard))
    write_json(folder, "model.safetensors.index.json",
               {"metadata": {"total_size": total}, "weight_map": weight_map})


def write_json(folder, name, value):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        json.dump(value, file, indent=2)


def config_json(config, ids):
    c = config
    return {
        "architectures": ["GptOssForCausalLM"],
        "attention_bias": True,
        "attention_dropout": 0.0,
        "eos_token_id": ids["<|return|>"],
        "experts_per_token": c.top_k,
        "head_dim": c.head_dim,
        "hidden_act": "silu",
        "hidden_size": c.hidden,
        "initial_context_length": c.rope_context,
        "initializer_range": 0.02,
        "intermediate_size": c.inter,
        "layer_types": ["sliding_attention" if c.layer_window(layer)
                        else "full_attention" for layer in range(c.layers)],
        "max_position_embeddings": int(c.rope_context * c.rope_factor),
        "model_type": "gpt_oss",
        "num_attention_heads": c.heads,
        "num_experts_per_tok": c.top_k,
        "num_hidden_layers": c.layers,
        "num_key_value_heads": c.kv_heads,
        "num_local_experts": c.experts,
        "output_router_logits": False,
        "pad_token_id": ids["<|endoftext|>"],
        "quantization_config": {
            "modules_to_not_convert": [
                "model.layers.*.self_attn", "model.layers.*.mlp.router",
                "model.embed_tokens", "lm_head"],
            "quant_method": "mxfp4"},
        "rms_norm_eps": c.eps,
        "rope_scaling": {
            "beta_fast": c.rope_beta_fast,
            "beta_slow": c.rope_beta_slow,
            "factor": c.rope_factor,
            "original_max_position_embeddings": c.rope_context,
            "rope_type": "yarn",
            "truncate": False},
        "rope_theta": int(c.rope_theta),
        "router_aux_loss_coef": 0.9,
        "sliding_window": c.window,
        "swiglu_limit": 7.0,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.55.0",
        "use_cache": True,
        "vocab_size": c.vocab,
    }


def tokenizer_config_json(config, added_tokens):
    keys = ("content", "lstrip", "normalized", "rstrip", "single_word",
            "special")
    return {
        "added_tokens_decoder": {str(token["id"]): {k: token[k] for k in keys}
                                 for token in added_tokens},
        "bos_token": "<|startoftext|>",
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|return|>",
        "extra_special_tokens": {},
        "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": int(config.rope_context * config.rope_factor),
        "pad_token": "<|endoftext|>",
        "tokenizer_class": "PreTrainedTokenizerFast",
    }


def write_checkpoint(folder, config, flat, tokenizer_path):
    os.makedirs(folder, exist_ok=True)
    with open(tokenizer_path, encoding="utf-8") as file:
        tokenizer = file.read()
    added_tokens = json.loads(tokenizer)["added_tokens"]
    ids = {token["content"]: token["id"] for token in added_tokens}
    write_weights(folder, stored_tensors(config, flat))
    write_json(folder, "config.json", config_json(config, ids))
    write_json(folder, "generation_config.json", {
        "bos_token_id": ids["<|startoftext|>"],
        "do_sample": True,
        "eos_token_id": [ids["<|return|>"], ids["<|endoftext|>"],
                         ids["<|call|>"]],
        "pad_token_id": ids["<|endoftext|>"],
        "transformers_version": "4.55.0"})
    write_json(folder, "tokenizer_config.json",
               tokenizer_config_json(config, added_tokens))
    for name, text in (("tokenizer.json", tokenizer),
                       ("chat_template.jinja", CHAT_TEMPLATE)):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(text)


def read_shards(folder):
    """Name -> tensor as stored, BF16 widened to float32."""
    with open(os.path.join(folder, "model.safetensors.index.json"),
              encoding="utf-8") as file:
        shards = sorted(set(json.load(file)["weight_map"].values()))
    tensors = {}
    for shard in shards:
        with open(os.path.join(folder, shard), "rb") as file:
            data = file.read()
        start = 8 + struct.unpack("<Q", data[:8])[0]
        for name, entry in json.loads(data[8:start]).items():
            if name == "__metadata__":
                continue
            begin, end = (start + at for at in entry["data_offsets"])
            if entry["dtype"] == "BF16":
                wide = np.frombuffer(data[begin:end], np.uint16)
                array = (wide.astype(np.uint32) << 16).view(np.float32)
            else:
                array = np.frombuffer(data[begin:end], np.uint8).copy()
            tensors[name] = torch.from_numpy(array).view(entry["shape"])
    return tensors


def dequantize(blocks, scales):
    codes = blocks.long()
    values = torch.stack((E2M1[codes & 15], E2M1[codes >> 4]), -1).flatten(-2)
    return (values * torch.exp2(scales.float() - 127)[..., None]).flatten(-2)


def read_parameters(folder):
    """The parameters that Model wants, with the values the files hold."""
    stored, params = read_shards(folder), {}
    for name in parameter_shapes(Config())[0]:
        if name.endswith(EXPERT_WEIGHTS):
            value = dequantize(stored[name + "_blocks"],
                               stored[name + "_scales"])
        else:
            value = stored[name]
        if "gate_up_proj" in name:
            value = separate(value)
        params[name] = value.contiguous()
    return params
