"""Time of all attention steps of one token beside the time in which this processor reads their caches.

The shape is that of Llama-3.2-1B unless asked otherwise: 16 layers, 8 kv heads of 64, 4 query heads for each. ``GB/s``
counts the bytes of keys, values and scales that a token must read; ``share`` is that over the read bandwidth measured
in the same run by as many threads.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from turns import take_turns

from edge_sparse import Session
from edge_sparse.backends.numba.bandwidth import read_bandwidth
from edge_sparse.llm.attention import ExactAttention, with_attention
from edge_sparse.machine import processor_name, versions
from edge_sparse.plan import DType, Model, Op, Plan, Step, Storage, Tensor, row_major_strides

CHUNK = 128


def attention_model(layers: int, kv_heads: int, group: int, head_dim: int, context: int) -> Model:
    """Return a plan of attention steps alone; every layer has caches of its own and reads the same inputs."""
    tensors: list[Tensor] = []
    width = kv_heads * head_dim

    def tensor(name: str, shape: tuple[int, ...], storage: Storage, dtype: DType = DType.F32) -> int:
        symbolic = storage is not Storage.STATE and name != "position"
        size = int(np.prod(shape)) * dtype.numpy.itemsize
        place = {"strides": row_major_strides(shape), "extent": (0, size), "symbol_axis": 0 if symbolic else -1}
        tensors.append(Tensor(name, dtype, shape, storage=storage, **place))
        return len(tensors) - 1

    q = tensor("q", (CHUNK, group * width), Storage.INPUT)
    k, v = (tensor(name, (CHUNK, width), Storage.INPUT) for name in "kv")
    position = tensor("position", (1,), Storage.INPUT, DType.S32)
    y = tensor("y", (CHUNK, group * width), Storage.OUTPUT)
    words = {"heads": kv_heads * group, "kv_heads": kv_heads, "head_dim": head_dim, "scale": head_dim**-0.5}
    steps = []
    for layer in range(layers):
        caches = [tensor(f"layers.{layer}.{name}_cache", (context, width), Storage.STATE) for name in "kv"]
        steps.append(Step(Op.ATTENTION, f"layers.{layer}", (q, k, v, *caches, position), (y,), words))
    plan = Plan("main", tuple(tensors), tuple(steps), (q, k, v, position), (y,), 0, "tokens", CHUNK)
    return Model((plan,))


def filled(model: Model, threads: int) -> Session:
    """Return a session whose caches hold random elements: pages that were never written are one page of zeros."""
    session, random = Session.from_model(model, backend="numba", threads=threads), np.random.default_rng(0)
    for tensor in model.tensors:
        if tensor.storage is not Storage.STATE:
            continue
        state = session.state(tensor.name)
        if tensor.dtype is DType.S8:
            state[:] = random.integers(-127, 128, state.size, np.int8)
        else:
            state[:] = random.uniform(0.005, 0.015, state.size)
    return session


def arrays(model: Model, tokens: int, position: int) -> dict[str, np.ndarray]:
    """Return inputs of a run."""
    random = np.random.default_rng(1)
    shapes = {tensor.name: tensor.shape[1] for tensor in model.tensors if tensor.name in ("q", "k", "v")}
    rows = {name: random.standard_normal((tokens, width)).astype(np.float32) for name, width in shapes.items()}
    return rows | {"position": np.array([position], np.int32)}


def main() -> None:
    """Print the table and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("layers", 16), ("kv-heads", 8), ("group", 4), ("head-dim", 64)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("-d", "--depths", default="0,512,2048,8192", help="tokens in the cache")
    parser.add_argument("-c", "--caches", default="s8,f16,f32")
    parser.add_argument("-t", "--threads", default="1,2")
    parser.add_argument("-r", "--rounds", type=int, default=5)
    parser.add_argument("-p", "--prefill", type=int, default=0, help="time a first prompt of so many tokens too")
    parser.add_argument("-o", "--output", type=Path, default=Path("build/benchmarks/attention.json"), help="JSON file")
    options = parser.parse_args()
    depths = [int(depth) for depth in options.depths.split(",")]
    shape = (options.layers, options.kv_heads, options.group, options.head_dim)
    base = attention_model(*shape, max(*depths, options.prefill, CHUNK) + CHUNK)
    known = versions()
    print(f"{processor_name()}; " + ", ".join(f"{name} {version}" for name, version in known.items()))
    print(f"{'threads':>8}{'cache':>6}{'tokens':>8}{'depth':>7}{'min ms':>9}{'median':>9}{'GB/s':>7}{'share':>7}")
    rows = []
    for threads in (int(count) for count in options.threads.split(",")):
        bandwidth = read_bandwidth(threads)
        for name in options.caches.split(","):
            model = with_attention(base, ExactAttention(DType[name.upper()]))
            session = filled(model, threads)
            rivals = {}
            for depth in depths:
                run = arrays(model, 1, depth)
                rivals[1, depth] = lambda run=run, session=session: session.run(run)
            timings = take_turns(rivals, options.rounds, 10)
            if options.prefill:
                chunks = [arrays(model, CHUNK, at) for at in range(0, options.prefill, CHUNK)]

                def prefill(chunks: list = chunks, session: Session = session) -> None:
                    for chunk in chunks:
                        session.run(chunk)

                timings |= take_turns({(len(chunks) * CHUNK, 0): prefill}, 3, 1)
            for (tokens, depth), timing in timings.items():
                element = DType[name.upper()].numpy.itemsize
                heads = 2 * options.layers * options.kv_heads * (depth + 1)
                moved = heads * (options.head_dim * element + 4 * (element == 1))
                rate = moved / timing.minimum / 1e6 if tokens == 1 else 0.0
                row = {"threads": threads, "cache": name, "tokens": tokens, "depth": depth, **timing.summary()}
                rows.append(row | {"gb_per_s": rate, "share": rate / bandwidth})
                print(
                    f"{threads:>8}{name:>6}{tokens:>8}{depth:>7}{timing.minimum:>9.2f}{timing.median:>9.2f}"
                    f"{rate:>7.1f}{rate / bandwidth:>7.0%}"
                )
        print(f"read bandwidth, {threads} threads: {bandwidth:.1f} GB/s")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    report = {"processor": processor_name(), "versions": known, "shape": shape, "rows": rows}
    options.output.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
