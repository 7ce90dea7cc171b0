"""adamw_step.safetensors: parameters, gradients and changes of one torch.optim.AdamW step, taken from a fixture folder.

    python3 make_adamw_step.py FIXTURE    # has checkpoint/model.safetensors and golden/sft.safetensors

Five tensors of every kind (matrix, bias, norm gain) keep the file small; the global norm belongs to all parameters.
"""
import json
import os
import struct
import sys


def read(path):
    raw = open(path, "rb").read()
    n = struct.unpack("<Q", raw[:8])[0]
    head = json.loads(raw[8 : 8 + n])
    head.pop("__metadata__", None)
    return {k: (h["dtype"], h["shape"], raw[8 + n + h["data_offsets"][0] : 8 + n + h["data_offsets"][1]]) for k, h in head.items()}


names = [
    "talker.model.layers.0.input_layernorm.weight",
    "talker.model.layers.0.self_attn.k_norm.weight",
    "talker.model.layers.0.self_attn.q_proj.weight",
    "talker.text_projection.linear_fc1.bias",
    "talker.text_projection.linear_fc2.weight",
]
weights = read(os.path.join(sys.argv[1], "checkpoint/model.safetensors"))
sft = read(os.path.join(sys.argv[1], "golden/sft.safetensors"))
out = {"total_norm": sft["step.total_norm"]}
for n in names:
    out["param." + n], out["grad." + n], out["delta." + n] = weights[n], sft["grad." + n], sft["step.delta." + n]
head, at = {"__metadata__": {"source": "tiny-f32 fixture, torch 2.15.0 AdamW: lr 1e-3, betas .9/.999, eps 1e-8, wd 0.01, after clipping to 1"}}, 0
for k in sorted(out):
    assert out[k][0] == "F32", k
    head[k] = {"dtype": "F32", "shape": out[k][1], "data_offsets": [at, at + len(out[k][2])]}
    at += len(out[k][2])
text = json.dumps(head).encode()
text += b" " * (-len(text) % 8)
with open(os.path.join(os.path.dirname(__file__), "adamw_step.safetensors"), "wb") as f:
    f.write(struct.pack("<Q", len(text)) + text + b"".join(out[k][2] for k in sorted(out)))
