"""llama.cpp, as llama-cpp-python builds it, as a rival of bench/int4.

usage: llama.py --threads 2

It prints one JSON line, then answers each JSON line on stdin with one on stdout:

  {"stage": "open", "n", "k", "m", "copies"} -> {"error"}: Q4_0 weights [n,k], copies of them, where llama.cpp would put them
  {"stage": "run", "passes"} -> {"ms"} of one product with m rows: the best pass over all copies, divided by their number
  {"stage": "close"} -> {}
  {"stage": "load", "path"} -> {"ms"}: opens a GGUF file and decodes one token; the model stays, until it is loaded anew
  {"stage": "decode", "path", "context", "tokens"} -> {"ms"} a token, after as many as context
  {"stage": "prefill", "path", "tokens"} -> {"ms"} of all tokens, read at once, with the logits of the last
  {"stage": "frame", "path", "steps"} -> {"ms"} of two rows at once and then single ones, as a code predictor reads a frame: the mean of some
  {"stage": "quantize", "from", "to"} -> {"ms"}: llama-quantize --pure to Q4_0
"""

import argparse
import ctypes
import json
import os
import pathlib
import sys
import time

# Results go to the real stdout; whatever the libraries print goes to stderr.
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

import llama_cpp
import numpy as np

F32, Q4_0 = 0, 2  # enum ggml_type
MOSTLY_Q4_0 = 2  # enum llama_ftype


def answer(**values):
    answers.write(json.dumps(values) + "\n")
    answers.flush()


class InitParams(ctypes.Structure):
    _fields_ = [("mem_size", ctypes.c_size_t), ("mem_buffer", ctypes.c_void_p), ("no_alloc", ctypes.c_bool)]


def library():
    """The functions of ggml that a graph of products takes."""
    folder = pathlib.Path(llama_cpp.__file__).parent / "lib"
    loaded = [ctypes.CDLL(str(folder / f"lib{name}.so"), ctypes.RTLD_GLOBAL) for name in ("ggml-base", "ggml-cpu", "ggml")]
    p, size, i64, i32 = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int64, ctypes.c_int

    class Functions:
        pass

    for name, result, arguments in (
        ("ggml_init", p, [InitParams]),
        ("ggml_free", None, [p]),
        ("ggml_tensor_overhead", size, []),
        ("ggml_graph_overhead_custom", size, [size, ctypes.c_bool]),
        ("ggml_new_graph_custom", p, [p, size, ctypes.c_bool]),
        ("ggml_new_tensor_2d", p, [p, i32, i64, i64]),
        ("ggml_mul_mat", p, [p, p, p]),
        ("ggml_build_forward_expand", None, [p, p]),
        ("ggml_row_size", size, [i32, i64]),
        ("ggml_quantize_chunk", size, [i32, p, p, i64, i64, i64, p]),
        ("ggml_backend_cpu_init", p, []),
        ("ggml_backend_cpu_set_n_threads", None, [p, i32]),
        ("ggml_backend_cpu_buffer_type", p, []),
        ("ggml_backend_get_device", p, [p]),
        ("ggml_backend_dev_backend_reg", p, [p]),
        ("ggml_backend_dev_supports_op", ctypes.c_bool, [p, p]),
        ("ggml_backend_reg_get_proc_address", p, [p, ctypes.c_char_p]),
        ("ggml_backend_buft_name", ctypes.c_char_p, [p]),
        ("ggml_backend_alloc_ctx_tensors_from_buft", p, [p, p]),
        ("ggml_backend_buffer_free", None, [p]),
        ("ggml_backend_tensor_set", None, [p, p, size, size]),
        ("ggml_backend_tensor_get", None, [p, p, size, size]),
        ("ggml_backend_graph_compute", i32, [p, p]),
    ):
        f = next(getattr(l, name) for l in loaded if hasattr(l, name))
        f.restype, f.argtypes = result, arguments
        setattr(Functions, name, f)
    return Functions


