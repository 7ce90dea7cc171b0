"""Goldens of 8-bit AdamW: bitsandbytes' codebooks, quantization, states and updates.

    python3 -m venv .venv && .venv/bin/pip install -r requirements-bnb.txt
    .venv/bin/python bnb_adamw.py ../../pkg/optim/testdata/bnb_adamw.safetensors

Its CPU backend looks codes up on a grid of 2/65535, so that they are the nearest ones only up to half a step of it. Its
default backend, of other devices, finds the nearest code, the lower one of two at equal distances. Both are recorded:

    signed, unsigned                      the codebooks
    x, x.codes.{signed,unsigned}          blocks of every kind, and their codes by the default backend
    exact.*, cpu.*                        AdamW8bit with either: before each step k the parameter (k.p), codes and largest
                                          magnitudes (k.m, k.v, k.mmax, k.vmax), its gradient (k.g), and after the last one

The parameter has 1,028 elements: 4 blocks and 4 elements more.
"""

import json
import struct
import sys

import bitsandbytes as bnb
import torch
from bitsandbytes.backends.cpu import ops as cpu

SETTINGS = dict(lr=1e-2, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)
N, STEPS = 1028, 3
out = {}


def quantize_exactly(x, code):
    op = torch.ops.bitsandbytes.quantize_blockwise.default
    return op._op_dk(torch._C.DispatchKey.CompositeExplicitAutograd, x, code, 256)


def store_exactly(x, code, absmax_out, out_uint8, blocksize):
    assert blocksize == 256
    codes, absmax = quantize_exactly(x, code)
    out_uint8.copy_(codes)
    absmax_out.copy_(absmax)


def draw(g, n):
    """Numbers over eight decades; a fifth of them 0, as in the rows of a table that a batch does not touch."""
    x = torch.randn(n, generator=g) * 10 ** (-8 * torch.rand(n, generator=g) ** 3)
    return x * (torch.rand(n, generator=g) > 0.2)


def run(prefix):
    g = torch.Generator().manual_seed(5)
    p = torch.nn.Parameter(torch.randn(N, generator=g))
    opt = bnb.optim.AdamW8bit([p], min_8bit_size=N, **SETTINGS)
    for k in range(STEPS + 1):
        state = opt.state[p]
        if not state:
            opt.init_state(opt.param_groups[0], p, 0, 0)
            state = opt.state[p]
        names = dict(p=p, m=state["state1"], v=state["state2"], mmax=state["absmax1"], vmax=state["absmax2"])
        for name, t in names.items():
            out[f"{prefix}.{k}.{name}"] = t.detach().clone()
        if k < STEPS:
            p.grad = draw(g, N) * 0.01
            out[f"{prefix}.{k}.g"] = p.grad.clone()
            opt.step()


def write(path):
    kinds = {torch.float32: "F32", torch.uint8: "U8"}
    meta = {"source": f"bitsandbytes {bnb.__version__}, torch {torch.__version__}", "settings": json.dumps(SETTINGS)}
    head, at, data = {"__metadata__": meta}, 0, b""
    for k in sorted(out, key=lambda k: (out[k].dtype != torch.float32, k)):
        raw = out[k].contiguous().numpy().tobytes()
        head[k] = {"dtype": kinds[out[k].dtype], "shape": list(out[k].shape), "data_offsets": [at, at + len(raw)]}
        at, data = at + len(raw), data + raw
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


def main():
    torch.set_num_threads(1)
    maps = {"signed": bnb.functional.create_dynamic_map(True), "unsigned": bnb.functional.create_dynamic_map(False)}
    out.update(maps)
    g = torch.Generator().manual_seed(3)
    x = torch.stack([draw(g, 256), torch.randn(256, generator=g), torch.rand(256, generator=g) * 1e-30, torch.zeros(256)])
    # Exactly between two codes: 1 keeps the scale.
    middle = ((maps["signed"][:-1] + maps["signed"][1:]) / 2).tolist() + [1.0]
    x = torch.cat([x, torch.tensor(middle)[None], -torch.tensor(middle)[None]])
    out["x"] = x
    for kind, code in maps.items():
        values = x.abs() if kind == "unsigned" else x
        out[f"x.codes.{kind}"] = quantize_exactly(values.reshape(-1), code)[0].reshape(x.shape)
    run("cpu")
    cpu._quant_blockwise_fp32_direct = store_exactly
    run("exact")
    # The gradients are the same, and the first states are zeros.
    for k in list(out):
        if k.startswith("exact.") and k.endswith(".g") and torch.equal(out[k], out["cpu" + k[5:]]):
            del out["cpu" + k[5:]]
    write(sys.argv[1])


main()
