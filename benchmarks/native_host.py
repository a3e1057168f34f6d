"""The C core against the Numba backend on one x86-64 processor, both with AVX2 and no more, in one process.

Both run the same plans and are bound by the same multiply-add peak and memory; the C core is compiled ahead for any
processor with AVX2, Numba's kernels for shapes and strides that it knows. The C core's SSE2 build, which does per
instruction what NEON does, is timed beside them. Ratios are of minima; medians are printed too.

Then the C core opens a file of 100 MB: mapped, every checksum and every rule checked. The limit is the rate of memory.

    make native
    python benchmarks/native_host.py
"""

from __future__ import annotations

import argparse
import ctypes
import dataclasses
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

# Before anything of Numba is imported: what llvmlite may use.
os.environ["NUMBA_CPU_NAME"] = "x86-64-v3"
os.environ["NUMBA_CPU_FEATURES"] = "+avx,+avx2,+fma,+f16c,+ssse3,+sse4.2,+bmi,+bmi2,+popcnt"

import numpy as np
from edge_sparse.converters.decoder.config import inverse_frequencies
from edge_sparse.converters.decoder.random_model import LLAMA_3_2_1B, random_model
from edge_sparse.converters.lower import lower
from mobilenet_graph import mobilenet_v1, pruned
from token_products import products, random_matrix
from turns import Timing, take_turns

from edge_sparse.backends.native.library import ModelHandle, load_library
from edge_sparse.backends.native.program import NativeProgram
from edge_sparse.format.writer import write_model
from edge_sparse.llm.attention import ExactAttention, with_attention
from edge_sparse.machine import processor_name, versions
from edge_sparse.plan import DType, Model
from edge_sparse.session import Session

#: ``ES_VARIANT_*`` of ``edge_sparse.h``.
SCALAR, VECTOR, AVX2 = 1, 2, 4
#: The C core is to reach this share of the Numba backend's speed.
FLOOR = 0.8
#: Kept apart, so that decoding is bound by memory as on a real model and still fits a small machine.
DECODER = dataclasses.replace(
    LLAMA_3_2_1B, dim=768, layers=12, heads=12, kv_heads=4, head_dim=64, ffn=2048, vocab=32000, context=2048,
    frequencies=inverse_frequencies(64, 10000.0, None),
)  # fmt: skip


def native(model: Model, plan: str, variants: int, threads: int) -> Session:
    """Return a session of the C core that uses one set of kernels."""
    chosen = model.plan(plan)
    return Session(model, chosen, "native", NativeProgram(model, chosen, variants=variants), threads)


def networks() -> dict[str, Model]:
    """Return what is timed."""
    graph = mobilenet_v1()
    models = {}
    for group in (4, 8, 32):
        for sparsity in (0.0, 0.5, 0.8, 0.9):
            models[f"MobileNet-v1 gs{group}x1 {sparsity:.0%}"] = lower(*pruned(graph, group, sparsity))
    for sparsity in (0.0, 0.5):
        decoder = random_model(DECODER, sparsity=sparsity, context=2048)
        models[f"decoder of 110 M, s4 gs16x1 {sparsity:.0%}"] = with_attention(decoder, ExactAttention())
    return models


def runner(session: Session, position: int = 200) -> Callable[[], object]:
    """Return a function that runs once: an image, or a token behind ``position`` others."""
    if session.inputs[0].name == "ids":
        tokens = np.arange(position, dtype=np.int32)
        step = session.inputs[0].shape[0]
        for first in range(0, position, step):
            session.run({"ids": tokens[first : first + step], "position": np.array([first], np.int32)})
        one = {"ids": np.array([7], np.int32), "position": np.array([position], np.int32)}
        return lambda: session.run(one)
    x = np.random.default_rng(0).standard_normal(session.inputs[0].shape).astype(np.float32)
    return lambda: session(x)


def contest(model: Model, threads: int, rounds: int, calls: int) -> dict[str, Timing]:
    """Time the backends of one model in shuffled turns."""
    plan = model.plans[0].name
    sessions = {
        "numba": Session.from_model(model, backend="numba", threads=threads, plan=plan),
        "C, AVX2": native(model, plan, AVX2 | SCALAR, threads),
        "C, SSE2": native(model, plan, VECTOR | SCALAR, threads),
    }
    timings = take_turns({name: runner(session) for name, session in sessions.items()}, rounds, calls)
    for session in sessions.values():
        session.close()
    return timings


def load_milliseconds(repeats: int = 20) -> tuple[float, list[float]]:
    """Return the megabytes of a file with 176 million kept weights, and how long every opening took."""
    open_model = load_library().es_model_open
    open_model.restype = ctypes.c_int
    open_model.argtypes = [ctypes.c_char_p, *[ctypes.c_void_p] * 3]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "product.egs"
        matrix = random_matrix(122880, 2048, DType.S4, 0.3)
        megabytes = write_model(products(matrix, 1, 1), path) / 1e6
        times = []
        for _ in range(repeats):
            handle = ModelHandle()
            start = time.perf_counter()
            status = open_model(str(path).encode(), None, ctypes.byref(handle), None)
            times.append(1e3 * (time.perf_counter() - start))
            if status:
                raise RuntimeError(f"the file was refused with status {status}")
            load_library().es_model_close(handle)
    return megabytes, times


def main() -> None:
    """Print the tables and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=10)
    parser.add_argument("--only", default="", help="networks whose name holds this text")
    parser.add_argument("--json", type=Path, default=Path("benchmarks/build/native_host.json"))
    options = parser.parse_args()
    print(f"{processor_name()}, {options.threads} thread(s); {versions()}")
    print("| network | numba min (median) ms | C, AVX2 | C, SSE2 | numba / C, AVX2 |\n|---|---|---|---|---|")
    results = {}
    for name, model in networks().items():
        if options.only not in name:
            continue
        timings = contest(model, options.threads, options.rounds, options.calls)
        cells = [f"{timing.minimum:.2f} ({timing.median:.2f})" for timing in timings.values()]
        ratio = timings["numba"].minimum / timings["C, AVX2"].minimum
        print(f"| {name} | {' | '.join(cells)} | {ratio:.2f}{'' if ratio >= FLOOR else ' MISSED'} |", flush=True)
        results[name] = {rival: timing.summary() for rival, timing in timings.items()} | {"ratio": ratio}
    megabytes, times = load_milliseconds()
    print(f"opening {megabytes:.0f} MB: min {min(times):.1f} ms, median {statistics.median(times):.1f} ms")
    options.json.parent.mkdir(parents=True, exist_ok=True)
    report = {"machine": processor_name(), "versions": versions(), "threads": options.threads, "results": results}
    report["open"] = {"megabytes": megabytes, "min_ms": min(times), "median_ms": statistics.median(times)}
    options.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
