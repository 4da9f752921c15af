#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""aimer.py DIR: mean |w| / rms w of each expert of a small checkpoint, a list of its
layers, weight by weight as the formats are defined.  Nothing is shared with the library."""
import json, math, os, struct, sys

E2M1 = (0, 0.5, 1, 1.5, 2, 3, 4, 6)


def tensors(folder):
    for name in sorted(os.listdir(folder)):
        if name.endswith('.safetensors'):
            with open(os.path.join(folder, name), 'rb') as f:
                n = struct.unpack('<Q', f.read(8))[0]
                header = json.loads(f.read(n))
                data = f.read()
            for key, t in header.items():
                if key != '__metadata__':
                    yield key, t['shape'], data[t['data_offsets'][0]:t['data_offsets'][1]]


def mxfp4(blocks, scales):
    for i, byte in enumerate(blocks):
        for code in (byte & 15, byte >> 4):
            yield math.ldexp(E2M1[code & 7], scales[i // 16] - 127)


def bf16(data):
    for (v,) in struct.iter_unpack('<H', data):
        yield abs(struct.unpack('<f', struct.pack('<I', v << 16))[0])


found = {key: (shape, data) for key, shape, data in tensors(sys.argv[1])}


def matrix(name, expert):
    """Absolute values of an expert's weights."""
    def part(suffix):
        shape, data = found[name + suffix]
        each = len(data) // shape[0]
        return data[expert * each:(expert + 1) * each]
    if name in found:
        return list(bf16(part('')))
    return list(mxfp4(part('_blocks'), part('_scales')))


def weights(at, expert):
    apart = [f'{at}experts.{expert}.{k}_proj.weight' for k in ('gate', 'up', 'down')]
    if apart[0] in found:
        return [v for name in apart for v in bf16(found[name][1])]
    return matrix(at + 'experts.gate_up_proj', expert) + matrix(at + 'experts.down_proj', expert)


result = []
while router := next((found[r] for k in ('router', 'gate') if (r := f'model.layers.{len(result)}.mlp.{k}.weight') in found), None):
    row = []
    for expert in range(router[0][0]):
        w = weights(f'model.layers.{len(result)}.mlp.', expert)
        row.append(math.fsum(w) / len(w) / math.sqrt(math.fsum(v * v for v in w) / len(w)))
    result.append(row)
json.dump(result, sys.stdout)
