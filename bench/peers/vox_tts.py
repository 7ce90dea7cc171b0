"""vox-tts on the CPU as a rival of bench/int4.

usage: vox_tts.py --threads 2 --model F.tmod

It prints one JSON line, then answers each JSON line on stdin with one on stdout:

  {"stage": "whole", "text", "speaker", "language", "frames", "seed"} -> {"ms", "frames"} from text to samples
  {"stage": "load"} -> {"ms"}: opens the model once more
"""

import argparse
import json
import os
import sys
import time

# Results go to the real stdout; whatever the libraries print goes to stderr.
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

import vox

HOP = 1920  # samples of a frame


def answer(**values):
    answers.write(json.dumps(values) + "\n")
    answers.flush()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--model", required=True)
    args = parser.parse_args()
    engine = vox.Engine(args.model, device="cpu", threads=args.threads)
    answer(vox_tts=vox.__version__, model=os.path.basename(args.model))
    for line in sys.stdin:
        task = json.loads(line)
        if task["stage"] == "whole":
            voice = engine.speaker_voice(task["speaker"])
            began = time.perf_counter()
            samples = engine.synthesize(
                task["text"], voice, seed=task["seed"], max_frames=task["frames"], language=task["language"]
            )
            answer(ms=(time.perf_counter() - began) * 1e3, frames=len(samples) / HOP)
        elif task["stage"] == "load":
            began = time.perf_counter()
            vox.Engine(args.model, device="cpu", threads=args.threads)
            answer(ms=(time.perf_counter() - began) * 1e3)
        else:
            raise SystemExit(f"stage {task['stage']!r}, want whole or load")


if __name__ == "__main__":
    main()
