"""PyTorch and torchao as rivals of bench/train: training steps of a Qwen3-like decoder.

usage: steps.py --threads 2 --hidden 512 --layers 8 --inner 1536 --heads 8 --kv-heads 4 --head-dim 64 --vocab 3072
                --batch 4 --length 128

It prints one JSON line, then answers each JSON line on stdin, {"stage": NAME}, with {"ms", "loss"} of forward and
backward pass of one batch. NAME is

  plain             float32
  plain_bf16        under torch.autocast(bfloat16)
  qat_32, qat_128   torchao's fake quantization, INT4 weights in groups of 32 or 128, INT8 activations per token
  qat_128_bf16      the same under autocast
  kd_32, kd_128     qat_32 and qat_128 that follow a teacher of the same shape: cross entropy and KL at temperature 2
  kd_128_bf16teacher  the same, with a teacher in bfloat16

and may end in _compiled, for torch.compile. A model is made when it is first asked for.
"""

import argparse
import json
import os
import sys
import time
import warnings

# Results go to the real stdout; whatever the libraries print goes to stderr.
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
warnings.filterwarnings("ignore")
os.environ["MSLK_PYTHON_ONLY"] = "1"  # torchao takes mslk where it is, whose kernels are for GPUs

import torch
import torchao
from torch import nn
from torch.nn import functional as F


def answer(**values):
    answers.write(json.dumps(values) + "\n")
    answers.flush()


TEMPERATURE = 2.0


class Norm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return F.rms_norm(x, (x.shape[-1],), self.weight, 1e-6)


def linear(inputs, outputs):
    return nn.Linear(inputs, outputs, bias=False)


def rotate(x, cos, sin):
    half = x.shape[-1] // 2
    turned = torch.cat((-x[..., half:], x[..., :half]), dim=-1)
    return (x * cos + turned * sin).to(x.dtype)


class Block(nn.Module):
    def __init__(self, a):
        super().__init__()
        self.a = a
        self.input_norm, self.post_norm = Norm(a.hidden), Norm(a.hidden)
        self.q_norm, self.k_norm = Norm(a.head_dim), Norm(a.head_dim)
        self.q_proj = linear(a.hidden, a.heads * a.head_dim)
        self.k_proj = linear(a.hidden, a.kv_heads * a.head_dim)
        self.v_proj = linear(a.hidden, a.kv_heads * a.head_dim)
        self.o_proj = linear(a.heads * a.head_dim, a.hidden)
        self.gate_proj, self.up_proj = linear(a.hidden, a.inner), linear(a.hidden, a.inner)
        self.down_proj = linear(a.inner, a.hidden)

    def attention(self, x, cos, sin):
        a, (batch, length, _) = self.a, x.shape
        heads = lambda y, n: y.view(batch, length, n, a.head_dim)
        q = rotate(self.q_norm(heads(self.q_proj(x), a.heads)).transpose(1, 2), cos, sin)
        k = rotate(self.k_norm(heads(self.k_proj(x), a.kv_heads)).transpose(1, 2), cos, sin)
        v = heads(self.v_proj(x), a.kv_heads).transpose(1, 2)
        share = a.heads // a.kv_heads
        k, v = k.to(v.dtype).repeat_interleave(share, 1), v.repeat_interleave(share, 1)
        y = F.scaled_dot_product_attention(q.to(v.dtype), k, v, is_causal=True)
        return self.o_proj(y.transpose(1, 2).reshape(batch, length, -1))

    def forward(self, x, cos, sin):
        x = x + self.attention(self.input_norm(x), cos, sin)
        y = self.post_norm(x)
        return x + self.down_proj(F.silu(self.gate_proj(y)) * self.up_proj(y))


class Decoder(nn.Module):
    def __init__(self, a):
        super().__init__()
        self.embedding = nn.Embedding(a.vocab, a.hidden)
        self.blocks = nn.ModuleList(Block(a) for _ in range(a.layers))
        self.norm, self.head = Norm(a.hidden), linear(a.hidden, a.vocab)
        angles = torch.arange(a.length)[:, None] * 1e6 ** (-torch.arange(0, a.head_dim, 2) / a.head_dim)
        angles = torch.cat((angles, angles), dim=-1)
        self.cos, self.sin = angles.cos(), angles.sin()

    def forward(self, ids):
        x = self.embedding(ids)
        for block in self.blocks:
            x = block(x, self.cos, self.sin)
        return self.head(self.norm(x))


def quantized(model, group):
    from torchao.quantization import quantize_
    from torchao.quantization.qat import IntxFakeQuantizeConfig, QATConfig

    activation = IntxFakeQuantizeConfig(torch.int8, "per_token", is_symmetric=False)
    weight = IntxFakeQuantizeConfig(torch.int4, group_size=group, is_symmetric=True)
    quantize_(model.blocks, QATConfig(activation_config=activation, weight_config=weight, step="prepare"))
    return model


class Step:
    """Forward and backward pass of one stage."""

    def __init__(self, a, stage):
        torch.manual_seed(0)
        words = stage.split("_")
        self.bf16 = "bf16" in words
        self.model = Decoder(a)
        if words[0] in ("qat", "kd"):
            quantized(self.model, int(words[1]))
        elif words[0] != "plain":
            raise SystemExit(f"stage {stage!r}")
        self.teacher = None
        if words[0] == "kd":
            self.teacher = Decoder(a).eval().requires_grad_(False)
            if "bf16teacher" in words:
                self.teacher.to(torch.bfloat16)
        self.forward = torch.compile(self.model) if "compiled" in words else self.model
        ids = torch.randint(0, a.vocab, (a.batch, a.length + 1))
        self.x, self.y = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()

    def loss(self, logits, taught):
        logits = logits.float().flatten(0, 1)
        loss = F.cross_entropy(logits, self.y.flatten())
        if taught is None:
            return loss
        logp = [F.log_softmax(x / TEMPERATURE, dim=-1) for x in (logits, taught.float().flatten(0, 1))]
        return loss + F.kl_div(*logp, log_target=True, reduction="batchmean") * TEMPERATURE**2

    def __call__(self):
        taught = None
        if self.teacher is not None:
            with torch.no_grad():
                taught = self.teacher(self.x)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            logits = self.forward(self.x)
        loss = self.loss(logits, taught)
        loss.backward()
        self.model.zero_grad(set_to_none=True)
        return float(loss.detach())


def main():
    parser = argparse.ArgumentParser()
    for name in ("threads", "hidden", "layers", "inner", "heads", "kv-heads", "head-dim", "vocab", "batch", "length"):
        parser.add_argument("--" + name, type=int, required=True)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    answer(torch=torch.__version__, torchao=torchao.__version__)
    steps = {}
    for line in sys.stdin:
        stage = json.loads(line)["stage"]
        if stage not in steps:
            steps[stage] = Step(args, stage)
        began = time.perf_counter()
        loss = steps[stage]()
        answer(ms=(time.perf_counter() - began) * 1e3, loss=loss)


if __name__ == "__main__":
    main()
