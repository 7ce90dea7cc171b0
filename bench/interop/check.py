"""Opens exported folders with the packages whose formats they are, and compares every dequantized weight with ours.

Reads lines {"case": ..., "format": ..., "dir": ..., "dense": ...} from stdin, where dense is a safetensors file of our
own dequantized weights, and answers each with {"layers": ..., "weights": ..., "with": ...}. The first difference ends it.
"""
import json
import os
import re
import sys

os.environ["MSLK_PYTHON_ONLY"] = "1"  # its kernels are for GPUs

import gguf
import numpy as np
import torch
from compressed_tensors.compressors.pack_quantized.base import PackedQuantizationCompressor
from compressed_tensors.quantization import QuantizationConfig
from safetensors import safe_open
from torchao.core.config import config_from_dict
from torchao.prototype.safetensors.safetensors_support import unflatten_tensor_state_dict

try:
    from mslk.quantize.shuffle import pack_int4
except ImportError:  # no wheel for this version of Python
    pack_int4 = None


def same(where, got, want):
    """Fails at the first number that differs, in bits."""
    got, want = np.ascontiguousarray(got, np.float32), np.ascontiguousarray(want, np.float32)
    if got.shape != want.shape:
        raise SystemExit(f"{where}: shape {got.shape}, want {want.shape}")
    differ = np.flatnonzero(got.view(np.uint32).ravel() != want.view(np.uint32).ravel())
    if len(differ):
        i = differ[0]
        raise SystemExit(f"{where}: {len(differ)} numbers differ, the first at {i}: {got.flat[i]!r}, want {want.flat[i]!r}")


def tensors(folder):
    """All tensors of a folder, and the metadata of its files."""
    out, meta = {}, {}
    names = [n for n in sorted(os.listdir(folder)) if n.endswith(".safetensors")]
    for name in names:
        with safe_open(os.path.join(folder, name), "pt") as f:
            meta |= f.metadata() or {}
            for key in f.keys():
                if key in out:
                    raise SystemExit(f"{folder}: tensor {key} is in two files")
                out[key] = f.get_tensor(key)
    return out, meta


def config(folder):
    with open(os.path.join(folder, "config.json")) as f:
        return json.load(f)["quantization_config"]


def unpacked(t, settings, dense):
    """The weights of dense whose packed form is among the tensors t."""
    schemes = {}
    for group in QuantizationConfig.model_validate(settings).config_groups.values():
        for target in group.targets:
            schemes[target] = group
    for path, want in dense.items():
        if path + ".weight_packed" not in t:
            continue
        scheme = schemes.get(path) or schemes["Linear"]
        state = {k[len(path) + 1:]: v for k, v in t.items() if k.startswith(path + ".weight_")}
        state["weight_scale"] = state["weight_scale"].float()
        got = PackedQuantizationCompressor.decompress(state, scheme)["weight"]
        yield path, got.float().numpy(), want


def compressed_tensors(folder, dense):
    t, _ = tensors(folder)
    yield from unpacked(t, config(folder), dense)
    return "compressed-tensors"


def nibbles(words, bits):
    """The codes in the words of the last dimension: [..., n] -> [..., n * 32 / bits]."""
    u = words.view(np.uint32)[..., None] >> np.arange(0, 32, bits, dtype=np.uint32) & (2**bits - 1)
    return u.reshape(*words.shape[:-1], -1).astype(np.int64)


def tables(t, dense):
    """Embedding tables that a format of linear layers leaves float; takes them out of dense."""
    for path in [p for p in dense if p + ".weight" in t]:
        yield path, t[path + ".weight"].float().numpy(), dense.pop(path)


