"""Products of integer weights and tokens by instruction set: this processor's own, AVX2 alone, SSE alone.

Matrices of the shape of Llama-3.2-1B's feed-forward layers, random masks. One token reads every weight once, so the
limit is the measured rate of memory; there each call multiplies by many copies of the matrix, which no cache holds. For
many tokens the limit is arithmetic. ``G weights/s`` counts kept weights times tokens.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import os
from pathlib import Path

import numpy as np
from turns import take_turns

from edge_sparse import Session
from edge_sparse.backends.numba.bandwidth import read_bandwidth
from edge_sparse.format.ops import OPS
from edge_sparse.format.packing import pack_dense
from edge_sparse.machine import processor_name, versions
from edge_sparse.plan import DType, Model, Op, Plan, SparseMatrix, Step, Storage, Tensor, row_major_strides

SHAPES = ((8192, 2048), (2048, 8192))
#: What LLVM calls the processors, and what they may use.
PROCESSORS = {
    "host": {},
    "AVX2": {
        "NUMBA_CPU_NAME": "x86-64-v3",
        "NUMBA_CPU_FEATURES": "+avx,+avx2,+fma,+f16c,+ssse3,+sse4.2,+bmi,+bmi2,+popcnt",
    },
    "SSE": {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": "+sse2"},
}
_POOL_ROWS = 512


def random_matrix(rows: int, columns: int, dtype: DType, sparsity: float) -> SparseMatrix:
    """Return a gs16x1 matrix that repeats 512 random rows, which no kernel notices."""
    random = np.random.default_rng(0)
    weights = random.standard_normal((_POOL_ROWS // 16, 16, columns)).astype(np.float32)
    weights *= random.random((_POOL_ROWS // 16, 1, columns)) >= sparsity
    pool = pack_dense("w", weights.reshape(_POOL_ROWS, columns), 16, dtype=dtype, segment=32)
    times = rows // _POOL_ROWS
    parts = {name: getattr(pool, name) for name in ("counts", "kept", "values", "scales")}
    repeated = {name: None if part is None else np.concatenate([part] * times) for name, part in parts.items()}
    bands = (dataclasses.replace(pool.bands[0], rows=rows),)
    return dataclasses.replace(pool, rows=rows, bands=bands, **repeated)


def products(matrix: SparseMatrix, tokens: int, copies: int) -> Model:
    """Return a plan that multiplies one x by copies of a matrix."""
    tensors = [_tensor("x", (tokens, matrix.columns), Storage.INPUT)]
    steps = []
    words = {name: 0.0 if kind == "f" else 0 for name, kind in OPS[Op.SPMM].attributes}
    words |= dict.fromkeys(
        ("kernel_h", "kernel_w", "stride_h", "stride_w", "dilation_h", "dilation_w", "quantise_x"), 1
    )
    for number in range(copies):
        tensors.append(_tensor(f"y{number}", (tokens, matrix.rows), Storage.OUTPUT))
        steps.append(Step(Op.SPMM, f"product {number}", (0, -1, -1), (number + 1,), words | {"matrix": number}))
    plan = Plan("main", tuple(tensors), tuple(steps), (0,), tuple(range(1, copies + 1)), 0)
    return Model((plan,), tuple(dataclasses.replace(matrix, values=matrix.values.copy()) for _ in range(copies)))


def _tensor(name: str, shape: tuple[int, int], storage: Storage) -> Tensor:
    return Tensor(
        name, DType.F32, shape, storage=storage, strides=row_major_strides(shape), extent=(0, 4 * shape[0] * shape[1])
    )


def session_on(processor: str, model: Model) -> Session:
    """Return a session whose kernels were compiled for a processor."""
    kept = {name: os.environ.pop(name, None) for name in PROCESSORS["AVX2"]}
    os.environ.update(PROCESSORS[processor])
    try:
        return Session.from_model(model, backend="numba")
    finally:
        for name, value in kept.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def stored_bytes(matrix: SparseMatrix) -> int:
    """Return what one token reads."""
    return sum(part.nbytes for part in (matrix.values, matrix.scales, matrix.kept) if part is not None)


def main() -> None:
    """Print the table and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-s", "--sparsities", default="0,0.5,0.7")
    parser.add_argument("-T", "--tokens", default="1,128")
    parser.add_argument("-p", "--processors", default="host,AVX2,SSE")
    parser.add_argument("-r", "--rounds", type=int, default=5)
    parser.add_argument("-o", "--output", type=Path, default=Path("build/benchmarks/token_products.json"))
    options = parser.parse_args()
    bandwidth = read_bandwidth(1)
    report = {"processor": processor_name(), "versions": versions(), "read_gb_per_s": bandwidth, "rows": []}
    print(f"{report['processor']}; {report['versions']}; one thread reads memory at {bandwidth:.1f} GB/s\n")
    print("| type | matrix | sparsity | tokens | compiled for | min ms | median ms | G weights/s, best | GB/s |")
    print("|---" * 9 + "|")
    for dtype in (DType.S4, DType.S8):
        for rows, columns in SHAPES:
            for sparsity in map(float, options.sparsities.split(",")):
                matrix = random_matrix(rows, columns, dtype, sparsity)
                for tokens in map(int, options.tokens.split(",")):
                    # More than any cache holds, where the weights' way from memory is what counts.
                    copies = -(-200_000_000 // matrix.values.nbytes) if tokens == 1 else 1
                    model = products(matrix, tokens, copies)
                    x = np.random.default_rng(1).standard_normal((tokens, columns)).astype(np.float32)
                    sessions = {name: session_on(name, model) for name in options.processors.split(",")}
                    rivals = {name: functools.partial(session, x) for name, session in sessions.items()}
                    for name, timing in take_turns(rivals, options.rounds, 2).items():
                        ms = timing.minimum / copies
                        rate = matrix.kept_weights * tokens / ms / 1e6
                        gigabytes = stored_bytes(matrix) / ms / 1e6
                        label = (dtype.name.lower(), f"{rows}x{columns}", f"{sparsity:.0%}", str(tokens), name)
                        cells = [f"{ms:.3f}", f"{timing.median / copies:.3f}", f"{rate:.1f}", f"{gigabytes:.1f}"]
                        print("| " + " | ".join([*label, *cells]) + " |", flush=True)
                        record = dict(zip(("type", "matrix", "sparsity", "tokens", "compiled_for"), label, strict=True))
                        record |= {"min_ms": ms, "median_ms": timing.median / copies, "gweights_per_s": rate}
                        report["rows"].append(record | {"gb_per_s": gigabytes})
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(report, indent=1))
    print(f"\nwritten: {options.output}")


if __name__ == "__main__":
    main()
