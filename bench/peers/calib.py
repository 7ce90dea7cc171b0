"""Straightforward PyTorch forms of calibration methods as rivals of bench/calib.

usage: calib.py --threads 2 --group 128

It prints one JSON line, then answers each JSON line on stdin with one:

  {"weight": FILE, "input": FILE, "out": N, "in": K}   reads float32 values, row after row: {}
  {"method": NAME, "steps": n}                         quantizes the weight: {"ms", "error"}, the error of the first 1024 rows'
                                                       outputs over their size

Methods: rtn, mse (40 clip ranges), gptq (with its Hessian; blocks of 128, damping 1 %, columns in order), awq (20 scales on
1024 rows), autoround (n steps on 2048 rows each).
"""

import argparse
import json
import os
import sys
import time

import torch

answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)


def answer(**values):
    answers.write(json.dumps(values) + "\n")
    answers.flush()


def steps_of(groups, scale):
    return torch.round(groups / scale).clamp(-8, 7) * scale


def largest(groups):
    return (groups.abs().amax(-1, keepdim=True) / 7).clamp(min=1e-8)


def rtn(w, x, group, steps):
    groups = w.view(w.shape[0], -1, group)
    return steps_of(groups, largest(groups)).view_as(w)


def mse(w, x, group, steps):
    groups = w.view(w.shape[0], -1, group)
    top = largest(groups)
    best = least = None
    for i in range(40):
        scale = top * (1 - i / 80)
        error = (steps_of(groups, scale) - groups).square().sum(-1, keepdim=True)
        if best is None:
            best, least = scale, error
        else:
            better = error < least
            best, least = torch.where(better, scale, best), torch.where(better, error, least)
    return steps_of(groups, best).view_as(w)


def gptq(w, x, group, steps, block=128, damp=0.01):
    h = x.t() @ x * (2 / x.shape[0])
    h.diagonal().add_(damp * h.diagonal().mean())
    u = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(h)), upper=True)
    w, out = w.clone(), torch.empty_like(w)
    for at in range(0, w.shape[1], block):
        to = min(at + block, w.shape[1])
        inner, errors, ub = w[:, at:to].clone(), torch.zeros(w.shape[0], to - at), u[at:to, at:to]
        for j in range(to - at):
            if (at + j) % group == 0:
                scale = (inner[:, j : j + group].abs().amax(1) / 7).clamp(min=1e-8)
            column = inner[:, j]
            value = torch.round(column / scale).clamp(-8, 7) * scale
            out[:, at + j] = value
            error = (column - value) / ub[j, j]
            inner[:, j:] -= error[:, None] * ub[j, j:][None]
            errors[:, j] = error
        w[:, to:] -= errors @ u[at:to, to:]
    return out


def awq(w, x, group, steps, points=20):
    x = x[:1024]
    size, y = x.abs().mean(0), x @ w.t()
    best = least = None
    for i in range(points):
        scale = size.pow(i / points).clamp(min=1e-4)
        scale = scale / (scale.max() * scale.min()).sqrt()
        q = rtn(w * scale, x, group, steps) / scale
        error = (x @ q.t() - y).square().mean()
        if least is None or error < least:
            best, least = q, error
    return best


def autoround(w, x, group, steps, rows=2048):
    groups = w.view(w.shape[0], -1, group)
    offset = torch.zeros_like(groups, requires_grad=True)
    low, high = (torch.ones(*groups.shape[:2], 1, requires_grad=True) for _ in range(2))
    smallest, top, y = groups.amin(-1, keepdim=True), groups.amax(-1, keepdim=True), x @ w.t()

    def scale_of():
        return ((top * high).maximum(-(smallest * low)) / 7).clamp(min=1e-8)

    for step in range(steps):
        at = torch.randint(0, x.shape[0] - rows + 1, (1,)).item()
        scale = scale_of()
        exact = groups / scale + offset
        code = ((torch.round(exact) - exact).detach() + exact).clamp(-8, 7)
        (x[at : at + rows] @ (code * scale).view_as(w).t() - y[at : at + rows]).square().mean().backward()
        with torch.no_grad():
            rate = (1 - step / steps) / steps
            for p, least, most in ((offset, -0.5, 0.5), (low, 0, 1), (high, 0, 1)):
                p.sub_(p.grad.sign(), alpha=rate).clamp_(least, most)
                p.grad = None
    with torch.no_grad():
        scale = scale_of()
        return (torch.round(groups / scale + offset).clamp(-8, 7) * scale).view_as(w)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--group", type=int, required=True)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    answer(torch=torch.__version__)
    w = x = None
    methods = dict(rtn=rtn, mse=mse, gptq=gptq, awq=awq, autoround=autoround)
    for line in sys.stdin:
        task = json.loads(line)
        if "weight" in task:
            w, x = (
                torch.from_file(task[name], shared=False, size=os.path.getsize(task[name]) // 4, dtype=torch.float32).view(-1, task["in"]).clone()
                for name in ("weight", "input")
            )
            answer()
            continue
        began = time.perf_counter()
        q = methods[task["method"]](w, x, args.group, task.get("steps", 0))
        ms = (time.perf_counter() - began) * 1e3
        some = x[:1024]
        y = some @ w.t()
        answer(ms=ms, error=float((some @ q.t() - y).norm() / y.norm()))


if __name__ == "__main__":
    main()
