# SPDX-License-Identifier: MIT
"""A small GPT-OSS model that trains on a CPU.

The parameters lie in one flat float32 buffer, so that processes can share
them and the optimiser walks over them once.  They carry the names of the
Hugging Face checkpoint.  One thing differs from it: the rows of gate_up_proj
are all gate rows, then all up rows (export.py interleaves them).
"""

import ctypes
import dataclasses
import math
import os

import torch
import torch.nn.functional as F

LIBRARY = os.environ.get("REAP_KERN", os.path.join(
    os.path.dirname(os.path.abspath(__file__)), "build", "kern.so"))
kern = ctypes.CDLL(LIBRARY)
kern.cross_entropy.restype = ctypes.c_double
kern.sum_of_squares.restype = ctypes.c_double

c_float = ctypes.c_float
c_long = ctypes.c_long


def address(tensor):
    """The tensor's memory as a C pointer; the kernels want dense arrays.

    The pointer keeps nothing alive: never take it of a temporary.
    """
    assert tensor.is_contiguous()
    return ctypes.c_void_p(tensor.data_ptr())


@dataclasses.dataclass(frozen=True)
class Config:
    vocab: int = 2048
    hidden: int = 128
    inter: int = 128
    layers: int = 4
    experts: int = 32
    top_k: int = 4
    heads: int = 8
    kv_heads: int = 2
    head_dim: int = 32
    window: int = 64            # of the even layers; the odd ones see all
    eps: float = 1e-5
    rope_theta: float = 150000.0
    rope_factor: float = 32.0
    rope_context: int = 4096    # the original context length of YaRN
    rope_beta_fast: float = 32.0
    rope_beta_slow: float = 1.0

    def layer_window(self, layer):
        return self.window if layer % 2 == 0 else 0


def yarn(config):
    """Inverse frequencies and the factor on cos and sin."""
    dim, theta = config.head_dim, config.rope_theta

    def turns_to_dim(turns):
        return (dim * math.log(config.rope_context / (turns * 2 * math.pi))
                / (2 * math.log(theta)))

    low = max(turns_to_dim(config.rope_beta_fast), 0)
    high = min(turns_to_dim(config.rope_beta_slow), dim - 1)
    freq = theta ** (torch.arange(0, dim, 2, dtype=torch.float32) / dim)
    ramp = (torch.arange(dim // 2, dtype=torch.float32) - low) / (high - low)
    ramp = ramp.clamp(0, 1)
    inv_freq = ramp / (config.rope_factor * freq) + (1 - ramp) / freq
    return inv_freq, 0.1 * math.log(config.rope_factor) + 1.0


class RmsNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, eps):
        x = x.contiguous()
        width = x.shape[-1]
        rows = x.numel() // width
        y, inv_rms = torch.empty_like(x), torch.empty(rows)
        kern.rms_forward(rows, width, c_float(eps), address(x),
                         address(weight), address(y), address(inv_rms))
        ctx.save_for_backward(x, weight, inv_rms)
        return y

    @staticmethod
    def backward(ctx, g_y):
        x, weight, inv_rms = ctx.saved_tensors
        g_y = g_y.contiguous()
        g_x, g_weight = torch.empty_like(x), torch.empty_like(weight)
        width = x.shape[-1]
        kern.rms_backward(x.numel() // width, width, address(x),
                          address(weight), address(inv_rms), address(g_y),
                          address(g_x), address(g_weight))
        return g_x, g_weight, None


class Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v, sink, window):
        q, k, v = q.contiguous(), k.contiguous(), v.contiguous()
        batch, length, heads, dim = q.shape
        ctx.sizes = (batch, length, heads, k.shape[2], dim, window,
                     c_float(dim ** -0.5))
        out, lse = torch.empty_like(q), torch.empty(batch, heads, length)
        kern.attention_forward(*ctx.sizes, address(q), address(k), address(v),
                               address(sink), address(out), address(lse))
        ctx.save_for_backward(q, k, v, sink, out, lse)
        return out

    @staticmethod
    def backward(ctx, g_out):
        saved, g_out = ctx.saved_tensors, g_out.contiguous()
        grads = [torch.empty_like(t) for t in saved[:4]]
        kern.attention_backward(*ctx.sizes, *map(address, saved),
                                address(g_out), *map(address, grads))
        return (*grads, None)


