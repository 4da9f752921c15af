# SPDX-License-Identifier: MIT
"""Check kern.c, forward and backward, against plain PyTorch operations."""

import sys

import torch
import torch.nn.functional as F

from model import Config, Model, initial_parameters, split_flat

SMALL = 1e-3    # float32 sums in another order


def reference_loss(model, ids):
    """The model again, written with nothing but PyTorch operations."""
    c, params = model.config, model.params
    batch, length = ids.shape[0], ids.shape[1] - 1

    def norm(x, weight):
        scale = torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + c.eps)
        return x * scale * params[weight]

    x = params["model.embed_tokens.weight"][ids[:, :-1]]
    for layer in range(c.layers):
        p = "model.layers.%d." % layer
        h = norm(x, p + "input_layernorm.weight")
        q, k, v = (F.linear(h, params[p + "self_attn.%s_proj.weight" % n],
                            params[p + "self_attn.%s_proj.bias" % n])
                   .view(batch, length, -1, c.head_dim) for n in "qkv")
        share = c.heads // c.kv_heads
        q = model.rotate(q).transpose(1, 2)
        k = model.rotate(k).transpose(1, 2).repeat_interleave(share, 1)
        v = v.transpose(1, 2).repeat_interleave(share, 1)
        score = q @ k.transpose(2, 3) * c.head_dim ** -0.5
        at = torch.arange(length)
        hidden = at[None] > at[:, None]
        if c.layer_window(layer):
            hidden |= at[:, None] - at[None] >= c.layer_window(layer)
        score = score.masked_fill(hidden, -torch.inf)
        sink = params[p + "self_attn.sinks"].view(1, -1, 1, 1)
        score = torch.cat((score, sink.expand(batch, -1, length, 1)), -1)
        out = score.softmax(-1)[..., :-1] @ v
        x = x + F.linear(out.transpose(1, 2).reshape(batch, length, -1),
                         params[p + "self_attn.o_proj.weight"],
                         params[p + "self_attn.o_proj.bias"])

        h = norm(x, p + "post_attention_layernorm.weight").view(-1, c.hidden)
        p += "mlp."
        top, chosen = F.linear(h, params[p + "router.weight"],
                               params[p + "router.bias"]).topk(c.top_k, -1)
        pre = torch.einsum("th,eih->tei", h,
                           params[p + "experts.gate_up_proj"])
        pre = pre + params[p + "experts.gate_up_proj_bias"]
        gate, up = pre.chunk(2, -1)
        gate, up = gate.clamp(max=7), up.clamp(-7, 7)
        act = (up + 1) * gate * torch.sigmoid(1.702 * gate)
        y = torch.einsum("tei,ehi->teh", act, params[p + "experts.down_proj"])
        y = y + params[p + "experts.down_proj_bias"]
        y = y.gather(1, chosen[..., None].expand(-1, -1, c.hidden))
        x = x + (y * top.softmax(-1)[..., None]).sum(1).view(x.shape)
    logits = norm(x, "model.norm.weight") @ params["lm_head.weight"].t()
    return F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].reshape(-1))


def main():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    config = Config()
    flat = initial_parameters(config, 0)
    flat += torch.randn_like(flat) * 0.05       # no zero biases or sinks
    for name, view in split_flat(config, flat).items():
        if name.endswith("gate_up_proj"):
            view *= 6                           # so that the clamps are met
    params = {name: torch.nn.Parameter(view)
              for name, view in split_flat(config, flat).items()}
    model = Model(config, params)
    ids = torch.randint(0, config.vocab, (2, 151))

    loss, _ = model.loss(ids)
    expected = reference_loss(model, ids)
    ours = torch.autograd.grad(loss, list(params.values()))
    theirs = torch.autograd.grad(expected, list(params.values()))
    bad = abs(float(loss - expected)) > 1e-4
    for name, a, b in zip(params, ours, theirs):
        error = float((a - b).norm() / (b.norm() + 1e-9))
        if error > SMALL:
            print("%s: relative gradient error %.2g" % (name, error))
            bad = True
    print("loss %.6f, plain PyTorch %.6f: %s" %
          (loss, expected, "DIFFERENT" if bad else "same"))
    return bad


if __name__ == "__main__":
    sys.exit(main())
