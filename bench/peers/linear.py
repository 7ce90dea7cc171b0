"""PyTorch, ONNX Runtime and OpenVINO as rivals of bench/int4: one linear layer, y [m,n] = x [m,k] W [n,k]^T.

usage: linear.py --threads 2

It prints one JSON line, then answers each JSON line on stdin with one on stdout:

  {"stage": "open", "peer": NAME, "n", "k", "m", "group", "copies"} -> {"error"}: makes a layer with so many weights of
      different bytes, so that a pass over all of them reads what no cache holds; "" if that went well
  {"stage": "run", "peer": NAME, "passes"} -> {"ms"} of one product: the best pass over all copies, divided by their number
  {"stage": "close"} -> {}: frees all layers

NAME is torch_f32, torch_bf16, onnxruntime (MatMulNBits with accuracy_level 4: INT8 activations) or openvino (u4 weights
that it decompresses).
"""

import argparse
import gc
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


def codes(np, t, copy):
    """Two 4-bit codes a byte, [n, k/2]; another copy has other bytes."""
    return np.random.default_rng(copy).integers(0, 256, (t["n"], t["k"] // 2), dtype=np.uint8)


def scales(np, t, dtype):
    return np.random.default_rng(1).uniform(0.001, 0.01, (t["n"], t["k"] // t["group"])).astype(dtype)


def torch_layer(torch, t, dtype):
    weights = [torch.randn(t["n"], t["k"]).mul_(0.02).to(dtype) for _ in range(t["copies"])]
    x = torch.randn(t["m"], t["k"]).to(dtype)

    def run():
        for w in weights:
            torch.nn.functional.linear(x, w)

    return run


def onnxruntime_layer(np, t, threads):
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper

    n, k, m, group = t["n"], t["k"], t["m"], t["group"]
    nodes, weights = [], []
    for i in range(t["copies"]):
        weights.append(onnx.numpy_helper.from_array(codes(np, t, i).reshape(n, k // group, group // 2), f"codes{i}"))
        weights.append(onnx.numpy_helper.from_array(scales(np, t, np.float32).reshape(-1) * (1 + i / 1024), f"scales{i}"))
        nodes.append(
            helper.make_node(
                "MatMulNBits",
                ["x", f"codes{i}", f"scales{i}"],
                [f"y{i}"],
                domain="com.microsoft",
                K=k,
                N=n,
                bits=4,
                block_size=group,
                accuracy_level=4,
            )
        )
    value = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
    outputs = [value(f"y{i}", [m, n]) for i in range(t["copies"])]
    graph = helper.make_graph(nodes, "layers", [value("x", [m, k])], outputs, weights)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets)
    model.ir_version = 8
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    x = np.random.default_rng(2).standard_normal((m, k), dtype=np.float32)
    bound = session.io_binding()
    bound.bind_cpu_input("x", x)
    for o in outputs:
        bound.bind_ortvalue_output(o.name, onnxruntime.OrtValue.ortvalue_from_numpy(np.empty((m, n), np.float32)))
    return lambda: session.run_with_iobinding(bound)


def openvino_layer(np, t, threads):
    import openvino
    from openvino import opset13

    n, k, m, group = t["n"], t["k"], t["m"], t["group"]
    x = opset13.parameter([m, k], openvino.Type.f32, name="x")
    kept, outputs = [], []  # its tensors share numpy's memory
    for i in range(t["copies"]):
        w, zero = codes(np, t, i).reshape(-1), np.full(n * (k // group) // 2, 0x88, np.uint8)
        kept += [w, zero]
        w = opset13.constant(openvino.Tensor(w, openvino.Shape([n, k // group, group]), openvino.Type.u4))
        zero = opset13.constant(openvino.Tensor(zero, openvino.Shape([n, k // group, 1]), openvino.Type.u4))
        half = lambda c: opset13.convert(c, openvino.Type.f16)
        w = opset13.multiply(
            opset13.subtract(half(w), half(zero)), opset13.constant(scales(np, t, np.float16).reshape(n, k // group, 1))
        )
        w = opset13.reshape(w, opset13.constant(np.array([n, k], np.int64)), False)
        outputs.append(opset13.matmul(x, opset13.convert(w, openvino.Type.f32), False, True))
    settings = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.Core().compile_model(openvino.Model(outputs, [x], "layers"), "CPU", settings)
    request = compiled.create_infer_request()
    data = np.random.default_rng(2).standard_normal((m, k), dtype=np.float32)

    def run(kept=kept, compiled=compiled):
        request.infer([data])

    return run


def make(torch, np, t, threads):
    peer = t["peer"]
    if peer in ("torch_f32", "torch_bf16"):
        return torch_layer(torch, t, torch.float32 if peer == "torch_f32" else torch.bfloat16)
    if peer == "onnxruntime":
        return onnxruntime_layer(np, t, threads)
    if peer == "openvino":
        return openvino_layer(np, t, threads)
    raise SystemExit(f"peer {peer!r}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    import numpy as np
    import onnxruntime
    import openvino
    import torch

    torch.set_num_threads(args.threads)
    torch.set_grad_enabled(False)
    answer(torch=torch.__version__, onnxruntime=onnxruntime.__version__, openvino=openvino.__version__.split("-")[0])
    layers = {}
    for line in sys.stdin:
        task = json.loads(line)
        if task["stage"] == "open":
            why = ""
            try:
                run = make(torch, np, task, args.threads)
                run()
                layers[task["peer"]] = run, task["copies"]
            except Exception as e:  # a rival that does not do it here is told of, and the others go on
                why = f"{type(e).__name__}: {e}".splitlines()[0][:200]
            answer(error=why)
        elif task["stage"] == "run":
            run, copies = layers[task["peer"]]
            best = float("inf")
            for _ in range(task["passes"]):
                began = time.perf_counter()
                run()
                best = min(best, time.perf_counter() - began)
            answer(ms=best * 1e3 / copies)
        elif task["stage"] == "close":
            layers.clear()
            run = None
            gc.collect()
            answer()
        else:
            raise SystemExit(f"stage {task['stage']!r}, want open, run or close")


if __name__ == "__main__":
    main()