class Experts(torch.autograd.Function):
    """Gated sum of the chosen experts; second result: norm of each output."""

    @staticmethod
    def forward(ctx, x, gate, chosen, w1, b1, w2, b2):
        x, gate = x.contiguous(), gate.contiguous()
        chosen = chosen.contiguous()
        tokens, hidden = x.shape
        inter, experts, top_k = w2.shape[2], w1.shape[0], chosen.shape[1]
        rows = tokens * top_k
        order = torch.empty(rows, dtype=torch.int32)
        place = torch.empty(rows, dtype=torch.int32)
        start = torch.empty(experts + 1, dtype=torch.int32)
        kern.group_by_expert(rows, experts, address(chosen), address(order),
                             address(place), address(start))
        inputs, y = torch.empty(rows, hidden), torch.empty(rows, hidden)
        pre, act = torch.empty(rows, 2 * inter), torch.empty(rows, inter)
        out = torch.empty(tokens, hidden)
        ctx.sizes = (tokens, hidden, inter, experts, top_k)
        kern.moe_forward(*ctx.sizes, *map(address, (
            x, order, place, start, w1, b1, w2, b2, gate, inputs, pre, act, y,
            out)))
        ctx.save_for_backward(order, place, start, w1, w2, gate, inputs, pre,
                              act, y)
        norms = y.norm(dim=1)[place.long()].view(tokens, top_k)
        ctx.mark_non_differentiable(norms)
        return out, norms

    @staticmethod
    def backward(ctx, g_out, _):
        saved, g_out = ctx.saved_tensors, g_out.contiguous()
        w1, w2, gate, inputs, pre, act, y = saved[3:]
        scratch = [torch.empty_like(t) for t in (y, act, pre, inputs)]
        g_x, g_gate = torch.empty_like(g_out), torch.empty_like(gate)
        g_w1, g_w2 = torch.empty_like(w1), torch.empty_like(w2)
        g_b1, g_b2 = torch.empty(w1.shape[:2]), torch.empty(w2.shape[:2])
        kern.moe_backward(*ctx.sizes, *map(address, (
            g_out, *saved, *scratch, g_x, g_gate, g_w1, g_b1,
            g_w2, g_b2)))
        return g_x, g_gate, None, g_w1, g_b1, g_w2, g_b2


class CrossEntropy(torch.autograd.Function):
    """Fused with the output projection: the logits are kept only once."""

    @staticmethod
    def forward(ctx, x, head, target):
        logits = x @ head.t()
        loss = kern.cross_entropy(*logits.shape, address(logits),
                                  address(target))
        ctx.save_for_backward(x, head, logits)
        return torch.tensor(loss, dtype=torch.float32)

    @staticmethod
    def backward(ctx, g_loss):
        x, head, g_logits = ctx.saved_tensors
        return g_loss * (g_logits @ head), g_loss * (g_logits.t() @ x), None