class Products:
    """Products of one row or more with copies of a Q4_0 weight."""

    def __init__(self, g, t, threads):
        self.g, self.copies = g, t["copies"]
        n, k, m = t["n"], t["k"], t["m"]
        self.backend = g.ggml_backend_cpu_init()
        g.ggml_backend_cpu_set_n_threads(self.backend, threads)
        self.contexts, self.buffers = [], []
        place = self.place(n, k, m)
        weights = self.tensors(place, Q4_0, k, n)
        self.place_name = g.ggml_backend_buft_name(place).decode()
        inputs = self.tensors(g.ggml_backend_cpu_buffer_type(), F32, k, m, 1)
        random = np.random.default_rng(1)
        dense = random.standard_normal((n, k), dtype=np.float32) * 0.02
        data = np.empty(g.ggml_row_size(Q4_0, k) * n, np.uint8)
        g.ggml_quantize_chunk(Q4_0, dense.ctypes.data, data.ctypes.data, 0, n, k, None)
        row = data.size // n
        for i, tensor in enumerate(weights):
            turned = np.roll(data, i * row)  # so no two copies are the same
            g.ggml_backend_tensor_set(tensor, turned.ctypes.data, 0, turned.size)
        values = random.standard_normal((m, k), dtype=np.float32)
        g.ggml_backend_tensor_set(inputs[0], values.ctypes.data, 0, values.nbytes)
        size = 2 * self.copies + 64
        c = self.context(g.ggml_tensor_overhead() * (self.copies + 16) + g.ggml_graph_overhead_custom(size, False))
        self.graph = g.ggml_new_graph_custom(c, size, False)
        outputs = []
        for tensor in weights:
            outputs.append(g.ggml_mul_mat(c, tensor, inputs[0]))
            g.ggml_build_forward_expand(self.graph, outputs[-1])
        self.buffers.append(g.ggml_backend_alloc_ctx_tensors_from_buft(c, g.ggml_backend_cpu_buffer_type()))
        self()
        got = np.empty((m, n), np.float32)
        g.ggml_backend_tensor_get(outputs[0], got.ctypes.data, 0, got.nbytes)
        want = values @ dense.T
        error = np.linalg.norm(got - want) / np.linalg.norm(want)
        if not error < 0.2:
            raise ValueError(f"products are off by {error}")

    def context(self, size):
        c = self.g.ggml_init(InitParams(size, None, True))
        self.contexts.append(c)
        return c

    def tensors(self, place, kind, k, rows, copies=None):
        g, copies = self.g, copies or self.copies
        c = self.context(g.ggml_tensor_overhead() * (copies + 8))
        tensors = [g.ggml_new_tensor_2d(c, kind, k, rows) for _ in range(copies)]
        buffer = g.ggml_backend_alloc_ctx_tensors_from_buft(c, place)
        if not buffer:
            raise MemoryError("ggml has no buffer")
        self.buffers.append(buffer)
        return tensors

    def place(self, n, k, m):
        """The kind of buffer that llama.cpp puts such weights in: one that lays them out anew where there is any."""
        g = self.g
        device = g.ggml_backend_get_device(self.backend)
        address = g.ggml_backend_reg_get_proc_address(g.ggml_backend_dev_backend_reg(device), b"ggml_backend_dev_get_extra_bufts")
        if address:
            kinds = ctypes.CFUNCTYPE(ctypes.POINTER(ctypes.c_void_p), ctypes.c_void_p)(address)(device)
            i = 0
            while kinds and kinds[i]:
                probe = self.context(g.ggml_tensor_overhead() * 8)
                w = g.ggml_new_tensor_2d(probe, Q4_0, k, n)
                buffer = g.ggml_backend_alloc_ctx_tensors_from_buft(probe, kinds[i])
                other = self.context(g.ggml_tensor_overhead() * 8)
                product = g.ggml_mul_mat(other, w, g.ggml_new_tensor_2d(other, F32, k, m))
                fits = bool(buffer) and g.ggml_backend_dev_supports_op(device, product)
                if buffer:
                    g.ggml_backend_buffer_free(buffer)
                if fits:
                    return kinds[i]
                i += 1
        return g.ggml_backend_cpu_buffer_type()

    def __call__(self):
        if self.g.ggml_backend_graph_compute(self.backend, self.graph) != 0:
            raise SystemExit("ggml does not compute the graph")

    def run(self, passes):
        best = float("inf")
        for _ in range(passes):
            began = time.perf_counter()
            self()
            best = min(best, time.perf_counter() - began)
        return best * 1e3 / self.copies

    def close(self):
        for b in self.buffers:
            self.g.ggml_backend_buffer_free(b)
        for c in self.contexts:
            self.g.ggml_free(c)


