"""The reference implementation (qwen-tts on transformers and PyTorch) as a rival of bench/talk and bench/int4.

usage: qwen3tts.py --model DIR --dtype bfloat16 --threads 2

It loads the checkpoint as its users do, prints one JSON line, then answers each JSON line on stdin with one on stdout:

  {"stage": "speech", "ids": [...], "language": "English", "speaker": "ryan", "frames": 16, "seed": 1}
      -> {"rows", "frames", "prefill_ms", "talker_ms", "predictor_ms"}: talker and predictor a frame, prefill in all.
         What a frame takes is what generate() takes after the prompt; what is not the code predictor is the talker.
  {"stage": "codec", "frames": 25} -> {"frames", "codec_ms"}: a frame of a chunk of that many.
  {"stage": "whole", as "speech"} -> {"ms", "frames"} from ids to samples, codec included.

Sampling is the published one, without an end: random weights would end at a random frame.
"""

import argparse
import importlib.machinery
import json
import os
import sys
import time
import warnings
from unittest.mock import MagicMock

os.environ["HF_HUB_OFFLINE"] = "1"  # all that it needs is in the folder
os.environ["MSLK_PYTHON_ONLY"] = "1"  # transformers takes torchao, and that mslk, where they are; its kernels are for GPUs

# Results go to the real stdout; whatever the libraries print goes to stderr.
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)


def answer(**values):
    answers.write(json.dumps(values) + "\n")
    answers.flush()


# What only the package's other codec, of 25 Hz, imports.
ABSENT = ("onnxruntime", "sox", "torchaudio", "torchaudio.compliance", "torchaudio.compliance.kaldi")


def load(args):
    for name in ABSENT:
        sys.modules[name] = MagicMock(__spec__=importlib.machinery.ModuleSpec(name, None))
    warnings.filterwarnings("ignore")
    import torch
    import transformers
    from qwen_tts.core.models.configuration_qwen3_tts import Qwen3TTSConfig
    from qwen_tts.core.models.modeling_qwen3_tts import Qwen3TTSForConditionalGeneration

    transformers.logging.set_verbosity_error()
    torch.set_num_threads(args.threads)
    torch.set_grad_enabled(False)
    transformers.AutoConfig.register("qwen3_tts", Qwen3TTSConfig)
    transformers.AutoModel.register(Qwen3TTSConfig, Qwen3TTSForConditionalGeneration)
    model = Qwen3TTSForConditionalGeneration.from_pretrained(
        args.model, dtype=getattr(torch, args.dtype), device_map="cpu", local_files_only=True
    ).eval()
    answer(
        torch=torch.__version__,
        transformers=transformers.__version__,
        threads=torch.get_num_threads(),
        dtype=str(model.talker.dtype),
        codec_dtype=str(next(model.speech_tokenizer.model.parameters()).dtype),
    )
    return torch, model


class Clock:
    """Where generate() spends its time."""

    def __init__(self, model):
        self.reset()
        talker, predictor = model.talker, model.talker.code_predictor
        talker.register_forward_pre_hook(self.before, with_kwargs=True)
        talker.register_forward_hook(self.after, with_kwargs=True)
        generate = predictor.generate

        def timed(*args, **kwargs):
            began = time.perf_counter()
            out = generate(*args, **kwargs)
            self.predictor += time.perf_counter() - began
            self.frames += 1
            return out

        predictor.generate = timed

    def reset(self):
        self.prefill = self.predictor = self.prompt_end = self.began = 0.0
        self.frames = self.rows = 0

    def before(self, module, args, kwargs):
        self.began = time.perf_counter()

    def after(self, module, args, kwargs, out):
        x = kwargs.get("inputs_embeds")
        if x is not None and x.shape[1] > 1:
            self.prompt_end = time.perf_counter()
            self.prefill, self.rows = self.prompt_end - self.began, x.shape[1]


def speech(torch, model, clock, task):
    torch.manual_seed(task["seed"])
    clock.reset()
    model.generate(
        input_ids=[torch.tensor([task["ids"]])],
        languages=[task["language"]],
        speakers=[task["speaker"]],
        non_streaming_mode=True,
        max_new_tokens=task["frames"] + 1,
        eos_token_id=-1,
    )
    frame = (time.perf_counter() - clock.prompt_end) / clock.frames
    predictor = clock.predictor / clock.frames
    return dict(
        rows=clock.rows,
        frames=clock.frames,
        prefill_ms=clock.prefill * 1e3,
        talker_ms=(frame - predictor) * 1e3,
        predictor_ms=predictor * 1e3,
    )


def whole(torch, model, task):
    torch.manual_seed(task["seed"])
    began = time.perf_counter()
    codes, _ = model.generate(
        input_ids=[torch.tensor([task["ids"]])],
        languages=[task["language"]],
        speakers=[task["speaker"]],
        non_streaming_mode=True,
        max_new_tokens=task["frames"],
        eos_token_id=-1,
    )
    model.speech_tokenizer.decode([{"audio_codes": c} for c in codes])
    return dict(ms=(time.perf_counter() - began) * 1e3, frames=len(codes[0]))


def codec(torch, model, task):
    decoder = model.speech_tokenizer.model.decoder
    groups, size = model.config.talker_config.num_code_groups, model.config.talker_config.code_predictor_config.vocab_size
    codes = torch.randint(0, size, (1, groups, task["frames"]), generator=torch.Generator().manual_seed(1))
    began = time.perf_counter()
    decoder(codes)
    return dict(frames=task["frames"], codec_ms=(time.perf_counter() - began) * 1e3 / task["frames"])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--dtype", default="bfloat16", choices=["bfloat16", "float32"])
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch, model = load(args)
    clock = Clock(model)
    for line in sys.stdin:
        task = json.loads(line)
        if task["stage"] == "speech":
            answer(**speech(torch, model, clock, task))
        elif task["stage"] == "codec":
            answer(**codec(torch, model, task))
        elif task["stage"] == "whole":
            answer(**whole(torch, model, task))
        else:
            raise SystemExit(f"stage {task['stage']!r}, want speech, codec or whole")


if __name__ == "__main__":
    main()
