"""PyTorch's and bitsandbytes' AdamW as rivals of bench/train.

usage: optim.py --threads 2 --params 50 --matrices 48 --columns 1024

It prints one JSON line, then answers each JSON line on stdin, {"stage": NAME}, with {"ms"} of one step:

  fused         torch.optim.AdamW(fused=True)
  clip_fused    the same after clip_grad_norm_
  bitsandbytes  bitsandbytes.optim.AdamW8bit
"""

import argparse
import json
import os
import sys
import time

# Results go to the real stdout; whatever the libraries print goes to stderr.
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)


def answer(**values):
    answers.write(json.dumps(values) + "\n")
    answers.flush()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--params", type=float, required=True, help="millions")
    parser.add_argument("--matrices", type=int, required=True)
    parser.add_argument("--columns", type=int, required=True)
    args = parser.parse_args()
    import bitsandbytes
    import torch

    torch.set_num_threads(args.threads)
    rows = int(args.params * 1e6 / args.matrices / args.columns)
    params = [torch.nn.Parameter(torch.randn(rows, args.columns) * 0.02) for _ in range(args.matrices)]
    for p in params:
        p.grad = torch.randn_like(p) * 1e-3
    settings = dict(lr=1e-4, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)
    fused = torch.optim.AdamW(params, fused=True, **settings)
    coded = bitsandbytes.optim.AdamW8bit(params, **settings)

    def clip_fused():
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        fused.step()

    stages = dict(fused=fused.step, clip_fused=clip_fused, bitsandbytes=coded.step)
    answer(torch=torch.__version__, bitsandbytes=bitsandbytes.__version__)
    for line in sys.stdin:
        stage = json.loads(line)["stage"]
        began = time.perf_counter()
        stages[stage]()
        answer(ms=(time.perf_counter() - began) * 1e3)


if __name__ == "__main__":
    main()