class Model:
    """A GGUF file, as llama-bench runs it: no sampling."""

    def __init__(self, path, threads):
        began = time.perf_counter()
        self.model = llama_cpp.llama_model_load_from_file(path.encode(), llama_cpp.llama_model_default_params())
        if not self.model:
            raise SystemExit(f"{path}: llama.cpp does not load it")
        p = llama_cpp.llama_context_default_params()
        p.n_ctx, p.n_batch, p.n_ubatch = 512, 512, 512
        p.n_threads = p.n_threads_batch = threads
        self.context = llama_cpp.llama_init_from_model(self.model, p)
        self.read(1)
        self.ms = (time.perf_counter() - began) * 1e3

    def read(self, n, logits=True):
        tokens = (llama_cpp.llama_token * n)(*[(7 * i) % 1000 for i in range(n)])
        if llama_cpp.llama_decode(self.context, llama_cpp.llama_batch_get_one(tokens, n)) != 0:
            raise SystemExit("llama_decode failed")
        llama_cpp.llama_synchronize(self.context)
        llama_cpp.llama_get_logits_ith(self.context, -1)

    def forget(self):
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), True)

    def decode(self, context, tokens):
        self.forget()
        self.read(context)
        began = time.perf_counter()
        for _ in range(tokens):
            self.read(1)
        return (time.perf_counter() - began) * 1e3 / tokens

    def prefill(self, tokens):
        self.forget()
        began = time.perf_counter()
        self.read(tokens)
        return (time.perf_counter() - began) * 1e3

    def frame(self, steps):
        """The first step reads two rows."""
        frames = 16
        began = time.perf_counter()
        for _ in range(frames):
            self.forget()
            self.read(2)
            for _ in range(steps - 1):
                self.read(1)
        return (time.perf_counter() - began) * 1e3 / frames

    def close(self):
        llama_cpp.llama_free(self.context)
        llama_cpp.llama_model_free(self.model)


def quantize(source, target, threads):
    p = llama_cpp.llama_model_quantize_default_params()
    p.nthread, p.ftype, p.pure = threads, MOSTLY_Q4_0, True
    began = time.perf_counter()
    if llama_cpp.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(p)) != 0:
        raise SystemExit(f"{source}: llama.cpp does not quantize it")
    return (time.perf_counter() - began) * 1e3


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    llama_cpp.llama_backend_init()
    g = library()
    answer(llama_cpp_python=llama_cpp.__version__, features=llama_cpp.llama_print_system_info().decode())
    products, models = None, {}
    for line in sys.stdin:
        task = json.loads(line)
        stage = task["stage"]
        if stage == "open":
            why = ""
            try:
                products = Products(g, task, args.threads)
            except Exception as e:
                why = f"{type(e).__name__}: {e}"
            answer(error=why)
        elif stage == "run":
            answer(ms=products.run(task["passes"]))
        elif stage == "close":
            products = products and products.close()
            answer()
        elif stage == "load":
            if task["path"] in models:
                models.pop(task["path"]).close()
            models[task["path"]] = Model(task["path"], args.threads)
            answer(ms=models[task["path"]].ms)
        elif stage == "decode":
            answer(ms=models[task["path"]].decode(task["context"], task["tokens"]))
        elif stage == "prefill":
            answer(ms=models[task["path"]].prefill(task["tokens"]))
        elif stage == "frame":
            answer(ms=models[task["path"]].frame(task["steps"]))
        elif stage == "quantize":
            answer(ms=quantize(task["from"], task["to"], args.threads))
        else:
            raise SystemExit(f"stage {stage!r}")


if __name__ == "__main__":
    main()