class RoundMxfp4(torch.autograd.Function):
    """The value that MXFP4 storage gives; gradients pass straight through."""

    @staticmethod
    def forward(ctx, weight):
        out = torch.empty_like(weight)
        kern.mxfp4_quantize(c_long(weight.numel() // 32), address(weight),
                            address(out), None, None)
        return out

    @staticmethod
    def backward(ctx, g_out):
        return g_out


def parameter_shapes(config):
    """Name -> shape, the parameters with weight decay first."""
    c = config
    q_size, kv_size = c.heads * c.head_dim, c.kv_heads * c.head_dim
    decayed = {"model.embed_tokens.weight": (c.vocab, c.hidden),
               "lm_head.weight": (c.vocab, c.hidden)}
    free = {"model.norm.weight": (c.hidden,)}
    for layer in range(c.layers):
        p = "model.layers.%d." % layer
        for name, size in (("q", q_size), ("k", kv_size), ("v", kv_size)):
            decayed[p + "self_attn.%s_proj.weight" % name] = (size, c.hidden)
            free[p + "self_attn.%s_proj.bias" % name] = (size,)
        decayed[p + "self_attn.o_proj.weight"] = (c.hidden, q_size)
        decayed[p + "mlp.router.weight"] = (c.experts, c.hidden)
        decayed[p + "mlp.experts.gate_up_proj"] = (
            c.experts, 2 * c.inter, c.hidden)
        decayed[p + "mlp.experts.down_proj"] = (c.experts, c.hidden, c.inter)
        free[p + "self_attn.o_proj.bias"] = (c.hidden,)
        free[p + "self_attn.sinks"] = (c.heads,)
        free[p + "input_layernorm.weight"] = (c.hidden,)
        free[p + "post_attention_layernorm.weight"] = (c.hidden,)
        free[p + "mlp.router.bias"] = (c.experts,)
        free[p + "mlp.experts.gate_up_proj_bias"] = (c.experts, 2 * c.inter)
        free[p + "mlp.experts.down_proj_bias"] = (c.experts, c.hidden)
    return {**decayed, **free}, len(decayed)


def parameter_count(config):
    """All parameters, and how many of them (the first ones) decay."""
    shapes, decayed = parameter_shapes(config)
    sizes = [math.prod(shape) for shape in shapes.values()]
    return sum(sizes), sum(sizes[:decayed])


def split_flat(config, flat):
    """Name -> view into the flat buffer."""
    views, at = {}, 0
    for name, shape in parameter_shapes(config)[0].items():
        size = math.prod(shape)
        views[name] = flat[at:at + size].view(shape)
        at += size
    return views


def initial_parameters(config, seed):
    """A fresh flat buffer."""
    generator = torch.Generator().manual_seed(seed)
    flat = torch.zeros(parameter_count(config)[0])
    decayed = parameter_shapes(config)[1]
    for i, (name, view) in enumerate(split_flat(config, flat).items()):
        if i < decayed:
            if "embed_tokens" in name:
                std = 0.1
            elif "lm_head" in name or "router" in name:
                std = 0.05
            else:
                std = view.shape[-1] ** -0.5
            if "o_proj" in name or "down_proj" in name:
                std /= math.sqrt(2 * config.layers)
            view.copy_(torch.randn(view.shape, generator=generator) * std)
        elif "norm" in name:
            view.fill_(1.0)
    return flat


class Model:
    def __init__(self, config, params, longest=1024):
        self.config, self.params = config, params
        inv_freq, factor = yarn(config)
        angle = torch.outer(torch.arange(longest, dtype=torch.float32),
                            inv_freq)
        self.cos, self.sin = angle.cos() * factor, angle.sin() * factor

    def rotate(self, x):
        cos = self.cos[:x.shape[1], None]
        sin = self.sin[:x.shape[1], None]
        a, b = x.chunk(2, -1)
        return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)

    def attention(self, layer, x):
        c, p = self.config, "model.layers.%d.self_attn." % layer
        batch, length, _ = x.shape
        q, k, v = (F.linear(x, self.params[p + n + "_proj.weight"],
                            self.params[p + n + "_proj.bias"])
                   .view(batch, length, -1, c.head_dim) for n in "qkv")
        out = Attention.apply(self.rotate(q), self.rotate(k), v,
                              self.params[p + "sinks"], c.layer_window(layer))
        return F.linear(out.view(batch, length, -1),
                        self.params[p + "o_proj.weight"],
                        self.params[p + "o_proj.bias"])

    def experts(self, layer, x, quantize, masked):
        """Result and routing: router logits, chosen experts, gates, norms."""
        p = "model.layers.%d.mlp." % layer
        w1 = self.params[p + "experts.gate_up_proj"]
        w2 = self.params[p + "experts.down_proj"]
        if quantize:
            w1, w2 = RoundMxfp4.apply(w1), RoundMxfp4.apply(w2)
        logits = F.linear(x, self.params[p + "router.weight"],
                          self.params[p + "router.bias"])
        if masked is not None:
            logits = logits.masked_fill(masked[layer], -math.inf)
        top, chosen = logits.topk(self.config.top_k, -1)
        gate = top.softmax(-1)
        out, norms = Experts.apply(
            x, gate, chosen, w1, self.params[p + "experts.gate_up_proj_bias"],
            w2, self.params[p + "experts.down_proj_bias"])
        return out, {"logits": logits, "chosen": chosen,
                     "gate": gate.detach(), "norm": norms}

    def hidden(self, ids, quantize=False, masked=None):
        """Final hidden states [tokens, hidden] and the routing per layer.

        masked [layers, experts] marks experts that the router may not choose.
        """
        c = self.config
        x = self.params["model.embed_tokens.weight"][ids]
        routing = []
        for layer in range(c.layers):
            p = "model.layers.%d." % layer
            x = x + self.attention(layer, RmsNorm.apply(
                x, self.params[p + "input_layernorm.weight"], c.eps))
            h = RmsNorm.apply(
                x, self.params[p + "post_attention_layernorm.weight"], c.eps)
            out, route = self.experts(layer, h.view(-1, c.hidden), quantize,
                                      masked)
            x = x + out.view(x.shape)
            routing.append(route)
        x = RmsNorm.apply(x, self.params["model.norm.weight"], c.eps)
        return x.view(-1, c.hidden), routing

    def loss(self, ids, quantize=False, masked=None):
        """Mean next-token loss over ids [batch, length + 1], and routing."""
        x, routing = self.hidden(ids[:, :-1].contiguous(), quantize, masked)
        target = ids[:, 1:].reshape(-1).contiguous()
        return CrossEntropy.apply(x, self.params["lm_head.weight"],
                                  target), routing

    def token_losses(self, ids, masked=None):
        """-log p of each token of one row after its first, and the routing."""
        with torch.no_grad():
            x, routing = self.hidden(ids[None], masked=masked)
            logits = x[:-1] @ self.params["lm_head.weight"].t()
            logp = logits.log_softmax(-1)
            return -logp.gather(1, ids[1:, None])[:, 0], routing