def gptq(folder, dense):
    t, _ = tensors(folder)
    yield from tables(t, dense)
    q = config(folder)
    with open(os.path.join(folder, "quantize_config.json")) as f:
        assert json.load(f) == q, "quantize_config.json differs from config.json"
    less = 0 if q["checkpoint_format"] == "gptq_v2" else 1
    for path, want in dense.items():
        bits, size = q["bits"], q["group_size"]
        for expr, own in q.get("dynamic", {}).items():
            if expr.startswith("+:") and re.match(expr[2:], path):
                bits, size = own.get("bits", bits), own.get("group_size", size)
            assert not (expr.startswith("-:") and re.match(expr[2:], path)), f"{path} is excluded"
        part = lambda name: t[f"{path}.{name}"].numpy()
        u = nibbles(part("qweight").T.copy(), bits)  # [N, K]
        z = nibbles(part("qzeros"), bits).T + less  # [N, G]
        order = part("g_idx")
        k = u.shape[1]
        assert (order == np.arange(k) // (k if size == -1 else size)).all(), f"{path}: groups of another size"
        yield path, (u - z[:, order]).astype(np.float32) * part("scales").T.astype(np.float32)[:, order], want
    return "safetensors, and GPTQ's formula"


def awq(folder, dense):
    t, _ = tensors(folder)
    yield from tables(t, dense)
    q = config(folder)
    order = np.argsort([0, 2, 4, 6, 1, 3, 5, 7])  # of the nibble that has output i
    spread = lambda words: nibbles(words, 4).reshape(words.shape[0], -1, 8)[:, :, order].reshape(words.shape[0], -1)
    for path, want in dense.items():
        part = lambda name: t[f"{path}.{name}"].numpy()
        u, z, s = spread(part("qweight")), spread(part("qzeros")), part("scales").astype(np.float32)
        size = u.shape[0] if q["group_size"] == -1 else q["group_size"]
        repeat = lambda x: np.repeat(x, size, axis=0)
        yield path, ((u - repeat(z)).astype(np.float32) * repeat(s)).T, want
    return "safetensors, and AWQ's formula"


def torchao(folder, dense):
    t, meta = tensors(folder)
    config_from_dict(config(folder)["quant_type"]["default"])
    state, left = unflatten_tensor_state_dict(t, meta)
    assert not left, f"{folder}: torchao leaves {sorted(left)}"
    yield from tables(t, dense)
    for path, want in dense.items():
        w = state[path + ".weight"]
        assert type(w).__name__ == "Int4Tensor" and tuple(w.shape) == want.shape, f"{path}: {w}"
        low, high = w.qdata << 4 >> 4, w.qdata >> 4  # int8: shifts keep the sign
        q = torch.stack([low, high], -1).reshape(w.shape)
        if pack_int4:
            assert torch.equal(pack_int4(q), w.qdata), f"{path}: mslk packs the codes otherwise"
        repeat = lambda x: x.float().T.repeat_interleave(w.block_size[1], 1)
        yield path, (q.float() * repeat(w.scale) + repeat(w.zero_point)).numpy(), want
    return "torchao" + (", mslk" if pack_int4 else "")


def gguf_names(path):
    """Where llama.cpp has a weight of ours: the file, the name, and the place in a stack."""
    inner = {
        "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    }
    if path == "talker.codec_head":
        return "talker", "output.weight", None
    if m := re.fullmatch(r"talker\.model\.layers\.(\d+)\.(.*)", path):
        return "talker", f"blk.{m[1]}.{inner[m[2]]}.weight", None
    if m := re.fullmatch(r"talker\.code_predictor\.model\.layers\.(\d+)\.(.*)", path):
        return "mmproj", f"a.gen.code.blk.{m[1]}.{inner[m[2]].replace('attn_output', 'attn_out')}.weight", None
    if m := re.fullmatch(r"talker\.code_predictor\.lm_head\.(\d+)", path):
        return "mmproj", "a.gen.code.head.weight", int(m[1])
    if m := re.fullmatch(r"talker\.code_predictor\.model\.codec_embedding\.(\d+)", path):
        return "mmproj", "a.gen.code.embd.weight", int(m[1])
    return {
        "talker.code_predictor.small_to_mtp_projection": ("mmproj", "a.gen.code.proj_in.weight", None),
        "talker.model.codec_embedding": ("mmproj", "a.gen.code.out_embd.weight", None),
    }.get(path)


def llama(folder, dense):
    files, settings = {}, None
    for name in ("talker", "mmproj"):
        reader = gguf.GGUFReader(os.path.join(folder, name + ".gguf"))
        files[name] = {t.name: t for t in reader.tensors}
        for key in ("general.architecture", "general.file_type"):
            assert reader.get_field(key) is not None, f"{folder}: {name} has no {key}"
        settings = json.loads(reader.get_field("qakd.quantization_config").contents())
    text, _ = tensors(folder)  # what is folded into the token table
    yield from unpacked(text, settings, dense)
    for path, want in dense.items():
        if path + ".weight_packed" in text:
            continue
        file, name, part = gguf_names(path)
        t = files[file][name]
        got = gguf.dequantize(t.data, t.tensor_type)
        if part is not None:
            got = got[part]
        yield path, got.reshape(want.shape), want
    return "gguf, compressed-tensors"


def run(job):
    """llama.cpp runs the talker; its products round inputs to 8 bits, so that logits are near and not the same."""
    try:
        import llama_cpp
    except ImportError:
        return {"layers": 0, "weights": 0, "with": "", "result": "llama-cpp-python is not installed"}
    with safe_open(job["dense"], "np") as f:
        ids, want = f.get_tensor("ids"), f.get_tensor("logits")
    model = llama_cpp.Llama(os.path.join(job["dir"], "talker.gguf"), n_ctx=64, n_batch=64, n_threads=1, logits_all=True, verbose=False)
    model.eval(ids.tolist())
    got = np.asarray(model.scores[: len(ids)])[:, -want.shape[1]:].astype(np.float64)
    alike = (got * want).sum(1) / np.linalg.norm(got, axis=1) / np.linalg.norm(want, axis=1)
    if not (np.isfinite(got).all() and alike.min() > 0.999):
        raise SystemExit(f"llama.cpp: cosines of logits with ours are {alike.round(4).tolist()}, want more than 0.999")
    same = int((got.argmax(1) == want.argmax(1)).sum())
    layers = int(model.metadata["qwen3tts.block_count"])
    return {"layers": layers, "weights": 0, "with": "llama.cpp", "result": f"logits' cosine {alike.min():.5f}, argmax {same} of {len(ids)}"}


READERS = {"compressed-tensors": compressed_tensors, "gptq": gptq, "gptq-v2": gptq, "awq": awq, "torchao": torchao, "gguf": llama}


def main():
    for line in sys.stdin:
        job = json.loads(line)
        if job["format"] == "llama.cpp":
            print(json.dumps(run(job)), flush=True)
            continue
        with safe_open(job["dense"], "np") as f:
            dense = {k.removesuffix(".weight"): f.get_tensor(k) for k in f.keys()}
        layers = weights = 0
        count = len(dense)
        pairs = READERS[job["format"]](job["dir"], dense)
        while True:
            try:
                path, got, want = next(pairs)
            except StopIteration as end:
                what = end.value
                break
            same(f"{job['case']}, {job['format']}: {path}", got, want)
            layers, weights = layers + 1, weights + want.size
        if layers != count:
            raise SystemExit(f"{job['case']}, {job['format']}: {layers} weights were read, want {count}")
        print(json.dumps({"layers": layers, "weights": weights, "with": what, "result": "the same bits"}), flush=True)


main()
