"""Writes a GGUF file of a Qwen3 decoder's shape with random bf16 weights, for llama.cpp as a rival of bench/int4.

usage: gguf_model.py --out F.gguf --hidden 2048 --layers 28 --heads 16 --kv-heads 8 --head-dim 128 --inner 6144 --vocab 3072
"""

import argparse
import os

import gguf
import numpy as np

parser = argparse.ArgumentParser()
parser.add_argument("--out", required=True)
for name in ("hidden", "layers", "heads", "kv-heads", "head-dim", "inner", "vocab"):
    parser.add_argument("--" + name, type=int, required=True)
a = parser.parse_args()
random = np.random.default_rng(1)
# bf16 is the upper half of float32; the pool of random values is read from another place for each tensor.
pool = (random.standard_normal(1 << 24, dtype=np.float32) * 0.02).view(np.uint32) >> 16
pool = pool.astype(np.uint16)


def bf16(w, name, rows, columns):
    values = np.resize(np.roll(pool, -int(random.integers(pool.size))), rows * columns).reshape(rows, columns)
    w.add_tensor(name, values.view(np.uint8), raw_dtype=gguf.GGMLQuantizationType.BF16)


def ones(w, name, n):
    w.add_tensor(name, np.ones(n, np.float32))


part = a.out + ".part"
w = gguf.GGUFWriter(part, "qwen3", use_temp_file=False)
w.add_name("random weights")
w.add_context_length(4096)
w.add_embedding_length(a.hidden)
w.add_block_count(a.layers)
w.add_feed_forward_length(a.inner)
w.add_head_count(a.heads)
w.add_head_count_kv(a.kv_heads)
w.add_key_length(a.head_dim)
w.add_value_length(a.head_dim)
w.add_rope_freq_base(1e6)
w.add_layer_norm_rms_eps(1e-6)
w.add_file_type(gguf.LlamaFileType.MOSTLY_BF16)
w.add_vocab_size(a.vocab)
w.add_tokenizer_model("gpt2")
w.add_tokenizer_pre("default")
w.add_token_list([f"t{i}".encode() for i in range(a.vocab)])
w.add_token_types([1] * a.vocab)
w.add_token_merges(["t 1"])
w.add_eos_token_id(0)
w.add_bos_token_id(1)
w.add_add_bos_token(False)
bf16(w, "token_embd.weight", a.vocab, a.hidden)
ones(w, "output_norm.weight", a.hidden)
bf16(w, "output.weight", a.vocab, a.hidden)
q, kv = a.heads * a.head_dim, a.kv_heads * a.head_dim
for i in range(a.layers):
    b = f"blk.{i}."
    ones(w, b + "attn_norm.weight", a.hidden)
    ones(w, b + "ffn_norm.weight", a.hidden)
    ones(w, b + "attn_q_norm.weight", a.head_dim)
    ones(w, b + "attn_k_norm.weight", a.head_dim)
    bf16(w, b + "attn_q.weight", q, a.hidden)
    bf16(w, b + "attn_k.weight", kv, a.hidden)
    bf16(w, b + "attn_v.weight", kv, a.hidden)
    bf16(w, b + "attn_output.weight", a.hidden, q)
    bf16(w, b + "ffn_gate.weight", a.inner, a.hidden)
    bf16(w, b + "ffn_up.weight", a.inner, a.hidden)
    bf16(w, b + "ffn_down.weight", a.hidden, a.inner)
w.write_header_to_file()
w.write_kv_data_to_file()
w.write_tensors_to_file()
w.close()
os.rename(part, a.out)
