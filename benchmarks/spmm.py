"""GFLOP/s of the group-sparse product on MobileNet's 1x1 shapes, beside this processor's multiply-add limit.

Limit: ``peak`` is a loop of independent fused multiply-adds in vector registers, measured in the same run. GFLOP/s
count kept weights only, so a number equal at all sparsities means that a kept weight costs what a dense weight costs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import llvmlite
import numba
import numpy as np

from edge_sparse.backends.numba.cache import ObjectCache
from edge_sparse.backends.numba.compiler import KernelCompiler
from edge_sparse.backends.numba.peak import peak_gflops
from edge_sparse.backends.numba.product import GroupSparseProduct, aligned_zeros
from edge_sparse.format.packing import bands_of, pack_dense
from edge_sparse.machine import processor_name
from edge_sparse.plan import Layout

SHAPES = ((64, 32, 12544), (128, 128, 3136), (256, 256, 784), (512, 512, 196), (1024, 1024, 49))
SPARSITIES = (0.0, 0.3, 0.5, 0.7, 0.8, 0.9)


def timed(function: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Return the minimum and median seconds of a call."""
    function()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return min(seconds), statistics.median(seconds)


def pruned(rng: np.random.Generator, rows: int, columns: int, group: int, sparsity: float) -> np.ndarray:
    """Return weights with the same share of groups dropped in every strip."""
    weights = rng.standard_normal((rows, columns)).astype(np.float32)
    for band in bands_of(rows, group):
        for first in range(band.first_row, band.first_row + band.rows, band.group):
            weights[first : first + band.group, rng.permutation(columns)[: round(columns * sparsity)]] = 0
    return weights


def measure(rows: int, columns: int, pixels: int, group: int, sparsity: float, repeats: int) -> dict[str, object]:
    """Time one product; check its result against float64 first."""
    rng = np.random.default_rng(0)
    weights = pruned(rng, rows, columns, group, sparsity)
    layout = Layout.NHWC if group >= 16 else Layout.CHW
    product = GroupSparseProduct(pack_dense("w", weights, group), pixels, layout=layout)
    x, y = (aligned_zeros(product.array_shape(name)) for name in ("x", "y"))
    planes, results = (x[:, :pixels], y[:, :pixels]) if layout is Layout.CHW else (x[:, :columns].T, y[:, :rows].T)
    planes[:] = rng.standard_normal((columns, pixels))
    product.run(x, y)
    np.testing.assert_allclose(results, weights.astype(float) @ planes, rtol=1e-3, atol=1e-3)
    best, median = timed(lambda: product.run(x, y), repeats)
    work = 2 * product.matrix.kept_weights * pixels / 1e9
    return {
        "shape": [rows, columns, pixels],
        "group": group,
        "sparsity": sparsity,
        "kernels": product.kernels,
        "min_ms": best * 1e3,
        "median_ms": median * 1e3,
        "gflops": work / best,
    }


def main() -> None:
    """Print one table per group and write all numbers as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-g", "--groups", default="1,4,8,16,32", help="group sizes, comma-separated")
    parser.add_argument("-r", "--repeats", type=int, default=40, help="timed calls of each product")
    parser.add_argument("-o", "--output", type=Path, default=Path("build/benchmarks/spmm.json"), help="JSON file")
    options = parser.parse_args()
    target = KernelCompiler(cache=ObjectCache(None)).target
    peak = peak_gflops(options.repeats)
    versions = {"numpy": np.__version__, "numba": numba.__version__, "llvmlite": llvmlite.__version__}
    print(f"{processor_name()}; LLVM calls it {target.cpu}, {target.lanes} float32 lanes")
    print(f"versions: {versions}; one thread; peak {peak:.0f} GFLOP/s")
    print("rows x columns x pixels; cells: GFLOP/s on kept weights, share of the peak (minimum us)")
    rows = []
    for group in map(int, options.groups.split(",")):
        head = f"\ngs{group}x1 {'NHWC' if group >= 16 else 'CHW'}".ljust(19)
        print(head + "".join(f"{sparsity:>18.0%}" for sparsity in SPARSITIES))
        for shape in SHAPES:
            line = [measure(*shape, group, sparsity, options.repeats) for sparsity in SPARSITIES]
            cells = "".join(
                f"{row['gflops']:>7.0f} {row['gflops'] / peak:>4.0%} ({row['min_ms'] * 1e3:>4.0f})" for row in line
            )
            print("x".join(map(str, shape)).ljust(20) + cells, flush=True)
            rows += line
    options.output.parent.mkdir(parents=True, exist_ok=True)
    report = {
        "processor": processor_name(),
        "target": target.cpu,
        "versions": versions,
        "peak_gflops": peak,
        "rows": rows,
    }
    options.output.write_text(json.dumps(report, indent=1))
    print(f"\nwritten: {options.output}")


if __name__ == "__main__":
    main()
